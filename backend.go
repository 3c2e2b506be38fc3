package netreply

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strings"

	"github.com/netreply/netreply/internal/flow"
	"github.com/netreply/netreply/internal/httpurl"
)

// Backend carries out the requests for a URL scheme, see Config.Backends. It takes the place
// of HTTP: the Reply has the same signals, limits and life cycle (Qt: a subclass of
// QNetworkReply). A Backend must be safe for concurrent use.
//
// A Backend may also be an Aborter, an SSLErrorsIgnorer, an SSLConfigurer or an
// SSLStateProvider.
type Backend interface {
	// Serve carries out one request. It runs on the goroutine of the reply, for Fetch on
	// the caller's, and the reply finishes when it returns, unless SetFinished was called.
	// Neither argument may be used afterwards.
	//
	// The reply fails at once with the end of its context, and when Redirect is refused or
	// Request.MaxBodySize exceeded. When Serve returns, it fails with the first of: the error
	// of SetError; the error that Serve returns; a body that is shorter than its
	// Content-Length (RemoteHostClosedError); and the status, if it is an error as in HTTP.
	// An error of Serve determines the code if it is or wraps a NetworkError or an *Error;
	// fs.ErrNotExist is ContentNotFoundError, fs.ErrPermission ContentAccessDenied,
	// context.Canceled OperationCanceledError, a timeout of net.Error TimeoutError,
	// io.ErrUnexpectedEOF RemoteHostClosedError, and any other error UnknownNetworkError.
	//
	// Serve should return when the request's context ends. The reply does not wait for it
	// then, but its goroutine does, and so does Manager.Close for a short time.
	Serve(*BackendRequest, ReplyWriter) error
}

// BackendFunc is a function as a Backend.
type BackendFunc func(*BackendRequest, ReplyWriter) error

// Serve calls f.
func (f BackendFunc) Serve(q *BackendRequest, w ReplyWriter) error { return f(q, w) }

// Aborter is a Backend that wants to be told when a reply ends before Serve has returned
// (Qt: QNetworkReply::abort): because of Abort, Close, a time limit, or the end of the
// context.
type Aborter interface {
	// Abort is called at most once for a request, on a goroutine of its own, and may run
	// longer than Serve.
	Abort(*BackendRequest)
}

// SSLErrorsIgnorer is a Backend with TLS whose certificate flaws can be ignored (Qt:
// ignoreSslErrorsImplementation).
type SSLErrorsIgnorer interface {
	// IgnoreSSLErrors is called with Request.IgnoreSSLErrors before Serve, if that is set,
	// and with nil for IgnoreAllSSLErrors; and with the flaws that the program ignores when
	// ReplyWriter.SSLErrors asks.
	IgnoreSSLErrors(*BackendRequest, []SSLError)
}

// SSLConfigurer is a Backend with TLS that can be configured (Qt:
// setSslConfigurationImplementation).
type SSLConfigurer interface {
	// SetSSLConfiguration is called before Serve, with a copy of the configuration of the
	// request or, if it has none, of the Manager; after a redirect to another origin it has no
	// identity (client certificates, PSK).
	SetSSLConfiguration(*BackendRequest, *SSLConfiguration)
}

// SSLStateProvider is a Backend with TLS that knows the state of the connection (Qt:
// sslConfigurationImplementation).
type SSLStateProvider interface {
	// SSLConfiguration is what Reply.SSLConfiguration returns. It is called from any
	// goroutine, during Serve and after it.
	SSLConfiguration(*BackendRequest) SSLState
}

// BackendRequest is a request for a Backend. Except for Body it may be used by any goroutine,
// and it must not be changed.
type BackendRequest struct {
	// Method is the method, in upper case for the usual ones.
	Method string
	// URL is the URL of the hop, with its user information and fragment.
	URL *url.URL
	// Headers are the fields of Request.Headers, and those that describe the body. After a
	// redirect to another origin they hold no secrets any more (D11).
	Headers Headers
	// Body is the body of the request, never nil. It reports UploadProgress while it is
	// read, ends with the reply's context, and does not have to be read to its end or
	// closed.
	Body io.Reader
	// ContentLength is the length of Body; 0 means that there is none, -1 that the length is
	// unknown.
	ContentLength int64
	// Request is a copy of the program's Request, with the Manager's defaults. After a
	// redirect it has the Headers above, and on another origin no Bearer, no password in URL,
	// and no identity in SSLConfiguration.
	Request *Request

	ctx context.Context
}

// Context ends with the reply.
func (q *BackendRequest) Context() context.Context {
	if q == nil || q.ctx == nil {
		return context.Background()
	}
	return q.ctx
}

// Operation is the kind of the request.
func (q *BackendRequest) Operation() Operation {
	if q == nil || q.Method == "" {
		return UnknownOperation
	}
	return operationOf(q.Method)
}

func (q *BackendRequest) printout() printout {
	p := printout{name: "netreply.BackendRequest"}
	p.addString("Method", q.Method)
	p.addString("URL", httpurl.Redacted(q.URL))
	if q.ContentLength != 0 {
		p.addNumber("ContentLength", q.ContentLength)
	}
	return p
}

// Format prints method, URL and length, without secrets.
func (q *BackendRequest) Format(s fmt.State, verb rune) {
	if q == nil {
		io.WriteString(s, "<nil>")
		return
	}
	q.printout().format(s, verb)
}

// LogValue is what log/slog prints: the same.
func (q *BackendRequest) LogValue() slog.Value {
	if q == nil {
		return slog.AnyValue(nil)
	}
	return q.printout().logValue()
}

// backendServer carries out requests by a Backend.
type backendServer struct{ b Backend }

func (s backendServer) check(*Request) error { return nil }

func (s backendServer) serve(r *Reply, body *flow.Payload, on *onward) error {
	for {
		next, err := newReplyWriter(r, s.b, body, on).serve()
		if next == nil || err != nil {
			return err
		}
		if on = next; !on.sendBody {
			body = nil
		}
		to := r.m.servers[on.url.Scheme]
		b, ok := to.(backendServer)
		if !ok {
			return to.serve(r, body, on)
		}
		s = b
	}
}

// validateBackends returns an error for each entry of Config.Backends that cannot be used.
func validateBackends(list map[string]Backend) (errs []error) {
	for _, scheme := range sortedKeys(list) {
		field := "Config.Backends[" + quote(scheme) + "]"
		switch {
		case !validScheme(scheme):
			errs = append(errs, &FieldError{Field: field, Reason: "a scheme consists of a lower-case letter, and lower-case letters, digits, +, - and . (RFC 3986, section 3.1)"})
		case httpurl.IsLocal(scheme):
			errs = append(errs, &FieldError{Field: field, Reason: "this scheme is HTTP over a local socket"})
		case isNil(list[scheme]):
			errs = append(errs, &FieldError{Field: field, Reason: "must not be nil"})
		}
	}
	if (list["http"] == nil) != (list["https"] == nil) {
		errs = append(errs, &FieldError{Field: "Config.Backends", Reason: "must replace both http and https, or neither: a redirect may lead from one to the other"})
	}
	return errs
}

func sortedKeys(list map[string]Backend) []string {
	keys := make([]string, 0, len(list))
	for k := range list {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// validScheme reports whether s is a scheme in the lower-case form that parsed URLs have.
func validScheme(s string) bool {
	return s != "" && 'a' <= s[0] && s[0] <= 'z' &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789+-.") == ""
}
