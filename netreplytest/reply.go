package netreplytest

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"

	"github.com/netreply/netreply"
)

// Reply is a running reply with the head, body, signals and failure that the steps say, at
// their times, for code that is given a *netreply.Reply; there is neither a server nor a
// connection. It is the reply to a GET of https://server.example/, ends with the test, and
// waits for answers to its questions. Its signals begin with SocketStartedConnecting, Encrypted
// and RequestSent, unless a Signal is one of them.
//
// It fails as the steps say: by a Fault, each with its code, or by a Status from 400 on.
func Reply(t TB, steps ...Step) *netreply.Reply {
	t.Helper()
	b := &hops{}
	for rest := steps; ; {
		i := slices.IndexFunc(rest, func(s Step) bool { _, ok := s.(redirectStep); return ok })
		if i < 0 {
			b.left = append(b.left, Answer(rest))
			break
		}
		b.left = append(b.left, Answer(rest[:i+1]))
		rest = rest[i+1:]
	}
	for _, a := range b.left {
		if wrong := a.misplaced(noServer); wrong != "" {
			t.Fatalf(prefix+"Reply: %s", wrong)
		}
	}
	m, err := netreply.NewManager(netreply.Config{
		Backends: map[string]netreply.Backend{"http": b, "https": b},
		Ask:      netreply.AskAuthentication | netreply.AskProxyAuthentication | netreply.AskSSLErrors,
	})
	if err != nil {
		t.Fatalf(prefix+"%v", err)
	}
	t.Cleanup(func() { m.Close() })
	req, err := netreply.NewRequest("https://" + Host + "/")
	if err != nil {
		t.Fatalf(prefix+"%v", err)
	}
	return m.Get(context.Background(), req)
}

// hops is the Backend of a Reply. Its requests follow each other.
type hops struct{ left []Answer }

func (b *hops) Serve(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
	a := b.left[0]
	b.left = b.left[1:]
	return a.Serve(q, w)
}

// Serve is the answer of a Backend.
func (a Answer) Serve(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
	if wrong := a.misplaced(noServer); wrong != "" {
		return fmt.Errorf(prefix+"%s", wrong)
	}
	s := &backendSink{q: q, w: w}
	if err := s.start(a); err != nil {
		return err
	}
	p := &player{sink: s}
	p.known, p.length = a.bodyLength()
	if !a.early() {
		if _, err := io.Copy(io.Discard, q.Body); err != nil {
			return err
		}
	}
	err := p.play(a)
	if err == nil {
		err = p.head()
	}
	return err
}

// Serve ends every reply with the fault.
func (f Fault) Serve(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
	return Answer{f}.Serve(q, w)
}

// backendSink is the sink of a Backend.
type backendSink struct {
	q        *netreply.BackendRequest
	w        netreply.ReplyWriter
	trailers netreply.Headers
}

// start emits the first signals, unless the answer has them.
func (s *backendSink) start(a Answer) error {
	at := nowhere
	for i, step := range a {
		switch step := step.(type) {
		case signalStep:
			switch step.event.(type) {
			case netreply.SocketStartedConnecting, netreply.Encrypted, netreply.RequestSent:
				return nil
			}
		case Fault:
			if i == 0 {
				at = step.at
			}
		}
	}
	if at == localOnly {
		return nil
	}
	list := []netreply.Event{netreply.SocketStartedConnecting{}}
	if at != connecting && at != handshake {
		if s.q.URL.Scheme == "https" {
			list = append(list, netreply.Encrypted{})
		}
		list = append(list, netreply.RequestSent{})
	}
	for _, e := range list {
		if err := s.signal(e); err != nil {
			return err
		}
	}
	return nil
}

func headersOf(fields []fieldStep) (h netreply.Headers) {
	for _, f := range fields {
		h.Add(f.name, f.value)
	}
	return h
}

func (s *backendSink) interim(status int, fields []fieldStep) error {
	return s.w.InformationalReceived(status, headersOf(fields))
}

func (s *backendSink) head(status int, fields []fieldStep) error {
	h := headersOf(slices.DeleteFunc(slices.Clone(fields), func(f fieldStep) bool {
		return http.CanonicalHeaderKey(f.name) == "Transfer-Encoding" // of the connection
	}))
	err := s.w.SetHeaders(h)
	if err == nil {
		err = s.w.SetAttribute(netreply.HTTPStatusCode, status)
	}
	if err == nil {
		err = s.w.SetAttribute(netreply.HTTPReasonPhrase, http.StatusText(status))
	}
	if err == nil {
		err = s.w.MetaDataChanged()
	}
	return err
}

func (s *backendSink) write(text string) error {
	_, err := io.WriteString(s.w, text)
	return err
}

func (s *backendSink) flush() error { return nil }

func (s *backendSink) trailer(name, value string) {
	s.trailers.Add(name, value)
	s.w.SetTrailers(s.trailers)
}

func (s *backendSink) redirect(status int, location string) error {
	if err := s.w.Redirect(location, status); err != nil {
		return err
	}
	return nil
}

func (s *backendSink) self() string { return s.q.URL.RequestURI() }

func (s *backendSink) requestHasBody() error { return nil }

func (s *backendSink) left() <-chan struct{} { return s.q.Context().Done() }

// fault ends the reply with the code of a fault, after the part of the answer that a server
// would have sent.
func (s *backendSink) fault(p *player, f Fault) error {
	if f.act != nil {
		if err := p.play(f.steps); err != nil {
			return err
		}
		if p.begun {
			if err := p.head(); err != nil {
				return err
			}
		}
	} else if len(f.steps) > 0 && !p.sent {
		if status, ok := f.steps[0].(statusStep); ok && status >= http.StatusBadRequest {
			return p.play(f.steps) // the status is the failure
		}
	}
	if f.stalls {
		<-s.q.Context().Done()
		return context.Cause(s.q.Context())
	}
	code := f.code
	if code == netreply.NoError { // of HTTP/2, whose codes a Backend does not know
		code = netreply.ProtocolFailure
	}
	return fmt.Errorf(prefix+"%v: %w", f, code)
}

// possible reports whether Signal can emit the event.
func (s signalStep) possible() bool {
	switch e := s.event.(type) {
	case netreply.SocketStartedConnecting, netreply.Encrypted, netreply.RequestSent, netreply.MetaDataChanged, netreply.DownloadProgress:
		return true
	case netreply.AuthenticationRequired:
		return e.Authenticator != nil
	case netreply.ProxyAuthenticationRequired:
		return e.ProxyAuthenticator != nil && e.ProxyAuthenticator.Authenticator != nil
	case netreply.SSLErrorsOccurred:
		return e.SSLErrors != nil
	}
	return false
}

func (s *backendSink) signal(e netreply.Event) (err error) {
	switch e := e.(type) {
	case netreply.SocketStartedConnecting:
		return s.w.SocketStartedConnecting()
	case netreply.Encrypted:
		return s.w.Encrypted(tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, ServerName: s.q.URL.Hostname()})
	case netreply.RequestSent:
		return s.w.RequestSent()
	case netreply.DownloadProgress:
		return s.w.Progress(e.Done, e.Total)
	case netreply.AuthenticationRequired:
		_, _, err = s.w.AuthenticationRequired(newAuthenticator(e.Authenticator))
	case netreply.ProxyAuthenticationRequired:
		_, _, err = s.w.ProxyAuthenticationRequired(&netreply.ProxyAuthenticator{
			Proxy: e.ProxyAuthenticator.Proxy, Authenticator: newAuthenticator(e.ProxyAuthenticator.Authenticator)})
	case netreply.SSLErrorsOccurred:
		host := e.SSLErrors.Host
		if host == "" {
			host = s.q.URL.Hostname()
		}
		err = s.w.SSLErrors(&netreply.SSLErrors{Host: host, Errors: e.SSLErrors.Errors, Chain: e.SSLErrors.Chain, Final: e.SSLErrors.Final})
	}
	return err
}

// newAuthenticator is a copy that has not been answered.
func newAuthenticator(a *netreply.Authenticator) *netreply.Authenticator {
	return &netreply.Authenticator{URL: a.URL, Realm: a.Realm, Scheme: a.Scheme, User: a.User, PreviousFailed: a.PreviousFailed}
}

// eventName is the name of a signal: that of the type of its event.
func eventName(e netreply.Event) string {
	if e == nil {
		return "nil"
	}
	return reflect.TypeOf(e).Name()
}
