package policy

import "slices"

var (
	errNoField  = failure("a request field is missing")
	errRepeated = &Error{RequestMalformed, "a request field that is read here is sent twice"}
)

// FieldsRead lists the request fields that the route's rules and templates
// read, in small letters.
func (r *Route) FieldsRead() []string { return slices.Clone(r.headers) }

// field gives a field of the request, and how many there are.
func (e *evaluation) field(name string) (string, int) {
	if e.in.Fields == nil {
		return "", 0
	}
	return e.in.Fields.Field(name)
}

// readFields checks that no field that the route reads is there twice.
func (e *evaluation) readFields() *Error {
	for _, name := range e.route.headers {
		if _, n := e.field(name); n > 1 {
			return errRepeated
		}
	}
	return nil
}

// headerMap gives the fields that the route reads, for CEL's interpreter.
func (e *evaluation) headerMap() map[string]string {
	m := make(map[string]string, len(e.route.headers))
	for _, name := range e.route.headers {
		if v, n := e.field(name); n == 1 {
			m[name] = v
		}
	}
	return m
}
