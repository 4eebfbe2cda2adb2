package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/parser"

	"hopgate/token"
)

// Part is a part of a rule with what it gave.
type Part struct {
	Text  string // in CEL
	Value string // in CEL, or "error: " and why there is none
	Depth int    // how deep the part stands in the rule; the rule itself is at 0
}

// RuleTrace tells how a rule of a route fared.
type RuleTrace struct {
	List   string // deny or allow
	Index  int    // its place there, from 0
	Text   string
	Result string // true, false, or "error: " and why
	Parts  []Part // the rule, its parts and theirs, each before its own parts
}

// Explain decides as [Route.Decide] does and tells what each part of each
// rule gives, also of rules that the decision did not need. What carries the
// caller's token is masked. There are no traces where the request was refused
// before any rule was asked.
func (r *Route) Explain(m *Match, in *Request, who *token.Principal) (Decision, []RuleTrace) {
	d := r.Decide(m, in, who)
	e := &m.eval
	e.begin(r, m, in, who)
	defer e.end()
	if e.read() != nil {
		return d, nil
	}
	var traces []RuleTrace
	for _, list := range []struct {
		name  string
		rules []rule
	}{{"deny", r.deny}, {"allow", r.allow}} {
		for i, rl := range list.rules {
			t := RuleTrace{List: list.name, Index: i, Text: rl.text}
			v, err := rl.eval(e)
			t.Result = result(v, err)
			// Only explanations need the expression itself: it is parsed
			// anew, so that nobody else has to keep it.
			if x := parse(rl.text); x.checked != nil {
				t.Parts = (&explainer{e: e}).parts(x, x.checked.Expr(), 0)
			}
			traces = append(traces, t)
		}
	}
	return d, traces
}

func result(v bool, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	return strconv.FormatBool(v)
}

// explainer evaluates the parts of expressions one by one.
type explainer struct {
	e     *evaluation
	rules []string // on the way, so that rules can't be gone into without end
}

// parts lists an expression and its parts, but for constants.
func (x *explainer) parts(of *expression, e ast.Expr, depth int) []Part {
	if e.Kind() == ast.LiteralKind && depth > 0 {
		return nil
	}
	text, err := parser.Unparse(e, of.checked.SourceInfo())
	if err != nil {
		return nil
	}
	list := []Part{{text, x.value(of, e), depth}}
	if e.Kind() == ast.SelectKind && isVariable(e.AsSelect().Operand(), varRules) {
		return append(list, x.ruleParts(e.AsSelect().FieldName(), depth+1)...)
	}
	for _, c := range children(e) {
		list = append(list, x.parts(of, c, depth+1)...)
	}
	return list
}

// ruleParts lists the parts of a named rule.
func (x *explainer) ruleParts(name string, depth int) []Part {
	rule := x.e.route.use(name)
	if rule == nil || slices.Contains(x.rules, name) {
		return nil
	}
	of := parse(rule.text)
	if of.checked == nil {
		return nil
	}
	x.rules = append(x.rules, name)
	defer func() { x.rules = x.rules[:len(x.rules)-1] }()
	return x.parts(of, of.checked.Expr(), depth)
}

// children gives the parts of an expression that stand for themselves. What
// is inside a comprehension has as many values as there are elements, so
// only what is gone through is a part of it.
func children(e ast.Expr) []ast.Expr {
	switch e.Kind() {
	case ast.CallKind:
		c := e.AsCall()
		var list []ast.Expr
		if c.IsMemberFunction() && c.Target().Kind() != ast.IdentKind {
			list = append(list, c.Target())
		}
		if c.FunctionName() == operators.Index && c.Args()[1].Kind() == ast.LiteralKind {
			return nil // a field by another name
		}
		return append(list, c.Args()...)
	case ast.ListKind:
		return e.AsList().Elements()
	case ast.MapKind:
		var list []ast.Expr
		for _, entry := range e.AsMap().Entries() {
			list = append(list, entry.AsMapEntry().Key(), entry.AsMapEntry().Value())
		}
		return list
	case ast.ComprehensionKind:
		return []ast.Expr{e.AsComprehension().IterRange()}
	}
	return nil
}

// value evaluates a part and writes what it gives.
func (x *explainer) value(of *expression, e ast.Expr) string {
	p, err := plan(of.part(e), of.comprehension)
	if err != nil {
		return "error: " + errEvaluate.Error()
	}
	v, _, err := p.Eval(activation{x.e})
	if err != nil {
		return "error: " + x.why(e, err)
	}
	if v.Type() != types.BoolType && x.secret(e) {
		return "(masked)"
	}
	return show(v)
}

// why tells why a part gives nothing. CEL's own words may quote the request,
// which only an explanation shows.
func (x *explainer) why(e ast.Expr, err error) string {
	if own := evaluationError(err); own != errEvaluate || x.secret(e) {
		return own.Error()
	}
	text := strconv.Quote(err.Error())
	return text[1 : len(text)-1]
}

// secret tells whether a part reads what carries the token.
func (x *explainer) secret(e ast.Expr) bool {
	found := false
	ast.PreOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) {
		container, name := keyed(e)
		switch {
		case container == nil:
		case isFieldOf(container, varRequest, "headers"):
			found = found || slices.Contains(x.e.route.secret, name)
		case isFieldOf(container, varRequest, "query"):
			found = found || slices.ContainsFunc(x.e.in.DropQuery, func(d string) bool { return alike(name, d) })
		}
		if len(x.e.in.DropQuery) > 0 && isFieldOf(e, varRequest, "query") && x.e.route.wholeQuery {
			found = true
		}
	}))
	return found
}

// keyed takes container.name and container["name"] apart.
func keyed(e ast.Expr) (container ast.Expr, name string) {
	switch e.Kind() {
	case ast.SelectKind:
		return e.AsSelect().Operand(), e.AsSelect().FieldName()
	case ast.CallKind:
		c := e.AsCall()
		if s, ok := "", false; c.FunctionName() == operators.Index {
			if s, ok = text(c.Args()[1]); ok {
				return c.Args()[0], s
			}
		}
	}
	return nil, ""
}

// longest is how much of a value is shown.
const longest = 200

// show writes a value in CEL.
func show(v ref.Val) string {
	var b strings.Builder
	write(&b, v)
	if s := b.String(); len(s) > longest {
		return strings.ToValidUTF8(s[:longest], "") + "…"
	}
	return b.String()
}

func write(b *strings.Builder, v ref.Val) {
	if b.Len() > longest {
		return
	}
	switch v := v.(type) {
	case types.String:
		b.WriteString(strconv.Quote(string(v)))
	case types.Bytes:
		fmt.Fprintf(b, "b%q", []byte(v))
	case types.Uint:
		fmt.Fprintf(b, "%du", uint64(v))
	case types.Null:
		b.WriteString("null")
	case types.Timestamp:
		fmt.Fprintf(b, "timestamp(%q)", v.Format(time.RFC3339Nano))
	case types.Duration:
		fmt.Fprintf(b, "duration(%q)", v.Duration)
	case traits.Lister:
		writeAll(b, "[", "]", v.Iterator(), func(item ref.Val) { write(b, item) })
	case traits.Mapper:
		it := newSorted(v)
		writeAll(b, "{", "}", it, func(key ref.Val) {
			write(b, key)
			b.WriteString(": ")
			write(b, v.Get(key))
		})
	case *types.Err:
		b.WriteString("error: " + evaluationError(v).Error())
	default:
		fmt.Fprint(b, v.Value())
	}
}

func writeAll(b *strings.Builder, open, end string, it traits.Iterator, each func(ref.Val)) {
	b.WriteString(open)
	for first := true; it.HasNext() == types.True; first = false {
		if !first {
			b.WriteString(", ")
		}
		each(it.Next())
	}
	b.WriteString(end)
}

// newSorted goes through the keys of a map in one order.
func newSorted(m traits.Mapper) traits.Iterator {
	var keys []ref.Val
	for it := m.Iterator(); it.HasNext() == types.True; {
		keys = append(keys, it.Next())
	}
	slices.SortFunc(keys, func(a, b ref.Val) int { return strings.Compare(fmt.Sprint(a.Value()), fmt.Sprint(b.Value())) })
	return types.NewRefValList(types.DefaultTypeAdapter, keys).Iterator()
}
