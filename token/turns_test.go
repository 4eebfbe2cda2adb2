package token

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := turnsOf(1, 3, false)
		if waited, err := turns.take(t.Context(), netip.Addr{}); waited || err != nil {
			t.Fatal(waited, err)
		}
		var order []int
		for i := range 2 {
			go func() {
				if waited, err := turns.take(t.Context(), netip.Addr{}); !waited || err != nil {
					t.Error(waited, err)
				}
				order = append(order, i)
				turns.give()
			}()
			synctest.Wait()
		}
		short, cancel := context.WithCancelCause(t.Context())
		gone := errors.New("gone")
		left := make(chan error)
		go func() {
			_, err := turns.take(short, netip.Addr{})
			left <- err
		}()
		synctest.Wait()
		if _, err := turns.take(t.Context(), netip.Addr{}); !errors.Is(err, ErrOverloaded) {
			t.Errorf("one too many: %v", err)
		}
		cancel(gone)
		if err := <-left; !errors.Is(err, ErrOverloaded) || !errors.Is(err, gone) {
			t.Errorf("the caller went away: %v", err)
		}
		if n := turns.waiting; n != 2 {
			t.Errorf("%d wait", n)
		}
		turns.give()
		synctest.Wait()
		if !slices.Equal(order, []int{0, 1}) || turns.waiting != 0 || turns.free != 1 {
			t.Errorf("order %v, %d wait, %d check", order, turns.waiting, 1-turns.free)
		}
	})
	for procs, want := range map[int]int{1: 1, 2: 1, 5: 4} {
		before := runtime.GOMAXPROCS(procs)
		if got := newTurns(); got.free != want || got.most != want*waitingPerTurn || got.single != (procs == 1) {
			t.Errorf("%d turns with %d processors", got.free, procs)
		}
		runtime.GOMAXPROCS(before)
	}
}

// TestTurnsOfClients has clients take turns, whatever each of them asks for,
// and the one who asks for most give way where no more may wait.
func TestTurnsOfClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := turnsOf(1, 6, false)
		if _, err := turns.take(t.Context(), netip.Addr{}); err != nil {
			t.Fatal(err)
		}
		var order []string
		ask := func(name, client string) {
			go func() {
				if _, err := turns.take(t.Context(), netip.MustParseAddr(client)); err != nil {
					if !errors.Is(err, ErrOverloaded) {
						t.Error(err)
					}
					order = append(order, name+" refused")
					return
				}
				order = append(order, name)
				turns.give()
			}()
			synctest.Wait()
		}
		for _, name := range []string{"a1", "a2", "a3", "a4", "a5"} {
			ask(name, "2001:db8::"+name)
		}
		ask("b1", "192.0.2.1")
		ask("a6", "2001:db8::a6") // has most itself
		ask("b2", "192.0.2.1")    // a5 makes room
		ask("c1", "192.0.2.2")    // a4 does
		turns.give()
		synctest.Wait()
		want := []string{"a6 refused", "a5 refused", "a4 refused", "a1", "b1", "c1", "a2", "b2", "a3"}
		if !slices.Equal(order, want) {
			t.Errorf("the order is %q, want %q", order, want)
		}
		if turns.free != 1 || turns.waiting != 0 || len(turns.clients) != 0 || turns.ring.Len() != 0 {
			t.Errorf("%d are free, %d wait, of %d clients", turns.free, turns.waiting, len(turns.clients))
		}
	})
}

// TestTurnsOfManyClients keeps everybody's place where all have one.
func TestTurnsOfManyClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := turnsOf(1, 3, false)
		if _, err := turns.take(t.Context(), netip.Addr{}); err != nil {
			t.Fatal(err)
		}
		var served atomic.Int64
		for i := range byte(3) {
			go func() {
				if _, err := turns.take(t.Context(), netip.AddrFrom4([4]byte{192, 0, 2, i})); err != nil {
					t.Error(err)
					return
				}
				served.Add(1)
				turns.give()
			}()
			synctest.Wait()
		}
		for _, newcomer := range []string{"192.0.2.9", "192.0.2.1"} {
			if _, err := turns.take(t.Context(), netip.MustParseAddr(newcomer)); !errors.Is(err, ErrOverloaded) {
				t.Errorf("%s: %v", newcomer, err)
			}
		}
		turns.give()
		synctest.Wait()
		if n := served.Load(); n != 3 {
			t.Errorf("%d of 3 were served", n)
		}
	})
}

// TestTurnsUnderStress gives and takes turns in all ways at once: no turn is
// lost, and none made.
func TestTurnsUnderStress(t *testing.T) {
	turns := turnsOf(2, 8, false)
	var checking, refused atomic.Int64
	var all sync.WaitGroup
	for i := range 32 {
		client := netip.AddrFrom4([4]byte{192, 0, 2, byte(i % 5)})
		all.Go(func() {
			for n := range 300 {
				ctx, cancel := context.WithCancel(t.Context())
				if n%3 == 0 {
					go cancel()
				}
				if _, err := turns.take(ctx, client); err != nil {
					refused.Add(1)
				} else {
					if checking.Add(1) > 2 {
						t.Error("more than two have a turn")
					}
					runtime.Gosched()
					checking.Add(-1)
					turns.give()
				}
				cancel()
			}
		})
	}
	all.Wait()
	if turns.free != 2 || turns.waiting != 0 || len(turns.clients) != 0 || refused.Load() == 0 {
		t.Errorf("%d are free, %d wait, %d were refused", turns.free, turns.waiting, refused.Load())
	}
}

// TestYield lets what has come from the network go first, on a single
// processor that always has something to run.
func TestYield(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ours, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	theirs, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	var got atomic.Int64
	go func() {
		one := make([]byte, 1)
		for {
			if _, err := theirs.Read(one); err != nil {
				return
			}
			got.Add(1)
		}
	}()
	y := newYielder()
	y.yield() // the reader waits now
	for i := range int64(100) {
		if _, err := ours.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
		y.yield()
		// Every 61st time the scheduler takes the one that yields all the same.
		if n := got.Load(); n < i {
			t.Fatalf("after %d bytes the reader has %d", i+1, n)
		}
	}
	if n := testing.AllocsPerRun(100, y.yield); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkYield(b *testing.B) {
	y := newYielder()
	for b.Loop() {
		y.yield()
	}
}

// While every turn is taken a known token is as quick as ever, new ones wait,
// and those beyond the queue are refused at once. Of those that wait with the
// same token one is checked.
func TestFloodOfNewTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		es := signer(t, "ES256")
		v, set := one(t, withKeys(plainIssuer, es))
		v.turns = turnsOf(1, 4, false)
		known := sign(t, es, nil, goodClaims(nil))
		fresh := sign(t, es, nil, goodClaims(map[string]any{"sub": "bob"}))
		forged := fresh[:len(fresh)-4] + "AAAA"
		if _, _, err := v.Verify(t.Context(), set, known); err != nil {
			t.Fatal(err)
		}
		if _, err := v.turns.take(t.Context(), netip.Addr{}); err != nil {
			t.Fatal(err)
		}
		type result struct {
			known bool
			err   error
		}
		var mu sync.Mutex
		results := map[string][]result{}
		for _, tok := range []string{fresh, forged, fresh, fresh} {
			go func() {
				_, known, err := v.Verify(t.Context(), set, tok)
				mu.Lock()
				results[tok] = append(results[tok], result{known, err})
				mu.Unlock()
			}()
			synctest.Wait()
		}
		if len(results) != 0 || v.turns.waiting != 4 {
			t.Fatalf("%d are done, %d wait", len(results), v.turns.waiting)
		}
		if p, was, err := v.Verify(t.Context(), set, known); err != nil || !was || p.UserID != "alice" {
			t.Errorf("a known token: %v, %v", was, err)
		}
		if _, _, err := v.Verify(t.Context(), set, fresh); !errors.Is(err, ErrOverloaded) {
			t.Errorf("beyond the queue: %v", err)
		}
		// What needs no signature to be refused does not wait.
		if _, _, err := v.Verify(t.Context(), set, sign(t, es, nil, goodClaims(map[string]any{"iss": "x"}))); !errors.Is(err, ErrIssuer) {
			t.Errorf("of another issuer: %v", err)
		}
		v.turns.give()
		synctest.Wait()
		if r := results[forged]; len(r) != 1 || !errors.Is(r[0].err, ErrSignature) {
			t.Errorf("forged: %v", r)
		}
		checked := 0
		for _, r := range results[fresh] {
			if r.err != nil {
				t.Errorf("fresh: %v", r.err)
			} else if !r.known {
				checked++
			}
		}
		if checked != 1 || len(results[fresh]) != 3 {
			t.Errorf("%d of %d were checked", checked, len(results[fresh]))
		}
		if v.turns.free != 1 || v.turns.waiting != 0 {
			t.Error("a turn was not given back")
		}
	})
}

// BenchmarkKnownInFlood measures how late a request with a known token is done
// while many send forged ones: each comes 100 µs after the last one.
func BenchmarkKnownInFlood(b *testing.B) {
	for _, c := range []struct {
		name  string
		flood int
	}{{"idle", 0}, {"flood", 64}} {
		b.Run(c.name, func(b *testing.B) {
			es := signer(b, "ES256")
			v, set := one(b, withKeys(plainIssuer, es))
			v.turns = newTurns() // for as many processors as this run has
			known := sign(b, es, nil, goodClaims(nil))
			if _, _, err := v.Verify(context.Background(), set, known); err != nil {
				b.Fatal(err)
			}
			forged := sign(b, es, nil, goodClaims(map[string]any{"sub": "bob"}))
			forged = forged[:len(forged)-4] + "AAAA"
			ctx, cancel := context.WithCancel(context.Background())
			var flood sync.WaitGroup
			for range c.flood {
				flood.Go(func() {
					for ctx.Err() == nil {
						_, _, _ = v.Verify(ctx, set, forged)
					}
				})
			}
			late := make([]time.Duration, 0, b.N)
			b.ResetTimer()
			for range b.N {
				due := time.Now().Add(100 * time.Microsecond)
				time.Sleep(100 * time.Microsecond)
				if _, known, _ := v.Verify(context.Background(), set, known); !known {
					b.Fatal("not known")
				}
				late = append(late, time.Since(due))
			}
			b.StopTimer()
			cancel()
			flood.Wait()
			slices.Sort(late)
			for _, p := range []int{50, 99} {
				b.ReportMetric(float64(late[len(late)*p/100].Microseconds()), fmt.Sprintf("p%d-µs", p))
			}
		})
	}
}
