package policy

import (
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
)

// The rules of most routes compare texts: principal.user_id == path.user_id.
// CEL's interpreter allocates for each step of such a rule. What is simple is
// therefore compiled into functions of our own, with exactly CEL's meaning:
// an operand of && or || that fails does not matter where the other decides.
// The rest of an expression, down to a part that gives true or false, is left
// to the interpreter. TestFastIsCEL holds the two together.
type (
	boolFunc func(*evaluation) (bool, error)
	textFunc func(*evaluation) (string, error)
	// anyFunc gives a claim: string, bool, int64, float64, nil, []any or
	// map[string]any.
	anyFunc func(*evaluation) (any, error)
)

// binder compiles an expression for a route.
type binder struct {
	route *Route
	x     *expression
}

// bool compiles a part that gives true or false.
func (b *binder) bool(e ast.Expr) (boolFunc, error) {
	if f, err := b.logic(e); f != nil || err != nil {
		return f, err
	}
	if f := b.test(e); f != nil {
		return f, nil
	}
	p, err := b.x.program(e)
	if err != nil {
		return nil, err
	}
	return interpretedBool(p), nil
}

// logic compiles what joins parts that give true or false.
func (b *binder) logic(e ast.Expr) (boolFunc, error) {
	if e.Kind() != ast.CallKind {
		return nil, nil
	}
	c := e.AsCall()
	var join func(...boolFunc) boolFunc
	switch c.FunctionName() {
	case operators.LogicalAnd:
		join = func(f ...boolFunc) boolFunc { return and(f[0], f[1]) }
	case operators.LogicalOr:
		join = func(f ...boolFunc) boolFunc { return or(f[0], f[1]) }
	case operators.LogicalNot:
		join = func(f ...boolFunc) boolFunc { return not(f[0]) }
	case operators.Conditional:
		if t := b.x.checked.GetType(e.ID()); t.Kind() != types.BoolKind {
			return nil, nil
		}
		join = func(f ...boolFunc) boolFunc { return choose(f[0], f[1], f[2]) }
	default:
		return nil, nil
	}
	parts := make([]boolFunc, len(c.Args()))
	for i, a := range c.Args() {
		f, err := b.bool(a)
		if err != nil {
			return nil, err
		}
		parts[i] = f
	}
	return join(parts...), nil
}

func and(f, g boolFunc) boolFunc {
	return func(e *evaluation) (bool, error) {
		v, err := f(e)
		if err == nil && !v {
			return false, nil
		}
		w, err2 := g(e)
		switch {
		case err2 == nil && !w:
			return false, nil
		case err != nil:
			return false, err
		}
		return w, err2
	}
}

func or(f, g boolFunc) boolFunc {
	return func(e *evaluation) (bool, error) {
		v, err := f(e)
		if err == nil && v {
			return true, nil
		}
		w, err2 := g(e)
		switch {
		case err2 == nil && w:
			return true, nil
		case err != nil:
			return false, err
		}
		return w, err2
	}
}

func not(f boolFunc) boolFunc {
	return func(e *evaluation) (bool, error) {
		v, err := f(e)
		return !v && err == nil, err
	}
}

func choose(cond, f, g boolFunc) boolFunc {
	return func(e *evaluation) (bool, error) {
		v, err := cond(e)
		switch {
		case err != nil:
			return false, err
		case v:
			return f(e)
		}
		return g(e)
	}
}

// test compiles what gives true or false and is simple, else nil.
func (b *binder) test(e ast.Expr) boolFunc {
	switch e.Kind() {
	case ast.LiteralKind:
		if v, ok := e.AsLiteral().(types.Bool); ok {
			return func(*evaluation) (bool, error) { return bool(v), nil }
		}
	case ast.SelectKind:
		return b.selected(e)
	case ast.CallKind:
		c := e.AsCall()
		switch c.FunctionName() {
		case operators.Equals:
			return b.equal(c.Args()[0], c.Args()[1])
		case operators.NotEquals:
			if f := b.equal(c.Args()[0], c.Args()[1]); f != nil {
				return not(f)
			}
		case operators.In:
			return b.in(c.Args()[0], c.Args()[1])
		case operators.Index:
			return asBool(b.claim(e))
		case overloads.StartsWith:
			return b.texts(c, strings.HasPrefix)
		case overloads.EndsWith:
			return b.texts(c, strings.HasSuffix)
		case overloads.Contains:
			return b.texts(c, strings.Contains)
		case overloads.Matches:
			return b.matches(c)
		case fnInCIDR:
			return b.inCIDR(c)
		case fnHasRole, fnHasPermission, fnHasScope:
			return b.membership(c)
		}
	}
	return nil
}

// selected compiles a selection that gives true or false: a rule, a claim, or
// has().
func (b *binder) selected(e ast.Expr) boolFunc {
	s := e.AsSelect()
	operand, name := s.Operand(), s.FieldName()
	if !s.IsTestOnly() {
		if isVariable(operand, varRules) {
			if r := b.route.use(name); r != nil {
				return r.eval
			}
			return nil
		}
		return asBool(b.claim(e))
	}
	switch {
	case isVariable(operand, varPrincipal):
		if f := principalTexts[name]; f != nil {
			return func(e *evaluation) (bool, error) {
				_, err := f(e)
				return err == nil, nil
			}
		}
	case isFieldOf(operand, varRequest, "query"):
		return b.hasParam(name)
	case isFieldOf(operand, varRequest, "headers"):
		return hasField(name)
	default:
		if f := b.claim(operand); f != nil {
			return func(e *evaluation) (bool, error) {
				v, err := f(e)
				if err != nil {
					return false, err
				}
				switch v := v.(type) {
				case map[string]any:
					_, has := v[name]
					return has, nil
				case []any:
					return false, errNoOverload // a list has no names
				}
				return false, nil
			}
		}
	}
	return nil
}

func (b *binder) hasParam(name string) boolFunc {
	i := slices.Index(b.route.query, name)
	if i < 0 || b.route.wholeQuery {
		return nil
	}
	return func(e *evaluation) (bool, error) { return i < len(e.params) && e.params[i].found, nil }
}

func hasField(name string) boolFunc {
	return func(e *evaluation) (bool, error) {
		_, n := e.field(name)
		return n > 0, nil
	}
}

func isVariable(e ast.Expr, name string) bool {
	return e.Kind() == ast.IdentKind && strings.TrimPrefix(e.AsIdent(), ".") == name
}

func isFieldOf(e ast.Expr, variable, name string) bool {
	return e.Kind() == ast.SelectKind && !e.AsSelect().IsTestOnly() && e.AsSelect().FieldName() == name && isVariable(e.AsSelect().Operand(), variable)
}

// text compiles what gives a text and is simple, else nil.
func (b *binder) text(e ast.Expr) textFunc {
	if s, ok := text(e); ok {
		return func(*evaluation) (string, error) { return s, nil }
	}
	switch e.Kind() {
	case ast.SelectKind:
		s := e.AsSelect()
		operand, name := s.Operand(), s.FieldName()
		switch {
		case s.IsTestOnly():
		case isVariable(operand, varPrincipal):
			return principalTexts[name]
		case isVariable(operand, varRequest):
			return requestTexts[name]
		case isVariable(operand, varPath):
			return b.pathText(name)
		case isVariable(operand, varClient) && name == "ip":
			return clientIP
		case isFieldOf(operand, varRequest, "query"):
			return b.param(name)
		case isFieldOf(operand, varRequest, "headers"):
			return headerText(name)
		}
	case ast.CallKind:
		c := e.AsCall()
		if c.FunctionName() != operators.Index {
			return nil
		}
		name, ok := text(c.Args()[1])
		switch {
		case !ok:
		case isFieldOf(c.Args()[0], varRequest, "query"):
			return b.param(name)
		case isFieldOf(c.Args()[0], varRequest, "headers"):
			return headerText(name)
		}
	}
	return nil
}

func (b *binder) pathText(name string) textFunc {
	i := slices.Index(b.route.pattern.params, name)
	if i < 0 {
		return nil
	}
	return func(e *evaluation) (string, error) { return e.pathValue(i) }
}

func (b *binder) param(name string) textFunc {
	i := slices.Index(b.route.query, name)
	if i < 0 || b.route.wholeQuery {
		return nil
	}
	return func(e *evaluation) (string, error) { return e.param(i) }
}

func headerText(name string) textFunc {
	return func(e *evaluation) (string, error) {
		v, n := e.field(name)
		if n == 0 {
			return "", errNoField
		}
		return v, nil
	}
}

var errNoClaim = failure("a claim is missing")

// claim compiles principal.claims.NAME and what is below it, else nil.
func (b *binder) claim(e ast.Expr) anyFunc {
	if isFieldOf(e, varPrincipal, "claims") {
		return func(e *evaluation) (any, error) { return e.who.Claims(), nil }
	}
	var operand ast.Expr
	var name string
	switch e.Kind() {
	case ast.SelectKind:
		if e.AsSelect().IsTestOnly() {
			return nil
		}
		operand, name = e.AsSelect().Operand(), e.AsSelect().FieldName()
	case ast.CallKind:
		c := e.AsCall()
		s, ok := "", false
		if c.FunctionName() == operators.Index {
			s, ok = text(c.Args()[1])
		}
		if !ok {
			return nil
		}
		operand, name = c.Args()[0], s
	default:
		return nil
	}
	f := b.claim(operand)
	if f == nil {
		return nil
	}
	return func(e *evaluation) (any, error) {
		v, err := f(e)
		if err != nil {
			return nil, err
		}
		m, _ := v.(map[string]any)
		if v, ok := m[name]; ok {
			return v, nil
		}
		return nil, errNoClaim
	}
}

// asBool makes true or false of a claim.
func asBool(f anyFunc) boolFunc {
	if f == nil {
		return nil
	}
	return func(e *evaluation) (bool, error) {
		v, err := f(e)
		if err != nil {
			return false, err
		}
		if v, ok := v.(bool); ok {
			return v, nil
		}
		return false, errNoBool
	}
}

// equal compiles a comparison of texts, or of a claim and a constant or a
// text, else nil.
func (b *binder) equal(x, y ast.Expr) boolFunc {
	if x.Kind() == ast.LiteralKind {
		x, y = y, x
	}
	if isFieldOf(x, varClient, "ip") {
		if s, ok := text(y); ok {
			return equalAddress(s)
		}
	}
	if f, g := b.text(x), b.text(y); f != nil && g != nil {
		if s, ok := text(y); ok {
			return func(e *evaluation) (bool, error) {
				v, err := f(e)
				return v == s && err == nil, err
			}
		}
		return func(e *evaluation) (bool, error) {
			v, err := f(e)
			if err != nil {
				return false, err
			}
			w, err := g(e)
			return v == w && err == nil, err
		}
	}
	if f := b.claim(x); f != nil {
		return b.equalClaim(f, y)
	}
	if f := b.claim(y); f != nil {
		return b.equalClaim(f, x)
	}
	return nil
}

// equalAddress compares client.ip, which is written in its shortest form, to
// a text without writing it.
func equalAddress(s string) boolFunc {
	a, err := netip.ParseAddr(s)
	possible := err == nil && a.Unmap().String() == s
	a = a.Unmap()
	return func(e *evaluation) (bool, error) {
		if !e.in.ClientIP.IsValid() {
			return false, errNoAddress
		}
		return possible && e.in.ClientIP.Unmap() == a, nil
	}
}

func (b *binder) equalClaim(f anyFunc, y ast.Expr) boolFunc {
	if g := b.text(y); g != nil {
		return func(e *evaluation) (bool, error) {
			v, err := f(e)
			if err != nil {
				return false, err
			}
			w, err := g(e)
			if err != nil {
				return false, err
			}
			s, ok := v.(string)
			return ok && s == w, nil
		}
	}
	if y.Kind() != ast.LiteralKind {
		return nil
	}
	switch want := y.AsLiteral().(type) {
	case types.Bool:
		return claimIs(f, func(v any) bool { return v == bool(want) })
	case types.Null:
		return claimIs(f, func(v any) bool { return v == nil })
	case types.Int:
		if want < -safeInteger || want > safeInteger {
			return nil
		}
		return claimIs(f, func(v any) bool {
			switch v := v.(type) {
			case int64:
				return v == int64(want)
			case float64:
				return v == float64(want) && !math.IsNaN(v)
			}
			return false
		})
	}
	return nil
}

func claimIs(f anyFunc, is func(any) bool) boolFunc {
	return func(e *evaluation) (bool, error) {
		v, err := f(e)
		return err == nil && is(v), err
	}
}

// in compiles membership: of a text in a list that is written out, in one of
// the principal's lists or in a claim, and of a constant name in the query,
// the fields or the claims; else nil.
func (b *binder) in(x, y ast.Expr) boolFunc {
	if name, ok := text(x); ok {
		switch {
		case isFieldOf(y, varRequest, "query"):
			return b.hasParam(name)
		case isFieldOf(y, varRequest, "headers"):
			return hasField(name)
		}
	}
	f := b.text(x)
	if f == nil {
		return nil
	}
	if y.Kind() == ast.ListKind {
		var list []string
		for _, item := range y.AsList().Elements() {
			s, ok := text(item)
			if !ok {
				return nil
			}
			list = append(list, s)
		}
		return func(e *evaluation) (bool, error) {
			v, err := f(e)
			return err == nil && slices.Contains(list, v), err
		}
	}
	if y.Kind() == ast.SelectKind && isVariable(y.AsSelect().Operand(), varPrincipal) {
		if get := principalLists[y.AsSelect().FieldName()]; get != nil && !y.AsSelect().IsTestOnly() {
			return func(e *evaluation) (bool, error) {
				v, err := f(e)
				return err == nil && slices.Contains(get(e.who), v), err
			}
		}
	}
	if g := b.claim(y); g != nil {
		return inClaim(f, g)
	}
	return nil
}

func inClaim(f textFunc, g anyFunc) boolFunc {
	return func(e *evaluation) (bool, error) {
		v, err := f(e)
		if err != nil {
			return false, err
		}
		w, err := g(e)
		if err != nil {
			return false, err
		}
		switch w := w.(type) {
		case map[string]any:
			_, has := w[v]
			return has, nil
		case []any:
			for _, x := range w {
				if x, ok := x.(string); ok && x == v {
					return true, nil
				}
			}
			return false, nil
		}
		return false, errNoOverload
	}
}

// texts compiles a member function of two texts.
func (b *binder) texts(c ast.CallExpr, is func(s, t string) bool) boolFunc {
	if !c.IsMemberFunction() {
		return nil
	}
	f, g := b.text(c.Target()), b.text(c.Args()[0])
	if f == nil || g == nil {
		return nil
	}
	return func(e *evaluation) (bool, error) {
		v, err := f(e)
		if err != nil {
			return false, err
		}
		w, err := g(e)
		return err == nil && is(v, w), err
	}
}

func (b *binder) matches(c ast.CallExpr) boolFunc {
	args := c.Args()
	if c.IsMemberFunction() {
		args = []ast.Expr{c.Target(), args[0]}
	}
	f := b.text(args[0])
	s, _ := text(args[1])
	re, err := regexp.Compile(s)
	if f == nil || err != nil {
		return nil
	}
	return func(e *evaluation) (bool, error) {
		v, err := f(e)
		return err == nil && re.MatchString(v), err
	}
}

func (b *binder) inCIDR(c ast.CallExpr) boolFunc {
	s, _ := text(c.Args()[0])
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return nil
	}
	if isFieldOf(c.Target(), varClient, "ip") {
		return func(e *evaluation) (bool, error) {
			if !e.in.ClientIP.IsValid() {
				return false, errNoAddress
			}
			return p.Contains(e.in.ClientIP.Unmap()), nil
		}
	}
	f := b.text(c.Target())
	if f == nil {
		return nil
	}
	return func(e *evaluation) (bool, error) {
		v, err := f(e)
		if err != nil {
			return false, err
		}
		return inPrefix(v, p)
	}
}

func (b *binder) membership(c ast.CallExpr) boolFunc {
	f := b.text(c.Args()[0])
	holds := memberships[c.FunctionName()]
	if f == nil {
		return nil
	}
	return func(e *evaluation) (bool, error) {
		v, err := f(e)
		return err == nil && holds(e.who, v), err
	}
}
