package cache

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// slowly is an exchange whose answer takes a second for the head and for
// each part of its body.
func slowly(lines fields, length int, parts ...string) Exchange {
	return func(_ context.Context, tr *Transfer) (*Answer, error) {
		time.Sleep(time.Second)
		arrival := tr.Begin(200, func(add func(name, value []byte)) {
			for i := 0; i < len(lines); i += 2 {
				add([]byte(lines[i]), []byte(lines[i+1]))
			}
		}, length)
		if arrival == nil {
			return nil, errors.New("the answer did not begin")
		}
		for _, part := range parts {
			time.Sleep(time.Second)
			if _, err := io.WriteString(arrival, part); err != nil {
				return nil, err
			}
		}
		return arrival.Answer()
	}
}

// All get each part of a body when it comes, whenever they came, and what
// was stored afterwards is the whole.
func TestArrivals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCache(t, Options{})
		start := time.Now()
		var wg sync.WaitGroup
		ask := func(came time.Duration, leads bool) {
			wg.Go(func() {
				time.Sleep(came)
				q := &Query{Key: []byte("k"), Fields: fields{}, Rule: minute}
				got, err := c.Do(t.Context(), q, slowly(fields{"X-A", "1", "Connection", "x"}, 6, "ab", "cd", "ef"))
				if err != nil || got.Arrival == nil || got.Answer.Status() != 200 || len(got.Answer.Body()) != 0 || got.Arrival.Len() != 6 || got.Collapsed == leads {
					t.Errorf("came at %v: %+v, %v", came, got, err)
					return
				}
				if at, want := time.Since(start), max(came, time.Second); at != want {
					t.Errorf("came at %v: had the head at %v", came, at)
				}
				want := "X-A"
				if leads {
					want = "X-A Connection"
				}
				if names(got.Answer) != want {
					t.Errorf("came at %v: %s", came, names(got.Answer))
				}
				r := got.Arrival.Reader(t.Context())
				buffer := make([]byte, 2)
				for i, want := range []string{"ab", "cd", "ef"} {
					if _, err := io.ReadFull(r, buffer); err != nil || string(buffer) != want {
						t.Errorf("came at %v: part %d is %q, %v", came, i, buffer, err)
					}
					if at, want := time.Since(start), max(came, time.Duration(i+2)*time.Second); at != want {
						t.Errorf("came at %v: had part %d at %v", came, i, at)
					}
				}
				if n, err := r.Read(buffer); n != 0 || err != io.EOF {
					t.Errorf("came at %v: then %d, %v", came, n, err)
				}
			})
		}
		ask(0, true)
		ask(500*time.Millisecond, false)
		ask(2500*time.Millisecond, false)
		wg.Wait()
		found := c.Get([]byte("k"), fields{}, minute)
		if found.State != Fresh || bodyOf(found) != "abcdef" || names(found.Answer) != "X-A" {
			t.Errorf("then %v %q", found.State, bodyOf(found))
		}
	})
}

// What breaks off is an error for all who read, and is not stored.
func TestArrivalsThatBreakOff(t *testing.T) {
	refused := errors.New("connection reset")
	begin := func(tr *Transfer) *Arrival { return tr.Begin(200, nil, 4) }
	for _, tt := range []struct {
		name string
		do   Exchange
		want error
	}{
		{"error", func(_ context.Context, tr *Transfer) (*Answer, error) {
			_, _ = begin(tr).Write([]byte("ab"))
			time.Sleep(time.Second)
			return nil, refused
		}, refused},
		{"too short", slowly(nil, 4, "ab"), io.ErrUnexpectedEOF},
		{"too long", slowly(nil, 4, "ab", "cde"), errTooMuch},
		{"another answer", func(_ context.Context, tr *Transfer) (*Answer, error) {
			_, _ = begin(tr).Write([]byte("ab"))
			time.Sleep(time.Second)
			return build(200, "other"), nil
		}, io.ErrUnexpectedEOF},
		{"panic", func(_ context.Context, tr *Transfer) (*Answer, error) {
			_, _ = begin(tr).Write([]byte("ab"))
			time.Sleep(time.Second)
			panic("oh")
		}, new(PanicError)},
		{"exit", func(_ context.Context, tr *Transfer) (*Answer, error) {
			_, _ = begin(tr).Write([]byte("ab"))
			time.Sleep(time.Second)
			runtime.Goexit()
			return nil, nil
		}, errNoAnswer},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newTestCache(t, Options{})
				var wg sync.WaitGroup
				for range 3 {
					wg.Go(func() {
						got, err := c.Do(t.Context(), &Query{Key: []byte("k"), Fields: fields{}, Rule: minute}, tt.do)
						if err != nil {
							t.Errorf("Do: %v", err)
							return
						}
						body, err := io.ReadAll(got.Arrival.Reader(t.Context()))
						var wanted, panicked *PanicError
						same := errors.Is(err, tt.want) || errors.As(tt.want, &wanted) && errors.As(err, &panicked)
						if string(body) != "ab" || !same {
							t.Errorf("read %q, %v; want %v", body, err, tt.want)
						}
					})
				}
				wg.Wait()
				synctest.Wait()
				if found := c.Get([]byte("k"), fields{}, minute); found.State != Miss {
					t.Errorf("then %v %q", found.State, bodyOf(found))
				}
			})
		})
	}
}

// Who waits for an answer that turns out not to be theirs learns so when its
// head is there.
func TestArrivalsForOneAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCache(t, Options{})
		q := &Query{Key: []byte("k"), Fields: fields{}, Rule: minute}
		do := slowly(fields{"Set-Cookie", "a=b"}, 2, "ab")
		var wg sync.WaitGroup
		wg.Go(func() {
			got, err := c.Do(t.Context(), q, do)
			if err != nil || got.Arrival == nil || names(got.Answer) != "Set-Cookie" {
				t.Errorf("leader: %+v, %v", got, err)
			}
		})
		synctest.Wait()
		start := time.Now()
		if _, err := c.Do(t.Context(), q, do); !errors.Is(err, ErrNotShared) || time.Since(start) != time.Second {
			t.Errorf("follower: %v after %v", err, time.Since(start))
		}
		wg.Wait()
	})
}

// A reader waits at most as long as its own context lasts, and harms nobody
// by leaving.
func TestArrivalReadersLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCache(t, Options{})
		q := &Query{Key: []byte("k"), Fields: fields{}, Rule: minute}
		got, err := c.Do(t.Context(), q, slowly(nil, 4, "ab", "cd"))
		if err != nil {
			t.Fatal(err)
		}
		brief, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		if body, err := io.ReadAll(got.Arrival.Reader(brief)); string(body) != "ab" || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("read %q, %v", body, err)
		}
		time.Sleep(time.Minute / 2)
		if found := c.Lookup(q); bodyOf(found) != "abcd" {
			t.Errorf("then %v %q", found.State, bodyOf(found))
		}
	})
}

func TestWhatDoesNotBegin(t *testing.T) {
	c := newTestCache(t, Options{MaxEntryBytes: 100})
	for _, tt := range []struct {
		method         string
		status, length int
		begins         bool
	}{
		{"GET", 200, 100, true},
		{"GET", 404, 0, true},
		{"GET", 200, 101, false},
		{"GET", 200, -1, false},
		{"GET", 304, 0, false},
		{"HEAD", 200, 10, false},
	} {
		q := &Query{Key: []byte("k"), Method: tt.method, Fields: fields{}, Rule: &Rule{}}
		var first, second *Arrival
		_, _ = c.Do(t.Context(), q, func(_ context.Context, tr *Transfer) (*Answer, error) {
			first, second = tr.Begin(tt.status, nil, tt.length), tr.Begin(tt.status, nil, tt.length)
			return nil, errRefused
		})
		c.running.Wait()
		if (first != nil) != tt.begins || second != nil {
			t.Errorf("%+v: begins %v, then again %v", tt, first != nil, second != nil)
		}
	}
}
