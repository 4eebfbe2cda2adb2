package config

import (
	"math"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// valueType says how values of one Go type are read from a scalar and
// written. A new type needs an entry here and nothing else.
type valueType struct {
	looks  string // "it should be …"
	hidden bool   // never shown

	// fits tells whether the scalar is of a YAML type that is accepted, and
	// fix what it should be where it is not.
	fits func(s *scalar) bool
	fix  func(s *scalar) string
	// parse sets v. It returns what would be right where the text is not.
	parse func(s *scalar, v reflect.Value) (problem string)
	// node reads a value that is not a scalar; nil where there is no such.
	node func(d *decoder, n *node, v reflect.Value, p place) bool

	// format gives the value as a node of the effective configuration: a
	// string, or a list of them. plain values are written without quotes.
	format func(v reflect.Value) any
	plain  bool
	// schema is the JSON Schema of the value as it is written.
	schema map[string]any
}

var valueTypes map[reflect.Type]*valueType

// referencePattern admits a reference where a value has a form of its own.
const referencePattern = `\$\{`

func init() {
	anything := func(*scalar) bool { return true }
	str := &valueType{
		looks: "text",
		fits:  isText,
		fix:   quoteIt,
		parse: func(s *scalar, v reflect.Value) string {
			v.SetString(s.text)
			return ""
		},
		format: func(v reflect.Value) any { return v.String() },
		schema: map[string]any{"type": "string"},
	}
	valueTypes = map[reflect.Type]*valueType{
		reflect.TypeFor[string](): str,
		reflect.TypeFor[bool](): {
			looks: "true or false",
			fits:  isBare,
			fix:   func(*scalar) string { return "true or false, without quotes" },
			parse: func(s *scalar, v reflect.Value) string {
				if s.text != "true" && s.text != "false" {
					return "it should be true or false"
				}
				v.SetBool(s.text == "true")
				return ""
			},
			format: func(v reflect.Value) any { return strconv.FormatBool(v.Bool()) },
			plain:  true,
			schema: map[string]any{"type": "boolean"},
		},
		reflect.TypeFor[int](): {
			looks: "a whole number",
			fits:  isBare,
			fix:   func(*scalar) string { return "a whole number, without quotes" },
			parse: func(s *scalar, v reflect.Value) string {
				n, problem := decimal(s.text)
				if problem == "" && n > math.MaxInt32 {
					problem = "it should be at most 2147483647"
				}
				v.SetInt(n)
				return problem
			},
			format: func(v reflect.Value) any { return strconv.FormatInt(v.Int(), 10) },
			plain:  true,
			schema: map[string]any{"type": "integer", "minimum": 0},
		},
		reflect.TypeFor[float64](): {
			looks: "a number",
			fits:  isBare,
			fix:   func(*scalar) string { return "a number, without quotes" },
			parse: func(s *scalar, v reflect.Value) string {
				if !isFraction(s.text) {
					return "it should be a number such as 0.1"
				}
				f, err := strconv.ParseFloat(s.text, 64)
				if err != nil {
					return "it should be a number such as 0.1"
				}
				v.SetFloat(f)
				return ""
			},
			format: func(v reflect.Value) any { return strconv.FormatFloat(v.Float(), 'g', -1, 64) },
			plain:  true,
			schema: map[string]any{"type": "number", "minimum": 0},
		},
		reflect.TypeFor[time.Duration](): {
			looks: "a duration such as 500ms, 5s or 10m",
			fits:  anything,
			parse: parseDuration,
			format: func(v reflect.Value) any {
				return duration(time.Duration(v.Int()))
			},
			plain: true,
			schema: map[string]any{
				"type": []any{"string", "integer"}, "maximum": 0,
				"pattern": `^(0|([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$|` + referencePattern,
			},
		},
		reflect.TypeFor[TTL](): {
			looks: "a duration such as 5s or 10m, or origin",
			fits:  anything,
			parse: func(s *scalar, v reflect.Value) string {
				if s.text == "origin" {
					v.Set(reflect.ValueOf(TTL{Origin: true}))
					return ""
				}
				var ttl TTL
				problem := parseDuration(s, reflect.ValueOf(&ttl.For).Elem())
				if problem == "" && ttl.For < time.Millisecond {
					problem = "it should be at least 1ms"
				}
				v.Set(reflect.ValueOf(ttl))
				return problem
			},
			format: func(v reflect.Value) any { return v.Interface().(TTL).String() },
			plain:  true,
			schema: map[string]any{
				"type":    []any{"string", "integer"},
				"maximum": 0,
				"pattern": `^(origin|([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$|` + referencePattern,
			},
		},
		reflect.TypeFor[Size](): {
			looks:  "a size such as 512, 64KiB or 1MiB",
			fits:   anything,
			parse:  parseSize,
			format: func(v reflect.Value) any { return Size(v.Int()).String() },
			plain:  true,
			schema: map[string]any{
				"type": []any{"string", "integer"}, "minimum": 0,
				"pattern": `^(0|[1-9][0-9]*)(B|KiB|MiB|GiB|TiB)?$|` + referencePattern,
			},
		},
		reflect.TypeFor[Rate](): {
			looks:  "a rate such as 20/s, 100/m or 1000/h",
			fits:   anything,
			parse:  parseRate,
			format: func(v reflect.Value) any { return v.Interface().(Rate).String() },
			plain:  true,
			schema: map[string]any{"type": "string", "pattern": `^[1-9][0-9]*/[smh]$|` + referencePattern},
		},
		reflect.TypeFor[netip.Prefix](): {
			looks:  "an address range such as 10.0.0.0/8, or one address",
			fits:   anything,
			parse:  parsePrefix,
			format: func(v reflect.Value) any { return v.Interface().(netip.Prefix).String() },
			schema: map[string]any{"type": "string", "pattern": `^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$|` + referencePattern},
		},
		reflect.TypeFor[Secret](): {
			looks:  "text, best from the environment (${NAME}) or a file ({file: path})",
			hidden: true,
			fits:   isText,
			fix:    func(*scalar) string { return "text: put it in quotes" },
			parse: func(s *scalar, v reflect.Value) string {
				v.Set(reflect.ValueOf(Secret{s.text}))
				return ""
			},
			format: func(v reflect.Value) any { return v.Interface().(Secret).String() },
			schema: map[string]any{"type": "string"},
		},
		reflect.TypeFor[Expr](): {
			looks: "a CEL expression",
			fits:  func(s *scalar) bool { return isText(s) || s.node.tag == tagBool },
			fix:   func(*scalar) string { return "a CEL expression that is true or false" },
			parse: func(s *scalar, v reflect.Value) string {
				if strings.TrimSpace(s.text) == "" {
					return "it should be a CEL expression"
				}
				v.Set(reflect.ValueOf(Expr{s.text, s.origin()}))
				return ""
			},
			format: func(v reflect.Value) any { return v.Interface().(Expr).Text },
			schema: map[string]any{"type": []any{"string", "boolean"}},
		},
		reflect.TypeFor[Template](): {
			looks: `text with {expression} parts; in quotes where it begins with {`,
			fits:  anything,
			parse: func(s *scalar, v reflect.Value) string {
				v.Set(reflect.ValueOf(Template{s.text, s.origin()}))
				return ""
			},
			format: func(v reflect.Value) any { return v.Interface().(Template).Text },
			schema: map[string]any{"type": []any{"string", "number", "boolean"}},
		},
		reflect.TypeFor[Scope](): {
			looks:  scopeLooks,
			fits:   isText,
			fix:    func(*scalar) string { return scopeLooks },
			parse:  parseScope,
			node:   decodeScope,
			format: formatScope,
			schema: map[string]any{"anyOf": []any{
				map[string]any{"enum": []any{"public", "user", "org", "session"}},
				map[string]any{"type": "string", "pattern": `^claims\.[^ ]+$|` + referencePattern},
				map[string]any{"type": "array", "minItems": 1, "items": map[string]any{
					"type": "string", "pattern": `^claims\.[^ ]+$|` + referencePattern,
				}},
			}},
		},
	}
}

// isText tells whether a scalar is text: in quotes, from outside, or not
// looking like a number, true, false or a null.
func isText(s *scalar) bool {
	if s.outside() || s.node == nil || s.node.quoted() {
		return true
	}
	return s.node.tag == tagString || s.node.tag == tagTime || s.node.tag == tagMerge
}

// isBare tells whether a scalar may be a number or true or false: without
// quotes, or with what is in quotes coming from outside.
func isBare(s *scalar) bool { return s.outside() || s.node == nil || !s.node.quoted() }

func quoteIt(s *scalar) string {
	return "text: put it in quotes, " + quote(s.text)
}

// isDecimal tells whether a text is a number in decimal digits without a zero
// in front.
func isDecimal(s string) bool { return isDigits(s) && (s == "0" || s[0] != '0') }

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// isFraction tells whether a text is a number with or without decimals.
func isFraction(s string) bool {
	whole, decimals, ok := strings.Cut(s, ".")
	return isDecimal(whole) && (!ok || isDigits(decimals))
}

// decimal reads a number that is not negative.
func decimal(s string) (int64, string) {
	if !isDecimal(s) {
		if trimmed := strings.TrimLeft(s, "0"); trimmed != s && isDecimal(trimmed) {
			return 0, "a zero in front makes it octal for some readers: write it without"
		}
		return 0, "it should be a whole number in decimal digits, not negative"
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, "it is too large"
	}
	return n, ""
}

func parseDuration(s *scalar, v reflect.Value) string {
	text := s.text
	if text == "0" {
		v.SetInt(0)
		return ""
	}
	if isDecimal(text) {
		return "it should have a unit: ms, s, m or h"
	}
	if number := strings.TrimSuffix(text, "d"); number != text && isDecimal(number) {
		days, err := strconv.Atoi(number)
		if err == nil && days < 10_000 && !s.outside() {
			return "there is no unit for days, whose length varies: write " + strconv.Itoa(24*days) + "h"
		}
		return "there is no unit for days, whose length varies: write hours, such as 24h"
	}
	d, err := time.ParseDuration(text)
	if err != nil || strings.ContainsAny(text, "+-") {
		return "it should be a duration such as 500ms, 5s, 10m or 1h30m"
	}
	v.SetInt(int64(d))
	return ""
}

func parseSize(s *scalar, v reflect.Value) string {
	number := strings.TrimRight(s.text, letters)
	name := s.text[len(number):]
	if !isDigits(number) {
		return "it should be a size such as 512, 64KiB or 1MiB"
	}
	n, problem := decimal(number)
	if problem != "" {
		return problem
	}
	unit := int64(1)
	if name != "" && name != "B" {
		unit = 0
		for _, u := range sizeUnits {
			if u.name == name {
				unit = u.bytes
			}
		}
	}
	switch {
	case unit == 0:
		return "it should be in B, KiB, MiB, GiB or TiB, which are powers of 1024"
	case n > math.MaxInt64/unit:
		return "it is too large"
	}
	v.SetInt(n * unit)
	return ""
}

func parseRate(s *scalar, v reflect.Value) string {
	const right = "it should be a number of requests per second, minute or hour, such as 20/s, 100/m or 1000/h"
	number, unit, ok := strings.Cut(s.text, "/")
	n, problem := decimal(number)
	if !ok || problem != "" || n < 1 || n > math.MaxInt32 {
		return right
	}
	for _, u := range rateUnits {
		if u.name == unit {
			v.Set(reflect.ValueOf(Rate{int(n), u.per}))
			return ""
		}
	}
	return right
}

func parsePrefix(s *scalar, v reflect.Value) string {
	p, err := netip.ParsePrefix(s.text)
	if err != nil {
		a, err := netip.ParseAddr(s.text)
		if err != nil || a.Zone() != "" {
			return "it should be an address range such as 10.0.0.0/8 or fd00::/8, or one address"
		}
		a = a.Unmap()
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if p != p.Masked() {
		if s.outside() {
			return "it has bits set beyond its length; it should begin at the range's first address"
		}
		return "it has bits set beyond its length: write " + p.Masked().String() + ", or the address alone"
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return "it should be written as an IPv4 range"
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	v.Set(reflect.ValueOf(p))
	return ""
}

const scopeLooks = "public, user, org, session, or a list of claims such as [claims.tenant]"

func parseScope(s *scalar, v reflect.Value) string {
	switch s.text {
	case "public", "user", "org", "session":
		v.Set(reflect.ValueOf(Scope{Word: s.text}))
		return ""
	}
	claim, ok := claimPath(s.text)
	if !ok {
		return "it should be " + scopeLooks
	}
	v.Set(reflect.ValueOf(Scope{Claims: []string{claim}}))
	return ""
}

// claimPath takes claims. off a claim's path.
func claimPath(s string) (string, bool) {
	path, ok := strings.CutPrefix(s, "claims.")
	if !ok || strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return "", false
	}
	for part := range strings.SplitSeq(path, ".") {
		if part == "" {
			return "", false
		}
	}
	return path, true
}

func decodeScope(d *decoder, n *node, v reflect.Value, p place) bool {
	if n.kind != sequenceNode || len(n.values) == 0 {
		d.wrongType(n, v.Type(), p)
		return false
	}
	var names []string
	if !d.list(n, reflect.ValueOf(&names).Elem(), p) {
		return false
	}
	var scope Scope
	for i, name := range names {
		claim, ok := claimPath(name)
		if !ok {
			d.errs.Addf(d.pos(n.values[i]), "%s is %s; it should be a claim's path such as claims.tenant", p.item(i).label, d.show(name, n.values[i]))
			return false
		}
		scope.Claims = append(scope.Claims, claim)
	}
	v.Set(reflect.ValueOf(scope))
	return true
}

func formatScope(v reflect.Value) any {
	s := v.Interface().(Scope)
	if len(s.Claims) == 0 {
		return s.Word
	}
	list := make([]string, len(s.Claims))
	for i, c := range s.Claims {
		list[i] = "claims." + c
	}
	return list
}
