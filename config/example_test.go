package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write the generated files anew")

const exampleFile = "../config.example.yaml"

func exampleEnv(name string) (string, bool) {
	return "sk_test_exampleexample", name == "BACKEND_SECRET_KEY"
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestExampleLoads(t *testing.T) {
	cfg, errs := Parse(exampleFile, read(t, exampleFile), exampleEnv)
	if err := errs.Err(); err != nil {
		t.Fatal(err)
	}
	for _, w := range errs.Warnings() {
		t.Error(w)
	}
	if got := cfg.Upstreams["backend"].Secret.Value.Reveal(); got != "Bearer sk_test_exampleexample" {
		t.Errorf("the secret is %q", got)
	}
}

var commentedKey = regexp.MustCompile(`(?m)^( *)#((?:- )?[a-z_]+:)`)

// wholeExample is the example with the settings that it leaves out put in.
func wholeExample(t testing.TB) []byte {
	return commentedKey.ReplaceAll(read(t, exampleFile), []byte("$1$2"))
}

func TestExampleAndSchemaHaveTheSameKeys(t *testing.T) {
	var root yaml.Node
	if err := yaml.Unmarshal(wholeExample(t), &root); err != nil {
		t.Fatal(err)
	}
	example := make(map[string]*yaml.Node)
	lines := make(map[string]int)
	var walk func(n *yaml.Node, s object, path string)
	defs := definitions(t)
	free := 0
	walk = func(n *yaml.Node, s object, path string) {
		for {
			if ref, ok := s.get("$ref").(string); ok {
				s = defs.get(strings.TrimPrefix(ref, "#/$defs/")).(object)
			} else if any, ok := s.get("anyOf").([]any); ok && n.Kind == yaml.MappingNode {
				s = any[0].(object)
			} else if ok {
				s = any[1].(object)
			} else {
				break
			}
		}
		switch n.Kind {
		case yaml.SequenceNode:
			for _, c := range n.Content {
				if items, ok := s.get("items").(object); ok {
					walk(c, items, path)
				}
			}
		case yaml.MappingNode:
			properties, _ := s.get("properties").(object)
			for i := 0; i < len(n.Content); i += 2 {
				key, value := n.Content[i], n.Content[i+1]
				if properties == nil {
					free++
					walk(value, s.get("additionalProperties").(object), path+".*")
					continue
				}
				below, ok := properties.get(key.Value).(object)
				if !ok {
					t.Errorf("line %d: the example has %s.%s, which the schema does not know", key.Line, path, key.Value)
					continue
				}
				example[path+"."+key.Value], lines[path+"."+key.Value] = value, key.Line
				walk(value, below, path+"."+key.Value)
			}
		}
	}
	var all object
	decodeOrdered(t, Schema(), &all)
	walk(root.Content[0], all, "")
	if free == 0 {
		t.Fatal("the example has no names of its own")
	}

	want := schemaKeys(all, defs)
	for path := range want {
		// A route's own cors section has the keys of the default one.
		if example[path] == nil && !strings.HasPrefix(path, ".routes.cors.") {
			t.Errorf("the schema has %s, which the example does not show", path)
		}
	}
	text := strings.Split(string(read(t, exampleFile)), "\n")
	for path, n := range example {
		line := text[lines[path]-1]
		if !strings.Contains(line, " # ") && n.Kind == yaml.ScalarNode && !strings.HasPrefix(path, ".routes.cors.") {
			t.Errorf("line %d: %s has no comment", lines[path], path)
		}
		d, ok := want[path]
		if !ok || d == nil || strings.Contains(line, "(default: ") {
			continue
		}
		got := n.Value
		if n.Kind == yaml.SequenceNode {
			var words []string
			for _, c := range n.Content {
				words = append(words, c.Value)
			}
			got = fmt.Sprint(words)
		}
		if got != fmt.Sprint(d) {
			t.Errorf("line %d: %s is %s in the example, and the default is %v", lines[path], path, got, d)
		}
	}
}

// schemaKeys lists the keys of the schema with their defaults.
func schemaKeys(s, defs object) map[string]any {
	keys := make(map[string]any)
	var walk func(s object, path string)
	walk = func(s object, path string) {
		if ref, ok := s.get("$ref").(string); ok && ref != "#/$defs/file" {
			walk(defs.get(strings.TrimPrefix(ref, "#/$defs/")).(object), path)
		}
		if any, ok := s.get("anyOf").([]any); ok {
			for _, one := range any {
				walk(one.(object), path)
			}
		}
		if items, ok := s.get("items").(object); ok {
			walk(items, path)
		}
		if more, ok := s.get("additionalProperties").(object); ok {
			walk(more, path+".*")
		}
		properties, _ := s.get("properties").(object)
		for _, p := range properties {
			keys[path+"."+p.name] = p.value.(object).get("default")
			walk(p.value.(object), path+"."+p.name)
		}
	}
	walk(s, "")
	return keys
}

func (o object) get(name string) any {
	for _, m := range o {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

func definitions(t *testing.T) object {
	var all object
	decodeOrdered(t, Schema(), &all)
	return all.get("$defs").(object)
}

// decodeOrdered decodes JSON whose objects become object.
func decodeOrdered(t *testing.T, data []byte, into *object) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	next := func() json.Token {
		tok, err := dec.Token()
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	var value func(json.Token) any
	value = func(tok json.Token) any {
		switch tok {
		case json.Delim('{'):
			o := object{}
			for dec.More() {
				name := next().(string)
				o = append(o, member{name, value(next())})
			}
			next()
			return o
		case json.Delim('['):
			list := []any{}
			for dec.More() {
				list = append(list, value(next()))
			}
			next()
			return list
		}
		return tok
	}
	*into = value(next()).(object)
}

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource("config.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("config.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(t *testing.T, s *jsonschema.Schema, text []byte) error {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(doc)
}

func TestSchemaAcceptsTheExample(t *testing.T) {
	s := compileSchema(t)
	for name, text := range map[string][]byte{"example": read(t, exampleFile), "all of it": wholeExample(t), "demo": read(t, "../demo/hopgate.demo.yaml")} {
		if err := validate(t, s, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	cfg, _ := Parse(exampleFile, read(t, exampleFile), exampleEnv)
	if err := validate(t, s, cfg.Redacted()); err != nil {
		t.Errorf("the effective configuration: %v", err)
	}
}

// What the schema refuses, Parse refuses too, and what Parse accepts, the
// schema accepts: each case is one change of a good file.
func TestSchemaAndParserAgree(t *testing.T) {
	s := compileSchema(t)
	for change, good := range map[string]bool{
		"":                                                     true,
		"server: {listen: ':1'}":                               true,
		"server: {listn: ':1'}":                                false,
		"server: {listen: ''}":                                 false,
		"server: {listen: 8080}":                               false,
		"server: {max_connections: 5}":                         true,
		"server: {max_connections: 0}":                         false,
		"server: {max_connections: '5'}":                       false,
		"server: {max_connections: '${N}'}":                    true,
		"server: {max_connections: [5]}":                       false,
		"server: {max_body_bytes: 10}":                         true,
		"server: {max_body_bytes: 10MB}":                       false,
		"server: {max_body_bytes: 10MiB}":                      true,
		"server: {max_body_bytes: -1}":                         false,
		"server: {drain: 5}":                                   false,
		"server: {drain: 0}":                                   true,
		"server: {drain: 1m30s}":                               true,
		"server: {drain: 1d}":                                  false,
		"server: {drain: '${D:-5s}'}":                          true,
		"server: {trusted_proxies: [10.0.0.1]}":                true,
		"server: {trusted_proxies: 10.0.0.1}":                  false,
		"server: {trusted_proxies: [here]}":                    false,
		"server: {tls: {cert_file: a}}":                        false,
		"log: {level: debug}":                                  true,
		"log: {level: loud}":                                   false,
		"log: {level: '${L:-debug}'}":                          true,
		"cors: {origins: 'https://a.example'}":                 true,
		"cors: {origins: ['https://a.example']}":               true,
		"cors: {origins: []}":                                  false,
		"cors: {credentials: true}":                            false,
		"cors: {origins: '*', credentials: yes}":               false,
		"issuers: {a: {issuer: 'https://a'}}":                  true,
		"issuers: {a: {}}":                                     false,
		"issuers: []":                                          false,
		"rules: {a: true}":                                     true,
		"rules: {a: 1}":                                        false,
		"rules: {a: {file: '../config/testdata/rule.cel'}}":    true,
		"rules: {a: {fil: '../config/testdata/rule.cel'}}":     false,
		"log: {access: {file: '../config/testdata/rule.cel'}}": true,
		"upstreams: {}":                                        false,
		"routes: []":                                           false,
		"webhooks: {url: 'x'}":                                 false,
	} {
		file := map[string]any{
			"upstreams": map[string]any{"u": map[string]any{"endpoints": "http://127.0.0.1:1"}},
			"routes": []any{map[string]any{
				"id": "r", "match": map[string]any{"path": "/"}, "anonymous": true, "upstream": "u",
			}},
		}
		var changes map[string]any
		if err := yaml.Unmarshal([]byte(change), &changes); err != nil {
			t.Fatal(err)
		}
		for k, v := range changes {
			file[k] = v
		}
		text, err := yaml.Marshal(file)
		if err != nil {
			t.Fatal(err)
		}
		_, errs := Parse("f.yaml", text, func(name string) (string, bool) { return "5", name == "N" })
		if got := errs.Err(); (got == nil) != good && !strings.Contains(change, "file") {
			t.Errorf("%s: Parse says %v", change, got)
		}
		if got := validate(t, s, text); (got == nil) != good {
			t.Errorf("%s: the schema says %v", change, got)
		}
	}
}

func TestGeneratedFilesAreUpToDate(t *testing.T) {
	upToDate(t, "../config.schema.json", Schema())

	const docs = "../docs/configuration.md"
	const begin, end = "<!-- reference: generated, see `make generate` -->\n", "<!-- /reference -->"
	text := string(read(t, docs))
	head, rest, ok := strings.Cut(text, begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no %s … %s", docs, begin, end)
	}
	upToDate(t, docs, slices.Concat([]byte(head+begin+"\n"), Reference(), []byte(end+tail)))
}

func upToDate(t *testing.T, name string, want []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not up to date: run make generate (%v)", name, err)
	}
}
