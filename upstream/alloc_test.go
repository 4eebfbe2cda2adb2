//go:build !race

package upstream

import (
	"context"
	"io"
	"testing"
)

// TestExchangeAllocs: an exchange on a warm connection allocates nothing,
// of known length or in chunks.
func TestExchangeAllocs(t *testing.T) {
	for name, answer := range map[string]string{
		"length":  "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}",
		"chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			address := quickServer(t, answer)
			p := newPool(t, nil, "http://"+address)
			var q Request
			var r Response
			exchange := func() {
				q.Reset()
				q.Method, q.Target = "GET", append(q.Target[:0], "/v1/users/1?x=y"...)
				q.Add("Accept", "application/json")
				if err := p.Do(context.Background(), &q, &r); err != nil {
					t.Fatal(err)
				}
				if string(r.Body()) != "{}" && r.Stream() == nil {
					t.Fatalf("got %q", r.Body())
				}
				r.Release()
			}
			exchange()
			if n := testing.AllocsPerRun(200, exchange); n > 0 {
				t.Errorf("%v allocations, want none", n)
			}
		})
	}
}

// TestStreamAllocs: reading a stream allocates nothing.
func TestStreamAllocs(t *testing.T) {
	const size = 100_000
	address := quickServer(t, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"+string(make([]byte, size)))
	p := newPool(t, nil, "http://"+address)
	var q Request
	var r Response
	buf := make([]byte, 16<<10)
	exchange := func() {
		q.Reset()
		q.Method, q.Target = "GET", append(q.Target[:0], '/')
		if err := p.Do(context.Background(), &q, &r); err != nil {
			t.Fatal(err)
		}
		total := 0
		for s := r.Stream(); ; {
			n, err := s.Read(buf)
			total += n
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if total != size {
			t.Fatalf("got %d bytes", total)
		}
		r.Release()
	}
	exchange()
	if n := testing.AllocsPerRun(50, exchange); n > 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
