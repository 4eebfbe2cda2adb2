package cache

import (
	"strconv"
	"time"
)

// A Status is one member of the Cache-Status field (RFC 9211): how this cache
// took part in an answer.
type Status struct {
	// Hit tells that the answer came from the store. Then Forward is empty.
	Hit bool
	// Forward is why the request went upstream, and ForwardStatus what came
	// back, if that is not the status of the answer given; 0 says nothing.
	Forward       Forward
	ForwardStatus int
	// TTL is how long the answer stays fresh, negative when it no longer is;
	// HasTTL tells that it is known.
	TTL    time.Duration
	HasTTL bool
	// Stored tells that the answer from upstream was stored, Collapsed that
	// it was fetched for another request.
	Stored, Collapsed bool
	// Key names what is stored, for people; empty says nothing.
	Key string
	// Detail says more, in hopgate's own words; empty says nothing.
	Detail string
}

// Append appends the member, as the cache of that name, which is a token
// (RFC 9651 section 3.3.4). It allocates nothing beyond dst.
func (s *Status) Append(dst []byte, name string) []byte {
	dst = append(dst, name...)
	switch {
	case s.Hit:
		dst = append(dst, "; hit"...)
	case s.Forward != "":
		dst = append(dst, "; fwd="...)
		dst = append(dst, s.Forward...)
		if s.ForwardStatus != 0 {
			dst = append(dst, "; fwd-status="...)
			dst = strconv.AppendInt(dst, int64(s.ForwardStatus), 10)
		}
	}
	if s.HasTTL {
		dst = append(dst, "; ttl="...)
		dst = strconv.AppendInt(dst, wholeSeconds(s.TTL), 10)
	}
	if s.Stored {
		dst = append(dst, "; stored"...)
	}
	if s.Collapsed {
		dst = append(dst, "; collapsed"...)
	}
	if s.Key != "" {
		dst = append(dst, "; key="...)
		dst = appendString(dst, s.Key)
	}
	if s.Detail != "" {
		dst = append(dst, "; detail="...)
		dst = appendString(dst, s.Detail)
	}
	return dst
}

// wholeSeconds rounds down, so that nothing seems fresher than it is.
func wholeSeconds(d time.Duration) int64 {
	s := int64(d / time.Second)
	if d < 0 && d%time.Second != 0 {
		s--
	}
	return s
}

// AppendAge appends the value of the Age field (RFC 9111 section 5.1).
func AppendAge(dst []byte, age time.Duration) []byte {
	return strconv.AppendInt(dst, int64(max(age, 0)/time.Second), 10)
}

// appendString appends a string (RFC 9651 section 3.3.3). Characters that it
// cannot have are percent-encoded.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ' || c > '~':
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
