package cache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// The model is a cache that is slow and obviously right. It reads no field
// and no directive: what answers and requests say is in structures, of which
// the fields that the real cache reads are written, in spellings that vary.

const none = -1

// said is an answer of the model.
type said struct {
	status                    int
	maxAge, sMaxAge, swr, sie int // seconds, or none
	noStore, noCache, private bool
	public, mustRevalidate    bool
	age                       int // none: no Age
	etag, vary, tag, body     string
	setCookie                 bool
	silent                    bool // no Cache-Control at all
}

// asked is a request of the model.
type asked struct {
	key                        string
	head                       bool
	xa                         string // the value of X-A, by which answers may vary
	auth                       bool
	maxAge, minFresh, maxStale int
	noCache, noStore, only     bool
}

func (s *said) answer(rng *rand.Rand) *Answer {
	var d []string
	word := func(on bool, name string) {
		if on {
			d = append(d, name)
		}
	}
	number := func(n int, name string) {
		if n != none {
			d = append(d, fmt.Sprintf([]string{"%s=%d", `%s="%d"`, "%s=000%d"}[rng.IntN(3)], name, n))
		}
	}
	if !s.silent {
		word(s.noStore, []string{"no-store", "No-Store", "no-store=1"}[rng.IntN(3)])
		word(s.noCache, []string{"no-cache", "NO-CACHE", "no-cache=x", `no-cache=""`}[rng.IntN(4)])
		word(s.private, "private")
		word(s.public, "public")
		word(s.mustRevalidate, "must-revalidate")
		number(s.maxAge, "max-age")
		number(s.sMaxAge, "S-MaxAge")
		number(s.swr, "stale-while-revalidate")
		number(s.sie, "stale-if-error")
		word(rng.IntN(4) == 0, `foo="bar, no-store"`)
	}
	rng.Shuffle(len(d), func(i, j int) { d[i], d[j] = d[j], d[i] })
	var f fields
	switch {
	case s.silent:
	case rng.IntN(2) == 0 && len(d) > 1:
		f = append(f, "Cache-Control", strings.Join(d[:1], ","), "cache-control", strings.Join(d[1:], " , "))
	default:
		f = append(f, "Cache-Control", strings.Join(d, ", "))
	}
	for name, value := range map[string]string{"ETag": s.etag, "Vary": s.vary, "Cache-Tag": s.tag} {
		if value != "" {
			f = append(f, name, value)
		}
	}
	if s.age != none {
		f = append(f, "Age", fmt.Sprint(s.age))
	}
	if s.setCookie {
		f = append(f, "Set-Cookie", "a=b")
	}
	return build(s.status, s.body, f...)
}

func (a *asked) fields() fields {
	var f fields
	if a.xa != "" {
		f = append(f, "X-A", a.xa)
	}
	if a.auth {
		f = append(f, "Authorization", "Bearer x")
	}
	var d []string
	for name, n := range map[string]int{"max-age": a.maxAge, "min-fresh": a.minFresh, "max-stale": a.maxStale} {
		if n != none {
			d = append(d, fmt.Sprintf("%s=%d", name, n))
		}
	}
	for name, on := range map[string]bool{"no-cache": a.noCache, "no-store": a.noStore, "only-if-cached": a.only} {
		if on {
			d = append(d, name)
		}
	}
	if len(d) > 0 {
		f = append(f, "Cache-Control", strings.Join(d, ", "))
	}
	return f
}

// record is a stored answer of the model.
type record struct {
	said
	key, xa string
	at      time.Time // received
	took    time.Duration
	hard    bool
	soft    map[string]time.Time // by what it was purged softly
}

type model struct {
	rule    *Rule
	records []*record // the latest first
}

func (m *model) find(a *asked) *record {
	for _, r := range m.records {
		if r.matches(a) {
			return r
		}
	}
	return nil
}

func (r *record) matches(a *asked) bool {
	return r.key == a.key && (r.vary == "" || r.xa == a.xa)
}

func (m *model) drop(a *asked) {
	m.records = slices.DeleteFunc(m.records, func(r *record) bool { return r.matches(a) })
}

func sec(n int) time.Duration { return time.Duration(n) * time.Second }

// life is how long a record is fresh, and stale in both ways.
func (m *model) life(r *record) (fresh, swr, sie time.Duration) {
	fresh, swr, sie = m.rule.TTL, m.rule.StaleWhileRevalidate, m.rule.StaleIfError
	if !m.rule.Origin {
		if r.status == 404 {
			fresh = m.rule.NegativeTTL
		}
		return fresh, swr, sie
	}
	switch {
	case r.silent:
		fresh = 0
		if r.status == 404 {
			fresh = m.rule.NegativeTTL
		}
		return fresh, swr, sie
	case r.sMaxAge != none:
		fresh = sec(r.sMaxAge)
	case r.maxAge != none:
		fresh = sec(r.maxAge)
	case r.status == 404:
		fresh = m.rule.NegativeTTL
	default:
		fresh = 0
	}
	if r.noCache || r.mustRevalidate || r.sMaxAge != none {
		return fresh, 0, 0
	}
	if r.swr != none {
		swr = sec(r.swr)
	}
	if r.sie != none {
		sie = sec(r.sie)
	}
	return fresh, swr, sie
}

func (m *model) age(r *record, now time.Time) time.Duration {
	age := now.Sub(r.at)
	if m.rule.Origin {
		age += r.took
		if r.age != none {
			age += sec(r.age)
		}
	}
	return age
}

// state is what a record is good for; a nil request asks for nothing special.
func (m *model) state(r *record, a *asked, now time.Time) State {
	if now.Before(r.at) || r.hard {
		return Miss
	}
	age := m.age(r, now)
	life, swr, sie := m.life(r)
	left := life - age
	for _, at := range r.soft {
		left = min(left, -max(now.Sub(at), 0))
	}
	mustAsk := m.rule.Origin && !r.silent && r.noCache
	never := mustAsk || m.rule.Origin && !r.silent && (r.mustRevalidate || r.sMaxAge != none)
	stale := max(-left, 0)
	obeys := m.rule.Origin && a != nil
	unwilling := obeys && (a.noCache || a.maxAge != none && (a.maxAge == 0 || age > sec(a.maxAge)) || a.minFresh != none && left < sec(a.minFresh))
	switch {
	case left > 0 && !mustAsk && !unwilling:
		return Fresh
	case !unwilling && stale < swr:
		return Stale
	case !unwilling && obeys && !never && a.maxStale != none && stale <= sec(a.maxStale):
		return Stale
	case stale < sie:
		return Expired
	}
	return Miss
}

// storable tells whether an answer may be stored.
func (m *model) storable(s *said, a *asked) bool {
	directive := func(on bool) bool { return on && !s.silent }
	switch {
	case s.status == 206 || s.status == 304 || s.vary == "*" || s.setCookie || directive(s.noStore):
		return false
	case !m.rule.Origin:
		return (!directive(s.private) || !m.rule.Public) && (s.status == 200 || s.status == 301 || s.status == 404 && m.rule.NegativeTTL > 0)
	case directive(s.private) && !m.rule.Personal, a.noStore:
		return false
	case m.rule.Public && a.auth && !directive(s.public || s.mustRevalidate || s.sMaxAge != none):
		return false
	}
	return s.status == 200 || s.status == 301 || s.status == 404 || directive(s.public || s.private || s.maxAge != none || s.sMaxAge != none)
}

// receive does what an answer to a request does to what is stored, and tells
// whether the answer is.
func (m *model) receive(s *said, a *asked, now time.Time, took time.Duration) bool {
	failure := s.status >= 500
	if failure {
		if r := m.find(a); r != nil && m.state(r, nil, now) != Miss {
			return false
		}
	}
	if !m.storable(s, a) {
		if !failure && (!m.rule.Origin || !a.noStore) && s.status != 206 && s.status != 304 {
			m.drop(a)
		}
		return false
	}
	m.drop(a)
	r := &record{said: *s, key: a.key, xa: a.xa, at: now, took: took}
	life, swr, sie := m.life(r)
	validated := m.rule.Origin && r.noCache && !r.silent
	age := m.age(r, now)
	if m.rule.Origin && (r.silent || !r.mustRevalidate && r.sMaxAge == none) {
		age = 0 // a request may say max-stale
	}
	useful := life-age+max(swr, sie) > 0 && !validated
	if useful || r.etag != "" {
		m.records = slices.Insert(m.records, 0, r)
		return true
	}
	return false
}

// receiveHead does what an answer to HEAD does.
func (m *model) receiveHead(s *said, a *asked, now time.Time, took time.Duration) {
	r := m.find(a)
	if s.status >= 500 || r == nil || r.hard {
		return
	}
	if s.status != r.status || s.etag != "" && s.etag != r.etag {
		m.drop(a)
		return
	}
	merged := r.confirmedBy(s)
	if !m.storable(&merged, a) {
		m.drop(a)
		return
	}
	m.drop(a)
	m.records = slices.Insert(m.records, 0, &record{said: merged, key: a.key, xa: a.xa, at: now, took: took})
}

// confirmedBy is the answer with what a 304, or an answer to HEAD, replaces.
func (s said) confirmedBy(by *said) said {
	if !by.silent {
		own := s
		s = *by
		s.status, s.etag, s.vary, s.tag, s.body, s.setCookie, s.silent = own.status, own.etag, own.vary, own.tag, own.body, own.setCookie, false
	}
	s.age = by.age
	if by.etag != "" {
		s.etag = by.etag
	}
	if by.vary != "" {
		s.vary = by.vary
	}
	if by.tag != "" {
		s.tag = by.tag
	}
	s.setCookie = s.setCookie || by.setCookie
	return s
}

func randomSaid(rng *rand.Rand, n int) said {
	pick := func(values ...int) int { return values[rng.IntN(len(values))] }
	odds := func(n int) bool { return rng.IntN(n) == 0 }
	s := said{
		status: pick(200, 200, 200, 200, 200, 301, 404, 302, 503, 500, 206),
		maxAge: pick(none, 0, 2, 5, 10), sMaxAge: pick(none, none, none, 0, 4),
		swr: pick(none, none, 0, 3), sie: pick(none, none, 0, 6), age: pick(none, none, none, 0, 1, 4),
		noStore: odds(12), noCache: odds(8), private: odds(8), public: odds(4), mustRevalidate: odds(6),
		setCookie: odds(20), silent: odds(6),
		body: fmt.Sprint("body ", n),
	}
	if odds(2) {
		s.etag = fmt.Sprintf(`"%d"`, rng.IntN(3))
	}
	switch rng.IntN(8) {
	case 0, 1, 2:
		s.vary = "X-A"
	case 3:
		s.vary = "*"
	}
	if odds(3) {
		s.tag = fmt.Sprint("tag", rng.IntN(2))
	}
	return s
}

func randomAsked(rng *rand.Rand) asked {
	pick := func(values ...int) int { return values[rng.IntN(len(values))] }
	odds := func(n int) bool { return rng.IntN(n) == 0 }
	return asked{
		key: fmt.Sprint("key", rng.IntN(3)), head: odds(8), xa: []string{"", "1", "2"}[rng.IntN(3)], auth: odds(4),
		maxAge: pick(none, none, none, none, none, 0, 3), minFresh: pick(none, none, none, none, none, 2), maxStale: pick(none, none, none, none, none, 1, 100),
		noCache: odds(10), noStore: odds(12), only: odds(12),
	}
}

var modelRules = []*Rule{
	{TTL: 5 * time.Second},
	{TTL: 5 * time.Second, Public: true, StaleWhileRevalidate: 3 * time.Second, NegativeTTL: 2 * time.Second},
	{TTL: 5 * time.Second, StaleIfError: 10 * time.Second},
	{Origin: true, Public: true},
	{Origin: true, Personal: true, StaleIfError: 10 * time.Second},
	{Origin: true, StaleWhileRevalidate: 4 * time.Second, StaleIfError: 8 * time.Second, NegativeTTL: 3 * time.Second},
}

// play runs the real cache and the model side by side.
func play(t *testing.T, seed uint64, steps int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	rule := *modelRules[rng.IntN(len(modelRules))]
	rule.NoEarlyRefresh = true
	clock := newFakeClock()
	c := newTestCache(t, Options{Now: clock.Now, MaxBytes: 4 << 20})
	// Tags that fall together are purged together, which the model knows
	// nothing of: the table is so large that none do.
	c.purges.cells = make([]purgeCell, mostPurgeCells<<2)
	m := &model{rule: &rule}
	fail := func(step int, format string, args ...any) {
		t.Helper()
		t.Fatalf("seed %d, step %d, rule %+v: %s", seed, step, rule, fmt.Sprintf(format, args...))
	}
	for step := range steps {
		switch rng.IntN(10) {
		case 0, 1, 2:
			clock.Advance(time.Duration(rng.IntN(8)) * time.Second / 2)
			continue
		case 3:
			if rng.IntN(10) == 0 {
				clock.Advance(-time.Duration(rng.IntN(20)) * time.Second)
				// What is of unknown age may come back when the clock does.
			}
			continue
		case 4:
			if rng.IntN(3) > 0 {
				continue
			}
			soft := rng.IntN(2) == 0
			name, tag := "key1", c.TagKey([]byte("key1"))
			if rng.IntN(2) == 0 {
				name, tag = "tag0", c.Tag(TagUpstream, "tag0")
			}
			c.Purge(soft, tag)
			for _, r := range m.records {
				if r.key != name && r.tag != name {
					continue
				}
				if soft {
					if r.soft == nil {
						r.soft = map[string]time.Time{}
					}
					r.soft[name] = clock.Now()
				} else {
					r.hard = true
				}
			}
			continue
		}
		a := randomAsked(rng)
		q := &Query{Key: []byte(a.key), Fields: a.fields(), Rule: &rule}
		if a.head {
			q.Method = "HEAD"
		}
		now := clock.Now()
		r := m.find(&a)
		want, body := Miss, ""
		if r != nil {
			want, body = m.state(r, &a, now), r.body
		}
		if want == Miss {
			body = ""
		}
		if a.only && (want == Miss || want == Expired) {
			want, body = OnlyIfCached, ""
		}
		found := c.Lookup(q)
		if found.State != want || bodyOf(found) != body {
			fail(step, "%+v\nfound %v %q, want %v %q", a, found.State, bodyOf(found), want, body)
		}
		if found.Answer != nil {
			if age := m.age(r, now); found.Age != age {
				fail(step, "%+v: age %v, want %v", a, found.Age, age)
			}
		}
		if found.Refresh && found.State != Stale {
			fail(step, "a refresh is asked for of what is %v", found.State)
		}
		renews := found.Refresh
		if found.State == OnlyIfCached || (found.State == Fresh || found.State == Stale) && !renews {
			continue
		}
		if renews {
			a.head = false
		}

		// The upstream answers, perhaps after some time, perhaps not.
		answer := randomSaid(rng, step)
		took := time.Duration(rng.IntN(3)/2) * time.Second
		refuses, confirms := rng.IntN(8) == 0, rng.IntN(2) == 0
		validators := ""
		if r != nil && !r.hard && !a.head {
			validators = r.etag
		}
		exchange := func(_ context.Context, tr *Transfer) (*Answer, error) {
			clock.Advance(took)
			if tr.Validators.ETag != validators {
				t.Errorf("seed %d, step %d: %+v %+v validated by %s, want %s", seed, step, a, r, tr.Validators.ETag, validators)
			}
			if refuses {
				return nil, errRefused
			}
			if validators != "" && confirms {
				answer.status, answer.body, answer.etag = 304, "", validators
			}
			return answer.answer(rng), nil
		}
		var got Fetched
		var err error
		if renews {
			c.Renew(q, exchange)
			c.running.Wait()
		} else {
			got, err = c.Do(context.Background(), q, exchange)
			if (err != nil) != refuses {
				fail(step, "Do: %v", err)
			}
		}
		if refuses {
			continue
		}
		now = clock.Now()
		stored := false
		switch {
		case a.head:
			m.receiveHead(&answer, &a, now, took)
		case answer.status == 304:
			merged := r.confirmedBy(&answer)
			answer = merged
			stored = m.receive(&merged, &a, now, took)
		default:
			stored = m.receive(&answer, &a, now, took)
		}
		if !renews && (got.Answer.Status() != answer.status || !a.head && string(got.Answer.Body()) != answer.body || got.Collapsed) {
			fail(step, "%+v\nfetched %d %q, want %d %q", a, got.Answer.Status(), got.Answer.Body(), answer.status, answer.body)
		}
		if !renews && got.Stored != stored {
			fail(step, "%+v\n%+v\nstored %v, want %v", a, answer, got.Stored, stored)
		}
	}
	if n := c.Stats().Entries; n != int64(len(m.records)) {
		fail(steps, "%d entries, want %d", n, len(m.records))
	}
}

func TestAgainstModel(t *testing.T) {
	runs := 800
	if raceEnabled || testing.Short() {
		runs = 200
	}
	for seed := range runs {
		play(t, uint64(seed), 150)
	}
}

func FuzzAgainstModel(f *testing.F) {
	for seed := range uint64(3) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) { play(t, seed, 300) })
}
