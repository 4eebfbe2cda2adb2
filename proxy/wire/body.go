package wire

// maxChunkDigits bounds the digits of a chunk size, leading zeros included.
// Fifteen hexadecimal digits are below 2^60 whatever they are.
const maxChunkDigits = 15

// feedBody follows the bytes of a body until its end or the end of b (RFC
// 9112 section 6.2 and 7.1).
func (p *parser) feedBody(b []byte) (good int, fault *Error) {
	m := &p.message
	i := 0
	for i < len(b) {
		c := b[i]
		switch p.at {
		case atBody, atChunk:
			rest := int64(len(b) - i)
			if rest < m.left {
				m.left -= rest
				return len(b), nil
			}
			i += int(m.left)
			m.left = 0
			if p.at == atBody {
				p.finish()
				return i, nil
			}
			p.at = atChunkCR
			continue

		case atChunkSize:
			if fault := p.sizeByte(c); fault != nil {
				return i, fault
			}

		case atChunkSizeLF:
			if c != '\n' {
				return i, errBareCR
			}
			if m.left == 0 {
				p.at, m.trailer, m.fields = atField, true, 0
				return i + 1, nil
			}
			p.at = atChunk

		case atChunkCR:
			if c != '\r' {
				return i, errChunkEnd
			}
			p.at = atChunkLF

		case atChunkLF:
			if c != '\n' {
				return i, errChunkEnd
			}
			p.at, p.matched = atChunkSize, 0

		case atEnd:
			return i, errAfterClose
		}
		i++
	}
	return i, nil
}

// sizeByte follows the size of a chunk and the CR after it.
func (p *parser) sizeByte(c byte) *Error {
	m := &p.message
	if class[c]&classHex != 0 {
		if p.matched == maxChunkDigits {
			return errChunkOverflow
		}
		p.matched++
		m.left = m.left<<4 | int64(unhex[c])
		return nil
	}
	if p.matched == 0 {
		return errChunkSize
	}
	switch c {
	case '\r':
		if p.body += m.left; p.limits.MaxBody > 0 && p.body > p.limits.MaxBody {
			return errBody
		}
		p.at = atChunkSizeLF
		return nil
	case '\n':
		return errBareLF
	case ';':
		return errChunkExtension
	}
	return errChunkSize
}
