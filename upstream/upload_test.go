package upstream

import (
	"testing"
	"time"
)

// lingering is a body whose Close takes until it is let go.
type lingering struct{ entered, release chan struct{} }

func (l lingering) Read([]byte) (int, error) { return 0, nil }
func (l lingering) Close() error {
	close(l.entered)
	<-l.release
	return nil
}

// TestSettleWaitsForClose: net/http closes a body in a goroutine of its own,
// and the request may be gone as soon as the body is settled.
func TestSettleWaitsForClose(t *testing.T) {
	from := lingering{make(chan struct{}), make(chan struct{})}
	u := newUpload(&Request{Stream: from, Length: 5}, nil)
	go func() { _ = u.Close() }()
	<-from.entered
	settled := make(chan error, 1)
	go func() { settled <- u.settle() }()
	select {
	case <-settled:
		t.Error("the body is settled while it is being closed")
	case <-time.After(50 * time.Millisecond): // that nothing happens takes time to see
	}
	close(from.release)
	if err := <-settled; err != nil {
		t.Error(err)
	}
}
