package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

type text = wrapperspb.StringValue

func say(s string) *text { return wrapperspb.String(s) }

// talker is gRPC's own server behind the gate. It serves one service, whose
// methods are described by hand.
type talker struct {
	address string
	seen    chan metadata.MD // of each call
	left    chan error       // why a call to Hang ended
}

// servesTalk is what grpc checks an implementation against.
type servesTalk interface{ talks() }

func (*talker) talks() {}

// newTalker runs the server, under TLS where there is a certificate.
func newTalker(t testing.TB, cert *testCertificate) *talker {
	t.Helper()
	k := &talker{seen: make(chan metadata.MD, 100), left: make(chan error, 100)}
	options := []grpc.ServerOption{grpc.MaxRecvMsgSize(64 << 20), grpc.MaxSendMsgSize(64 << 20)}
	if cert != nil {
		options = append(options, grpc.Creds(credentials.NewServerTLSFromCert(&cert.pair)))
	}
	s := grpc.NewServer(options...)
	stream := func(name string, client, server bool, handle func(grpc.ServerStream) error) grpc.StreamDesc {
		return grpc.StreamDesc{StreamName: name, ClientStreams: client, ServerStreams: server, Handler: func(_ any, ss grpc.ServerStream) error {
			md, _ := metadata.FromIncomingContext(ss.Context())
			k.seen <- md
			return handle(ss)
		}}
	}
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "test.Talk",
		HandlerType: (*servesTalk)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Echo", Handler: func(_ any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			md, _ := metadata.FromIncomingContext(ctx)
			k.seen <- md
			m := new(text)
			if err := dec(m); err != nil {
				return nil, err
			}
			_ = grpc.SetTrailer(ctx, metadata.Pairs("x-after", "it", "x-request-id", "forged"))
			return m, nil
		}}},
		Streams: []grpc.StreamDesc{
			stream("Fail", false, false, fail),
			stream("Count", false, true, count),
			stream("Sum", true, false, sum),
			stream("Chat", true, true, chat),
			stream("Quiet", true, true, quiet),
			stream("Hang", true, true, func(ss grpc.ServerStream) error {
				_ = ss.SendHeader(nil)
				<-ss.Context().Done()
				k.left <- ss.Context().Err()
				return grpcstatus.FromContextError(ss.Context().Err()).Err()
			}),
			stream("Mute", true, true, func(ss grpc.ServerStream) error {
				<-ss.Context().Done()
				k.left <- ss.Context().Err()
				return grpcstatus.FromContextError(ss.Context().Err()).Err()
			}),
		},
	}, k)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k.address = l.Addr().String()
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		<-done
	})
	return k
}

// fail ends with the code and message that it is sent, after a message where
// that is asked for.
func fail(ss grpc.ServerStream) error {
	m := new(text)
	if err := ss.RecvMsg(m); err != nil {
		return err
	}
	var code, messages int
	var message string
	if _, err := fmt.Sscanf(m.Value, "%d %d %q", &code, &messages, &message); err != nil {
		return err
	}
	for range messages {
		if err := ss.SendMsg(say("before")); err != nil {
			return err
		}
	}
	if code == 0 {
		return nil
	}
	st, err := grpcstatus.New(codes.Code(code), message).WithDetails(say("a detail"))
	if err != nil {
		return err
	}
	return st.Err()
}

// count sends three numbers and then, once it is asked, a fourth.
func count(ss grpc.ServerStream) error {
	if err := ss.RecvMsg(new(text)); err != nil {
		return err
	}
	for i := range 3 {
		if err := ss.SendMsg(say(fmt.Sprint(i))); err != nil {
			return err
		}
	}
	ss.SetTrailer(metadata.Pairs("x-count", "3", "x-blob-bin", "\x00\xff"))
	return nil
}

// sum says how long what it got was.
func sum(ss grpc.ServerStream) error {
	n := 0
	for {
		m := new(text)
		err := ss.RecvMsg(m)
		if errors.Is(err, io.EOF) {
			return ss.SendMsg(say(fmt.Sprint(n)))
		}
		if err != nil {
			return err
		}
		n += len(m.Value)
	}
}

// chat answers each message.
func chat(ss grpc.ServerStream) error {
	for {
		m := new(text)
		err := ss.RecvMsg(m)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := ss.SendMsg(say("you said " + m.Value)); err != nil {
			return err
		}
	}
}

// quiet reads nothing, and says something now and then.
func quiet(ss grpc.ServerStream) error {
	for range 5 {
		if err := ss.SendMsg(say("still here")); err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond) // longer altogether than the gate's read timeout
	}
	return nil
}

const talkRoutes = `
routes:
  - id: talk
    match: {methods: POST, path: "/test.Talk/{method}"}
    allow: principal.org_id == "o1"
    upstream: talk
    max_body_bytes: 64MiB
    request: {headers: {X-User-Id: "{principal.user_id}"}}
  - id: small
    match: {methods: POST, path: "/small.Talk/{method}"}
    request: {path: "/test.Talk/{path.method}"}
    anonymous: true
    upstream: talk
    max_body_bytes: 1KiB
    timeout: 300ms
  - id: other
    match: {path: /other}
    anonymous: true
    upstream: backend
`

// talkWorld runs a gate between a gRPC client and a gRPC server, in the clear
// or under TLS on both sides.
func talkWorld(t testing.TB, secure bool) (*world, *talker, *grpc.ClientConn) {
	t.Helper()
	var backend *testCertificate
	server, upstream := "h2c: true", "endpoints: http://%s, protocol: h2c"
	dial := insecure.NewCredentials()
	if secure {
		front := certificateFor(t, t.TempDir(), "gate.test")
		backend = certificateFor(t, t.TempDir(), "talk.test")
		server = fmt.Sprintf("tls: {cert_file: %s, key_file: %s}", front.certFile, front.keyFile)
		upstream = "endpoints: https://%s, protocol: h2, tls: {ca_file: " + backend.certFile + "}"
		dial = credentials.NewTLS(&tls.Config{RootCAs: front.pool})
	}
	k := newTalker(t, backend)
	conf := strings.Replace(settings(talkRoutes), `server: {listen: "127.0.0.1:0"}`, "server: {"+loopback+", read_timeout: 300ms, "+server+"}", 1)
	conf = strings.Replace(conf, "upstreams:\n", "upstreams:\n  talk: {"+fmt.Sprintf(upstream, k.address)+`, timeout: 10s, secret: {header: Authorization, value: "Bearer ${SECRET}"}}`+"\n", 1)
	w := newWorld(t, conf)
	c, err := grpc.NewClient(w.address, grpc.WithTransportCredentials(dial), grpc.WithDefaultCallOptions(
		grpc.MaxCallRecvMsgSize(64<<20), grpc.MaxCallSendMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return w, k, c
}

// as gives a context of a caller of an organization, with a deadline.
func (w *world) as(org string) (context.Context, context.CancelFunc) {
	ctx := context.Background()
	if org != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+w.token(claims{"sub": "u1", "org_id": org}))
	}
	return context.WithTimeout(ctx, 15*time.Second)
}

var bidi = &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}

func open(t testing.TB, ctx context.Context, c *grpc.ClientConn, method string) grpc.ClientStream {
	t.Helper()
	s, err := c.NewStream(ctx, bidi, method)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func send(t testing.TB, s grpc.ClientStream, words ...string) {
	t.Helper()
	for _, word := range words {
		if err := s.SendMsg(say(word)); err != nil {
			t.Fatal(err)
		}
	}
}

// next receives a message that must come.
func next(t testing.TB, s grpc.ClientStream) string {
	t.Helper()
	m := new(text)
	if err := s.RecvMsg(m); err != nil {
		t.Fatal(err)
	}
	return m.Value
}

// end gives how a stream ends.
func end(s grpc.ClientStream) error {
	for {
		if err := s.RecvMsg(new(text)); err != nil {
			return err
		}
	}
}

func TestGRPC(t *testing.T) {
	for name, secure := range map[string]bool{"in the clear": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			w, k, c := talkWorld(t, secure)
			for name, test := range map[string]func(*testing.T, *world, *talker, *grpc.ClientConn){
				"unary": grpcUnary, "streams": grpcStreams, "status": grpcStatus, "denied": grpcDenied,
				"given up": grpcGivenUp, "large": grpcLarge, "silent": grpcSilent, "many at once": grpcMany,
			} {
				t.Run(name, func(t *testing.T) {
					for len(k.seen) > 0 {
						<-k.seen
					}
					test(t, w, k, c)
				})
			}
		})
	}
}

func grpcUnary(t *testing.T, w *world, k *talker, c *grpc.ClientConn) {
	ctx, cancel := w.as("o1")
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "x-mine", "1", "x-mine", "2", "x-user-id", "forged", "x-blob-bin", "\x00\xff")
	var head, tail metadata.MD
	m := new(text)
	if err := c.Invoke(ctx, "/test.Talk/Echo", say("hello"), m, grpc.Header(&head), grpc.Trailer(&tail)); err != nil {
		t.Fatal(err)
	}
	if m.Value != "hello" {
		t.Errorf("answered %q", m.Value)
	}
	md := <-k.seen
	for name, want := range map[string]string{
		"x-mine": "[1 2]", "x-user-id": "[u1]", "authorization": "[Bearer " + backendSecret + "]", "x-blob-bin": "[\x00\xff]",
		"content-type": "[application/grpc]",
	} {
		if got := fmt.Sprint(md[name]); got != want {
			t.Errorf("the server got %s: %q, want %q", name, got, want)
		}
	}
	if got := fmt.Sprint(head["content-type"], tail["x-after"], tail["x-request-id"]); got != "[application/grpc] [it] []" {
		t.Errorf("the client got %s", got)
	}
}

func grpcStreams(t *testing.T, w *world, _ *talker, c *grpc.ClientConn) {
	ctx, cancel := w.as("o1")
	defer cancel()

	s := open(t, ctx, c, "/test.Talk/Count")
	send(t, s, "go")
	_ = s.CloseSend()
	for i := range 3 {
		if got := next(t, s); got != fmt.Sprint(i) {
			t.Errorf("number %d is %s", i, got)
		}
	}
	if err := end(s); !errors.Is(err, io.EOF) {
		t.Errorf("the numbers end with %v", err)
	}
	if tail := s.Trailer(); fmt.Sprint(tail["x-count"]) != "[3]" || fmt.Sprint(tail["x-blob-bin"]) != "[\x00\xff]" {
		t.Errorf("after the numbers: %q", tail)
	}

	s = open(t, ctx, c, "/test.Talk/Sum")
	send(t, s, "one", "two", "three")
	_ = s.CloseSend()
	if got := next(t, s); got != "11" {
		t.Errorf("the sum is %s", got)
	}

	s = open(t, ctx, c, "/test.Talk/Chat")
	for _, word := range []string{"one", "two", "three"} {
		send(t, s, word)
		if got := next(t, s); got != "you said "+word {
			t.Errorf("to %s: %s", word, got)
		}
	}
	_ = s.CloseSend()
	if err := end(s); !errors.Is(err, io.EOF) {
		t.Errorf("the chat ends with %v", err)
	}
}

// grpcStatus passes every status on, with its message and details, whether
// it comes alone or after messages.
func grpcStatus(t *testing.T, w *world, _ *talker, c *grpc.ClientConn) {
	for code := codes.OK; code <= codes.Unauthenticated; code++ {
		for messages := range 2 {
			ctx, cancel := w.as("o1")
			s := open(t, ctx, c, "/test.Talk/Fail")
			message := fmt.Sprintf("für %d: 100%%\n", code)
			send(t, s, fmt.Sprintf("%d %d %q", code, messages, message))
			_ = s.CloseSend()
			err := end(s)
			if code == codes.OK {
				if !errors.Is(err, io.EOF) {
					t.Errorf("OK after %d messages: %v", messages, err)
				}
			} else if st, ok := grpcstatus.FromError(err); !ok || st.Code() != code || st.Message() != message || len(st.Details()) != 1 {
				t.Errorf("%v after %d messages: %v", code, messages, err)
			}
			cancel()
		}
	}
}

func grpcDenied(t *testing.T, w *world, k *talker, c *grpc.ClientConn) {
	for _, denied := range []struct {
		org, method string
		code        codes.Code
	}{
		{"", "/test.Talk/Echo", codes.Unauthenticated},
		{"o2", "/test.Talk/Echo", codes.PermissionDenied},
		{"o1", "/unknown.Talk/Echo", codes.Unimplemented},
		{"o1", "/test.Talk/a%2Fb", codes.Internal},
	} {
		ctx, cancel := w.as(denied.org)
		if err := c.Invoke(ctx, denied.method, say("x"), new(text)); grpcstatus.Code(err) != denied.code {
			t.Errorf("%s of %q: %v, want %v", denied.method, denied.org, err, denied.code)
		}
		s := open(t, ctx, c, strings.Replace(denied.method, "Echo", "Chat", 1))
		if err := end(s); grpcstatus.Code(err) != denied.code {
			t.Errorf("a stream to %s of %q: %v, want %v", denied.method, denied.org, err, denied.code)
		}
		cancel()
	}
	if len(k.seen) > 0 {
		t.Errorf("%d calls got through", len(k.seen))
	}
}

// grpcGivenUp frees the upstream when the client leaves or its time is over.
func grpcGivenUp(t *testing.T, w *world, k *talker, c *grpc.ClientConn) {
	for _, method := range []string{"/test.Talk/Hang", "/test.Talk/Mute"} {
		ctx, cancel := w.as("o1")
		s := open(t, ctx, c, method)
		send(t, s, "x")
		<-k.seen
		cancel()
		if err := end(s); grpcstatus.Code(err) != codes.Canceled {
			t.Errorf("%s, cancelled: %v", method, err)
		}
		select {
		case <-k.left:
		case <-time.After(5 * time.Second):
			t.Errorf("%s: the server still waits for a client that left", method)
		}

		ctx, cancel = w.as("o1")
		short, cancelShort := context.WithTimeout(ctx, 200*time.Millisecond)
		s = open(t, short, c, method)
		// The server keeps the deadline as well, and may be the first to end it:
		// it resets the stream then, which the gate passes on.
		switch err := end(s); grpcstatus.Code(err) {
		case codes.DeadlineExceeded, codes.Unavailable, codes.Internal:
		default:
			t.Errorf("%s, too late: %v", method, err)
		}
		if md := <-k.seen; len(md) == 0 {
			t.Error("no call")
		}
		select {
		case <-k.left:
		case <-time.After(5 * time.Second):
			t.Errorf("%s: the server still waits past the deadline", method)
		}
		cancelShort()
		cancel()
	}
}

func grpcLarge(t *testing.T, w *world, _ *talker, c *grpc.ClientConn) {
	ctx, cancel := w.as("o1")
	defer cancel()
	big := strings.Repeat("0123456789abcdef", 1<<20)
	m := new(text)
	if err := c.Invoke(ctx, "/test.Talk/Echo", say(big), m); err != nil || m.Value != big {
		t.Errorf("%d of %d bytes came back, %v", len(m.Value), len(big), err)
	}
	s := open(t, ctx, c, "/small.Talk/Sum")
	for range 100 {
		if s.SendMsg(say(big[:100])) != nil {
			break
		}
	}
	if err := end(s); grpcstatus.Code(err) == codes.OK || errors.Is(err, io.EOF) {
		t.Errorf("more than the route allows: %v", err)
	}
}

// grpcSilent lets one side be silent for longer than a client may take to
// send a request, and not both for longer than the route's timeout.
func grpcSilent(t *testing.T, w *world, k *talker, c *grpc.ClientConn) {
	ctx, cancel := w.as("o1")
	defer cancel()
	s := open(t, ctx, c, "/test.Talk/Quiet")
	for range 5 {
		if got := next(t, s); got != "still here" {
			t.Error(got)
		}
	}
	if err := end(s); !errors.Is(err, io.EOF) {
		t.Errorf("it ends with %v", err)
	}

	s = open(t, ctx, c, "/test.Talk/Chat")
	send(t, s, "one")
	_ = next(t, s)
	time.Sleep(500 * time.Millisecond) // more than the read timeout
	send(t, s, "two")
	if got := next(t, s); got != "you said two" {
		t.Errorf("after a pause: %s", got)
	}

	for len(k.seen) > 0 {
		<-k.seen
	}
	s = open(t, ctx, c, "/small.Talk/Mute")
	if err := end(s); grpcstatus.Code(err) != codes.Unavailable { // 504
		t.Errorf("a call that is not answered: %v", err)
	}
	<-k.left
}

func grpcMany(t *testing.T, w *world, _ *talker, c *grpc.ClientConn) {
	ctx, cancel := w.as("o1")
	defer cancel()
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			s, err := c.NewStream(ctx, bidi, "/test.Talk/Chat")
			if err != nil {
				t.Error(err)
				return
			}
			for j := range 10 {
				word := fmt.Sprint(i, "/", j)
				m := new(text)
				if err := s.SendMsg(say(word)); err != nil {
					t.Error(err)
					return
				}
				if err := s.RecvMsg(m); err != nil || m.Value != "you said "+word {
					t.Errorf("to %s: %q, %v", word, m.Value, err)
					return
				}
			}
			_ = s.CloseSend()
			if err := end(s); !errors.Is(err, io.EOF) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestIsGRPC(t *testing.T) {
	for contentType, want := range map[string]bool{
		"application/grpc": true, "application/grpc+proto": true, "Application/GRPC; x=y": true,
		"application/grpc-web": false, "application/grpc-web+proto": false, "application/grp": false, "": false,
		"text/application/grpc": false, "application/grpcx": false,
	} {
		if got := isGRPC(contentType); got != want {
			t.Errorf("%q: %v", contentType, got)
		}
	}
}
