package config

import (
	"context"
	"crypto/sha256"
	"io"
	"os"
	"time"
)

// Watcher tells when files change. It looks at them at intervals, which works
// on every file system and sees what notification misses: symbolic links that
// are swapped (as Kubernetes does with ConfigMaps and Secrets), files that
// are replaced, vanish or appear. One goroutine may use it at a time.
type Watcher struct {
	interval time.Duration
	files    func() []string
	seen     map[string]signature // as of the last change that was told
}

// signature is what a file looked like at some time.
type signature struct {
	info   os.FileInfo // nil: no such file
	hash   [sha256.Size]byte
	looked time.Time
}

// NewWatcher begins to watch the files that the function lists; it is asked
// each time they are looked at. An interval of 0 or less is a second.
func NewWatcher(interval time.Duration, files func() []string) *Watcher {
	if interval <= 0 {
		interval = time.Second
	}
	w := &Watcher{interval: interval, files: files, seen: make(map[string]signature)}
	w.seen = w.look(w.seen)
	return w
}

// mostUnsettled is how many intervals a change may go on before it is told
// all the same.
const mostUnsettled = 10

// Wait returns true once a file's content has changed, or a file appeared or
// vanished, since NewWatcher or since Wait last returned true. A change is
// told when it is over: when two looks in a row see the same. So a file that
// is still being written is not read half, as a rule. It returns false once
// ctx ends. A file that was listed since is watched from now on.
func (w *Watcher) Wait(ctx context.Context) bool {
	tick := time.NewTicker(w.interval)
	defer tick.Stop()
	last := w.seen
	for unsettled := 0; ; {
		next := w.look(last)
		changed := false
		for name, now := range next {
			if before, ok := w.seen[name]; ok && !before.same(now) {
				changed = true
			} else if !ok {
				w.seen[name] = now
			}
		}
		if changed {
			if settled(last, next) || unsettled == mostUnsettled {
				w.seen = next
				return true
			}
			unsettled++
		} else {
			unsettled = 0
		}
		last = next
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

// settled tells whether nothing changed between two looks.
func settled(a, b map[string]signature) bool {
	for name, now := range b {
		if before, ok := a[name]; !ok || !before.same(now) {
			return false
		}
	}
	return true
}

func (s signature) same(o signature) bool {
	return (s.info == nil) == (o.info == nil) && s.hash == o.hash
}

// look takes the signatures of all files.
func (w *Watcher) look(before map[string]signature) map[string]signature {
	names := w.files()
	next := make(map[string]signature, len(names))
	for _, name := range names {
		next[name] = look(name, before[name])
	}
	return next
}

// racy is how long after a write another one could leave the time of change
// as it is: the coarsest resolution of the file systems in use.
const racy = 2 * time.Second

// look takes a file's signature. It reads the file only where its content may
// have changed since the signature before.
func look(name string, before signature) signature {
	looked := time.Now()
	info, err := os.Stat(name) // follows symbolic links
	if err != nil {
		return signature{looked: looked}
	}
	if b := before.info; b != nil && os.SameFile(b, info) && b.Size() == info.Size() && b.ModTime().Equal(info.ModTime()) &&
		before.looked.Sub(info.ModTime()) > racy {
		return before
	}
	now := signature{info: info, looked: looked}
	if !info.Mode().IsRegular() {
		return now
	}
	f, err := os.Open(name)
	if err != nil {
		// It is there and cannot be read: that is a state of its own, which
		// differs from every content.
		now.hash = sha256.Sum256([]byte(err.Error()))
		return now
	}
	defer func() { _ = f.Close() }() // nothing was written
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		now.info = nil
		return now
	}
	h.Sum(now.hash[:0])
	return now
}
