package admin

import (
	"fmt"
	"net"
	"os"
	"strings"
)

// Listen opens the address of admin.listen: host:port, or unix:/path. A
// socket that a killed process left is replaced; one that somebody answers
// on is not. Only the owner and the group may connect to a socket.
func Listen(address string) (net.Listener, error) {
	path, unix := strings.CutPrefix(address, "unix:")
	if !unix {
		ln, err := net.Listen("tcp", address)
		if err != nil {
			return nil, fmt.Errorf("can't open the admin listener: %w", err)
		}
		return ln, nil
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSocket != 0 {
		if conn, err := net.Dial("unix", path); err == nil {
			conn.Close() //nolint:errcheck // only asked whether somebody is there
			return nil, fmt.Errorf("can't open the admin listener: somebody answers on %s already", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("can't replace the old admin socket: %w", err)
		}
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("can't open the admin listener: %w", err)
	}
	if err := os.Chmod(path, 0o660); err != nil { //nolint:gosec // the group is meant to
		ln.Close() //nolint:errcheck // the other error is the one to tell
		return nil, fmt.Errorf("can't protect the admin socket: %w", err)
	}
	return ln, nil
}
