// Package wire guards the bytes of HTTP/1.1 connections (RFC 9112) in front
// of a more tolerant parser.
//
// An authorization proxy must not pass on what another parser could read in
// another way. [Conn] wraps an accepted connection: what it reads from the
// socket it runs through a byte-exact state machine, and it hands out only
// bytes of messages that were right so far. From the first byte that is
// wrong on, everything is withheld: the transport never sees the end of the
// head or body concerned, the next Read gives an [*Error] with the reason
// and the section of the RFC, and so does every Read after it. Nothing of a
// refused message can therefore be taken for the next one, while good
// messages that were pipelined before it are served. Faults that show only
// at the end of a head, such as a missing Host, withhold its last line feed.
//
// The machine knows where every message ends (RFC 9112 section 6), whatever
// the transport makes of it. It buffers nothing, allocates nothing for a
// message that arrives in one piece, and costs a fraction of a microsecond.
//
// # What is accepted
//
// The grammar of RFC 9112 without its obsolete and its optional leniency.
// Where the RFC leaves a choice, or where implementations differ, the choice
// is this:
//
//   - No empty line before a request line, not even the one that section 2.2
//     would ignore.
//   - Methods are capital letters, digits, - and _, at most 32 bytes and
//     beginning with a letter. Other tokens are not supported, nor are
//     CONNECT and TRACE.
//   - Targets are in origin form, or in absolute form with the scheme of the
//     connection in small letters, an authority equal to Host and a path.
//     The asterisk form is refused for OPTIONS too. Characters are those of
//     RFC 3986: brackets, braces, quotes, pipes and carets have to be
//     escaped. A path that begins with two slashes, which some parsers take
//     for an authority, is refused. Whether a path is canonical otherwise is
//     not decided here.
//   - Host is required in HTTP/1.0 too, and holds a name, an IPv4 address or
//     an IPv6 address in brackets, and perhaps a port from 0 to 65535. Names
//     are letters, digits, - . and _, without empty labels; one dot may
//     stand at the end.
//   - Content-Length is one to eighteen digits, on one line. Equal repeated
//     lengths are refused. Transfer-Encoding is chunked, once, and not with
//     Content-Length or HTTP/1.0.
//   - Bytes from 0x80 on (obs-text, RFC 9110 section 5.5) are allowed in
//     the values of fields that have no meaning here, and nowhere else.
//   - Field names that equal Host, Content-Length or Transfer-Encoding but
//     for an underscore in place of a hyphen are refused.
//   - Connection and Trailer are lists of tokens without empty elements,
//     and Connection lists no field that frames or routes the message.
//     Expect is 100-continue, once. Upgrade passes.
//   - Chunk sizes are one to fifteen hexadecimal digits; extensions are
//     refused. Trailer fields pass where they are well-formed and none of
//     those that frame, route, authenticate or describe a message ([TrailerName]).
//   - After a message that closes its connection (section 9.6) nothing more
//     is handed out.
//
// [Conn.ReadRequests] has found the lines of most messages by then, and hands
// them over, so that nobody looks for them again.
//
// [Host] and [TrailerName] serve other transports, HTTP/2 above all, so that
// both refuse alike.
package wire
