package proxy

import (
	"hopgate/proxy/wire"
)

// patient is a request's body whose sender is told, by patience, that it may
// be silent for as long as it likes.
type patient interface{ patience() }

// isGRPC tells whether a media type is gRPC's: application/grpc, with a
// suffix or without. gRPC-Web is another protocol, of plain requests.
func isGRPC(contentType string) bool {
	const name = "application/grpc"
	if len(contentType) < len(name) || !equalFold(contentType[:len(name)], name) {
		return false
	}
	return len(contentType) == len(name) || contentType[len(name)] == '+' || contentType[len(name)] == ';'
}

// converse prepares the request of a client with which the upstream talks
// over HTTP/2, where the route passes trailers on: it hears that the client
// takes them, and gRPC may be silent both ways.
func (x *exchange) converse() {
	if !x.route.trailers {
		return
	}
	x.request.Trailers = x.trailers
	if contentType, n := x.fields.Field("Content-Type"); n != 1 || !isGRPC(contentType) {
		return
	}
	if b, ok := x.body.(patient); ok {
		b.patience()
		x.request.Duplex = true
	}
}

// passTrailers passes on what came after an answer's body (RFC 9110 section
// 6.5), to a client that asked for it. What must not stand there, and what
// the route removes from answers, is dropped.
func (x *exchange) passTrailers() {
	if !x.trailers || !x.route.trailers {
		return
	}
	for i := range x.response.Trailers() {
		name, value := x.response.TrailerAt(i)
		if wire.TrailerName(name) == nil && !x.route.dropAnswer.has(lend(name)) {
			x.answer.trailer(name, value)
		}
	}
}
