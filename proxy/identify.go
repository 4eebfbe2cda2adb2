package proxy

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
)

// identify finds out who sent the request, and names it.
func (x *exchange) identify() {
	s := x.snapshot
	x.trusted = trusts(s.trusted, x.peer.Addr())
	x.client, x.chain = clientAddress(x.peer.Addr(), x.fields, s.trusted)
	if x.client.IsValid() {
		x.clientText = x.client.AppendTo(x.clientText[:0])
	}
	x.nameRequest()
}

// nameRequest takes the request id of a trusted proxy, or makes one.
func (x *exchange) nameRequest() {
	if x.trusted {
		if id, n := x.fields.Field(x.snapshot.requestID); n == 1 && validRequestID(id) {
			x.requestID = append(x.requestID[:0], id...)
			return
		}
	}
	// The global generator is seeded by the system and unpredictable, and an
	// id is no secret.
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], rand.Uint64()) //nolint:gosec // see above
	binary.BigEndian.PutUint64(b[8:], rand.Uint64()) //nolint:gosec // see above
	x.requestID = hex.AppendEncode(x.requestID[:0], b[:])
}

// validRequestID tells whether an id can be echoed, logged and sent on.
func validRequestID(id string) bool {
	if id == "" || len(id) > 128 {
		return false
	}
	for i := 0; i < len(id); i++ {
		c := id[i]
		if class[c]&classUnreserved == 0 && c != '+' && c != '/' && c != '=' && c != ':' && c != ',' && c != '@' {
			return false
		}
	}
	return true
}

// admit asks the route's rate limit for this request, and tells the caller
// how the budget stands (RateLimit header fields).
func (x *exchange) admit() bool {
	rt := x.route
	if rt.limiter == nil {
		return true
	}
	v := rt.limiter.take(x.limitKey(), x.start)
	x.scratch = appendRateLimit(x.scratch[:0], rt.limit.By, v)
	x.answer.add("RateLimit-Policy", rt.policyField)
	x.answer.addBytes(nameRateLimit, x.scratch)
	if !v.ok {
		x.scratch = appendSeconds(x.scratch[:0], v.retry)
		x.answer.addBytes(nameRetryAfter, x.scratch)
	}
	return v.ok
}

// limitKey says whose budget a request is taken from.
func (x *exchange) limitKey() []byte {
	by := x.route.limit.By
	if by == "user" && x.route.Config.Anonymous {
		by = "ip"
	}
	x.key = x.key[:0]
	switch by {
	case "user":
		x.key = appendPart(x.key, x.principal.Issuer)
		x.key = appendPart(x.key, x.principal.UserID)
	case "org":
		x.key = appendPart(x.key, x.principal.Issuer)
		x.key = appendPart(x.key, x.principal.OrgID)
	case "ip":
		a := x.client
		if !a.IsValid() {
			// Nobody can tell who it is: not one budget for all of those.
			a = x.peer.Addr()
		}
		if a.Is6() {
			// One IPv6 subscriber has a /64 of addresses.
			if p, err := a.Prefix(64); err == nil {
				a = p.Addr()
			}
		}
		x.key = a.AppendTo(x.key)
	}
	return x.key
}

// appendPart appends text to a key so that no two sequences of parts make
// the same key.
func appendPart(key []byte, part string) []byte {
	key = binary.AppendUvarint(key, uint64(len(part)))
	return append(key, part...)
}
