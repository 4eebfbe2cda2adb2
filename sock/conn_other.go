//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package sock

import "net"

// Conn is a TCP connection.
type Conn struct{ *net.TCPConn }

// New gives c back: on this system it reads and writes in its own way.
func New(c net.Conn) net.Conn { return c }
