package config

import (
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Position is a place in a configuration file. Lines and columns count from
// 1; the zero Position is nowhere.
type Position struct {
	File   string
	Line   int
	Column int
}

// String gives file:line:column, or what of it is known.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Source remembers where a section of the file stands, so that the package
// that compiles the section can report faults there. The zero Source knows
// no position.
type Source struct {
	file string
	node *yaml.Node
}

// Pos gives the position of the value below this section at path, whose
// elements are mapping keys (string) and sequence indexes (int). Where
// nothing stands at path, it is the position of the nearest thing above it.
func (s Source) Pos(path ...any) Position {
	return Position{File: s.file}
}

// Error is one fault of a configuration file.
type Error struct {
	Pos     Position
	Message string // what was found, and what would be right
}

func (e *Error) Error() string { return e.Pos.String() + ": " + e.Message }

// Errors collects every fault of a file so that they are reported together.
// The zero value is ready to use. It is not safe for concurrent use.
type Errors struct {
	list     []*Error
	warnings []*Error
}

// Addf records a fault.
func (e *Errors) Addf(pos Position, format string, args ...any) {
	e.list = append(e.list, &Error{Pos: pos, Message: fmt.Sprintf(format, args...)})
}

// Warnf records something that is legal but surely not meant. Warnings are
// printed by `hopgate check` and do not stop a configuration from loading.
func (e *Errors) Warnf(pos Position, format string, args ...any) {
	e.warnings = append(e.warnings, &Error{Pos: pos, Message: fmt.Sprintf(format, args...)})
}

// Err returns nil, or an error that joins every fault, ordered by position;
// errors.As finds *Error in it.
func (e *Errors) Err() error {
	if len(e.list) == 0 {
		return nil
	}
	sortErrors(e.list)
	errs := make([]error, len(e.list))
	for i, x := range e.list {
		errs[i] = x
	}
	return errors.Join(errs...)
}

// Len gives the number of faults so far.
func (e *Errors) Len() int { return len(e.list) }

// Warnings gives the warnings, ordered by position.
func (e *Errors) Warnings() []*Error { sortErrors(e.warnings); return e.warnings }

func sortErrors(list []*Error) {
	sort.SliceStable(list, func(i, j int) bool {
		a, b := list[i].Pos, list[j].Pos
		if a.File != b.File {
			return a.File < b.File
		}
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		return a.Column < b.Column
	})
}

// Size is a number of bytes, written 512, 64KiB, 1MiB or 2GiB.
type Size int64

// Secret is a value that must never be shown: every way of printing it gives
// a mask. Reveal is the only way to its text.
type Secret struct{ text string }

// NewSecret makes a Secret of text.
func NewSecret(text string) Secret { return Secret{text} }

// Reveal gives the secret text.
func (s Secret) Reveal() string { return s.text }

// IsZero tells whether the secret is absent.
func (s Secret) IsZero() bool { return s.text == "" }

// Expr is a CEL expression with its place in the file.
type Expr struct {
	Text string
	pos  Position // of the first character of Text, where it is a one-line scalar
}

// NewExpr makes an expression that stands in no file.
func NewExpr(text string) Expr { return Expr{Text: text} }

// Pos gives the file position of the character at the 1-based line and
// 0-based column (in code points, as CEL counts) of the expression's text.
// Pos(1, 0) is where the expression starts.
func (e Expr) Pos(line, column int) Position { return e.pos }

// Template is text with {expression} parts; {{ and }} stand for braces.
type Template struct {
	Text string
	pos  Position
}

// NewTemplate makes a template that stands in no file.
func NewTemplate(text string) Template { return Template{Text: text} }

// Pos gives the file position of the byte at offset in the template's text.
func (t Template) Pos(offset int) Position { return t.pos }

// Rate is a number of events per time.
type Rate struct {
	Events int
	Per    time.Duration
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
