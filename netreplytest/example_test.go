package netreplytest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/netreplytest"
)

// exampleT takes the place of *testing.T in the examples.
type exampleT struct{ cleanups []func() }

func (*exampleT) Helper()                           {}
func (t *exampleT) Cleanup(f func())                { t.cleanups = append(t.cleanups, f) }
func (*exampleT) Errorf(format string, args ...any) { fmt.Printf(format+"\n", args...) }
func (*exampleT) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func (t *exampleT) end() {
	for i := len(t.cleanups) - 1; i >= 0; i-- {
		t.cleanups[i]()
	}
}

// outcome is what a GET of a server's root results in.
func outcome(s *netreplytest.Server) any {
	body, err := s.Manager().Get(context.Background(), s.Request("/")).ReadAll()
	var e *netreply.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return string(body)
}

// Any type with these four methods is a test.
func ExampleTB() {
	t := &exampleT{} // usually the *testing.T
	defer t.end()
	netreplytest.MatchEvents(t, []netreply.Event{netreply.Finished{}}, "MetaDataChanged Finished")
	// Output:
	// netreplytest: the signals do not match MetaDataChanged Finished
	//   >>  1 Finished after 0s
	//         wanted here: MetaDataChanged
}

func ExampleNewServer() {
	t := &exampleT{}
	defer t.end()
	s := netreplytest.NewServer(t, netreplytest.HTTP2)
	s.Handle("/", netreplytest.Answer{netreplytest.Body("hello")})

	m, err := netreply.NewManager(s.Config())
	if err != nil {
		panic(err)
	}
	defer m.Close()
	r := m.Get(context.Background(), s.Request("/greeting"))
	r.WriteTo(os.Stdout)
	fmt.Println(r.Err(), s.Requests()[0].Target)
	// Output: hello<nil> /greeting
}

// Any client reaches a server on a port.
func ExampleNewPortServer() {
	t := &exampleT{}
	defer t.end()
	s := netreplytest.NewPortServer(t, netreplytest.HTTP)
	s.Handle("/", netreplytest.Answer{netreplytest.Body("hello")})

	resp, err := http.Get(s.URL("/"))
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	fmt.Println(resp.Status, resp.ContentLength)
	// Output: 200 OK 5
}

// One server is every host, and tells them apart by the pattern.
func ExampleServer_Handle() {
	t := &exampleT{}
	defer t.end()
	s := netreplytest.NewServer(t, netreplytest.HTTPS)
	s.Handle("/", netreplytest.Answer{netreplytest.Redirect("https://b.example/")})
	s.Handle("b.example/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "this is ", r.Host)
	}))
	fmt.Println(outcome(s))
	// Output: this is b.example
}

// A script, which connections belong to.
func ExampleServer_Next() {
	t := &exampleT{}
	defer t.end()
	s := netreplytest.NewServer(t, netreplytest.HTTP)
	s.Next(netreplytest.Refuse(), netreplytest.Answer{netreplytest.Status(503)}, netreplytest.Answer{netreplytest.Body("at last")})
	for range 3 {
		fmt.Println(outcome(s))
	}
	fmt.Println(s.Connections(), "connection")
	// Output:
	// ConnectionRefusedError
	// ServiceUnavailableError
	// at last
	// 1 connection
}

// Answers that were not used, as at the end of a test.
func ExampleServer_Pending() {
	t := &exampleT{}
	defer t.end()
	s := netreplytest.NewServer(t, netreplytest.HTTP)
	s.Next(netreplytest.Answer{netreplytest.Status(503)}, netreplytest.Answer{netreplytest.Body("at last")})
	fmt.Println(outcome(s), "and nobody tries again")
	fmt.Println(s.Pending(), "answer is left")
	// Output:
	// ServiceUnavailableError and nobody tries again
	// 1 answer is left
}

func ExampleServer_Fail() {
	t := &exampleT{}
	defer t.end()
	s := netreplytest.NewServer(t, netreplytest.HTTPS)
	s.Handle("/", netreplytest.Answer{netreplytest.Body("fine")})
	s.Fail(netreplytest.ExpiredCertificate())
	fmt.Println(outcome(s))
	s.Recover()
	fmt.Println(outcome(s))
	// Output:
	// SslHandshakeFailedError
	// fine
}

func ExampleServer_Configure() {
	t := &exampleT{}
	defer t.end()
	s := netreplytest.NewServer(t, netreplytest.HTTPS)
	s.Handle("/", netreplytest.Answer{})

	c := netreply.Config{UserAgent: "downloader/2"} // of the program
	s.Configure(&c)
	m, err := netreply.NewManager(c)
	if err != nil {
		panic(err)
	}
	defer m.Close()
	m.Get(context.Background(), s.Request("/")).Wait(context.Background())
	fmt.Println(s.Requests()[0].Header.Get("User-Agent"))
	// Output: downloader/2
}

func ExampleServer_Proxy() {
	t := &exampleT{}
	defer t.end()
	s := netreplytest.NewServer(t, netreplytest.HTTPS)
	s.Handle("/", netreplytest.Answer{netreplytest.Body("through the tunnel")})
	p := s.Proxy()
	p.Next(netreplytest.Close())
	fmt.Println(outcome(s))
	fmt.Println(outcome(s))
	fmt.Println(p.Requests()[1].Method, p.Requests()[1].Target)
	// Output:
	// ProxyConnectionClosedError
	// through the tunnel
	// CONNECT server.example:443
}

func ExampleFail() {
	t := &exampleT{}
	defer t.end()
	for _, code := range []netreply.NetworkError{netreply.HostNotFoundError, netreply.ProxyTimeoutError, netreply.ContentGoneError} {
		s := netreplytest.NewServer(t, netreplytest.HTTP)
		s.Fail(netreplytest.Fail(code))
		fmt.Println(outcome(s))
	}
	// Output:
	// HostNotFoundError
	// ProxyTimeoutError
	// ContentGoneError
}

// The faults by name.
func ExampleFault() {
	for _, f := range []netreplytest.Fault{
		netreplytest.Refuse(), netreplytest.HostNotFound(), netreplytest.ConnectTimeout(), netreplytest.HangConnecting(),
		netreplytest.Unreachable(), netreplytest.NoAddress(), netreplytest.ForbidConnecting(),

		netreplytest.ExpiredCertificate(), netreplytest.NotYetValidCertificate(), netreplytest.WrongHostCertificate(),
		netreplytest.UnknownIssuerCertificate(), netreplytest.SelfSignedCertificate(),
		netreplytest.RefuseHandshake(), netreplytest.StallHandshake(),

		netreplytest.Close(), netreplytest.Reset(), netreplytest.Stall(),
		netreplytest.Truncate(10), netreplytest.ResetAfter(10), netreplytest.StallAfter(10),
		netreplytest.Garbage(), netreplytest.TwoLengths(), netreplytest.DamageChunk(), netreplytest.DamageCoding(),
		netreplytest.LargeHead(300_000), netreplytest.RedirectLoop(),
	} {
		fmt.Println(f, f.Code())
	}
	// Output:
	// Refuse() ConnectionRefusedError
	// HostNotFound() HostNotFoundError
	// ConnectTimeout() TimeoutError
	// HangConnecting() TimeoutError
	// Unreachable() TemporaryNetworkFailureError
	// NoAddress() NetworkSessionFailedError
	// ForbidConnecting() UnknownNetworkError
	// ExpiredCertificate() SslHandshakeFailedError
	// NotYetValidCertificate() SslHandshakeFailedError
	// WrongHostCertificate() SslHandshakeFailedError
	// UnknownIssuerCertificate() SslHandshakeFailedError
	// SelfSignedCertificate() SslHandshakeFailedError
	// RefuseHandshake() SslHandshakeFailedError
	// StallHandshake() TimeoutError
	// Close() RemoteHostClosedError
	// Reset() RemoteHostClosedError
	// Stall() TimeoutError
	// Truncate(10) RemoteHostClosedError
	// ResetAfter(10) RemoteHostClosedError
	// StallAfter(10) TimeoutError
	// Garbage() ProtocolFailure
	// TwoLengths() ProtocolFailure
	// DamageChunk() ProtocolFailure
	// DamageCoding() UnknownContentError
	// LargeHead(300000) ProtocolFailure
	// RedirectLoop() TooManyRedirectsError
}

// The error codes of HTTP/2: a stream that is refused is sent again, and one that the server
// gives up is not.
func ExampleResetStream() {
	t := &exampleT{}
	defer t.end()
	const refusedStream, internalError = 7, 2
	s := netreplytest.NewServer(t, netreplytest.HTTP2)
	s.Next(netreplytest.ResetStream(refusedStream), netreplytest.Answer{netreplytest.Body("again")}, netreplytest.ResetStream(internalError))
	fmt.Println(outcome(s))
	fmt.Println(outcome(s))
	// Output:
	// again
	// InternalServerError
}

func ExampleGoAway() {
	t := &exampleT{}
	defer t.end()
	const noError, enhanceYourCalm = 0, 11
	s := netreplytest.NewServer(t, netreplytest.HTTP2)
	s.Next(netreplytest.GoAway(noError), netreplytest.Answer{netreplytest.Body("again")}, netreplytest.GoAway(enhanceYourCalm))
	fmt.Println(outcome(s))
	fmt.Println(outcome(s))
	// Output:
	// again
	// UnknownServerError
}

// Everything that an answer can have.
func ExampleAnswer() {
	t := &exampleT{}
	defer t.end()
	s := netreplytest.NewServer(t, netreplytest.HTTP)
	s.Handle("/", netreplytest.Answer{
		netreplytest.Informational(103, "Link", "</style.css>; rel=preload"),
		netreplytest.Status(206), netreplytest.Header("Content-Type", "text/plain"),
		netreplytest.Body("first "), netreplytest.After(time.Millisecond),
		netreplytest.Slowly("and second", 5, time.Millisecond),
		netreplytest.Trailer("X-Checksum", "1234"),
	})
	r := s.Manager().Get(context.Background(), s.Request("/"))
	body, err := r.ReadAll()
	fmt.Println(r.StatusCode(), r.RawHeader("Content-Type"), string(body), err)
	fmt.Println((<-r.InformationalReceived()).StatusCode, r.Trailers().Get("X-Checksum"))
	// Output:
	// 206 text/plain first and second <nil>
	// 103 1234
}

// As a Backend an Answer takes the place of HTTP.
func ExampleAnswer_Serve() {
	answer := netreplytest.Answer{netreplytest.Body("no server at all")}
	m, err := netreply.NewManager(netreply.Config{Backends: map[string]netreply.Backend{"http": answer, "https": answer}})
	if err != nil {
		panic(err)
	}
	defer m.Close()
	req, err := netreply.NewRequest("https://www.example.org/")
	if err != nil {
		panic(err)
	}
	m.Get(context.Background(), req).WriteTo(os.Stdout)
	// Output: no server at all
}

// An answer that does not wait for the body of the request.
func ExampleEarly() {
	t := &exampleT{}
	defer t.end()
	s := netreplytest.NewServer(t, netreplytest.HTTP2)
	s.Handle("/", netreplytest.Answer{netreplytest.Early(), netreplytest.Status(403), netreplytest.Body("not you")})
	r := s.Manager().Post(context.Background(), s.Request("/"), netreply.StringBody(strings.Repeat("x", 10<<20)))
	body, _ := r.ReadAll()
	fmt.Println(r.StatusCode(), string(body), len(s.Requests()[0].Body))
	// Output: 403 not you 0
}

// A function that is given a Reply is tested without a server.
func ExampleReply() {
	t := &exampleT{}
	defer t.end()
	r := netreplytest.Reply(t,
		netreplytest.Status(200), netreplytest.Header("Content-Type", "text/plain"),
		netreplytest.Body("hel"), netreplytest.After(time.Millisecond), netreplytest.Body("lo"),
		netreplytest.Fail(netreply.RemoteHostClosedError))
	body, err := io.ReadAll(r)
	fmt.Println(string(body), errors.Is(err, netreply.RemoteHostClosedError))
	// Output: hello true
}

// A question of a Reply.
func ExampleSignal() {
	t := &exampleT{}
	defer t.end()
	r := netreplytest.Reply(t,
		netreplytest.Signal(netreply.SSLErrorsOccurred{SSLErrors: &netreply.SSLErrors{
			Errors: []netreply.SSLError{{Code: netreply.SSLCertificateExpired}}}}),
		netreplytest.Body("accepted"))
	q := <-r.SSLErrors()
	fmt.Println(q.Host, q.Errors[0].Code)
	q.Ignore()
	r.WriteTo(os.Stdout)
	// Output:
	// server.example CertificateExpired
	// accepted
}

// The steps after a Redirect are the answer of its target.
func ExampleRedirect() {
	t := &exampleT{}
	defer t.end()
	r := netreplytest.Reply(t, netreplytest.Redirect("/elsewhere"), netreplytest.Body("here"))
	body, err := r.ReadAll()
	fmt.Println(r.URL(), string(body), err)
	// Output: https://server.example/elsewhere here <nil>
}

func ExampleRecord() {
	t := &exampleT{}
	defer t.end()
	r := netreplytest.Reply(t, netreplytest.Status(404), netreplytest.Body("none"))
	ok := netreplytest.Record(r).Match(t, `SocketStartedConnecting Encrypted RequestSent MetaDataChanged(404)
		ReadyRead|DownloadProgress* ErrorOccurred(ContentNotFoundError) DownloadProgress(4/4) Finished`)
	fmt.Println(ok)
	// Output: true
}

// A Recorder that is told of each signal as it happens.
func ExampleRecorder() {
	t := &exampleT{}
	defer t.end()
	s := netreplytest.NewServer(t, netreplytest.HTTP)
	s.Handle("/", netreplytest.Answer{netreplytest.Body("hello")})
	var rec netreplytest.Recorder
	req := s.Request("/")
	req.OnSignal = rec.OnSignal
	s.Manager().Fetch(context.Background(), "GET", req, nil)
	fmt.Println(rec.Match(t, "... MetaDataChanged(200) ReadyRead ... DownloadProgress(5/5) Finished"))
	// Output: true
}
