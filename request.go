package netreply

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/idna"

	"github.com/netreply/netreply/internal/wire"
)

// Priority orders the requests that wait for a connection to the same host
// (rule N3).
type Priority int

const (
	NormalPriority Priority = iota
	HighPriority
	LowPriority
)

// HTTPVersion is a wish for the version of the protocol.
type HTTPVersion int

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
	// CookieLoadControl: with Manual no cookies of the jar are sent, on no hop; a
	// Cookie header of the caller's is. Automatic adds to it the jar's cookies of other
	// names (rule C1). The caller's goes to the origin of the request only (rule D11).
	CookieLoadControl LoadControl
	// AuthenticationReuse: with Manual no password is sent, known, asked for or in the
	// URL; a server that wants one gets its 401 shown (rule A12).
	AuthenticationReuse LoadControl
	// Bearer is where a token comes from that goes out with the request, to its own
	// origin only: never with a redirect to another one. A 401 makes it get a new
	// one, once. The token is readable by all on the way unless the URL is https.
	Bearer *TokenSource
	// Ask is what the reply waits for an answer to.
	Ask Questions
	// CookieSaveControl: with Manual no cookies are stored (rule A13).
	CookieSaveControl LoadControl
	// DecompressedSafetyCheckThreshold is the decoded size in bytes from which on a
	// body must not have grown more than 40 times (gzip, deflate) or 100 times (br,
	// zstd) by decoding; one that has fails with UnknownContentError (rule Z7). 0
	// means 10 MiB, below 0 any growth is fine.
	DecompressedSafetyCheckThreshold int64
	// DoNotBufferUploadData sends a sequential body as it comes instead of reading
	// it whole first. It cannot be sent a second time then (rule L4).
	DoNotBufferUploadData bool
	// EmitAllUploadProgress lifts the limit of one UploadProgress in 100 ms.
	EmitAllUploadProgress bool
	// HTTP is the version wished for.
	HTTP HTTPVersion
	// ConnectionCacheExpiry is how long the connection may lie idle afterwards:
	// 0 means the Manager's time, below 0 that it is closed (rule N11).
	ConnectionCacheExpiry time.Duration
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
	// LocalServerName is the Unix domain socket of a unix+http or local+http URL, whose
	// host goes into the Host field only (rule V8). Neither proxies nor the cookie jar
	// have to do with it.
	LocalServerName string
	// Proxy replaces what the Manager says; nil, or one of type DefaultProxy, does not.
	Proxy *Proxy
	// OnSignal is called for every signal, at the very point where it happens:
	// the transfer goes on when it returns. It is for what must be decided there,
	// such as an Abort at Encrypted before anything is sent (Qt: a direct
	// connection). It runs on the goroutines of the transfer, must not block, and
	// may call every method of the Reply; what would wait for the Reply fails with
	// ErrInsideOnSignal there.
	OnSignal func(*Reply, Event)

	attributes map[any]any
}

// NewRequest parses a URL. The error is an *Error of code
// ProtocolInvalidOperationError that names the problem. Whether there is a scheme that is
// offered, and a host, shows when the request is sent.
func NewRequest(rawURL string) (*Request, error) {
	u, err := parseURL(rawURL)
	if err != nil {
		return nil, localError(ProtocolInvalidOperationError, "Invalid URL", &FieldError{Field: "URL", Reason: err.Error()})
	}
	return &Request{URL: u}, nil
}

// parseURL parses as browsers and Qt do: a percent sign that encodes nothing
// stands for itself, the host is lower case, and the query is encoded. The error
// does not quote the URL, which may hold a password.
func parseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		u, err = url.Parse(encodePercent(raw))
	}
	if err != nil {
		return nil, errors.New(parseReason(err))
	}
	u.Host = strings.ToLower(u.Host)
	if name := u.Hostname(); name != "" && !strings.HasPrefix(u.Host, "[") {
		if ascii, err := asciiHost(name); err == nil {
			u.Host = ascii + strings.TrimPrefix(u.Host, name)
		}
	}
	u.RawQuery = encodeQuery(encodePercent(u.RawQuery))
	return u, nil
}

// parseReason is what net/url says, unless it quotes the URL: what it takes for a port or a
// host may be a password that ends early at a character that is not encoded.
func parseReason(err error) string {
	var ue *url.Error
	if errors.As(err, &ue) {
		switch reason := ue.Err.Error(); reason {
		case "empty url", "missing protocol scheme", "first path segment in URL cannot contain colon", "invalid URI for request",
			"net/url: invalid control character in URL", "net/url: invalid userinfo", "missing ']' in host":
			return reason
		}
	}
	return "its host or port is none; in a password, what is no letter or digit is percent-encoded"
}

// encodePercent writes the percent signs that two hexadecimal digits do not
// follow as %25.
func encodePercent(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		b.WriteByte(s[i])
		if s[i] == '%' && (i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2])) {
			b.WriteString("25")
		}
	}
	return b.String()
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// encodeQuery encodes what may not stand in a query (RFC 3986, section 3.4).
func encodeQuery(s string) string {
	const upper = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || c == '"' || c == '<' || c == '>' {
			b.Write([]byte{'%', upper[c>>4], upper[c&15]})
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// Clone returns a copy that shares nothing with q but SSLConfiguration, OnSignal and
// the values of attributes.
func (q *Request) Clone() *Request {
	if q == nil {
		return nil
	}
	c := new(Request)
	q.copyTo(c, new(url.URL))
	return c
}

// copyTo makes c, with u for its URL, an independent copy of q.
func (q *Request) copyTo(c *Request, u *url.URL) {
	*c = *q
	if q.URL != nil {
		*u = *q.URL
		c.URL = u
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
		return invalid("Invalid request", "URL", "", "there is none")
	}
	if !validToken(method) {
		reason := "a verb is letters, digits and some of the other characters, without blanks"
		if method == "" {
			reason = "there is none"
		}
		return invalid("Invalid verb", "verb", method, reason)
	}
	if scheme := q.URL.Scheme; isLocal(scheme) {
		if q.LocalServerName == "" {
			return localError(ProtocolUnknownError, `Protocol "`+scheme+`" is unknown`,
				&FieldError{Field: "LocalServerName", Reason: "it says where " + scheme + " connects to"})
		}
	} else if scheme != "http" && scheme != "https" {
		return localError(ProtocolUnknownError, `Protocol "`+scheme+`" is unknown`, unknownScheme(scheme))
	}
	if q.URL.Hostname() == "" {
		return localError(HostNotFoundError, "Host  not found", &FieldError{Field: "URL", Reason: "it names no host"})
	}
	if bad := checkTarget(q.URL); bad != nil {
		return localError(ProtocolInvalidOperationError, "Invalid "+bad.Field, bad)
	}
	if q.MaxRedirects > maxMaxRedirects {
		return invalid("Invalid request", "MaxRedirects", strconv.Itoa(q.MaxRedirects), "the most is "+strconv.Itoa(maxMaxRedirects))
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
	if err := q.SSLConfiguration.validate("Request.SSLConfiguration"); err != nil {
		return localError(ProtocolInvalidOperationError, "Invalid request", err)
	}
	if err := q.Proxy.validate("Request.Proxy"); err != nil {
		return localError(ProtocolInvalidOperationError, "Invalid request", err)
	}
	if host := q.Headers.Get("Host"); host != "" && !httpguts.ValidHostHeader(host) {
		return invalid("Invalid header value", "value of header Host", "", "it is a name or an address, and a port if need be")
	}
	return validateHeaders(q.Headers)
}

// What is wrong with a value that is none of those there are.
const (
	noConstant = "it is none of the constants of type "
	noQuestion = "it is no sum of the constants of type Questions"
)

// unknownScheme says what helps where a URL has a scheme that is not offered, or none.
func unknownScheme(scheme string) *FieldError {
	if scheme == "" {
		return &FieldError{Field: "URL", Reason: "it has no scheme; it begins with https:// or http://"}
	}
	return &FieldError{"scheme of the URL", scheme, "Manager.SupportedSchemes lists those that are offered"}
}

// isLocal tells that a scheme is HTTP over a local socket.
func isLocal(scheme string) bool { return scheme == "unix+http" || scheme == "local+http" }

// badControl finds a LoadControl that is none.
func (q *Request) badControl() (string, LoadControl) {
	switch good := func(c LoadControl) bool { return c == Automatic || c == Manual }; {
	case !good(q.CookieLoadControl):
		return "CookieLoadControl", q.CookieLoadControl
	case !good(q.AuthenticationReuse):
		return "AuthenticationReuse", q.AuthenticationReuse
	case !good(q.CookieSaveControl):
		return "CookieSaveControl", q.CookieSaveControl
	}
	return "", Automatic
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

// validToken tells whether s is a token of RFC 9110, section 5.6.2.
func validToken(s string) bool {
	return s != "" && httpguts.ValidHeaderFieldName(s)
}

// address gives the host:port to connect to, in ASCII.
func address(u *url.URL) (string, error) {
	if plainHost(u.Host) {
		return u.Host, nil
	}
	host, port := u.Hostname(), u.Port()
	if port == "" {
		port = "80"
		if u.Scheme == "https" {
			port = "443"
		}
	}
	host, err := asciiHost(host)
	if err != nil {
		return "", err
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + port, nil
}

// authority gives the host and, where there is one, the port of a URL as they go over the
// wire: in ASCII, and without the zone of an IPv6 address (RFC 6874, section 1).
func authority(u *url.URL) string {
	if plainHost(u.Host) {
		return u.Host
	}
	host, err := asciiHost(u.Hostname())
	if err != nil {
		return u.Host
	}
	if strings.Contains(host, ":") {
		host, _, _ = strings.Cut(host, "%")
		host = "[" + host + "]"
	}
	if port := u.Port(); port != "" {
		host += ":" + port
	}
	return host
}

// plainHost tells that a host with a port is an address as it stands.
func plainHost(host string) bool {
	port := false
	for i := range len(host) {
		switch c := host[i]; {
		case c == ':' && i > 0 && i < len(host)-1 && host[0] != '[':
			port = true
		case c >= 0x80, 'A' <= c && c <= 'Z', c == '[', c == ']', c == ':':
			return false
		}
	}
	return port
}

func asciiHost(host string) (string, error) {
	for i := range len(host) {
		if host[i] >= 0x80 {
			return idna.Lookup.ToASCII(host)
		}
	}
	return strings.ToLower(host), nil
}

// unresolvable tells that no resolver can know a name: the domain that is
// reserved for that (RFC 6761, section 6.4), and what ends in a number without
// being an address, for there is no such top-level domain.
func unresolvable(host string) bool {
	host = strings.TrimSuffix(host, ".")
	last := host[strings.LastIndexByte(host, '.')+1:]
	if strings.EqualFold(last, "invalid") {
		return true
	}
	if strings.Contains(host, ":") || !isNumber(last) {
		return false
	}
	_, err := netip.ParseAddr(host)
	return err != nil
}

// isNumber tells that a label is a number as C libraries read addresses.
func isNumber(label string) bool {
	hex := len(label) >= 2 && strings.EqualFold(label[:2], "0x")
	if hex {
		label = label[2:]
	}
	for i := range len(label) {
		if c := label[i]; (c < '0' || c > '9') && !(hex && isHex(c)) {
			return false
		}
	}
	return hex || label != ""
}

// unresolvableError says why no resolver is asked.
func unresolvableError(host string) error {
	why := "no name ends in a number, and it is no IPv4 address, which has four of them from 0 to 255"
	if strings.HasSuffix(strings.ToLower(strings.TrimSuffix(host, ".")), "invalid") {
		why = "names below .invalid never exist (RFC 6761)"
	}
	return &Error{Code: HostNotFoundError, Phase: PhaseResolve, Text: "Host " + host + " not found", Err: errors.New(quote(host) + ": " + why)}
}

// redact formats a URL without its password. In one that lacks a host, or that nobody has
// parsed, it may stand anywhere.
func redact(u *url.URL) string {
	switch {
	case u == nil:
		return ""
	case u.Host == "" && u.Scheme != "file" && *u != (url.URL{Scheme: u.Scheme}):
		return (&url.URL{Scheme: u.Scheme, Opaque: hidden}).String()
	case strings.Contains(u.Host, "@"):
		c := *u
		c.Host = withoutUser(c.Host)
		return c.Redacted()
	}
	return u.Redacted()
}

// withoutUser hides what stands before an @.
func withoutUser(s string) string {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		return hidden + s[i:]
	}
	return s
}

func quote(s string) string {
	if len(s) > 64 {
		s = s[:64] + "…"
	}
	return strconv.Quote(s)
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
