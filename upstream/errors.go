package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
)

// What [Pool.Do] and an answer's stream fail with, to be told apart by
// errors.Is. Their messages are for logs; they quote no byte of an answer,
// of a request or of a secret. Where the caller's context was cancelled the
// error is the context's.
var (
	// ErrUnavailable: no endpoint could be reached, or the connection broke.
	ErrUnavailable = errors.New("upstream unavailable")
	// ErrTimeout: connecting, the head, or the whole took too long.
	ErrTimeout = errors.New("upstream took too long")
	// ErrInvalid: the answer breaks HTTP's rules, or the request would have.
	ErrInvalid = errors.New("invalid HTTP message")
	// ErrTooLarge: the answer's body is larger than what may be held.
	ErrTooLarge = errors.New("upstream answer too large")
	// ErrOverloaded: all connections that the upstream may have are in use.
	ErrOverloaded = errors.New("upstream connections exhausted")
	// ErrRequestBody: the request's body could not be read to its end.
	ErrRequestBody = errors.New("request body could not be read")
)

// invalidError is a breach of HTTP's rules. Each is a constant, so that a
// hostile upstream cannot make hopgate allocate or log its bytes.
type invalidError string

func (e invalidError) Error() string { return "invalid HTTP message: " + string(e) }

// Is makes every breach an ErrInvalid.
func (e invalidError) Is(target error) bool { return target == ErrInvalid }

// errBroken is an answer that ends before its head or body is complete.
var errBroken = errors.New("connection closed before the answer was complete")

// broken gives the error of a connection that failed with err while it was
// read or written: the context's, ErrTimeout or ErrUnavailable.
func broken(ctx context.Context, err error) error {
	if c := ctx.Err(); c != nil {
		if errors.Is(c, context.DeadlineExceeded) {
			return fmt.Errorf("%w: %w", ErrTimeout, c)
		}
		return c
	}
	switch {
	case isTimeout(err):
		return fmt.Errorf("%w: %w", ErrTimeout, err)
	case errors.Is(err, ErrInvalid), errors.Is(err, ErrTooLarge), errors.Is(err, ErrRequestBody),
		errors.Is(err, ErrTimeout), errors.Is(err, ErrOverloaded):
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

func isTimeout(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}
