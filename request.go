package netreply

import (
	"context"
	"log/slog"
	"maps"
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

// LoadControl says whether the Manager does something automatically (Qt:
// QNetworkRequest::LoadControl).
type LoadControl int8

const (
	LoadAutomatic LoadControl = iota // the Manager does it (Qt: Automatic)
	LoadManual                       // the Manager does not (Qt: Manual)
)

// HTTPVersion is the version of the protocol that a request asks for.
type HTTPVersion int8

const (
	// HTTPAny uses HTTP/2 where ALPN selects it, and HTTP/1.1 otherwise, also after a
	// server of HTTP/2 has reset the request with HTTP_1_1_REQUIRED (rule E30).
	HTTPAny HTTPVersion = iota
	// HTTP1Only never offers HTTP/2.
	HTTP1Only
	// HTTP2Direct uses HTTP/2 without negotiation (prior knowledge); the only way to use it
	// for http URLs (RFC 9113, section 3.3).
	HTTP2Direct
)

// defaultMaxRedirects is Qt's (rule R20).
const defaultMaxRedirects = 50

// maxMaxRedirects bounds Request.MaxRedirects.
const maxMaxRedirects = 1000

// Request describes what to send. Its zero fields mean the Manager's defaults. Sending
// copies the Request, so that it can be changed and sent again at once. It must not be
// changed concurrently.
type Request struct {
	// URL has the scheme http or https, unix+http with LocalServerName, or one of those that
	// Manager.SupportedSchemes lists. The fragment is never sent, and the user information is
	// not sent as part of the request target.
	URL *url.URL
	// Headers are sent in net/http's order. Host is honoured; Content-Length may shorten
	// the body (rule H35), but not a CompressedBody; Transfer-Encoding is ignored. An
	// Authorization is sent as it is, and a 401 response to it is final (rule U4). With
	// Accept-Encoding or Range among them the body is delivered undecoded, otherwise its
	// content codings are decoded (rule Z2).
	Headers Headers
	// SecretHeaders names fields of Headers whose values are secrets, an API key for
	// instance, in addition to Config.SecretHeaders. Like Authorization they are not sent
	// to another origin after a redirect, and are never printed (D11).
	SecretHeaders []string
	// Bearer is the source of a bearer token that is sent to the origin of URL, never to
	// another origin after a redirect. After a 401 the reply fetches a new token, once.
	// Unless the URL is https, everyone on the network path can read the token.
	Bearer *TokenSource

	// LocalServerName is the path of the Unix domain socket for a unix+http or local+http
	// URL, whose host is used only for the Host field (rule V8). Such requests use neither
	// proxies nor the cookie jar.
	LocalServerName string
	// Proxy replaces the Manager's proxy; nil, or type DefaultProxy, does not.
	Proxy *Proxy
	// SSLConfiguration replaces that of the Manager.
	SSLConfiguration *SSLConfiguration
	// IgnoreSSLErrors are certificate flaws that do not fail the request. Every flaw must
	// be in the list, with the same certificate (rules T2 to T5); an SSLError without
	// Certificate stands only for a flaw that concerns no certificate. They are reported by
	// SSLErrors all the same. For hosts with an HSTS policy (Config.HSTS) no flaw is
	// ignored.
	IgnoreSSLErrors []SSLError
	// IgnoreAllSSLErrors ignores all certificate flaws, if IgnoreSSLErrors is empty: anyone
	// on the network path can then impersonate the server.
	IgnoreAllSSLErrors bool

	// Ask names the kinds of questions whose answer the reply waits for; the program
	// receives them from Reply.Questions or the channel of the kind. It has no effect if
	// Answer is set.
	Ask QuestionKinds
	// AuthenticationReuse: with LoadManual no stored, asked or URL password is sent; a 401
	// response is final (rule A12).
	AuthenticationReuse LoadControl
	// CookieLoadControl: with LoadManual no cookies of the jar are sent, on any hop; a
	// Cookie field in Headers is. With LoadAutomatic the jar's cookies of other names are
	// added to that field (rule C1), which is sent to the origin of the request only (rule
	// D11).
	CookieLoadControl LoadControl
	// CookieSaveControl: with LoadManual no cookies are stored (rule A13).
	CookieSaveControl LoadControl
	// CacheLoadControl says what the request may be answered with from Config.Cache.
	CacheLoadControl CacheLoadControl
	// CacheSaveControl: with LoadManual the response is not stored, and what is stored is not
	// updated by it. What it shows to be outdated is removed all the same.
	CacheSaveControl LoadControl
	// HTTP is the version of the protocol.
	HTTP HTTPVersion
	// Priority orders requests that wait for a connection.
	Priority Priority
	// Background marks a request that no user waits for; see Config.ForbidBackground.
	Background bool
	// Idempotent says that sending the request twice does no harm, whatever its method: a
	// POST that carries a key, for instance. It may then be sent again when a reused
	// connection breaks (rule D33). An Idempotency-Key field in Headers has the same
	// effect.
	Idempotent bool
	// DoNotBufferUploadData streams a sequential body instead of reading it into memory
	// first. Such a body cannot be sent a second time (rule L4).
	DoNotBufferUploadData bool
	// EmitAllUploadProgress lifts the limit of one UploadProgress in 100 ms.
	EmitAllUploadProgress bool
	// RedirectPolicy says which redirects are followed.
	RedirectPolicy RedirectPolicy
	// MaxRedirects is how many redirects may be followed: 0 means 50, below 0
	// none, and at most 1000.
	MaxRedirects int

	// TransferTimeout fails the reply with TimeoutError when the peer has sent nothing, and
	// accepted nothing of an upload, for this long. Time in which the transfer waits for
	// this side does not count: for the reader or writer of the body, the source of an
	// upload, an answer, OnSignal, or a free connection (rules N30 to N32). 0 means the
	// Manager's value; below 0 no limit.
	TransferTimeout time.Duration
	// MinRate fails the reply with TimeoutError when fewer bytes per second are received
	// (before decoding) and uploaded, on average over 10 s, while a body is transferred.
	// Time that does not count for TransferTimeout does not count here (rule N32), nor does
	// the wait for the response head. 0 means the Manager's value; below 0 no minimum.
	MinRate int64
	// ReadBufferSize is the number of unread bytes at which receiving pauses (rule B2): the
	// program must then read, or the reply never finishes. 0 means the Manager's value; below
	// 0 no limit.
	ReadBufferSize int64
	// MaxBodySize is the largest size in bytes of a body as the reader gets it. A larger
	// body fails the reply with UnknownContentError and a *SizeLimitError: at once if the
	// Content-Length of a body without codings exceeds the limit, otherwise after that many
	// bytes, which can be read. Bodies of redirects and of responses that the reply answers
	// with another request do not count. 0 means the Manager's value; below 0 no limit.
	MaxBodySize int64
	// DecompressedSafetyCheckThreshold is the decoded size in bytes from which a body must
	// not be more than 40 times (gzip, deflate) or 100 times (br, zstd) as large as its
	// encoded form; otherwise the reply fails with UnknownContentError (rule Z7). 0 means
	// 10 MiB, below 0 no check.
	DecompressedSafetyCheckThreshold int64
	// ConnectionCacheExpiry is how long the connection is kept idle afterwards: 0 means
	// Config.IdleTimeout, below 0 that it is closed (rule N11).
	ConnectionCacheExpiry time.Duration

	// CachePartition separates what is stored: responses to requests with one partition never
	// answer requests with another. "" is the partition of all requests that name none. It
	// separates nothing else: the cookies of the jar, and passwords that servers have accepted,
	// belong to the Manager. A server that sends requests for several users has a Manager for
	// each, which may share one Cache, or uses RoundTripper, which sends neither by itself, or
	// sets CookieLoadControl, CookieSaveControl and AuthenticationReuse to LoadManual.
	//
	// Without it only Authorization, client certificates and what Vary names tell users apart,
	// and not cookies.
	CachePartition string

	// Answer is called with every question of the reply, and answers by a method of the
	// question. It may take its time, to show a dialog for instance: TransferTimeout is
	// paused. A question that is unanswered when it returns gets the safe answer, see
	// Question. It is called for redirects only under UserVerifiedRedirectPolicy. nil means
	// the Manager's function.
	//
	// It runs on the goroutine of the transfer, one call at a time for each reply. ctx ends
	// with the reply; Answer should then return. Methods that would wait for the reply fail
	// with ErrInsideOnSignal.
	Answer func(ctx context.Context, q Question)
	// OnSignal is called for every signal, when it happens: the transfer continues when it
	// returns. It is for decisions at that point, such as an Abort at Encrypted before
	// anything is sent (Qt: a direct connection). It must not block, and may call every
	// method of the Reply; methods that would wait for the reply fail with
	// ErrInsideOnSignal.
	//
	// Calls for one Reply never overlap, and have the order of Events. They are made on the
	// goroutines of the transfer, or on the goroutine that ends the Reply: Abort makes the
	// last calls before it returns, unless a call is running; then Abort does not wait, and
	// the goroutine of that call makes the remaining ones.
	OnSignal func(*Reply, Event)

	attributes map[any]any
}

// NewRequest makes a Request for a URL. A URL that cannot be parsed is an *Error with code
// ProtocolInvalidOperationError. Scheme and host are checked when the request is sent.
func NewRequest(rawURL string) (*Request, error) {
	u, err := httpurl.Parse(rawURL)
	if err != nil {
		return nil, localError(ProtocolInvalidOperationError, "Invalid URL", &FieldError{Field: "URL", Reason: err.Error()})
	}
	return &Request{URL: u}, nil
}

// Clone returns a copy that shares with q only Answer, OnSignal, the values of attributes,
// and what SSLConfiguration.Clone shares.
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

// copyTo makes c an independent copy of q, except for SSLConfiguration.
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
	c.attributes = maps.Clone(q.attributes)
}

// setAttribute replaces the map, which an assigned copy of q may share.
func (q *Request) setAttribute(k, v any) {
	m := make(map[any]any, len(q.attributes)+1)
	maps.Copy(m, q.attributes)
	m[k] = v
	q.attributes = m
}

func (q *Request) clearAttribute(k any) {
	if _, ok := q.attributes[k]; ok {
		q.attributes = maps.Clone(q.attributes)
		delete(q.attributes, k)
	}
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

// validate returns an error for a request that cannot be sent whatever its scheme (rules
// L24 and S84).
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
	if q.CacheLoadControl < DefaultCacheLoadControl || q.CacheLoadControl > AlwaysCache {
		return invalid("Invalid request", "CacheLoadControl", strconv.Itoa(int(q.CacheLoadControl)), noConstant+"CacheLoadControl")
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

// unknownScheme is the error for a URL without a scheme, or with an unsupported one.
func unknownScheme(scheme string) *FieldError {
	if scheme == "" {
		return &FieldError{Field: "URL", Reason: "the scheme is missing; a URL begins with https:// or http://"}
	}
	if scheme == "file" {
		return noFiles()
	}
	return &FieldError{"scheme of the URL", scheme, "unsupported protocol scheme; Manager.SupportedSchemes lists those that are offered"}
}

// badControl finds a field that holds no constant of LoadControl, and returns its name; ""
// if there is none.
func (q *Request) badControl() (string, LoadControl) {
	switch good := func(c LoadControl) bool { return c == LoadAutomatic || c == LoadManual }; {
	case !good(q.CookieLoadControl):
		return "CookieLoadControl", q.CookieLoadControl
	case !good(q.AuthenticationReuse):
		return "AuthenticationReuse", q.AuthenticationReuse
	case !good(q.CookieSaveControl):
		return "CookieSaveControl", q.CookieSaveControl
	case !good(q.CacheSaveControl):
		return "CacheSaveControl", q.CacheSaveControl
	}
	return "", LoadAutomatic
}

// canonicalMethod returns the upper-case form of the methods that the Manager has verbs
// for, and of OPTIONS. All others are case-sensitive (RFC 9110, section 9.1).
func canonicalMethod(verb string) string {
	for _, m := range [...]string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions} {
		if len(m) == len(verb) && strings.EqualFold(m, verb) { // equal length: ASCII only
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

// idempotent reports whether the request may be processed twice without harm: because of
// its method, because the program says so, or because it carries an idempotency key (rule
// N11).
func (q *Request) idempotent(method string) bool {
	return q.repeatable() || flow.IdempotentMethod(method)
}

// repeatable is idempotent without the method.
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
