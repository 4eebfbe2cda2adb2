package policy

import (
	"net/netip"
	"reflect"
	"slices"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"hopgate/token"
)

// The variables of rules and templates. Each but now is an object whose
// fields are checked when the file loads.
const (
	varPrincipal = "principal"
	varRequest   = "request"
	varPath      = "path"
	varClient    = "client"
	varRules     = "rules"
	varNow       = "now"
)

// Functions of hopgate's own, beside CEL's standard ones.
const (
	fnHasRole       = "has_role"
	fnHasPermission = "has_permission"
	fnHasScope      = "has_scope"
	fnInCIDR        = "in_cidr"
)

var (
	principalType = types.NewObjectType("hopgate.Principal")
	requestType   = types.NewObjectType("hopgate.Request")
	pathType      = types.NewObjectType("hopgate.Path")
	clientType    = types.NewObjectType("hopgate.Client")
	rulesType     = types.NewObjectType("hopgate.Rules")

	objectTypes = map[string]*types.Type{
		varPrincipal: principalType, varRequest: requestType, varPath: pathType, varClient: clientType, varRules: rulesType,
	}

	stringList = types.NewListType(types.StringType)
	stringMap  = types.NewMapType(types.StringType, types.StringType)
	claimsMap  = types.NewMapType(types.StringType, types.DynType)
)

// fields are what the variables have, but for those whose fields the
// configuration names: path and rules.
var fields = map[string]map[string]*types.FieldType{
	principalType.TypeName(): {
		"user_id":     principalText("user_id"),
		"org_id":      principalText("org_id"),
		"org_slug":    principalText("org_slug"),
		"org_role":    principalText("org_role"),
		"session_id":  principalText("session_id"),
		"actor":       principalText("actor"),
		"issuer":      principalText("issuer"),
		"roles":       principalList("roles"),
		"permissions": principalList("permissions"),
		"scopes":      principalList("scopes"),
		"claims":      field(claimsMap, func(e *evaluation) (any, error) { return e.who.Claims(), nil }),
	},
	requestType.TypeName(): {
		"method":  requestText("method"),
		"scheme":  requestText("scheme"),
		"host":    requestText("host"),
		"path":    requestText("path"),
		"query":   field(stringMap, func(e *evaluation) (any, error) { return e.queryMap(), nil }),
		"headers": field(stringMap, func(e *evaluation) (any, error) { return e.headerMap(), nil }),
		"body":    field(types.DynType, (*evaluation).bodyValue),
	},
	clientType.TypeName(): {
		"ip":               field(types.StringType, func(e *evaluation) (any, error) { return clientIP(e) }),
		"cert_subject":     certificateField(types.StringType, func(c *Certificate) any { return c.Subject }),
		"cert_names":       certificateField(stringList, func(c *Certificate) any { return c.Names }),
		"cert_fingerprint": certificateField(types.StringType, func(c *Certificate) any { return c.Fingerprint }),
	},
}

// field makes a field that is set where it can be read.
func field(t *types.Type, get func(*evaluation) (any, error)) *types.FieldType {
	return &types.FieldType{
		Type: t,
		GetFrom: func(target any) (any, error) {
			e, ok := target.(*evaluation)
			if !ok {
				return nil, errNoOverload
			}
			return get(e)
		},
		IsSet: func(target any) bool {
			e, ok := target.(*evaluation)
			if !ok {
				return false
			}
			_, err := get(e)
			return err == nil
		},
	}
}

// certificateField makes a field that is missing, and so an error to read,
// where the client showed no certificate.
func certificateField(t *types.Type, get func(*Certificate) any) *types.FieldType {
	return field(t, func(e *evaluation) (any, error) {
		if e.in.Certificate == nil {
			return nil, errNoCertificate
		}
		return get(e.in.Certificate), nil
	})
}

var errNoCertificate = failure("the client showed no certificate")

func textField(get textFunc) *types.FieldType {
	return field(types.StringType, func(e *evaluation) (any, error) { return get(e) })
}

func principalText(name string) *types.FieldType { return textField(principalTexts[name]) }

func requestText(name string) *types.FieldType { return textField(requestTexts[name]) }

func principalList(name string) *types.FieldType {
	get := principalLists[name]
	f := field(stringList, func(e *evaluation) (any, error) { return get(e.who), nil })
	f.IsSet = func(target any) bool {
		e, ok := target.(*evaluation)
		return ok && len(get(e.who)) > 0
	}
	return f
}

// principalTexts are the fields of principal that are texts. An empty one is
// missing, and so an error: it must never equal another empty text.
var principalTexts = map[string]textFunc{
	"user_id":    present("user_id", func(p *token.Principal) string { return p.UserID }),
	"org_id":     present("org_id", func(p *token.Principal) string { return p.OrgID }),
	"org_slug":   present("org_slug", func(p *token.Principal) string { return p.OrgSlug }),
	"org_role":   present("org_role", func(p *token.Principal) string { return p.OrgRole }),
	"session_id": present("session_id", func(p *token.Principal) string { return p.SessionID }),
	"actor":      present("actor", func(p *token.Principal) string { return p.Actor }),
	"issuer":     present("issuer", func(p *token.Principal) string { return p.Issuer }),
}

func present(name string, get func(*token.Principal) string) textFunc {
	missing := failure("principal." + name + " is not set")
	return func(e *evaluation) (string, error) {
		if s := get(e.who); s != "" {
			return s, nil
		}
		return "", missing
	}
}

var principalLists = map[string]func(*token.Principal) []string{
	"roles":       func(p *token.Principal) []string { return p.Roles },
	"permissions": func(p *token.Principal) []string { return p.Permissions },
	"scopes":      func(p *token.Principal) []string { return p.Scopes },
}

// memberships are the member functions of principal.
var memberships = map[string]func(*token.Principal, string) bool{
	fnHasRole:       (*token.Principal).HasRole,
	fnHasPermission: (*token.Principal).HasPermission,
	fnHasScope:      (*token.Principal).HasScope,
}

var requestTexts = map[string]textFunc{
	"method": func(e *evaluation) (string, error) { return e.in.Method, nil },
	"scheme": func(e *evaluation) (string, error) { return e.in.Scheme, nil },
	"host":   func(e *evaluation) (string, error) { return e.in.Host, nil },
	"path":   func(e *evaluation) (string, error) { return e.in.Path, nil },
}

var errNoAddress = failure("client.ip is not known")

func clientIP(e *evaluation) (string, error) {
	if !e.in.ClientIP.IsValid() {
		return "", errNoAddress
	}
	return e.in.ClientIP.Unmap().String(), nil
}

// provider adds hopgate's types to those of CEL. Any field of path and rules
// is taken here: which there are depends on the route, and is checked there.
type provider struct{ types.Provider }

func (p provider) FindStructType(name string) (*types.Type, bool) {
	for _, t := range objectTypes {
		if t.TypeName() == name {
			return types.NewTypeTypeWithParam(t), true
		}
	}
	return p.Provider.FindStructType(name)
}

func (p provider) FindStructFieldNames(name string) ([]string, bool) {
	if f, ok := fields[name]; ok {
		return sortedKeys(f), true
	}
	return p.Provider.FindStructFieldNames(name)
}

func (p provider) FindStructFieldType(name, fieldName string) (*types.FieldType, bool) {
	switch name {
	case pathType.TypeName():
		return textField(func(e *evaluation) (string, error) { return e.pathText(fieldName) }), true
	case rulesType.TypeName():
		return field(types.BoolType, func(e *evaluation) (any, error) { return e.rule(fieldName) }), true
	}
	if f, ok := fields[name]; ok {
		t, found := f[fieldName]
		return t, found
	}
	return p.Provider.FindStructFieldType(name, fieldName)
}

// object is the value of one of the variables.
type object struct {
	of *types.Type
	e  *evaluation
}

func (o object) ConvertToNative(reflect.Type) (any, error) { return nil, errNoOverload }
func (o object) ConvertToType(ref.Type) ref.Val            { return types.WrapErr(errNoOverload) }
func (o object) Equal(ref.Val) ref.Val                     { return types.WrapErr(errNoOverload) }
func (o object) Type() ref.Type                            { return o.of }
func (o object) Value() any                                { return o.e }

// environment is CEL's with hopgate's variables and functions. It is made
// once, when it is needed first, and never changed.
var environment = sync.OnceValue(func() *cel.Env {
	registry, err := types.NewRegistry()
	if err != nil {
		panic(err) // it has no input that could be wrong
	}
	options := []cel.EnvOption{
		cel.CustomTypeAdapter(registry),
		cel.CustomTypeProvider(provider{registry}),
		cel.Variable(varNow, cel.TimestampType),
		cel.CrossTypeNumericComparisons(true),
		cel.EnableMacroCallTracking(),
		cel.ASTValidators(cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateRegexLiterals()),
		cel.Function(fnInCIDR, cel.MemberOverload("string_in_cidr", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType,
			cel.BinaryBinding(func(address, prefix ref.Val) ref.Val {
				p, err := netip.ParsePrefix(string(prefix.(types.String)))
				if err != nil {
					return types.WrapErr(errNoPrefix)
				}
				in, err := inPrefix(string(address.(types.String)), p)
				if err != nil {
					return types.WrapErr(err)
				}
				return types.Bool(in)
			}))),
	}
	for name, t := range objectTypes {
		options = append(options, cel.Variable(name, t))
	}
	for name, holds := range memberships {
		options = append(options, cel.Function(name, cel.MemberOverload("principal_"+name, []*cel.Type{principalType, cel.StringType}, cel.BoolType,
			cel.BinaryBinding(func(who, what ref.Val) ref.Val {
				return types.Bool(holds(who.(object).e.who, string(what.(types.String))))
			}))))
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		panic(err) // nothing of it depends on input
	}
	return env
})

// Prepare makes ready what compiling a first policy would have to wait for. It
// may be called beforehand, and by another goroutine.
func Prepare() { parse("true") }

var (
	errNoOverload = failure("a value is not of the type that is needed here")
	errNoPrefix   = failure("an address range is not well-formed")
	errNoIP       = failure("a text that is compared to an address range is no address")
)

func inPrefix(address string, p netip.Prefix) (bool, error) {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return false, errNoIP
	}
	return p.Contains(a.Unmap()), nil
}

// activation gives the variables their values.
type activation struct{ e *evaluation }

func (a activation) ResolveName(name string) (any, bool) {
	if t, ok := objectTypes[name]; ok {
		return object{t, a.e}, true
	}
	if name == varNow {
		return types.Timestamp{Time: a.e.in.Now}, true
	}
	return nil, false
}

func (activation) Parent() cel.Activation { return nil }

// costLimit bounds what one evaluation of an expression with comprehensions
// may cost, in CEL's units: some milliseconds.
const costLimit = 200_000

// plan makes a program for CEL's interpreter of an expression, or of a part
// of one.
func plan(a *ast.AST, comprehensions bool, options ...cel.EvalOption) (cel.Program, error) {
	o := []cel.ProgramOption{cel.EvalOptions(append(options, cel.OptOptimize)...)}
	if comprehensions {
		o = append(o, cel.CostLimit(costLimit))
	}
	return environment().PlanProgram(a, o...)
}

func sortedKeys[V any](m map[string]V) []string {
	list := make([]string, 0, len(m))
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}
