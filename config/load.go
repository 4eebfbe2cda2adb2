package config

import (
	"os"
	"reflect"
	"strings"
)

// Load reads and parses a configuration file, with ${NAME} taken from the
// process's environment. The error is one of reading the file; what is wrong
// with its content is in Errors. See [Parse].
func Load(path string) (*Config, *Errors, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, &Errors{}, &os.PathError{Op: "read", Path: path, Err: err}
	}
	cfg, errs := Parse(path, []byte(data), os.LookupEnv)
	return cfg, errs, nil
}

// Parse reads a configuration. name is the file's name for messages; relative
// paths in the configuration are relative to its folder, and {file: path} is
// read from there. env gives the value of a variable and whether it is set.
//
// All faults and warnings are in Errors. A configuration with faults must not
// be served; it is given so that further packages can find theirs too. It is
// nil only where there is no mapping to work on.
func Parse(name string, data []byte, env func(string) (string, bool)) (*Config, *Errors) {
	errs := &Errors{}
	doc := &document{
		text:    newText(name, strings.TrimPrefix(string(data), "\ufeff")),
		files:   []string{name},
		written: make(map[string]written),
	}
	t := readTree(doc.text, errs)
	if t == nil {
		return nil, errs
	}
	doc.tree.Store(t)
	root := t.root
	d := &decoder{doc: doc, errs: errs, env: env}
	cfg := &Config{}
	d.section(root, reflect.ValueOf(cfg).Elem(), place{})
	cfg.complete()
	check(cfg, d)
	errs.parsed(d.meaningless)
	return cfg, errs
}

// Forget lets go of the memory by which positions in the file are found,
// once the configuration is compiled and no more faults are looked for.
// Positions are there as before, but the file's text is read anew for the
// first. It is safe for concurrent use.
func (c *Config) Forget() {
	if c.Source.doc != nil {
		c.Source.doc.tree.Store(nil)
	}
}

// complete fills in the defaults that depend on other sections.
func (c *Config) complete() {
	for i := range c.Routes {
		r := &c.Routes[i]
		if r.Issuer == nil && !r.Anonymous && len(c.Issuers) == 1 {
			for name := range c.Issuers {
				r.Issuer = []string{name}
			}
		}
		if r.Cache != nil && r.Cache.Scope.String() == "" {
			r.Cache.Scope.Word = "user"
			if r.Anonymous {
				r.Cache.Scope.Word = "public"
			}
		}
	}
}
