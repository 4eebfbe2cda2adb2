package policy

import (
	"slices"
	"strings"
	"unicode/utf8"

	"hopgate/config"
	"hopgate/token"
)

// Header is a field that a template sets.
type Header struct {
	Name  string
	Value []byte
}

// Outgoing is what of a request is sent upstream. Reuse it for its memory;
// what it holds is valid until it is used again.
type Outgoing struct {
	Path    []byte   // escaped, starts with a slash
	Query   []byte   // without the question mark
	Headers []Header // in the order of their names
}

// rewrite says how a route changes what it forwards.
type rewrite struct {
	reads   bool     // the templates read the query, fields or body
	path    template // nil: the client's path
	query   []setting
	headers []setting
	params  []string // query parameters that are forwarded; nil: all
}

// setting is a query parameter or field that a template sets.
type setting struct {
	name   string
	escape []byte // the name as it stands in a query
	value  template
}

var (
	errSegment = failure("a value can't be a segment of a path")
	errPath    = failure("the path for the upstream has an empty or a dot segment")
	errValue   = failure("a value can't stand in a header field")
)

// Rewrite makes what is sent upstream, for a request that [Route.Decide]
// allowed. Path and query are forwarded byte for byte where the configuration
// does not change them, and parameters that are kept stay as they were and in
// their order; those that are set follow in the order of their names.
//
// An error is an [*Error]: a template can't be evaluated, or what it gives
// can't stand where it should. The request must not be sent then.
func (r *Route) Rewrite(out *Outgoing, m *Match, in *Request, who *token.Principal) error {
	e := &m.eval
	e.begin(r, m, in, who)
	err := r.outgoing(out, e)
	e.end()
	return err
}

func (r *Route) outgoing(out *Outgoing, e *evaluation) error {
	if r.rewrite.reads {
		if err := e.read(); err != nil {
			return err
		}
	}
	if err := r.outgoingPath(out, e); err != nil {
		return err
	}
	if err := r.outgoingQuery(out, e); err != nil {
		return err
	}
	return r.outgoingHeaders(out, e)
}

func (r *Route) outgoingPath(out *Outgoing, e *evaluation) error {
	out.Path = out.Path[:0]
	if r.rewrite.path == nil {
		out.Path = append(out.Path, e.in.Path...)
		return nil
	}
	for i := range r.rewrite.path {
		p := &r.rewrite.path[i]
		if p.value == nil {
			out.Path = append(out.Path, p.text...)
			continue
		}
		if p.raw >= 0 && p.raw < len(e.values) {
			// It is canonical already; a rest keeps its slashes.
			out.Path = append(out.Path, e.values[p.raw]...)
			continue
		}
		s, err := p.value(e)
		if err != nil {
			return err
		}
		if !validSegment(s) {
			return errSegment
		}
		out.Path = appendSegment(out.Path, s)
	}
	if !safePath(out.Path) {
		return errPath
	}
	return nil
}

// validSegment tells whether a value can be inserted into a path: what a
// request's own path could not say is not said for it either.
func validSegment(s string) bool {
	if s == "" || s == "." || s == ".." || !utf8.ValidString(s) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == 0x7f || c == '/' || c == '\\' {
			return false
		}
	}
	return true
}

func (r *Route) outgoingQuery(out *Outgoing, e *evaluation) error {
	raw := e.in.RawQuery
	if r.rewrite.params == nil && len(r.rewrite.query) == 0 && len(e.in.DropQuery) == 0 {
		out.Query = append(out.Query[:0], raw...)
		return nil
	}
	out.Query = out.Query[:0]
	if strings.IndexByte(raw, ';') >= 0 {
		return errQuery
	}
	for raw != "" {
		var p pair
		p, raw = nextPair(raw)
		if p.whole == "" {
			continue
		}
		var buf nameBuffer
		name, ok := decodeName(&buf, p.name)
		if !ok {
			return errQuery
		}
		if r.forwards(name, e.in.DropQuery) {
			out.Query = appendPair(out.Query, p.whole, nil)
		}
	}
	for i := range r.rewrite.query {
		q := &r.rewrite.query[i]
		out.Query = appendPair(out.Query, "", q.escape)
		out.Query = append(out.Query, '=')
		for j := range q.value {
			s, err := q.value[j].eval(e)
			if err != nil {
				return err
			}
			out.Query = appendSegment(out.Query, s)
		}
	}
	return nil
}

func appendPair(dst []byte, whole string, name []byte) []byte {
	if len(dst) > 0 {
		dst = append(dst, '&')
	}
	dst = append(dst, whole...)
	return append(dst, name...)
}

// forwards tells whether the client's parameter of a name goes upstream. One
// that a server could take for a parameter that is set or dropped does not.
func (r *Route) forwards(name []byte, drop []string) bool {
	for _, d := range drop {
		if alike(name, d) {
			return false
		}
	}
	for i := range r.rewrite.query {
		if alike(name, r.rewrite.query[i].name) {
			return false
		}
	}
	if r.rewrite.params == nil {
		return true
	}
	for _, p := range r.rewrite.params {
		if string(name) == p {
			return true
		}
	}
	return false
}

func (r *Route) outgoingHeaders(out *Outgoing, e *evaluation) error {
	n := len(r.rewrite.headers)
	out.Headers = slices.Grow(out.Headers[:0], n)[:n]
	for i := range r.rewrite.headers {
		h := &r.rewrite.headers[i]
		o := &out.Headers[i]
		o.Name, o.Value = h.name, o.Value[:0]
		for j := range h.value {
			s, err := h.value[j].eval(e)
			if err != nil {
				out.Headers = out.Headers[:0]
				return err
			}
			o.Value = append(o.Value, s...)
		}
		if !validValue(o.Value) {
			out.Headers = out.Headers[:0]
			return errValue
		}
	}
	return nil
}

// eval gives the text of a piece.
func (p *piece) eval(e *evaluation) (string, error) {
	if p.value == nil {
		return p.text, nil
	}
	return p.value(e)
}

// validValue tells whether a text is a field value (RFC 9110 section 5.5).
func validValue(v []byte) bool {
	for i, c := range v {
		blank := c == ' ' || c == '\t'
		if c < ' ' && c != '\t' || c == 0x7f || blank && (i == 0 || i == len(v)-1) {
			return false
		}
	}
	return true
}

// templates compiles what changes on the way to the upstream.
func (b *builder) templates() {
	q := &b.r.Config.Request
	rw := &b.r.rewrite
	if len(q.Params) > 0 {
		rw.params = q.Params
	}
	if q.Path.Text != "" {
		var spans []span
		if rw.path, spans = b.template(q.Path); spans != nil {
			b.checkPath(q.Path, spans)
		}
	}
	for _, name := range sortedKeys(q.Query) {
		value, _ := b.template(q.Query[name])
		rw.query = append(rw.query, setting{name, appendSegment(nil, name), value})
	}
	for _, name := range sortedKeys(q.Headers) {
		value, spans := b.template(q.Headers[name])
		for i, s := range spans {
			text := s.text
			if s.dynamic {
				continue
			}
			// White space is only wrong at the ends of the whole value.
			if i > 0 {
				text = "x" + text
			}
			if i < len(spans)-1 {
				text += "x"
			}
			if !validValue([]byte(text)) {
				b.errs.Addf(q.Headers[name].Pos(s.start), "the value of field %s has a control character, or white space at its start or end", name)
			}
		}
		rw.headers = append(rw.headers, setting{name: name, value: value})
	}
}

// checkPath checks the text of a path template around its expressions.
func (b *builder) checkPath(t config.Template, spans []span) {
	var sample strings.Builder
	for _, s := range spans {
		if s.dynamic {
			sample.WriteByte('x')
		} else {
			sample.WriteString(s.text)
		}
	}
	path := sample.String()
	if path[0] != '/' {
		b.errs.Addf(t.Pos(0), "the path for the upstream should start with a slash")
		return
	}
	segments := strings.Split(path[1:], "/")
	for i, s := range segments {
		fault := segmentFault(s)
		if s == "" && i < len(segments)-1 {
			fault = "it is empty"
		}
		if fault != "" {
			b.errs.Addf(t.Pos(0), "segment %d of the path for the upstream can't be sent: %s", i+1, fault)
		}
	}
}
