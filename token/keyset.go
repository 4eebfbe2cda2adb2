package token

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"hopgate/config"
)

// keySet holds the keys of one issuer and keeps them fresh. Its methods may
// be called concurrently.
//
// Whatever goes wrong with a fetch, the last good keys stay, until they are
// older than max_stale. Keys that a good answer no longer has are gone at
// once.
type keySet struct {
	settings keySetSettings
	source   source // nil: the keys are part of the configuration
	o        Options

	current atomic.Pointer[keys]
	until   atomic.Int64 // Unix nanoseconds from which on current is too old

	life context.Context // of fetches and of the background; ends by end
	end  context.CancelFunc

	mu       sync.Mutex
	begun    bool // run was called
	flight   *flight
	tried    time.Time // when the last fetch began
	fetched  time.Time // when current was read from its source
	due      time.Time // when the next background fetch is
	failures int       // in a row
	err      error     // of the last fetch
}

// keySetSettings is all that a running key set depends on, so that it can be
// compared with ==. The contents of files that are read once are in it.
type keySetSettings struct {
	name, issuer string
	jwks         config.JWKS // without Source
	ca, pem      string
}

// flight is a fetch that is under way. err may be read once done is closed.
type flight struct {
	done chan struct{}
	err  error
}

func newKeySet(settings keySetSettings, src source, o Options) *keySet {
	k := &keySet{settings: settings, source: src, o: o}
	k.life, k.end = context.WithCancel(context.Background())
	return k
}

// setStatic gives the set the keys of the configuration itself. It is for
// before the set is shared, as setFirst and load are.
func (k *keySet) setStatic(list []*key) {
	k.fetched = k.o.Now()
	k.until.Store(forever.Load())
	k.current.Store(newKeys(list))
}

// setFirst gives the set what was read from its file when the configuration
// was.
func (k *keySet) setFirst(list []*key) {
	k.fetched = k.o.Now()
	k.due = k.fetched.Add(k.settings.jwks.MinInterval)
	k.until.Store(k.fetched.Add(k.settings.jwks.MaxStale).UnixNano())
	k.replace(list)
}

// find gives the keys that a token may have been signed with; one that comes
// from outside the configuration is asked for once more where no key is the
// token's. It waits for a fetch at most the set's timeout, and no longer than
// ctx. The error wraps ErrKeysUnavailable, ErrKeyUnknown or ErrAlgorithm.
func (k *keySet) find(ctx context.Context, c *header) ([]*key, error) {
	s := k.usable()
	if s == nil {
		if err := k.await(ctx); err != nil {
			return nil, err
		}
		if s = k.usable(); s == nil {
			return nil, fmt.Errorf("there are no keys yet: %w", ErrKeysUnavailable)
		}
		list, _, err := s.choose(c)
		return list, err
	}
	list, again, err := s.choose(c)
	if !again || k.await(ctx) != nil {
		return list, err
	}
	if s = k.usable(); s == nil {
		return nil, fmt.Errorf("the keys are too old: %w", ErrKeysUnavailable)
	}
	list, _, err = s.choose(c)
	return list, err
}

// usable gives the keys where there are any that are not too old, else nil.
func (k *keySet) usable() *keys {
	if s := k.current.Load(); s != nil && k.o.Now().UnixNano() < k.until.Load() {
		return s
	}
	return nil
}

// await begins a fetch, or joins the one under way, and waits until it is
// over, the set's timeout has passed, or ctx has ended. The fetch goes on
// whoever stops waiting. The error, of any of these or because it is too soon
// for a fetch, wraps ErrKeysUnavailable.
func (k *keySet) await(ctx context.Context) error {
	f := k.fetch()
	if f == nil {
		return fmt.Errorf("it is too soon to fetch them again: %w", ErrKeysUnavailable)
	}
	timeout := time.NewTimer(k.settings.jwks.Timeout)
	defer timeout.Stop()
	select {
	case <-f.done:
		if f.err != nil {
			return fmt.Errorf("they could not be fetched: %w", ErrKeysUnavailable)
		}
		return nil
	case <-timeout.C:
		return fmt.Errorf("fetching them takes longer than %s: %w", k.settings.jwks.Timeout, ErrKeysUnavailable)
	case <-ctx.Done():
		return fmt.Errorf("the caller did not wait for them: %w: %w", context.Cause(ctx), ErrKeysUnavailable)
	}
}

// fetch begins a fetch or gives the one under way. It gives nil where it is
// too soon after the last one, where the set has been stopped, and where there
// is nothing to fetch.
func (k *keySet) fetch() *flight {
	if k.source == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.flight != nil {
		return k.flight
	}
	now := k.o.Now()
	if k.life.Err() != nil || !k.tried.IsZero() && now.Before(k.tried.Add(k.settings.jwks.MinInterval)) {
		return nil
	}
	k.tried = now
	f := &flight{done: make(chan struct{})}
	k.flight = f
	go k.fly(f)
	return f
}

// fly fetches once. No caller's context is its own: that a caller goes away
// must not fail the others.
func (k *keySet) fly(f *flight) {
	ctx, cancel := context.WithTimeout(k.life, k.settings.jwks.Timeout)
	defer cancel()
	started := k.o.Now()
	text, fresh, err := k.source.read(ctx)
	var set *keySetText
	if err == nil {
		if set, err = parseKeySet(text); err != nil {
			err = fmt.Errorf("cannot use the answer: %w", err)
		}
	}
	took := k.o.Now().Sub(started)
	n := 0
	if err == nil {
		n = len(set.keys)
		k.accept(set, started, fresh)
	}
	if k.o.Observer != nil {
		k.o.Observer.KeysFetched(k.settings.name, n, err, took)
	}
	k.land(f, err)
}

// accept replaces the keys by those of a good answer, which was asked for at
// the moment at.
func (k *keySet) accept(set *keySetText, at time.Time, fresh time.Duration) {
	old := k.current.Load()
	added, removed := k.replace(set.keys)
	k.until.Store(at.Add(k.settings.jwks.MaxStale).UnixNano())
	k.mu.Lock()
	k.fetched = at
	k.due = k.o.Now().Add(k.interval(fresh))
	k.mu.Unlock()
	if added+removed > 0 || old == nil {
		k.o.Log.Info("keys have changed", "issuer", k.settings.name, "keys", len(set.keys), "added", added, "removed", removed)
		for _, why := range set.skipped {
			level := slog.LevelDebug
			if errors.Is(why, errPrivate) {
				level = slog.LevelError
			}
			k.o.Log.Log(context.Background(), level, "a key of the set is not used", "issuer", k.settings.name, "error", why.Error())
		}
	}
	if k.settings.jwks.CacheFile != "" {
		if err := k.save(at); err != nil {
			k.o.Log.Warn("cannot keep keys on disk", "issuer", k.settings.name, "file", k.settings.jwks.CacheFile, "error", err.Error())
		}
	}
}

// replace puts new keys in the place of the old ones. A key that stays is the
// same object as before, so that what was verified with it stays verified;
// one that does not is marked.
func (k *keySet) replace(list []*key) (added, removed int) {
	old := map[string]*key{}
	if s := k.current.Load(); s != nil {
		for _, o := range s.list {
			old[o.id] = o
		}
	}
	next := make([]*key, len(list))
	for i, n := range list {
		if o := old[n.id]; o != nil {
			next[i] = o
			delete(old, n.id)
			continue
		}
		n.until = &k.until
		next[i] = n
		added++
	}
	k.current.Store(newKeys(next))
	for _, o := range old {
		o.gone.Store(true)
	}
	return added, len(old)
}

// land ends a flight.
func (k *keySet) land(f *flight, err error) {
	k.mu.Lock()
	f.err, k.err = err, err
	k.flight = nil
	if err == nil {
		k.failures = 0
	} else {
		k.failures++
		k.due = k.o.Now().Add(k.backoff())
	}
	due, failures := k.due, k.failures
	k.mu.Unlock()
	if err != nil && k.life.Err() == nil {
		k.o.Log.Warn("cannot fetch keys", "issuer", k.settings.name, "error", err.Error(), "failures", failures, "next", due.Sub(k.o.Now()).Round(time.Millisecond).String())
	}
	close(f.done)
}

// interval gives when to fetch next after a good answer: within a tenth less
// than its freshness, so that many gates do not ask at the same moment.
func (k *keySet) interval(fresh time.Duration) time.Duration {
	j := &k.settings.jwks
	longest := max(j.Refresh, j.MinInterval)
	if j.File != "" {
		fresh = j.MinInterval // a file costs nothing to look at
	}
	d := longest
	if fresh > 0 {
		d = min(max(fresh, j.MinInterval), longest)
	}
	return max(d-time.Duration(rand.Int64N(int64(d)/10+1)), j.MinInterval) //nolint:gosec // it spreads load and keeps no secret
}

// backoff gives when to fetch next after failures: the shortest interval,
// doubled with each failure up to the longest, and up to a quarter more.
func (k *keySet) backoff() time.Duration {
	j := &k.settings.jwks
	d := j.MinInterval
	for i := 1; i < k.failures && d < j.Refresh; i++ {
		d *= 2
	}
	d = min(d, max(j.Refresh, j.MinInterval))
	return d + time.Duration(rand.Int64N(int64(d)/4+1)) //nolint:gosec // it spreads load and keeps no secret
}

// start begins the background refresh where it has not begun. It ends with
// ctx, or by stop. A file is looked at even where it has: that it changed may
// be why the configuration was read again.
func (k *keySet) start(ctx context.Context) {
	if k.source == nil {
		return
	}
	k.mu.Lock()
	begun := k.begun
	k.begun = true
	k.mu.Unlock()
	if begun {
		if k.settings.jwks.File != "" {
			k.fetch()
		}
		return
	}
	context.AfterFunc(ctx, k.end)
	go k.run()
}

// run fetches whenever it is due, which it is at once for keys from disk.
func (k *keySet) run() {
	for {
		wait := k.untilDue()
		if wait <= 0 {
			if f := k.fetch(); f != nil {
				<-f.done // it is bounded by the set's timeout
			}
			wait = k.untilDue()
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-k.life.Done():
			timer.Stop()
			return
		}
	}
}

// untilDue gives how long it is until the background should fetch.
func (k *keySet) untilDue() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	due := k.due
	if !k.tried.IsZero() {
		if soonest := k.tried.Add(k.settings.jwks.MinInterval); soonest.After(due) {
			due = soonest
		}
	}
	return due.Sub(k.o.Now())
}

// stop ends the background refresh and the fetch under way. What was fetched
// can still be used, by requests that began before.
func (k *keySet) stop() { k.end() }

// state describes the set; it is for people.
func (k *keySet) state() KeySetState {
	k.mu.Lock()
	defer k.mu.Unlock()
	st := KeySetState{Issuer: k.settings.name, Fetched: k.fetched, Age: -1}
	if s := k.current.Load(); s != nil {
		st.Keys = len(s.list)
		st.Age = k.o.Now().Sub(k.fetched)
	}
	if k.err != nil {
		st.Error = k.err.Error()
	}
	return st
}
