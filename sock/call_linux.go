//go:build linux && (amd64 || arm64) && !race && !msan && !asan

package sock

import (
	"syscall"
	"unsafe"
)

// The calls by which connections look, send and receive. None of them can
// wait, whatever the socket's mode, so that the scheduler need not be told of
// them: that would cost a tenth of a microsecond each time. They go past the
// file layer of the kernel, which read and write go through.
//
// Under the sanitizers, which must know what is read and written, the system
// library makes the calls; see call_unix.go.

// largeSend is what is sent in so long a time that the scheduler must know:
// on the loopback interface the receiver's work is done in the sender's call.
const largeSend = 16 << 10

// Peek tells how many bytes, one at most, could be received.
func Peek(fd uintptr) (int, syscall.Errno) {
	var one [1]byte
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&one)), 1, syscall.MSG_PEEK|syscall.MSG_DONTWAIT, 0, 0) //nolint:gosec // the pointer is one for this call alone
		if errno != syscall.EINTR {
			return int(n), errno
		}
	}
}

// Send sends what fits of b. n is meaningful without an error only.
func Send(fd uintptr, b []byte) (n int, errno syscall.Errno) {
	const flags = syscall.MSG_DONTWAIT | syscall.MSG_NOSIGNAL
	for {
		var sent uintptr
		if len(b) < largeSend {
			sent, _, errno = syscall.RawSyscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), flags, 0, 0) //nolint:gosec // the same
		} else {
			sent, _, errno = syscall.Syscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), flags, 0, 0) //nolint:gosec // the same
		}
		if errno != syscall.EINTR {
			return int(sent), errno
		}
	}
}

// Receive receives what there is. 0 without an error is the end.
func Receive(fd uintptr, b []byte) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), syscall.MSG_DONTWAIT, 0, 0) //nolint:gosec // the same
		if errno != syscall.EINTR {
			return int(n), errno
		}
	}
}
