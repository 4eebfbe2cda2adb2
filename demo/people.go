package demo

// A person is a user of the demo with a session in one organization.
type person struct {
	user, first, last string
	org               string
	role              string // without Clerk's org: prefix
	fpm               string // permissions per feature, see issuer.go
}

// Three users of two organizations. Features are members and billing,
// permissions read (1) and manage (2): bob may read billing and nothing of
// the members.
var people = map[string]person{
	"alice": {"user_alice", "Alice", "Archer", "org_acme", "admin", "3,3"},
	"bob":   {"user_bob", "Bob", "Baker", "org_acme", "member", "0,1"},
	"carol": {"user_carol", "Carol", "Cook", "org_globex", "admin", "3,3"},
}

var organizations = map[string]string{"org_acme": "Acme", "org_globex": "Globex"}
