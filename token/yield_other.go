//go:build !unix

package token

import "runtime"

// yielder lets others go first.
type yielder struct{}

func newYielder() *yielder { return nil }

func (*yielder) yield() { runtime.Gosched() }
