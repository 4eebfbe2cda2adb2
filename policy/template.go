package policy

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"

	"hopgate/config"
)

// template is text with expressions in it.
type template []piece

// piece is a part of a template: text, or what an expression gives.
type piece struct {
	text  string
	value textFunc
	raw   int // the template inserts this parameter of the path as it is, where it is not -1
}

// span is a part of a template's text.
type span struct {
	text    string
	start   int // byte offset in the template
	dynamic bool
}

// splitTemplate takes a template apart into text and {expression} parts. {{
// and }} stand for braces. A fault says where, in bytes.
func splitTemplate(s string) (spans []span, at int, fault string) {
	var lit strings.Builder
	start := 0
	flush := func() {
		if lit.Len() > 0 {
			spans = append(spans, span{text: lit.String(), start: start})
			lit.Reset()
		}
	}
	for i := 0; i < len(s); {
		switch {
		case strings.HasPrefix(s[i:], "{{"), strings.HasPrefix(s[i:], "}}"):
			lit.WriteByte(s[i])
			i += 2
		case s[i] == '}':
			return nil, i, "there is no { before this }; a brace as text is written }}"
		case s[i] == '{':
			flush()
			n := expressionEnd(s[i+1:])
			if n < 0 {
				return nil, i, "the expression has no closing }; a brace as text is written {{"
			}
			spans = append(spans, span{text: s[i+1 : i+1+n], start: i + 1, dynamic: true})
			i += n + 2
			start = i
		default:
			lit.WriteByte(s[i])
			i++
		}
	}
	flush()
	return spans, 0, ""
}

// expressionEnd finds the brace that ends an expression: one that is neither
// in a string (CEL's: '...', "...", with three quotes, or r"..." without
// escapes) nor closes a brace of the expression.
func expressionEnd(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '{':
			depth++
		case '}':
			if depth == 0 {
				return i
			}
			depth--
		case '"', '\'':
			n := stringEnd(s[i:], i > 0 && (s[i-1] == 'r' || s[i-1] == 'R') || i > 1 && (s[i-2] == 'r' || s[i-2] == 'R') && (s[i-1] == 'b' || s[i-1] == 'B'))
			if n < 0 {
				return -1
			}
			i += n - 1
		}
	}
	return -1
}

// stringEnd gives the length of the string literal that s starts with.
func stringEnd(s string, raw bool) int {
	quote := s[:1]
	if strings.HasPrefix(s, strings.Repeat(quote, 3)) {
		quote = s[:3]
	}
	for i := len(quote); i < len(s); i++ {
		if s[i] == '\\' && !raw {
			i++
		} else if strings.HasPrefix(s[i:], quote) {
			return i + len(quote)
		}
	}
	return -1
}

// template compiles a template once the route is known; the pieces are there
// when bind has run.
func (b *builder) template(t config.Template) (template, []span) {
	spans, at, fault := splitTemplate(t.Text)
	if fault != "" {
		b.errs.Addf(t.Pos(at), "%s", fault)
		return nil, nil
	}
	pieces := make(template, len(spans))
	for i, s := range spans {
		pieces[i] = piece{text: s.text, raw: -1}
		if !s.dynamic {
			continue
		}
		place := templatePlace(t, s)
		x := b.expression(s.text, place)
		if x.checked != nil && !x.isText() {
			b.errs.Addf(t.Pos(s.start), "the expression gives %s; in a template it should give a text, a whole number, true or false", x.out)
		}
		b.reads(x)
		if b.r.Config.Anonymous && x.who {
			b.warn(t.Pos(s.start), "nobody is signed in on an anonymous route, so that principal is empty in this template")
		}
		p := &pieces[i]
		b.binds = append(b.binds, func() {
			if err := p.bind(&binder{b.r, x}); err != nil {
				b.errs.Addf(t.Pos(s.start), "the expression can't be compiled: %v", err)
			}
		})
	}
	return pieces, spans
}

// reads notes that making the upstream request reads the query or fields.
func (b *builder) reads(x *expression) {
	if len(x.query) > 0 || x.wholeQuery != nil || len(x.headers) > 0 || x.body != nil || len(x.rules) > 0 {
		b.r.rewrite.reads = true
	}
}

// templatePlace gives the positions in an expression of a template.
func templatePlace(t config.Template, s span) place {
	return func(m mention) config.Position {
		at := 0
		for range m.line - 1 {
			i := strings.IndexByte(s.text[at:], '\n')
			if i < 0 {
				break
			}
			at += i + 1
		}
		for range m.column {
			_, n := utf8.DecodeRuneInString(s.text[at:])
			at += n
		}
		return t.Pos(s.start + at)
	}
}

// bind compiles the expression of a piece.
func (p *piece) bind(b *binder) error {
	e := b.x.checked.Expr()
	if e.Kind() == ast.SelectKind && isVariable(e.AsSelect().Operand(), varPath) {
		for i, name := range b.route.pattern.params {
			if name == e.AsSelect().FieldName() {
				p.raw = i
			}
		}
	}
	if p.value = b.text(e); p.value != nil {
		return nil
	}
	if f := b.claim(e); f != nil {
		p.value = func(e *evaluation) (string, error) {
			v, err := f(e)
			if err != nil {
				return "", err
			}
			return textOf(v)
		}
		return nil
	}
	prog, err := b.x.program(e)
	if err != nil {
		return err
	}
	f := interpreted(prog)
	p.value = func(e *evaluation) (string, error) {
		v, err := f(e)
		if err != nil {
			return "", err
		}
		return textOf(v)
	}
	return nil
}

var errNoText = failure("an expression of a template gives no text")

// textOf writes a value as a template shows it.
func textOf(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case types.String:
		return string(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case types.Int:
		return strconv.FormatInt(int64(v), 10), nil
	case types.Uint:
		return strconv.FormatUint(uint64(v), 10), nil
	case bool:
		return strconv.FormatBool(v), nil
	case types.Bool:
		return strconv.FormatBool(bool(v)), nil
	}
	return "", errNoText
}
