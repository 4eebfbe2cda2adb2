package policy

import (
	"errors"
	"net/netip"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"

	"hopgate/token"
)

// Fields are the fields of a request.
type Fields interface {
	// Field gives the value of the first field of a name, without regard to
	// case, and how many fields of that name there are.
	Field(name string) (value string, n int)
}

// Request is what a decision is about. Everything in it is lent until the
// call that it is given to returns.
type Request struct {
	Method   string
	Scheme   string // http or https
	Host     string // in small letters, without port
	Path     string // escaped and canonical, as it was matched
	RawQuery string // without the question mark
	Fields   Fields // nil: none
	ClientIP netip.Addr

	// Certificate is what the client showed in the TLS handshake, verified;
	// nil: none.
	Certificate *Certificate

	Now  time.Time
	Body []byte // whole, where the route reads it (Route.NeedsBody)

	// DropQuery are the query parameters that carried the token: they are
	// not forwarded.
	DropQuery []string
}

// Certificate is the identity of a client certificate (RFC 5280). It is
// immutable.
type Certificate struct {
	Subject     string   // distinguished name (RFC 2253): CN=alice,O=Acme
	Names       []string // subject alternative names: DNS names, e-mail addresses, URIs
	Fingerprint string   // SHA-256 of the certificate, in small hexadecimal digits
}

// evaluation is what the expressions of a route see of one request. Its
// memory is kept from request to request.
type evaluation struct {
	route  *Route
	in     *Request
	who    *token.Principal
	values []string // of the template's parameters, as they stand in the path

	params []parameter // by Route.query
	all    map[string]string

	body     any
	bodyRead bool
}

// begin makes ready to evaluate expressions of r.
func (e *evaluation) begin(r *Route, m *Match, in *Request, who *token.Principal) {
	if who == nil {
		who = token.Anonymous
	}
	e.route, e.in, e.who, e.values = r, in, who, m.values
}

// end lets go of everything that was lent.
func (e *evaluation) end() {
	clear(e.params)
	*e = evaluation{params: e.params[:0]}
}

var errNoParameter = failure("the path template has no such parameter")

// pathText gives a parameter of the template by name.
func (e *evaluation) pathText(name string) (string, error) {
	for i, p := range e.route.pattern.params {
		if p == name {
			return e.pathValue(i)
		}
	}
	return "", errNoParameter
}

func (e *evaluation) pathValue(i int) (string, error) {
	if i >= len(e.values) {
		return "", errNoParameter
	}
	return decodeSegment(e.values[i]), nil
}

var errNoRule = failure("there is no such rule")

// rule evaluates a named rule.
func (e *evaluation) rule(name string) (bool, error) {
	if r := e.route.use(name); r != nil {
		return r.eval(e)
	}
	return false, errNoRule
}

// interpreted makes a function of a program for CEL's interpreter.
func interpreted(p cel.Program) func(*evaluation) (any, error) {
	return func(e *evaluation) (any, error) {
		v, _, err := p.Eval(activation{e})
		if err != nil {
			return nil, evaluationError(err)
		}
		return v, nil
	}
}

// interpretedBool is the same of a program that gives true or false.
func interpretedBool(p cel.Program) boolFunc {
	eval := interpreted(p)
	return func(e *evaluation) (bool, error) {
		v, err := eval(e)
		if err != nil {
			return false, err
		}
		if b, ok := v.(types.Bool); ok {
			return bool(b), nil
		}
		return false, errNoBool
	}
}

var (
	errNoBool   = failure("an expression gives neither true nor false")
	errEvaluate = failure("an expression can't be evaluated")
)

// evaluationError keeps hopgate's own errors. Those of CEL may quote the
// request, so that nothing of them is kept.
func evaluationError(err error) *Error {
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	return errEvaluate
}
