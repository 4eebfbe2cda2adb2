// Package upstream forwards requests to backends: a client of HTTP/1.1, or
// of HTTP/2 where that is configured, over pooled connections that trusts no
// answer.
//
// [Compile] makes a [Pool] of an upstream's configuration: its endpoints,
// their connections, its TLS settings, limits and retries. [Pool.Do] sends
// one [Request] and gives a [Response] whose body is either held whole or
// streams. [Pool.Upgrade] sends a request that asks for another protocol.
//
// # What is promised
//
// Nobody receives another's answer. Before a kept connection is used again
// it is looked at without reading (below TLS where there is TLS): a byte or
// an end that nobody asked for closes it, and the request goes out on
// another. An answer is read by RFC 9112 to the letter; whatever two parsers
// could read differently is [ErrInvalid] and closes the connection. Bytes
// beyond an answer, or an answer to a request that is not wholly sent, close
// it too.
//
// A request is repeated only where that cannot do harm: no byte of it left
// this machine, or its method is idempotent (RFC 9110 section 9.2.2) and no
// byte of an answer came; at most as often as configured, within a budget
// over the last ten seconds, never after its time is up.
//
// Some bounds have no setting. The head of an answer has at most 64 KiB and
// 256 field lines. A request waits for a free connection for connect_timeout
// at most, behind at most as many others as there are connections. An
// endpoint that cannot be connected to, or that failed three times in a row,
// is set aside for 250 ms, doubled up to 30 s with each further failure;
// then one request tries it. Ten retries within ten seconds are free where
// the budget is not 0. A connection is used for about five minutes, then DNS
// is asked again. A stream may be silent for a minute, or for the timeout
// where that is longer.
//
// # HTTP/2
//
// An upstream whose protocol is h2 or h2c is spoken to in that alone. net/http
// reads and writes the frames, on connections that the pool opens and shares
// out itself: one at a time for all who wait, a further one where the others
// have no room, at most max_connections for each endpoint. Everything above
// holds, with these differences. Streams of one connection have their own
// framing, so that one may fail, or be given up, without the others. A
// request is also repeated, whatever its method, where the upstream says that
// it did not process it (REFUSED_STREAM, GOAWAY). An answer with a field of
// the connection is invalid. Trailers of the answer are given, those of the
// request do not exist. A connection on which a request timed out takes no
// further one. At most 256 KiB of an answer are held for a slow client.
// Fields of the answer come in the order of their names, and of several
// User-Agent fields of a request the first is sent.
//
// # What it costs
//
// A small request on a warm connection takes four system calls: look, send,
// wait, receive. It allocates nothing, starts no timer and no goroutine, and
// reads the monotonic clock twice, of which [Request.Now] saves the first
// time. The connection's deadline is moved only when it would fire too early
// or too late by configuration, so many exchanges share one; see deadline.
package upstream
