package cache

import (
	"encoding/binary"
)

// An Answer is a complete answer: status, end-to-end fields and body. It is
// immutable and shared between requests; what its methods return is lent
// and must not be changed. The fields lie in one block of memory and the
// body in another, so that new fields can be put before an old body.
type Answer struct {
	status int
	count  int
	// head begins with two little-endian uint32 for each field, the ends of
	// its name and of its value, counted from the first byte after all of
	// these; then come the names and values themselves.
	head []byte
	body []byte
}

// The size of one field's ends in [Answer.head].
const endsSize = 8

// Build makes an Answer of copies of what it is given. fields calls add once
// for each field line, in order; nothing that it adds is kept. All names and
// values together are less than 4 GiB.
func Build(status int, fields func(add func(name, value []byte)), body []byte) *Answer {
	var b headBuilder
	if fields != nil {
		fields(b.add)
	}
	own := make([]byte, len(body))
	copy(own, body)
	return b.answer(status, own)
}

// headBuilder gathers field lines for an [Answer].
type headBuilder struct {
	ends []byte
	text []byte
}

func (b *headBuilder) add(name, value []byte) {
	b.text = append(b.text, name...)
	b.ends = binary.LittleEndian.AppendUint32(b.ends, uint32(len(b.text)))
	b.text = append(b.text, value...)
	b.ends = binary.LittleEndian.AppendUint32(b.ends, uint32(len(b.text)))
}

// answer makes an Answer of the lines gathered and of body, which it owns
// from now on.
func (b *headBuilder) answer(status int, body []byte) *Answer {
	head := make([]byte, len(b.ends)+len(b.text))
	copy(head[copy(head, b.ends):], b.text)
	return &Answer{status: status, count: len(b.ends) / endsSize, head: head, body: body}
}

// Status is the status code.
func (a *Answer) Status() int { return a.status }

// Len is the number of field lines.
func (a *Answer) Len() int { return a.count }

// FieldAt returns the field line i, with 0 <= i < Len().
func (a *Answer) FieldAt(i int) (name, value []byte) {
	ends, text := a.head[:a.count*endsSize], a.head[a.count*endsSize:]
	start := uint32(0)
	if i > 0 {
		start = binary.LittleEndian.Uint32(ends[i*endsSize-4:])
	}
	middle := binary.LittleEndian.Uint32(ends[i*endsSize:])
	end := binary.LittleEndian.Uint32(ends[i*endsSize+4:])
	return text[start:middle:middle], text[middle:end:end]
}

// Field returns the value of the first line of that name, without regard to
// case, and how many lines have the name.
func (a *Answer) Field(name string) (value []byte, n int) {
	for i := range a.count {
		if k, v := a.FieldAt(i); equalFold(k, name) {
			if n == 0 {
				value = v
			}
			n++
		}
	}
	return value, n
}

// Body is the whole body.
func (a *Answer) Body() []byte { return a.body }
