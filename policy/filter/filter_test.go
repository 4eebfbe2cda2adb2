package filter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestAppend(t *testing.T) {
	for _, tt := range []struct {
		name         string
		remove, keep string // paths separated by spaces
		in, want     string
	}{
		// Removing: where, and what happens to commas and white space.
		{"first", "a", "", `{"a":1,"b":2,"c":3}`, `{"b":2,"c":3}`},
		{"middle", "b", "", `{"a":1,"b":2,"c":3}`, `{"a":1,"c":3}`},
		{"last", "c", "", `{"a":1,"b":2,"c":3}`, `{"a":1,"b":2}`},
		{"only", "a", "", `{"a":1}`, `{}`},
		{"all", "a b c", "", `{"a":1,"b":2,"c":3}`, `{}`},
		{"first two", "a b", "", `{"a":1,"b":2,"c":3}`, `{"c":3}`},
		{"last two", "b c", "", `{"a":1,"b":2,"c":3}`, `{"a":1}`},
		{"first and last", "a c", "", `{"a":1,"b":2,"c":3}`, `{"b":2}`},
		{"alternate", "b d", "", `{"a":1,"b":2,"c":3,"d":4,"e":5}`, `{"a":1,"c":3,"e":5}`},
		{"nothing there", "x a.x b.x", "", `{"a":{"b":[ 1 , 2 ]}, "b" : 1.50E+3 }`, `{"a":{"b":[ 1 , 2 ]}, "b" : 1.50E+3 }`},
		{"indented, last", "b", "", "{\n  \"a\": 1,\n  \"b\": 2\n}\n", "{\n  \"a\": 1\n}\n"},
		{"indented, first", "a", "", "{\n  \"a\": 1,\n  \"b\": 2\n}\n", "{\n  \"b\": 2\n}\n"},
		{"indented, only", "a", "", "{\n  \"a\": 1\n}", "{\n}"},
		{"space before commas", "b", "", `{ "a":1 , "b":2 , "c":3 }`, `{ "a":1 , "c":3 }`},
		{"any value", "a", "", `{"a":{"a":[{"b":"}\"]"}]},"b":{"a":1}}`, `{"b":{"a":1}}`},
		{"nested", "a.b.c", "", `{"a":{"b":{"c":1,"d":2},"c":3},"c":4}`, `{"a":{"b":{"d":2},"c":3},"c":4}`},
		{"nested empties", "a.b.c", "", `{"a":{"b":{"c":1}}}`, `{"a":{"b":{}}}`},
		{"a scalar on the way", "a.b", "", `{"a":1}`, `{"a":1}`},
		{"shorter path wins", "a.b a", "", `{"a":{"b":1},"b":2}`, `{"b":2}`},
		{"only the outermost", "a", "", `{"b":{"a":1}}`, `{"b":{"a":1}}`},
		{"scalar document", "a", "", ` "a" `, ` "a" `},
		{"case matters", "a", "", `{"A":1}`, `{"A":1}`},

		// Arrays are looked through, said or not.
		{"elements", "a[].b", "", `{"a":[{"b":1,"c":2},{"b":1},3,[{"b":1}]]}`, `{"a":[{"c":2},{},3,[{}]]}`},
		{"elements, not said", "a.b", "", `{"a":[{"b":1,"c":2},{"b":1},3,[{"b":1}]]}`, `{"a":[{"c":2},{},3,[{}]]}`},
		{"said, but an object", "a[].b", "", `{"a":{"b":1,"c":2}}`, `{"a":{"c":2}}`},
		{"array document", "[].b", "", `[{"b":1},{"b":2,"c":3}]`, `[{},{"c":3}]`},
		{"array document, not said", "b", "", `[{"b":1},{"b":2,"c":3}]`, `[{},{"c":3}]`},
		{"arrays of arrays", "[][].b", "", `[[{"b":1}],[[{"b":1}]]]`, `[[{}],[[{}]]]`},
		{"list endpoint", "data[].private_metadata", "", `{"data":[{"id":"u1","private_metadata":{"x":1}}],"total_count":1}`, `{"data":[{"id":"u1"}],"total_count":1}`},

		// Names.
		{"every one of a name", "a", "", `{"a":1,"b":2,"a":{"c":3},"a":[]}`, `{"b":2}`},
		{"every one of a name on the way", "a.b", "", `{"a":{"b":1},"a":{"b":2,"c":3}}`, `{"a":{},"a":{"c":3}}`},
		{"escaped", "private_metadata", "", `{"private\u005fmetadata":1,"\u0070rivate_metadata":2,"x":3}`, `{"x":3}`},
		{"escapes", `"/\"\\\b\f\n\r\t"`, "", `{"\/\"\\\b\f\n\r\t":1,"x":2}`, `{"x":2}`},
		{"surrogates", "😀", "", `{"\ud83d\ude00":1,"\uD83D\uDE00":2,"😀":3,"x":4}`, `{"x":4}`},
		{"lone surrogates", "x", "", `{"\ud83d":1,"\ude00\ud83d":2,"\ud83dA":3,"\ud83d\u0041":"\udfff","x":5}`, `{"\ud83d":1,"\ude00\ud83d":2,"\ud83dA":3,"\ud83d\u0041":"\udfff"}`},
		{"special characters", `"a.b"."c[]"`, "", `{"a.b":{"c[]":1,"c":2},"a":{"b":3}}`, `{"a.b":{"c":2},"a":{"b":3}}`},
		{"empty name", `"".a`, "", `{"":{"a":1},"a":2}`, `{"":{},"a":2}`},
		{"not a prefix", "ab", "", `{"a":1,"abc":2}`, `{"a":1,"abc":2}`},

		// Keeping.
		{"keep one", "", "b", `{"a":1,"b":2,"c":3}`, `{"b":2}`},
		{"keep two", "", "a c", `{"a":1,"b":2,"c":3}`, `{"a":1,"c":3}`},
		{"keep none", "", "x", `{"a":1,"b":{"x":2}}`, `{}`},
		{"keep whole", "", "a", `{"a":{"b":[1,{"c":null}]},"b":1}`, `{"a":{"b":[1,{"c":null}]}}`},
		{"keep nested", "", "a.b c.d", `{"a":{"b":1,"x":2},"b":3,"c":{"x":4}}`, `{"a":{"b":1},"c":{}}`},
		{"keep, scalars on the way", "", "a.b b.c c.d", `{"a":1,"b":null,"c":"x"}`, `{}`},
		{"keep in arrays", "", "a[].b", `{"a":[{"b":1,"c":2},3,{"c":4},[{"b":5,"c":6},7]],"d":1}`, `{"a":[{"b":1},{},[{"b":5}]]}`},
		{"keep in arrays, not said", "", "a.b", `{"a":[1,{"b":1,"c":2}]}`, `{"a":[{"b":1}]}`},
		{"keep in an array document", "", "id", `[1,{"id":1,"x":2},"y",{"x":3},null]`, `[{"id":1},{}]`},
		{"keep in an array of scalars", "", "id", `[1, 2 , 3 ]`, `[ ]`},
		{"keep of a scalar document", "", "id", ` 12 `, `null`},
		{"keep with the longer path", "", "a.b a", `{"a":{"b":1,"c":2}}`, `{"a":{"b":1,"c":2}}`},
		{"keep list endpoint", "", "data[].id total_count", `{"data":[{"id":"u1","x":1},{"id":"u2"}],"total_count":2,"x":1}`, `{"data":[{"id":"u1"},{"id":"u2"}],"total_count":2}`},
		{"keep duplicates", "", "a.b", `{"a":{"b":1,"c":2},"a":3,"a":{"b":4,"c":5}}`, `{"a":{"b":1},"a":{"b":4}}`},

		{"no path at all", "", "", ` {"a" : [1]} `, ` {"a" : [1]} `},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := compile(t, strings.Fields(tt.remove), strings.Fields(tt.keep))
			got, err := f.Append([]byte("before"), []byte(tt.in))
			if err != nil || string(got) != "before"+tt.want {
				t.Errorf("got  %s, %v\nwant before%s", got, err, tt.want)
			}
		})
	}
}

func compile(t testing.TB, remove, keep []string) *Filter {
	t.Helper()
	f, err := Compile(remove, keep)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// invalid documents; each is also tried inside a removed and a kept value.
var invalid = []string{
	"", " ", "{", "}", "[", "]", `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{,}`, `{,"a":1}`, `{"a" 1}`,
	`{a:1}`, `{'a':1}`, `{1:1}`, `{"a":1 "b":2}`, `{"a":1;"b":2}`, `{"a":1]`, "[1", "[1,", "[1,]", "[,]", "[,1]", "[1 2]", "[1}",
	"tru", "nul", "truE", "True", "NaN", "Infinity", "undefined", "nullx", "-", "+1", "01", "-01", "1.", ".5", "1.e1", "1e", "1e+", "0x1", "1_0", "1 2",
	`"`, `"a`, `"\`, `"\"`, `"\x"`, `"\u"`, `"\u12"`, `"\u123g"`, `"\U0041"`, "\"\n\"", "\"a\x00b\"", "\"\x1f\"", "\"12345678\t\"",
	"\"\xff\"", "\"\xc0\xaf\"", "\"\xed\xa0\x80\"", "\"12345678\xf4\x90\x80\x80\"", "\"\xc3", "{\"\xff\":1}",
	"\ufeff{}", "{}{}", "{} x", "{},", "{}\x00", "\v{}", "\u00a0{}", "/**/{}", "// x\n{}", `{"a":1}}`, "[]]",
}

func TestInvalid(t *testing.T) {
	for _, doc := range invalid {
		for _, in := range []string{doc, `{"a":` + doc + `}`, `{"b":` + doc + `}`, `[0,` + doc + `]`} {
			if json.Valid([]byte(in)) && utf8.ValidString(in) {
				continue // what follows the text makes it right here
			}
			for _, f := range []*Filter{
				compile(t, []string{"a"}, nil), compile(t, []string{"a.b", "b.c"}, nil),
				compile(t, nil, []string{"a"}), compile(t, nil, []string{"a.b", "b.c"}), compile(t, nil, nil),
			} {
				got, err := f.Append([]byte("x"), []byte(in))
				if !errors.Is(err, ErrNotJSON) || string(got) != "x" {
					t.Errorf("%q: got %q, %v; want x and ErrNotJSON", in, got, err)
				}
			}
		}
	}
}

func TestValid(t *testing.T) {
	for _, doc := range []string{
		"0", "-0", "-0.0e-0", "10.25E+7", "true", "false", "null", `""`, `"\u0000\uD800\/"`, "\"\u007f\u0080\U0010ffff\"",
		"{}", "[]", " [ ] ", "\t{\r}\n", `[[],{},"",0,null]`, `{"":{"":""}}`, `"1234567\"12345678"`, "\"é12345678é\"",
		strings.Repeat("9", 1000), "1e999999",
	} {
		got, err := compile(t, []string{"x.y"}, nil).Append(nil, []byte(doc))
		if err != nil || string(got) != doc {
			t.Errorf("%q: got %q, %v", doc, got, err)
		}
	}
}

func TestErrorTellsWhere(t *testing.T) {
	f := compile(t, []string{"secret"}, nil)
	_, err := f.Append(nil, []byte(`{"secret": "hunter2", x}`))
	if err == nil || err.Error() != "byte 22: not a JSON text: a member's name should be here" {
		t.Errorf("got %v", err)
	}
}

func TestDepth(t *testing.T) {
	nest := func(open, end string, n int) []byte {
		return []byte(strings.Repeat(open, n) + "1" + strings.Repeat(end, n))
	}
	for _, f := range []*Filter{
		compile(t, []string{"a"}, nil), compile(t, []string{"a.a.a.b"}, nil), compile(t, nil, []string{"a"}), compile(t, nil, []string{"a.a.a.b"}),
	} {
		for _, kind := range [][2]string{{"[", "]"}, {`{"a":`, "}"}} {
			if _, err := f.Append(nil, nest(kind[0], kind[1], MaxDepth)); err != nil {
				t.Errorf("%s to the limit: %v", kind[0], err)
			}
			for _, n := range []int{MaxDepth + 1, 1 << 20} {
				got, err := f.Append([]byte("x"), nest(kind[0], kind[1], n))
				if !errors.Is(err, ErrTooDeep) || string(got) != "x" {
					t.Errorf("%s %d deep: got %d bytes, %v", kind[0], n, len(got), err)
				}
			}
		}
	}
}

func TestCompileErrors(t *testing.T) {
	for _, tt := range []struct{ path, want string }{
		{"", `path , column 1: the path is empty`},
		{"a..b", `path a..b, column 3: a name is missing`},
		{".a", `path .a, column 1: a name is missing`},
		{"a.", `path a., column 3: a name is missing`},
		{"a[0].b", `path a[0].b, column 2: [] stands for every element of an array; there are no indexes`},
		{"a[*]", `column 2: [] stands for`},
		{"a[", `column 2: [] stands for`},
		{"a]", `column 2: a name with a dot, a bracket`},
		{"a[]b", `column 4: a dot should be here`},
		{"[]a", `column 3: a dot should be here`},
		{"tags[]", `column 5: a path ends with the name of a member; leave out the last []`},
		{"[]", `column 1: a path ends with the name of a member`},
		{"*.a", `column 1: names are exact, there are no wildcards; every element of an array is NAME[], and a member of this name is "*"`},
		{"a.**.b", `column 3: names are exact`},
		{"$.a", `column 1: a path starts at the document itself`},
		{"/a/b", `column 1: names are separated by dots`},
		{"é.a b", `column 4: a name with a dot, a bracket, a quote, a backslash or white space is written as a JSON string`},
		{" a", `column 1: a name with`},
		{`a.b"c"`, `column 4: a name with`},
		{`a\.b`, `column 2: a name with`},
		{`"a`, `column 1: the quoted name has no closing quote`},
		{`"a\"`, `column 1: the quoted name has no closing quote`},
		{`x."\q"`, `column 3: the quoted name is not a JSON string`},
		{`"a"b`, `column 4: a dot should be here`},
		{"a\xff", `column 1: the path is not UTF-8`},
	} {
		for _, list := range []string{"remove", "keep"} {
			paths := []string{"fine", tt.path}
			f, err := Compile(paths, nil)
			if list == "keep" {
				f, err = Compile(nil, paths)
			}
			var fault *PathError
			if f != nil || !errors.As(err, &fault) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%q: got %v\nwant %s", tt.path, err, tt.want)
			} else if fault.Index != 1 || fault.List != list {
				t.Errorf("%q: fault at %s[%d], want %s[1]", tt.path, fault.List, fault.Index, list)
			}
		}
	}
	if _, err := Compile([]string{"a"}, []string{"b"}); err == nil {
		t.Error("remove together with keep is accepted")
	}
	if _, err := Compile([]string{"a..b", "$"}, nil); err == nil || strings.Count(err.Error(), "column") != 2 {
		t.Errorf("not every fault is told: %v", err)
	}
}

func TestAllocations(t *testing.T) {
	src := []byte(`{"a":{"b":1,"private\u005fmetadata":{"x":[1,2]}},"data":[{"id":1,"private_metadata":null,"long name ` + strings.Repeat("é", 500) + `":1}]}`)
	dst := make([]byte, 0, len(src))
	for _, f := range []*Filter{
		compile(t, []string{"a.private_metadata", "data.private_metadata"}, nil),
		compile(t, nil, []string{"a.b", "data.id"}),
	} {
		if n := testing.AllocsPerRun(100, func() {
			if _, err := f.Append(dst, src); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%v allocations, want 0", n)
		}
	}
}

func TestConcurrent(t *testing.T) {
	f := compile(t, []string{"a.b"}, nil)
	done := make(chan error)
	for range 8 {
		go func() {
			for range 200 {
				got, err := f.Append(nil, []byte(`[{"a":{"\u0062":1,"c":2}}]`))
				if err != nil || string(got) != `[{"a":{"c":2}}]` {
					done <- fmt.Errorf("got %s, %w", got, err)
					return
				}
			}
			done <- nil
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// users is a list of n users as Clerk's Backend API answers it.
func users(n int) []byte {
	user := `{"id":"user_%d","object":"user","username":"alice","first_name":"Alice","last_name":"Ångström","image_url":"https://img.example.com/eyJ0eXBlIjoiZGVmYXVsdCIsImlpZCI6Imluc18xIn0",` +
		`"primary_email_address_id":"idn_1","email_addresses":[{"id":"idn_1","object":"email_address","email_address":"alice@example.com","verification":{"status":"verified","strategy":"email_code","attempts":1,"expire_at":1790000000000},"linked_to":[]}],` +
		`"public_metadata":{"theme":"dark","tags":["a","b","c"]},"private_metadata":{"stripe_customer":"cus_1","risk_score":17.25,"notes":"said \"hello\"\nand left"},"unsafe_metadata":{},` +
		`"banned":false,"locked":false,"two_factor_enabled":true,"created_at":1768469400000,"updated_at":1768469400000}`
	var b bytes.Buffer
	b.WriteString(`{"data":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, user, i)
	}
	fmt.Fprintf(&b, `],"total_count":%d}`, n)
	return b.Bytes()
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []struct {
		name  string
		users int
	}{{"1KB", 1}, {"10KB", 10}, {"5MB", 5000}} {
		for _, mode := range []struct {
			name         string
			remove, keep []string
		}{
			{"remove", []string{"data[].private_metadata", "data[].email_addresses[].verification"}, nil},
			{"keep", nil, []string{"data[].id", "data[].first_name", "data[].email_addresses[].email_address", "total_count"}},
			{"validate", nil, nil},
		} {
			b.Run(mode.name+"/"+size.name, func(b *testing.B) {
				f := compile(b, mode.remove, mode.keep)
				src := users(size.users)
				dst := make([]byte, 0, len(src))
				b.SetBytes(int64(len(src)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := f.Append(dst, src); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// TestLinear filters documents that are big in each of the ways that could
// cost more than their size.
func TestLinear(t *testing.T) {
	many := func(unit, sep string) string {
		return strings.Join(slices.Repeat([]string{unit}, (4<<20)/len(unit)), sep)
	}
	f := compile(t, []string{"a", "b.c"}, nil)
	for name, doc := range map[string]string{
		"removed members": "{" + many(`"a":1`, ",") + "}",
		"escaped names":   "{" + many(`"\u0061\u0061":{"c":1}`, ",") + "}",
		"alternating":     "[" + many(`{"a":1,"b":{"c":2,"d":3}}`, ",") + "]",
		"one long name":   `{"\n` + many("x", "") + `":1}`,
		"deep, often":     "[" + many(strings.Repeat("[", 400)+strings.Repeat("]", 400), ",") + "]",
	} {
		got, err := f.Append(nil, []byte(doc))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if name == "removed members" && string(got) != "{}" {
			t.Errorf("%s: %d bytes are left", name, len(got))
		}
	}
}
