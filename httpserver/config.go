package httpserver

import (
	"crypto/tls"
	"errors"
	"log"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"time"
)

// Config configures a Server. The zero value has Qt's limits. A limit below 0 is none,
// where that is said. Settings that have no effect beside others are an error of NewServer.
type Config struct {
	// MaxBodySize is the largest request body in bytes: 0 means 32 MiB, below 0 no limit. A request whose
	// Content-Length says that it is larger gets 413 without reaching middleware or a handler;
	// otherwise reading the body fails with an *http.MaxBytesError, of which the handler makes
	// the answer (ProblemOf makes 413).
	MaxBodySize int64
	// MaxURLSize is the longest request target in bytes: 0 means 64 KiB, below 0 no limit. Longer ones
	// get 414. As every answer that the Server gives by itself, this one has no body if there
	// is no ErrorHandler.
	MaxURLSize int
	// MaxHeaderSize is the largest sum of the header fields in bytes: 0 means 64 KiB, below 0 no limit.
	// Larger ones get 431.
	MaxHeaderSize int
	// MaxHeaderFieldSize is the largest header field in bytes: 0 means 48 KiB, below 0 no limit. Larger
	// ones get 431.
	MaxHeaderFieldSize int
	// MaxHeaderFields is the largest number of header fields: 0 means 128, below 0 no limit. More get
	// 431.
	MaxHeaderFields int
	// MaxConnections is how many connections may be open at one time, 0 for any number.
	// Those beyond are closed as they come, and Logger has a record of each, at
	// slog.LevelDebug. One that a handler has taken over, such as a WebSocket, is no longer
	// counted.
	MaxConnections int
	// MaxConnectionsPerHost is the same for the connections of one client, which is known by
	// its address, of IPv6 by its network (/64): the address that the listener gives when the
	// connection comes.
	MaxConnectionsPerHost int
	// RateLimit is how many requests a second one client may send, 0 for any number; as many
	// may come at once after a pause. All count, those beyond other limits, too. Those beyond
	// this one get 429 with Retry-After, and their connection of HTTP/1 is closed. A client is
	// known by http.Request.RemoteAddr, in the same way.
	RateLimit int
	// KeepAliveTimeout is how long a connection may lie idle, and how long a request
	// head may take; 15 s.
	KeepAliveTimeout time.Duration
	// StallTimeout is how long a handler waits for a client that does nothing. 0 is
	// KeepAliveTimeout, below 0 any time; the handler's own time does not count. While a
	// request's body comes, each KiB gives the client a second more, up to StallTimeout again:
	// a body that is slower fails with an error that is os.ErrDeadlineExceeded, and the answer
	// is 408 if the handler gives none. Of an answer the client has to take each 64 KiB in
	// this time, or the answer is cut.
	StallTimeout time.Duration
	// DrainTimeout is how long Shutdown lets handlers work before it ends their Contexts;
	// 10 s, below 0 for any time.
	DrainTimeout time.Duration
	// TLS, when not nil, is what Serve speaks TLS with. It has a certificate, or a function
	// that gets one, unless CertFile does.
	TLS *tls.Config
	// HTTP2Cleartext lets clients speak HTTP/2 by prior knowledge with a Server without TLS.
	HTTP2Cleartext bool
	// CertFile and KeyFile, when set, have the certificate chain and key of the server in PEM,
	// in place of TLS.Certificates. They are looked at again, once a second at most, and
	// loaded anew when they have changed; the last good pair is kept while they cannot be.
	CertFile, KeyFile string
	// HTTP2 has the settings of HTTP/2, which takes TLS or HTTP2Cleartext, see
	// http.HTTP2Config; nil for those of net/http. A WriteByteTimeout of 0 is StallTimeout.
	HTTP2 *http.HTTP2Config
	// Allow has the networks whose clients may connect, empty for all but those in Deny.
	// Connections of others are closed as they come, by Serve, and Logger has a record of
	// each, at slog.LevelDebug. What has no IP address, as the peer on a Unix socket, may
	// connect. An IPv4 client is in no IPv6 prefix, such as ::/0, also when it connects to an
	// IPv6 socket: 0.0.0.0/0 is a prefix of its own, for Deny, too.
	Allow []netip.Prefix
	// Deny has the networks whose clients may not connect. Allow and Deny cannot both be set:
	// Qt looks at the former only then.
	Deny []netip.Prefix
	// ErrorHandler, when not nil, gives the answers that no handler gives:
	//
	//   - 404 and 405 where no route takes a request, if there is no SetMissingHandler
	//   - 404 where the function of Route returns nil
	//   - 404, 403 and 500 of WriteFile, and 416 of WriteFile and WriteContent
	//   - 413, 414, 429 and 431 for requests beyond the limits, which have not passed middleware
	//   - 500 for a handler that panics or gives no answer, and for a Welcome of an EventHub that
	//     cannot be sent; 408 where the body of a handler's request came too slowly
	//
	// Without it they are a status alone; 404 and 405 have the text of http.ServeMux, 416 that of
	// http.ServeContent. What net/http refuses by itself, see AfterRequest, and what handlers
	// answer, those of net/http among them, does not come here.
	//
	// The error is an *HTTPError, or what a handler gives to Responder.WriteError: ProblemOf
	// knows the Status of each. Fields that go with a status are set already: Allow,
	// Content-Range, Retry-After. The request has passed the middleware, as that of Finished.
	//
	// It is called once for a request, by several goroutines at a time. If it gives no answer,
	// or panics, the client gets the status alone, and of WriteError the problem.
	ErrorHandler func(*http.Request, *Responder, error)
	// Logger gets a record for every answer that is lost or cut, with its reason, and every
	// panic, at slog.LevelError; where a client has gone at slog.LevelDebug, and where the
	// program has cut it, by Shutdown or http.ErrAbortHandler, at slog.LevelInfo. What net/http
	// has to say goes there at slog.LevelWarn if ErrorLog is nil.
	Logger *slog.Logger
	// ErrorLog gets what net/http has to say and, if Logger is nil, answers lost or cut by the
	// program and panics; nil for package log.
	ErrorLog *log.Logger
}

// check fills in what is not set. The error names the field that cannot be used.
func (c *Config) check() error {
	for _, f := range []struct {
		name     string
		negative bool
	}{{"MaxConnections", c.MaxConnections < 0}, {"MaxConnectionsPerHost", c.MaxConnectionsPerHost < 0},
		{"RateLimit", c.RateLimit < 0}, {"KeepAliveTimeout", c.KeepAliveTimeout < 0}} {
		if f.negative {
			return errors.New("httpserver: Config." + f.name + " must not be negative")
		}
	}
	for _, f := range []struct {
		name    string
		value   *int
		initial int
	}{{"MaxURLSize", &c.MaxURLSize, 64 << 10}, {"MaxHeaderSize", &c.MaxHeaderSize, 64 << 10},
		{"MaxHeaderFieldSize", &c.MaxHeaderFieldSize, 48 << 10}, {"MaxHeaderFields", &c.MaxHeaderFields, 128}} {
		switch {
		case *f.value == 0:
			*f.value = f.initial
		case *f.value < 0:
			*f.value = math.MaxInt32
		case *f.value > math.MaxInt32:
			return errors.New("httpserver: Config." + f.name + " is beyond " + strconv.Itoa(math.MaxInt32))
		}
	}
	for _, l := range []struct {
		name     string
		networks []netip.Prefix
	}{{"Allow", c.Allow}, {"Deny", c.Deny}} {
		for _, p := range l.networks {
			if !p.IsValid() {
				return errors.New("httpserver: Config." + l.name + " has a prefix that is not valid")
			}
		}
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		return errors.New("httpserver: Config.CertFile and Config.KeyFile need each other")
	}
	withTLS := c.TLS != nil || c.CertFile != ""
	certified := c.TLS != nil && (len(c.TLS.Certificates) > 0 || c.TLS.GetCertificate != nil)
	for _, inert := range []struct {
		is  bool
		why string
	}{
		{len(c.Allow) > 0 && len(c.Deny) > 0, "Deny has no effect beside Allow"},
		{c.HTTP2Cleartext && withTLS, "HTTP2Cleartext has no effect beside TLS and CertFile"},
		{c.HTTP2 != nil && !withTLS && !c.HTTP2Cleartext, "HTTP2 has no effect without TLS, CertFile or HTTP2Cleartext"},
		{certified && c.CertFile != "", "TLS has certificates, which have no effect beside CertFile"},
		{c.TLS != nil && !certified && c.TLS.GetConfigForClient == nil && c.CertFile == "", "TLS has no certificate, and there is no CertFile"},
	} {
		if inert.is {
			return errors.New("httpserver: Config." + inert.why)
		}
	}
	if c.MaxBodySize == 0 {
		c.MaxBodySize = 32 << 20
	}
	if c.KeepAliveTimeout == 0 {
		c.KeepAliveTimeout = 15 * time.Second
	}
	if c.StallTimeout == 0 {
		c.StallTimeout = c.KeepAliveTimeout
	}
	if c.DrainTimeout == 0 {
		c.DrainTimeout = 10 * time.Second
	}
	return nil
}

// http2 is HTTP2 with StallTimeout for a client that reads nothing from its connection. The
// deadline of a stream does not reach a frame that waits there.
func (c *Config) http2() *http.HTTP2Config {
	var settings http.HTTP2Config
	if c.HTTP2 != nil {
		settings = *c.HTTP2
	}
	if settings.WriteByteTimeout == 0 {
		settings.WriteByteTimeout = max(0, c.StallTimeout)
	}
	return &settings
}
