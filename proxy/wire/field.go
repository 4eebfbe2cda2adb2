package wire

// kind tells fields whose values are read here from those that are not.
type kind uint8

const (
	kindOther kind = iota
	kindHost
	kindLength
	kindCoding
	kindConnection
	kindExpect
	kindTrailer
)

// maxSpecial bounds, in bytes, the value of a field that is read here. No
// such value has a use for more, and a line that arrives in pieces is kept
// until it is whole.
const maxSpecial = 512

// kindOf recognizes the name of a field. Names that frame a message but for
// an underscore are at fault.
func kindOf[T text](name T) (kind, *Error) {
	switch len(name) {
	case len("host"):
		if is(name, "host") {
			return kindHost, nil
		}
	case len("expect"):
		if is(name, "expect") {
			return kindExpect, nil
		}
	case len("trailer"):
		if is(name, "trailer") {
			return kindTrailer, nil
		}
	case len("connection"):
		if is(name, "connection") {
			return kindConnection, nil
		}
	case len("content-length"):
		if isLoosely(name, "content-length") {
			return hyphened(kindLength, name[len("content")])
		}
	case len("transfer-encoding"):
		if isLoosely(name, "transfer-encoding") {
			return hyphened(kindCoding, name[len("transfer")])
		}
	}
	return kindOther, nil
}

func hyphened(k kind, c byte) (kind, *Error) {
	if c == '_' {
		return kindOther, errUnderscore
	}
	return k, nil
}

// field reads the value of a field that says how the message is framed and
// routed, and what becomes of the connection.
func (p *parser) field(k kind, value []byte) *Error {
	m := &p.message
	switch k {
	case kindHost:
		if m.host {
			return errHostRepeated
		}
		m.host = true
		if _, _, fault := Host(value); fault != nil {
			return fault
		}
		if m.absolute && !sameAuthority(value, p.carry.authority[:p.carry.authorities]) {
			return errAuthority
		}
	case kindLength:
		if m.length {
			return errLengthRepeated
		}
		m.length = true
		if m.chunked {
			return errBoth
		}
		var fault *Error
		m.left, fault = contentLength(value)
		return fault
	case kindCoding:
		if m.chunked {
			return errCodingRepeated
		}
		m.chunked = true
		switch {
		case m.http10:
			return errCodingOld
		case m.length:
			return errBoth
		case !is(value, "chunked"):
			return errCoding
		}
	case kindConnection:
		return m.connection(value)
	case kindExpect:
		if m.expects || !is(value, "100-continue") {
			return errExpect
		}
		m.expects = true
	case kindTrailer:
		return trailerNames(value)
	}
	return nil
}

// contentLength reads a Content-Length (RFC 9110 section 8.6). Eighteen
// digits are below 2^63 whatever they are.
func contentLength(value []byte) (int64, *Error) {
	if len(value) == 0 {
		return 0, errLength
	}
	n := int64(0)
	for i, c := range value {
		if c < '0' || c > '9' {
			return 0, errLength
		}
		if i == 18 {
			return 0, errLengthOverflow
		}
		n = n*10 + int64(c-'0')
	}
	return n, nil
}

// connection reads the options of a Connection field (RFC 9110 section
// 7.6.1).
func (m *message) connection(list []byte) *Error {
	for more := true; more; {
		var option []byte
		option, list, more = element(list)
		if len(option) == 0 || !within(option, classToken) {
			return errConnection
		}
		switch {
		case is(option, "close"):
			m.closes = true
		case is(option, "keep-alive"):
			m.keeps = true
		case is(option, "host"), is(option, "authorization"), is(option, "cookie"),
			isLoosely(option, "content-length"), isLoosely(option, "transfer-encoding"):
			return errConnectionFor
		}
	}
	return nil
}

// trailerNames checks a Trailer field (RFC 9110 section 6.6.2).
func trailerNames(list []byte) *Error {
	for more := true; more; {
		var name []byte
		name, list, more = element(list)
		if len(name) == 0 || !within(name, classToken) {
			return errTrailer
		}
		if fault := TrailerName(name); fault != nil {
			return fault
		}
	}
	return nil
}

// element takes the first element off a comma-separated list (RFC 9110
// section 5.6.1); more tells whether another one follows.
func element(list []byte) (first, rest []byte, more bool) {
	for i, c := range list {
		if c == ',' {
			return trim(list[:i]), list[i+1:], true
		}
	}
	return trim(list), nil, false
}
