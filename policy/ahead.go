package policy

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// fewTexts is how many expressions are parsed one after the other.
const fewTexts = 64

// ahead parses the rules of a long configuration on all processors: parsing
// and type-checking an expression takes a tenth of a millisecond, most of the
// time of a compilation where the routes have rules of their own. What is
// reported does not depend on it.
func (c *compiler) ahead() {
	seen := make(map[string]bool)
	var texts []string
	see := func(text string) {
		if !seen[text] {
			seen[text] = true
			texts = append(texts, text)
		}
	}
	for i := range c.cfg.Routes {
		for _, e := range c.cfg.Routes[i].Deny {
			see(e.Text)
		}
		for _, e := range c.cfg.Routes[i].Allow {
			see(e.Text)
		}
	}
	if len(texts) < fewTexts {
		return
	}
	parsed := make([]*expression, len(texts))
	var next atomic.Int64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(texts)); i = next.Add(1) - 1 {
				parsed[i] = parse(texts[i])
			}
		})
	}
	workers.Wait()
	for i, text := range texts {
		c.texts[text] = parsed[i]
	}
}
