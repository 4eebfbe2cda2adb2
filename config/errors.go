package config

import (
	"errors"
	"fmt"
	"slices"
	"sort"
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
	doc *document
	id  int32
}

// node gives the section's node, nil for the zero Source.
func (s Source) node() *node {
	if s.doc == nil {
		return nil
	}
	return s.doc.node(s.id)
}

// Pos gives the position of the value below this section at path, whose
// elements are mapping keys (string) and sequence indexes (int). Where
// nothing stands at path, it is the position of the nearest thing above it.
// A list that is written as its single element has it at index 0.
func (s Source) Pos(path ...any) Position {
	n := s.node()
	if n == nil {
		return Position{}
	}
	for _, step := range path {
		next := n.step(step)
		if next == nil {
			break
		}
		n = next
	}
	return s.doc.pos(n)
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
	// unused has the warnings of what nothing uses: a fault elsewhere is often
	// the reason, so that they are told only where there is none.
	unused []*Error
	hidden []hidden
	// told has the places whose faults were found when the file was parsed:
	// compilers, which see such a value as absent, are not heard about them.
	told map[Position]bool
}

// Addf records a fault. What the configuration took from the environment, from
// a file or as a secret is masked in the message.
func (e *Errors) Addf(pos Position, format string, args ...any) {
	if e.told[pos] {
		return
	}
	e.list = append(e.list, &Error{Pos: pos, Message: e.message(format, args)})
}

// Warnf records something that is legal but surely not meant. Warnings are
// printed by `hopgate check` and do not stop a configuration from loading.
func (e *Errors) Warnf(pos Position, format string, args ...any) {
	e.warnings = append(e.warnings, &Error{Pos: pos, Message: e.message(format, args)})
}

// parsed ends the collecting of the parser's own faults. values are the places
// of further values that have no meaning because of them.
func (e *Errors) parsed(values []Position) {
	e.told = make(map[Position]bool, len(e.list)+len(values))
	for _, x := range e.list {
		e.told[x.Pos] = true
	}
	for _, pos := range values {
		e.told[pos] = true
	}
}

// unusedf warns of what nothing uses.
func (e *Errors) unusedf(pos Position, format string, args ...any) {
	e.unused = append(e.unused, &Error{Pos: pos, Message: e.message(format, args)})
}

// Err returns nil, or an error that joins every fault, ordered by position;
// errors.As finds *Error in it.
func (e *Errors) Err() error {
	if len(e.list) == 0 {
		return nil
	}
	sortErrors(e.list)
	var errs []error
	told := make(map[Error]bool, len(e.list))
	for _, x := range e.list {
		// An alias is looked at wherever it stands: its faults are told once.
		if !told[*x] {
			told[*x] = true
			errs = append(errs, x)
		}
	}
	return errors.Join(errs...)
}

// Len gives the number of faults so far.
func (e *Errors) Len() int { return len(e.list) }

// Warnings gives the warnings, ordered by position. What nothing uses is
// warned of only where there are no faults.
func (e *Errors) Warnings() []*Error {
	list := slices.Clone(e.warnings)
	if len(e.list) == 0 {
		list = append(list, e.unused...)
	}
	sortErrors(list)
	return list
}

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
