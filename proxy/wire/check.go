package wire

// maxMethod and maxHost bound a method and a Host field's value, in bytes. A
// host is at most a name of 255 bytes with a port.
const (
	maxMethod = 32
	maxHost   = 261
)

// checkMethod checks a request's method (RFC 9110 section 9.1). It accepts names
// of capital letters, digits, - and _, but neither CONNECT nor TRACE, nor
// the PRI of an HTTP/2 preface.
func checkMethod[T text](m T) *Error {
	switch {
	case len(m) == 0:
		return errMethodByte
	case len(m) > maxMethod:
		return errMethodLong
	case !within(m, classToken):
		return errMethodByte
	case !within(m, classMethod) || m[0] < 'A' || m[0] > 'Z':
		return errMethod
	}
	switch string(m) {
	case "CONNECT":
		return errConnect
	case "TRACE":
		return errTrace
	case "PRI":
		return errPreface
	}
	return nil
}

// Host checks a Host field's value, or an :authority pseudo-header field
// (RFC 9110 section 7.2), and takes it apart. host keeps its case and the
// brackets of an IPv6 address; port is empty where there is none.
func Host[T text](value T) (host, port T, fault *Error) {
	if len(value) == 0 || len(value) > maxHost {
		return host, port, errHost
	}
	end := 0
	if value[0] == '[' {
		for end < len(value) && value[end] != ']' {
			end++
		}
		if end == len(value) || !ipv6(value[1:end]) {
			return host, port, errHost
		}
		end++
	} else {
		for end < len(value) && value[end] != ':' {
			c := value[end]
			if class[c]&classHost == 0 || c == '.' && (end == 0 || value[end-1] == '.') {
				return host, port, errHost
			}
			end++
		}
		if end == 0 {
			return host, port, errHost
		}
	}
	host = value[:end]
	if end == len(value) {
		return host, port, nil
	}
	port = value[end+1:]
	if value[end] != ':' || len(port) == 0 || len(port) > 5 {
		return host, port, errHost
	}
	n := 0
	for i := range len(port) {
		if port[i] < '0' || port[i] > '9' {
			return host, port, errHost
		}
		n = n*10 + int(port[i]-'0')
	}
	if n > 65535 {
		return host, port, errHost
	}
	return host, port, nil
}

// ipv6 tells whether a is an IPv6 address (RFC 3986 section 3.2.2), without
// a zone.
func ipv6[T text](a T) bool {
	groups, elided, i := 0, false, 0
	if len(a) >= 2 && a[0] == ':' && a[1] == ':' {
		elided, i = true, 2
	}
	for i < len(a) {
		j := i
		for j < len(a) && class[a[j]]&classHex != 0 {
			j++
		}
		if j < len(a) && a[j] == '.' {
			groups += 2
			if !ipv4(a[i:]) {
				return false
			}
			break
		}
		if j == i || j-i > 4 {
			return false
		}
		groups++
		if j == len(a) {
			break
		}
		if i = j + 1; a[j] != ':' || i == len(a) {
			return false
		}
		if a[i] == ':' {
			if elided {
				return false
			}
			elided = true
			i++
		}
	}
	if elided {
		return groups < 8
	}
	return groups == 8
}

// ipv4 tells whether a is an IPv4 address in four decimal numbers.
func ipv4[T text](a T) bool {
	parts, i := 0, 0
	for {
		n, j := 0, i
		for j < len(a) && j-i < 3 && a[j] >= '0' && a[j] <= '9' {
			n = n*10 + int(a[j]-'0')
			j++
		}
		if j == i || n > 255 || a[i] == '0' && j-i > 1 {
			return false
		}
		parts++
		if j == len(a) {
			return parts == 4
		}
		if a[j] != '.' || parts == 4 {
			return false
		}
		i = j + 1
	}
}

// sameAuthority compares two authorities without regard to case (RFC 3986
// section 6.2.2.1), and otherwise byte for byte: a port that is left out is
// not the default one.
func sameAuthority[T text](a, b T) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower[a[i]] != lower[b[i]] {
			return false
		}
	}
	return len(a) > 0
}

// targetByte names the fault of a byte that ends a target or has no place in
// it.
func targetByte(c byte) *Error {
	switch c {
	case '#':
		return errFragment
	case '\r', '\n':
		return errNoVersion
	case '\t':
		return errSpaces
	}
	return errTargetByte
}

// authorityByte does the same within the authority.
func authorityByte(c byte) *Error {
	switch c {
	case '@':
		return errUserinfo
	case '?', '#', ' ', '\r', '\n':
		return errNoPath
	}
	return errTargetByte
}

// fieldName checks a field name (RFC 9110 section 5.1). A name that differs
// from one that frames or routes a message only by an underscore is refused.
func fieldName[T text](name T) *Error {
	switch {
	case len(name) == 0:
		return errNoName
	case !within(name, classToken):
		return errNameByte
	}
	_, fault := kindOf(name)
	return fault
}

// valueByte names the fault of a byte that a value must not have.
func valueByte(c byte) *Error {
	switch c {
	case 0:
		return errNUL
	case '\r':
		return errBareCR
	case '\n':
		return errBareLF
	}
	return errControl
}

// forbiddenTrailers are fields that must not stand in a trailer (RFC 9110
// section 6.5.1), in small letters with - for _: they frame, route,
// authenticate, condition or describe a message, and were read, or missed,
// in the head.
var forbiddenTrailers = set(
	"transfer-encoding", "content-length", "trailer", "te", "connection", "keep-alive", "proxy-connection", "upgrade",
	"http2-settings", "host", "expect", "max-forwards",
	"authorization", "proxy-authorization", "proxy-authenticate", "www-authenticate", "authentication-info",
	"proxy-authentication-info", "cookie", "set-cookie", "origin",
	"content-encoding", "content-type", "content-range", "content-location", "content-language", "content-disposition",
	"cache-control", "pragma", "expires", "age", "date", "location", "retry-after", "vary", "warning",
	"range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range",
	"accept", "accept-encoding", "accept-language", "accept-charset", "prefer",
	"forwarded", "via", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip", "client-ip",
	"cf-connecting-ip", "fastly-client-ip", "fly-client-ip", "x-envoy-external-address", "x-original-forwarded-for",
	"x-host", "x-original-host", "x-original-url", "x-rewrite-url", "x-original-uri", "x-original-method",
	"x-http-method-override", "x-http-method", "x-method-override", "x-request-id",
)

func set(names ...string) map[string]struct{} {
	m := make(map[string]struct{}, len(names))
	for _, n := range names {
		m[n] = struct{}{}
	}
	return m
}

// longestTrailer bounds the names in forbiddenTrailers, in bytes.
const longestTrailer = 40

// TrailerName checks the name of a field in a trailer section, without
// regard to case and to the difference between _ and -.
func TrailerName[T text](name T) *Error {
	if fault := fieldName(name); fault != nil {
		return fault
	}
	const forwarded = "x-forwarded-"
	if len(name) >= len(forwarded) && isLoosely(name[:len(forwarded)], forwarded) {
		return errTrailerName
	}
	if len(name) > longestTrailer {
		return nil
	}
	var buf [longestTrailer]byte
	for i := range len(name) {
		buf[i] = loose[name[i]]
	}
	if _, found := forbiddenTrailers[string(buf[:len(name)])]; found {
		return errTrailerName
	}
	return nil
}
