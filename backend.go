package netreply

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strings"

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
	// then, but its goroutine does, and so does Manager.Close for a short time. Every call of a
	// method of ReplyWriter, and every Read of the request's body, is activity of the peer for
	// Request.TransferTimeout.
	//
	// If Serve panics, the reply ends as by Abort, and the panic goes on: for Fetch on the
	// caller's goroutine, otherwise it ends the program.
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
	// Headers are the fields of Request.Headers, and those that describe the body. No others
	// are added: no cookies, no User-Agent, and no token of Request.Bearer. After a redirect
	// to another origin they hold no secrets any more (D11). A Content-Length that the program
	// has set is that of Body, and missing if that is unknown or there is none.
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

func (q BackendRequest) printout() printout {
	p := printout{name: "netreply.BackendRequest"}
	p.addString("Method", q.Method)
	p.addString("URL", httpurl.Redacted(q.URL))
	if q.ContentLength != 0 {
		p.addNumber("ContentLength", q.ContentLength)
	}
	return p
}

// Format prints method, URL and length, without secrets.
func (q BackendRequest) Format(s fmt.State, verb rune) { q.printout().format(s, verb) }

// LogValue is what log/slog prints: the same.
func (q BackendRequest) LogValue() slog.Value { return q.printout().logValue() }

// ReplyWriter is what a Backend writes a Reply with (Qt: the protected members of
// QNetworkReply). A method that is called at the wrong time, or with a wrong argument, has no
// effect, and returns a *UsageError. When the reply has ended without the Backend, because of
// Abort, a limit or its context, the methods return the reason, as an *Error.
//
// Attributes, header fields and status become visible together, with MetaDataChanged, which
// is emitted at the first byte of the body, or at the end: of a reply that fails, if any of
// them was set. They cannot be changed any more then.
//
// A type that wraps a ReplyWriter embeds it: later versions may add methods.
//
// Methods must not be called concurrently, with one exception: while Write, ReadFrom, a Read
// of the request body or a question waits, other goroutines may call the rest, to end the wait
// by SetFinished for instance.
type ReplyWriter interface {
	// SetAttribute sets an attribute of the reply: one of HTTPStatusCode, HTTPReasonPhrase,
	// RedirectionTarget, ConnectionEncrypted, OriginalContentLength, HTTP2WasUsed, or a
	// UserAttribute, for which UserAttribute.OfReply returns it. The value must have the type of
	// the attribute. Without HTTPStatusCode the reply has no status. A status from 400 on fails
	// the reply with the code that it has in HTTP, after the body.
	SetAttribute(a AttributeKey, value any) error
	// SetHeader sets a header field to a typed value, such as ContentLengthHeader to an int64. The
	// value must have the type of the field.
	SetHeader(k HeaderKey, value any) error
	// SetRawHeader sets a header field to a text. An empty value removes the field (rule H22).
	SetRawHeader(name, value string) error
	// SetHeaders replaces all header fields.
	SetHeaders(h Headers) error
	// SetOperation sets what Reply.Operation and Reply.Method return. CustomOperation is possible
	// only for a request whose method is a custom one.
	SetOperation(o Operation) error
	// SetRequest sets what Reply.Request returns, to a copy. It does not change what is sent.
	SetRequest(q *Request) error
	// SetURL sets what Reply.URL returns, to a copy.
	SetURL(u *url.URL) error
	// MetaDataChanged makes the head visible and emits the signal of that name (rule S44). Write
	// calls it if it was not called before.
	MetaDataChanged() error

	// Write adds bytes to the body. It waits while the read buffer is full
	// (Request.ReadBufferSize). For a HEAD request the bytes are dropped. More bytes than
	// Content-Length are a *UsageError; more than Request.MaxBodySize fail the reply.
	Write(p []byte) (n int, err error)
	// ReadFrom adds everything that src returns to the body, like Write. It reads straight into
	// the read buffer.
	ReadFrom(src io.Reader) (n int64, err error)
	// SetTrailers sets the trailer fields of the reply, until its end.
	SetTrailers(h Headers) error

	// SetError sets the error with which the reply fails when Serve returns, or at SetFinished,
	// whatever Serve returns. The first error counts (rule S5). text is what Reply.ErrorString
	// returns; "" means the usual one for the code. NoError is not an error.
	SetError(code NetworkError, text string) error
	// SetFinished ends the reply, before Serve returns: with the error of SetError or, as at the
	// end of Serve, successfully. The request's context ends, too.
	SetFinished() error
	// Redirect redirects the reply to another URL, which may be relative, with one of the
	// statuses 301, 302, 303, 307 and 308 (rules R4 to R23): Serve should return afterwards. The
	// reply continues at the server of the target, which has the scheme of the request, http or
	// https. No other method may be called any more, nor while Redirect waits for the program.
	// Under ManualRedirectPolicy it does not: the redirect is the final response, and may
	// have a body. A redirect that the policy or the program refuses fails the reply, with the
	// returned *Error.
	Redirect(location string, status int) error

	// SocketStartedConnecting emits the signal of that name (rule S41).
	SocketStartedConnecting() error
	// Encrypted emits the signal of that name (rule S43), and sets what Reply.SSLConfiguration
	// tells about the connection.
	Encrypted(state tls.ConnectionState) error
	// RequestSent emits the signal of that name (rule S42).
	RequestSent() error
	// InformationalReceived emits the signal of that name, for an interim response with a status
	// from 100 to 199.
	InformationalReceived(status int, h Headers) error
	// Progress emits DownloadProgress, at most every 100 ms; total is -1 if unknown. It is for
	// progress before there are bytes of the body, which report theirs themselves (rule P2).
	Progress(received, total int64) error

	// AuthenticationRequired asks the program for a user name and a password (Qt:
	// authenticationRequired). Those in the URL and in Config.Credentials are not looked at: the
	// former are in BackendRequest.URL. q must be new; an empty URL becomes that of the
	// request. The error of a question that was not answered fails the reply with
	// AuthenticationRequiredError, if Serve returns it.
	AuthenticationRequired(q *Authenticator) (user, password string, err error)
	// ProxyAuthenticationRequired asks for a user name and a password for a proxy (Qt:
	// proxyAuthenticationRequired), like AuthenticationRequired; the code of its error is
	// ProxyAuthenticationRequiredError.
	ProxyAuthenticationRequired(q *ProxyAuthenticator) (user, password string, err error)
	// SSLErrors reports certificate flaws (Qt: sslErrors), and returns nil if they are ignored, by
	// the Request or by an answer. q must be new. The error of flaws that are not ignored fails
	// the reply with SslHandshakeFailedError, if Serve returns it.
	SSLErrors(q *SSLErrors) error
	// PreSharedKeyAuthenticationRequired asks for a pre-shared key (Qt:
	// preSharedKeyAuthenticationRequired). q must be new; a maximum of 0 becomes 65535, the largest
	// that TLS allows. The error of a question that was not
	// answered fails the reply with SslHandshakeFailedError, if Serve returns it.
	PreSharedKeyAuthenticationRequired(q *PreSharedKeyAuthenticator) (identity, key []byte, err error)
}

// AttributeKey is an Attribute or a UserAttribute, as a key of SetAttribute.
type AttributeKey interface {
	// String is the name of the attribute.
	String() string
	setIn(all *attributeValues, value any) (reason string)
	isUser() bool // set any time before the end
}

// HeaderKey is a KnownHeader, as a key of SetHeader.
type HeaderKey interface {
	setIn(h *Headers, value any) (reason string)
}

// UsageError is the error of a method of ReplyWriter that was called at the wrong time, or
// with a wrong argument.
type UsageError struct {
	Method string // of ReplyWriter
	Reason string
}

func (e *UsageError) Error() string { return "netreply: ReplyWriter." + e.Method + ": " + e.Reason }

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
		default:
			if b, ok := list[scheme].(fsBackend); ok && isNil(b.fsys) {
				errs = append(errs, &FieldError{Field: field, Reason: "FSBackend of a nil fs.FS"})
			}
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
