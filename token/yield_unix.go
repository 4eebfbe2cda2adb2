//go:build unix

package token

import (
	"os"
	"runtime"
	"syscall"
)

// yielder lets whatever has come from the network go first. On a single
// processor the scheduler looks for that only when nothing else can run, or
// every 10 ms: runtime.Gosched alone is not enough. So the yielder waits for a
// byte of its own, with which the poller finds all that was there before.
// One goroutine at a time may use it.
type yielder struct {
	out  *os.File
	in   syscall.RawConn
	step func(fd uintptr) bool
	sent bool
	b    [1]byte
}

// newYielder gives nil where the system has no pipe to give.
func newYielder() *yielder {
	in, out, err := os.Pipe()
	if err != nil {
		return nil
	}
	raw, err := in.SyscallConn()
	if err != nil {
		return nil
	}
	y := &yielder{out: out, in: raw}
	y.step = y.turn
	return y
}

func (y *yielder) yield() {
	if y == nil {
		runtime.Gosched()
		return
	}
	y.sent = false
	_ = y.in.Read(y.step)
	runtime.Gosched() // the poller wakes those who came last first
}

// turn sends the byte the first time, and takes it when it has come.
func (y *yielder) turn(fd uintptr) (done bool) {
	if !y.sent {
		n, err := y.out.Write(y.b[:])
		y.sent = true
		return n != 1 || err != nil
	}
	n, err := syscall.Read(int(fd), y.b[:])
	return n > 0 || err != syscall.EAGAIN && err != syscall.EINTR
}
