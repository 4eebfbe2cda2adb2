//go:build !unix

package cli

import (
	"context"
	"errors"
	"net"
	"syscall"

	"hopgate/proxy"
)

// upgradeSignal never comes: processes cannot hand sockets over here.
const upgradeSignal = syscall.Signal(-1)

type socket struct {
	Name, Address string
	listener      net.Listener
}

type heritage struct{}

func inherit() (*heritage, error) { return &heritage{}, nil }

func (*heritage) listen(_, address string, reusePort bool) (net.Listener, error) {
	return proxy.Listen(address, reusePort)
}

func (*heritage) rest() {}

func (*heritage) await(context.Context, func() (bool, []string)) error { return nil }

func (*heritage) serving() {}

func successor(context.Context, []socket) (int, error) { return 0, errors.ErrUnsupported }

func handedOver([]socket) {}

func notify(string) {}
