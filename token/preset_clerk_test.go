package token

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestClerkPermissions(t *testing.T) {
	long := strings.TrimSuffix(strings.Repeat("p,", 64), ",")
	for _, c := range []struct {
		name          string
		fea, per, fpm string
		want          string
	}{
		{"documented", "o:dashboard,o:teams", "manage,read", "3,2", "org:dashboard:manage org:dashboard:read org:teams:read"},
		{"bit 0 is the first", "o:a", "x,y,z", "1", "org:a:x"},
		{"last bit", "o:a", "x,y,z", "4", "org:a:z"},
		{"features of the user are not counted", "u:beta,o:a,u:gamma,o:b", "x,y", "1,2", "org:a:x org:b:y"},
		{"features of both", "ou:a,uo:b,u:c", "x", "1,1", "org:a:x org:b:x"},
		{"none granted", "o:a", "x", "0", ""},
		{"no organization feature", "u:a", "x", "1", ""},
		{"nothing", "", "", "", ""},
		{"no fea", "", "x", "1", ""},
		{"no per", "o:a", "", "1", ""},
		{"no fpm", "o:a", "x", "", ""},
		{"fewer numbers", "o:a,o:b", "x", "1", ""},
		{"more numbers", "o:a", "x", "1,1", ""},
		{"bit without a name", "o:a", "x,y", "4", ""},
		{"bit without a name on another feature", "o:a,o:b", "x", "1,2", ""},
		{"negative", "o:a", "x", "-1", ""},
		{"plus", "o:a", "x", "+1", ""},
		{"space", "o:a, o:b", "x", "1,1", ""},
		{"space in numbers", "o:a,o:b", "x", "1, 1", ""},
		{"leading zero", "o:a", "x", "01", ""},
		{"hexadecimal", "o:a", "x", "0x1", ""},
		{"fraction", "o:a", "x", "1.0", ""},
		{"exponent", "o:a", "x", "1e0", ""},
		{"huge", "o:a", "x", "18446744073709551617", ""},
		{"word", "o:a", "x", "one", ""},
		{"empty number", "o:a,o:b", "x", "1,", ""},
		{"unknown scope", "x:a", "x", "1", ""},
		{"unknown scope beside", "o:a,x:b", "x", "1", ""},
		{"no scope", "a", "x", "1", ""},
		{"empty scope", ":a", "x", "1", ""},
		{"scope twice", "oo:a", "x", "1", ""},
		{"colon in feature", "o:a:sys", "x", "1", ""},
		{"empty feature", "o:", "x", "1", ""},
		{"empty permission", "o:a", "x,", "1", ""},
		{"colon in permission", "o:a", "x:y", "1", ""},
		{"feature twice", "o:a,o:a", "x", "0,1", ""},
		{"permission twice", "o:a", "x,x", "1", ""},
		{"too many permissions", "o:a", long, "1", ""},
	} {
		if got := strings.Join(clerkPermissions(c.fea, c.per, c.fpm), " "); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// However the claims are made, a permission is only there if its feature is
// an organization feature of fea, its name one of per, and the bit that
// belongs to both is set.
func FuzzClerkPermissions(f *testing.F) {
	f.Add("o:dashboard,o:teams", "manage,read", "3,2")
	f.Add("u:beta,ou:a,o:b", "x,y,z", "7,4")
	f.Add("o:a", "x", "-1")
	f.Add("o:a,o:b", "x", "1")
	f.Add("o:a:b,o:", ",", "99999999999999999999")
	f.Fuzz(func(t *testing.T, fea, per, fpm string) {
		var features []string
		for f := range strings.SplitSeq(fea, ",") {
			scope, name, _ := strings.Cut(f, ":")
			if strings.Contains(scope, "o") {
				features = append(features, name)
			}
		}
		names, numbers := strings.Split(per, ","), strings.Split(fpm, ",")
		for _, p := range clerkPermissions(fea, per, fpm) {
			parts := strings.Split(p, ":")
			if len(parts) != 3 || parts[0] != "org" {
				t.Fatalf("permission %q", p)
			}
			i, n := slices.Index(features, parts[1]), slices.Index(names, parts[2])
			if i < 0 || n < 0 || i >= len(numbers) {
				t.Fatalf("permission %q is of nowhere", p)
			}
			bits, err := strconv.ParseUint(numbers[i], 10, 64)
			if err != nil || bits>>n&1 == 0 {
				t.Fatalf("permission %q is not granted by %q", p, numbers[i])
			}
		}
	})
}

func TestClerkSuffix(t *testing.T) {
	for host, want := range map[string]string{"clerk.clerk.dev": "1Z8AzTQD"} {
		if got := clerkSuffix(host); got != want {
			t.Errorf("%s: %q, want %q", host, got, want)
		}
	}
	for _, host := range []string{"foo-bar-13.clerk.accounts.dev", "clerk.example.com"} {
		if got := clerkSuffix(host); len(got) != 8 || !isTokenName(got) {
			t.Errorf("%s: %q", host, got)
		}
	}
}
