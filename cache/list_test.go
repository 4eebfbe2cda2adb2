package cache

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMembers(t *testing.T) {
	for list, want := range map[string][]string{
		``:                   nil,
		` , ,`:               nil,
		`a`:                  {`a`},
		` a ,b,	c `:          {`a`, `b`, `c`},
		`a="b,c",d`:          {`a="b,c"`, `d`},
		`a="b\",c",d`:        {`a="b\",c"`, `d`},
		`a="b,c`:             {`a="b`, `c`},
		`a="b\",c`:           {`a="b\"`, `c`},
		`"a,b" c,d`:          {`"a,b" c`, `d`},
		`a\,b`:               {`a\`, `b`},
		`"a" , "b,c", d="e,`: {`"a"`, `"b,c"`, `d="e`},
	} {
		var got []string
		all := members[string]{rest: list}
		for member, ok := all.next(); ok; member, ok = all.next() {
			got = append(got, member)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", list, got, want)
		}
	}
}

// Reading takes a time that grows with the length and not with its square:
// a client can send 32 KiB of whatever is worst.
func TestReadingTakesLinearTime(t *testing.T) {
	const size = 256 << 10
	for _, s := range []string{`"`, `"\"`, `\",`, `"\",`, `,`, `a,`, `=`, `a="`, `W/"a",`, `;`, `(`, ` `, `"a,`} {
		list := strings.Repeat(s, size/len(s))
		start := time.Now()
		var d directives
		parse(&d, `"\`+list)
		parse(&d, "x"+list)
		parse(&d, `no-cache="`+list+`"`)
		build(200, "v", "ETag", `"x"`).Reply("GET", fields{"If-None-Match", list})
		build(200, "v").Reply("GET", fields{"Range", "bytes=" + list})
		(&sfParser{rest: list}).dictionary()
		appendPreferences(nil, list, true)
		// Quadratic time would be minutes here.
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%d bytes of %q took %v", size, s, took)
		}
	}
}
