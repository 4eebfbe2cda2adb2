//go:build !unix || solaris

package proxy

import (
	"errors"
	"syscall"
)

// shared cannot be had on this system.
func shared(string, string, syscall.RawConn) error {
	return errors.New("reuse_port is not supported on this system")
}
