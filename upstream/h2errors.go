package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

// errNotProcessed is a request with which the upstream did nothing, as it
// says itself (RFC 9113 section 8.7).
var errNotProcessed = errors.New("the upstream did not process the request")

const (
	errFraming = invalidError("frames that break HTTP/2's rules (RFC 9113 section 5.4)")
	errNoFit   = invalidError("the request's head is larger than the upstream accepts")
)

// streamError is what net/http's error of a reset stream is turned into by
// errors.As: it fills any struct with these fields.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (e streamError) Error() string { return "the stream was reset" }

// Codes of RFC 9113 section 7.
const (
	codeProtocol      = 0x1
	codeFlowControl   = 0x3
	codeStreamClosed  = 0x5
	codeFrameSize     = 0x6
	codeRefusedStream = 0x7
	codeCompression   = 0x9
)

var (
	errReset    = errors.New("the upstream reset the stream")
	errUnusable = errors.New("the connection cannot be used any more")
)

// net/http exports no errors of HTTP/2 connections; what has to be told
// apart is known by its text, which holds nothing that came from outside.
// Where the text changes, requests are repeated less often, and breaches of
// the protocol are unavailable upstreams.
const (
	goneAwayText   = "http2: Transport received Server's graceful shutdown GOAWAY"
	connectionText = "connection error: "
	notFramesText  = "http2: frame too large"
)

// h2Fault gives the error for one of net/http's, which may quote what the
// upstream sent.
func h2Fault(err error) error {
	var s streamError
	var ours invalidError
	var op *net.OpError
	switch {
	case errors.As(err, &s):
		switch {
		case errors.As(s.Cause, &ours):
			return ours
		case s.Code == codeRefusedStream:
			return errNotProcessed
		case s.Code == codeProtocol, s.Code == codeFlowControl, s.Code == codeFrameSize,
			s.Code == codeStreamClosed, s.Code == codeCompression:
			return errFraming
		}
		return errReset
	case errors.As(err, &ours), errors.Is(err, ErrTooLarge), errors.Is(err, ErrRequestBody):
		return err
	case err.Error() == goneAwayText:
		return errNotProcessed
	case strings.HasPrefix(err.Error(), connectionText), strings.Contains(err.Error(), notFramesText):
		return errFraming
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errBroken
	case errors.As(err, &op):
		return op
	}
	return errUnusable
}

// explain gives the error of a failed exchange.
func (c *call) explain(err error) error {
	if c.ctx.Err() != nil && c.parent.Err() == nil {
		err = context.Cause(c.ctx)
		return broken(c.parent, err)
	}
	known := h2Fault(err)
	if !c.wrote.Load() && errors.Is(known, errUnusable) && c.s.conn.Available() > 0 {
		known = errNoFit
	}
	return broken(c.parent, known)
}

// connectFault gives the error of a connection that could not be opened.
func connectFault(err error) error {
	var verify *tls.CertificateVerificationError
	if errors.As(err, &verify) {
		return fmt.Errorf("%w: the certificate is not accepted: %w", ErrUnavailable, verify.Err)
	}
	return err
}
