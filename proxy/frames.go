package proxy

import (
	"crypto/rand"
	"encoding/binary"
	"net"
	"sync"
	"time"
)

// Close codes (RFC 6455 section 7.4.1).
const (
	closeGoingAway = 1001
	closePolicy    = 1008
	closeInternal  = 1011
)

// frames follows the frames of one direction of a WebSocket (RFC 6455
// section 5.2), so that a frame of the gate's own can be put between two. It
// judges nothing: what the two sides say is theirs.
type frames struct {
	head   [14]byte
	have   int   // bytes of head
	left   int64 // bytes of the payload that have not passed
	closed bool  // a Close frame passes, or has passed
}

// feed follows bytes as they pass.
func (f *frames) feed(b []byte) {
	for len(b) > 0 {
		if f.left > 0 {
			n := min(f.left, int64(len(b)))
			f.left -= n
			b = b[n:]
			continue
		}
		f.head[f.have] = b[0]
		f.have++
		b = b[1:]
		need := 2
		if f.have >= 2 {
			switch f.head[1] & 0x7f {
			case 126:
				need = 4
			case 127:
				need = 10
			}
			if f.head[1]&0x80 != 0 {
				need += 4
			}
		}
		if f.have < need {
			continue
		}
		switch n := f.head[1] & 0x7f; n {
		case 126:
			f.left = int64(binary.BigEndian.Uint16(f.head[2:]))
		case 127:
			f.left = int64(binary.BigEndian.Uint64(f.head[2:]) &^ (1 << 63))
		default:
			f.left = int64(n)
		}
		if f.head[0]&0x0f == 8 {
			f.closed = true
		}
		f.have = 0
	}
}

// between tells whether the last byte that passed was a frame's last.
func (f *frames) between() bool { return f.have == 0 && f.left == 0 }

// closeFrame makes a Close frame. A client's frames are masked (RFC 6455
// section 5.3), and towards the upstream the gate is one.
func closeFrame(code uint16, reason string, masked bool) []byte {
	payload := binary.BigEndian.AppendUint16(nil, code)
	payload = append(payload, reason...)
	b := []byte{0x88, byte(len(payload))}
	if !masked {
		return append(b, payload...)
	}
	b[1] |= 0x80
	var key [4]byte
	_, _ = rand.Read(key[:]) // never fails
	b = append(b, key[:]...)
	for i, c := range payload {
		b = append(b, c^key[i%4])
	}
	return b
}

// flow is one direction of a tunnel.
type flow struct {
	from, to net.Conn
	idle     time.Duration
	tunnel   *tunnel
	other    *flow
	masked   bool // the frames that pass are masked
	frames   frames
	bytes    int64

	mu    sync.Mutex
	until time.Time // the end that the tunnel set, zero before
	moved time.Time // when something last passed
}

// interrupt ends the flow by a moment, and wakes it up now.
func (f *flow) interrupt(until time.Time) {
	f.mu.Lock()
	f.until = until
	f.mu.Unlock()
	_ = f.from.SetReadDeadline(time.Unix(1, 0))
}

// arm sets the deadlines of the next read and write.
func (f *flow) arm(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	until := f.until
	if until.IsZero() {
		until = now.Add(f.idle)
	}
	_ = f.from.SetReadDeadline(until)
	_ = f.to.SetWriteDeadline(until)
}

// ending tells that the tunnel is to end.
func (f *flow) ending() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.until.IsZero()
}

func (f *flow) lastMoved() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.moved
}

// buffers are what flows copy through.
var buffers = sync.Pool{New: func() any { b := make([]byte, 16<<10); return &b }}

// pump passes bytes until one side ends, nothing moves in either direction
// for too long, or the tunnel is to end.
func (f *flow) pump() {
	defer func() {
		// The other direction has nothing to say to a side that is gone.
		f.other.interrupt(time.Now().Add(closeWait))
	}()
	held := buffers.Get().(*[]byte)
	defer buffers.Put(held)
	buf := *held
	said := false // our own Close has gone out
	var armed time.Time
	f.mu.Lock()
	f.moved = time.Now()
	f.mu.Unlock()
	for {
		now := time.Now()
		if now.Sub(armed) > f.idle/8 || f.ending() {
			f.arm(now)
			armed = now
		}
		if f.ending() && !said && f.frames.between() && f.closing() {
			said = true
			if _, err := f.to.Write(closeFrame(f.tunnel.code, f.tunnel.reason, f.masked)); err != nil {
				return
			}
			if f.frames.closed {
				return
			}
			// What comes now, up to the other side's Close, goes nowhere.
		}
		n, err := f.from.Read(buf)
		if n > 0 {
			f.frames.feed(buf[:n])
			if !said {
				if _, werr := f.to.Write(buf[:n]); werr != nil {
					return
				}
				f.bytes += int64(n)
			} else if f.frames.closed {
				return
			}
			f.mu.Lock()
			f.moved = time.Now()
			f.mu.Unlock()
		}
		if err != nil && !f.goesOn(err) {
			return
		}
	}
}

// closing tells whether the gate ends the tunnel itself.
func (f *flow) closing() bool {
	select {
	case <-f.tunnel.closing:
		return true
	default:
		return false
	}
}

// goesOn tells whether the flow goes on after a failed read: one that was
// only woken up, or was silent while the other direction was not.
func (f *flow) goesOn(err error) bool {
	n, ok := err.(net.Error) //nolint:errorlint // the connections give it bare
	if !ok || !n.Timeout() {
		return false
	}
	now := time.Now()
	f.mu.Lock()
	until := f.until
	f.mu.Unlock()
	if !until.IsZero() {
		return now.Before(until) && f.closing()
	}
	return now.Sub(f.other.lastMoved()) < f.idle
}
