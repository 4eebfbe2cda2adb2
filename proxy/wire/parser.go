package wire

import "sync"

// Limits bound what a connection may send. Zero sizes stand for the defaults
// named here.
type Limits struct {
	MaxHead   int   // bytes of a head: request line, fields and the empty line; also of a trailer section; 32 KiB. The transport's buffer must be larger
	MaxTarget int   // bytes of a request target; 8 KiB
	MaxLine   int   // bytes of a field line without its CRLF; 16 KiB
	MaxFields int   // lines of a header or trailer section; 128
	MaxBody   int64 // bytes of a request's content; 0 for no limit

	HTTPS bool // whether targets in absolute form are https URIs rather than http ones

	Timeouts
	// IdleError is what Read gives when nothing came within Timeouts.Idle.
	// Nil means io.EOF. The connection is as good as before.
	IdleError error
}

func (l *Limits) setDefaults() {
	for _, d := range []struct {
		n     *int
		value int
	}{{&l.MaxHead, 32 << 10}, {&l.MaxTarget, 8 << 10}, {&l.MaxLine, 16 << 10}, {&l.MaxFields, 128}} {
		if *d.n <= 0 {
			*d.n = d.value
		}
	}
}

// position is where in a message the parser stands: what the next byte may
// be.
type position uint8

const (
	// atStart is before the first byte of a message.
	atStart position = iota

	// Within a header section, from the request line on, or a trailer
	// section.
	atMethod
	atTarget
	atScheme
	atAuthority
	atPathStart // after the path's first slash
	atPath
	atQuery
	atEscape1 // after a percent sign
	atEscape2
	atVersion
	atRequestLF
	atField // at the start of a field line
	atName
	atValue
	atFieldLF
	atSectionLF // after the CR of the empty line

	// Within a body.
	atBody
	atChunkSize
	atChunkSizeLF
	atChunk
	atChunkCR
	atChunkLF

	// atEnd is after the last message of the connection.
	atEnd
)

// parser follows the messages of one connection. Its zero value with limits
// set is at the start of the first message.
type parser struct {
	limits   Limits
	carry    *carry // nil until an element is cut by the end of a read, or a target is absolute
	at       position
	returns  position // where a percent-encoded byte leads back to
	kind     kind     // of the field at atValue
	matched  uint8    // bytes of the scheme or version seen, digits of a chunk size
	section  int      // bytes of the header or trailer section before this feed
	body     int64    // bytes of chunks announced so far
	messages uint64   // complete heads
	message  message
}

// message is what the parser knows of the current message. It starts from
// zero with each.
type message struct {
	http10, absolute, host, length, chunked, expects, closes, keeps, trailer bool

	target int   // bytes of the target so far
	fields int   // lines of the section so far
	line   int   // bytes of the field line so far
	span   int   // bytes of the method, name or value so far
	left   int64 // bytes of the body or chunk to come
}

// carry keeps an element that a read has cut off until the rest comes, and
// the authority of a target until the Host field does.
type carry struct {
	kept        int
	authorities int // bytes of authority
	element     [maxSpecial]byte
	authority   [maxHost]byte
}

var carries = sync.Pool{New: func() any { return new(carry) }}

// inBody tells whether the next byte belongs to a message whose head is over.
func (p *parser) inBody() bool {
	return p.at >= atBody && p.at != atEnd || p.message.trailer && p.at != atStart && p.at != atEnd
}

// feed follows the next bytes of a connection and gives the number of those
// before the fault, all if there is none. After a fault it must not be
// called again.
func (p *parser) feed(b []byte) (good int, fault *Error) {
	i := 0
	for i < len(b) {
		if p.at >= atBody {
			n, fault := p.feedBody(b[i:])
			if i += n; fault != nil {
				return i, fault
			}
			continue
		}
		window := b[i:]
		if room := p.limits.MaxHead - p.section; len(window) > room {
			window = window[:room]
		}
		n, fault := p.feedSection(window)
		if i += n; fault != nil {
			return i, fault
		}
		if p.at == atStart || p.at >= atBody {
			p.section = 0
			continue
		}
		if p.section += n; i < len(b) {
			if p.at <= atEscape2 {
				return i, errTargetLong
			}
			return i, errHead
		}
	}
	return i, nil
}

// feedSection follows the bytes of a header or trailer section until its end
// or the end of b.
func (p *parser) feedSection(b []byte) (good int, fault *Error) {
	m := &p.message
	i := 0
	for i < len(b) {
		switch p.at {
		case atStart:
			if class[b[i]]&classToken == 0 {
				return i, startByte(b[i])
			}
			*m = message{}
			p.at = atMethod

		case atMethod:
			n := span(b[i:], classToken)
			if m.span += n; m.span > maxMethod {
				return i + n - (m.span - maxMethod), errMethodLong
			}
			if i+n == len(b) {
				p.keep(b[i:])
				return len(b), nil
			}
			method := p.take(b[i : i+n])
			if i += n; b[i] != ' ' {
				return i, methodByte(b[i])
			}
			if fault := checkMethod(method); fault != nil {
				return i, fault
			}
			i++
			p.at = atTarget

		case atTarget, atScheme, atAuthority, atPathStart, atPath, atQuery, atEscape1, atEscape2:
			n, fault := p.feedTarget(b[i:])
			if i += n; fault != nil {
				return i, fault
			}

		case atVersion:
			const usual = "HTTP/1.1\r\n"
			if p.matched == 0 && len(b)-i >= len(usual) && string(b[i:i+len(usual)]) == usual {
				i += len(usual)
				p.at = atField
				continue
			}
			if fault := p.versionByte(b[i]); fault != nil {
				return i, fault
			}
			i++

		case atRequestLF, atFieldLF:
			if b[i] != '\n' {
				return i, errBareCR
			}
			i++
			p.at = atField

		case atField:
			c := b[i]
			if c == '\r' {
				i++
				p.at = atSectionLF
				continue
			}
			if class[c]&classToken == 0 {
				return i, p.fieldByte(c)
			}
			if m.fields == p.limits.MaxFields {
				return i, errFields
			}
			m.fields++
			m.line, m.span = 0, 0
			p.at = atName

		case atName:
			n := span(b[i:], classToken)
			if m.line += n; m.line > p.limits.MaxLine {
				return i + n - (m.line - p.limits.MaxLine), errLine
			}
			if i+n == len(b) {
				p.keep(b[i:])
				return len(b), nil
			}
			name := p.take(b[i : i+n])
			if i += n; b[i] != ':' {
				return i, nameByte(b[i])
			}
			if m.trailer {
				p.kind, fault = kindOther, TrailerName(name)
			} else {
				p.kind, fault = kindOf(name)
			}
			if fault != nil {
				return i, fault
			}
			if m.line++; m.line > p.limits.MaxLine {
				return i, errLine
			}
			i++
			p.at = atValue

		case atValue:
			n := spanValue(b[i:])
			if m.line += n; m.line > p.limits.MaxLine {
				return i + n - (m.line - p.limits.MaxLine), errLine
			}
			if p.kind != kindOther {
				if m.span += n; m.span > maxSpecial {
					return i + n - (m.span - maxSpecial), errLine
				}
				if i+n == len(b) {
					p.keep(b[i:])
				} else if b[i+n] == '\r' {
					if fault := p.field(p.kind, trim(p.take(b[i:i+n]))); fault != nil {
						return i + n, fault
					}
				}
			}
			if i += n; i == len(b) {
				return i, nil
			}
			if b[i] != '\r' {
				return i, valueByte(b[i])
			}
			i++
			p.at = atFieldLF
			if i < len(b) && b[i] == '\n' {
				i++
				p.at = atField
			}

		case atSectionLF:
			if b[i] != '\n' {
				return i, errBareCR
			}
			if fault := p.endSection(); fault != nil {
				return i, fault
			}
			return i + 1, nil
		}
	}
	return i, nil
}

// keep stores the part of an element that a read has cut off, as far as it
// can matter: longer names are none that are known here.
func (p *parser) keep(part []byte) {
	if p.carry == nil {
		p.carry = carries.Get().(*carry)
	}
	p.carry.kept += copy(p.carry.element[p.carry.kept:], part)
}

// take gives the whole of an element of which b is the end.
func (p *parser) take(b []byte) []byte {
	if p.carry == nil || p.carry.kept == 0 {
		return b
	}
	p.keep(b)
	whole := p.carry.element[:p.carry.kept]
	p.carry.kept = 0
	return whole
}

// endSection looks at a head, or trailer section, as a whole and decides
// where the body ends (RFC 9112 section 6.3).
func (p *parser) endSection() *Error {
	m := &p.message
	if !m.trailer {
		switch {
		case !m.host:
			return errHostMissing
		case p.limits.MaxBody > 0 && m.left > p.limits.MaxBody:
			return errBody
		}
		p.messages++
	}
	if p.carry != nil {
		p.carry.kept, p.carry.authorities = 0, 0
		carries.Put(p.carry)
		p.carry = nil
	}
	switch {
	case m.trailer:
		p.finish()
	case m.chunked:
		p.at, p.matched, p.body = atChunkSize, 0, 0
	case m.left > 0:
		p.at = atBody
	default:
		p.finish()
	}
	return nil
}

// finish ends a message. What may follow depends on what it said of the
// connection (RFC 9112 section 9.3).
func (p *parser) finish() {
	p.at = atStart
	if p.message.closes || p.message.http10 && !p.message.keeps {
		p.at = atEnd
	}
}

// startByte names the fault of a byte that cannot begin a message.
func startByte(c byte) *Error {
	switch c {
	case '\r', '\n':
		return errEmptyLine
	case ' ', '\t':
		return errLeadingSpace
	case 0x16: // a handshake record (RFC 8446 section 5.1)
		return errTLS
	}
	return errMethodByte
}

// methodByte names the fault of a byte that cannot follow a method.
func methodByte(c byte) *Error {
	switch c {
	case '\r', '\n':
		return errNoTarget
	case '\t':
		return errSpaces
	}
	return errMethodByte
}

// fieldByte names the fault of a byte that cannot begin a field line.
func (p *parser) fieldByte(c byte) *Error {
	switch c {
	case ' ', '\t':
		if p.message.fields == 0 {
			return errFirstSpace
		}
		return errFolding
	case ':':
		return errNoName
	case '\n':
		return errBareLF
	}
	return errNameByte
}

// nameByte names the fault of a byte that cannot follow a field name.
func nameByte(c byte) *Error {
	switch c {
	case ' ', '\t':
		return errColonSpace
	case '\r', '\n':
		return errNoColon
	}
	return errNameByte
}
