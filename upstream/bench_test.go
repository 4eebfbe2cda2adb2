package upstream

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"hopgate/config"
)

// answerBytes is an answer of 1 KiB as an API gives it.
var answerBytes = "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Mon, 02 Nov 2026 10:00:00 GMT\r\nContent-Type: application/json\r\n" +
	"Content-Length: 1024\r\nConnection: keep-alive\r\nCache-Control: no-store\r\nX-Request-Id: 4c1b0c5d9a3f4e7f\r\n\r\n" +
	strings.Repeat("x", 1024)

// quickServer answers every read with the same bytes, at the least cost a
// peer can have.
func quickServer(tb testing.TB, answer string) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { l.Close() })
	go func() {
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
	}()
	return l.Addr().String()
}

func benchPool(b *testing.B, address string) *Pool {
	var errs config.Errors
	p := Compile("bench", config.Upstream{Endpoints: []string{"http://" + address}}, nil, Options{}, &errs)
	if err := errs.Err(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(p.Close)
	return p
}

func BenchmarkExchange(b *testing.B) {
	address := quickServer(b, answerBytes)
	b.Run("client=hopgate", func(b *testing.B) {
		p := benchPool(b, address)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
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
		c := &fasthttp.HostClient{Addr: address, MaxConns: 512}
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
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
