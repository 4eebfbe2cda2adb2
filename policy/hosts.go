package policy

import "strings"

// hosts chooses the trees for a host: that of its very name, that of *. and
// the name without its first label, and that of any host, in this order.
type hosts struct {
	exact    map[string]*tree
	wildcard map[string]*tree // by the name with its leading dot
	any      *tree
}

// tree gives the tree of a host pattern, made where it is not there yet.
func (h *hosts) tree(host string) *tree {
	host = strings.ToLower(host)
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
