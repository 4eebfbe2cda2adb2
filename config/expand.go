package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// expand substitutes ${NAME} and ${NAME:-default} in a scalar node; $${
// stands for ${ itself. What it puts in is remembered, so that no message
// shows it.
func (d *decoder) expand(n *node) (*scalar, bool) {
	s := &scalar{doc: d.doc, node: n, text: n.value}
	if !strings.Contains(n.value, "${") {
		return s, true
	}
	var out strings.Builder
	good := true
	raw := n.value
	mark := func(at int, copied bool) {
		s.segments = append(s.segments, segment{out: out.Len(), raw: at, copied: copied})
	}
	mark(0, true)
	for i := 0; i < len(raw); {
		switch {
		case strings.HasPrefix(raw[i:], "$${"):
			mark(i, false)
			out.WriteString("${")
			i += len("$${")
			mark(i, true)
		case strings.HasPrefix(raw[i:], "${"):
			name, fallback, hasFallback, size := reference(raw[i:])
			if size == 0 {
				d.errs.Addf(d.doc.text.within(n, i), "a ${ begins no reference; it should be ${NAME} or ${NAME:-default}, or $${ for the text ${ itself")
				return s, false
			}
			value, set := d.env(name)
			switch {
			case hasFallback && (!set || value == ""):
				value = fallback
			case !set:
				d.errs.Addf(d.doc.text.within(n, i), "the environment variable %s is not set; set it, or write ${%s:-default}", name, name)
				good = false
			default:
				d.errs.hide(value, "${"+name+"}")
			}
			s.names = append(s.names, "${"+name+"}")
			mark(i, false)
			out.WriteString(value)
			i += size
			mark(i, true)
		default:
			out.WriteByte(raw[i])
			i++
		}
	}
	s.text = out.String()
	if good && !utf8.ValidString(s.text) {
		d.errs.Addf(d.pos(n), "%s is not UTF-8 text", s.show())
		good = false
	}
	return s, good
}

// reference reads the ${NAME} or ${NAME:-default} that s begins with; size
// is 0 where it is malformed.
func reference(s string) (name, fallback string, hasFallback bool, size int) {
	end := strings.IndexByte(s, '}')
	if end < 0 {
		return "", "", false, 0
	}
	name, fallback, hasFallback = strings.Cut(s[len("${"):end], ":-")
	if !isVariable(name) {
		return "", "", false, 0
	}
	return name, fallback, hasFallback, end + 1
}

func isVariable(name string) bool {
	for i, c := range []byte(name) {
		if c != '_' && (c|0x20 < 'a' || c|0x20 > 'z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// fileReference gives the path node of {file: path}, or nil.
func fileReference(n *node) *node {
	if n.kind != mappingNode || len(n.keys) != 1 || n.keys[0].value != "file" || n.values[0].kind != scalarNode {
		return nil
	}
	return n.values[0]
}

// fromFile gives the text of the file that {file: path} names, without its
// last line break.
func (d *decoder) fromFile(path *node) (*scalar, bool) {
	p, ok := d.expand(path)
	if !ok {
		return p, false
	}
	if path.tag == tagNull || p.text == "" {
		d.errs.Addf(d.pos(path), "file is empty; it should be the path of a file with the value")
		return p, false
	}
	name := d.resolve(p.text)
	d.doc.addFile(name)
	shown := p.text
	if p.outside() {
		shown = strings.Join(p.names, "")
	}
	data, err := readFile(name)
	if err != nil {
		d.errs.Addf(d.pos(path), "the file %s cannot be read: %v", quote(shown), err)
		return p, false
	}
	data = strings.TrimSuffix(strings.TrimSuffix(data, "\n"), "\r")
	if !utf8.ValidString(data) {
		d.errs.Addf(d.pos(path), "the file %s is not UTF-8 text", quote(shown))
		return p, false
	}
	label := "{file: " + shown + "}"
	d.errs.hide(data, label)
	return &scalar{text: data, in: newText(name, data), names: []string{label}}, true
}

// resolve makes a path of the configuration relative to its folder.
func (d *decoder) resolve(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(d.doc.text.name), path)
}

// readFile reads a regular file of bounded size: a pipe or a device would
// make loading hang. Its errors do not repeat the path.
func readFile(name string) (string, error) {
	info, err := os.Stat(name)
	if err != nil {
		return "", pathless(err)
	}
	if !info.Mode().IsRegular() {
		return "", errors.New("it is not a regular file")
	}
	f, err := os.Open(name)
	if err != nil {
		return "", pathless(err)
	}
	defer func() { _ = f.Close() }() // nothing was written
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return "", pathless(err)
	}
	if len(data) > maxFileBytes {
		return "", fmt.Errorf("it has more than %d bytes", maxFileBytes)
	}
	return string(data), nil
}

func pathless(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
