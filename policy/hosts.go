package policy

import (
	"fmt"
	"strings"
)

// hosts chooses the trees for a host: that of its very name, that of *. and
// the name without its first label, and that of any host, in this order.
type hosts struct {
	exact    map[string]*tree
	wildcard map[string]*tree // by the name with its leading dot
	any      *tree
}

// tree gives the tree of a host pattern, made where it is not there yet.
func (h *hosts) tree(host string) *tree {
	m := &h.exact
	if rest, ok := strings.CutPrefix(host, "*"); ok {
		m, host = &h.wildcard, rest
	}
	if host == "" {
		if h.any == nil {
			h.any = &tree{}
		}
		return h.any
	}
	t := (*m)[host]
	if t == nil {
		t = &tree{}
		if *m == nil {
			*m = map[string]*tree{}
		}
		(*m)[host] = t
	}
	return t
}

// of gives the trees for a host, the most specific first; some may be nil.
func (h *hosts) of(host string) [3]*tree {
	trees := [3]*tree{h.exact[host], nil, h.any}
	if i := strings.IndexByte(host, '.'); i > 0 {
		trees[1] = h.wildcard[host[i:]]
	}
	return trees
}

// hostFault tells why no request has the host that a route is for, or "".
func hostFault(host string) string {
	name := strings.TrimPrefix(host, "*.")
	switch {
	case host == "" || host == "*":
		return "to match any host, leave hosts out"
	case strings.Contains(host, "://"):
		return "a host is written without scheme: api.example.com"
	case strings.HasPrefix(host, "["):
		if strings.HasSuffix(host, "]") && strings.ToLower(host) == host {
			return ""
		}
		return "an IPv6 address is written in brackets, in small letters, without port: [::1]"
	case strings.Contains(name, "*"):
		return "* stands for one whole label at the front: *.example.com"
	case strings.Contains(host, ":"):
		return "hosts are compared without their port: " + host[:strings.IndexByte(host, ':')]
	case strings.Contains(host, "/"):
		return "a host has no path; that belongs into match.path"
	case strings.ToLower(host) != host:
		return "hosts are compared in small letters: " + strings.ToLower(host)
	}
	for i := range len(name) {
		if c := name[i]; class[c]&unreserved == 0 || c == '~' {
			return fmt.Sprintf("%q is no character of a host name; names of other scripts are written as xn--...", firstRune(name[i:]))
		}
	}
	if strings.HasPrefix(name, ".") || strings.Contains(name, "..") {
		return "a label of the host name is empty"
	}
	return ""
}
