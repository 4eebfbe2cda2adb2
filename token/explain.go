package token

import (
	"context"
	"fmt"
	"net/netip"
)

// Check is one step of a verification, for `hopgate explain`. Detail never
// holds a token or a secret.
type Check struct {
	Name   string
	OK     bool
	Detail string
}

// steps records checks as they are made. The nil *steps records nothing.
type steps struct{ list []Check }

func (s *steps) pass(name, detail string) {
	if s != nil {
		s.list = append(s.list, Check{Name: name, OK: true, Detail: detail})
	}
}

// pass records a check that was passed. Where nothing is recorded it does not
// allocate, which a list of any arguments would.
func pass[T any](s *steps, name, format string, arg T) {
	if s != nil {
		s.pass(name, fmt.Sprintf(format, arg))
	}
}

// fail records an error and gives it back.
func (s *steps) fail(name string, err error) error {
	if s != nil {
		s.list = append(s.list, Check{Name: name, Detail: err.Error()})
	}
	return err
}

// Explain verifies a token as [Verifier.Verify] does, but never by the
// verified-token cache, and lists the checks that were made, in order. The
// last one is not OK where the error is not nil.
func (v *Verifier) Explain(ctx context.Context, set IssuerSet, tok string) (*Principal, []Check, error) {
	s := &steps{}
	p, _, err := v.check(ctx, set, tok, netip.Addr{}, s)
	return p, s.list, err
}
