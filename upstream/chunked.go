package upstream

// chunked reads the framing of a chunked body (RFC 9112 section 7.1),
// wherever the bytes are cut. It keeps no bytes: trailers are checked and
// dropped.
type chunked struct {
	state  chunkState
	remain int64 // of the chunk being read
	digits int
	line   int // length of the line being read; of all trailers together
}

type chunkState uint8

const (
	chunkSize chunkState = iota
	chunkExtension
	chunkSizeLF
	chunkData
	chunkDataCR
	chunkDataLF
	trailerStart
	trailerName
	trailerValue
	trailerLF
	chunkLastLF
	chunkDone
)

const (
	maxChunkLine    = 1 << 10
	maxChunkDigits  = 15 // below 2^60
	maxTrailerBytes = 16 << 10
)

const (
	errChunkSize = invalidError("malformed chunk size (RFC 9112 section 7.1)")
	errChunkLine = invalidError("a chunk's size line is too long")
	errChunkExt  = invalidError("malformed chunk extension (RFC 9112 section 7.1.1)")
	errChunkEnd  = invalidError("a chunk is longer than it said (RFC 9112 section 7.1)")
	errTrailer   = invalidError("malformed trailer section (RFC 9112 section 7.1.2)")
	errTrailers  = invalidError("the trailer section is too large")
)

func (d *chunked) done() bool { return d.state == chunkDone }

// next reads in b: the first skip bytes are framing, the next data bytes are
// content. It stops after content, at the end of b, or at the body's end.
func (d *chunked) next(b []byte) (skip, data int, err error) {
	for i := 0; i < len(b); i++ {
		if d.state == chunkData {
			n := len(b) - i
			if int64(n) > d.remain {
				n = int(d.remain)
			}
			d.took(n)
			return i, n, nil
		}
		if err := d.framing(b[i]); err != nil {
			return i, 0, err
		}
		if d.state == chunkDone {
			return i + 1, 0, nil
		}
	}
	return len(b), 0, nil
}

// took notes that n bytes of content were taken; n is at most d.remain.
func (d *chunked) took(n int) {
	if d.remain -= int64(n); d.remain == 0 {
		d.state = chunkDataCR
	}
}

// framing reads one byte that is not content.
func (d *chunked) framing(c byte) error {
	switch d.state {
	case chunkSize:
		return d.size(c)
	case chunkExtension:
		if c == '\r' {
			d.state = chunkSizeLF
			return nil
		}
		if d.line++; d.line > maxChunkLine {
			return errChunkLine
		}
		if c < 0x20 && c != '\t' || c == 0x7f {
			return errChunkExt
		}
	case chunkSizeLF:
		if c != '\n' {
			return errChunkSize
		}
		d.digits, d.line = 0, 0
		d.state = chunkData
		if d.remain == 0 {
			d.state = trailerStart
		}
	case chunkDataCR:
		if c != '\r' {
			return errChunkEnd
		}
		d.state = chunkDataLF
	case chunkDataLF:
		if c != '\n' {
			return errChunkEnd
		}
		d.state = chunkSize
	default:
		return d.trailer(c)
	}
	return nil
}

// size reads chunk-size = 1*HEXDIG. No sign, prefix or white space, and no
// size that overflows.
func (d *chunked) size(c byte) error {
	v, hex := unhex(c)
	switch {
	case hex:
		if d.digits++; d.digits > maxChunkDigits {
			return errChunkSize
		}
		d.remain = d.remain<<4 | int64(v)
		return nil
	case d.digits == 0:
		return errChunkSize
	case c == '\r':
		d.state = chunkSizeLF
		return nil
	case c == ';':
		d.state = chunkExtension
		return nil
	}
	return errChunkSize
}

func unhex(c byte) (byte, bool) {
	switch {
	case digit(c):
		return c - '0', true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

// trailer reads a byte of the trailer section, whose lines have the shape of
// field lines.
func (d *chunked) trailer(c byte) error {
	if d.line++; d.line > maxTrailerBytes {
		return errTrailers
	}
	switch d.state {
	case trailerStart:
		if c == '\r' {
			d.state = chunkLastLF
			return nil
		}
		if !token[c] {
			return errTrailer
		}
		d.state = trailerName
	case trailerName:
		switch {
		case c == ':':
			d.state = trailerValue
		case !token[c]:
			return errTrailer
		}
	case trailerValue:
		switch {
		case c == '\r':
			d.state = trailerLF
		case c < 0x20 && c != '\t' || c == 0x7f:
			return errTrailer
		}
	case trailerLF:
		if c != '\n' {
			return errTrailer
		}
		d.state = trailerStart
	case chunkLastLF:
		if c != '\n' {
			return errTrailer
		}
		d.state = chunkDone
	}
	return nil
}
