package upstream

import (
	"bytes"
	"math"
)

const (
	// maxHead is the largest head of an answer, interim heads excluded.
	maxHead = 64 << 10
	// maxFields is the most field lines of an answer.
	maxFields = 256
	// maxInterim is the most interim (1xx) answers before the final one.
	maxInterim = 32
)

// span is a part of a response's buffer. It holds offsets because the buffer
// may move while it grows.
type span struct{ from, to int32 }

func (s span) of(b []byte) []byte { return b[s.from:s.to:s.to] }

type field struct{ name, value span }

// head is the head of an answer (RFC 9112 sections 4 and 5) and the state of
// reading it: parse goes on where it stopped when more bytes have come, so
// that an answer that arrives byte by byte costs no more than one that
// arrives at once.
type head struct {
	fields  []field // end-to-end fields
	options []span  // values of Connection fields
	upgrade []span  // values of Upgrade fields

	start int // where the head starts in the buffer
	line  int // where the line being read starts
	scan  int // up to where its end was looked for
	lines int // field lines so far

	status     int
	http10     bool
	statusRead bool
	chunked    bool
	codings    int
	length     int64 // -1: not said
	close      bool
}

// reset makes ready to read a head that starts at offset start.
func (h *head) reset(start int) {
	*h = head{
		fields: h.fields[:0], options: h.options[:0], upgrade: h.upgrade[:0],
		start: start, line: start, scan: start, length: -1,
	}
}

// parse reads on in b, the buffer so far. done tells that the head is
// complete; it ends at h.line then.
func (h *head) parse(b []byte) (done bool, err error) {
	for {
		if h.scan == h.line {
			if done, err = h.usual(b); done || err != nil {
				return done, err
			}
		}
		i := bytes.IndexByte(b[h.scan:], '\n')
		if i < 0 {
			h.scan = len(b)
			if h.scan-h.start > maxHead {
				return false, errHeadTooLarge
			}
			return false, h.early(b)
		}
		end := h.scan + i + 1
		if end-h.start > maxHead {
			return false, errHeadTooLarge
		}
		line := b[h.line:end]
		if len(line) < 2 || line[len(line)-2] != '\r' {
			return false, errBareLF
		}
		line = line[:len(line)-2]
		switch {
		case !h.statusRead:
			err = h.statusLine(line)
		case len(line) == 0:
			h.line, h.scan = end, end
			return true, h.finish(b)
		default:
			err = h.fieldLine(b, line)
		}
		if err != nil {
			return false, err
		}
		h.line, h.scan = end, end
	}
}

// usual reads on in b as long as the lines have the form that nearly all have,
// in one pass over each. It leaves off before the first one that it does not
// see to be well-formed at once, which parse then reads, judging what is
// wrong with it, if anything.
func (h *head) usual(b []byte) (done bool, err error) {
	const ok = "HTTP/1.1 200 OK\r\n"
	b = b[:min(len(b), h.start+maxHead)]
	at := h.line
	if !h.statusRead {
		if len(b)-at < len(ok) || string(b[at:at+len(ok)]) != ok {
			return false, nil
		}
		h.status, h.statusRead = 200, true
		at += len(ok)
	}
	for ; h.lines < maxFields; h.lines++ {
		h.line, h.scan = at, at
		mid := at
		for mid < len(b) && token[b[mid]] {
			mid++
		}
		if mid+1 >= len(b) {
			return false, nil
		}
		if mid == at {
			if b[at] != '\r' || b[at+1] != '\n' {
				return false, nil
			}
			h.line, h.scan = at+2, at+2
			return true, h.finish(b)
		}
		from := mid + 2
		if b[mid] != ':' || b[mid+1] != ' ' {
			return false, nil
		}
		to := controlIn(b, from)
		if to+1 >= len(b) || b[to] != '\r' || b[to+1] != '\n' || to == from || b[from] == ' ' || b[to-1] == ' ' {
			return false, nil
		}
		kept := true
		if connectionLength(mid - at) {
			if kept, err = h.connectionField(b[at:mid], b[from:to], b); err != nil {
				h.lines++
				return false, err
			}
		}
		if kept {
			h.fields = append(h.fields, field{span{int32(at), int32(mid)}, span{int32(from), int32(to)}})
		}
		at = to + 2
	}
	h.line, h.scan = at, at
	return false, nil
}

const (
	errHeadTooLarge  = invalidError("the head of the answer is too large")
	errManyFields    = invalidError("the answer has too many fields")
	errBareLF        = invalidError("a line of the head does not end with CRLF (RFC 9112 section 2.2)")
	errStatusLine    = invalidError("malformed status line (RFC 9112 section 4)")
	errVersion       = invalidError("the answer is neither HTTP/1.1 nor HTTP/1.0")
	errFold          = invalidError("obsolete line folding (RFC 9112 section 5.2)")
	errNoColon       = invalidError("a field line without a colon (RFC 9112 section 5)")
	errFieldName     = invalidError("a field name that is no token (RFC 9112 section 5.1)")
	errControl       = invalidError("a control character in the head (RFC 9110 section 5.5)")
	errLength        = invalidError("malformed or contradicting Content-Length (RFC 9112 section 6.3)")
	errCoding        = invalidError("a Transfer-Encoding other than chunked (RFC 9112 section 6.1)")
	errBothLengths   = invalidError("both Content-Length and Transfer-Encoding (RFC 9112 section 6.3)")
	errCoding10      = invalidError("Transfer-Encoding in an HTTP/1.0 answer (RFC 9112 section 6.1)")
	errConnection    = invalidError("malformed Connection field (RFC 9110 section 7.6.1)")
	errInterim       = invalidError("too many interim answers")
	errInterim10     = invalidError("an interim answer of HTTP/1.0 (RFC 9110 section 15.2)")
	errUnasked       = invalidError("101 without a request to upgrade (RFC 9110 section 15.2.2)")
	errUpgradeFields = invalidError("101 without the Connection and Upgrade fields of the protocol asked for (RFC 9110 section 7.8)")
)

// early refuses what can never become an HTTP answer without waiting for the
// end of its first line.
func (h *head) early(b []byte) error {
	if h.statusRead {
		return nil
	}
	const version = "HTTP/1."
	got := b[h.line:]
	if len(got) > len(version) {
		got = got[:len(version)]
	}
	if string(got) != version[:len(got)] {
		return errVersion
	}
	return nil
}

// statusLine reads HTTP-version SP 3DIGIT SP [reason-phrase]. The second
// space may lack where no reason follows, as many servers write it.
func (h *head) statusLine(l []byte) error {
	const shape = "HTTP/1.1 200"
	if len(l) < len(shape) || string(l[:7]) != "HTTP/1." || l[7] != '0' && l[7] != '1' {
		return errVersion
	}
	if l[8] != ' ' || l[9] < '1' || l[9] > '5' || !digit(l[10]) || !digit(l[11]) {
		return errStatusLine
	}
	if len(l) > len(shape) && l[12] != ' ' {
		return errStatusLine
	}
	if hasControl(l[12:]) {
		return errControl
	}
	h.http10 = l[7] == '0'
	h.status = int(l[9]-'0')*100 + int(l[10]-'0')*10 + int(l[11]-'0')
	h.statusRead = true
	return nil
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

// fieldLine reads one field line, which is a part of b, and keeps it where
// it is an end-to-end field.
func (h *head) fieldLine(b, l []byte) error {
	if h.lines++; h.lines > maxFields {
		return errManyFields
	}
	n := 0
	for n < len(l) && token[l[n]] {
		n++
	}
	switch {
	case n == len(l):
		return errNoColon
	case n == 0 && (l[0] == ' ' || l[0] == '\t'):
		return errFold
	case n == 0 || l[n] != ':':
		return errFieldName
	}
	value := trimOWS(l[n+1:])
	if hasControl(value) {
		return errControl
	}
	name := l[:n]
	kept, err := h.connectionField(name, value, b)
	if err != nil || !kept {
		return err
	}
	h.fields = append(h.fields, field{
		name:  span{int32(h.line), int32(h.line + n)},
		value: h.span(b, value),
	})
	return nil
}

// span gives the place of part in b; part is a part of b.
func (h *head) span(b, part []byte) span {
	// Both end at the same capacity, which tells where part starts.
	from := cap(b) - cap(part)
	return span{int32(from), int32(from + len(part))}
}

// connectionLength tells whether a name of n letters may be one of those that
// connectionField looks for.
func connectionLength(n int) bool {
	const lengths = 1<<len("te") | 1<<len("trailer") | 1<<len("connection") | 1<<len("content-length") |
		1<<len("proxy-connection") | 1<<len("transfer-encoding") | 1<<len("proxy-authenticate") | 1<<len("proxy-authorization")
	return n < 64 && lengths>>uint(n)&1 != 0
}

// connectionField reads the fields that are about this connection and this
// message's framing, and tells whether the field is an end-to-end one.
func (h *head) connectionField(name, value, b []byte) (kept bool, err error) {
	switch len(name) {
	case len("te"):
		return !equalFold(name, "te"), nil
	case len("trailer"):
		if equalFold(name, "upgrade") {
			h.upgrade = append(h.upgrade, h.span(b, value))
			return false, nil
		}
		return !equalFold(name, "trailer"), nil
	case len("connection"):
		if string(name) == "Connection" || equalFold(name, "connection") {
			h.options = append(h.options, h.span(b, value))
			return false, nil
		}
		return !equalFold(name, "keep-alive"), nil
	case len("content-length"):
		if string(name) != "Content-Length" && !equalFold(name, "content-length") {
			return true, nil
		}
		n, ok := parseLength(value)
		if !ok || h.length >= 0 && h.length != n {
			return false, errLength
		}
		h.length = n
		return false, nil
	case len("proxy-connection"):
		return !equalFold(name, "proxy-connection"), nil
	case len("transfer-encoding"):
		if string(name) != "Transfer-Encoding" && !equalFold(name, "transfer-encoding") {
			return true, nil
		}
		if h.codings++; h.codings > 1 || !equalFold(value, "chunked") {
			return false, errCoding
		}
		h.chunked = true
		return false, nil
	case len("proxy-authenticate"):
		return !equalFold(name, "proxy-authenticate"), nil
	case len("proxy-authorization"):
		return !equalFold(name, "proxy-authorization"), nil
	}
	return true, nil
}

// parseLength reads 1*DIGIT.
func parseLength(v []byte) (int64, bool) {
	if len(v) == 0 || len(v) > 19 {
		return 0, false
	}
	var n uint64
	for _, c := range v {
		if !digit(c) {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return int64(n), n <= math.MaxInt64
}

// finish holds the head against itself once it is complete.
func (h *head) finish(b []byte) error {
	if h.chunked && h.length >= 0 {
		return errBothLengths
	}
	if h.chunked && h.http10 {
		return errCoding10
	}
	h.close = h.http10
	for _, o := range h.options {
		if string(o.of(b)) == "keep-alive" {
			continue
		}
		if err := h.connectionOptions(b, o.of(b)); err != nil {
			return err
		}
	}
	return nil
}

// connectionOptions removes the fields that a Connection field names (RFC
// 9110 section 7.6.1).
func (h *head) connectionOptions(b, list []byte) error {
	for len(list) > 0 {
		var option []byte
		if i := bytes.IndexByte(list, ','); i >= 0 {
			option, list = list[:i], list[i+1:]
		} else {
			option, list = list, nil
		}
		option = trimOWS(option)
		switch {
		case len(option) == 0 || equalFold(option, "keep-alive"):
		case equalFold(option, "close"):
			h.close = true
		case !isToken(option):
			return errConnection
		default:
			kept := h.fields[:0]
			for _, f := range h.fields {
				if !foldedEqual(f.name.of(b), option) {
					kept = append(kept, f)
				}
			}
			h.fields = kept
		}
	}
	return nil
}

func foldedEqual(a, b []byte) bool { return len(a) == len(b) && bytes.EqualFold(a, b) }

// switches tells whether a 101 names the protocol that was asked for.
func (h *head) switches(b []byte, protocol string) bool {
	return len(h.upgrade) == 1 && bytes.EqualFold(h.upgrade[0].of(b), []byte(protocol)) && h.lists(b, "upgrade")
}

// lists tells whether a Connection field has an option.
func (h *head) lists(b []byte, option string) bool {
	for _, o := range h.options {
		for part := range bytes.SplitSeq(o.of(b), []byte(",")) {
			if equalFold(trimOWS(part), option) {
				return true
			}
		}
	}
	return false
}
