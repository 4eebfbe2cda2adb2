package policy

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
)

// expression is a CEL expression, parsed and type-checked once for all the
// places where its text stands, with what it reads.
type expression struct {
	text    string
	checked *ast.AST // nil where there are faults
	out     *types.Type
	faults  []mention

	path          []mention // parameters of the template
	query         []mention // query parameters
	wholeQuery    *mention  // reads parameters whose names are not known before
	headers       []mention
	body          *mention
	rules         []mention
	permissions   []mention // of has_permission
	claims        []mention // first names below principal.claims
	addresses     []mention // texts that client.ip is compared to
	who           bool      // reads anything of principal
	principal     map[string]bool
	variables     bool // reads anything at all
	comprehension bool

	programs map[int64]cel.Program // of parts, by id
}

// mention is a place in an expression: line from 1, column from 0, in code
// points.
type mention struct {
	text         string
	line, column int
}

// parse reads an expression.
func parse(text string) *expression {
	x := &expression{text: text, principal: map[string]bool{}, programs: map[int64]cel.Program{}}
	if strings.TrimSpace(text) == "" {
		x.faults = []mention{{"the expression is empty; a rule is a CEL expression that gives true or false", 1, 0}}
		return x
	}
	parsed, issues := environment().Parse(text)
	if issues.Err() != nil {
		x.report(issues)
		return x
	}
	w := &walker{x: x, info: parsed.NativeRep().SourceInfo(), lines: strings.Split(text, "\n")}
	w.expr(parsed.NativeRep().Expr())
	if len(x.faults) > 0 {
		return x
	}
	checked, issues := environment().Check(parsed)
	if issues.Err() != nil {
		x.report(issues)
		return x
	}
	x.checked, x.out = checked.NativeRep(), checked.OutputType()
	return x
}

// report takes over what the library found.
func (x *expression) report(issues *cel.Issues) {
	for _, e := range issues.Errors() {
		text := strings.TrimSuffix(e.Message, " (in container '')")
		text, syntax := strings.CutPrefix(text, "Syntax error: ")
		x.faults = append(x.faults, mention{complaint(text), max(1, e.Location.Line()), max(0, e.Location.Column())})
		if syntax {
			// What follows is how the parser goes on after it.
			return
		}
	}
}

// isBool tells whether the expression can give true or false.
func (x *expression) isBool() bool {
	return x.out != nil && (x.out.Kind() == types.BoolKind || x.out.Kind() == types.DynKind)
}

// isText tells whether what the expression gives can stand in a template.
func (x *expression) isText() bool {
	if x.out == nil {
		return false
	}
	switch x.out.Kind() {
	case types.StringKind, types.IntKind, types.UintKind, types.BoolKind, types.DynKind:
		return true
	}
	return false
}

// program gives the program of a part.
func (x *expression) program(e ast.Expr) (cel.Program, error) {
	if p := x.programs[e.ID()]; p != nil {
		return p, nil
	}
	p, err := plan(x.part(e), x.comprehension)
	if err != nil {
		return nil, err
	}
	x.programs[e.ID()] = p
	return p, nil
}

// part makes a tree of its own of a part of the expression.
func (x *expression) part(e ast.Expr) *ast.AST {
	return ast.NewCheckedAST(ast.NewAST(e, x.checked.SourceInfo()), x.checked.TypeMap(), x.checked.ReferenceMap())
}

// walker checks the names in an expression before its types, because its
// messages can then say what was meant, and notes what it reads.
type walker struct {
	x     *expression
	info  *ast.SourceInfo
	lines []string
	local []string // variables of comprehensions
}

// at gives the place of an expression.
func (w *walker) at(e ast.Expr, text string) mention {
	loc := w.info.GetStartLocation(e.ID())
	return mention{text, max(1, loc.Line()), max(0, loc.Column())}
}

// atField gives the place of the field name of a selection, which the
// library places at the dot.
func (w *walker) atField(e ast.Expr, name string) mention {
	m := w.at(e, name)
	if m.line > len(w.lines) {
		return m
	}
	line := []rune(w.lines[m.line-1])
	if m.column < len(line) {
		if i := strings.Index(string(line[m.column:]), name); i >= 0 {
			m.column += len([]rune(string(line[m.column:])[:i]))
		}
	}
	return m
}

func (w *walker) fault(m mention, format string, args ...any) {
	m.text = fmt.Sprintf(format, args...)
	w.x.faults = append(w.x.faults, m)
}

// variable gives the name of the variable that an expression is, or "".
func (w *walker) variable(e ast.Expr) string {
	if e.Kind() != ast.IdentKind || slices.Contains(w.local, e.AsIdent()) {
		return ""
	}
	if name := strings.TrimPrefix(e.AsIdent(), "."); objectTypes[name] != nil {
		return name
	}
	return ""
}

// isField tells whether an expression is a field of a variable.
func (w *walker) isField(e ast.Expr, variable, name string) bool {
	return e.Kind() == ast.SelectKind && e.AsSelect().FieldName() == name && w.variable(e.AsSelect().Operand()) == variable
}

// typeNames are the other names that stand for something.
var typeNames = []string{"bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint", "dyn"}

func (w *walker) expr(e ast.Expr) {
	switch e.Kind() {
	case ast.IdentKind:
		w.ident(e)
	case ast.SelectKind:
		w.selection(e)
	case ast.CallKind:
		w.call(e)
	case ast.ListKind:
		for _, x := range e.AsList().Elements() {
			w.expr(x)
		}
	case ast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			w.expr(entry.AsMapEntry().Key())
			w.expr(entry.AsMapEntry().Value())
		}
	case ast.StructKind:
		w.fault(w.at(e, ""), "%s{} makes a message; expressions here have none", e.AsStruct().TypeName())
	case ast.ComprehensionKind:
		w.comprehension(e)
	}
}

func (w *walker) ident(e ast.Expr) {
	name := e.AsIdent()
	if slices.Contains(w.local, name) || slices.Contains(typeNames, name) {
		return
	}
	if v := w.variable(e); v != "" {
		w.fault(w.at(e, ""), "%s stands on its own; read one of its fields, such as %s", v, examples[v])
		return
	}
	if strings.TrimPrefix(name, ".") == varNow {
		w.x.variables = true
		return
	}
	w.fault(w.at(e, ""), "there is no %s%s", name, suggestion(name, append(sortedKeys(objectTypes), varNow)))
}

var examples = map[string]string{
	varPrincipal: "principal.user_id",
	varRequest:   "request.method",
	varPath:      "path.user_id",
	varClient:    "client.ip",
	varRules:     "rules.in_org",
}

func (w *walker) selection(e ast.Expr) {
	s := e.AsSelect()
	switch {
	case w.isField(s.Operand(), varRequest, "query"):
		w.x.variables = true
		w.x.query = append(w.x.query, w.atField(e, s.FieldName()))
	case w.isField(s.Operand(), varRequest, "headers"):
		w.header(w.atField(e, s.FieldName()))
	case w.isField(s.Operand(), varPrincipal, "claims"):
		w.x.claims = append(w.x.claims, w.atField(e, s.FieldName()))
		w.expr(s.Operand())
	case w.variable(s.Operand()) != "":
		w.field(e, w.variable(s.Operand()), s.FieldName())
	default:
		w.expr(s.Operand())
	}
}

// field is a field of a variable.
func (w *walker) field(e ast.Expr, variable, name string) {
	x, m := w.x, w.atField(e, name)
	x.variables = true
	switch variable {
	case varPath:
		x.path = append(x.path, m)
		return
	case varRules:
		x.rules = append(x.rules, m)
		return
	}
	known := fields[objectTypes[variable].TypeName()]
	if known[name] == nil {
		names := sortedKeys(known)
		if variable == varPrincipal {
			names = append(names, sortedKeys(memberships)...)
			if memberships[name] != nil {
				w.fault(m, `principal.%s is a function: principal.%s("...")`, name, name)
				return
			}
		}
		w.fault(m, "%s has no %s%s", variable, name, suggestion(name, names))
		return
	}
	switch {
	case variable == varPrincipal:
		x.who = true
		x.principal[name] = true
	case name == "body":
		x.body = &m
	case name == "query":
		x.wholeQuery = &m
	case name == "headers":
		w.fault(m, `request.headers can't be gone through; read single fields, such as request.headers["x-version"]`)
	}
}

// header is a request field that is read.
func (w *walker) header(m mention) {
	w.x.variables = true
	if strings.ToLower(m.text) != m.text {
		w.fault(m, "names of request fields are written in small letters here: request.headers[%q]", strings.ToLower(m.text))
		return
	}
	w.x.headers = append(w.x.headers, m)
}

// text gives the text of a literal.
func text(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().(types.String)
	return string(s), ok
}

func (w *walker) call(e ast.Expr) {
	c := e.AsCall()
	args, name := c.Args(), c.FunctionName()
	if c.IsMemberFunction() && w.variable(c.Target()) != "" {
		w.method(c, e)
		return
	}
	switch name {
	case operators.Index:
		if w.member(e, args[0], args[1]) {
			return
		}
	case operators.In:
		if w.member(e, args[1], args[0]) {
			return
		}
		w.address(args)
	case operators.Equals, operators.NotEquals:
		w.address(args)
	case overloads.Matches:
		w.pattern(args[len(args)-1])
	case fnInCIDR:
		w.prefix(args[0])
	default:
		w.function(e, name)
	}
	if c.IsMemberFunction() {
		w.expr(c.Target())
	}
	for _, a := range args {
		w.expr(a)
	}
}

// pattern checks a regular expression.
func (w *walker) pattern(arg ast.Expr) {
	s, ok := text(arg)
	if !ok {
		w.fault(w.at(arg, ""), "a regular expression has to be written out as a text, so that it is checked when the file loads")
		return
	}
	if _, err := regexp.Compile(s); err != nil {
		w.fault(w.at(arg, ""), "this is no regular expression as RE2 has them: %v", err)
	}
}

// member is a look-up by key: request.headers["x"], "x" in request.query. It
// tells whether there is nothing more to look at.
func (w *walker) member(e, container, key ast.Expr) bool {
	name, constant := text(key)
	m := w.at(key, name)
	switch {
	case w.isField(container, varRequest, "query") && constant:
		w.x.variables = true
		w.x.query = append(w.x.query, m)
		return true
	case w.isField(container, varRequest, "headers"):
		if !constant {
			w.fault(w.at(key, ""), `the name of a request field has to be written out: request.headers["x-version"]`)
			return true
		}
		w.header(m)
		return true
	case w.isField(container, varPrincipal, "claims") && constant && e.AsCall().FunctionName() == operators.Index:
		w.x.claims = append(w.x.claims, m)
	}
	return false
}

// method is a member function of a variable.
func (w *walker) method(c ast.CallExpr, e ast.Expr) {
	variable, name, args := w.variable(c.Target()), c.FunctionName(), c.Args()
	w.x.variables = true
	switch {
	case variable != varPrincipal:
		w.fault(w.at(e, ""), "%s has no functions; read one of its fields, such as %s", variable, examples[variable])
	case memberships[name] == nil:
		w.fault(w.at(e, ""), "principal has no function %s%s", name, suggestion(name, sortedKeys(memberships)))
	default:
		w.x.who = true
		w.x.principal[name] = true
		if name == fnHasPermission && len(args) == 1 {
			if s, ok := text(args[0]); ok {
				w.x.permissions = append(w.x.permissions, w.at(args[0], s))
			}
		}
	}
	for _, a := range args {
		w.expr(a)
	}
}

// function checks the name of a function.
func (w *walker) function(e ast.Expr, name string) {
	if environment().HasFunction(name) {
		return
	}
	var names []string
	for _, f := range sortedKeys(environment().Functions()) {
		if isIdentifier(f) {
			names = append(names, f)
		}
	}
	w.fault(w.at(e, ""), "there is no function %s%s", name, suggestion(name, append(names, "all", "exists", "exists_one", "filter", "has", "map")))
}

// prefix checks an address range.
func (w *walker) prefix(arg ast.Expr) {
	s, ok := text(arg)
	m := w.at(arg, s)
	if !ok {
		w.fault(m, `an address range has to be written out as a text: client.ip.in_cidr("10.0.0.0/8")`)
		return
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		hint := "such as 10.0.0.0/8 or 2001:db8::/32"
		if a, err := netip.ParseAddr(s); err == nil {
			hint = "such as " + netip.PrefixFrom(a, a.BitLen()).String()
		}
		w.fault(m, "%s is no address range; it should be an address and a length, %s", strconv.Quote(s), hint)
	case p.Addr().Is4In6():
		w.fault(m, "%s is an IPv4 range in IPv6 form; addresses of clients are compared in IPv4 form", s)
	case p.Masked() != p:
		w.fault(m, "%s has bits behind its length; the range is written %s", s, p.Masked())
	}
}

// address notes texts that client.ip is compared to.
func (w *walker) address(args []ast.Expr) {
	if len(args) != 2 {
		return
	}
	for i, a := range args {
		if !w.isField(a, varClient, "ip") {
			continue
		}
		others := []ast.Expr{args[1-i]}
		if others[0].Kind() == ast.ListKind {
			others = others[0].AsList().Elements()
		}
		for _, o := range others {
			if s, ok := text(o); ok {
				w.x.addresses = append(w.x.addresses, w.at(o, s))
			}
		}
	}
}

func (w *walker) comprehension(e ast.Expr) {
	c := e.AsComprehension()
	w.x.comprehension = true
	w.expr(c.IterRange())
	vars := []string{c.IterVar(), c.AccuVar()}
	if c.HasIterVar2() {
		vars = append(vars, c.IterVar2())
	}
	for _, v := range vars {
		if objectTypes[v] != nil || v == varNow {
			w.fault(w.at(e, ""), "%s already has a meaning; name the elements otherwise, such as x", v)
			return
		}
	}
	w.expr(c.AccuInit())
	n := len(w.local)
	w.local = append(w.local, vars...)
	w.expr(c.LoopCondition())
	w.expr(c.LoopStep())
	w.expr(c.Result())
	w.local = w.local[:n]
}
