package proxy

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"hopgate/config"
	"hopgate/policy"
)

// cors is the compiled cross-origin policy of a route (the Fetch standard,
// section 3.2). The nil *cors lets no page of another origin read anything.
type cors struct {
	any         bool
	exact       map[string]bool
	patterns    []originPattern
	methods     string // Access-Control-Allow-Methods, empty: those of the path's routes
	headers     string
	expose      string
	maxAge      string
	credentials bool
}

// originPattern is an origin whose host has a * for one label.
type originPattern struct{ prefix, suffix string }

func compileCORS(c *config.CORS) *cors {
	if c == nil {
		return nil
	}
	out := &cors{
		exact:       make(map[string]bool, len(c.Origins)),
		methods:     strings.Join(c.Methods, ", "),
		headers:     strings.Join(c.Headers, ", "),
		expose:      strings.Join(c.Expose, ", "),
		maxAge:      strconv.FormatInt(int64(c.MaxAge.Seconds()), 10),
		credentials: c.Credentials,
	}
	for _, o := range c.Origins {
		if o == "*" {
			out.any = true
		} else if prefix, suffix, found := strings.Cut(o, "*"); found {
			out.patterns = append(out.patterns, originPattern{prefix, suffix})
		} else {
			out.exact[o] = true
		}
	}
	return out
}

// allows tells whether pages of origin may read answers.
func (c *cors) allows(origin string) bool {
	if c == nil {
		return false
	}
	return c.any || c.named(origin)
}

// named tells whether origin is listed other than by *.
func (c *cors) named(origin string) bool {
	if c == nil {
		return false
	}
	if c.exact[origin] {
		return true
	}
	for _, p := range c.patterns {
		if len(origin) <= len(p.prefix)+len(p.suffix) ||
			!strings.HasPrefix(origin, p.prefix) || !strings.HasSuffix(origin, p.suffix) {
			continue
		}
		label := origin[len(p.prefix) : len(origin)-len(p.suffix)]
		if all(label, classUnreserved) && !strings.ContainsAny(label, "._~") {
			return true
		}
	}
	return false
}

// mark adds the fields that let a page of the request's origin read the
// answer. Vary: Origin goes on every answer, also where no origin is named,
// or a cache could give one origin's answer to another.
func (c *cors) mark(x *exchange) {
	if c == nil {
		return
	}
	if c.any && !c.credentials {
		x.answer.add("Access-Control-Allow-Origin", "*")
	} else {
		x.answer.add("Vary", "Origin")
		if x.origin == "" || !c.allows(x.origin) {
			return
		}
		x.answer.add("Access-Control-Allow-Origin", x.origin)
		if c.credentials {
			x.answer.add("Access-Control-Allow-Credentials", "true")
		}
	}
	if c.expose != "" {
		x.answer.add("Access-Control-Expose-Headers", c.expose)
	}
}

// preflight answers a CORS-preflight request: OPTIONS with an Origin and
// Access-Control-Request-Method. It comes before authentication because
// browsers send preflights without credentials. It tells whether the request
// was one.
func (x *exchange) preflight() bool {
	if x.method != "OPTIONS" || x.origin == "" {
		return false
	}
	wanted, n := x.fields.Field("Access-Control-Request-Method")
	if n != 1 || checkMethod(wanted) != policy.Allowed {
		return false
	}
	methods := x.snapshot.policy.Methods(x.host, x.path)
	if len(methods) == 0 {
		return false
	}
	// The route that the actual request would take decides; a method that no
	// route of the path has is answered by the default policy.
	c := x.snapshot.cors
	if rt := x.snapshot.find(&x.match, wanted, x.host, x.path); rt != nil {
		c = rt.cors
		x.route = rt
	}
	if c == nil {
		return false
	}
	x.cors = c
	x.answer.status(204)
	x.answer.add("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers")
	if c.allows(x.origin) {
		allowed := c.methods
		if allowed == "" {
			allowed = strings.Join(methods, ", ")
		}
		x.answer.add("Access-Control-Allow-Methods", allowed)
		if c.headers != "" {
			x.answer.add("Access-Control-Allow-Headers", c.headers)
		}
		x.answer.add("Access-Control-Max-Age", c.maxAge)
	}
	x.reason, x.code = policy.Allowed, 204
	if !c.allows(x.origin) {
		// The answer says no by what it lacks.
		x.reason = policy.OriginNotAllowed
	}
	x.finishHead()
	return true
}

// sameSite tells whether a request that carries a cookie was made by the
// user's own page: unsafe methods with a token from a cookie must prove it,
// because browsers attach cookies to requests that any page makes (CSRF).
// Sec-Fetch-Site is set by the browser and cannot be forged by a page; Origin
// is the older proof. A request with neither is refused: API clients send
// the token in a field.
func (x *exchange) sameSite() bool {
	switch x.method {
	case "GET", "HEAD", "OPTIONS":
		// A WebSocket's handshake is a GET that any page may send, and what
		// follows it is not safe.
		if !x.wantsWebSocket() {
			return true
		}
	}
	if x.origin != "" {
		return x.origin == x.scheme+"://"+x.authority ||
			x.route.cors.named(x.origin) ||
			slices.Contains(x.route.parties, x.origin)
	}
	site, n := x.fields.Field("Sec-Fetch-Site")
	return n == 1 && (site == "same-origin" || site == "none")
}

// validOrigin tells whether an Origin value is a serialized origin (RFC 6454
// section 6.2), so that it can be echoed in an answer.
func validOrigin(origin string) bool {
	if len(origin) > 512 {
		return false
	}
	u, err := url.Parse(origin)
	return err == nil && u.Scheme != "" && u.Host != "" && u.User == nil &&
		u.Path == "" && u.RawQuery == "" && u.Fragment == "" && !strings.HasSuffix(origin, "?") && !strings.HasSuffix(origin, "#")
}
