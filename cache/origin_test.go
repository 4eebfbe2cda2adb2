package cache

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// A gate is the least that a proxy does with a cache, for tests.
type gate struct {
	t     testing.TB
	c     *Cache
	clock *fakeClock
	rule  *Rule
	took  time.Duration // how long the upstream takes

	asked int        // how often the upstream was asked
	v     Validators // and what, the last time
}

func newGate(t testing.TB, rule *Rule) *gate {
	clock := newFakeClock()
	return &gate{t: t, c: newTestCache(t, Options{Now: clock.Now}), clock: clock, rule: rule}
}

var errRefused = errors.New("connection refused")

// ask answers a request, and says how: a state, for what came from the
// store, or "fwd=" and why. The upstream has these answers, one after the
// other; a nil one is a failure to connect. Renewing is done in the
// foreground.
func (g *gate) ask(method, key string, req fields, upstream ...*Answer) (*Answer, string) {
	g.t.Helper()
	exchange := func(_ context.Context, tr *Transfer) (*Answer, error) {
		g.asked++
		g.v = tr.Validators
		g.clock.Advance(g.took)
		if len(upstream) == 0 {
			return nil, errRefused
		}
		a := upstream[0]
		upstream = upstream[1:]
		if a == nil {
			return nil, errRefused
		}
		return a, nil
	}
	q := &Query{Key: []byte(key), Method: method, Fields: req, Rule: g.rule}
	found := g.c.Lookup(q)
	if found.Refresh {
		g.c.Renew(q, exchange)
		g.c.running.Wait()
	}
	switch found.State {
	case Fresh, Stale, OnlyIfCached:
		return found.Answer, found.State.String()
	case Bypass:
		a, _ := exchange(context.Background(), new(Transfer))
		return a, "fwd=" + string(found.Forward)
	}
	got, err := g.c.Do(context.Background(), q, exchange)
	how := "fwd=" + string(found.Forward)
	if err != nil || got.Answer.Status() >= 500 {
		if found.State == Expired {
			return found.Answer, "expired"
		}
		if err != nil {
			return nil, how + " " + err.Error()
		}
	}
	return got.Answer, how
}

// get is ask for GET requests for one key.
func (g *gate) get(req fields, upstream ...*Answer) (*Answer, string) {
	g.t.Helper()
	return g.ask("GET", "k", req, upstream...)
}

func date(d time.Duration) string {
	return newFakeClock().now.Add(d).Format(imfFixdate)
}

// Each case stores an answer to a first request and says how a second one is
// answered some time later.
func TestOriginReuse(t *testing.T) {
	const hit, stale, miss, refused = "fresh", "stale", "fwd=uri-miss", "fwd=stale"
	shared, personal := &Rule{Origin: true, Public: true}, &Rule{Origin: true, Personal: true}
	org := &Rule{Origin: true}
	guessing := &Rule{Origin: true, Public: true, Heuristic: true}
	graceful := &Rule{Origin: true, Public: true, StaleWhileRevalidate: time.Minute, StaleIfError: time.Hour}
	auth := fields{"Authorization", "Bearer x"}
	tests := []struct {
		section string // of RFC 9111 where nothing else is said
		rule    *Rule
		first   fields // request fields
		status  int    // 0: 200
		answer  fields
		after   time.Duration
		second  fields
		want    string
	}{
		// Storing (section 3).
		{"3 nothing said", shared, nil, 0, nil, 0, nil, miss},
		{"3 status without need to say", shared, nil, 404, fields{"Cache-Control", "max-age=9"}, 0, nil, hit},
		{"3 any final status that says so", shared, nil, 599, fields{"Cache-Control", "max-age=9"}, 0, nil, hit},
		{"3 302 that says so", shared, nil, 302, fields{"Cache-Control", "max-age=9"}, 0, nil, hit},
		{"3 302 that does not", guessing, nil, 302, fields{"Last-Modified", date(-time.Hour)}, 0, nil, miss},
		{"3 a status that is none", shared, nil, 600, fields{"Cache-Control", "max-age=9"}, 0, nil, miss},
		{"3 206", shared, nil, 206, fields{"Cache-Control", "max-age=9"}, 0, nil, miss},
		{"9110 14.4 Content-Range means nothing in a 200", shared, nil, 200, fields{"Cache-Control", "max-age=9", "Content-Range", "bytes 0-3/9"}, 0, nil, hit},
		{"3.3 cut short", shared, nil, 200, fields{"Cache-Control", "max-age=9", "Content-Length", "99"}, 0, nil, miss},
		{"3 Expires alone", shared, nil, 0, fields{"Expires", date(9 * time.Second), "Date", date(0)}, 8 * time.Second, nil, hit},
		{"7.3 Set-Cookie", shared, nil, 0, fields{"Cache-Control", "max-age=9", "Set-Cookie", "a=b"}, 0, nil, miss},
		{"7.3 Set-Cookie in a personal scope", personal, nil, 0, fields{"Cache-Control", "max-age=9", "Set-Cookie", "a=b"}, 0, nil, miss},
		{"7.3 Set-Cookie that is held back", shared, nil, 0, fields{"Cache-Control", `max-age=9, no-cache="Set-Cookie"`, "Set-Cookie", "a=b"}, 0, nil, hit},

		// Credentials (section 3.5).
		{"3.5 Authorization", shared, auth, 0, fields{"Cache-Control", "max-age=9"}, 0, auth, miss},
		{"3.5 Authorization, must-revalidate", shared, auth, 0, fields{"Cache-Control", "max-age=9, must-revalidate"}, 0, nil, hit},
		{"3.5 Authorization, public", shared, auth, 0, fields{"Cache-Control", "max-age=9, public"}, 0, nil, hit},
		{"3.5 Authorization, s-maxage", shared, auth, 0, fields{"Cache-Control", "s-maxage=9"}, 0, nil, hit},
		{"3.5 Authorization, proxy-revalidate is not enough", shared, auth, 0, fields{"Cache-Control", "max-age=9, proxy-revalidate"}, 0, nil, miss},
		{"3.5 Authorization, public with an argument is not enough", shared, auth, 0, fields{"Cache-Control", `max-age=9, public="x"`}, 0, nil, miss},
		{"3.5 Authorization within a scope", org, auth, 0, fields{"Cache-Control", "max-age=9"}, 0, auth, hit},
		{"3.5 stored without, asked with", shared, nil, 0, fields{"Cache-Control", "max-age=9"}, 0, auth, hit},

		// Freshness (section 4.2.1).
		{"5.2.2.1 max-age", shared, nil, 0, fields{"Cache-Control", "max-age=9"}, 9*time.Second - 1, nil, hit},
		{"5.2.2.1 max-age is over", shared, nil, 0, fields{"Cache-Control", "max-age=9"}, 9 * time.Second, nil, refused},
		{"5.2.2.1 max-age=0", shared, nil, 0, fields{"Cache-Control", "max-age=0"}, 0, nil, miss},
		{"5.2.2.1 max-age=0 can be validated", shared, nil, 0, fields{"Cache-Control", "max-age=0", "ETag", `"a"`}, 0, nil, refused},
		{"5.2.2.10 s-maxage before max-age", shared, nil, 0, fields{"Cache-Control", "max-age=1, s-maxage=9"}, 8 * time.Second, nil, hit},
		{"5.2.2.10 a shorter s-maxage", shared, nil, 0, fields{"Cache-Control", "max-age=9, s-maxage=1"}, 2 * time.Second, nil, refused},
		{"4.2.1 max-age before Expires", shared, nil, 0, fields{"Cache-Control", "max-age=9", "Expires", date(-time.Hour)}, 0, nil, hit},
		{"5.3 Expires is over", shared, nil, 0, fields{"Expires", date(9 * time.Second), "Date", date(0)}, 9 * time.Second, nil, refused},
		{"5.3 Expires without Date", shared, nil, 0, fields{"Expires", date(9 * time.Second)}, 8 * time.Second, nil, hit},
		{"5.3 Expires in RFC 850 form", shared, nil, 0, fields{"Expires", "Tuesday, 24-Nov-26 12:00:09 GMT"}, 8 * time.Second, nil, hit},
		{"5.3 Expires in asctime form", shared, nil, 0, fields{"Expires", "Tue Nov 24 12:00:09 2026"}, 8 * time.Second, nil, hit},
		{"5.3 Expires: 0", shared, nil, 0, fields{"Expires", "0", "ETag", `"a"`}, 0, nil, refused},
		{"5.3 Expires in another zone", shared, nil, 0, fields{"Expires", "Tue, 24 Nov 2026 12:00:09 CET", "ETag", `"a"`}, 0, nil, refused},
		{"5.3 Expires with a fraction", shared, nil, 0, fields{"Expires", "Tue, 24 Nov 2026 12:00:09.5 GMT", "ETag", `"a"`}, 0, nil, refused},
		{"5.3 two Expires", shared, nil, 0, fields{"Expires", date(9 * time.Second), "Expires", date(9 * time.Second), "ETag", `"a"`}, 0, nil, refused},
		{"5.3 Expires against a Date that is off", shared, nil, 0, fields{"Expires", date(-time.Hour + 9*time.Second), "Date", date(-time.Hour)}, 0, nil, refused},
		{"5.2.1.2 stale when it comes, and nobody who takes it", shared, nil, 0, fields{"Cache-Control", "max-age=9, must-revalidate", "Age", "10"}, 0, fields{"Cache-Control", "max-stale"}, miss},
		{"5.2.1.2 stale when it comes, and somebody who does", shared, nil, 0, fields{"Cache-Control", "max-age=9", "Age", "10"}, 0, fields{"Cache-Control", "max-stale"}, stale},
		{"4.2.1 two max-age: the shorter", shared, nil, 0, fields{"Cache-Control", "max-age=9, max-age=1"}, 2 * time.Second, nil, refused},
		{"4.2.1 two lines: the shorter", shared, nil, 0, fields{"Cache-Control", "max-age=1", "Cache-Control", "max-age=9"}, 2 * time.Second, nil, refused},
		{"4.2.1 no number", shared, nil, 0, fields{"Cache-Control", "max-age=a, public", "Expires", date(time.Hour), "ETag", `"a"`}, 0, nil, refused},
		{"4.2.1 no argument", shared, nil, 0, fields{"Cache-Control", "max-age, public", "Expires", date(time.Hour), "ETag", `"a"`}, 0, nil, refused},
		{"4.2.1 negative", shared, nil, 0, fields{"Cache-Control", "max-age=-9", "ETag", `"a"`}, 0, nil, refused},
		{"4.2.1 floating", shared, nil, 0, fields{"Cache-Control", "max-age=9.5", "ETag", `"a"`}, 0, nil, refused},
		{"4.2.1 single quotes", shared, nil, 0, fields{"Cache-Control", "max-age='9'", "ETag", `"a"`}, 0, nil, refused},
		{"5.2 quoted", shared, nil, 0, fields{"Cache-Control", `max-age="9"`}, 8 * time.Second, nil, hit},
		{"5.2 white space before =", shared, nil, 0, fields{"Cache-Control", "max-age =9", "ETag", `"a"`}, 0, nil, refused},
		{"5.2 white space after =", shared, nil, 0, fields{"Cache-Control", "max-age= 9", "ETag", `"a"`}, 0, nil, refused},
		{"5.2 in capitals", shared, nil, 0, fields{"Cache-Control", "MAX-AGE=9"}, 8 * time.Second, nil, hit},
		{"5.2 leading zeros", shared, nil, 0, fields{"Cache-Control", "max-age=0009"}, 8 * time.Second, nil, hit},
		{"5.2 inside another's quotes", shared, nil, 0, fields{"Cache-Control", `a="max-age=9"`, "ETag", `"a"`}, 0, nil, refused},
		{"5.2 as a part of a word", shared, nil, 0, fields{"Cache-Control", "xmax-age=9", "ETag", `"a"`}, 0, nil, refused},
		{"5.2 empty members", shared, nil, 0, fields{"Cache-Control", ", ,max-age=9,,"}, 8 * time.Second, nil, hit},
		{"5.2.3 unknown directives", shared, nil, 0, fields{"Cache-Control", `max-age=9, foo, bar="b,a z", no-storage`}, 8 * time.Second, nil, hit},
		{"1.2.2 too large", shared, nil, 0, fields{"Cache-Control", "max-age=99999999999999999999999999"}, 1000 * time.Hour, nil, hit},
		{"1.2.2 beyond 2^31", shared, nil, 0, fields{"Cache-Control", "max-age=2147483649"}, 1000 * time.Hour, nil, hit},

		// Guesses (section 4.2.2).
		{"4.2.2 off", shared, nil, 0, fields{"Last-Modified", date(-100 * time.Second)}, 0, nil, refused},
		{"4.2.2 a tenth", guessing, nil, 0, fields{"Last-Modified", date(-100 * time.Second)}, 9 * time.Second, nil, hit},
		{"4.2.2 is over", guessing, nil, 0, fields{"Last-Modified", date(-100 * time.Second)}, 10 * time.Second, nil, refused},
		{"4.2.2 at most a day", guessing, nil, 0, fields{"Last-Modified", date(-10000 * time.Hour)}, 25 * time.Hour, nil, refused},
		{"4.2.2 another status", guessing, nil, 201, fields{"Last-Modified", date(-100 * time.Second)}, 0, nil, miss},
		{"4.2.2 another status that is public", guessing, nil, 201, fields{"Last-Modified", date(-100 * time.Second), "Cache-Control", "public"}, 9 * time.Second, nil, hit},
		{"4.2.2 modified after it was made", guessing, nil, 0, fields{"Last-Modified", date(time.Hour)}, 0, nil, refused},
		{"4.2.2 where something is said", guessing, nil, 0, fields{"Last-Modified", date(-100 * time.Hour), "Cache-Control", "max-age=1"}, 2 * time.Second, nil, refused},

		// Age (sections 4.2.3 and 5.1).
		{"5.1 Age", shared, nil, 0, fields{"Cache-Control", "max-age=9", "Age", "5"}, 3 * time.Second, nil, hit},
		{"5.1 Age, over", shared, nil, 0, fields{"Cache-Control", "max-age=9", "Age", "5"}, 4 * time.Second, nil, refused},
		{"4.2.3 Date", shared, nil, 0, fields{"Cache-Control", "max-age=9", "Date", date(-5 * time.Second)}, 4 * time.Second, nil, refused},
		{"4.2.3 Date ahead of our clock", shared, nil, 0, fields{"Cache-Control", "max-age=9", "Date", date(time.Hour)}, 8 * time.Second, nil, hit},
		{"4.2.3 the larger of both", shared, nil, 0, fields{"Cache-Control", "max-age=9", "Date", date(-5 * time.Second), "Age", "1"}, 4 * time.Second, nil, refused},
		{"5.1 the first of several", shared, nil, 0, fields{"Cache-Control", "max-age=9", "Age", "5, 0"}, 4 * time.Second, nil, refused},
		{"5.1 the first of two lines", shared, nil, 0, fields{"Cache-Control", "max-age=9", "Age", "0", "Age", "5"}, 8 * time.Second, nil, hit},
		{"5.1 no number", shared, nil, 0, fields{"Cache-Control", "max-age=9", "Age", "abc"}, 8 * time.Second, nil, hit},
		{"5.1 negative", shared, nil, 0, fields{"Cache-Control", "max-age=9", "Age", "-100"}, 8 * time.Second, nil, hit},
		{"5.1 floating", shared, nil, 0, fields{"Cache-Control", "max-age=9", "Age", "100.5"}, 8 * time.Second, nil, hit},
		{"5.1 too large", shared, nil, 0, fields{"Cache-Control", "max-age=9", "Age", "99999999999999999999", "ETag", `"a"`}, 0, nil, refused},

		// Directives of answers (section 5.2.2).
		{"5.2.2.5 no-store", shared, nil, 0, fields{"Cache-Control", "max-age=9, no-store"}, 0, nil, miss},
		{"5.2.2.5 no-store, private scope", personal, nil, 0, fields{"Cache-Control", "NO-STORE, max-age=9"}, 0, nil, miss},
		{"5.2.2.4 no-cache", shared, nil, 0, fields{"Cache-Control", "max-age=9, no-cache", "ETag", `"a"`}, 0, nil, refused},
		{"5.2.2.4 no-cache with grace of the operator's", graceful, nil, 0, fields{"Cache-Control", "max-age=9, no-cache", "ETag", `"a"`}, 0, nil, refused},
		{"5.2.2.4 no-cache with fields", shared, nil, 0, fields{"Cache-Control", `max-age=9, no-cache="x-a"`}, 0, nil, hit},
		{"5.2.2.4 no-cache with a token", shared, nil, 0, fields{"Cache-Control", "max-age=9, no-cache=x-a", "ETag", `"a"`}, 0, nil, refused},
		{"5.2.2.4 no-cache with an empty list", shared, nil, 0, fields{"Cache-Control", `max-age=9, no-cache=""`, "ETag", `"a"`}, 0, nil, refused},
		{"5.2.2.4 both", shared, nil, 0, fields{"Cache-Control", `max-age=9, no-cache="x-a", no-cache`, "ETag", `"a"`}, 0, nil, refused},
		{"5.2.2.7 private", shared, nil, 0, fields{"Cache-Control", "max-age=9, private"}, 0, nil, miss},
		{"5.2.2.7 private, scope of several users", org, nil, 0, fields{"Cache-Control", "max-age=9, private"}, 0, nil, miss},
		{"5.2.2.7 private, scope of one", personal, nil, 0, fields{"Cache-Control", "max-age=9, private"}, 0, nil, hit},
		{"5.2.2.7 private and public", shared, nil, 0, fields{"Cache-Control", "max-age=9, private, public"}, 0, nil, miss},
		{"5.2.2.7 private with fields", shared, nil, 0, fields{"Cache-Control", `max-age=9, private="x-a"`}, 0, nil, hit},
		{"5.2.2.3 must-understand, known", shared, nil, 0, fields{"Cache-Control", "max-age=9, must-understand, no-store"}, 0, nil, hit},
		{"5.2.2.3 must-understand, unknown", shared, nil, 299, fields{"Cache-Control", "max-age=9, must-understand"}, 0, nil, miss},
		{"5.2.2.3 no must-understand, unknown", shared, nil, 299, fields{"Cache-Control", "max-age=9"}, 0, nil, hit},
		{"5.2.2.9 public alone", shared, nil, 201, fields{"Cache-Control", "public", "ETag", `"a"`}, 0, nil, refused},
		{"5.4 Pragma of an answer", shared, nil, 0, fields{"Cache-Control", "max-age=9", "Pragma", "no-cache"}, 0, nil, hit},

		// What is stale (section 4.2.4, RFC 5861).
		{"RFC 5861 3", shared, nil, 0, fields{"Cache-Control", "max-age=9, stale-while-revalidate=5"}, 14*time.Second - 1, nil, stale},
		{"RFC 5861 3 over", shared, nil, 0, fields{"Cache-Control", "max-age=9, stale-while-revalidate=5"}, 14 * time.Second, nil, refused},
		{"RFC 5861 3 by the operator", graceful, nil, 0, fields{"Cache-Control", "max-age=9"}, 10 * time.Second, nil, stale},
		{"RFC 5861 3 the answer's own word", graceful, nil, 0, fields{"Cache-Control", "max-age=9, stale-while-revalidate=0"}, 10 * time.Second, nil, "expired"},
		{"RFC 5861 3 no number", graceful, nil, 0, fields{"Cache-Control", "max-age=9, stale-while-revalidate=x, stale-if-error=0"}, 10 * time.Second, nil, refused},
		{"RFC 5861 4", shared, nil, 0, fields{"Cache-Control", "max-age=9, stale-if-error=5"}, 13 * time.Second, nil, "expired"},
		{"RFC 5861 4 over", shared, nil, 0, fields{"Cache-Control", "max-age=9, stale-if-error=5"}, 14 * time.Second, nil, refused},
		{"RFC 5861 4 by the request", shared, nil, 0, fields{"Cache-Control", "max-age=9"}, 13 * time.Second, fields{"Cache-Control", "stale-if-error=5"}, "expired"},
		{"5.2.2.2 must-revalidate", graceful, nil, 0, fields{"Cache-Control", "max-age=9, must-revalidate, stale-while-revalidate=9, stale-if-error=9"}, 10 * time.Second, nil, refused},
		{"5.2.2.8 proxy-revalidate", graceful, nil, 0, fields{"Cache-Control", "max-age=9, proxy-revalidate"}, 10 * time.Second, nil, refused},
		{"5.2.2.10 s-maxage is like proxy-revalidate", graceful, nil, 0, fields{"Cache-Control", "s-maxage=9"}, 10 * time.Second, nil, refused},
		{"5.2.2.2 must-revalidate, fresh", shared, nil, 0, fields{"Cache-Control", "max-age=9, must-revalidate"}, 8 * time.Second, nil, hit},

		// Directives of requests (section 5.2.1).
		{"5.2.1.1 max-age", shared, nil, 0, fields{"Cache-Control", "max-age=99"}, 9 * time.Second, fields{"Cache-Control", "max-age=9"}, hit},
		{"5.2.1.1 max-age, too old", shared, nil, 0, fields{"Cache-Control", "max-age=99"}, 9*time.Second + 1, fields{"Cache-Control", "max-age=9"}, "fwd=request"},
		{"5.2.1.1 max-age=0", shared, nil, 0, fields{"Cache-Control", "max-age=99"}, 0, fields{"Cache-Control", "max-age=0"}, "fwd=request"},
		{"5.2.1.1 no number", shared, nil, 0, fields{"Cache-Control", "max-age=99"}, 0, fields{"Cache-Control", "max-age=x"}, "fwd=request"},
		{"5.2.1.1 counts Age", shared, nil, 0, fields{"Cache-Control", "max-age=99", "Age", "10"}, 0, fields{"Cache-Control", "max-age=9"}, "fwd=request"},
		{"5.2.1.3 min-fresh", shared, nil, 0, fields{"Cache-Control", "max-age=10"}, 0, fields{"Cache-Control", "min-fresh=10"}, hit},
		{"5.2.1.3 min-fresh, too short", shared, nil, 0, fields{"Cache-Control", "max-age=10"}, time.Second, fields{"Cache-Control", "min-fresh=10"}, "fwd=request"},
		{"5.2.1.3 no number", shared, nil, 0, fields{"Cache-Control", "max-age=10"}, 0, fields{"Cache-Control", "min-fresh"}, "fwd=request"},
		{"5.2.1.2 max-stale", shared, nil, 0, fields{"Cache-Control", "max-age=9"}, 14 * time.Second, fields{"Cache-Control", "max-stale=5"}, stale},
		{"5.2.1.2 max-stale, too stale", shared, nil, 0, fields{"Cache-Control", "max-age=9"}, 15 * time.Second, fields{"Cache-Control", "max-stale=5"}, refused},
		{"5.2.1.2 max-stale without end", shared, nil, 0, fields{"Cache-Control", "max-age=9"}, time.Hour, fields{"Cache-Control", "max-stale"}, stale},
		{"5.2.1.2 no number", shared, nil, 0, fields{"Cache-Control", "max-age=9"}, 10 * time.Second, fields{"Cache-Control", "max-stale=x"}, refused},
		{"5.2.1.2 max-stale against must-revalidate", shared, nil, 0, fields{"Cache-Control", "max-age=9, must-revalidate"}, 10 * time.Second, fields{"Cache-Control", "max-stale"}, refused},
		{"5.2.1.2 max-stale against no-cache", shared, nil, 0, fields{"Cache-Control", "max-age=9, no-cache", "ETag", `"a"`}, 0, fields{"Cache-Control", "max-stale"}, refused},
		{"5.2.1.2 max-stale with max-age", shared, nil, 0, fields{"Cache-Control", "max-age=9"}, 14 * time.Second, fields{"Cache-Control", "max-stale=9, max-age=10"}, refused},
		{"5.2.1.4 no-cache", shared, nil, 0, fields{"Cache-Control", "max-age=9"}, 0, fields{"Cache-Control", "no-cache"}, "fwd=request"},
		{"5.4 Pragma", shared, nil, 0, fields{"Cache-Control", "max-age=9"}, 0, fields{"Pragma", "no-cache"}, "fwd=request"},
		{"5.4 Pragma beside Cache-Control", shared, nil, 0, fields{"Cache-Control", "max-age=9"}, 0, fields{"Pragma", "no-cache", "Cache-Control", "max-age=9"}, hit},
		{"5.4 Pragma that says nothing", shared, nil, 0, fields{"Cache-Control", "max-age=9"}, 0, fields{"Pragma", "foo"}, hit},
		{"5.2.1.5 no-store on the first", shared, fields{"Cache-Control", "no-store"}, 0, fields{"Cache-Control", "max-age=9"}, 0, nil, miss},
		{"5.2.1.5 no-store on the second", shared, nil, 0, fields{"Cache-Control", "max-age=9"}, 0, fields{"Cache-Control", "no-store"}, hit},
		{"5.2.1.7 only-if-cached, stored", shared, nil, 0, fields{"Cache-Control", "max-age=9"}, 0, fields{"Cache-Control", "only-if-cached"}, hit},
		{"5.2.1.7 only-if-cached, stale", shared, nil, 0, fields{"Cache-Control", "max-age=9"}, 9 * time.Second, fields{"Cache-Control", "only-if-cached"}, "only-if-cached"},
		{"5.2.1.7 only-if-cached, not stored", shared, nil, 0, fields{"Cache-Control", "no-store"}, 0, fields{"Cache-Control", "only-if-cached"}, "only-if-cached"},
		{"5.2.1 ignored where the operator says so", &Rule{Origin: true, IgnoreRequest: true}, fields{"Cache-Control", "no-store"}, 0, fields{"Cache-Control", "max-age=9"}, 0, fields{"Cache-Control", "no-cache, max-age=0"}, hit},
		{"9110 13.1.1 If-Match", shared, nil, 0, fields{"Cache-Control", "max-age=9", "ETag", `"a"`}, 0, fields{"If-Match", `"a"`}, "fwd=bypass"},
		{"9110 13.1.4 If-Unmodified-Since", shared, nil, 0, fields{"Cache-Control", "max-age=9"}, 0, fields{"If-Unmodified-Since", date(0)}, "fwd=bypass"},

		// Targeted fields (RFC 9213).
		{"RFC 9213 2.2 before Cache-Control", shared, nil, 0, fields{"CDN-Cache-Control", "max-age=9", "Cache-Control", "no-store"}, 8 * time.Second, nil, hit},
		{"RFC 9213 2.2 shorter than Cache-Control", shared, nil, 0, fields{"CDN-Cache-Control", "max-age=1", "Cache-Control", "max-age=9"}, 2 * time.Second, nil, refused},
		{"RFC 9213 2.2 no-store", shared, nil, 0, fields{"CDN-Cache-Control", "no-store", "Cache-Control", "max-age=9"}, 0, nil, miss},
		{"RFC 9213 2.2 private", shared, nil, 0, fields{"CDN-Cache-Control", "private, max-age=9", "Cache-Control", "max-age=9"}, 0, nil, miss},
		{"RFC 9213 2.2 Expires does not count", shared, nil, 0, fields{"CDN-Cache-Control", "public", "Expires", date(time.Hour), "ETag", `"a"`}, 0, nil, refused},
		{"RFC 9213 2.2 hopgate's own before all", shared, nil, 0, fields{"CDN-Cache-Control", "no-store", "Hopgate-Cache-Control", "max-age=9"}, 8 * time.Second, nil, hit},
		{"RFC 9213 2.1 an empty one", shared, nil, 0, fields{"CDN-Cache-Control", "", "Cache-Control", "max-age=9"}, 8 * time.Second, nil, hit},
		{"RFC 9213 2.1 no dictionary", shared, nil, 0, fields{"CDN-Cache-Control", "max-age=99 x", "Cache-Control", "max-age=9"}, 10 * time.Second, nil, refused},
		{"RFC 9213 2.1 capitals are no dictionary", shared, nil, 0, fields{"CDN-Cache-Control", "Max-Age=99", "Cache-Control", "max-age=9"}, 10 * time.Second, nil, refused},
		{"RFC 9213 2.1 no dictionary, next in line", shared, nil, 0, fields{"Hopgate-Cache-Control", ";;", "CDN-Cache-Control", "max-age=9"}, 8 * time.Second, nil, hit},
		{"RFC 9213 2.1 no integer", shared, nil, 0, fields{"CDN-Cache-Control", `max-age="9"`, "Cache-Control", "max-age=9", "ETag", `"a"`}, 0, nil, refused},
		{"RFC 9213 2.1 a decimal", shared, nil, 0, fields{"CDN-Cache-Control", "max-age=9.5", "Cache-Control", "max-age=9", "ETag", `"a"`}, 0, nil, refused},
		{"RFC 9213 2.1 parameters", shared, nil, 0, fields{"CDN-Cache-Control", `max-age=9;a;b="x", foo=(1 2;a "3");c, bar=:YQ==:`}, 8 * time.Second, nil, hit},
		{"RFC 9651 the last of two", shared, nil, 0, fields{"CDN-Cache-Control", "max-age=1, max-age=9"}, 8 * time.Second, nil, hit},
		{"RFC 9651 false", shared, nil, 0, fields{"CDN-Cache-Control", "max-age=9, no-store=?0"}, 8 * time.Second, nil, hit},
		{"RFC 9651 two lines", shared, nil, 0, fields{"CDN-Cache-Control", "max-age=9", "CDN-Cache-Control", "private"}, 0, nil, miss},
	}
	for _, tt := range tests {
		t.Run(tt.section, func(t *testing.T) {
			g := newGate(t, tt.rule)
			status := tt.status
			if status == 0 {
				status = 200
			}
			g.get(tt.first, build(status, "stored", tt.answer...))
			g.clock.Advance(tt.after)
			if _, how := g.get(tt.second, build(503, "")); how != tt.want {
				t.Errorf("the second request: %s, want %s", how, tt.want)
			}
		})
	}
}

// The age of an answer counts the time that it took to come (RFC 9111
// section 4.2.3).
func TestAgeCountsTheWay(t *testing.T) {
	g := newGate(t, &Rule{Origin: true})
	g.took = 2 * time.Second
	g.get(nil, build(200, "v", "Cache-Control", "max-age=10", "Age", "3"))
	g.clock.Advance(4 * time.Second)
	found := g.c.Get([]byte("k"), fields{}, g.rule)
	if found.Age != 9*time.Second || found.TTL != time.Second {
		t.Errorf("age %v, TTL %v; want 9s and 1s", found.Age, found.TTL)
	}
}

// A clock that goes back makes nothing fresh that was stale, and nothing of
// unknown age is used.
func TestClockJumps(t *testing.T) {
	g := newGate(t, &Rule{Origin: true, StaleIfError: time.Hour})
	g.get(nil, build(200, "v", "Cache-Control", "max-age=10"))
	g.clock.Advance(-time.Minute)
	if _, how := g.get(nil, build(200, "w", "Cache-Control", "max-age=10")); how != "fwd=stale" {
		t.Errorf("after a jump back: %s", how)
	}
	if _, how := g.get(nil); how != "fresh" {
		t.Errorf("what was stored then: %s", how)
	}
	g.clock.Advance(1000 * time.Hour)
	if _, how := g.get(nil, build(200, "x", "Cache-Control", "max-age=10")); how != "fwd=stale" {
		t.Errorf("after a jump ahead: %s", how)
	}
}

func TestStoredFields(t *testing.T) {
	lines := fields{
		"Date", date(0), "Age", "1", "Connection", "X-Hop", "Keep-Alive", "1", "Proxy-Authenticate", "x", "Proxy-Authentication-Info", "x",
		"Transfer-Encoding", "x", "Upgrade", "x", "TE", "x", "Trailer", "x", "Proxy-Connection", "x",
		"X-No-Cache", "secret", "X-Private", "secret", "X-Kept", "1", "X-Kept", "2",
		"Cache-Control", `max-age=99, no-cache="x-no-cache, foo", private="X-Private"`,
	}
	for _, tt := range []struct {
		rule *Rule
		want string
	}{
		{&Rule{Origin: true, Public: true}, "Date X-Kept X-Kept Cache-Control"},
		{&Rule{Origin: true, Personal: true}, "Date X-Private X-Kept X-Kept Cache-Control"},
		{&Rule{TTL: time.Minute, Public: true}, "Date X-Kept X-Kept Cache-Control"},
	} {
		g := newGate(t, tt.rule)
		all := build(200, "v", lines...)
		if got, how := g.get(nil, all); got != all {
			t.Errorf("%+v: who fetched it gets another answer (%s)", tt.rule, how)
		}
		got, how := g.get(nil)
		if how != "fresh" || names(got) != tt.want || string(got.Body()) != "v" {
			t.Errorf("%+v: %s with %s, want %s", tt.rule, how, names(got), tt.want)
		}
	}
	// An answer without Date gets one (RFC 9110 section 6.6.1).
	g := newGate(t, &Rule{Origin: true})
	g.get(nil, build(200, "v", "Cache-Control", "max-age=99"))
	got, _ := g.get(nil)
	if value, n := got.Field("Date"); n != 1 || string(value) != date(0) {
		t.Errorf("Date: %s", value)
	}
}

func names(a *Answer) string {
	var names []string
	for i := range a.Len() {
		name, _ := a.FieldAt(i)
		names = append(names, string(name))
	}
	return strings.Join(names, " ")
}

func lines(a *Answer) string {
	var lines []string
	for i := range a.Len() {
		name, value := a.FieldAt(i)
		lines = append(lines, fmt.Sprintf("%s: %s", name, value))
	}
	return strings.Join(lines, "; ")
}

func TestValidation(t *testing.T) {
	rule := &Rule{Origin: true, Public: true}
	for _, tt := range []struct {
		name   string
		stored fields
		want   Validators
	}{
		{"both", fields{"ETag", `"a"`, "Last-Modified", date(-time.Hour)}, Validators{`"a"`, date(-time.Hour)}},
		{"weak", fields{"ETag", `W/"a"`}, Validators{ETag: `W/"a"`}},
		{"no entity tag", fields{"ETag", `a`, "Last-Modified", date(0)}, Validators{LastModified: date(0)}},
		{"two entity tags", fields{"ETag", `"a"`, "ETag", `"b"`}, Validators{}},
		{"no date", fields{"ETag", `"a"`, "Last-Modified", "yesterday"}, Validators{ETag: `"a"`}},
	} {
		g := newGate(t, rule)
		g.get(nil, build(200, "v", append(tt.stored, "Cache-Control", "max-age=9")...))
		if g.v != (Validators{}) {
			t.Errorf("%s: the first request has conditions %v", tt.name, g.v)
		}
		g.clock.Advance(10 * time.Second)
		g.get(nil, build(200, "w"))
		if g.v != tt.want {
			t.Errorf("%s: asked with %v, want %v", tt.name, g.v, tt.want)
		}
	}
}

// A 304 updates what is stored (RFC 9111 sections 3.2 and 4.3.4).
func TestFreshening(t *testing.T) {
	stored := fields{"Cache-Control", "max-age=9", "ETag", `"a"`, "Last-Modified", date(-time.Hour), "X-Old", "1", "X-Both", "1", "X-Both", "2", "Content-Type", "text/plain", "Date", date(0)}
	tests := []struct {
		name   string
		by     fields // of the 304
		second bool   // the upstream is asked again
		want   string
	}{
		{"same entity tag", fields{"ETag", `"a"`, "X-Both", "3", "X-New", "4", "Content-Length", "0", "Date", date(10 * time.Second)}, false,
			`Cache-Control: max-age=9; Last-Modified: ` + date(-time.Hour) + `; X-Old: 1; Content-Type: text/plain; ETag: "a"; X-Both: 3; X-New: 4; Date: ` + date(10*time.Second)},
		{"no validator", fields{"Cache-Control", "max-age=99", "Date", date(10 * time.Second)}, false,
			`ETag: "a"; Last-Modified: ` + date(-time.Hour) + `; X-Old: 1; X-Both: 1; X-Both: 2; Content-Type: text/plain; Cache-Control: max-age=99; Date: ` + date(10*time.Second)},
		{"another entity tag", fields{"ETag", `"b"`}, true, ""},
		{"weak entity tag of the same", fields{"ETag", `W/"a"`, "Date", date(10 * time.Second)}, false,
			`Cache-Control: max-age=9; Last-Modified: ` + date(-time.Hour) + `; X-Old: 1; X-Both: 1; X-Both: 2; Content-Type: text/plain; ETag: W/"a"; Date: ` + date(10*time.Second)},
		{"another date", fields{"Last-Modified", date(0)}, true, ""},
	}
	for _, tt := range tests {
		g := newGate(t, &Rule{Origin: true, Public: true})
		g.get(nil, build(200, "body", stored...))
		g.clock.Advance(10 * time.Second)
		a, how := g.get(nil, build(304, "", tt.by...), build(200, "new", "Cache-Control", "max-age=9"))
		if how != "fwd=stale" || g.asked != map[bool]int{false: 2, true: 3}[tt.second] {
			t.Errorf("%s: %s, the upstream was asked %d times", tt.name, how, g.asked)
		}
		again, how := g.get(nil)
		if how != "fresh" {
			t.Errorf("%s: then %s", tt.name, how)
			continue
		}
		if tt.second {
			if string(a.Body()) != "new" || string(again.Body()) != "new" || g.v != (Validators{}) {
				t.Errorf("%s: answered %q, then %q, asked with %v", tt.name, a.Body(), again.Body(), g.v)
			}
			continue
		}
		if a.Status() != 200 || string(a.Body()) != "body" || lines(a) != tt.want || lines(again) != tt.want {
			t.Errorf("%s: %d %q\n got %s\nwant %s", tt.name, a.Status(), a.Body(), lines(again), tt.want)
		}
		if &a.Body()[0] != &again.Body()[0] {
			t.Errorf("%s: the body was copied", tt.name)
		}
	}
}

// A 304 that was asked for by the client's own conditions is the client's
// alone.
func TestUnaskedConfirmation(t *testing.T) {
	g := newGate(t, &Rule{TTL: time.Second, Public: true})
	if a, how := g.get(nil, build(304, "", "ETag", `"a"`)); a.Status() != 304 || how != "fwd=uri-miss" {
		t.Errorf("%d %s", a.Status(), how)
	}
	if _, how := g.get(nil, build(200, "v")); how != "fwd=uri-miss" {
		t.Errorf("then %s", how)
	}
}

// An answer to HEAD updates what a GET stored, or shows that it is no longer
// right (RFC 9111 section 4.3.5).
func TestHead(t *testing.T) {
	tests := []struct {
		name string
		head *Answer
		then string
	}{
		{"updates", build(200, "", "Cache-Control", "max-age=99", "ETag", `"a"`, "Content-Length", "4"), "fresh"},
		{"another entity tag", build(200, "", "Cache-Control", "max-age=99", "ETag", `"b"`), "fwd=uri-miss"},
		{"another length", build(200, "", "Cache-Control", "max-age=99", "Content-Length", "5"), "fwd=uri-miss"},
		{"another status", build(410, "", "Cache-Control", "max-age=99"), "fwd=uri-miss"},
		{"must not be stored any more", build(200, "", "Cache-Control", "no-store"), "fwd=uri-miss"},
		{"failed", build(503, ""), "fwd=stale"},
	}
	for _, tt := range tests {
		g := newGate(t, &Rule{Origin: true})
		g.ask("HEAD", "k", nil, build(200, "", "Cache-Control", "max-age=99"))
		if _, how := g.get(nil, build(200, "body", "Cache-Control", "max-age=9", "ETag", `"a"`, "X-A", "1")); how != "fwd=uri-miss" {
			t.Errorf("%s: after a HEAD: %s", tt.name, how)
		}
		if a, how := g.ask("HEAD", "k", nil); how != "fresh" || a.Status() != 200 {
			t.Errorf("%s: HEAD of what is stored: %s", tt.name, how)
		}
		g.clock.Advance(10 * time.Second)
		if a, how := g.ask("HEAD", "k", nil, tt.head); how != "fwd=stale" || a != tt.head {
			t.Errorf("%s: HEAD: %s", tt.name, how)
		}
		a, how := g.get(nil, build(200, "x"))
		if how != tt.then {
			t.Errorf("%s: then %s, want %s", tt.name, how, tt.then)
		}
		if _, n := a.Field("X-A"); how == "fresh" && (string(a.Body()) != "body" || n != 1) {
			t.Errorf("%s: then %q with %s", tt.name, a.Body(), lines(a))
		}
	}
}

// Failures leave what is stored, even where they may be stored themselves.
func TestFailuresDoNotReplace(t *testing.T) {
	g := newGate(t, &Rule{Origin: true, StaleIfError: time.Hour})
	g.get(nil, build(200, "good", "Cache-Control", "max-age=9"))
	g.clock.Advance(10 * time.Second)
	for _, failure := range []*Answer{build(503, "bad", "Cache-Control", "max-age=9"), nil} {
		if a, how := g.get(nil, failure); how != "expired" || string(a.Body()) != "good" {
			t.Errorf("%s", how)
		}
	}
	g.clock.Advance(time.Hour)
	if _, how := g.get(nil, build(503, "bad", "Cache-Control", "max-age=9")); how != "fwd=stale" {
		t.Errorf("when it is too old: %s", how)
	}
	if a, how := g.get(nil); how != "fresh" || a.Status() != 503 {
		t.Errorf("then %s", how)
	}
}

func TestNegativeTTL(t *testing.T) {
	for _, rule := range []*Rule{{TTL: time.Hour, NegativeTTL: 5 * time.Second}, {Origin: true, NegativeTTL: 5 * time.Second}} {
		for _, status := range []int{403, 404, 410} {
			g := newGate(t, rule)
			g.get(nil, build(status, "none"))
			g.clock.Advance(5*time.Second - 1)
			if a, how := g.get(nil); how != "fresh" || a.Status() != status {
				t.Errorf("%d: %s", status, how)
			}
			g.clock.Advance(1)
			if _, how := g.get(nil, build(status, "none")); how != "fwd=stale" && how != "fwd=uri-miss" {
				t.Errorf("%d: when it is over: %s", status, how)
			}
		}
		g := newGate(t, rule)
		g.get(nil, build(404, "none", "Cache-Control", "no-store"))
		if _, how := g.get(nil, build(404, "none")); how != "fwd=uri-miss" {
			t.Errorf("no-store: %s", how)
		}
	}
}
