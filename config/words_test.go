package config

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// TestForms compares what tells words apart with the regular expressions that
// say the same, and that would have to be compiled at each start.
func TestForms(t *testing.T) {
	forms := []struct {
		name string
		is   func(string) bool
		want *regexp.Regexp
	}{
		{"isDecimal", isDecimal, regexp.MustCompile(`^(0|[1-9][0-9]*)$`)},
		{"isFraction", isFraction, regexp.MustCompile(`^(0|[1-9][0-9]*)(\.[0-9]+)?$`)},
		{"isName", isName, regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)},
		{"isRuleName", isRuleName, regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)},
		{"isHostName", isHostName, regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?$`)},
	}
	long := func(n int) string { return strings.Repeat("b", n) }
	words := []string{"", "0", "00", "01", "10", "1.", ".1", "1.0", "1.2.3", "a", "_", "-", ".", "a.", "a..b", "é", "a\n", "1\n", long(63), long(64), long(65)}
	rng := rand.New(rand.NewPCG(1, 2)) // the same words each time
	for range 20_000 {
		b := make([]byte, rng.IntN(7))
		for i := range b {
			b[i] = "0019aZ_-.. \n\xe9"[rng.IntN(13)]
		}
		words = append(words, string(b))
	}
	for _, f := range forms {
		for _, w := range words {
			if got, want := f.is(w), f.want.MatchString(w); got != want {
				t.Errorf("%s(%q) is %t, want %t", f.name, w, got, want)
			}
		}
	}
}
