package wire

// feedTarget follows the bytes of a request target and the space after it,
// or as many of them as b has.
func (p *parser) feedTarget(b []byte) (good int, fault *Error) {
	m := &p.message
	i := 0
	for i < len(b) {
		c := b[i]
		switch p.at {
		case atTarget:
			if fault := p.firstByte(c); fault != nil {
				return i, fault
			}
			if p.at == atScheme {
				continue
			}

		case atScheme:
			scheme := "http://"
			if p.limits.HTTPS {
				scheme = "https://"
			}
			if c != scheme[p.matched] {
				return i, errForm
			}
			if p.matched++; int(p.matched) == len(scheme) {
				p.at = atAuthority
			}

		case atAuthority:
			if fault := p.authorityByte(c); fault != nil {
				return i, fault
			}

		case atPathStart:
			if c == '/' {
				return i, errTwoSlashes
			}
			p.at = atPath
			continue

		case atPath, atQuery:
			bit := uint8(classPath)
			if p.at == atQuery {
				bit = classQuery
			}
			n := span(b[i:], bit)
			if m.target += n; m.target > p.limits.MaxTarget {
				return i + n - (m.target - p.limits.MaxTarget), errTargetLong
			}
			if i += n; i == len(b) {
				return i, nil
			}
			switch c = b[i]; c {
			case ' ':
				p.at, p.matched = atVersion, 0
				return i + 1, nil
			case '%':
				p.returns, p.at = p.at, atEscape1
			case '?': // the first one: queries may have more
				p.at = atQuery
			default:
				return i, targetByte(c)
			}

		case atEscape1, atEscape2:
			if class[c]&classHex == 0 {
				return i, errEscape
			}
			if p.at++; p.at > atEscape2 {
				p.at = p.returns
			}
		}
		if m.target == p.limits.MaxTarget {
			return i, errTargetLong
		}
		m.target++
		i++
	}
	return i, nil
}

// firstByte decides the form of a target.
func (p *parser) firstByte(c byte) *Error {
	switch c {
	case '/':
		p.at = atPathStart
	case '*':
		return errAsterisk
	case ' ', '\t':
		return errSpaces
	case '\r', '\n':
		return errNoTarget
	default:
		if class[c]&classAuthority == 0 {
			return targetByte(c)
		}
		p.at, p.matched, p.message.absolute = atScheme, 0, true
		if p.carry == nil {
			p.carry = carries.Get().(*carry)
		}
	}
	return nil
}

// authorityByte follows the authority of a target in absolute form, and
// keeps it until the Host field comes.
func (p *parser) authorityByte(c byte) *Error {
	k := p.carry
	switch {
	case c == '/':
		if k.authorities == 0 {
			return errAuthority
		}
		p.at = atPathStart
	case class[c]&classAuthority == 0:
		return authorityByte(c)
	case k.authorities == len(k.authority):
		return errAuthority
	default:
		k.authority[k.authorities] = c
		k.authorities++
	}
	return nil
}

// versionByte follows the version and the CR after it.
func (p *parser) versionByte(c byte) *Error {
	const version = "HTTP/1."
	switch {
	case int(p.matched) < len(version):
		if c != version[p.matched] {
			return p.badVersionByte(c)
		}
	case int(p.matched) == len(version):
		if c != '0' && c != '1' {
			return p.badVersionByte(c)
		}
		p.message.http10 = c == '0'
	case c == '\r':
		p.at = atRequestLF
	default:
		return p.badVersionByte(c)
	}
	p.matched++
	return nil
}

func (p *parser) badVersionByte(c byte) *Error {
	switch c {
	case ' ', '\t':
		return errSpaces
	case '\r', '\n':
		if p.matched == 0 {
			return errNoVersion
		}
		if c == '\n' {
			return errBareLF
		}
	}
	return errVersion
}
