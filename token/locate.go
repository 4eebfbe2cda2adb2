package token

import (
	"fmt"
	"slices"
	"strings"

	"hopgate/config"
)

// Request gives the fields of a request. Field returns the value of the
// first field line named name, without regard to case, and how many such
// lines there are. The value may be lent. Passing a pointer (or another type
// that fits one word) keeps the call free of allocations.
type Request interface {
	Field(name string) (value string, n int)
}

// Located is a token and where it was found. Its texts are parts of the
// request's and live no longer than these.
type Located struct {
	Token string

	// FromCookie tells that a browser sends the token by itself, so that a
	// request may be another site's doing. FromQuery tells that it stands in
	// the target.
	FromCookie, FromQuery bool

	// Protocol is the WebSocket subprotocol that announced the token, where it
	// was found so.
	Protocol string

	// Name is the name of the field, cookie or query parameter, as the
	// request has it.
	Name string
}

// The ways in which a request can be of two minds about its token.
var (
	errTwoFields  = fmt.Errorf("the field for the token occurs twice: %w", ErrMalformed)
	errBearer     = fmt.Errorf("the Authorization field is not Bearer, one space and one token: %w", ErrMalformed)
	errNotOne     = fmt.Errorf("more than one token, or something else, is where the token should be: %w", ErrMalformed)
	errTwoCookies = fmt.Errorf("two cookies with different tokens match: %w", ErrMalformed)
	errCookie     = fmt.Errorf("the cookie with the token is not well-formed: %w", ErrMalformed)
	errTwoParams  = fmt.Errorf("the query parameter for the token occurs twice: %w", ErrMalformed)
	errProtocol   = fmt.Errorf("Sec-WebSocket-Protocol is not one list in which the token follows its name: %w", ErrMalformed)
	errParam      = fmt.Errorf("the query parameter for the token is percent-encoded: %w", ErrMalformed)
)

type placeKind uint8

const (
	inAuthorization placeKind = iota
	inField
	inCookie
	inCookies // every cookie whose name starts with the place's
	inQuery
	inProtocol
)

type place struct {
	kind placeKind
	name string
}

// places lists where a token may be, the first one first.
type places []place

func placesOf(list []config.TokenPlace) places {
	var pl places
	for _, t := range list {
		switch prefix, star := strings.CutSuffix(t.Cookie, "*"); {
		case strings.EqualFold(t.Header, "Authorization"):
			pl = append(pl, place{inAuthorization, "Authorization"})
		case t.Header != "":
			pl = append(pl, place{inField, t.Header})
		case star:
			pl = append(pl, place{inCookies, prefix})
		case t.Cookie != "":
			pl = append(pl, place{inCookie, t.Cookie})
		case t.Query != "":
			pl = append(pl, place{inQuery, t.Query})
		case t.WebSocketProtocol != "":
			pl = append(pl, place{inProtocol, t.WebSocketProtocol})
		}
	}
	return pl
}

// unionPlaces gives the places of several issuers, each once, in order.
func unionPlaces(lists ...places) places {
	var pl places
	for _, list := range lists {
		for _, p := range list {
			if !slices.Contains(pl, p) {
				pl = append(pl, p)
			}
		}
	}
	return pl
}

// fields lists the names of the fields that may hold tokens.
func (pl places) fields() []string {
	return pl.names(func(k placeKind) bool { return k == inAuthorization || k == inField })
}

// params lists the names of the query parameters that may hold tokens.
func (pl places) params() []string {
	return pl.names(func(k placeKind) bool { return k == inQuery })
}

// protocols lists the WebSocket subprotocols that announce tokens.
func (pl places) protocols() []string {
	return pl.names(func(k placeKind) bool { return k == inProtocol })
}

// cookies lists the names of the cookies that may hold tokens; a * at the
// end stands for any rest.
func (pl places) cookies() []string {
	var list []string
	for _, p := range pl {
		switch p.kind {
		case inCookie:
			list = append(list, p.name)
		case inCookies:
			list = append(list, p.name+"*")
		}
	}
	return list
}

func (pl places) names(of func(placeKind) bool) []string {
	var list []string
	for _, p := range pl {
		if of(p.kind) {
			list = append(list, p.name)
		}
	}
	return list
}

// locate finds the token of a request. The first place that holds anything
// decides: a bad token there is not passed over for one further on. The
// error is or wraps ErrMissing or ErrMalformed. It does not allocate and
// does not look into the token.
func (pl places) locate(r Request, rawQuery string) (Located, error) {
	var (
		cookies string
		read    bool
	)
	for i := range pl {
		p := &pl[i]
		found := Located{Name: p.name}
		var err error
		switch p.kind {
		case inAuthorization:
			found.Token, err = inAuthorizationField(r)
		case inField:
			found.Token, err = inPlainField(r, p.name)
		case inCookie, inCookies:
			if !read {
				var n int
				// RFC 6265 section 5.4: a user agent sends one Cookie field.
				if cookies, n = r.Field("Cookie"); n > 1 {
					return Located{}, errTwoFields
				}
				read = true
			}
			found.FromCookie = true
			found.Name, found.Token, err = findCookie(cookies, p)
		case inQuery:
			found.FromQuery = true
			found.Token, err = findParam(rawQuery, p.name)
		case inProtocol:
			found.Protocol = p.name
			found.Token, err = findProtocol(r, p.name)
		}
		if err != nil {
			return Located{}, err
		}
		if found.Token != "" {
			return found, nil
		}
	}
	return Located{}, ErrMissing
}

// inAuthorizationField reads Bearer credentials (RFC 6750 section 2.1).
// Credentials of another scheme are no token.
func inAuthorizationField(r Request) (string, error) {
	const scheme = "Bearer"
	value, n := r.Field("Authorization")
	if n > 1 {
		return "", errTwoFields
	}
	if value == "" {
		return "", nil
	}
	if value[0] == ' ' || value[0] == '\t' {
		return "", errBearer
	}
	if len(value) < len(scheme) || !strings.EqualFold(value[:len(scheme)], scheme) {
		return "", nil
	}
	rest := value[len(scheme):]
	if rest != "" && isTokenChar(rest[0]) {
		return "", nil // a scheme whose name starts the same
	}
	if len(rest) < 2 || rest[0] != ' ' || !single(rest[1:]) {
		return "", errBearer
	}
	return rest[1:], nil
}

func inPlainField(r Request, name string) (string, error) {
	value, n := r.Field(name)
	if n > 1 {
		return "", errTwoFields
	}
	if !single(value) {
		return "", errNotOne
	}
	return value, nil
}

// single tells whether s can be one token. That it is one is for the
// verifier to tell; this is about lists and white space, which two readers
// could cut differently.
func single(s string) bool {
	return strings.IndexByte(s, ' ') < 0 && strings.IndexByte(s, ',') < 0 && strings.IndexByte(s, '\t') < 0
}

// findProtocol takes the token that follows name in Sec-WebSocket-Protocol
// (RFC 6455 section 11.3.4).
func findProtocol(r Request, name string) (token string, err error) {
	list, n := r.Field("Sec-WebSocket-Protocol")
	if n > 1 {
		return "", errProtocol
	}
	announced := false
	for rest, more := list, list != ""; more; {
		var item string
		item, rest, more = strings.Cut(rest, ",")
		item = strings.Trim(item, " \t")
		switch {
		case announced && token == "":
			if item == "" || item == name {
				return "", errProtocol
			}
			token = item
		case item == name:
			if announced {
				return "", errProtocol
			}
			announced = true
		}
	}
	if announced && token == "" {
		return "", errProtocol
	}
	return token, nil
}

// WithoutToken gives a Sec-WebSocket-Protocol without the subprotocol name
// and the token that follows it.
func WithoutToken(list, name string) string {
	var kept []string
	skip := false
	for item := range strings.SplitSeq(list, ",") {
		item = strings.Trim(item, " \t")
		switch {
		case skip:
			skip = false
		case item == name:
			skip = true
		case item != "":
			kept = append(kept, item)
		}
	}
	return strings.Join(kept, ", ")
}

// matches tells whether a cookie of this name is one that the place means.
func (p *place) matches(cookie string) bool {
	if p.kind == inCookies {
		return len(cookie) > len(p.name) && strings.HasPrefix(cookie, p.name)
	}
	return cookie == p.name
}

// findCookie looks through a cookie-string (RFC 6265 section 4.2.1). What it
// thinks of as another cookie must not be one that it looks for to a more
// tolerant reader, and the other way round.
func findCookie(cookies string, p *place) (name, token string, err error) {
	seen := false
	for rest, more := cookies, cookies != ""; more; {
		var pair string
		pair, rest, more = strings.Cut(rest, ";")
		pair = strings.TrimPrefix(pair, " ")
		n, v, _ := strings.Cut(pair, "=")
		bare := strings.Trim(n, " \t")
		if !p.matches(bare) {
			continue
		}
		if len(bare) != len(n) || !single(v) || strings.HasPrefix(v, `"`) {
			return "", "", errCookie
		}
		if v == "" && p.kind == inCookies {
			continue // a session that ended, of another instance
		}
		if seen && v != token {
			return "", "", errTwoCookies
		}
		seen, name, token = true, n, v
	}
	return name, token, nil
}

// findParam looks through a query for name, which must occur at most once
// and, like its value, without percent-encoding, which tokens do not need.
func findParam(query, name string) (token string, err error) {
	seen := false
	for rest, more := query, query != ""; more; {
		var pair string
		pair, rest, more = strings.Cut(rest, "&")
		n, v, _ := strings.Cut(pair, "=")
		if n != name {
			if strings.IndexByte(n, '%') >= 0 && decodesTo(n, name) {
				return "", errParam
			}
			continue
		}
		if seen {
			return "", errTwoParams
		}
		if strings.IndexByte(v, '%') >= 0 || strings.IndexByte(v, '+') >= 0 {
			return "", errParam
		}
		if !single(v) {
			return "", errNotOne
		}
		seen, token = true, v
	}
	return token, nil
}

// decodesTo tells whether s is plain once its percent-encodings are undone.
func decodesTo(s, plain string) bool {
	for len(plain) > 0 {
		if s == "" {
			return false
		}
		c, size := s[0], 1
		if c == '%' && len(s) >= 3 {
			if h, ok := hexPair(s[1], s[2]); ok {
				c, size = h, 3
			}
		}
		if c != plain[0] {
			return false
		}
		s, plain = s[size:], plain[1:]
	}
	return s == ""
}

func hexPair(a, b byte) (byte, bool) {
	x, y := strings.IndexByte(hexDigits, a), strings.IndexByte(hexDigits, b)
	if x < 0 || y < 0 {
		return 0, false
	}
	if x > 15 {
		x -= 6
	}
	if y > 15 {
		y -= 6
	}
	return byte(x<<4 | y), true
}

const hexDigits = "0123456789abcdefABCDEF"

// isTokenChar tells whether c is a tchar (RFC 9110 section 5.6.2).
func isTokenChar(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

func isTokenName(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isTokenChar(s[i]) {
			return false
		}
	}
	return s != ""
}

// checkPlaces reports token places that cannot be meant.
func checkPlaces(cfg config.Issuer, errs *config.Errors) {
	for i, t := range cfg.Tokens {
		set := 0
		for _, s := range []string{t.Header, t.Cookie, t.Query, t.WebSocketProtocol} {
			if s != "" {
				set++
			}
		}
		switch cookie := strings.TrimSuffix(t.Cookie, "*"); {
		case set != 1:
			errs.Addf(cfg.Source.Pos("tokens", i), "a place has %d of header, cookie, query and websocket_protocol; it should have exactly one", set)
		case t.WebSocketProtocol != "" && !isTokenName(t.WebSocketProtocol):
			errs.Addf(cfg.Source.Pos("tokens", i, "websocket_protocol"), "websocket_protocol is %q; it should be a subprotocol's name of letters, digits, - and _", t.WebSocketProtocol)
		case t.Header != "" && (!isTokenName(t.Header) || notForTokens(t.Header)):
			errs.Addf(cfg.Source.Pos("tokens", i, "header"), "header is %q; it should be the name of a field that can hold a token, such as Authorization or X-Session-Token", t.Header)
		case t.Cookie != "" && (!isTokenName(cookie) || strings.ContainsRune(cookie, '*')):
			errs.Addf(cfg.Source.Pos("tokens", i, "cookie"), "cookie is %q; it should be a cookie's name, with a * at the end at most", t.Cookie)
		case t.Query != "" && (!isTokenName(t.Query) || strings.ContainsAny(t.Query, "%+&#")):
			errs.Addf(cfg.Source.Pos("tokens", i, "query"), "query is %q; it should be a parameter's name of letters, digits, - and _", t.Query)
		}
	}
}

// notForTokens names fields that mean something else.
func notForTokens(field string) bool {
	return slices.ContainsFunc([]string{"Cookie", "Host", "Connection", "Content-Length", "Content-Type", "Transfer-Encoding", "Origin", "Forwarded", "Proxy-Authorization"},
		func(s string) bool { return strings.EqualFold(s, field) })
}
