package upstream

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"hopgate/config"
)

// answerBytes is an answer of 1 KiB as an API gives it.
var answerBytes = "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Mon, 02 Nov 2026 10:00:00 GMT\r\nContent-Type: application/json\r\n" +
	"Content-Length: 1024\r\nConnection: keep-alive\r\nCache-Control: no-store\r\nX-Request-Id: 4c1b0c5d9a3f4e7f\r\n\r\n" +
	strings.Repeat("x", 1024)

// quickServer answers every request with the same bytes, at the least cost a
// peer can have.
func quickServer(tb testing.TB, answer string) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { l.Close() })
	go quickly(l, answer)
	return l.Addr().String()
}

func quickly(l net.Listener, answer string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			b, answer := make([]byte, 4096), []byte(answer)
			for {
				n, err := c.Read(b)
				if err != nil {
					return
				}
				if bytes.HasSuffix(b[:n], []byte("\r\n\r\n")) {
					if _, err := c.Write(answer); err != nil {
						return
					}
				}
			}
		}()
	}
}

// childAnswer makes the test's binary a quick server in a process of its own
// that gives this answer, so that a benchmark counts the client's CPU time
// alone.
const childAnswer = "HOPGATE_TEST_ANSWER"

// quickChild serves until its standard input ends.
func quickChild(answer string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	os.Stdout.WriteString(l.Addr().String() + "\n")
	go quickly(l, answer)
	io.Copy(io.Discard, os.Stdin)
}

// quickProcess is quickServer in another process.
func quickProcess(b *testing.B, answer string) string {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childAnswer+"="+answer)
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { in.Close(); cmd.Wait() })
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(address)
}

// cpu is the CPU time of this process so far, user and system.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measured runs body and reports the CPU time of each operation.
func measured(b *testing.B, body func(pb *testing.PB)) {
	b.ReportAllocs()
	b.SetParallelism(32)
	began := cpu(b)
	b.ResetTimer()
	b.RunParallel(body)
	b.StopTimer()
	b.ReportMetric(float64(cpu(b)-began)/float64(b.N), "cpu-ns/op")
}

// BenchmarkExchange compares a small exchange with fasthttp's client. What
// counts is cpu-ns/op.
func BenchmarkExchange(b *testing.B) {
	address := quickProcess(b, answerBytes)
	b.Run("client=hopgate", func(b *testing.B) {
		p := newPool(b, func(u *config.Upstream) { u.MaxConnections = 512 }, "http://"+address)
		measured(b, func(pb *testing.PB) {
			var q Request
			var r Response
			for pb.Next() {
				q.Reset()
				q.Method = "GET"
				q.Target = append(q.Target[:0], "/v1/users/user_2NNEqL2nrIRdJ194ndJqAHwEfxC"...)
				q.Add("Accept", "application/json")
				q.Add("User-Agent", "curl/8.10.1")
				q.Add("X-Request-Id", "4c1b0c5d9a3f4e7f")
				if err := p.Do(context.Background(), &q, &r); err != nil {
					b.Error(err)
					return
				}
				if len(r.Body()) != 1024 {
					b.Error("short body")
				}
				r.Release()
			}
		})
	})
	b.Run("client=fasthttp", func(b *testing.B) {
		c := &fasthttp.HostClient{Addr: address, MaxConns: 512, ReadTimeout: 5 * time.Second, MaxResponseBodySize: 10 << 20}
		b.Cleanup(c.CloseIdleConnections)
		measured(b, func(pb *testing.PB) {
			q, r := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
			for pb.Next() {
				q.Reset()
				q.Header.SetMethod(http.MethodGet)
				q.Header.SetHost(address)
				q.SetRequestURI("/v1/users/user_2NNEqL2nrIRdJ194ndJqAHwEfxC")
				q.Header.Set("Accept", "application/json")
				q.Header.Set("User-Agent", "curl/8.10.1")
				q.Header.Set("X-Request-Id", "4c1b0c5d9a3f4e7f")
				if err := c.Do(q, r); err != nil {
					b.Error(err)
					return
				}
				if len(r.Body()) != 1024 {
					b.Error("short body")
				}
				r.Reset()
			}
		})
	})
}

// BenchmarkParse reads the head of an answer.
func BenchmarkParse(b *testing.B) {
	var h head
	answer := []byte(answerBytes)
	b.ReportAllocs()
	b.SetBytes(int64(len(answer)))
	for b.Loop() {
		h.reset(0)
		if done, err := h.parse(answer); !done || err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBuild writes a request.
func BenchmarkBuild(b *testing.B) {
	e := &endpoint{prefix: "/v1", fields: "Host: api.example.com\r\nAuthorization: Bearer sk_test_0123456789\r\n"}
	var q Request
	b.ReportAllocs()
	for b.Loop() {
		q.Reset()
		q.Method = "GET"
		q.Target = append(q.Target[:0], "/v1/users/user_2NNEqL2nrIRdJ194ndJqAHwEfxC"...)
		q.Add("Accept", "application/json")
		q.Add("User-Agent", "curl/8.10.1")
		q.Add("X-Request-Id", "4c1b0c5d9a3f4e7f")
		if err := q.check("Authorization"); err != nil {
			b.Fatal(err)
		}
		q.build(e, "")
	}
}
