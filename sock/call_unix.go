//go:build (linux && ((!amd64 && !arm64) || race || msan || asan)) || darwin || freebsd || netbsd || openbsd || dragonfly

package sock

import "syscall"

// The calls by which connections look, send and receive, through the
// system library.

// Peek tells how many bytes, one at most, could be received.
func Peek(fd uintptr) (int, syscall.Errno) {
	var one [1]byte
	for {
		n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		if errno := errnoOf(err); errno != syscall.EINTR {
			return n, errno
		}
	}
}

// Send sends what fits of b. n is meaningful without an error only.
func Send(fd uintptr, b []byte) (int, syscall.Errno) {
	for {
		n, err := syscall.Write(int(fd), b)
		if errno := errnoOf(err); errno != syscall.EINTR {
			return n, errno
		}
	}
}

// Receive receives what there is. 0 without an error is the end.
func Receive(fd uintptr, b []byte) (int, syscall.Errno) {
	for {
		n, err := syscall.Read(int(fd), b)
		if errno := errnoOf(err); errno != syscall.EINTR {
			return n, errno
		}
	}
}

// errnoOf gives the number of a system call's error, which is one.
func errnoOf(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	if errno, ok := err.(syscall.Errno); ok { //nolint:errorlint // the calls give it bare
		return errno
	}
	return syscall.EIO
}
