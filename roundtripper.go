package netreply

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"sync/atomic"

	"golang.org/x/net/http/httpguts"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/internal/flow"
)

// RoundTripperOptions says what a RoundTripper of Manager.RoundTripper does beyond sending a
// request and receiving its response. The zero value does nothing beyond that, which is
// what http.Client expects: it follows redirects and keeps cookies itself.
type RoundTripperOptions struct {
	// Cookies sends and stores the cookies of the Manager's jar.
	Cookies bool
	// Redirects follows redirects, as the RedirectPolicy of Request or of the Manager says.
	// Without it http.Client follows them, each by a new request. In both cases neither
	// Request.Bearer nor SecretHeaders nor the client certificate of SSLConfiguration goes to
	// another origin than that of the first request.
	Redirects bool
	// Credentials answers 401 responses: with Config.Credentials, Config.Negotiators,
	// Request.Bearer, the URL's password, and what Request.Answer gives. Request.Bearer sends
	// its token with every request that does not follow a redirect, whatever its origin.
	Credentials bool
	// ContentCodings asks for compressed bodies and delivers them decoded. Response.Uncompressed
	// tells it. A request with an Accept-Encoding or Range of its own gets what the server
	// sends.
	ContentCodings bool
	// CacheStatus, if not empty, adds a Cache-Status field (RFC 9211) to responses of a Manager
	// with Config.Cache, behind those of other caches on the way: what it did with the request,
	// under this name. A proxy uses the name of its host or its product. A 504 because of
	// only-if-cached has none.
	CacheStatus string

	// Request holds the settings of all requests, such as TransferTimeout, Proxy,
	// SSLConfiguration, HTTP, MaxBodySize, Answer and OnSignal; nil means the Manager's
	// defaults. Its URL and Headers are not used. Cookies, Redirects and Credentials take
	// precedence over its RedirectPolicy, CookieLoadControl, CookieSaveControl,
	// AuthenticationReuse and Bearer. A RoundTripper costs nothing: where settings such as
	// CachePartition differ, each has its own. A ReadBufferSize of 0 means that of the Manager
	// or, if that is 0 too, 64 KiB: the server is stopped when the body is not read.
	Request *Request
}

// defaultReadAhead is the ReadBufferSize of a RoundTripper.
const defaultReadAhead = 64 << 10

// RoundTripper makes an http.RoundTripper that sends requests through the Manager: for the
// Transport of an http.Client, and for libraries that take one. Connections, proxies, TLS,
// HSTS, AddressGuard, time limits and signals are those of the Manager's other requests;
// Config.OnSignal and Manager.Events tell of each request as of any other Reply. It is safe
// for concurrent use.
//
// It behaves as net/http documents for an http.RoundTripper and for the fields of
// http.Request and http.Response, with httptrace hooks, trailers and Expect: 100-continue.
// Errors are *Error values, and match context.Canceled, context.DeadlineExceeded and
// io.ErrUnexpectedEOF; that of a refused certificate is inside a
// *tls.CertificateVerificationError. A status of 400 and above is a response, not an error,
// even though the Reply fails with it. The context of a request ends the body as well, but
// not the connection after a 101 response, which is Response.Body. Request.Cancel is not
// supported.
//
// The schemes are those of Manager.SupportedSchemes, but files are not served, whatever
// Config.FileAccess says: a server could redirect the caller to them. A redirect that
// http.Client follows leads to http and https only, or stays in its scheme.
//
// Its method CloseIdleConnections, which http.Client.CloseIdleConnections calls, is
// ClearConnectionCache of the Manager. Manager.Close ends its requests.
func (m *Manager) RoundTripper(o RoundTripperOptions) http.RoundTripper {
	t := &roundTripper{m: m, codings: o.ContentCodings, cacheName: o.CacheStatus}
	if o.Request != nil {
		t.template = *o.Request.Clone()
	}
	q := &t.template
	q.URL, q.Headers = nil, Headers{}
	if !o.Redirects {
		q.RedirectPolicy = ManualRedirectPolicy
	}
	if !o.Cookies {
		q.CookieLoadControl, q.CookieSaveControl = LoadManual, LoadManual
	}
	if !o.Credentials {
		q.AuthenticationReuse, q.Bearer = LoadManual, nil
	}
	if q.ReadBufferSize == 0 && (m == nil || m.cfg.ReadBufferSize == 0) {
		q.ReadBufferSize = defaultReadAhead
	}
	return t
}

type roundTripper struct {
	m        *Manager
	template Request
	codings  bool

	cacheName string // of Cache-Status
}

// CloseIdleConnections is called by http.Client.CloseIdleConnections.
func (t *roundTripper) CloseIdleConnections() {
	if t.m != nil {
		t.m.ClearConnectionCache()
	}
}

// RoundTrip sends the request on a goroutine of its own, which ends with the response body
// or the context: RoundTrip returns as soon as that ends, whatever blocks the transfer.
func (t *roundTripper) RoundTrip(hr *http.Request) (*http.Response, error) {
	body, err := newRequestBody(hr)
	if err != nil {
		return nil, err
	}
	if err := t.checkScheme(hr); err != nil {
		body.close()
		return nil, err
	}
	q := t.template
	q.URL, q.Headers = hr.URL, requestFields(hr)
	if t.leftOrigin(hr) {
		t.dropSecrets(&q)
	}
	if hr.Close {
		q.ConnectionCacheExpiry = -1
	}
	r := t.m.newReply(hr.Context(), verbOf(hr), &q, body.asBody())
	h := &handover{r: r, request: hr, body: body, codings: t.codings, cacheName: t.cacheName, answered: make(chan struct{})}
	over := h.begin()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer body.close()
		r.run()
	}()
	return h.wait(over, ended)
}

// wait returns the response, or the error of the reply without one. over is closed when the
// reply has finished, ended when its goroutine has.
func (h *handover) wait(over, ended <-chan struct{}) (*http.Response, error) {
	select {
	case <-h.answered:
	case <-over:
		if err := h.r.Err(); err == nil || h.r.failedByStatus(err) {
			select { // there is a response, unless a callback has ended the goroutine before
			case <-h.answered:
			case <-ended:
			}
		}
	}
	select {
	case <-h.answered:
		return h.response, nil
	default:
	}
	if err := h.r.Err(); err != nil {
		return nil, transportError(err)
	}
	return nil, errNoResponse()
}

// checkScheme returns an error for a request that must not be sent because of its scheme (rule
// F12). Callers that follow redirects themselves rely on a RoundTripper to reach servers only.
func (t *roundTripper) checkScheme(hr *http.Request) error {
	to := hr.URL.Scheme
	if t.m != nil && t.m.servesFiles(to) {
		return localError(ProtocolUnknownError, `Protocol "`+to+`" is unknown`,
			&FieldError{"scheme of the URL", to, "unsupported protocol scheme of a RoundTripper; http.NewFileTransport serves files"})
	}
	redirect := hr.Response // which http.Client follows by this request
	if to == "http" || to == "https" || redirect == nil || redirect.Request == nil || redirect.Request.URL == nil || to == redirect.Request.URL.Scheme {
		return nil
	}
	return localError(ProtocolUnknownError, "Unknown protocol specified",
		&FieldError{"scheme of Location", to, "unsupported protocol scheme; redirects are followed to http and https only"})
}

// errNoResponse is the error of a reply that has ended well without a response: a callback of
// the program has ended its goroutine.
func errNoResponse() error {
	return localError(OperationCanceledError, "Operation canceled", errAborted)
}

// leftOrigin reports whether http.Client makes the request to follow redirects that lead to
// another origin than that of the first request.
func (t *roundTripper) leftOrigin(hr *http.Request) bool {
	first := hr
	for n := 0; first.Response != nil && first.Response.Request != nil && n < maxMaxRedirects; n++ {
		first = first.Response.Request
	}
	return first != hr && first.URL != nil && t.m != nil && t.m.flow != nil && !t.m.flow.SameOrigin(first.URL, hr.URL)
}

// dropSecrets removes what is meant for the origin of the first request only (D11), as far as
// http.Client does not know it.
func (t *roundTripper) dropSecrets(q *Request) {
	q.Bearer = nil
	for _, names := range [...][]string{t.m.cfg.SecretHeaders, q.SecretHeaders} {
		for _, name := range names {
			q.Headers.Del(name)
		}
	}
	if q.SSLConfiguration == nil {
		q.SSLConfiguration = t.m.cfg.SSLConfiguration
	}
	q.SSLConfiguration = q.SSLConfiguration.Clone()
	q.SSLConfiguration.dropIdentity()
}

// transportError is the error of a RoundTripper. Callers of an http.Client tell a refused
// certificate by the type of url.Error.Err itself.
func transportError(err error) error {
	var refused *CertificateError
	if errors.As(err, &refused) {
		return &tls.CertificateVerificationError{UnverifiedCertificates: refused.Chain, Err: err}
	}
	return err
}

// verbOf is the method of a request, where "" means GET.
func verbOf(hr *http.Request) string {
	if hr.Method == "" {
		return http.MethodGet
	}
	return hr.Method
}

// requestFields are the fields of a request, with its Host and without the fields that
// net/http ignores.
func requestFields(hr *http.Request) Headers {
	list := make([]headers.Field, 0, len(hr.Header)+1)
	for name, value := range headers.FromHTTP(hr.Header).All() {
		switch textproto.CanonicalMIMEHeaderKey(name) {
		case "Host", "Content-Length", "Transfer-Encoding", "Trailer":
			continue
		}
		list = append(list, headers.Field{Name: name, Value: value})
	}
	if agent, set := hr.Header["User-Agent"]; set && len(agent) == 0 { // none is to be sent
		list = append(list, headers.Field{Name: "User-Agent"})
	}
	if hr.Host != "" && hr.Host != hr.URL.Host {
		host, err := httpguts.PunycodeHostPort(hr.Host)
		if err != nil {
			host = hr.Host // which is refused
		}
		list = append(list, headers.Field{Name: "Host", Value: host})
	}
	return headers.FromFields(list)
}

// handover takes the response of a reply for a RoundTripper.
type handover struct {
	r       *Reply
	request *http.Request
	body    *requestBody
	codings bool

	cacheName string
	response  *http.Response // set before answered is closed
	answered  chan struct{}
}

var _ taker = (*handover)(nil)

// begin prepares the reply, before it runs. The method is sent as it is spelled. The channel
// is closed when the reply finishes.
func (h *handover) begin() (over <-chan struct{}) {
	r := h.r
	r.mu.Lock()
	defer r.mu.Unlock()
	r.more().taker, r.method = h, verbOf(h.request)
	if r.done == nil {
		r.done = make(chan struct{})
		if r.state == finished { // by Manager.Close
			close(r.done)
		}
	}
	return r.done
}

func (h *handover) adjust(q *flow.Request) {
	q.Verbatim, q.NoDecoding, q.Close = true, !h.codings, h.request.Close
}

// take makes the response.
func (h *handover) take(resp *http.Response, conn net.Conn) {
	r := h.r
	h.body.settle()
	out := &http.Response{Status: resp.Status, StatusCode: resp.StatusCode, Proto: resp.Proto, ProtoMajor: resp.ProtoMajor, ProtoMinor: resp.ProtoMinor,
		Header: resp.Header.Clone(), ContentLength: resp.ContentLength, TransferEncoding: resp.TransferEncoding, Close: resp.Close, Request: h.request}
	for name := range resp.Trailer {
		if out.Trailer == nil {
			out.Trailer = http.Header{}
		}
		out.Trailer[name] = nil
	}
	r.mu.Lock()
	if h.cacheName != "" {
		r.addCacheStatus(out.Header, h.cacheName)
	}
	out.TLS = r.tls
	out.Uncompressed = r.head.decoded && !r.head.noBody
	if r.hops > 0 {
		out.Request = h.request.WithContext(h.request.Context())
		u := *r.url
		out.Request.Method, out.Request.URL = r.method, &u
	}
	r.mu.Unlock()
	if out.Uncompressed {
		out.Header.Del("Content-Encoding")
		out.Header.Del("Content-Length")
	}
	switch {
	case conn != nil:
		out.Body = conn
	case resp.Body == http.NoBody:
		out.Body = http.NoBody
	default:
		out.Body = &responseBody{r: r, response: out}
	}
	h.response = out
	close(h.answered)
}

// responseBody is the body of a response of a RoundTripper.
type responseBody struct {
	r        *Reply
	response *http.Response
	ended    bool // used by the reader only
	closed   atomic.Bool
}

var _ io.WriterTo = (*responseBody)(nil)

func (b *responseBody) Read(p []byte) (int, error) {
	n, err := b.r.pipe.Read(p)
	if err != nil {
		err = b.end(err)
	}
	return n, err
}

// WriteTo writes the body to w without another copy of the data.
func (b *responseBody) WriteTo(w io.Writer) (int64, error) {
	n, err := b.r.pipe.WriteTo(w)
	if err == nil {
		err = io.EOF
	}
	if err = b.end(err); err == io.EOF {
		err = nil
	}
	return n, err
}

// end fills in the trailers at the end of the body, which an error status does not change.
func (b *responseBody) end(err error) error {
	switch {
	case b.closed.Load():
		return http.ErrBodyReadAfterClose
	case b.r.failedByStatus(err):
		err = io.EOF
	}
	if err != io.EOF || b.ended {
		return err
	}
	b.ended = true
	for name, value := range b.r.Trailers().All() {
		if b.response.Trailer == nil {
			b.response.Trailer = http.Header{}
		}
		b.response.Trailer.Add(name, value)
	}
	return err
}

// failedByStatus reports whether the reply has failed with err only because of the status of
// its response, which is complete.
func (r *Reply) failedByStatus(err error) bool {
	var e *Error
	if !errors.As(err, &e) || !e.isStatus() {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.complete
}

// Close ends the request if its body has not come to its end.
func (b *responseBody) Close() error {
	b.closed.Store(true)
	return b.r.Close()
}
