package sock

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// pair gives both ends of a connection.
func pair(t testing.TB) (ours, theirs net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if theirs, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	ours = New(accepted)
	t.Cleanup(func() { _ = ours.Close(); _ = theirs.Close() })
	_ = theirs.SetDeadline(time.Now().Add(20 * time.Second))
	return ours, theirs
}

// TestBothDirections passes much more than buffers hold, both ways at once.
func TestBothDirections(t *testing.T) {
	ours, theirs := pair(t)
	_ = ours.SetDeadline(time.Now().Add(20 * time.Second))
	sent := make([]byte, 32<<20)
	for i := range sent {
		sent[i] = byte(i * 7 >> 3)
	}
	var wg sync.WaitGroup
	for _, way := range [][2]net.Conn{{ours, theirs}, {theirs, ours}} {
		wg.Go(func() {
			if n, err := way[0].Write(sent); n != len(sent) || err != nil {
				t.Errorf("wrote %d: %v", n, err)
			}
		})
		wg.Go(func() {
			got := make([]byte, len(sent))
			if _, err := io.ReadFull(way[1], got); err != nil || !bytes.Equal(got, sent) {
				t.Errorf("something else came: %v", err)
			}
		})
	}
	wg.Wait()
	_ = theirs.(*net.TCPConn).CloseWrite()
	for range 2 {
		if n, err := ours.Read(make([]byte, 8)); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("at the end: %d, %v", n, err)
		}
	}
	if n, err := ours.Read(nil); n != 0 || err != nil {
		t.Errorf("nothing asked for: %d, %v", n, err)
	}
	if n, err := ours.Write(nil); n != 0 || err != nil {
		t.Errorf("nothing to write: %d, %v", n, err)
	}
}

// TestDeadlines ends reads and writes that wait, and lets later ones go on.
func TestDeadlines(t *testing.T) {
	ours, theirs := pair(t)
	_ = ours.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := ours.Read(make([]byte, 8))
	var timeout net.Error
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("read: %v", err)
	}
	_ = ours.SetReadDeadline(time.Time{})
	if _, err := theirs.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 8)
	if n, err := ours.Read(got); string(got[:n]) != "hello" || err != nil {
		t.Errorf("%q, %v", got[:n], err)
	}
	// Nobody reads: the write stops somewhere, and says where.
	sent := make([]byte, 64<<20)
	_ = ours.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	n, err := ours.Write(sent)
	if !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 || n == len(sent) {
		t.Fatalf("wrote %d: %v", n, err)
	}
	_ = ours.(*Conn).CloseWrite()
	if all, err := io.Copy(io.Discard, theirs); all != int64(n) || err != nil {
		t.Errorf("%d bytes came of %d: %v", all, n, err)
	}
}

// TestClose ends a read that waits.
func TestClose(t *testing.T) {
	ours, _ := pair(t)
	done := make(chan error, 1)
	go func() {
		_, err := ours.Read(make([]byte, 8))
		done <- err
	}()
	_ = ours.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("read: %v", err)
	}
	if _, err := ours.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write: %v", err)
	}
}

// exchanged has a client send parts and get an answer to each, and ends the
// connection with the last in the way that end has. It gives what the loop
// read, and how it ended.
func exchanged(t *testing.T, room, parts int, end func(c *net.TCPConn)) (got []string, err error) {
	t.Helper()
	ours, theirs := pair(t)
	_ = ours.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	var client sync.WaitGroup
	client.Go(func() {
		answer := make([]byte, 2)
		for i := range parts {
			_, _ = theirs.Write([]byte{'a' + byte(i), '0', '1', '2', '3', '4', '5', '6'})
			if i == parts-1 {
				end(theirs.(*net.TCPConn))
			}
			_, _ = io.ReadFull(theirs, answer)
		}
	})
	defer client.Wait()
	b, sum := make([]byte, room), 0
	_, err = ours.(*Conn).ReadLoop(b, func(n int) bool {
		got = append(got, string(b[:n]))
		if sum += n; sum%8 == 0 {
			_, err := ours.Write([]byte("ok"))
			return err == nil
		}
		return true
	})
	_ = ours.Close()
	return got, err
}

// TestReadLoop reads part after part, and sees how the connection ends.
func TestReadLoop(t *testing.T) {
	half := func(c *net.TCPConn) { _ = c.CloseWrite() }
	stay := func(*net.TCPConn) {}
	late, cut := os.ErrDeadlineExceeded, syscall.ECONNRESET
	for name, c := range map[string]struct {
		room, parts int
		end         func(*net.TCPConn)
		want        []error // one of these
	}{
		"one part, and the end":         {64, 1, half, []error{io.EOF}},
		"three parts":                   {64, 3, stay, []error{late}},
		"three parts, and the end":      {64, 3, half, []error{late, io.EOF}}, // with the last part, or on its own
		"parts that fill the buffer":    {8, 3, half, []error{io.EOF}},
		"parts larger than the buffer":  {3, 3, stay, []error{late}},
		"parts larger, and the end":     {4, 3, half, []error{io.EOF}},
		"three parts, and no one there": {64, 3, func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() }, []error{cut, nil}}, // nil: the answer failed
	} {
		got, err := exchanged(t, c.room, c.parts, c.end)
		if !slices.ContainsFunc(c.want, func(want error) bool { return errors.Is(err, want) }) {
			t.Errorf("%s: %v, want one of %v", name, err, c.want)
		}
		// A reset may throw away what was not read.
		if all := strings.Join(got, ""); len(all) != 8*c.parts && !slices.Contains(c.want, error(cut)) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestReadLoopStops gives what each was called with last, and goes on from
// there.
func TestReadLoopStops(t *testing.T) {
	ours, theirs := pair(t)
	b := make([]byte, 64)
	for range 3 {
		if _, err := theirs.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if n, err := ours.(*Conn).ReadLoop(b, func(int) bool { return false }); string(b[:n]) != "hello" || err != nil {
			t.Errorf("%q, %v", b[:n], err)
		}
	}
	done := make(chan error, 1)
	go func() {
		_, err := ours.(*Conn).ReadLoop(b, func(int) bool { return true })
		done <- err
	}()
	_ = ours.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// TestReadLoopPipelined loses nothing where parts come before the answer to
// those before.
func TestReadLoopPipelined(t *testing.T) {
	ours, theirs := pair(t)
	const parts = 20_000
	go func() {
		part := []byte("01234567")
		for range parts {
			_, _ = theirs.Write(part)
		}
	}()
	_ = ours.SetReadDeadline(time.Now().Add(20 * time.Second))
	sum := 0
	b := make([]byte, 32)
	if _, err := ours.(*Conn).ReadLoop(b, func(n int) bool { sum += n; return sum < 8*parts }); err != nil || sum != 8*parts {
		t.Errorf("%d bytes came: %v", sum, err)
	}
}

// TestReset gives the error of a connection that the peer has cut.
func TestReset(t *testing.T) {
	ours, theirs := pair(t)
	_ = theirs.(*net.TCPConn).SetLinger(0)
	_ = theirs.Close()
	if _, err := ours.Read(make([]byte, 8)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read: %v", err)
	}
	if _, err := ours.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("write: %v", err)
	}
}

// TestOthers leaves other connections as they are.
func TestOthers(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if New(a) != a {
		t.Error("a pipe is taken for a socket")
	}
}

func TestAllocations(t *testing.T) {
	ours, theirs := pair(t)
	b, c := make([]byte, 64), make([]byte, 64)
	if n := testing.AllocsPerRun(1000, func() {
		_, _ = theirs.Write(c)
		_, _ = ours.Read(b)
		_, _ = ours.Write(b)
		_, _ = theirs.Read(c)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkTurn is a message there and back, by a Conn and by what it is made
// of.
func BenchmarkTurn(b *testing.B) {
	for _, direct := range []bool{false, true} {
		b.Run(map[bool]string{false: "net", true: "sock"}[direct], func(b *testing.B) {
			ours, theirs := pair(b)
			if !direct {
				ours = ours.(*Conn).TCPConn
			}
			_ = theirs.SetDeadline(time.Time{})
			go func() {
				buf := make([]byte, 64)
				for {
					n, err := theirs.Read(buf)
					if err != nil {
						return
					}
					_, _ = theirs.Write(buf[:n])
				}
			}()
			buf := make([]byte, 64)
			for b.Loop() {
				_, _ = ours.Write(buf)
				_, _ = ours.Read(buf)
			}
		})
	}
}
