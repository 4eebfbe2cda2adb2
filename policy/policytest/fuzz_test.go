package policytest

import (
	"os"
	"path/filepath"
	"testing"

	"hopgate/config"
	"hopgate/token"
)

// FuzzFile reads test files: whatever stands in them, either there are
// faults, each with its place, or a file whose cases can be made ready.
func FuzzFile(f *testing.F) {
	names, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(names) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("cases: &a [{ name: *b, request: { path: /a, headers: { a: [x, y] } }, expect: { decision: deny } }]\n"))
	f.Add([]byte("defaults: { as: &u x }\nusers: { x: { claims: &c { a: *c } } }\ncases: [{ name: *u, <<: {} }]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		errs := &config.Errors{}
		file := parseFile("fuzz", data, errs)
		if (file == nil) != (errs.Len() > 0) {
			t.Fatalf("file %v with %d faults", file, errs.Len())
		}
		if file == nil {
			return
		}
		for i := range file.Cases {
			c := &file.Cases[i]
			var x exchange
			x.prepare(c)
			if x.input.Path == "" || x.input.Path[0] != '/' {
				t.Errorf("path %q", x.input.Path)
			}
			who := file.identityOf(c)
			if who.claims != nil {
				if err := complete(who.claims, config.Issuer{}, who.issuedAt()); err == nil {
					_, _ = token.VerifyClaims(config.Issuer{}, "issuer", who.claims, standardTime)
				}
			}
		}
	})
}
