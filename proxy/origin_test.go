package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// hour is the freshness that most answers here say.
const hour = "Cache-Control: max-age=3600"

// pair is a behaviour that shows in how a second request is answered, a
// second after the first.
func pair(name string, w want, first origin) behaviour {
	b := behaviour{name: name, steps: []step{{origin: first}, {after: time.Second, want: w, origin: ok(hour)}}}
	if first.cut {
		b.steps[0].cut = true
	}
	if w == valid {
		b.steps[1].origin = st(304)
	}
	return b
}

// pairs makes behaviours of one shape: of each text, what may be done with an
// answer that has these fields, one a line.
func pairs(prefix string, w want, fields ...string) (all []behaviour) {
	for _, f := range fields {
		all = append(all, pair(prefix+": "+strings.ReplaceAll(f, "\n", "; "), w, ok(strings.Split(f, "\n")...)))
	}
	return all
}

// asking is a behaviour that shows in how a second request with certain
// fields is answered.
func asking(name string, w want, first origin, after time.Duration, send ...string) behaviour {
	b := pair(name, w, first)
	b.steps[1].after, b.steps[1].send = after, send
	return b
}

// sequence is a behaviour of any number of steps.
func sequence(name string, steps ...step) behaviour { return behaviour{name: name, steps: steps} }

// under makes behaviours of another kind of route.
func under(kind string, all ...behaviour) []behaviour {
	for i := range all {
		all[i].kind = kind
		all[i].name = kind + ": " + all[i].name
	}
	return all
}

func join(lists ...[]behaviour) (all []behaviour) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// RFC 9111 section 3.
func TestMeasuredStoring(t *testing.T) {
	var statuses []behaviour
	for _, code := range []int{200, 201, 202, 203, 204, 205, 226, 299, 300, 301, 302, 303, 307, 308, 399, 400, 401, 403, 404, 405, 410, 414, 429, 451, 499, 500, 501, 502, 503, 504, 599} {
		statuses = append(statuses, pair(fmt.Sprintf("%d that says so is stored", code), hit, st(code, hour)))
		statuses[len(statuses)-1].steps[1].status = code
		stale := pair(fmt.Sprintf("%d that is stale is not used", code), miss, st(code, "Cache-Control: max-age=2"))
		stale.steps[1].after = 5 * time.Second
		statuses = append(statuses, stale)
	}
	for _, code := range []int{201, 202, 302, 400, 403, 500, 599} {
		statuses = append(statuses, pair(fmt.Sprintf("%d that says nothing is not used", code), miss, st(code)))
	}
	for code, w := range map[int]want{200: hit, 404: hit, 299: miss, 599: miss, 499: miss} {
		b := pair(fmt.Sprintf("%d that must be understood", code), w, st(code, hour+", must-understand"))
		if w == hit {
			b.steps[1].status = code
		}
		statuses = append(statuses, b)
		b = pair(fmt.Sprintf("%d that must be understood, and not stored otherwise", code), w, st(code, hour+", must-understand, no-store"))
		if w == hit {
			b.steps[1].status = code
		}
		statuses = append(statuses, b)
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "M-SEARCH", "FROBNICATE"} {
		statuses = append(statuses, sequence(method+" is not stored for itself",
			step{method: method, origin: ok(hour)}, step{method: method, origin: ok(hour)}))
		statuses = append(statuses, sequence(method+" is not stored for GET",
			step{method: method, origin: ok(hour)}, step{origin: ok(hour)}))
		statuses = append(statuses, sequence(method+" does not get what GET stored",
			step{origin: ok(hour)}, step{method: method, origin: ok(hour)}))
	}
	observe(t, join(statuses,
		pairs("not stored", miss,
			"Cache-Control: no-store", hour+", no-store", "Cache-Control: No-StOrE, max-age=3600", hour+"\nCache-Control: no-store",
			hour+"\nCache-Control: foo, no-store, bar", `Cache-Control: max-age=3600, no-store="x"`, "Cache-Control: max-age=3600, no-store=1",
			hour+", private", "Cache-Control: PRIVATE, max-age=3600", "Cache-Control: private, public, max-age=3600", hour+", private=x",
			hour+`, private=""`, "Cache-Control: s-maxage=3600, private", "Expires: {now+1h}\nCache-Control: private",
			hour+"\nVary: *", hour+"\nVary: foo, *", hour+"\nVary: *, foo", hour+"\nVary: , *", hour+"\nVary: foo\nVary: *", hour+"\nVary: *, *",
			hour+"\nSet-Cookie: a=b", hour+"\nSet-Cookie: a=b\nSet-Cookie: c=d", "Foo: bar"),
		pairs("stored", hit,
			hour, "Cache-Control: public, max-age=3600", "Cache-Control: s-maxage=3600", "Expires: {now+1h}",
			hour+", immutable", hour+", no-transform", hour+", foo", hour+", foo=bar", hour+`, foo="bar, no-store"`, hour+`, foo="no-store"`,
			hour+", no-storage", hour+", xno-store", `Cache-Control: foo="a\"no-store,\"b", max-age=3600`,
			hour+"\nPragma: no-cache", hour+"\nPragma: foo", hour+"\nVary:", hour+"\nVary: ,", hour+"\nVary: foo",
			hour+`, private="foo"`, hour+`, no-cache="foo"`, hour+"\nContent-Type: text/plain", hour+"\nETag: unquoted",
			hour+`, no-cache="set-cookie"`+"\nSet-Cookie: a=b", hour+"\nWarning: 110 - \"stale\"", hour+"\nContent-Disposition: attachment"),
		[]behaviour{
			sequence("Authorization: not stored for others", step{send: []string{"Authorization: FOO"}, origin: ok(hour)}, step{origin: ok(hour)}),
			sequence("Authorization: not stored for the same", step{send: []string{"Authorization: FOO"}, origin: ok(hour)}, step{send: []string{"Authorization: FOO"}, origin: ok(hour)}),
			sequence("Authorization: Expires is not enough", step{send: []string{"Authorization: FOO"}, origin: ok("Expires: {now+1h}")}, step{origin: ok(hour)}),
			sequence("Authorization: public", step{send: []string{"Authorization: FOO"}, origin: ok(hour + ", public")}, step{want: hit}),
			sequence("Authorization: s-maxage", step{send: []string{"Authorization: FOO"}, origin: ok("Cache-Control: s-maxage=3600")}, step{want: hit}),
			sequence("Authorization: must-revalidate", step{send: []string{"Authorization: FOO"}, origin: ok(hour + ", must-revalidate")}, step{want: hit}),
			sequence("Authorization: what was stored without is used with", step{origin: ok(hour)}, step{send: []string{"Authorization: FOO"}, want: hit}),
			sequence("no-store on the request: not stored", step{send: []string{"Cache-Control: no-store"}, origin: ok(hour)}, step{origin: ok(hour)}),
			sequence("no-store on the request: another spelling", step{send: []string{"Cache-Control: foo, No-Store"}, origin: ok(hour)}, step{origin: ok(hour)}),
			sequence("a newer no-store does not take the older answer's place on the shelf",
				step{origin: ok("Cache-Control: max-age=2")}, step{after: 5 * time.Second, origin: ok("Cache-Control: no-store")}, step{origin: ok(hour)}),
			sequence("query strings are apart", step{target: "?a=1", origin: ok(hour)}, step{target: "?a=2", origin: ok(hour)}, step{target: "?a=1", want: hit, of: 1}),
			sequence("a query is not its absence", step{target: "?", origin: ok(hour)}, step{origin: ok(hour)}),
			sequence("the same query is the same", step{target: "?a=1&b=2", origin: ok(hour)}, step{target: "?a=1&b=2", want: hit}),
			sequence("the order of a query counts", step{target: "?a=1&b=2", origin: ok(hour)}, step{target: "?b=2&a=1", origin: ok(hour)}),
			sequence("percent-encoding in a query is kept apart", step{target: "?a=%20", origin: ok(hour)}, step{target: "?a=+", origin: ok(hour)}),
			sequence("paths are case-sensitive", step{target: "/a", origin: ok(hour)}, step{target: "/A", origin: ok(hour)}),
			sequence("hosts are apart", step{host: "a.example", origin: ok(hour)}, step{host: "b.example", origin: ok(hour)}, step{host: "a.example", want: hit, of: 1}),
			sequence("a HEAD is not stored for GET", step{method: "HEAD", origin: ok(hour)}, step{origin: ok(hour)}),
			sequence("a HEAD is answered by what GET stored", step{origin: ok(hour)}, step{method: "HEAD", want: hit, see: []string{"Content-Length: 8", "Age"}}),
			sequence("a HEAD goes upstream as HEAD", step{method: "HEAD", origin: ok(hour, "Content-Length: 1234", "X-A: 1"), see: []string{"Content-Length: 1234", "X-A: 1"}}),
			sequence("a HEAD of unknown length says none", step{method: "HEAD", origin: origin{fields: []string{hour}, chunked: true}, see: []string{"!Content-Length"}}),
			sequence("a body on GET goes past the cache", step{body: "x", origin: ok(hour)}, step{body: "x", origin: ok(hour)}),
			sequence("POST with Content-Location is not stored", step{method: "POST", body: "x", origin: ok(hour, "Content-Location: {path}")}, step{origin: ok(hour)}),
			sequence("what is cut off is not stored", step{origin: origin{fields: []string{hour}, cut: true}, want: failed}, step{origin: ok(hour)}),
			sequence("chunks without an end are not stored", step{origin: origin{fields: []string{hour}, cut: true, chunked: true}, want: failed}, step{origin: ok(hour)}),
			sequence("chunks are stored whole", step{origin: origin{fields: []string{hour}, chunked: true}}, step{want: hit, see: []string{"Content-Length: 8"}}),
			sequence("an empty body is stored", step{origin: origin{fields: []string{hour}, body: "-"}}, step{want: hit, text: "-", see: []string{"Content-Length: 0"}}),
			sequence("a long body is stored", step{origin: origin{fields: []string{hour}, body: strings.Repeat("x", 300<<10)}}, step{want: hit}),
			sequence("a long chunked body is stored", step{origin: origin{fields: []string{hour}, body: strings.Repeat("x", 300<<10), chunked: true}}, step{want: hit}),
			sequence("a long body that is cut off is not", step{origin: origin{fields: []string{hour}, body: strings.Repeat("x", 300<<10), cut: true}, want: failed, cut: true}, step{origin: ok(hour)}),
			sequence("an interim answer is not stored", step{origin: origin{fields: []string{hour}, before: "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX-Interim: 1\r\n\r\n"}, see: []string{"!X-Interim"}}, step{want: hit, see: []string{"!X-Interim", "!Link"}}),
			sequence("nor is 102", step{origin: origin{fields: []string{hour}, before: "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"}}, step{want: hit}),
		}))
}

// RFC 9111 sections 4.2 and 5.2, 5.3.
func TestMeasuredFreshness(t *testing.T) {
	observe(t, join(
		pairs("fresh", hit,
			"Cache-Control: MAX-AGE=3600", "Cache-Control: MaX-aGe=3600", `Cache-Control: max-age="3600"`, "Cache-Control: max-age=003600",
			"Cache-Control:max-age=3600", "Cache-Control:    max-age=3600   ", "Cache-Control: , max-age=3600", "Cache-Control: max-age=3600,", "Cache-Control: ,,foo,, max-age=3600 ,",
			"Cache-Control: foo, max-age=3600", "Cache-Control: foo\nCache-Control: max-age=3600", `Cache-Control: foo="max-age=0", max-age=3600`,
			`Cache-Control: foo="max-age=0, bar", max-age=3600`, "Cache-Control: max-age=2147483647", "Cache-Control: max-age=2147483648", "Cache-Control: max-age=2147483649",
			"Cache-Control: max-age=99999999999", "Cache-Control: max-age=99999999999999999999999999",
			"Cache-Control: max-age=0, s-maxage=3600", "Cache-Control: s-maxage=3600, max-age=0", "Cache-Control: S-MaxAge=3600", "Cache-Control: s-maxage=3600\nExpires: {now-1h}",
			hour+"\nExpires: {now-1h}", hour+"\nExpires: {now}", hour+"\nExpires: 0", hour+"\nExpires: foo", "Expires: {now+1h|850}", "Expires: {now+1h|asctime}",
			"Expires: {now+1h}\nCache-Control: foo", "Expires: {now+1h}\nCache-Control: public", "Expires: Fri, 01 Jan 2105 00:00:00 GMT",
			"Expires: THU, 18 AUG 2050 02:01:18 GMT", "Expires: Thu, 18 Aug 2050 02:01:18 gMT", "Expires: Tue, 18 Aug 2050 02:01:18 GMT",
			hour+"\nDate: {now-1000s}", hour+"\nDate: {now+1000s}", hour+"\nDate: foo"),
		pairs("not fresh", miss,
			"Cache-Control: max-age=0", "Cache-Control: max-age=-3600", "Cache-Control: max-age=3600.0", "Cache-Control: max-age=3600.5", "Cache-Control: max-age=a3600", "Cache-Control: max-age=3600a",
			"Cache-Control: max-age='3600'", "Cache-Control: max-age =3600", "Cache-Control: max-age= 3600", "Cache-Control: max-age", "Cache-Control: max-age=", `Cache-Control: max-age=""`,
			`Cache-Control: foo="max-age=3600"`, `Cache-Control: foo="bar, max-age=3600"`, "Cache-Control: xmax-age=3600", "Cache-Control: max-agex=3600", "Cache-Control: max-age:3600",
			"Cache-Control: max-age=0, max-age=3600", "Cache-Control: max-age=3600, max-age=0", "Cache-Control: max-age=3600\nCache-Control: max-age=0",
			"Cache-Control: max-age=3600, s-maxage=0", "Cache-Control: s-maxage=0, max-age=3600", "Cache-Control: s-maxage=0\nExpires: {now+1h}", "Cache-Control: max-age=0\nExpires: {now+1h}",
			"Expires: {now}", "Expires: {now-1h}", "Expires: 0", "Expires: -1", "Expires: foo", "Expires:", "Expires: {now+1h|z}", "Expires: {now+1h|short}", "Expires: {now+1h}, {now+1h}",
			"Expires: {now-1h}\nExpires: {now+1h}", "Expires: {now+1h}\nExpires: 0", "Expires: Thu, 18 Aug 2050 02:01:18 UTC", "Expires: Thu, 18 Aug 2050 02:01:18", "Expires: Thu, 18 Aug 2050 2:01:18 GMT",
			"Expires: Thu, 18-Aug-2050 02:01:18 GMT", "Expires: Thu, 18 Aug 50 02:01:18 GMT", "Expires: Thu Aug  8 02:01:18 2050 GMT", "Expires: Thu, 18 Aug 2050 02.01.18 GMT",
			"Expires: Thu, 18  Aug  2050 02:01:18 GMT", "Expires: Thu, 18 Aug 2050 2:01:18  GMT", "Expires: Thu 18 Aug 2050 02:01:18 GMT", "Expires: Thu, 18 Aug 2050 02:01:18 AEST", "Expires: Thu, 18 Aug 2050 02:01:18 +0000",
			"Expires: {now-1h}\nDate: {now-1h}", "Date: {now-1h}\nExpires: {now-30m}",
			// Age (section 4.2.3).
			hour+"\nAge: 3600", hour+"\nAge: 7200", hour+"\nAge: 7200, 0", hour+"\nAge: 7200\nAge: 0", hour+"\nAge: 2147483648", hour+"\nAge: 99999999999999999999",
			"Cache-Control: max-age=3600\nDate: {now-2h}", "Expires: {now+1h}\nAge: 7200", "Cache-Control: max-age=2147483647\nAge: 2147483648", hour+"\nAge: 3599"),
		pairs("Age that cannot be read is ignored", hit,
			hour+"\nAge: foo", hour+"\nAge: -7200", hour+"\nAge: 7200.0", hour+"\nAge: 7200;foo=bar", hour+"\nAge: 7200x", hour+"\nAge: x7200", hour+"\nAge:", hour+"\nAge: ,"),
		pairs("of several Ages the first counts", hit, hour+"\nAge: 0, 7200", hour+"\nAge: 0\nAge: 7200", hour+"\nAge: 3000"),
		[]behaviour{
			asking("max-age is over", miss, ok("Cache-Control: max-age=10"), 15*time.Second),
			asking("s-maxage is over", miss, ok("Cache-Control: s-maxage=10, max-age=3600"), 15*time.Second),
			asking("Expires is over", miss, ok("Expires: {now+10s}"), 15*time.Second),
			asking("max-age that counts on beyond Expires", hit, ok("Cache-Control: max-age=100", "Expires: {now+10s}"), 50*time.Second),
			asking("Age and time add up", miss, ok("Cache-Control: max-age=100", "Age: 60"), 50*time.Second),
			asking("an upstream cache's Age leaves the rest", hit, ok("Cache-Control: max-age=100", "Age: 40"), 50*time.Second),
			asking("an old Date counts as age", miss, ok("Cache-Control: max-age=100", "Date: {now-60s}"), 50*time.Second),
			sequence("Age is the stored one and the time since",
				step{origin: ok(hour, "Age: 30"), see: []string{"Age: >=30"}}, step{after: 10 * time.Second, want: hit, see: []string{"Age: >=40"}}),
			sequence("Age is written on a hit", step{origin: ok(hour), see: []string{"!Age"}}, step{after: 10 * time.Second, want: hit, see: []string{"Age: >=10"}}),
			sequence("Age from Date", step{origin: ok(hour, "Date: {now-30s}")}, step{after: 10 * time.Second, want: hit, see: []string{"Age: >=40"}}),
			sequence("Age that is not a number is not shown", step{origin: ok(hour, "Age: foo"), see: []string{"Age: >=0"}}, step{after: 10 * time.Second, want: hit, see: []string{"Age: >=10"}}),
			sequence("Age of what is not stored passes", step{origin: ok("Cache-Control: no-store", "Age: 30"), see: []string{"Age: >=30"}}),
			sequence("Age of an answer past the cache passes", step{method: "POST", origin: ok("Age: 30"), see: []string{"Age: 30"}}),
			sequence("after validation Age starts anew", step{origin: ok("Cache-Control: max-age=10", `ETag: "a"`)}, step{after: 20 * time.Second, want: valid, origin: st(304), see: []string{"!Age"}}, step{want: hit, after: 2 * time.Second, see: []string{"Age: >=2"}}),
			sequence("Date is the origin's, also on a hit", step{origin: ok(hour, "Date: Tue, 24 Nov 2026 00:00:00 GMT", "Cache-Control: max-age=999999999"), see: []string{"Date: Tue, 24 Nov 2026 00:00:00 GMT"}}),
			sequence("Date of what is stored does not move", step{origin: ok(hour, "Date: {now-5s}", "X-Same: {now-5s}")}, step{after: 100 * time.Second, want: hit, see: []string{"Date: {now-105s}"}}),
			sequence("Expires of what is stored does not move", step{origin: ok("Expires: {now+1h}")}, step{after: 100 * time.Second, want: hit, see: []string{"Expires: {now+3500s}"}}),
			sequence("an answer without Date gets one", step{origin: origin{fields: []string{hour}, noDate: true}, see: []string{"Date: {now}"}}, step{after: 100 * time.Second, want: hit, see: []string{"Date: {now-100s}"}}),
			sequence("the gate's own answers have a Date", step{send: []string{"Cache-Control: only-if-cached"}, want: own, status: 504, see: []string{"Date: {now}"}}),
			sequence("Date passes by the cache", step{method: "POST", origin: ok("Date: {now-1h}"), see: []string{"Date: {now-1h}"}}),
		}))
}

// RFC 9111 section 4.2.2.
func TestMeasuredHeuristics(t *testing.T) {
	const old = "Last-Modified: {now-2400h}"
	var all []behaviour
	for _, code := range []int{200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501} {
		b := pair(fmt.Sprintf("%d may be guessed", code), hit, st(code, old))
		b.steps[1].status = code
		all = append(all, b)
	}
	for _, code := range []int{201, 202, 302, 303, 307, 400, 401, 403, 500, 502, 503, 504, 599} {
		all = append(all, pair(fmt.Sprintf("%d may not be guessed", code), miss, st(code, old)))
		b := pair(fmt.Sprintf("%d may be guessed where it is public", code), hit, st(code, old, "Cache-Control: public"))
		b.steps[1].status = code
		all = append(all, b)
	}
	all = append(all,
		asking("a tenth of the time since it was modified", hit, ok("Last-Modified: {now-1000s}"), 80*time.Second),
		asking("and no longer", valid, ok("Last-Modified: {now-1000s}"), 120*time.Second),
		asking("no guess where max-age says something", valid, ok(old, "Cache-Control: max-age=0"), time.Second),
		asking("no guess where Expires says something", valid, ok(old, "Expires: {now-1h}"), time.Second),
		asking("no guess where Expires cannot be read", valid, ok(old, "Expires: 0"), time.Second),
		asking("no guess where max-age cannot be read", valid, ok(old, "Cache-Control: max-age=foo"), time.Second),
		asking("no guess from what was modified just now", valid, ok("Last-Modified: {now}"), time.Second),
		asking("no guess from the future", valid, ok("Last-Modified: {now+1h}"), time.Second),
		asking("no guess without Last-Modified", miss, ok(), time.Second),
		asking("no-cache goes before a guess", valid, ok(old, "Cache-Control: no-cache"), time.Second),
		asking("no-store goes before a guess", miss, ok(old, "Cache-Control: no-store"), time.Second),
		asking("private goes before a guess", miss, ok(old, "Cache-Control: private"), time.Second),
		asking("Pragma of an answer says nothing", hit, ok(old, "Pragma: no-cache"), time.Second),
	)
	observe(t, join(under("heuristic", all...), []behaviour{
		asking("no guess where it is off", valid, ok(old), time.Second),
		asking("no guess for what is public where it is off", valid, ok(old, "Cache-Control: public"), time.Second),
	}))
}

// RFC 9111 sections 5.2.1 and 5.4.
func TestMeasuredRequestDirectives(t *testing.T) {
	const s = time.Second
	observe(t, []behaviour{
		asking("max-age=0", miss, ok(hour), s, "Cache-Control: max-age=0"),
		asking("max-age=0 validates", valid, ok(hour, `ETag: "a"`), s, "Cache-Control: max-age=0"),
		asking("max-age that it is younger than", hit, ok(hour), s, "Cache-Control: max-age=60"),
		asking("max-age that it is older than", miss, ok(hour), 30*s, "Cache-Control: max-age=10"),
		asking("max-age against Age", miss, ok(hour, "Age: 1800"), s, "Cache-Control: max-age=600"),
		asking("max-age in quotes", hit, ok(hour), s, `Cache-Control: max-age="600"`),
		asking("max-age in capitals", miss, ok(hour), s, "Cache-Control: MAX-AGE=0"),
		asking("max-age among others", miss, ok(hour), s, "Cache-Control: foo, max-age=0, bar"),
		asking("max-stale", hit, ok("Cache-Control: max-age=10"), 15*s, "Cache-Control: max-stale=100"),
		asking("max-stale without a number", hit, ok("Cache-Control: max-age=10"), 15*s, "Cache-Control: max-stale"),
		asking("max-stale that is too short", miss, ok("Cache-Control: max-age=10"), 60*s, "Cache-Control: max-stale=10"),
		asking("max-stale against Age", hit, ok("Cache-Control: max-age=1500", "Age: 2000"), s, "Cache-Control: max-stale=1000"),
		asking("max-stale against Age, too short", miss, ok("Cache-Control: max-age=1500", "Age: 4000"), s, "Cache-Control: max-stale=1000"),
		asking("max-stale against must-revalidate", miss, ok("Cache-Control: max-age=10, must-revalidate"), 15*s, "Cache-Control: max-stale=100"),
		asking("max-stale against proxy-revalidate", miss, ok("Cache-Control: max-age=10, proxy-revalidate"), 15*s, "Cache-Control: max-stale=100"),
		asking("max-stale against s-maxage", miss, ok("Cache-Control: s-maxage=10"), 15*s, "Cache-Control: max-stale=100"),
		asking("max-stale against no-cache", valid, ok("Cache-Control: max-age=10, no-cache", `ETag: "a"`), 15*s, "Cache-Control: max-stale=100"),
		asking("min-fresh", hit, ok("Cache-Control: max-age=1500"), s, "Cache-Control: min-fresh=1000"),
		asking("min-fresh that is too long", miss, ok("Cache-Control: max-age=1500"), s, "Cache-Control: min-fresh=2000"),
		asking("min-fresh against Age", miss, ok("Cache-Control: max-age=1500", "Age: 1000"), s, "Cache-Control: min-fresh=1000"),
		asking("no-cache", miss, ok(hour), s, "Cache-Control: no-cache"),
		asking("no-cache in capitals", miss, ok(hour), s, "Cache-Control: No-Cache"),
		asking("no-cache on a second line", miss, ok(hour), s, "Cache-Control: foo", "Cache-Control: no-cache"),
		asking("no-cache validates by an entity tag", valid, ok(hour, `ETag: "a"`), s, "Cache-Control: no-cache"),
		asking("no-cache validates by a date", valid, ok(hour, "Last-Modified: {now-1h}"), s, "Cache-Control: no-cache"),
		asking("what is unknown", hit, ok(hour), s, "Cache-Control: nothing-to-see-here"),
		asking("Pragma", miss, ok(hour), s, "Pragma: no-cache"),
		asking("Pragma among others", miss, ok(hour), s, "Pragma: foo, No-Cache"),
		asking("Pragma beside Cache-Control", hit, ok(hour), s, "Pragma: no-cache", "Cache-Control: max-age=60"),
		asking("Pragma of another word", hit, ok(hour), s, "Pragma: foo"),
		asking("only-if-cached of what is stored", hit, ok(hour), s, "Cache-Control: only-if-cached"),
		sequence("only-if-cached of nothing", step{send: []string{"Cache-Control: only-if-cached"}, want: own, status: 504}, step{origin: ok(hour)}),
		sequence("only-if-cached of what is stale", step{origin: ok("Cache-Control: max-age=10")}, step{after: 15 * s, send: []string{"Cache-Control: only-if-cached"}, want: own, status: 504}),
		sequence("what no-cache brings is stored", step{origin: ok(hour)}, step{send: []string{"Cache-Control: no-cache"}, origin: ok(hour)}, step{want: hit, of: 2}),
		sequence("no-store does not use up what is stored", step{origin: ok(hour)}, step{send: []string{"Cache-Control: no-store"}, want: hit}, step{want: hit}),
		sequence("stale-if-error of the request", step{origin: ok("Cache-Control: max-age=10")}, step{after: 15 * s, send: []string{"Cache-Control: stale-if-error=100"}, origin: st(503), want: saved}),
		sequence("Cache-Control goes upstream", step{send: []string{"Cache-Control: no-cache, foo", "Pragma: foo"}, origin: ok(hour), asked: []string{"Cache-Control: no-cache, foo", "Pragma: foo"}}),
	})
}

// RFC 9110 section 13, RFC 9111 section 4.3.2.
func TestMeasuredConditions(t *testing.T) {
	var all []behaviour
	tagged := func(etag string) origin { return ok(hour, "ETag: "+etag, "X-A: 1") }
	on := func(name string, status int, o origin, send ...string) {
		b := asking(name, hit, o, time.Second, send...)
		b.steps[1].status = status
		if status == 304 {
			b.steps[1].see = []string{"Age", "Date", "Cache-Control", "!Content-Length", "!Content-Type"}
		}
		all = append(all, b)
	}
	on("If-None-Match, strong", 304, tagged(`"a"`), `If-None-Match: "a"`)
	on("If-None-Match, weak on both sides", 304, tagged(`W/"a"`), `If-None-Match: W/"a"`)
	on("If-None-Match, weak in the request", 304, tagged(`"a"`), `If-None-Match: W/"a"`)
	on("If-None-Match, weak in the answer", 304, tagged(`W/"a"`), `If-None-Match: "a"`)
	on("If-None-Match, another", 200, tagged(`"a"`), `If-None-Match: "b"`)
	on("If-None-Match, the first of several", 304, tagged(`"a"`), `If-None-Match: "a", "b", "c"`)
	on("If-None-Match, in the middle", 304, tagged(`"a"`), `If-None-Match: "b","a" , "c"`)
	on("If-None-Match, the last", 304, tagged(`"a"`), `If-None-Match: "b", "c", "a"`)
	on("If-None-Match, none of several", 200, tagged(`"a"`), `If-None-Match: "b", "c"`)
	on("If-None-Match on several lines", 304, tagged(`"a"`), `If-None-Match: "b"`, `If-None-Match: "a"`)
	on("If-None-Match, any", 304, tagged(`"a"`), `If-None-Match: *`)
	on("If-None-Match, any, without an entity tag", 304, ok(hour), `If-None-Match: *`)
	on("If-None-Match against no entity tag", 200, ok(hour), `If-None-Match: "a"`)
	on("If-None-Match without quotes", 200, tagged(`"a"`), `If-None-Match: a`)
	on("If-None-Match against one without quotes", 200, tagged(`a`), `If-None-Match: "a"`)
	on("If-None-Match is case-sensitive", 200, tagged(`"a"`), `If-None-Match: "A"`)
	on("If-None-Match with a comma", 304, tagged(`"a,b"`), `If-None-Match: "a,b"`)
	on("If-None-Match with a backslash", 304, tagged(`"a\"`), `If-None-Match: "a\"`)
	on("If-None-Match with an apostrophe", 304, tagged(`"'a'"`), `If-None-Match: "'a'"`)
	on("If-None-Match, empty", 304, tagged(`""`), `If-None-Match: ""`)
	on("If-None-Match with obs-text", 304, tagged("\"a\xff\""), "If-None-Match: \"a\xff\"")
	on("If-None-Match, w in small letters", 200, tagged(`"a"`), `If-None-Match: w/"a"`)
	dated := ok(hour, "Last-Modified: {now-1h}")
	on("If-Modified-Since, the same", 304, ok(hour, "Last-Modified: Tue, 15 Nov 2016 12:45:26 GMT"), "If-Modified-Since: Tue, 15 Nov 2016 12:45:26 GMT")
	on("If-Modified-Since, later", 304, dated, "If-Modified-Since: {now}")
	on("If-Modified-Since, before", 200, dated, "If-Modified-Since: {now-2h}")
	on("If-Modified-Since, RFC 850", 304, dated, "If-Modified-Since: {now|850}")
	on("If-Modified-Since, asctime", 304, dated, "If-Modified-Since: {now|asctime}")
	on("If-Modified-Since, not a date", 200, dated, "If-Modified-Since: foo")
	on("If-Modified-Since, two dates", 200, dated, "If-Modified-Since: {now}", "If-Modified-Since: {now}")
	on("If-Modified-Since without Last-Modified", 304, ok(hour), "If-Modified-Since: {now+1h}")
	both := ok(hour, `ETag: "a"`, "Last-Modified: {now-1h}")
	on("If-None-Match goes before: matches", 304, both, `If-None-Match: "a"`, "If-Modified-Since: {now-2h}")
	on("If-None-Match goes before: does not", 200, both, `If-None-Match: "b"`, "If-Modified-Since: {now}")
	on("a condition goes before a range", 304, both, `If-None-Match: "a"`, "Range: bytes=0-1")
	on("a condition that fails, and a range", 206, both, `If-None-Match: "b"`, "Range: bytes=0-5")
	all[len(all)-1].steps[1].text = "answer"
	on("a 404 has no conditions", 404, st(404, hour, `ETag: "a"`), `If-None-Match: "a"`)
	observe(t, join(all, []behaviour{
		sequence("a 304 has what it must and nothing of the body",
			step{origin: ok(hour, `ETag: "a"`, "Last-Modified: {now-1h}", "Vary: foo", "Content-Location: /x", "Content-Type: text/plain", "Content-Language: en", "Expires: {now+1h}", "X-A: 1")},
			step{want: hit, send: []string{`If-None-Match: "a"`}, status: 304, see: []string{`ETag: "a"`, hour, "Vary: foo", "Content-Location: /x", "Date", "Expires", "!Content-Type", "!Content-Language", "!Content-Length", "X-A: 1"}}),
		sequence("a condition on a miss stores the whole answer",
			step{send: []string{`If-None-Match: "b"`}, origin: ok(hour, `ETag: "a"`)}, step{want: hit}),
		sequence("a condition on a miss that holds",
			step{send: []string{`If-None-Match: "a"`}, origin: ok(hour, `ETag: "a"`), status: 304}, step{want: hit, of: 1}),
		sequence("a condition on the first miss reaches the origin",
			step{send: []string{`If-None-Match: "a", W/"b"`}, origin: ok(hour, `ETag: "c"`), asked: []string{`If-None-Match: "a", W/"b"`}}, step{want: hit}),
		sequence("a date on the first miss reaches the origin",
			step{send: []string{"If-Modified-Since: {now-1h}"}, origin: ok(hour), asked: []string{"If-Modified-Since: {now-1h}"}}, step{want: hit}),
		sequence("a 304 to that is the client's; the next one has the whole answer stored",
			step{send: []string{`If-None-Match: "a"`}, origin: st(304, hour, `ETag: "a"`)}, step{send: []string{`If-None-Match: "a"`}, origin: ok(hour, `ETag: "a"`), status: 304, asked: []string{"!If-None-Match"}}, step{want: hit, of: 2}),
		sequence("nor do they get past only-if-cached",
			step{origin: ok("Cache-Control: no-store", `ETag: "a"`)}, step{send: []string{`If-None-Match: "a"`, "Cache-Control: only-if-cached"}, want: own, status: 504}),
		sequence("conditions on what is never stored reach the origin",
			step{origin: ok("Cache-Control: no-store", `ETag: "a"`)}, step{send: []string{`If-None-Match: "a"`}, origin: st(304, `ETag: "a"`), asked: []string{`If-None-Match: "a"`}}, step{send: []string{`If-None-Match: "a"`}, origin: st(304, `ETag: "a"`), asked: []string{`If-None-Match: "a"`}}),
		sequence("a condition on what is stale, validated",
			step{origin: ok("Cache-Control: max-age=10", `ETag: "a"`)}, step{after: 20 * time.Second, send: []string{`If-None-Match: "a"`}, want: valid, origin: st(304, `ETag: "a"`), status: 304},
			step{want: hit}),
		sequence("another condition on what is stale, validated",
			step{origin: ok("Cache-Control: max-age=10", `ETag: "a"`)}, step{after: 20 * time.Second, send: []string{`If-None-Match: "b"`}, want: valid, origin: st(304, `ETag: "a"`), asked: []string{`If-None-Match: ~"a"`}},
			step{want: hit}),
		sequence("a condition on what is stale, replaced",
			step{origin: ok("Cache-Control: max-age=10", `ETag: "a"`)}, step{after: 20 * time.Second, send: []string{`If-None-Match: "a"`}, origin: ok(hour, `ETag: "b"`)},
			step{want: hit}),
		sequence("a condition that holds of what is newly fetched",
			step{origin: ok("Cache-Control: max-age=10", `ETag: "a"`)}, step{after: 20 * time.Second, send: []string{`If-None-Match: "b"`}, origin: ok(hour, `ETag: "b"`), status: 304},
			step{want: hit, of: 2}),
		sequence("conditions with POST go upstream", step{method: "POST", send: []string{`If-Match: "a"`, `If-None-Match: "b"`, "If-Unmodified-Since: {now}", "Cache-Control: foo"}, origin: ok(), asked: []string{`If-Match: "a"`, `If-None-Match: "b"`, "If-Unmodified-Since", "Cache-Control: foo"}}),
		sequence("If-Match goes upstream", step{origin: ok(hour, `ETag: "a"`)}, step{send: []string{`If-Match: "b"`}, origin: st(412), asked: []string{`If-Match: "b"`}}, step{want: hit, of: 1}),
		sequence("If-Unmodified-Since goes upstream", step{origin: ok(hour)}, step{send: []string{"If-Unmodified-Since: {now-1h}"}, origin: st(412), asked: []string{"If-Unmodified-Since: {now-1h}"}}, step{want: hit, of: 1}),
	}))
}

// RFC 9111 sections 3.2, 4.3.3 and 4.3.4.
func TestMeasuredValidation(t *testing.T) {
	const short = "Cache-Control: max-age=10"
	const over = 20 * time.Second
	var all []behaviour
	for _, f := range []string{"X-Test", "Test-Header", "Content-Foo", "X-Content-Foo", "Content-Type", "Content-Language", "Content-Location", "Content-Security-Policy", "X-Frame-Options", "Link", "Expires", "Server", "Allow", "Permissions-Policy"} {
		all = append(all, sequence("a 304 updates "+f,
			step{origin: ok(short, `ETag: "a"`, f+": one")}, step{after: over, want: valid, origin: st(304, hour, `ETag: "a"`, f+": two"), see: []string{f + ": two"}}, step{want: hit, see: []string{f + ": two", hour}}))
		all = append(all, sequence("a 304 without "+f+" keeps it",
			step{origin: ok(short, `ETag: "a"`, f+": one")}, step{after: over, want: valid, origin: st(304, `ETag: "a"`), see: []string{f + ": one"}}, step{want: hit, see: []string{f + ": one"}}))
	}
	for _, f := range []string{"Content-Encoding", "Content-Range", "Content-MD5", "Content-Digest"} {
		stored := "gzip"
		see := []string{f + ": gzip"}
		if f == "Content-Range" {
			continue
		}
		all = append(all, sequence("a 304 never changes "+f,
			step{origin: ok(short, `ETag: "a"`, f+": "+stored)}, step{after: over, want: valid, origin: st(304, `ETag: "a"`, f+": br"), see: see}, step{want: hit, see: see}))
	}
	observe(t, join(all, []behaviour{
		sequence("a 304 never changes Content-Length", step{origin: ok(short, `ETag: "a"`)}, step{after: over, want: valid, origin: st(304, `ETag: "a"`, "Content-Length: 99"), see: []string{"Content-Length: 8"}}, step{want: hit, see: []string{"Content-Length: 8"}}),
		sequence("a 304 never adds Content-Range", step{origin: ok(short, `ETag: "a"`)}, step{after: over, want: valid, origin: st(304, `ETag: "a"`, "Content-Range: bytes 0-1/2"), see: []string{"!Content-Range"}}),
		sequence("a 304 never adds Set-Cookie to what is stored", step{origin: ok(short, `ETag: "a"`)}, step{after: over, want: valid, origin: st(304, `ETag: "a"`, "Set-Cookie: a=b", hour)}, step{origin: ok(hour), see: []string{"!Set-Cookie"}}),
		sequence("a 304 brings new fields", step{origin: ok(short, `ETag: "a"`)}, step{after: over, want: valid, origin: st(304, "X-New: 1", "X-New: 2"), see: []string{"X-New: 1 | 2"}}, step{want: hit, see: []string{"X-New: 1 | 2"}}),
		sequence("a 304 renews Date", step{origin: ok(short, `ETag: "a"`)}, step{after: over, want: valid, origin: st(304), see: []string{"Date: {now}"}}, step{want: hit, see: []string{"Date: {now}"}}),
		sequence("a 304 can change the time", step{origin: ok(short, `ETag: "a"`)}, step{after: over, want: valid, origin: st(304, hour)}, step{after: 30 * time.Minute, want: hit}),
		sequence("a 304 that forbids to store", step{origin: ok(short, `ETag: "a"`)}, step{after: over, want: valid, origin: st(304, "Cache-Control: no-store")}, step{origin: ok(hour)}),
		sequence("If-None-Match is the entity tag", step{origin: ok(short, `ETag: "a"`)}, step{after: over, want: valid, origin: st(304), asked: []string{`If-None-Match: "a"`, "!If-Modified-Since"}}),
		sequence("If-None-Match is the weak entity tag", step{origin: ok(short, `ETag: W/"a"`)}, step{after: over, want: valid, origin: st(304), asked: []string{`If-None-Match: W/"a"`}}),
		sequence("If-Modified-Since is Last-Modified", step{origin: ok(short, "Last-Modified: Tue, 15 Nov 2016 12:45:26 GMT")}, step{after: over, want: valid, origin: st(304), asked: []string{"If-Modified-Since: Tue, 15 Nov 2016 12:45:26 GMT", "!If-None-Match"}}),
		sequence("both validators", step{origin: ok(short, `ETag: "a"`, "Last-Modified: {now-1h}")}, step{after: over, want: valid, origin: st(304), asked: []string{`If-None-Match: "a"`, "If-Modified-Since"}}),
		sequence("no validator, no condition", step{origin: ok(short)}, step{after: over, origin: ok(hour), asked: []string{"!If-None-Match", "!If-Modified-Since"}}),
		sequence("an entity tag without quotes is none", step{origin: ok(short, "ETag: a")}, step{after: over, origin: ok(hour), asked: []string{"!If-None-Match"}}),
		sequence("an odd entity tag goes as it came", step{origin: ok(short, `ETag: "a,b\c'd"`)}, step{after: over, want: valid, origin: st(304), asked: []string{`If-None-Match: "a,b\c'd"`}}),
		sequence("a 200 replaces", step{origin: ok(short, `ETag: "a"`, "X-Old: 1")}, step{after: over, origin: ok(hour, `ETag: "b"`), see: []string{"!X-Old"}, asked: []string{`If-None-Match: "a"`}}, step{want: hit, of: 2, see: []string{`ETag: "b"`, "!X-Old"}}),
		sequence("a 404 replaces", step{origin: ok(short, `ETag: "a"`)}, step{after: over, origin: st(404, hour)}, step{want: hit, of: 2, status: 404}),
		sequence("a 404 that is not stored removes", step{origin: ok(short, `ETag: "a"`)}, step{after: over, origin: st(404, "Cache-Control: no-store")}, step{origin: ok(hour), asked: []string{"!If-None-Match"}}),
		sequence("no-cache is validated each time", step{origin: ok(hour+", no-cache", `ETag: "a"`)}, step{want: valid, origin: st(304)}, step{want: valid, origin: st(304)}, step{origin: ok(hour, `ETag: "b"`)}, step{want: hit}),
		sequence("no-cache with stale-while-revalidate", step{origin: ok(hour+", no-cache, stale-while-revalidate=3600", `ETag: "a"`)}, step{want: valid, origin: st(304)}),
		sequence("no-cache without a validator", step{origin: ok(hour + ", no-cache")}, step{origin: ok(hour)}),
		sequence("no-cache in capitals", step{origin: ok("Cache-Control: No-CaChE, max-age=3600", `ETag: "a"`)}, step{want: valid, origin: st(304)}),
		sequence("no-cache that is quoted in another", step{origin: ok(hour + `, foo="no-cache"`)}, step{want: hit}),
		sequence("must-revalidate that is fresh", step{origin: ok(hour + ", must-revalidate")}, step{want: hit}),
		sequence("must-revalidate that is stale", step{origin: ok(short+", must-revalidate", `ETag: "a"`)}, step{after: over, want: valid, origin: st(304)}),
		sequence("a 5xx replaces what may not be given stale", step{origin: ok(short, `ETag: "a"`)}, step{after: over, origin: st(500)}),
		sequence("a validation that fails leaves what is stored to the next", step{origin: ok(short, `ETag: "a"`)}, step{after: over, origin: st(500)}, step{want: valid, of: 1, origin: st(304)}),
		sequence("a 304 updates the variant it is for",
			step{send: []string{"Foo: 1"}, origin: ok(short, `ETag: "a"`, "Vary: Foo")}, step{send: []string{"Foo: 2"}, origin: ok(short, `ETag: "b"`, "Vary: Foo")},
			step{after: over, send: []string{"Foo: 1"}, want: valid, of: 1, origin: st(304, hour, `ETag: "a"`, "Vary: Foo"), asked: []string{`If-None-Match: ~"a"`}},
			step{send: []string{"Foo: 1"}, want: hit, of: 1}, step{send: []string{"Foo: 2"}, want: valid, of: 2, origin: st(304, hour, `ETag: "b"`, "Vary: Foo")}),
		// HEAD (section 4.3.5).
		sequence("HEAD of what is stale freshens it", step{origin: ok(short, `ETag: "a"`, "X-A: 1")}, step{after: over, method: "HEAD", origin: ok(hour, `ETag: "a"`, "X-A: 2", "Content-Length: 8"), want: miss}, step{want: hit, of: 1, see: []string{"X-A: 2"}}),
		sequence("HEAD without validators freshens", step{origin: ok(short)}, step{after: over, method: "HEAD", origin: ok(hour, "Content-Length: 8")}, step{want: hit, of: 1}),
		sequence("HEAD with another entity tag removes", step{origin: ok(short, `ETag: "a"`)}, step{after: over, method: "HEAD", origin: ok(hour, `ETag: "b"`, "Content-Length: 8")}, step{origin: ok(hour)}),
		sequence("HEAD with another length removes", step{origin: ok(short)}, step{after: over, method: "HEAD", origin: ok(hour, "Content-Length: 9")}, step{origin: ok(hour)}),
		sequence("HEAD with another date removes", step{origin: ok(short, "Last-Modified: {now-1h}")}, step{after: over, method: "HEAD", origin: ok(hour, "Last-Modified: {now}", "Content-Length: 8")}, step{origin: ok(hour)}),
		sequence("HEAD 410 removes", step{origin: ok(short)}, step{after: over, method: "HEAD", origin: st(410, hour)}, step{origin: ok(hour)}),
		sequence("HEAD that fails leaves it", step{origin: ok(short, `ETag: "a"`)}, step{after: over, method: "HEAD", origin: st(503)}, step{want: valid, of: 1, origin: st(304)}),
		sequence("HEAD with no-cache freshens what is fresh", step{origin: ok(hour, `ETag: "a"`, "X-A: 1")}, step{method: "HEAD", send: []string{"Cache-Control: no-cache"}, origin: ok(hour, `ETag: "a"`, "X-A: 2", "Content-Length: 8")}, step{want: hit, of: 1, see: []string{"X-A: 2"}}),
	}))
}

// RFC 9111 section 4.1.
func TestMeasuredVary(t *testing.T) {
	two := func(name string, w want, vary, first, second string) behaviour {
		split := func(s string) []string {
			if s == "" {
				return nil
			}
			return strings.Split(s, "\n")
		}
		fields := []string{hour}
		fields = append(fields, split(vary)...)
		return sequence(name, step{send: split(first), origin: ok(fields...)}, step{send: split(second), want: w, origin: ok(fields...)})
	}
	observe(t, []behaviour{
		two("the same", hit, "Vary: Foo", "Foo: 1", "Foo: 1"),
		two("another", miss, "Vary: Foo", "Foo: 1", "Foo: 2"),
		two("left out in the second", miss, "Vary: Foo", "Foo: 1", ""),
		two("left out in the first", miss, "Vary: Foo", "", "Foo: 1"),
		two("empty is not absent", miss, "Vary: Foo", "", "Foo: "),
		two("left out in both", hit, "Vary: Foo", "", ""),
		two("names without regard to case", hit, "Vary: fOO", "Foo: 1", "foo: 1"),
		two("values with regard to it", miss, "Vary: Foo", "Foo: a", "Foo: A"),
		two("white space around values", hit, "Vary: Foo", "Foo: 1", "Foo:   1  "),
		two("two fields, the same", hit, "Vary: Foo, Bar", "Foo: 1\nBar: 2", "Bar: 2\nFoo: 1"),
		two("two fields, one another", miss, "Vary: Foo, Bar", "Foo: 1\nBar: 2", "Foo: 1\nBar: 3"),
		two("two fields, one left out", miss, "Vary: Foo, Bar", "Foo: 1\nBar: 2", "Foo: 1"),
		two("two fields on two lines", miss, "Vary: Foo\nVary: Bar", "Foo: 1\nBar: 2", "Foo: 1\nBar: 3"),
		two("three fields, the same", hit, "Vary: Foo, Bar,Baz", "Foo: 1\nBar: 2\nBaz: 3", "Foo: 1\nBar: 2\nBaz: 3"),
		two("three fields, one another", miss, "Vary: Foo, Bar, Baz", "Foo: 1\nBar: 2\nBaz: 3", "Foo: 1\nBar: 2\nBaz: 4"),
		two("what is not listed does not count", hit, "Vary: Foo", "Foo: 1\nBar: 2", "Foo: 1\nBar: 3"),
		two("lines are one list", hit, "Vary: Foo", "Foo: 1\nFoo: 2", "Foo: 1, 2"),
		two("the order of lines counts", miss, "Vary: Foo", "Foo: 1\nFoo: 2", "Foo: 2\nFoo: 1"),
		two("empty members", hit, "Vary: , Foo, ,", "Foo: 1", "Foo: 1"),
		two("languages in another order, which many servers heed", miss, "Vary: Accept-Language", "Accept-Language: en, de", "Accept-Language: de, en"),
		two("languages in another case", hit, "Vary: Accept-Language", "Accept-Language: en, de", "Accept-Language: eN, De"),
		two("languages in other spaces", hit, "Vary: Accept-Language", "Accept-Language: en,de", "Accept-Language:  en ,   de"),
		two("languages by weight", hit, "Vary: Accept-Language", "Accept-Language: en;q=0.5, de", "Accept-Language: de;q=1.0, en; q=0.50"),
		two("other languages", miss, "Vary: Accept-Language", "Accept-Language: en, de", "Accept-Language: en"),
		two("other weights", miss, "Vary: Accept-Language", "Accept-Language: en;q=0.5, de", "Accept-Language: en, de;q=0.5"),
		two("encodings, the same", hit, "Vary: Accept-Encoding", "Accept-Encoding: gzip, br", "Accept-Encoding: br,gzip"),
		two("encodings, others", miss, "Vary: Accept-Encoding", "Accept-Encoding: gzip", "Accept-Encoding: br"),
		two("encodings, none", miss, "Vary: Accept-Encoding", "Accept-Encoding: gzip", "Accept-Encoding: identity"),
		two("User-Agent", miss, "Vary: User-Agent", "User-Agent: a", "User-Agent: b"),
		two("Origin", miss, "Vary: Origin", "Origin: http://a.example", "Origin: http://b.example"),
		two("encoded, without Vary, for another", miss, "Content-Encoding: gzip", "Accept-Encoding: gzip", "Accept-Encoding: identity"),
		two("encoded, without Vary, for the same", hit, "Content-Encoding: gzip", "Accept-Encoding: gzip", "Accept-Encoding: gzip"),
		sequence("several variants are kept", step{send: []string{"Foo: 1"}, origin: ok(hour, "Vary: Foo")}, step{send: []string{"Foo: 2"}, origin: ok(hour, "Vary: Foo")}, step{send: []string{"Foo: 1"}, want: hit, of: 1}, step{send: []string{"Foo: 2"}, want: hit, of: 2}),
		sequence("an answer without Vary serves all", step{send: []string{"Foo: 1"}, origin: ok(hour)}, step{send: []string{"Foo: 2"}, want: hit}),
		sequence("another Vary than before", step{send: []string{"Foo: 1", "Bar: 1"}, origin: ok(hour, "Vary: Foo")}, step{send: []string{"Foo: 2", "Bar: 1"}, origin: ok(hour, "Vary: Bar")}, step{send: []string{"Foo: 3", "Bar: 1"}, want: hit, of: 2}, step{send: []string{"Foo: 3", "Bar: 2"}, origin: ok(hour, "Vary: Bar")}),
		sequence("the latest of two that match", step{send: []string{"Foo: 1"}, origin: ok("Cache-Control: max-age=10", "Vary: Foo")}, step{after: 20 * time.Second, send: []string{"Foo: 1"}, origin: ok(hour, "Vary: Foo")}, step{send: []string{"Foo: 1"}, want: hit, of: 2}),
		sequence("Vary is passed on", step{origin: ok(hour, "Vary: Foo, Bar")}, step{want: hit, see: []string{"Vary: Foo, Bar"}}),
		sequence("a variant is validated by its own entity tag",
			step{send: []string{"Foo: 1"}, origin: ok(hour, "Vary: Foo", `ETag: "a"`)}, step{send: []string{"Foo: 2"}, origin: ok(hour, "Vary: Foo", `ETag: "b"`)},
			step{send: []string{"Foo: 1", `If-None-Match: "a"`}, want: hit, status: 304, see: []string{`ETag: "a"`}}, step{send: []string{"Foo: 1", `If-None-Match: "b"`}, want: hit, of: 1}),
		sequence("Accept-Encoding reaches the origin", step{send: []string{"Accept-Encoding: gzip, br"}, origin: ok(hour), asked: []string{"Accept-Encoding: gzip, br"}}),
		sequence("what is encoded is given as it came", step{send: []string{"Accept-Encoding: gzip"}, origin: ok(hour, "Content-Encoding: gzip", "Vary: Accept-Encoding")}, step{send: []string{"Accept-Encoding: gzip"}, want: hit, see: []string{"Content-Encoding: gzip"}}),
		sequence("a miss by Vary says so", step{send: []string{"Foo: 1"}, origin: ok(hour, "Vary: Foo")}, step{send: []string{"Foo: 2"}, origin: ok(hour, "Vary: Foo"), see: []string{"Cache-Status: ~fwd=vary-miss"}}),
	})
}

// RFC 9110 section 14, RFC 9111 sections 3.3 and 3.4.
func TestMeasuredRanges(t *testing.T) {
	whole := origin{fields: []string{hour, `ETag: "a"`, "Last-Modified: {now-1h}", "Content-Type: text/plain", "X-A: 1"}, body: "0123456789"}
	part := origin{status: 206, fields: []string{hour, `ETag: "a"`, "Content-Range: bytes 5-9/10"}, body: "56789"}
	var all []behaviour
	on := func(name string, status int, text, contentRange string, send ...string) {
		b := asking(name, hit, whole, time.Second, send...)
		s := &b.steps[1]
		s.status, s.text = status, text
		if contentRange == "" {
			s.see = []string{"!Content-Range"}
		} else {
			s.see = []string{"Content-Range: " + contentRange, "X-A: 1"}
		}
		if status == 206 {
			s.see = append(s.see, fmt.Sprintf("Content-Length: %d", len(text)), "Content-Type: text/plain", `ETag: "a"`, "Age", "Date")
		}
		all = append(all, b)
	}
	on("from to", 206, "234", "bytes 2-4/10", "Range: bytes=2-4")
	on("one byte", 206, "0", "bytes 0-0/10", "Range: bytes=0-0")
	on("open", 206, "789", "bytes 7-9/10", "Range: bytes=7-")
	on("suffix", 206, "6789", "bytes 6-9/10", "Range: bytes=-4")
	on("suffix longer than all", 206, "0123456789", "bytes 0-9/10", "Range: bytes=-40")
	on("beyond the end", 206, "89", "bytes 8-9/10", "Range: bytes=8-99")
	on("all", 206, "0123456789", "bytes 0-9/10", "Range: bytes=0-")
	on("unit in capitals", 206, "01", "bytes 0-1/10", "Range: BYTES=0-1")
	on("behind the end", 416, "-", "bytes */10", "Range: bytes=10-")
	on("a suffix of nothing", 416, "-", "bytes */10", "Range: bytes=-0")
	on("another unit", 200, "0123456789", "", "Range: foo=0-1")
	on("nonsense", 200, "0123456789", "", "Range: bytes=x-y")
	on("backwards", 200, "0123456789", "", "Range: bytes=4-2")
	on("If-Range, the same", 206, "01", "bytes 0-1/10", "Range: bytes=0-1", `If-Range: "a"`)
	on("If-Range, another", 200, "0123456789", "", "Range: bytes=0-1", `If-Range: "b"`)
	on("If-Range, weak", 200, "0123456789", "", "Range: bytes=0-1", `If-Range: W/"a"`)
	on("If-Range, a date before", 200, "0123456789", "", "Range: bytes=0-1", "If-Range: {now-2h}")
	observe(t, join(all, []behaviour{
		sequence("HEAD has no ranges", step{origin: whole}, step{method: "HEAD", send: []string{"Range: bytes=0-1"}, want: hit, see: []string{"Content-Length: 10", "!Content-Range"}}),
		sequence("If-Range, the date", step{origin: origin{fields: []string{hour, "Last-Modified: Tue, 15 Nov 2016 12:45:26 GMT"}, body: "0123456789"}}, step{send: []string{"Range: bytes=0-1", "If-Range: Tue, 15 Nov 2016 12:45:26 GMT"}, want: hit, status: 206, text: "01"}),
		sequence("a range on a miss stores the whole answer", step{send: []string{"Range: bytes=0-1"}, origin: whole, status: 206, text: "01", see: []string{"Content-Range: bytes 0-1/10"}}, step{want: hit, text: "0123456789"}),
		sequence("a part is not given as the whole", step{send: []string{"Range: bytes=0-1"}, origin: origin{status: 206, fields: []string{hour, "Content-Range: bytes 0-1/10"}, body: "01"}, see: []string{"Content-Range: bytes 0-1/10"}}, step{origin: whole}),
		sequence("a part is kept", step{send: []string{"Range: bytes=-5"}, origin: part, see: []string{"Content-Range: bytes 5-9/10"}}, step{after: time.Second, send: []string{"Range: bytes=-5"}, want: hit, status: 206, see: []string{"Content-Range: bytes 5-9/10", "Age: >=1", `ETag: "a"`}}),
		sequence("a part of a part is given", step{send: []string{"Range: bytes=-5"}, origin: part}, step{send: []string{"Range: bytes=6-8"}, want: hit, status: 206, text: "678", see: []string{"Content-Range: bytes 6-8/10", "Content-Length: 3"}}),
		sequence("its end is given as a suffix", step{send: []string{"Range: bytes=-5"}, origin: part}, step{send: []string{"Range: bytes=-2"}, want: hit, status: 206, text: "89"}),
		sequence("and as an open end", step{send: []string{"Range: bytes=-5"}, origin: part}, step{send: []string{"Range: bytes=7-"}, want: hit, status: 206, text: "789"}),
		sequence("a part is not more than it is", step{send: []string{"Range: bytes=-5"}, origin: part}, step{send: []string{"Range: bytes=4-6"}, origin: whole, status: 206, text: "456"}),
		sequence("a part that is stale is not given", step{send: []string{"Range: bytes=-5"}, origin: origin{status: 206, fields: []string{"Cache-Control: max-age=10", "Content-Range: bytes 5-9/10"}, body: "56789"}}, step{after: 20 * time.Second, send: []string{"Range: bytes=-5"}, origin: whole, status: 206, text: "56789"}),
		sequence("a part without freshness is not kept", step{send: []string{"Range: bytes=-5"}, origin: origin{status: 206, fields: []string{"Content-Range: bytes 5-9/10"}, body: "56789"}}, step{send: []string{"Range: bytes=-5"}, origin: whole, status: 206, text: "56789"}),
		sequence("a part of another length than it says is not kept", step{send: []string{"Range: bytes=-5"}, origin: origin{status: 206, fields: []string{hour, "Content-Range: bytes 5-8/10"}, body: "56789"}}, step{send: []string{"Range: bytes=-5"}, origin: whole, status: 206, text: "56789"}),
		sequence("a part of another variant is not given", step{send: []string{"Range: bytes=-5", "Foo: 1"}, origin: origin{status: 206, fields: []string{hour, "Vary: Foo", "Content-Range: bytes 5-9/10"}, body: "56789"}}, step{send: []string{"Range: bytes=-5", "Foo: 2"}, origin: whole, status: 206, text: "56789"}),
		sequence("If-Range of a part that changed", step{send: []string{"Range: bytes=-5"}, origin: part}, step{send: []string{"Range: bytes=-5", `If-Range: "b"`}, origin: whole}),
		sequence("a part is invalidated", step{send: []string{"Range: bytes=-5"}, origin: part}, step{method: "POST", origin: ok()}, step{send: []string{"Range: bytes=-5"}, origin: whole, status: 206, text: "56789"}),
		sequence("a part that must not be stored", step{send: []string{"Range: bytes=-5"}, origin: origin{status: 206, fields: []string{hour + ", no-store", "Content-Range: bytes 5-9/10"}, body: "56789"}}, step{send: []string{"Range: bytes=-5"}, origin: whole, status: 206, text: "56789"}),
		sequence("parts of what is too large to be kept reach the origin, and are", step{origin: origin{fields: []string{hour}, body: strings.Repeat("0123456789", 300<<10)}},
			step{send: []string{"Range: bytes=5-9"}, origin: origin{status: 206, fields: []string{hour, "Content-Range: bytes 5-9/3072000"}, body: "56789"}, asked: []string{"Range: bytes=5-9"}},
			step{send: []string{"Range: bytes=6-7"}, want: hit, status: 206, text: "67", see: []string{"Content-Range: bytes 6-7/3072000"}}),
		sequence("nor as another part", step{send: []string{"Range: bytes=0-1"}, origin: origin{status: 206, fields: []string{hour, "Content-Range: bytes 0-1/10"}, body: "01"}}, step{send: []string{"Range: bytes=4-5"}, origin: origin{status: 206, fields: []string{hour, "Content-Range: bytes 4-5/10"}, body: "45"}}),
		sequence("a part does not replace the whole", step{origin: whole}, step{send: []string{"Range: bytes=0-1", "Cache-Control: no-cache"}, origin: origin{status: 206, fields: []string{hour, "Content-Range: bytes 0-1/10", `ETag: "a"`}, body: "01"}}, step{want: hit, of: 1}),
		sequence("a 416 on a miss is passed on", step{send: []string{"Range: bytes=99-"}, origin: st(416, "Content-Range: bytes */10", hour)}, step{origin: whole}),
		sequence("a range of what is stale", step{origin: origin{fields: []string{"Cache-Control: max-age=10", `ETag: "a"`}, body: "0123456789"}}, step{after: 20 * time.Second, send: []string{"Range: bytes=0-1"}, origin: whole, status: 206, text: "01"}, step{want: hit, text: "0123456789"}),
		sequence("ranges past the cache go upstream", step{method: "OPTIONS", send: []string{"Range: bytes=0-1", `If-Range: "a"`}, origin: ok(), asked: []string{"Range: bytes=0-1", `If-Range: "a"`}}),
		sequence("a 404 has no ranges", step{origin: st(404, hour)}, step{send: []string{"Range: bytes=0-1"}, want: hit, status: 404}),
		sequence("several ranges", step{origin: whole}, step{send: []string{"Range: bytes=0-1,4-5"}, want: hit, text: "0123456789"}),
		sequence("Content-Range means nothing in a 200", step{origin: ok(hour, "Content-Range: bytes 0-1/10")}, step{want: hit, see: []string{"Content-Range: bytes 0-1/10"}}, step{send: []string{"Range: bytes=0-1"}, want: hit, status: 206, text: "an", see: []string{"Content-Range: bytes 0-1/8"}}),
		sequence("ranges of what is never stored reach the origin", step{origin: ok("Cache-Control: no-store")}, step{send: []string{"Range: bytes=0-1"}, origin: origin{status: 206, fields: []string{"Content-Range: bytes 0-1/10"}, body: "01"}, asked: []string{"Range: bytes=0-1"}, see: []string{"Content-Range: bytes 0-1/10"}}),
	}))
}

// RFC 9111 section 4.4.
func TestMeasuredInvalidation(t *testing.T) {
	var all []behaviour
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "FROBNICATE"} {
		for _, code := range []int{200, 204, 201, 303, 302} {
			all = append(all, sequence(fmt.Sprintf("%s %d", method, code), step{origin: ok(hour)}, step{method: method, origin: st(code)}, step{origin: ok(hour)}))
		}
		for _, code := range []int{400, 404, 500, 503} {
			all = append(all, sequence(fmt.Sprintf("%s %d does not", method, code), step{origin: ok(hour)}, step{method: method, origin: st(code)}, step{want: hit, of: 1}))
		}
		for _, field := range []string{"Location", "Content-Location"} {
			all = append(all,
				sequence(fmt.Sprintf("%s, %s", method, field), step{target: "/a", origin: ok(hour)}, step{target: "/b", method: method, origin: st(201, field+": {path}/a")}, step{target: "/a", origin: ok(hour)}),
				sequence(fmt.Sprintf("%s, %s that is relative", method, field), step{target: "/a", origin: ok(hour)}, step{target: "/b", method: method, origin: st(201, field+": a")}, step{target: "/a", origin: ok(hour)}),
				sequence(fmt.Sprintf("%s, %s of another origin", method, field), step{target: "/a", origin: ok(hour)}, step{target: "/b", method: method, origin: st(201, field+": http://other.example{path}/a")}, step{target: "/a", want: hit, of: 1}),
				sequence(fmt.Sprintf("%s, %s in full", method, field), step{target: "/a", origin: ok(hour)}, step{target: "/b", method: method, origin: st(201, field+": http://{host}{path}/a")}, step{target: "/a", origin: ok(hour)}),
				sequence(fmt.Sprintf("%s, %s of an error", method, field), step{target: "/a", origin: ok(hour)}, step{target: "/b", method: method, origin: st(500, field+": {path}/a")}, step{target: "/a", want: hit, of: 1}))
		}
	}
	observe(t, join(all, []behaviour{
		sequence("OPTIONS does not", step{origin: ok(hour)}, step{method: "OPTIONS", origin: ok()}, step{want: hit, of: 1}),
		sequence("HEAD does not", step{origin: ok(hour)}, step{method: "HEAD", want: hit}, step{want: hit, of: 1}),
		sequence("all variants", step{send: []string{"Foo: 1"}, origin: ok(hour, "Vary: Foo")}, step{send: []string{"Foo: 2"}, origin: ok(hour, "Vary: Foo")}, step{method: "POST", origin: ok()}, step{send: []string{"Foo: 1"}, origin: ok(hour, "Vary: Foo")}, step{send: []string{"Foo: 2"}, origin: ok(hour, "Vary: Foo")}),
		// Which queries mean the same nobody but the origin knows: all of the
		// path go.
		sequence("whatever the query", step{target: "?a=1", origin: ok(hour)}, step{target: "?a=2", method: "POST", origin: ok()}, step{target: "?a=1", origin: ok(hour)}),
		sequence("of a body that streams", step{origin: ok(hour)}, step{method: "POST", body: "x", origin: origin{chunked: true}}, step{origin: ok(hour)}),
		sequence("of a mute origin", step{origin: ok(hour)}, step{method: "POST", origin: origin{mute: true}, want: failed}, step{want: hit, of: 1}),
	}))
}

// RFC 9111 section 4.2.4, RFC 5861.
func TestMeasuredStale(t *testing.T) {
	const s = time.Second
	mute, late := origin{mute: true}, 15*s
	with := func(name string, w want, cc string, o origin) behaviour {
		b := sequence(name, step{origin: ok("Cache-Control: max-age=10"+cc, `ETag: "a"`)}, step{after: late, want: w, origin: o})
		switch w {
		case saved:
			b.steps[1].see = []string{"!Warning", "Age: >=15", "Cache-Status: ~fwd=stale"}
		case stale:
			b.steps[1].see = []string{"!Warning", "Age: >=15", "Cache-Status: ~hit; ttl=-"}
		}
		return b
	}
	var all []behaviour
	for _, code := range []int{500, 502, 503, 504} {
		all = append(all,
			with(fmt.Sprintf("stale-if-error and %d", code), saved, ", stale-if-error=60", st(code)),
			with(fmt.Sprintf("%d without a word about it", code), miss, "", st(code)),
			with(fmt.Sprintf("stale-if-error, must-revalidate and %d", code), miss, ", stale-if-error=60, must-revalidate", st(code)))
	}
	all = append(all,
		with("stale-if-error and 404", miss, ", stale-if-error=60", st(404)),
		with("stale-if-error and 429", miss, ", stale-if-error=60", st(429)),
		with("stale-if-error that is over", miss, ", stale-if-error=2", st(503)),
		with("stale-if-error and a mute origin", saved, ", stale-if-error=60", mute),
		with("stale-if-error and an answer cut off", saved, ", stale-if-error=60", origin{cut: true}),
		with("stale-if-error and nonsense", saved, ", stale-if-error=60", origin{raw: "nonsense\r\n\r\n"}),
		with("stale-if-error, no-cache", failed, ", stale-if-error=60, no-cache", mute),
		with("stale-if-error, must-revalidate and a mute origin", failed, ", stale-if-error=60, must-revalidate", mute),
		with("stale-if-error, proxy-revalidate", failed, ", stale-if-error=60, proxy-revalidate", mute),
		with("stale-if-error, s-maxage", failed, ", stale-if-error=60, s-maxage=10", mute),
		with("must-revalidate", failed, ", must-revalidate", mute),
		with("no-cache", failed, ", no-cache", mute),
		with("stale-while-revalidate", stale, ", stale-while-revalidate=60", ok(hour)),
		with("stale-while-revalidate that is over", miss, ", stale-while-revalidate=2", ok(hour)),
		with("stale-while-revalidate, must-revalidate", miss, ", stale-while-revalidate=60, must-revalidate", ok(hour)),
		with("stale-while-revalidate, proxy-revalidate", miss, ", stale-while-revalidate=60, proxy-revalidate", ok(hour)),
		with("stale-while-revalidate, s-maxage", miss, ", stale-while-revalidate=60, s-maxage=10", ok(hour)),
	)
	observe(t, join(all, under("grace",
		with("must-revalidate and a mute origin", failed, ", must-revalidate", mute),
		with("proxy-revalidate and a mute origin", failed, ", proxy-revalidate", mute),
		with("s-maxage and a mute origin", failed, ", s-maxage=10", mute),
		with("no-cache and a mute origin", failed, ", no-cache", mute),
		with("stale-if-error=0 and a mute origin", failed, ", stale-if-error=0, stale-while-revalidate=0", mute),
		sequence("stale and a mute origin", step{origin: ok("Cache-Control: max-age=10")}, step{after: 2 * time.Minute, want: saved, origin: mute, see: []string{"Age: >=120", "!Warning"}}),
		with("stale while it is fetched", stale, "", ok(hour)),
		with("must-revalidate while it is fetched", miss, ", must-revalidate", ok(hour)),
	), []behaviour{
		sequence("the refresh is found by the next", step{origin: ok("Cache-Control: max-age=10, stale-while-revalidate=60")}, step{after: late, want: stale, origin: ok(hour)}, step{after: s, want: hit, text: "answer 2", soon: true}),
		sequence("the refresh validates", step{origin: ok("Cache-Control: max-age=10, stale-while-revalidate=60", `ETag: "a"`)}, step{after: late, want: stale, origin: st(304, hour), asked: []string{`If-None-Match: "a"`}}, step{after: s, want: hit, of: 1}),
		sequence("a refresh that fails leaves the stale one", step{origin: ok("Cache-Control: max-age=10, stale-while-revalidate=60")}, step{after: late, want: stale, origin: st(503)}, step{after: 5 * s, want: stale, of: 1, origin: ok(hour)}),
		sequence("a saved answer is not fresh for the next", step{origin: ok("Cache-Control: max-age=10, stale-if-error=60")}, step{after: late, want: saved, origin: st(503)}, step{after: s, origin: ok(hour)}),
		sequence("a failure of the origin is told", step{origin: mute, want: failed}, step{origin: ok(hour)}, step{want: hit}),
		sequence("a failure is not stored", step{origin: st(503)}, step{origin: ok(hour)}, step{want: hit}),
	}))
}

// RFC 9213.
func TestMeasuredTargeted(t *testing.T) {
	observe(t, join(
		pairs("CDN-Cache-Control, fresh", hit,
			"CDN-Cache-Control: max-age=3600", "CDN-Cache-Control: max-age=3600\nCache-Control: no-store", "CDN-Cache-Control: max-age=3600\nCache-Control: max-age=0", "CDN-Cache-Control: max-age=3600\nExpires: 0",
			"CDN-Cache-Control: foo, max-age=3600", "CDN-Cache-Control: max-age=3600;x=1", "CDN-Cache-Control: max-age=3600\nCache-Control: private", "CDN-Cache-Control: max-age=3600\nCache-Control: no-cache",
			"CDN-Cache-Control:\n"+hour, "CDN-Cache-Control: max-age=0, &&&\n"+hour, "CDN-Cache-Control: MAX-AGE=0\n"+hour, "CDN-Cache-Control: no-store,\n"+hour,
			"CDN-Cache-Control: max-age=99999999999", "CDN-Cache-Control: max-age=0, max-age=3600", "Hopgate-Cache-Control: max-age=3600\nCDN-Cache-Control: no-store", "Surrogate-Control: no-store\n"+hour),
		pairs("CDN-Cache-Control, not fresh", miss,
			"CDN-Cache-Control: no-store\n"+hour, "CDN-Cache-Control: private\n"+hour, "CDN-Cache-Control: max-age=0\n"+hour, "CDN-Cache-Control: no-cache\n"+hour, "CDN-Cache-Control: max-age=3600, &&&",
			"CDN-Cache-Control: max-age=3600\nAge: 7200", "CDN-Cache-Control: MaX-aGe=3600", "CDN-Cache-Control: max-age=3600\nCDN-Cache-Control: no-store", "CDN-Cache-Control: foo\nExpires: {now+1h}",
			"Foo-Cache-Control: max-age=3600", "Surrogate-Control: max-age=3600"),
		[]behaviour{
			sequence("CDN-Cache-Control is for those in front as well", step{origin: ok("CDN-Cache-Control: max-age=3600", "Surrogate-Control: foo", "Cache-Tag: a"), see: []string{"CDN-Cache-Control: max-age=3600", "Surrogate-Control: foo", "Cache-Tag: a"}}, step{want: hit, see: []string{"CDN-Cache-Control: max-age=3600"}}),
			sequence("Hopgate-Cache-Control is not", step{origin: ok("Hopgate-Cache-Control: max-age=3600"), see: []string{"!Hopgate-Cache-Control"}}, step{want: hit, see: []string{"!Hopgate-Cache-Control"}}),
		}))
}

// RFC 9110 sections 5.3 and 7.6.1, RFC 9111 section 3.1, RFC 9211.
func TestMeasuredFields(t *testing.T) {
	var all []behaviour
	for _, f := range []string{"Test-Header: 1", "X-Test-Header: 1", "Content-Foo: 1", "Content-Encoding: foo", "Content-Language: de", "Content-Location: /foo", "Content-MD5: rL0Y20zC+Fzt72VPzMSk2A==", "Content-Type: text/plain; charset=utf-8",
		"Content-Security-Policy: default-src 'self'", "Content-Disposition: attachment", "X-Frame-Options: DENY", "X-XSS-Protection: 1", "X-Content-Type-Options: nosniff", "Clear-Site-Data: \"cookies\"", "Public-Key-Pins: x", `ETag: "a"`,
		"Last-Modified: Tue, 15 Nov 2016 12:45:26 GMT", "Expires: Fri, 01 Jan 2105 00:00:00 GMT", "Vary: Foo", "Link: </a>; rel=next", "Server: foo/1", "Accept-Ranges: bytes", "Allow: GET", "Retry-After: 10", "WWW-Authenticate: Basic", "Pragma: foo", "Warning: 199 - \"x\"",
		"Referrer-Policy: origin", "Server-Timing: db;dur=1", "Timing-Allow-Origin: *", "Via: 1.1 other", "Set-Cookie2: a=b", "Digest: x", "Refresh: 5", "X-Powered-By: x", "Cache-Control: max-age=3600, foo=\"bar, baz\", FOO"} {
		name, value, _ := strings.Cut(f, ": ")
		see := f
		if name == "Server-Timing" {
			see = name + ": ~" + value
		}
		fields := []string{hour, f}
		if name == "Cache-Control" {
			fields = fields[1:]
		}
		all = append(all, sequence("stored and passed on: "+f, step{origin: ok(fields...), see: []string{see}}, step{want: hit, see: []string{see}}))
	}
	for _, f := range []string{"Connection: keep-alive", "Keep-Alive: timeout=5", "Proxy-Authenticate: Basic", "Proxy-Authorization: x", "Proxy-Connection: keep-alive", "TE: trailers", "Trailer: X-T", "Upgrade: h2c", "Proxy-Authentication-Info: x"} {
		name, _, _ := strings.Cut(f, ": ")
		all = append(all, sequence("not stored: "+f, step{origin: ok(hour, f)}, step{want: hit, see: []string{"!" + name}}))
	}
	observe(t, join(all, []behaviour{
		sequence("what Connection names is not passed on", step{origin: ok(hour, "Connection: x-a, X-B", "X-A: 1", "X-B: 2", "X-C: 3"), see: []string{"!X-A", "!X-B", "X-C: 3"}}, step{want: hit, see: []string{"!X-A", "!X-B", "!Connection", "X-C: 3"}}),
		sequence("what no-cache names is not stored", step{origin: ok(hour+`, no-cache="x-a, X-B"`, "X-A: 1", "X-B: 2", "X-C: 3"), see: []string{"X-A: 1"}}, step{want: hit, see: []string{"!X-A", "!X-B", "X-C: 3"}}),
		sequence("what private names is not stored", step{origin: ok(hour+`, private="X-A"`, "X-A: 1", "X-C: 3"), see: []string{"X-A: 1"}}, step{want: hit, see: []string{"!X-A", "X-C: 3"}}),
		sequence("lines stay lines, in order", step{origin: ok(hour, "X-A: 1", "X-B: 2", "X-A: 3", "X-A: 1")}, step{want: hit, see: []string{"X-A: 1 | 3 | 1"}}),
		sequence("Cache-Control on two lines", step{origin: ok(hour, "Cache-Control: public"), see: []string{"Cache-Control: max-age=3600 | public"}}, step{want: hit, see: []string{"Cache-Control: max-age=3600 | public"}}),
		sequence("cookies pass, in order", step{origin: ok("Set-Cookie: a=1; Path=/", "Set-Cookie: a=2; Path=/b", "Set-Cookie: c"), see: []string{"Set-Cookie: a=1; Path=/ | a=2; Path=/b | c"}}),
		sequence("values with odd characters", step{origin: ok(hour, "X-A: \"a\\\"b\", c;d=\xfc")}, step{want: hit, see: []string{"X-A: \"a\\\"b\", c;d=\xfc"}}),
		sequence("an empty value", step{origin: ok(hour, "X-A:")}, step{want: hit, see: []string{"X-A: "}}),
		sequence("request fields reach the origin", step{send: []string{"Foo: 1", "Test-ID: abc", "Req-Num: 1", "Accept: text/x", "Accept-Language: de", "User-Agent: x", "Referer: http://a.example/", "X-Custom: 2", "X-Custom: 3"}, origin: ok(hour),
			asked: []string{"Foo: 1", "Test-Id: abc", "Req-Num: 1", "Accept: text/x", "Accept-Language: de", "User-Agent: x", "Referer", "X-Custom: 2 | 3"}}),
		sequence("and none of them parts answers by itself", step{send: []string{"Req-Num: 1"}, origin: ok(hour)}, step{send: []string{"Req-Num: 2"}, want: hit}),
		sequence("identity does not reach the origin", step{send: []string{"Authorization: x", "Cookie: a=b", "X-Forwarded-For: 1.2.3.4", "Forwarded: for=x", "X-Real-Ip: 1", "X-Original-Url: /x"}, origin: ok(hour), asked: []string{"!Authorization", "!Cookie", "!Forwarded", "!X-Real-Ip", "!X-Original-Url"}}),
		sequence("Cache-Status of a miss", step{origin: ok(hour), see: []string{"Cache-Status: ~hopgate; fwd=uri-miss; ttl=", "Cache-Status: ~; stored"}}, step{want: hit, see: []string{"Cache-Status: ~hopgate; hit; ttl="}}),
		sequence("Cache-Status of what is not stored", step{origin: ok("Cache-Control: no-store"), see: []string{"Cache-Status: hopgate; fwd=uri-miss"}}),
		sequence("Cache-Status of a validation", step{origin: ok("Cache-Control: max-age=10", `ETag: "a"`)}, step{after: 20 * time.Second, want: valid, origin: st(304, hour), see: []string{"Cache-Status: ~fwd=stale; fwd-status=304; ttl="}}),
		sequence("Cache-Status of no-cache", step{origin: ok(hour)}, step{send: []string{"Cache-Control: no-cache"}, origin: ok(hour), see: []string{"Cache-Status: ~fwd=request"}}),
		sequence("Cache-Status of another method", step{method: "POST", origin: ok(hour), see: []string{"Cache-Status: ~hopgate; fwd=method"}}),
		sequence("Cache-Status of an upstream cache stays before ours", step{origin: ok(hour, "Cache-Status: up; hit"), see: []string{"Cache-Status: ~up; hit | hopgate; fwd=uri-miss"}}, step{want: hit, see: []string{"Cache-Status: ~up; hit | hopgate; hit"}}),
		sequence("another cache's Warning is not ours to add", step{origin: ok(hour)}, step{want: hit, see: []string{"!Warning"}}),
		sequence("a 204 has no length", step{origin: st(204, hour), see: []string{"!Content-Length"}}, step{want: hit, status: 204, see: []string{"!Content-Length"}}),
	}))
}

// An operator's time, on the same kind of route: the strict rule about request
// fields holds, since the origin's Vary is not what parts answers there.
func TestMeasuredOperator(t *testing.T) {
	observe(t, under("ttl",
		asking("fresh for the time", hit, ok(), 50*time.Second),
		asking("and no longer", miss, ok(), 70*time.Second),
		asking("whatever the answer says", hit, ok("Cache-Control: max-age=0", "Expires: 0"), 50*time.Second),
		asking("but for no-store", miss, ok("Cache-Control: no-store"), time.Second),
		asking("but for private", miss, ok("Cache-Control: private"), time.Second),
		asking("a page cannot have it fetched anew", hit, ok(), time.Second, "Cache-Control: no-cache", "Pragma: no-cache"),
		sequence("no other field of a client than those of negotiation reaches the origin", step{send: []string{"Foo: 1", "User-Agent: x", "Accept: text/x", "Accept-Language: de", "Accept-Encoding: gzip"}, origin: ok(), asked: []string{"!Foo", "!User-Agent", "Accept: text/x", "Accept-Language: de", "Accept-Encoding: identity"}}),
		sequence("where the answer is nobody else's they do", step{method: "POST", send: []string{"Foo: 1", "Accept-Encoding: gzip", `If-Match: "a"`}, origin: ok(), asked: []string{"Foo: 1", "Accept-Encoding: gzip", `If-Match: "a"`}}),
	))
}
