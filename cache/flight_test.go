package cache

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var minute = &Rule{TTL: time.Minute, StaleWhileRevalidate: time.Minute}

func TestManyMissesAreOneFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCache(t, Options{})
		var fetches, collapsed atomic.Int64
		var wg sync.WaitGroup
		for range 10_000 {
			wg.Go(func() {
				got, err := c.Fetch(t.Context(), []byte("k"), fields{}, minute, func(context.Context) (*Answer, error) {
					fetches.Add(1)
					time.Sleep(time.Second)
					return build(200, "v"), nil
				})
				if err != nil || string(got.Answer.Body()) != "v" || !got.Stored || got.TTL != time.Minute {
					t.Errorf("Fetch = %+v, %v", got, err)
				}
				if got.Collapsed {
					collapsed.Add(1)
				}
			})
		}
		wg.Wait()
		if fetches.Load() != 1 || collapsed.Load() != 9_999 {
			t.Errorf("%d fetches, %d collapsed", fetches.Load(), collapsed.Load())
		}
	})
}

func TestDepartureHarmsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCache(t, Options{})
		release := make(chan struct{})
		var detached atomic.Bool
		leader, leave := context.WithCancel(context.WithValue(t.Context(), oneField{}, 1))
		results := make(chan error, 3)
		go func() {
			_, err := c.Fetch(leader, []byte("k"), fields{}, minute, func(ctx context.Context) (*Answer, error) {
				<-release
				detached.Store(ctx.Err() == nil && ctx.Value(oneField{}) == nil)
				return build(200, "v"), nil
			})
			results <- err
		}()
		synctest.Wait()
		brief, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Fetch(brief, []byte("k"), fields{}, minute, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a follower without time: %v", err)
		}
		go func() {
			got, err := c.Fetch(t.Context(), []byte("k"), fields{}, minute, nil)
			if err == nil && !got.Collapsed {
				err = errors.New("not collapsed")
			}
			results <- err
		}()
		synctest.Wait()
		leave()
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("the leader that left: %v", err)
		}
		close(release)
		if err := <-results; err != nil {
			t.Errorf("the follower that stayed: %v", err)
		}
		if !detached.Load() {
			t.Error("the fetch's context is tied to the leader's")
		}
		if found := c.Get([]byte("k"), fields{}, minute); found.State != Fresh {
			t.Errorf("what the leader fetched is %v", found.State)
		}
	})
}

func TestFollowersOfWhatIsNotTheirs(t *testing.T) {
	failure := errors.New("connection refused")
	tests := []struct {
		name     string
		follower fields
		rule     *Rule
		fetch    Fetch
		want     error // nil: shared
	}{
		{"cacheable", nil, minute, always(build(200, "v")), nil},
		{"too large to store", nil, minute, always(build(200, string(make([]byte, 300<<10)))), nil},
		{"Set-Cookie", nil, minute, always(build(200, "v", "Set-Cookie", "a=b")), ErrNotShared},
		{"no-store", nil, minute, always(build(200, "v", "Cache-Control", "no-store")), ErrNotShared},
		{"failed upstream", nil, minute, always(build(503, "v")), ErrNotShared},
		{"varies", fields{"X-A", "2"}, minute, always(build(200, "v", "Vary", "X-A")), ErrNotShared},
		{"varies, and agrees", fields{"X-A", "1"}, minute, always(build(200, "v", "Vary", "X-A")), nil},
		{"dealt with by the leader", nil, minute, func(context.Context) (*Answer, error) { return nil, fmt.Errorf("streamed: %w", ErrNotShared) }, ErrNotShared},
		{"error", nil, minute, func(context.Context) (*Answer, error) { return nil, failure }, failure},
		{"panic", nil, minute, func(context.Context) (*Answer, error) { panic("oh") }, new(PanicError)},
		{"exit", nil, minute, func(context.Context) (*Answer, error) { runtime.Goexit(); return nil, nil }, errNoAnswer},
		{"nothing", nil, minute, func(context.Context) (*Answer, error) { return nil, nil }, errNoAnswer},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newTestCache(t, Options{})
				var wg sync.WaitGroup
				wg.Go(func() {
					_, err := c.Fetch(t.Context(), []byte("k"), fields{"X-A", "1"}, tt.rule, func(ctx context.Context) (*Answer, error) {
						time.Sleep(time.Second)
						return tt.fetch(ctx)
					})
					// The leader gets its own answer, whatever others may have.
					if (err == nil) != (tt.want == nil || errors.Is(tt.want, ErrNotShared) && tt.name != "dealt with by the leader") {
						t.Errorf("leader: %v", err)
					}
				})
				synctest.Wait()
				start := time.Now()
				for range 3 {
					wg.Go(func() {
						got, err := c.Fetch(t.Context(), []byte("k"), tt.follower, tt.rule, nil)
						var panicked *PanicError
						switch {
						case errors.As(tt.want, &panicked):
							if !errors.As(err, &panicked) || panicked.Value != "oh" || len(panicked.Stack) == 0 {
								t.Errorf("follower: %v", err)
							}
						case !errors.Is(err, tt.want) || (err == nil) != (got.Answer != nil):
							t.Errorf("follower: %v, want %v", err, tt.want)
						}
						if took := time.Since(start); took > time.Second {
							t.Errorf("the follower waited %v, for more than one fetch", took)
						}
					})
				}
				wg.Wait()
			})
		})
	}
}

func TestRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCache(t, Options{})
		rule := &Rule{TTL: time.Second, StaleWhileRevalidate: time.Hour}
		keepAnswer(t, c, "k", fields{}, rule, build(200, "old"))
		time.Sleep(2 * time.Second)
		found := func() Found { return c.Get([]byte("k"), fields{}, rule) }
		if f := found(); f.State != Stale || !f.Refresh {
			t.Fatalf("stale: %+v", f)
		}
		var fetches atomic.Int64
		slow := func(a *Answer, err error) Fetch {
			return func(context.Context) (*Answer, error) {
				fetches.Add(1)
				time.Sleep(time.Second)
				return a, err
			}
		}
		start := time.Now()
		for range 10 {
			c.Refresh([]byte("k"), fields{}, rule, slow(nil, errors.New("refused")))
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("Refresh took %v", took)
		}
		if f := found(); f.Refresh {
			t.Error("a second refresh is asked for")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if fetches.Load() != 1 {
			t.Errorf("%d fetches at once", fetches.Load())
		}
		if f := found(); f.State != Stale || f.Refresh {
			t.Errorf("after a refresh that failed: %v, Refresh %v", f.State, f.Refresh)
		}
		time.Sleep(refreshHoldoff)
		if !found().Refresh {
			t.Error("no refresh is asked for any more")
		}
		c.Refresh([]byte("k"), fields{}, rule, slow(build(200, "new"), nil))
		time.Sleep(time.Second)
		synctest.Wait()
		if f := found(); f.State != Fresh || bodyOf(f) != "new" {
			t.Errorf("after a refresh: %v %q", f.State, bodyOf(f))
		}
	})
}

// What the upstream now says takes the place of what is stored, also where
// the new answer cannot be stored itself; a failure does not.
func TestAnswersThatAreNotStored(t *testing.T) {
	tests := []struct {
		answer *Answer
		stays  bool
	}{
		{build(500, ""), true},
		{build(503, ""), true},
		{build(429, ""), true},
		{build(408, ""), true},
		{build(206, "", "Content-Range", "bytes 0-0/2"), true},
		{build(304, ""), true},
		{build(412, ""), true},
		{build(416, ""), true},
		{build(404, ""), false},
		{build(410, ""), false},
		{build(401, ""), false},
		{build(403, ""), false},
		{build(302, ""), false},
		{build(200, "", "Cache-Control", "no-store"), false},
		{build(200, string(make([]byte, 300<<10))), false},
	}
	for _, tt := range tests {
		clock := newFakeClock()
		c := newTestCache(t, Options{Now: clock.Now})
		rule := &Rule{TTL: time.Second, StaleIfError: time.Hour}
		keepAnswer(t, c, "k", fields{"X-A", "1"}, rule, build(200, "1", "Vary", "X-A"))
		keepAnswer(t, c, "k", fields{"X-A", "2"}, rule, build(200, "2", "Vary", "X-A"))
		clock.Advance(2 * time.Second)
		keepAnswer(t, c, "k", fields{"X-A", "1"}, rule, tt.answer)
		want := Miss
		if tt.stays {
			want = Expired
		}
		if got := c.Get([]byte("k"), fields{"X-A", "1"}, rule).State; got != want {
			t.Errorf("after %d: %v, want %v", tt.answer.Status(), got, want)
		}
		if got := c.Get([]byte("k"), fields{"X-A", "2"}, rule).State; got != Expired {
			t.Errorf("after %d: the other variant is %v", tt.answer.Status(), got)
		}
		if n, want := c.Stats().Entries, int64(1); (n == want) == tt.stays {
			t.Errorf("after %d: %d entries", tt.answer.Status(), n)
		}
	}
}

func TestCloseEndsFetches(t *testing.T) {
	c, err := New(Options{MaxBytes: 1 << 20, MaxEntryBytes: 1 << 10})
	if err != nil {
		t.Fatal(err)
	}
	keepAnswer(t, c, "stored", fields{}, minute, build(200, "v"))
	began, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		_, err := c.Fetch(t.Context(), []byte("k"), fields{}, minute, func(ctx context.Context) (*Answer, error) {
			close(began)
			<-ctx.Done()
			return nil, ctx.Err()
		})
		ended <- err
	}()
	<-began
	c.Close()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the fetch under way: %v", err)
	}
	c.Close()
	if found := c.Get([]byte("stored"), fields{}, minute); found.State != Miss {
		t.Errorf("Get after Close: %v", found.State)
	}
	if _, err := c.Fetch(t.Context(), []byte("k"), fields{}, minute, always(build(200, "v"))); !errors.Is(err, ErrClosed) {
		t.Errorf("Fetch after Close: %v", err)
	}
	c.Refresh([]byte("k"), fields{}, minute, always(build(200, "v")))
}
