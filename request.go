package netreply

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/netreply/netreply/internal/flow"
	"github.com/netreply/netreply/internal/httpurl"
	"github.com/netreply/netreply/internal/wire"
)

// Priority orders the requests that wait for a connection to the same host
// (rule N3).
type Priority int8

const (
	NormalPriority Priority = iota
	HighPriority
	LowPriority
)

// LoadControl says whether the Manager does something by itself or leaves it to
// the program (Qt: QNetworkRequest::LoadControl).
type LoadControl int8

const (
	LoadAutomatic LoadControl = iota // the Manager does it (Qt: Automatic)
	LoadManual                       // the program does, or nobody (Qt: Manual)
)

// HTTPVersion is a wish for the version of the protocol.
type HTTPVersion int8

const (
	// HTTPAny uses HTTP/2 where TLS agrees on it, and HTTP/1.1 otherwise, also where a
	// server of HTTP/2 has asked for it by HTTP_1_1_REQUIRED (rule E30).
	HTTPAny HTTPVersion = iota
	// HTTP1Only never offers HTTP/2.
	HTTP1Only
	// HTTP2Direct speaks HTTP/2 from the first byte, without asking; the only
	// way to have it on http URLs (RFC 9113, section 3.3).
	HTTP2Direct
)

// defaultMaxRedirects is Qt's (rule R20).
const defaultMaxRedirects = 50

// maxMaxRedirects bounds Request.MaxRedirects.
const maxMaxRedirects = 1000

// Request describes what to send. Its zero fields mean the Manager's defaults.
// Sending copies it, so that it can be changed and sent again at once; it is
// not for concurrent change.
type Request struct {
	// URL of scheme http or https, or unix+http with LocalServerName. Sending never sends the fragment or, as part
	// of the target, the user information.
	URL *url.URL
	// Headers are sent in net/http's order. Host is honoured; Content-Length may
	// shorten the body (rule H35); Transfer-Encoding is not the caller's. An
	// Authorization is sent as it is, and a 401 to it is shown (rule U4). With
	// Accept-Encoding or Range among them the body is delivered as it comes, else
	// its content codings are taken off (rule Z2).
	Headers Headers
	// SecretHeaders names fields of Headers that are secrets, in addition to
	// Config.SecretHeaders: an API key, for instance. Like Authorization they do not
	// go to another origin with a redirect, and are never printed (D11).
	SecretHeaders []string
	// Bearer is where a token comes from that goes out with the request, to its own
	// origin only: never with a redirect to another one. A 401 makes it get a new
	// one, once. The token is readable by all on the way unless the URL is https.
	Bearer *TokenSource

	// LocalServerName is the Unix domain socket of a unix+http or local+http URL, whose
	// host goes into the Host field only (rule V8). Neither proxies nor the cookie jar
	// have to do with it.
	LocalServerName string
	// Proxy replaces what the Manager says; nil, or one of type DefaultProxy, does not.
	Proxy *Proxy
	// SSLConfiguration replaces that of the Manager.
	SSLConfiguration *SSLConfiguration
	// IgnoreSSLErrors are flaws of certificates that do not keep the request from being
	// sent: every flaw must be in the list, of the same certificate (rules T2 to T5); an
	// SSLError without Certificate stands for a flaw that is about none, not for any.
	// They are reported by SSLErrors all the same. Hosts that are known to want TLS
	// (Config.HSTS) do not get away with any.
	IgnoreSSLErrors []SSLError
	// IgnoreAllSSLErrors goes on whatever is wrong, if IgnoreSSLErrors is empty: whoever
	// is on the way can be the server.
	IgnoreAllSSLErrors bool

	// Ask is what the reply waits for an answer to, by way of Reply.Questions or the
	// channel of the kind. Without an effect where there is an Answer.
	Ask QuestionKinds
	// AuthenticationReuse: with LoadManual no password is sent, known, asked for or in the
	// URL; a server that wants one gets its 401 shown (rule A12).
	AuthenticationReuse LoadControl
	// CookieLoadControl: with LoadManual no cookies of the jar are sent, on no hop; a
	// Cookie header of the caller's is. LoadAutomatic adds to it the jar's cookies of other
	// names (rule C1). The caller's goes to the origin of the request only (rule D11).
	CookieLoadControl LoadControl
	// CookieSaveControl: with LoadManual no cookies are stored (rule A13).
	CookieSaveControl LoadControl
	// HTTP is the version wished for.
	HTTP HTTPVersion
	// Priority orders requests that wait for a connection.
	Priority Priority
	// Background marks a request that nobody waits for; see
	// Config.ForbidBackground.
	Background bool
	// Idempotent says that sending the request twice does no harm, whatever its
	// method: a POST that carries a key, for instance. It may then be repeated
	// when a kept connection breaks (rule D33). An Idempotency-Key among Headers says the
	// same.
	Idempotent bool
	// DoNotBufferUploadData sends a sequential body as it comes instead of reading
	// it whole first. It cannot be sent a second time then (rule L4).
	DoNotBufferUploadData bool
	// EmitAllUploadProgress lifts the limit of one UploadProgress in 100 ms.
	EmitAllUploadProgress bool
	// RedirectPolicy is what to do about redirects.
	RedirectPolicy RedirectPolicy
	// MaxRedirects is how many redirects may be followed: 0 means 50, below 0
	// none, and at most 1000.
	MaxRedirects int

	// TransferTimeout fails the reply with TimeoutError when its peer was silent for so long:
	// sent nothing, and took nothing of an upload. Waits for something of ours do not count:
	// for a reader, a writer, a source, an answer, OnSignal, or a connection that is in use
	// (rules N30 to N32). 0 means the Manager's; below 0 none.
	TransferTimeout time.Duration
	// MinRate fails the reply with TimeoutError when its peer is slower: when fewer
	// bytes per second have come, as they are on the wire, and been taken of an upload, in
	// the average of 10 s while a body is on its way. What does not count against
	// TransferTimeout does not here (rule N32), nor does the wait for the head. 0 means
	// the Manager's; below 0 any rate will do.
	MinRate int64
	// ReadBufferSize stops the peer while that many bytes are unread (rule B2).
	// 0 means the Manager's; below 0 no limit.
	ReadBufferSize int64
	// MaxBodySize fails a reply whose body has more bytes, as they are delivered to the
	// reader, with UnknownContentError and a *SizeLimitError: at once where the
	// Content-Length of a body without codings says so, else behind that many bytes,
	// which can be read. Bodies of redirects and of responses to which the reply sends
	// another request do not count. 0 means the Manager's; below 0 no limit.
	MaxBodySize int64
	// DecompressedSafetyCheckThreshold is the decoded size in bytes from which on a
	// body must not have grown more than 40 times (gzip, deflate) or 100 times (br,
	// zstd) by decoding; one that has fails with UnknownContentError (rule Z7). 0
	// means 10 MiB, below 0 any growth is fine.
	DecompressedSafetyCheckThreshold int64
	// ConnectionCacheExpiry is how long the connection may lie idle afterwards:
	// 0 means the Manager's time, below 0 that it is closed (rule N11).
	ConnectionCacheExpiry time.Duration

	// Answer is called with every question of the reply, and answers by a verb of the
	// question. It may take its time: TransferTimeout stands still while it shows a dialog.
	// What is open when it returns gets the safe answer, see Question. About a redirect it is
	// asked under UserVerifiedRedirectPolicy only, since the other policies decide by
	// themselves. nil means the Manager's.
	//
	// It runs on the goroutine of the transfer, one call at a time for each reply. ctx ends with
	// the reply, and then Answer should return. What would wait for the reply fails with
	// ErrInsideOnSignal there.
	Answer func(ctx context.Context, q Question)
	// OnSignal is called for every signal, at the very point where it happens:
	// the transfer goes on when it returns. It is for what must be decided there,
	// such as an Abort at Encrypted before anything is sent (Qt: a direct
	// connection). It must not block, and may call every method of the Reply; what
	// would wait for the Reply fails with ErrInsideOnSignal there.
	//
	// Calls for one Reply never overlap, and come in the order of Events. They come on the
	// goroutines of the transfer, or on the one that ends the Reply: an Abort makes the last
	// calls before it returns, unless a call is running, which it does not wait for. Then the
	// goroutine of that call makes them.
	OnSignal func(*Reply, Event)

	attributes map[any]any
}

// NewRequest parses a URL. The error is an *Error of code
// ProtocolInvalidOperationError that names the problem. Whether there is a scheme that is
// offered, and a host, shows when the request is sent.
func NewRequest(rawURL string) (*Request, error) {
	u, err := httpurl.Parse(rawURL)
	if err != nil {
		return nil, localError(ProtocolInvalidOperationError, "Invalid URL", &FieldError{Field: "URL", Reason: err.Error()})
	}
	return &Request{URL: u}, nil
}

// Clone returns a copy that shares nothing with q but Answer, OnSignal and the values of
// attributes, and what SSLConfiguration.Clone shares.
func (q *Request) Clone() *Request {
	if q == nil {
		return nil
	}
	c := new(Request)
	q.copyTo(c)
	if q.SSLConfiguration != nil {
		c.SSLConfiguration = q.SSLConfiguration.Clone()
	}
	return c
}

// copyTo makes c an independent copy of q, but for SSLConfiguration.
func (q *Request) copyTo(c *Request) {
	*c = *q
	if q.URL != nil {
		u := *q.URL
		c.URL = &u
	}
	c.Headers = q.Headers.Clone()
	c.SecretHeaders = slices.Clone(q.SecretHeaders)
	c.IgnoreSSLErrors = slices.Clone(q.IgnoreSSLErrors)
	c.Proxy = q.Proxy.clone()
	c.attributes = nil
	for k, v := range q.attributes {
		c.setAttribute(k, v)
	}
}

func (q *Request) setAttribute(k, v any) {
	if q.attributes == nil {
		q.attributes = map[any]any{}
	}
	q.attributes[k] = v
}

func (q *Request) maxRedirects() int {
	switch {
	case q.MaxRedirects < 0:
		return 0
	case q.MaxRedirects == 0:
		return defaultMaxRedirects
	}
	return q.MaxRedirects
}

// validate finds what cannot be sent, before anything is (rules L24 and S84).
func (q *Request) validate(method string) error {
	invalid := func(text, field, value, reason string) error {
		return localError(ProtocolInvalidOperationError, text, &FieldError{field, value, reason})
	}
	if q.URL == nil {
		return invalid("Invalid request", "URL", "", required)
	}
	if !validToken(method) {
		reason := "must consist of letters, digits and a few other characters, without spaces (RFC 9110, section 9.1)"
		if method == "" {
			reason = required
		}
		return invalid("Invalid verb", "verb", method, reason)
	}
	if scheme := q.URL.Scheme; httpurl.IsLocal(scheme) {
		if q.LocalServerName == "" {
			return localError(ProtocolUnknownError, `Protocol "`+scheme+`" is unknown`,
				&FieldError{Field: "LocalServerName", Reason: required + ": it says where " + scheme + " connects to"})
		}
	} else if scheme != "http" && scheme != "https" {
		return localError(ProtocolUnknownError, `Protocol "`+scheme+`" is unknown`, unknownScheme(scheme))
	}
	if q.URL.Hostname() == "" {
		return localError(HostNotFoundError, "Host  not found", &FieldError{Field: "URL", Reason: "the host is missing"})
	}
	if bad := httpurl.Check(q.URL); bad != nil {
		return localError(ProtocolInvalidOperationError, "Invalid "+bad.Field, (*FieldError)(bad))
	}
	if q.MaxRedirects > maxMaxRedirects {
		return invalid("Invalid request", "MaxRedirects", strconv.Itoa(q.MaxRedirects), "must be at most "+strconv.Itoa(maxMaxRedirects))
	}
	if q.RedirectPolicy < DefaultRedirectPolicy || q.RedirectPolicy > UserVerifiedRedirectPolicy {
		return invalid("Invalid request", "RedirectPolicy", strconv.Itoa(int(q.RedirectPolicy)), noConstant+"RedirectPolicy")
	}
	if q.Priority < NormalPriority || q.Priority > LowPriority {
		return invalid("Invalid request", "Priority", strconv.Itoa(int(q.Priority)), noConstant+"Priority")
	}
	if q.HTTP < HTTPAny || q.HTTP > HTTP2Direct {
		return invalid("Invalid request", "HTTP", strconv.Itoa(int(q.HTTP)), noConstant+"HTTPVersion")
	}
	if name, c := q.badControl(); name != "" {
		return invalid("Invalid request", name, strconv.Itoa(int(c)), noConstant+"LoadControl")
	}
	if q.Ask&^allQuestions != 0 {
		return invalid("Invalid request", "Ask", strconv.Itoa(int(q.Ask)), noQuestion)
	}
	if err := validateSecretHeaders("Request.SecretHeaders", q.SecretHeaders); err != nil {
		return localError(ProtocolInvalidOperationError, "Invalid request", err)
	}
	if err := q.Proxy.validate("Request.Proxy"); err != nil {
		return localError(ProtocolInvalidOperationError, "Invalid request", err)
	}
	if host := q.Headers.Get("Host"); host != "" && !httpguts.ValidHostHeader(host) {
		return invalid("Invalid header value", "value of header Host", "", "must be a name or an address, with a port where it is not the usual one")
	}
	return validateHeaders(q.Headers)
}

// unknownScheme says what helps where a URL has a scheme that is not offered, or none.
func unknownScheme(scheme string) *FieldError {
	if scheme == "" {
		return &FieldError{Field: "URL", Reason: "the scheme is missing; a URL begins with https:// or http://"}
	}
	return &FieldError{"scheme of the URL", scheme, "Manager.SupportedSchemes lists those that are offered"}
}

// badControl finds a LoadControl that is none.
func (q *Request) badControl() (string, LoadControl) {
	switch good := func(c LoadControl) bool { return c == LoadAutomatic || c == LoadManual }; {
	case !good(q.CookieLoadControl):
		return "CookieLoadControl", q.CookieLoadControl
	case !good(q.AuthenticationReuse):
		return "AuthenticationReuse", q.AuthenticationReuse
	case !good(q.CookieSaveControl):
		return "CookieSaveControl", q.CookieSaveControl
	}
	return "", LoadAutomatic
}

// canonicalMethod gives the methods that the Manager has verbs for, and OPTIONS, their
// own spelling, however the program wrote them. All others are case-sensitive
// (RFC 9110, section 9.1).
func canonicalMethod(verb string) string {
	for _, m := range [...]string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions} {
		if len(m) == len(verb) && strings.EqualFold(m, verb) { // of one length: ASCII only
			return m
		}
	}
	return verb
}

func (p Priority) wire() wire.Priority {
	switch p {
	case HighPriority:
		return wire.High
	case LowPriority:
		return wire.Low
	}
	return wire.Normal
}

// idempotent tells whether a request may be carried out twice without harm: by its method,
// by the word of the program, or since the server keeps a key of it (rule N11).
func (q *Request) idempotent(method string) bool {
	return q.repeatable() || flow.IdempotentMethod(method)
}

// repeatable is idempotent apart from the method.
func (q *Request) repeatable() bool {
	return q.Idempotent || q.Headers.Has("Idempotency-Key") || q.Headers.Has("X-Idempotency-Key")
}

// String returns the name of the constant.
func (p Priority) String() string {
	return nameOf("Priority", int(p), "NormalPriority", "HighPriority", "LowPriority")
}

// LogValue is what log/slog prints: the same as String.
func (p Priority) LogValue() slog.Value { return slog.StringValue(p.String()) }

// String returns the name of the constant.
func (c LoadControl) String() string {
	return nameOf("LoadControl", int(c), "LoadAutomatic", "LoadManual")
}

// LogValue is what log/slog prints: the same as String.
func (c LoadControl) LogValue() slog.Value { return slog.StringValue(c.String()) }

// String returns the name of the constant.
func (v HTTPVersion) String() string {
	return nameOf("HTTPVersion", int(v), "HTTPAny", "HTTP1Only", "HTTP2Direct")
}

// LogValue is what log/slog prints: the same as String.
func (v HTTPVersion) LogValue() slog.Value { return slog.StringValue(v.String()) }
