package token

// Preset describes an identity provider for people.
type Preset struct{ Issuer string }

var docs = map[string]Preset{}
