package telemetry

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of one line of the access log.
const (
	maxLoggedText = 1 << 10 // bytes of one field; more is cut off
	ellipsis      = "…"
	maxLineFrame  = 1 << 10 // bytes of all that is no text of a Record, names, numbers and time
	maxEscaped    = 6       // bytes that one byte of text becomes at most
)

// Members of a line with the quotes around their text's start.
const (
	routeKey    = `,"route":"`
	decisionKey = `,"decision":"`
	reasonKey   = `,"reason":"`
)

// verdict gives the members of a line that tell of a reason.
func verdict(r Reason) string {
	decision := "deny"
	if r.Allow {
		decision = "allow"
	}
	return decisionKey + decision + `"` + string(append(appendText([]byte(reasonKey), r.Word), '"'))
}

// textSize gives what the record's texts take in a line at most.
func textSize(r *Record) int {
	n := len(r.RequestID) + len(r.Rule) + len(r.Method) + len(r.Host) + len(r.Path) + len(r.Endpoint) +
		len(r.Cache) + len(r.ClientIP) + len(r.UserID) + len(r.OrgID) + len(r.Issuer) + len(r.Denial)
	if n <= maxLoggedText {
		return maxEscaped * n
	}
	n = 0
	for _, s := range [...]string{r.RequestID, r.Rule, r.Method, r.Host, r.Path, r.Endpoint, string(r.Cache), r.ClientIP, r.UserID, r.OrgID, r.Issuer, r.Denial} {
		n += min(len(s), maxLoggedText)
	}
	return maxEscaped * n
}

// appendLine writes what slog's JSONHandler would. Route and verdict are the
// members of the line that are known beforehand.
func appendLine(b []byte, r *Record, route, verdict string, clock *stamp) []byte {
	b = clock.append(b, r.Time)
	if r.Status >= 500 {
		b = append(b, `Z","level":"ERROR","msg":"request"`...)
	} else {
		b = append(b, `Z","level":"INFO","msg":"request"`...)
	}
	b = appendMember(b, `,"request_id":"`, r.RequestID)
	b = append(b, route...)
	b = append(b, verdict...)
	b = appendMember(b, `,"rule":"`, r.Rule)
	b = appendMember(b, `,"method":"`, r.Method)
	b = appendMember(b, `,"host":"`, r.Host)
	b = appendMember(b, `,"path":"`, withoutQuery(r.Path))
	b = appendNumber(append(b, `,"status":`...), int64(r.Status))
	b = appendNumber(append(b, `,"bytes":`...), r.Bytes)
	b = appendMilliseconds(append(b, `,"duration_ms":`...), r.Duration)
	b = appendMilliseconds(append(b, `,"hop_ms":`...), r.Hop)
	if r.Attempts > 0 {
		b = appendMilliseconds(append(b, `,"upstream_ms":`...), r.Upstream)
		b = appendMember(b, `,"upstream":"`, r.Endpoint)
		b = appendNumber(append(b, `,"attempts":`...), int64(r.Attempts))
	}
	b = appendMember(b, `,"cache":"`, string(r.Cache))
	b = appendMember(b, `,"client_ip":"`, r.ClientIP)
	b = appendMember(b, `,"user_id":"`, r.UserID)
	b = appendMember(b, `,"org_id":"`, r.OrgID)
	b = appendMember(b, `,"issuer":"`, r.Issuer)
	if r.Report {
		b = append(b, `,"report":true`...)
		b = appendMember(b, `,"report_reason":"`, r.Denial)
	}
	return append(b, "}\n"...)
}

// withoutQuery cuts off what may hold a secret.
func withoutQuery(path string) string {
	if i := strings.IndexByte(path, '?'); i >= 0 {
		path = path[:i]
	}
	if i := strings.IndexByte(path, '#'); i >= 0 {
		path = path[:i]
	}
	return path
}

// appendMember writes a member of the line; nothing where the text is empty.
// Key has everything before the text.
func appendMember(b []byte, key, text string) []byte {
	if text == "" {
		return b
	}
	b = append(b, key...)
	return append(appendText(b, text), '"')
}

// stamp remembers a second that was formatted, since most lines are of the
// same as the one before.
type stamp struct {
	second int64
	size   int
	text   [48]byte
}

// append writes the start of a line, up to the last digit of its time: RFC
// 3339 with nanoseconds, without zeros at the end.
func (c *stamp) append(b []byte, t time.Time) []byte {
	if second := t.Unix(); second != c.second || c.size == 0 {
		c.second = second
		c.size = len(time.Unix(second, 0).UTC().AppendFormat(append(c.text[:0], `{"time":"`...), "2006-01-02T15:04:05"))
	}
	b = append(b, c.text[:c.size]...)
	n := uint32(t.Nanosecond())
	if n == 0 {
		return b
	}
	digits := [10]byte{0: '.'}
	for i := 9; i > 0; i-- {
		digits[i] = byte('0' + n%10)
		n /= 10
	}
	size := len(digits)
	for digits[size-1] == '0' {
		size--
	}
	return append(b, digits[:size]...)
}

// appendMilliseconds writes a time with three decimals at most.
func appendMilliseconds(b []byte, d time.Duration) []byte {
	us := max(0, d.Microseconds())
	b = appendNumber(b, us/1000)
	if us %= 1000; us != 0 {
		b = append(b, '.', byte('0'+us/100), byte('0'+us/10%10), byte('0'+us%10))
		for b[len(b)-1] == '0' {
			b = b[:len(b)-1]
		}
	}
	return b
}

// appendNumber writes a number in decimal; most have few digits.
func appendNumber(b []byte, n int64) []byte {
	switch {
	case uint64(n) < 10:
		return append(b, byte('0'+n))
	case uint64(n) < 100:
		return append(b, byte('0'+n/10), byte('0'+n%10))
	case uint64(n) < 1000:
		return append(b, byte('0'+n/100), byte('0'+n/10%10), byte('0'+n%10))
	}
	return strconv.AppendInt(b, n, 10)
}

// appendText writes the inside of a JSON string.
func appendText(b []byte, s string) []byte {
	if len(s) <= maxLoggedText && plain(s) {
		return append(b, s...)
	}
	return appendEscaped(b, s)
}

// plain tells whether a text goes into a line as it is: it is ASCII without
// control characters, quotes and backslashes. It looks at eight bytes at a
// time, as all of a log's texts are plain but an attacker's.
func plain(s string) bool {
	const (
		ones   = 0x0101010101010101
		high   = 0x80 * ones
		filler = ' ' * ones
	)
	special := func(w uint64) uint64 {
		quote, slash := w^'"'*ones, w^'\\'*ones
		// The top bit of a byte is set by: not ASCII, less than a blank, a
		// quote, a backslash, DEL.
		return (w | (w - ' '*ones) | (quote - ones) | (slash - ones) | (w + ones)) & high
	}
	n := len(s)
	switch {
	case n >= 8:
		found := special(word(s[n-8:]))
		for ; len(s) > 8; s = s[8:] {
			found |= special(word(s))
		}
		return found == 0
	case n >= 4:
		return special(uint64(half(s))|uint64(half(s[n-4:]))<<32) == 0
	case n > 0:
		return special(filler&^0xffffff|uint64(s[0])|uint64(s[n/2])<<8|uint64(s[n-1])<<16) == 0
	}
	return true
}

func word(s string) uint64 { return uint64(half(s)) | uint64(half(s[4:]))<<32 }

func half(s string) uint32 {
	_ = s[3]
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

// appendEscaped writes text as JSON has it. What a terminal could take for a
// command becomes U+FFFD: JSON escapes the C0 control characters, but neither
// DEL, the C1 ones, nor those that turn the direction of writing. So does
// what is no UTF-8.
func appendEscaped(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	cut := len(s) > maxLoggedText
	if cut {
		s = s[:cutAt(s, maxLoggedText-len(ellipsis))]
	}
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x7f {
			r, size := utf8.DecodeRuneInString(s[i:])
			if unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Cf, r) {
				r = utf8.RuneError
			}
			b = utf8.AppendRune(b, r)
			i += size
			continue
		}
		i++
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c >= ' ':
			b = append(b, c)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c == '\t':
			b = append(b, `\t`...)
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	if cut {
		b = append(b, ellipsis...)
	}
	return b
}

// cutAt gives the largest length up to n that splits no character of s.
func cutAt(s string, n int) int {
	for i := n; i > n-utf8.UTFMax; i-- {
		if utf8.RuneStart(s[i]) {
			return i
		}
	}
	return n
}
