package policy

import (
	"encoding/binary"
	"encoding/json"
	"slices"
	"strings"

	"hopgate/token"
)

// scope says who shares the cached answers of a route.
type scope struct {
	kind   byte // one of the letters below, or 0 where nothing is cached
	claims []string
}

const (
	scopePublic  = 'p'
	scopeUser    = 'u'
	scopeOrg     = 'o'
	scopeSession = 's'
	scopeClaims  = 'c'
)

// scope compiles the scope of the route's cached answers.
func (b *builder) scope() {
	cache := b.r.Config.Cache
	if cache == nil {
		return
	}
	s := &b.r.scope
	s.claims = cache.Scope.Claims
	switch word := cache.Scope.Word; {
	case len(s.claims) > 0:
		s.kind = scopeClaims
	case word == "public" || word == "" && b.r.Config.Anonymous:
		s.kind = scopePublic
	case word == "user" || word == "":
		s.kind = scopeUser
	case word == "org":
		s.kind = scopeOrg
	case word == "session":
		s.kind = scopeSession
	}
	b.shared()
}

// sharedBy says which facts callers that share a scope have in common.
var sharedBy = map[byte][]string{
	scopePublic:  nil,
	scopeUser:    {"user_id", "issuer"},
	scopeOrg:     {"org_id", "org_slug", "issuer"},
	scopeSession: {"session_id", "user_id", "issuer"},
}

// shared warns of fields by which callers differ who were meant to share
// answers. Fields that templates set are part of what an answer is stored
// under.
func (b *builder) shared() {
	same, ok := sharedBy[b.r.scope.kind]
	if !ok {
		return
	}
	q := &b.r.Config.Request
	for _, name := range sortedKeys(q.Headers) {
		spans, _, _ := splitTemplate(q.Headers[name].Text)
		for _, s := range spans {
			x := b.texts[s.text]
			if !s.dynamic || x == nil {
				continue
			}
			for _, read := range sortedKeys(x.principal) {
				if !slices.Contains(same, read) {
					b.warn(q.Headers[name].Pos(s.start), "%s tells the upstream the caller's %s, so that only callers with the same one share an answer, whatever cache.scope says", name, read)
				}
			}
		}
	}
}

// AppendScope appends to dst what tells apart the callers that do not share
// cached answers of the route: two callers get the same bytes if and only if
// they share. ok is false where this caller's answers must not be cached: it
// has no organization for scope org, lacks a claim, and the like, or the
// route caches nothing.
func (r *Route) AppendScope(dst []byte, who *token.Principal) (_ []byte, ok bool) {
	s := &r.scope
	if s.kind == 0 {
		return dst, false
	}
	dst = append(dst, s.kind)
	if s.kind == scopePublic {
		return dst, true
	}
	if who == nil {
		return dst, false
	}
	dst = appendPart(dst, who.Issuer)
	value := ""
	switch s.kind {
	case scopeUser:
		value = who.UserID
	case scopeOrg:
		value = who.OrgID
	case scopeSession:
		value = who.SessionID
	case scopeClaims:
		return appendClaims(dst, s.claims, who.Claims())
	}
	return appendPart(dst, value), value != ""
}

// appendPart appends text with its length before it, so that no two
// sequences of texts give the same bytes.
func appendPart(dst []byte, text string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(text)))
	return append(dst, text...)
}

func appendClaims(dst []byte, paths []string, claims map[string]any) ([]byte, bool) {
	for _, path := range paths {
		v, _ := lookupClaim(claims, path)
		switch v := v.(type) {
		case string:
			if v == "" {
				return dst, false
			}
			dst = appendPart(append(dst, 's'), v)
		case bool:
			dst = append(dst, 'f')
			if v {
				dst[len(dst)-1] = 't'
			}
		case int64:
			dst = binary.AppendVarint(append(dst, 'i'), v)
		case nil:
			return dst, false
		default:
			// Members of objects are written sorted by their names.
			text, err := json.Marshal(v)
			if err != nil || string(text) == "[]" || string(text) == "{}" {
				return dst, false
			}
			dst = appendPart(append(dst, 'j'), string(text))
		}
	}
	return dst, true
}

// lookupClaim finds the claim at a dotted path. Names of claims may have dots
// themselves: at each level the longest name that is there wins.
func lookupClaim(claims map[string]any, path string) (any, bool) {
	if v, ok := claims[path]; ok {
		return v, true
	}
	for i := strings.LastIndexByte(path, '.'); i > 0; i = strings.LastIndexByte(path[:i], '.') {
		if inner, ok := claims[path[:i]].(map[string]any); ok {
			if v, ok := lookupClaim(inner, path[i+1:]); ok {
				return v, true
			}
		}
	}
	return nil, false
}
