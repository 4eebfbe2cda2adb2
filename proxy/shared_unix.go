//go:build unix && !solaris

package proxy

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// shared lets other sockets listen on the same address.
func shared(_, _ string, c syscall.RawConn) error {
	var set error
	err := c.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
	return errors.Join(err, set)
}
