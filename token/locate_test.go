package token

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"hopgate/config"
)

// fields is a request's header section: name, value, name, value.
type fields []string

func (f *fields) Field(name string) (value string, n int) {
	for i := 0; i < len(*f); i += 2 {
		if strings.EqualFold((*f)[i], name) {
			if n++; n == 1 {
				value = (*f)[i+1]
			}
		}
	}
	return value, n
}

var (
	bearerPlace = config.TokenPlace{Header: "authorization"}
	clerkTokens = []config.TokenPlace{bearerPlace, {Cookie: "__session"}, {Cookie: "__session_*"}}
	allTokens   = []config.TokenPlace{bearerPlace, {Header: "X-Token"}, {Cookie: "sid"}, {Query: "access_token"}}
)

func TestLocate(t *testing.T) {
	const tok = "aaa.bbb.ccc"
	for _, c := range []struct {
		name   string
		places []config.TokenPlace
		fields fields
		query  string
		token  string // empty with no fault means missing
		from   string // name, and how
		fault  *Fault
	}{
		{name: "nothing", places: allTokens, fault: ErrMissing},
		{name: "bearer", places: clerkTokens, fields: fields{"Authorization", "Bearer " + tok}, token: tok, from: "Authorization"},
		{name: "scheme without case", places: clerkTokens, fields: fields{"authorization", "bEARER " + tok}, token: tok, from: "Authorization"},
		{name: "two lines", places: clerkTokens, fields: fields{"Authorization", "Bearer " + tok, "authorization", "Bearer " + tok}, fault: ErrMalformed},
		{name: "two lines, one of another scheme", places: clerkTokens, fields: fields{"Authorization", "Basic x", "Authorization", "Bearer " + tok}, fault: ErrMalformed},
		{name: "list", places: clerkTokens, fields: fields{"Authorization", "Bearer " + tok + ", Bearer x.y.z"}, fault: ErrMalformed},
		{name: "list without space", places: clerkTokens, fields: fields{"Authorization", "Bearer " + tok + ",Bearer"}, fault: ErrMalformed},
		{name: "two spaces", places: clerkTokens, fields: fields{"Authorization", "Bearer  " + tok}, fault: ErrMalformed},
		{name: "space behind", places: clerkTokens, fields: fields{"Authorization", "Bearer " + tok + " "}, fault: ErrMalformed},
		{name: "junk behind", places: clerkTokens, fields: fields{"Authorization", "Bearer " + tok + " x"}, fault: ErrMalformed},
		{name: "space in front", places: clerkTokens, fields: fields{"Authorization", " Bearer " + tok}, fault: ErrMalformed},
		{name: "tab", places: clerkTokens, fields: fields{"Authorization", "Bearer\t" + tok}, fault: ErrMalformed},
		{name: "tab behind", places: clerkTokens, fields: fields{"Authorization", "Bearer " + tok + "\t"}, fault: ErrMalformed},
		{name: "no token", places: clerkTokens, fields: fields{"Authorization", "Bearer"}, fault: ErrMalformed},
		{name: "no token but a space", places: clerkTokens, fields: fields{"Authorization", "Bearer "}, fault: ErrMalformed},
		{name: "bearer=", places: clerkTokens, fields: fields{"Authorization", "Bearer=" + tok}, fault: ErrMalformed},
		{name: "other scheme", places: clerkTokens, fields: fields{"Authorization", "Basic dTpw"}, fault: ErrMissing},
		{name: "other scheme, token in the cookie", places: clerkTokens, fields: fields{"Authorization", "Basic dTpw", "Cookie", "__session=" + tok}, token: tok, from: "__session cookie"},
		{name: "scheme that starts the same", places: clerkTokens, fields: fields{"Authorization", "BearerX " + tok}, fault: ErrMissing},
		{name: "short scheme", places: clerkTokens, fields: fields{"Authorization", "Bear"}, fault: ErrMissing},
		{name: "empty field", places: clerkTokens, fields: fields{"Authorization", "", "Cookie", "__session=" + tok}, token: tok, from: "__session cookie"},
		{name: "a bad token is not passed over", places: clerkTokens, fields: fields{"Authorization", "Bearer nonsense", "Cookie", "__session=" + tok}, token: "nonsense", from: "Authorization"},
		{name: "a malformed field is not passed over", places: clerkTokens, fields: fields{"Authorization", "Bearer ", "Cookie", "__session=" + tok}, fault: ErrMalformed},
		{name: "field before cookie", places: clerkTokens, fields: fields{"Cookie", "__session=x.y.z", "Authorization", "Bearer " + tok}, token: tok, from: "Authorization"},
		{name: "cookies are not read where they need not be", places: clerkTokens, fields: fields{"Cookie", "a", "Cookie", "b", "Authorization", "Bearer " + tok}, token: tok, from: "Authorization"},

		{name: "cookie", places: clerkTokens, fields: fields{"cookie", "a=b; __session=" + tok + "; c=d"}, token: tok, from: "__session cookie"},
		{name: "cookie without a space", places: clerkTokens, fields: fields{"Cookie", "a=b;__session=" + tok + ";c"}, token: tok, from: "__session cookie"},
		{name: "odd cookies beside", places: clerkTokens, fields: fields{"Cookie", `a="b, c"; d e=f; ; =x; __session=` + tok + `; {"x":1}`}, token: tok, from: "__session cookie"},
		{name: "cookie with suffix", places: clerkTokens, fields: fields{"Cookie", "__session_1Z8AzTQD=" + tok}, token: tok, from: "__session_1Z8AzTQD cookie"},
		{name: "cookie before its suffixed form", places: clerkTokens, fields: fields{"Cookie", "__session_1Z8AzTQD=x.y.z; __session=" + tok}, token: tok, from: "__session cookie"},
		{name: "suffix is not empty", places: clerkTokens, fields: fields{"Cookie", "__session_=" + tok}, fault: ErrMissing},
		{name: "two suffixes, different tokens", places: clerkTokens, fields: fields{"Cookie", "__session_a=" + tok + "; __session_b=x.y.z"}, fault: ErrMalformed},
		{name: "two suffixes, one token", places: clerkTokens, fields: fields{"Cookie", "__session_a=" + tok + "; __session_b=" + tok}, token: tok, from: "__session_b cookie"},
		{name: "two suffixes, one ended", places: clerkTokens, fields: fields{"Cookie", "__session_a=" + tok + "; __session_b="}, token: tok, from: "__session_a cookie"},
		{name: "two suffixes, the first ended", places: clerkTokens, fields: fields{"Cookie", "__session_a=; __session_b=" + tok}, token: tok, from: "__session_b cookie"},
		{name: "cookie twice", places: clerkTokens, fields: fields{"Cookie", "__session=" + tok + "; __session=x.y.z"}, fault: ErrMalformed},
		{name: "cookie twice, one empty", places: clerkTokens, fields: fields{"Cookie", "__session=; __session=" + tok}, fault: ErrMalformed},
		{name: "cookie twice, the same", places: clerkTokens, fields: fields{"Cookie", "__session=" + tok + "; __session=" + tok}, token: tok, from: "__session cookie"},
		{name: "cookie empty", places: clerkTokens, fields: fields{"Cookie", "__session="}, fault: ErrMissing},
		{name: "cookie without =", places: clerkTokens, fields: fields{"Cookie", "__session"}, fault: ErrMissing},
		{name: "cookie quoted", places: clerkTokens, fields: fields{"Cookie", `__session="` + tok + `"`}, fault: ErrMalformed},
		{name: "cookie with space", places: clerkTokens, fields: fields{"Cookie", "__session=" + tok + " x"}, fault: ErrMalformed},
		{name: "cookie with space in front", places: clerkTokens, fields: fields{"Cookie", "a=b;  __session=" + tok}, fault: ErrMalformed},
		{name: "cookie with space behind the name", places: clerkTokens, fields: fields{"Cookie", "__session =" + tok}, fault: ErrMalformed},
		{name: "cookie with tab", places: clerkTokens, fields: fields{"Cookie", "a=b;\t__session=" + tok}, fault: ErrMalformed},
		{name: "cookie list", places: clerkTokens, fields: fields{"Cookie", "__session=" + tok + ",x=y"}, fault: ErrMalformed},
		{name: "cookie names have case", places: clerkTokens, fields: fields{"Cookie", "__Session=" + tok}, fault: ErrMissing},
		{name: "two cookie lines", places: clerkTokens, fields: fields{"Cookie", "a=b", "Cookie", "__session=" + tok}, fault: ErrMalformed},
		{name: "nameless cookie that looks like one", places: clerkTokens, fields: fields{"Cookie", "__session=" + tok + "; =__session=x.y.z"}, token: tok, from: "__session cookie"},

		{name: "field", places: allTokens, fields: fields{"x-token", tok}, token: tok, from: "X-Token"},
		{name: "field twice", places: allTokens, fields: fields{"X-Token", tok, "X-Token", tok}, fault: ErrMalformed},
		{name: "field with scheme", places: allTokens, fields: fields{"X-Token", "Bearer " + tok}, fault: ErrMalformed},
		{name: "field empty", places: allTokens, fields: fields{"X-Token", ""}, fault: ErrMissing},

		{name: "query", places: allTokens, query: "a=b&access_token=" + tok + "&c", token: tok, from: "access_token query"},
		{name: "query twice", places: allTokens, query: "access_token=" + tok + "&access_token=" + tok, fault: ErrMalformed},
		{name: "query twice, one empty", places: allTokens, query: "access_token&access_token=" + tok, fault: ErrMalformed},
		{name: "query name encoded", places: allTokens, query: "acc%65ss_token=" + tok, fault: ErrMalformed},
		{name: "query name encoded beside", places: allTokens, query: "access_token=" + tok + "&access%5Ftoken=x.y.z", fault: ErrMalformed},
		{name: "query value encoded", places: allTokens, query: "access_token=aaa%2Ebbb.ccc", fault: ErrMalformed},
		{name: "query plus", places: allTokens, query: "access_token=" + tok + "+x", fault: ErrMalformed},
		{name: "query empty", places: allTokens, query: "access_token=", fault: ErrMissing},
		{name: "query other case", places: allTokens, query: "Access_Token=" + tok, fault: ErrMissing},
		{name: "query with broken encoding", places: allTokens, query: "%zz=1&access%=2&access_token=" + tok, token: tok, from: "access_token query"},
		{name: "query not asked for", places: clerkTokens, query: "access_token=" + tok, fault: ErrMissing},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := placesOf(c.places).locate(&c.fields, c.query)
			if c.fault != nil {
				if !errors.Is(err, c.fault) || got != (Located{}) {
					t.Fatalf("%+v, error %v; want %v", got, err, c.fault)
				}
				return
			}
			from := got.Name
			if got.FromCookie {
				from += " cookie"
			}
			if got.FromQuery {
				from += " query"
			}
			if err != nil || got.Token != c.token || from != c.from {
				t.Fatalf("%+v, error %v; want %q from %q", got, err, c.token, c.from)
			}
		})
	}
}

func TestUnionPlaces(t *testing.T) {
	pl := unionPlaces(placesOf(clerkTokens), placesOf(allTokens), placesOf([]config.TokenPlace{{Cookie: "sid"}, {Cookie: "__session_*"}}))
	if got, want := pl.fields(), []string{"Authorization", "X-Token"}; !slices.Equal(got, want) {
		t.Errorf("fields %q", got)
	}
	if got, want := pl.cookies(), []string{"__session", "__session_*", "sid"}; !slices.Equal(got, want) {
		t.Errorf("cookies %q", got)
	}
	if got, want := pl.params(), []string{"access_token"}; !slices.Equal(got, want) {
		t.Errorf("parameters %q", got)
	}
	if len(pl) != 6 || pl[0].kind != inAuthorization || pl[5].kind != inQuery {
		t.Errorf("places %+v", pl)
	}
}

func TestLocateAllocs(t *testing.T) {
	pl := placesOf(withPreset(clerkIssuer).Tokens)
	pl = append(pl, place{inQuery, "access_token"})
	long := strings.Repeat("abcdefgh", 100)
	for name, r := range map[string]*fields{
		"field":    {"Host", "x", "Authorization", "Bearer " + long},
		"cookie":   {"Cookie", "a=b; __session=" + long},
		"suffixed": {"Cookie", "a=b; __session_x=" + long},
		"query":    {"Host", "x"},
		"bad":      {"Authorization", "Bearer x y"},
	} {
		if n := testing.AllocsPerRun(100, func() { _, _ = pl.locate(r, "a=b&access_token=x") }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkLocate(b *testing.B) {
	pl := placesOf(withPreset(clerkIssuer).Tokens)
	long := strings.Repeat("abcdefgh", 100)
	for name, r := range map[string]*fields{
		"field":  {"Host", "x", "Authorization", "Bearer " + long},
		"cookie": {"Host", "x", "Cookie", "a=b; __session=" + long},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := pl.locate(r, ""); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Whatever a request holds, a token that is found is a part of it that no
// tolerant reader would find another token beside.
func FuzzLocate(f *testing.F) {
	f.Add("Bearer a.b.c", "__session=a.b.c", "access_token=a.b.c")
	f.Add("bearer a,b", "a=b; __session_x=c; __session_y=d", "x&access%5ftoken=1")
	f.Add("Basic x", "__session =a; __session=b", "access_token=1&access_token=2")
	f.Add("", " ;=;__session=\"a\"", "%61=1;access_token=x")
	pl := placesOf(append(slices.Clone(clerkTokens), config.TokenPlace{Query: "access_token"}))
	f.Fuzz(func(t *testing.T, authorization, cookie, query string) {
		r := &fields{}
		if authorization != "" {
			*r = append(*r, "Authorization", authorization)
		}
		if cookie != "" {
			*r = append(*r, "Cookie", cookie)
		}
		got, err := pl.locate(r, query)
		if err != nil {
			if got != (Located{}) || !errors.Is(err, ErrMissing) && !errors.Is(err, ErrMalformed) {
				t.Fatalf("%+v, error %v", got, err)
			}
			return
		}
		if got.Token == "" || strings.ContainsAny(got.Token, " ,\t") {
			t.Fatalf("token %q", got.Token)
		}
		switch {
		case got.FromCookie:
			for pair := range strings.SplitSeq(cookie, ";") {
				n, v, _ := strings.Cut(pair, "=")
				if strings.Trim(n, " \t") == got.Name && v != got.Token && (v != "" || got.Name == "__session") {
					t.Fatalf("token %q, but also %q", got.Token, v)
				}
			}
		case got.FromQuery:
			values, err := url.ParseQuery(query)
			if err == nil && !slices.Equal(values["access_token"], []string{got.Token}) {
				t.Fatalf("token %q of %q", got.Token, values["access_token"])
			}
		default:
			scheme, rest, _ := strings.Cut(authorization, " ")
			if !strings.EqualFold(scheme, "bearer") || rest != got.Token {
				t.Fatalf("token %q of %q", got.Token, authorization)
			}
		}
	})
}
