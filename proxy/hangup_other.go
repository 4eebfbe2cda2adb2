//go:build !linux

package proxy

import "errors"

// canPark tells whether connections can be waited for without a buffer.
const canPark = false

func (c *conn) awaitBytes() error { return errors.ErrUnsupported }

// hungUp cannot be told on this system: a client that leaves is noticed when
// the answer is written.
func (c *conn) hungUp() bool { return false }
