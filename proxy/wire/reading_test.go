package wire

// What the parser reads byte by byte is read here at once, in the other way
// that FuzzChecks holds it against.

// readTarget takes a request target (RFC 9112 section 3.2) apart into its path
// and query, byte for byte, and checks their characters. It has the origin
// form, or the absolute form of the scheme with an authority equal to the
// Host field; only the origin form where scheme is empty.
func readTarget(target, scheme, authority string) (path, query string, hasQuery bool, fault *Error) {
	path = target
	if len(path) == 0 {
		return path, query, false, errNoTarget
	}
	if path[0] == '*' {
		return path, query, false, errAsterisk
	}
	if path[0] != '/' {
		if path, fault = afterAuthority(path, scheme, authority); fault != nil {
			return path, query, false, fault
		}
	}
	if len(path) > 1 && path[1] == '/' {
		return path, query, false, errTwoSlashes
	}
	end, bit := len(path), uint8(classPath)
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case class[c]&bit != 0:
		case c == '%':
			if i+2 >= len(path) || class[path[i+1]]&class[path[i+2]]&classHex == 0 {
				return path, query, false, errEscape
			}
			i += 2
		case c == '?':
			end, bit, hasQuery = i, classQuery, true
		default:
			return path, query, false, targetByte(c)
		}
	}
	if hasQuery {
		query = path[end+1:]
	}
	return path[:end], query, hasQuery, nil
}

// afterAuthority gives what follows the authority of a target in absolute
// form.
func afterAuthority(target, scheme, authority string) (path string, fault *Error) {
	start := len(scheme) + len("://")
	if scheme == "" || len(target) < start || target[:len(scheme)] != scheme || target[len(scheme):start] != "://" {
		return path, errForm
	}
	end := start
	for end < len(target) && class[target[end]]&classAuthority != 0 {
		end++
	}
	switch {
	case end == len(target):
		return path, errNoPath
	case target[end] != '/':
		return path, authorityByte(target[end])
	}
	if !sameAuthority(target[start:end], authority) {
		return path, errAuthority
	}
	return target[end:], nil
}

// fieldValue checks a field value (RFC 9110 section 5.5), which holds no
// control characters but tabs. Bytes from 0x80 on are allowed.
func fieldValue(value string) *Error {
	for i := range len(value) {
		if c := value[i]; class[c]&classValue == 0 {
			return valueByte(c)
		}
	}
	return nil
}
