package cache

import (
	"bytes"
	"slices"
	"time"
)

// Validators are the fields of a conditional request that asks whether a
// stored answer is still right (RFC 9111 section 4.3.1). The zero value asks
// nothing.
type Validators struct {
	ETag         string // for If-None-Match
	LastModified string // for If-Modified-Since
}

// validators returns what the answer can be validated by.
func (a *Answer) validators() (v Validators) {
	if etag, n := a.Field("etag"); n == 1 && isETag(etag) {
		v.ETag = string(etag)
	}
	if modified, n := a.Field("last-modified"); n == 1 {
		if _, ok := parseDate(modified, time.Time{}); ok {
			v.LastModified = string(modified)
		}
	}
	return v
}

// isETag tells whether b is an entity tag (RFC 9110 section 8.8.3).
func isETag[T text](b T) bool {
	if len(b) >= 2 && b[0] == 'W' && b[1] == '/' {
		b = b[2:]
	}
	if !quoted(b) {
		return false
	}
	for i := 1; i < len(b)-1; i++ {
		if c := b[i]; c == '"' || c <= ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

func isWeak[T text](etag T) bool { return len(etag) >= 2 && etag[0] == 'W' && etag[1] == '/' }

// nextETag takes the first member of a list of entity tags, or a *, where
// the list begins with one. A backslash in a tag escapes nothing.
func nextETag(list string) (member, rest string, ok bool) {
	for len(list) > 0 && (isSpace(list[0]) || list[0] == ',') {
		list = list[1:]
	}
	if len(list) > 0 && list[0] == '*' {
		return list[:1], list[1:], true
	}
	open := 0
	if isWeak(list) {
		open = 2
	}
	if open >= len(list) || list[open] != '"' {
		return "", "", false
	}
	for i := open + 1; i < len(list); i++ {
		if list[i] == '"' {
			return list[:i+1], list[i+1:], true
		}
	}
	return "", "", false
}

// weakEqual compares entity tags by the weak comparison (RFC 9110 section
// 8.8.3.2): the opaque parts.
func weakEqual[A, B text](a A, b B) bool {
	if isWeak(a) {
		a = a[2:]
	}
	if isWeak(b) {
		b = b[2:]
	}
	return string(a) == string(b)
}

// freshened returns the answer with the fields of a 304 to its validation
// (RFC 9111 section 4.3.4 and 3.2), or nil where the 304 is for another. The
// body is shared.
func (a *Answer) freshened(by *Answer) *Answer {
	if etag, n := by.Field("etag"); n > 0 {
		own, _ := a.Field("etag")
		if !weakEqual(own, etag) || !isWeak(etag) && isWeak(own) {
			return nil
		}
	} else if modified, n := by.Field("last-modified"); n > 0 {
		if own, had := a.Field("last-modified"); had > 0 && !bytes.Equal(own, modified) {
			return nil
		}
	}
	return a.updated(by)
}

// updated returns the answer with each field that by has replaced. Date is
// replaced in any case: where by has none, it is from now.
func (a *Answer) updated(by *Answer) *Answer {
	var b headBuilder
	names := [][]byte{[]byte("date")}
	for i := range by.count {
		name, _ := by.FieldAt(i)
		names = append(names, name)
	}
	replaced := func(name []byte) bool {
		return slices.ContainsFunc(names, func(other []byte) bool { return equalFold(name, other) }) && !fixed(name)
	}
	for i := range a.count {
		if name, value := a.FieldAt(i); !replaced(name) {
			b.add(name, value)
		}
	}
	for i := range by.count {
		if name, value := by.FieldAt(i); !fixed(name) {
			b.add(name, value)
		}
	}
	return b.answer(a.status, a.body)
}

// fixed tells whether a field is about the bytes of the body that is stored,
// so that no update may change it (RFC 9111 section 3.2).
func fixed(name []byte) bool {
	for _, f := range [...]string{"content-length", "content-range", "content-encoding", "content-md5", "content-digest"} {
		if equalFold(name, f) {
			return true
		}
	}
	return false
}

// sameRepresentation tells whether an answer to HEAD speaks of the stored
// answer (RFC 9111 section 4.3.5): what both say of validators and of the
// length agrees.
func (a *Answer) sameRepresentation(head *Answer) bool {
	for _, name := range [...]string{"etag", "last-modified"} {
		own, n := a.Field(name)
		if other, m := head.Field(name); m > 0 && (n == 0 || !bytes.Equal(own, other)) {
			return false
		}
	}
	if length, n := head.Field("content-length"); n > 0 {
		want, ok := parseDigits(length)
		return ok && want == int64(len(a.body))
	}
	return true
}
