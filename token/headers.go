package token

import (
	"slices"
	"sync/atomic"
)

// headers remembers the headers of tokens that were found valid: those of one
// issuer differ by little but their kid, so that few need to be read. It is
// safe for concurrent use.
type headers struct{ list atomic.Pointer[[]*header] }

// maxHeaders is more than the keys that issuers sign with at a time.
const maxHeaders = 16

// seen gives the headers that were added last.
func (h *headers) seen() []*header {
	if list := h.list.Load(); list != nil {
		return *list
	}
	return nil
}

// add remembers a header. What gets lost where two are added at once is added
// another time.
func (h *headers) add(one *header) {
	seen := h.seen()
	if slices.Contains(seen, one) {
		return
	}
	list := append([]*header{one}, seen[:min(len(seen), maxHeaders-1)]...)
	h.list.Store(&list)
}
