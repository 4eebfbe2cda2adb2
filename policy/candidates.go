package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Candidate is a route that a request did not take.
type Candidate struct {
	Route *Route
	Why   string // it lost
}

// maxCandidates bounds a list of candidates.
const maxCandidates = 20

// Candidates lists routes that a request nearly took, and why each lost:
// those that lost to a more specific one first, then those of another method
// or host, then those whose template differs in one segment. It is meant for
// explanations and is not fast.
func (p *Policy) Candidates(method, host, path string) []Candidate {
	var m Match
	p.Match(&m, method, host, path)
	var groups [4][]Candidate
	for _, r := range p.routes {
		if r == m.Route {
			continue
		}
		if group, why := r.lost(m.Route, method, host, path); why != "" {
			groups[group] = append(groups[group], Candidate{r, why})
		}
	}
	list := slices.Concat(groups[:]...)
	return list[:min(len(list), maxCandidates)]
}

// lost tells why a route was not taken, and how near it was: 0 is nearest.
func (r *Route) lost(to *Route, method, host, path string) (group int, why string) {
	wrong, n := r.pattern.differ(path)
	switch {
	case n > 1:
		return 0, ""
	case n == 1:
		return 3, wrong
	case !r.hasHost(host):
		return 2, fmt.Sprintf("it is for %s, not for host %q", strings.Join(r.Config.Match.Hosts, ", "), host)
	case !r.hasMethod(method):
		return 1, fmt.Sprintf("it is for %s, not for %q", strings.Join(r.Config.Match.Methods, ", "), method)
	case to != nil:
		return 0, "it is less specific than " + to.ID
	}
	return 0, "a segment of the path is another spelling of a literal one of a route"
}

func (r *Route) hasMethod(method string) bool {
	m := r.Config.Match.Methods
	return slices.Contains(m, method) || method == "HEAD" && slices.Contains(m, "GET")
}

func (r *Route) hasHost(host string) bool {
	for _, h := range r.Config.Match.Hosts {
		i := strings.IndexByte(host, '.')
		if h == host || i > 0 && h == "*"+host[i:] {
			return true
		}
	}
	return len(r.Config.Match.Hosts) == 0
}

// differ counts the segments of a path that do not fit, and says what is
// wrong with the last of them.
func (p *pattern) differ(path string) (wrong string, n int) {
	if path == "" || path[0] != '/' || len(p.segments) == 0 {
		return "", 2
	}
	parts := strings.Split(path[1:], "/")
	for i, s := range p.segments {
		if i == len(parts) {
			return "the path is shorter than its template", n + 1
		}
		switch {
		case s.kind == rest:
			if strings.Join(parts[i:], "/") == "" {
				return fmt.Sprintf("nothing is left for {%s...}", s.text), n + 1
			}
			return wrong, n
		case s.kind == single && parts[i] == "":
			wrong, n = fmt.Sprintf("nothing is there for {%s}", s.text), n+1
		case s.kind == literal && parts[i] != s.text:
			wrong, n = fmt.Sprintf("its segment %d is %q, not %q", i+1, s.text, parts[i]), n+1
		}
	}
	if len(parts) > len(p.segments) {
		return "the path is longer than its template", n + 1
	}
	return wrong, n
}
