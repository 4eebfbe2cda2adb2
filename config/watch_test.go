package config

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// watching runs a watcher in a bubble whose clock jumps from one look to the
// next. change is made between two looks; told is whether Wait returns true
// within some intervals.
func TestWatcher(t *testing.T) {
	const content = "content"
	for name, c := range map[string]struct {
		change func(t *testing.T, path string)
		told   bool
	}{
		"nothing": {func(*testing.T, string) {}, false},
		"content": {func(t *testing.T, p string) { write(t, p, "other, longer") }, true},
		"content, same size and time": {func(t *testing.T, p string) {
			info, err := os.Stat(p)
			if err != nil {
				t.Fatal(err)
			}
			write(t, p, "CONTENT")
			if err := os.Chtimes(p, info.ModTime(), info.ModTime()); err != nil {
				t.Fatal(err)
			}
		}, true},
		"touched": {func(t *testing.T, p string) {
			later := time.Now().Add(time.Hour)
			if err := os.Chtimes(p, later, later); err != nil {
				t.Fatal(err)
			}
		}, false},
		"replaced, other content": {func(t *testing.T, p string) { write(t, p+".new", "CONTENT"); rename(t, p+".new", p) }, true},
		"replaced, same content":  {func(t *testing.T, p string) { write(t, p+".new", content); rename(t, p+".new", p) }, false},
		"vanished":                {func(t *testing.T, p string) { remove(t, p) }, true},
		"a folder instead":        {func(t *testing.T, p string) { remove(t, p); mkdir(t, p) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			write(t, path, content)
			old := time.Now().Add(-time.Hour)
			if name != "content, same size and time" { // that one is seen while the file is new
				if err := os.Chtimes(path, old, old); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Test(t, func(t *testing.T) {
				w := NewWatcher(time.Second, func() []string { return []string{path} })
				if told := within(w, 3*time.Second); told {
					t.Fatal("a change was told before there was one")
				}
				c.change(t, path)
				if told := within(w, 5*time.Second); told != c.told {
					t.Errorf("told: %v", told)
				}
				if told := within(w, 5*time.Second); told {
					t.Error("the change was told twice")
				}
			})
		})
	}
}

func within(w *Watcher, d time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return w.Wait(ctx)
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, name string) {
	t.Helper()
	if err := os.Mkdir(name, 0o750); err != nil {
		t.Fatal(err)
	}
}

// Kubernetes mounts a ConfigMap as links into a folder that ..data points to,
// and swaps ..data.
func TestWatcherSeesSwappedLinks(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	link := func(to, name string) {
		t.Helper()
		if err := os.Symlink(to, in(name)); err != nil {
			t.Fatal(err)
		}
	}
	mkdir(t, in("..1"))
	mkdir(t, in("..2"))
	write(t, in("..1/hopgate.yaml"), "one")
	write(t, in("..2/hopgate.yaml"), "two")
	same := time.Now().Add(-time.Hour)
	for _, name := range []string{"..1/hopgate.yaml", "..2/hopgate.yaml"} {
		if err := os.Chtimes(in(name), same, same); err != nil {
			t.Fatal(err)
		}
	}
	link("..1", "..data")
	link("..data/hopgate.yaml", "hopgate.yaml")
	synctest.Test(t, func(t *testing.T) {
		w := NewWatcher(time.Second, func() []string { return []string{in("hopgate.yaml")} })
		link("..2", "..data_tmp")
		rename(t, in("..data_tmp"), in("..data"))
		if !within(w, 5*time.Second) {
			t.Error("the swap was not seen")
		}
		// Back, by way of nothing.
		remove(t, in("..data"))
		if !within(w, 5*time.Second) {
			t.Error("the missing link was not seen")
		}
		link("..1", "..data")
		if !within(w, 5*time.Second) {
			t.Error("the file that appeared was not seen")
		}
	})
}

func TestWatcherTellsAChangeWhenItIsOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "0")
	synctest.Test(t, func(t *testing.T) {
		w := NewWatcher(time.Second, func() []string { return []string{path} })
		begin := time.Now()
		// Written at 0.5 s, 1.5 s, 2.5 s and 3.5 s.
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := range 4 {
				time.Sleep(time.Second / 2)
				write(t, path, string(rune('a'+i)))
				time.Sleep(time.Second / 2)
			}
		})
		if !within(w, time.Minute) {
			t.Fatal("nothing was told")
		}
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("told after %s", took)
		}
		wg.Wait()

		// A file that never rests is told of all the same.
		ctx, cancel := context.WithCancel(context.Background())
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				write(t, path, time.Duration(i).String())
				time.Sleep(time.Second / 2)
			}
		})
		if !within(w, time.Minute) {
			t.Error("nothing was told of a file that never rests")
		}
		cancel()
		wg.Wait()
	})
}

func TestWatcherFollowsTheList(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	write(t, a, "1")
	write(t, b, "1")
	synctest.Test(t, func(t *testing.T) {
		files := []string{a}
		w := NewWatcher(time.Second, func() []string { return files })
		write(t, b, "2")
		if within(w, 3*time.Second) {
			t.Error("a file that is not listed was told of")
		}
		files = []string{a, b}
		if within(w, 3*time.Second) {
			t.Error("a new name in the list was told of")
		}
		write(t, b, "3")
		if !within(w, 5*time.Second) {
			t.Error("a file that was listed later is not watched")
		}
		files = []string{b}
		remove(t, a)
		if within(w, 3*time.Second) {
			t.Error("a file that is no longer listed was told of")
		}
	})
}

func TestWatcherEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w := NewWatcher(0, func() []string { return nil })
	cancel()
	if w.Wait(ctx) {
		t.Error("a change was told")
	}
}

func TestLookReadsOnlyWhatMayHaveChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "content")
	old := time.Now().Add(-time.Hour)
	touch := func() {
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	touch()
	first := look(path, signature{})
	write(t, path, "CONTENT")
	touch()
	if !look(path, first).same(first) {
		t.Error("a file that was at rest for long is read again")
	}
	first.looked = old.Add(time.Second)
	if look(path, first).same(first) {
		t.Error("a file that was written just before the last look is not read again")
	}
}
