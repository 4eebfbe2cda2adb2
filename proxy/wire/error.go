package wire

import (
	"io"
	"os"
)

// Error tells why a message was refused. Its texts are fixed: nothing of
// what the client sent is in them, so they may be logged and sent.
type Error struct {
	Reason string // one of the reasons of package policy
	RFC    string // the section that the message breaks
	Detail string // what is wrong, as a phrase
	cause  error
}

// Error implements error.
func (e *Error) Error() string { return e.Detail + " (" + e.RFC + ")" }

// Unwrap gives os.ErrDeadlineExceeded for a message that took too long, and
// io.ErrUnexpectedEOF for one that was cut off.
func (e *Error) Unwrap() error { return e.cause }

// Timeout tells whether the message took too long.
func (e *Error) Timeout() bool { return e.Reason == requestTimeout }

// The reasons that are given here, as package policy spells them.
const (
	requestMalformed   = "request_malformed"
	targetNotCanonical = "target_not_canonical"
	targetTooLong      = "target_too_long"
	headerTooLarge     = "header_too_large"
	bodyTooLarge       = "body_too_large"
	requestTimeout     = "request_timeout"
	methodNotSupported = "method_not_supported"
)

func malformed(rfc, detail string) *Error {
	return &Error{Reason: requestMalformed, RFC: rfc, Detail: detail}
}

// Faults of the request line.
var (
	errEmptyLine    = malformed("RFC 9112 section 2.2", "empty line before the request line")
	errLeadingSpace = malformed("RFC 9112 section 2.2", "white space before the request line")
	errTLS          = malformed("RFC 9112 section 3", "TLS where HTTP was expected")
	errNoTarget     = malformed("RFC 9112 section 3", "request line has no target")
	errPreface      = malformed("RFC 9113 section 3.4", "HTTP/2 preface on a connection that speaks HTTP/1.1")
	errMethodByte   = malformed("RFC 9112 section 3.1", "character that no method has")
	errMethod       = &Error{Reason: methodNotSupported, RFC: "RFC 9110 section 9.1", Detail: "method is not in capital letters"}
	errMethodLong   = &Error{Reason: methodNotSupported, RFC: "RFC 9112 section 3", Detail: "method is too long"}
	errConnect      = &Error{Reason: methodNotSupported, RFC: "RFC 9110 section 9.3.6", Detail: "CONNECT is not supported"}
	errTrace        = &Error{Reason: methodNotSupported, RFC: "RFC 9110 section 9.3.8", Detail: "TRACE is not supported"}
	errSpaces       = malformed("RFC 9112 section 3", "request line has white space other than its two spaces")
	errTargetByte   = malformed("RFC 9112 section 3.2", "character that no target has")
	errEscape       = malformed("RFC 3986 section 2.1", "percent sign without two hexadecimal digits")
	errFragment     = malformed("RFC 9112 section 3.2", "target has a fragment")
	errAsterisk     = malformed("RFC 9112 section 3.2.4", "target is an asterisk")
	errForm         = malformed("RFC 9112 section 3.2", "target is neither a path nor a URI of this connection's scheme")
	errAuthority    = malformed("RFC 9112 section 3.2.2", "target's authority is not the Host field's")
	errUserinfo     = malformed("RFC 9110 section 4.2.4", "target has user information")
	errNoPath       = malformed("RFC 9112 section 3.2.2", "target has no path")
	errTwoSlashes   = &Error{Reason: targetNotCanonical, RFC: "RFC 3986 section 3.3", Detail: "path begins with two slashes"}
	errTargetLong   = &Error{Reason: targetTooLong, RFC: "RFC 9110 section 15.5.15", Detail: "target is too long"}
	errNoVersion    = malformed("RFC 9112 section 3", "request line has no version")
	errVersion      = malformed("RFC 9112 section 2.3", "version is neither HTTP/1.0 nor HTTP/1.1")
)

// Faults of lines and fields.
var (
	errBareCR        = malformed("RFC 9112 section 2.2", "carriage return without a line feed")
	errBareLF        = malformed("RFC 9112 section 2.2", "line feed without a carriage return")
	errNUL           = malformed("RFC 9110 section 5.5", "NUL in a field value")
	errControl       = malformed("RFC 9110 section 5.5", "control character in a field value")
	errFirstSpace    = malformed("RFC 9112 section 2.2", "white space before the first field")
	errFolding       = malformed("RFC 9112 section 5.2", "folded field line")
	errNameByte      = malformed("RFC 9110 section 5.1", "character that no field name has")
	errNoName        = malformed("RFC 9112 section 5", "field line without a name")
	errNoColon       = malformed("RFC 9112 section 5", "field line without a colon")
	errColonSpace    = malformed("RFC 9112 section 5.1", "white space before the colon of a field")
	errUnderscore    = malformed("RFC 9110 section 5.1", "field name that a backend could take for one that frames the message")
	errFields        = &Error{Reason: headerTooLarge, RFC: "RFC 6585 section 5", Detail: "too many fields"}
	errLine          = &Error{Reason: headerTooLarge, RFC: "RFC 6585 section 5", Detail: "field line is too long"}
	errHead          = &Error{Reason: headerTooLarge, RFC: "RFC 6585 section 5", Detail: "fields are too large"}
	errHostMissing   = malformed("RFC 9112 section 3.2", "no Host field")
	errHostRepeated  = malformed("RFC 9112 section 3.2", "several Host fields")
	errHost          = malformed("RFC 9112 section 3.2", "Host field is no host")
	errConnection    = malformed("RFC 9110 section 7.6.1", "Connection is no list of tokens")
	errConnectionFor = malformed("RFC 9110 section 7.6.1", "Connection lists a field of the whole way")
	errExpect        = malformed("RFC 9110 section 10.1.1", "Expect is not 100-continue")
	errTrailer       = malformed("RFC 9110 section 6.6.2", "Trailer is no list of trailer fields")
	errTrailerName   = malformed("RFC 9110 section 6.5.1", "field that may not stand in a trailer")
)

// Faults of framing and bodies.
var (
	errLength         = malformed("RFC 9110 section 8.6", "Content-Length is no number")
	errLengthRepeated = malformed("RFC 9112 section 6.3", "several Content-Length fields")
	errLengthOverflow = malformed("RFC 9110 section 8.6", "Content-Length is out of range")
	errCoding         = malformed("RFC 9112 section 6.1", "Transfer-Encoding is not chunked")
	errCodingRepeated = malformed("RFC 9112 section 6.1", "several Transfer-Encoding fields")
	errCodingOld      = malformed("RFC 9112 section 6.1", "Transfer-Encoding in HTTP/1.0")
	errBoth           = malformed("RFC 9112 section 6.1", "Content-Length with Transfer-Encoding")
	errBody           = &Error{Reason: bodyTooLarge, RFC: "RFC 9110 section 15.5.14", Detail: "body is too large"}
	errChunkSize      = malformed("RFC 9112 section 7.1", "chunk size is no hexadecimal number")
	errChunkOverflow  = malformed("RFC 9112 section 7.1", "chunk size is out of range")
	errChunkExtension = malformed("RFC 9112 section 7.1.1", "chunk extension")
	errChunkEnd       = malformed("RFC 9112 section 7.1", "chunk does not end where its size says")
	errAfterClose     = malformed("RFC 9112 section 9.6", "bytes after the last message of the connection")
)

// Faults of connections.
var (
	errTimeout   = &Error{Reason: requestTimeout, RFC: "RFC 9110 section 15.5.9", Detail: "message took too long to arrive", cause: os.ErrDeadlineExceeded}
	errTruncated = &Error{Reason: requestMalformed, RFC: "RFC 9112 section 8", Detail: "message ended early", cause: io.ErrUnexpectedEOF}
)
