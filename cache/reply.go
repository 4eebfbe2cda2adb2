package cache

import (
	"strconv"
	"time"
)

// A Reply is how a client is answered from an [Answer].
type Reply struct {
	// Status is the answer's own, 304, 206 or 416.
	Status int
	// Body is what is sent, empty for 304 and 416. It is not yet left out
	// for HEAD, where its length is still said.
	Body []byte
	// Cut tells that it is less than the answer.
	Cut bool

	first, size int // size -1: not known
}

// Reply evaluates the request's preconditions and range against the answer
// (RFC 9110 sections 13.2.2 and 14.2, RFC 9111 section 4.3.2). Only a
// request for one range gets a part; more than one, like a range that cannot
// be understood, gets the whole. It does not allocate.
func (a *Answer) Reply(method string, req Fields) Reply {
	whole := Reply{Status: a.status, Body: a.body}
	if a.status < 200 || a.status > 299 || method != "GET" && method != "HEAD" {
		return whole
	}
	if a.unmodified(req) {
		return Reply{Status: 304, Cut: true}
	}
	if a.status == 206 && method == "GET" {
		return a.replyPart(req)
	}
	ranges, n := req.Field("range")
	if n != 1 || a.status != 200 || method != "GET" || !a.ifRange(req) {
		return whole
	}
	first, last, ok := parseRange(ranges, len(a.body))
	switch {
	case !ok:
		return whole
	case first >= len(a.body):
		return Reply{Status: 416, Cut: true, size: len(a.body)}
	}
	return Reply{Status: 206, Cut: true, Body: a.body[first : last+1], first: first, size: len(a.body)}
}

// unmodified evaluates If-None-Match, or If-Modified-Since where there is
// none.
func (a *Answer) unmodified(req Fields) bool {
	if list, n := req.Field("if-none-match"); n > 0 {
		etag, tags := a.Field("etag")
		for {
			member, rest, ok := nextETag(list)
			if !ok {
				return false
			}
			if member == "*" || tags == 1 && isETag(etag) && weakEqual(etag, member) {
				return true
			}
			list = rest
		}
	}
	since, n := req.Field("if-modified-since")
	if n != 1 {
		return false
	}
	limit, ok := parseDate(since, time.Now())
	if !ok {
		return false
	}
	// Without Last-Modified the time of the answer stands for it.
	for _, name := range [...]string{"last-modified", "date"} {
		if value, n := a.Field(name); n > 0 {
			t, ok := parseDate(value, limit)
			return ok && n == 1 && !t.After(limit)
		}
	}
	return false
}

// ifRange tells whether If-Range, where there is one, lets the range count
// (RFC 9110 section 13.1.5): by a strong entity tag, or by a date that is
// exactly Last-Modified and long enough before Date to be strong.
func (a *Answer) ifRange(req Fields) bool {
	value, n := req.Field("if-range")
	if n == 0 {
		return true
	}
	if isETag(value) {
		etag, _ := a.Field("etag")
		return !isWeak(value) && string(etag) == value
	}
	modified, n := a.Field("last-modified")
	if n != 1 || string(modified) != value {
		return false
	}
	at, ok := parseDate(modified, time.Time{})
	date, dated := a.Field("date")
	if !ok || dated != 1 {
		return false
	}
	then, ok := parseDate(date, time.Time{})
	return ok && then.Sub(at) >= time.Second
}

// parseRange reads a Range field with one range of bytes (RFC 9110 section
// 14.1.2) for a body of that size. A range that begins behind it has first
// at least size.
func parseRange(value string, size int) (first, last int, ok bool) {
	const unit = "bytes="
	if len(value) <= len(unit) || !equalFold(value[:len(unit)], unit) {
		return 0, 0, false
	}
	spec := trim(value[len(unit):])
	dash := -1
	for i := range len(spec) {
		if spec[i] == '-' && dash < 0 {
			dash = i
		}
	}
	if dash < 0 {
		return 0, 0, false
	}
	from, hasFrom := parseDigits(spec[:dash])
	to, hasTo := parseDigits(spec[dash+1:])
	switch {
	case dash > 0 && !hasFrom, dash < len(spec)-1 && !hasTo, !hasFrom && !hasTo:
		return 0, 0, false
	case !hasFrom:
		// The last so many bytes.
		if to == 0 {
			return size, size, true
		}
		return size - int(min(to, int64(size))), size - 1, true
	case hasTo && to < from:
		return 0, 0, false
	case from >= int64(size):
		return size, size, true
	case !hasTo:
		return int(from), size - 1, true
	}
	return int(from), int(min(to, int64(size-1))), true
}

// Has tells whether a field of the answer belongs to the reply: a 304 has
// none about a body that it does not have (RFC 9110 section 15.4.5), a 416
// none about the one that was not sent.
func (r Reply) Has(name []byte) bool {
	if r.Status != 304 && r.Status != 416 && r.Status != 206 {
		return true
	}
	if equalFold(name, "content-length") || equalFold(name, "content-range") {
		return false
	}
	if r.Status == 206 {
		return true
	}
	const prefix = "content-"
	if len(name) > len(prefix) && equalFold(name[:len(prefix)], prefix) {
		return equalFold(name, "content-location") && r.Status == 304
	}
	return r.Status == 304 || !equalFold(name, "etag") && !equalFold(name, "last-modified") && !equalFold(name, "cache-control") && !equalFold(name, "expires")
}

// AppendContentRange appends the value of the Content-Range that a 206 or 416
// has (RFC 9110 section 14.4).
func (r Reply) AppendContentRange(dst []byte) []byte {
	dst = append(dst, "bytes "...)
	if r.Status == 416 {
		dst = append(dst, '*')
	} else {
		dst = strconv.AppendInt(dst, int64(r.first), 10)
		dst = append(dst, '-')
		dst = strconv.AppendInt(dst, int64(r.first+len(r.Body)-1), 10)
	}
	dst = append(dst, '/')
	if r.size < 0 {
		return append(dst, '*')
	}
	return strconv.AppendInt(dst, int64(r.size), 10)
}
