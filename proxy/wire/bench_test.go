package wire

import (
	"net"
	"strings"
	"testing"
)

// usual is a request as a browser sends it, with a token: 600 bytes of head.
var usual = func() string {
	const head = "GET /v1/organizations/org_2abc/users?limit=50&offset=100 HTTP/1.1\r\n" +
		"Host: api.example.com\r\n" +
		"Connection: keep-alive\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n" +
		"Accept: application/json\r\n" +
		"Accept-Encoding: gzip, deflate, br, zstd\r\n" +
		"Accept-Language: de-DE,de;q=0.9,en;q=0.8\r\n" +
		"Origin: https://app.example.com\r\n" +
		"Referer: https://app.example.com/\r\n" +
		"Authorization: Bearer "
	return head + strings.Repeat("x", 600-len(head)-4) + "\r\n\r\n"
}()

// endless is a connection that gives the same bytes with each read.
type endless struct {
	net.Conn
	data []byte
}

func (e *endless) Read(b []byte) (int, error) { return copy(b, e.data), nil }

func BenchmarkReadBare(b *testing.B) { benchmarkRead(b, &endless{data: []byte(usual)}) }

func BenchmarkReadGuarded(b *testing.B) {
	benchmarkRead(b, NewConn(&endless{data: []byte(usual)}, Limits{}))
}

func BenchmarkReadGuardedWithTimeouts(b *testing.B) {
	client, server := net.Pipe()
	defer client.Close()
	c := NewConn(&endless{Conn: server, data: []byte(usual)}, Limits{Timeouts: Timeouts{Idle: 1e10, Head: 1e10, Body: 1e10}})
	benchmarkRead(b, c)
}

func BenchmarkReadGuardedChunk(b *testing.B) {
	body := "8000\r\n" + strings.Repeat("x", 32<<10) + "\r\n"
	c := NewConn(&endless{data: []byte(body)}, Limits{})
	if _, fault := c.parser.feed([]byte("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")); fault != nil {
		b.Fatal(fault)
	}
	benchmarkRead(b, c)
}

func benchmarkRead(b *testing.B, c net.Conn) {
	buf := make([]byte, 64<<10)
	b.ReportAllocs()
	for b.Loop() {
		n, err := c.Read(buf)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(n))
	}
}

// The same over loopback, with an answer for each request: what the guard
// adds to a round trip.
func BenchmarkRoundTripBare(b *testing.B) {
	benchmarkRoundTrip(b, func(c net.Conn) net.Conn { return c })
}

func BenchmarkRoundTripGuarded(b *testing.B) {
	benchmarkRoundTrip(b, func(c net.Conn) net.Conn { return NewConn(c, Limits{}) })
}

func benchmarkRoundTrip(b *testing.B, guard func(net.Conn) net.Conn) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		c = guard(c)
		buf := make([]byte, 4096)
		for {
			if n, err := c.Read(buf); err != nil || n != len(usual) {
				return
			}
			if _, err := c.Write(buf[:100]); err != nil {
				return
			}
		}
	}()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	request, buf := []byte(usual), make([]byte, 4096)
	for b.Loop() {
		if _, err := client.Write(request); err != nil {
			b.Fatal(err)
		}
		if n, err := client.Read(buf); err != nil || n != 100 {
			b.Fatal(n, err)
		}
	}
}
