package proxy

import (
	"bufio"
	"io"
	"net"
	"testing"
)

// TestHitAllocationsOnTheWire: a hit takes no allocation from the first byte
// read to the last one written either.
func TestHitAllocationsOnTheWire(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	w := newWorld(t, settings(measuredRoutes))
	w.gate.access = nil // it writes in a goroutine of its own
	request := "GET /cached/alice HTTP/1.1\r\nHost: gate.example\r\nAuthorization: " + w.bearer(claims{"sub": "alice", "permissions": []string{"read"}})[1] + "\r\n\r\n"
	c, err := net.Dial("tcp", w.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	br := bufio.NewReader(c)
	buf, sent := make([]byte, 4<<10), []byte(request)
	ask := func() {
		if _, err := c.Write(sent); err != nil {
			t.Fatal(err)
		}
		// All of an answer that is this short comes in one piece, and the
		// next request waits for it.
		n, err := br.Read(buf)
		if err != nil && err != io.EOF {
			t.Fatal(err)
		}
		if n < 15 || string(buf[:15]) != "HTTP/1.1 200 OK" {
			t.Fatalf("%q", buf[:n])
		}
	}
	for range 100 {
		ask()
	}
	if n := testing.AllocsPerRun(1000, ask); n > 0 {
		t.Errorf("a hit takes %v allocations", n)
	}
}
