// Package proxy is the policy enforcement point: it takes requests off the
// network, through the gate, and to the upstream and back.
//
// Gate.serve is the whole way of a request in one function, in its order:
// guard, route, authenticate, authorize, limit, cache, upstream, filter,
// respond. It works on an exchange, which a transport lends: fasthttp's for
// HTTP/1.1 (http1.go), behind a guard that reads the bytes first (package
// wire), and net/http's for HTTP/2 (http2.go). Nothing but those two files
// names a transport's type. Whole requests without a body, which nearly all
// are, the guard's connection answers itself (express.go).
//
// A configuration compiles into one immutable Snapshot. Publish puts it into
// force with one atomic pointer, which a request loads once, so that no
// request ever sees two configurations.
package proxy
