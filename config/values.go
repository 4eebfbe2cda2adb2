package config

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Size is a number of bytes, written 512, 64KiB, 1MiB or 2GiB.
type Size int64

var sizeUnits = []struct {
	name  string
	bytes int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// String gives the size in the largest unit that it is a multiple of.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// Secret is a value that must never be shown: every way of printing it gives
// a mask. Reveal is the only way to its text.
type Secret struct{ text string }

// mask is shown in the place of a secret.
const mask = "********"

// NewSecret makes a Secret of text.
func NewSecret(text string) Secret { return Secret{text} }

// Reveal gives the secret text.
func (s Secret) Reveal() string { return s.text }

// IsZero tells whether the secret is absent.
func (s Secret) IsZero() bool { return s.text == "" }

// String gives the mask, or nothing where the secret is absent.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return mask
}

// Format writes the mask whatever the verb, %#v and %x included.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue makes log/slog write the mask.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText makes encoders write the mask.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON makes encoding/json write the mask.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// MarshalYAML makes YAML encoders write the mask.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// Expr is a CEL expression with its place in the file.
type Expr struct {
	Text string
	at   origin
}

// NewExpr makes an expression that stands in no file.
func NewExpr(text string) Expr { return Expr{Text: text} }

// Pos gives the file position of the character at the 1-based line and
// 0-based column (in code points, as CEL counts) of the expression's text.
// Pos(1, 0) is where the expression starts. A place inside what came from
// the environment has the position of the reference to it.
func (e Expr) Pos(line, column int) Position {
	offset := 0
	for range line - 1 {
		next := strings.IndexByte(e.Text[offset:], '\n')
		if next < 0 {
			break
		}
		offset += next + 1
	}
	for range column {
		if offset >= len(e.Text) {
			break
		}
		_, n := utf8.DecodeRuneInString(e.Text[offset:])
		offset += n
	}
	return e.at.position(e.Text, offset)
}

// Template is text with {expression} parts; {{ and }} stand for braces.
type Template struct {
	Text string
	at   origin
}

// Pos gives the file position of the byte at offset in the template's text.
// A place inside what came from the environment has the position of the
// reference to it.
func (t Template) Pos(offset int) Position {
	return t.at.position(t.Text, offset)
}

// Rate is a number of events per time.
type Rate struct {
	Events int
	Per    time.Duration
}

// String gives the rate as it is written in the file.
func (r Rate) String() string {
	for _, u := range rateUnits {
		if r.Per == u.per {
			return strconv.Itoa(r.Events) + "/" + u.name
		}
	}
	return strconv.Itoa(r.Events) + "/" + r.Per.String()
}

var rateUnits = []struct {
	name string
	per  time.Duration
}{{"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}}

// TTL is how long an answer is fresh: for a time, or as long as the answer
// itself says.
type TTL struct {
	For    time.Duration
	Origin bool
}

// String gives the TTL as it is written in the file.
func (t TTL) String() string {
	if t.Origin {
		return "origin"
	}
	return duration(t.For)
}

// Scope says who shares a cached answer: a word (public, user, org, session)
// or a list of claim paths. The zero Scope is the route's default.
type Scope struct {
	Word   string   // public, user, org, session, or empty
	Claims []string // claim paths without the leading "claims."
}

// String gives the scope as it is written in the file.
func (s Scope) String() string {
	if len(s.Claims) > 0 {
		return "[claims." + strings.Join(s.Claims, ", claims.") + "]"
	}
	return s.Word
}

// duration writes a duration without the zero units at its end.
func duration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
