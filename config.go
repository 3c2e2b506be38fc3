package netreply

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/netreply/netreply/cookies"
	"github.com/netreply/netreply/hsts"
	"github.com/netreply/netreply/httpcache"
	"github.com/netreply/netreply/internal/wire"
)

// Config configures a Manager. Its zero value is ready to use. NewManager copies it.
type Config struct {
	// UserAgent is the default for requests without a User-Agent header; "" means
	// "netreply/VERSION".
	UserAgent string
	// SecretHeaders names request header fields whose values are secrets, for all requests;
	// see Request.SecretHeaders. Printing a Request hides only its own secret fields until
	// it has been sent; printing the Request of a Reply hides both.
	SecretHeaders []string
	// RedirectPolicy is the default for requests; the zero value means
	// NoLessSafeRedirectPolicy.
	RedirectPolicy RedirectPolicy
	// TransferTimeout is the default for requests; 0 means no limit.
	TransferTimeout time.Duration
	// ConnectTimeout bounds name resolution and TCP connect, and with a proxy everything
	// until the tunnel is open. 0 means 30 s, below 0 no limit.
	ConnectTimeout time.Duration
	// TLSTimeout bounds a TLS handshake. 0 means 30 s, below 0 no limit.
	TLSTimeout time.Duration
	// MinRate is the default for requests; 0 means no minimum.
	MinRate int64
	// HeadTimeout bounds the wait for a response head, from the end of the
	// upload; 0 means no limit.
	HeadTimeout time.Duration
	// ReadBufferSize is the default for requests; 0 means no limit.
	ReadBufferSize int64
	// ConnectionsPerHost is how many HTTP/1 connections there may be to one scheme, host
	// and port. 0 means 6 (rule N2); at most 65535. A download that the program does not
	// read keeps its connection.
	ConnectionsPerHost int
	// IdleTimeout is how long an idle connection is kept. 0 means 120 s (rule N10).
	IdleTimeout time.Duration
	// MaxHeaderBytes bounds a response head with its interim responses, and the header of a
	// gzip body. 0 means 256 KiB.
	MaxHeaderBytes int64
	// SSLConfiguration is the default for requests; nil means its zero value.
	SSLConfiguration *SSLConfiguration
	// CookieJar stores and sends cookies. nil means a new *cookies.Jar without a file (rule
	// C11); cookies.None turns cookies off.
	CookieJar http.CookieJar
	// Cache stores responses, and answers requests with them (RFC 9111); nil means none. Several
	// Managers may share one. Its Store is the program's to close, after the Managers: what has
	// arrived of bodies is stored when a Manager closes, if a later request can fetch the rest.
	// Identical requests of one Manager that run at the same time share one fetch; those of
	// several do if the Store is a Reserver, as that of package rediscache.
	//
	// A response answers only requests whose SSLConfiguration and ignored flaws trust the same
	// servers and have the same identity, with the same Guard and, over http, the same
	// Request.Proxy. Resolver, DialContext, Proxy and ProxyFactory of the Managers do not count:
	// those that share a cache should lead to the same servers. Nothing is stored of a connection
	// whose certificate an answer to a question has accepted.
	// Where a function of the program decides about certificates (VerifyConnection,
	// GetClientCertificate, pre-shared keys), nobody can tell what is the same: responses are
	// then for one SSLConfiguration of one Manager, and not for the next run of the program.
	Cache *httpcache.Cache
	// MaxDecodedSize is the largest size in bytes of a body after content decoding,
	// whatever its ratio; 0 means no limit. A larger body fails the reply with
	// UnknownContentError. See also Request.DecompressedSafetyCheckThreshold.
	MaxDecodedSize int64
	// MaxDecoderMemory bounds the memory in bytes that the content decoders of all replies
	// may use together, beyond 128 KiB for each. The server chooses the window of an
	// encoded body: up to 16 MiB for br and 8 MiB for zstd. The part of a window that
	// exceeds 100 times the bytes received counts against 24 MiB of the limit. 0 means 256
	// MiB, below 0 no limit. A body for which too little memory is left waits up to 5 s
	// until others have ended, and then fails with UnknownContentError and a
	// *SizeLimitError.
	MaxDecoderMemory int64
	// MaxBodySize is the default for requests; 0 means no limit.
	MaxBodySize int64
	// HSTS stores the hosts that are reached over TLS only (RFC 6797): their http URLs
	// become https before connecting, and policies in responses are learned. nil turns HSTS
	// off (rule K1). Several Managers may share one store. Manager.Close writes the learned
	// policies to the store's file, for at most a second, and does not close the store.
	HSTS *hsts.Store
	// Ask names kinds of questions whose answer every reply waits for, in addition to
	// Request.Ask.
	Ask QuestionKinds
	// Answer is the default for requests. It is called concurrently for different replies;
	// Question.Reply tells them apart.
	Answer func(ctx context.Context, q Question)
	// Credentials are passwords that are used without a question.
	Credentials []Credential
	// Negotiators implement further authentication schemes, over HTTP/1. They are preferred
	// to the built-in schemes.
	Negotiators []Negotiator
	// ForbidBackground makes requests that are marked Background fail with
	// BackgroundRequestNotAllowedError.
	ForbidBackground bool
	// Resolver resolves host names; nil means net.DefaultResolver.
	Resolver *net.Resolver
	// DialContext opens connections instead of the built-in resolver and TCP dialer. When
	// its error wraps a NetworkError, the reply fails with that code: a dialer that
	// connects through a proxy can return ProxyConnectionRefusedError. If it ignores the
	// end of its context, the reply does not wait for it, and a connection that it returns
	// later is closed.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	// LocalAddr is the source address of connections, a *net.TCPAddr; nil means any. It has
	// no effect on DialContext.
	LocalAddr net.Addr
	// KeepAlive configures TCP keep-alive probes; the zero value is the default of package
	// net. It has no effect on DialContext.
	KeepAlive net.KeepAliveConfig
	// Proxy is the default for requests; nil means a direct connection. ProxyFactory
	// chooses proxies for each request instead; only one of the two may be set.
	Proxy        *Proxy
	ProxyFactory ProxyFactory
	// Backends carry out the requests for URL schemes, in place of HTTP or of a built-in one.
	// The keys are schemes in lower case. http and https can be replaced only together.
	// Redirects never lead from HTTP to another scheme (rule E20).
	Backends map[string]Backend
	// FileAccess is what file: URLs may do. The default is everything that the process may, and
	// nothing with a Guard. No redirect leads to a file: URL (rule F11).
	FileAccess FileAccess
	// FileRoot limits file: URLs to the files below it: their paths begin there, and neither
	// ".." nor a symbolic link leads out. nil means all files. It must stay open while the
	// Manager is used.
	FileRoot *os.Root
	// Guard refuses connections to non-public addresses, for servers that fetch URLs given
	// by others; nil allows every address.
	Guard *AddressGuard
	// OnSignal is called for the signals of all replies, before Request.OnSignal (rule S6);
	// see there.
	OnSignal func(*Reply, Event)
}

// validate joins a *FieldError for each field that cannot be used.
func (c *Config) validate() error {
	var errs []error
	bad := func(field, value, reason string) { errs = append(errs, &FieldError{"Config." + field, value, reason}) }
	if c.RedirectPolicy < DefaultRedirectPolicy || c.RedirectPolicy > UserVerifiedRedirectPolicy {
		bad("RedirectPolicy", strconv.Itoa(int(c.RedirectPolicy)), noConstant+"RedirectPolicy")
	}
	const unlimited = "must not be negative; 0 means no limit"
	byDefault := func(d string) string { return "must not be negative; 0 means " + d }
	for _, d := range []struct {
		name   string
		d      time.Duration
		reason string
	}{{"TransferTimeout", c.TransferTimeout, unlimited}, {"HeadTimeout", c.HeadTimeout, unlimited}, {"IdleTimeout", c.IdleTimeout, byDefault("120 s")}} {
		if d.d < 0 {
			bad(d.name, d.d.String(), d.reason)
		}
	}
	for _, n := range []struct {
		name   string
		n      int64
		reason string
	}{{"ReadBufferSize", c.ReadBufferSize, unlimited}, {"ConnectionsPerHost", int64(c.ConnectionsPerHost), byDefault("6")},
		{"MaxDecodedSize", c.MaxDecodedSize, unlimited}, {"MaxBodySize", c.MaxBodySize, unlimited}, {"MinRate", c.MinRate, unlimited},
		{"MaxHeaderBytes", c.MaxHeaderBytes, byDefault("256 KiB")}} {
		if n.n < 0 {
			bad(n.name, strconv.FormatInt(n.n, 10), n.reason)
		}
	}
	if c.ConnectionsPerHost > 65535 {
		bad("ConnectionsPerHost", strconv.Itoa(c.ConnectionsPerHost), "must be at most 65535")
	}
	if _, ok := c.LocalAddr.(*net.TCPAddr); c.LocalAddr != nil && !ok {
		bad("LocalAddr", c.LocalAddr.Network(), "must be a *net.TCPAddr")
	}
	if c.Ask&^allQuestions != 0 {
		bad("Ask", strconv.Itoa(int(c.Ask)), noQuestion)
	}
	if err := validateSecretHeaders("Config.SecretHeaders", c.SecretHeaders); err != nil {
		errs = append(errs, err)
	}
	if _, err := storedCredentials(c.Credentials); err != nil {
		errs = append(errs, err)
	}
	if c.Ask&AskPreSharedKey != 0 && (c.SSLConfiguration == nil || c.SSLConfiguration.PSK == nil) {
		bad("SSLConfiguration.PSK", "", noPSK)
	}
	if err := c.SSLConfiguration.validate("Config.SSLConfiguration"); err != nil {
		errs = append(errs, err)
	}
	if err := c.Proxy.validate("Config.Proxy"); err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, c.Guard.validate("Config.Guard")...)
	errs = append(errs, validateBackends(c.Backends)...)
	errs = append(errs, c.validateFiles()...)
	if c.Proxy != nil && c.ProxyFactory != nil {
		bad("ProxyFactory", "", "must not be set together with Proxy")
	}
	if c.CookieJar != nil && isNil(c.CookieJar) {
		bad("CookieJar", "", fmt.Sprintf("must not hold a nil %T; nil makes the Manager create a jar, and cookies.None is for no cookies", c.CookieJar))
	}
	if slices.Contains(c.Negotiators, nil) {
		bad("Negotiators", "", "must not contain nil")
	}
	if h := NewHeaders("User-Agent", c.UserAgent); validateHeaders(h) != nil {
		bad("UserAgent", c.UserAgent, "not valid as the value of a header field")
	}
	return errors.Join(errs...)
}

const (
	// defaultTimeout is that of ConnectTimeout and TLSTimeout.
	defaultTimeout = 30 * time.Second
	// defaultMaxDecoderMemory is enough for about a hundred usual bodies at once.
	defaultMaxDecoderMemory = 256 << 20
)

// withDefaults returns an independent copy with the defaults in place of zero fields.
func (c Config) withDefaults() Config {
	c.UserAgent = cmp.Or(c.UserAgent, "netreply/"+Version)
	c.SecretHeaders = slices.Clip(slices.Clone(c.SecretHeaders))
	c.RedirectPolicy = cmp.Or(c.RedirectPolicy, NoLessSafeRedirectPolicy)
	c.ConnectTimeout = cmp.Or(c.ConnectTimeout, defaultTimeout)
	c.TLSTimeout = cmp.Or(c.TLSTimeout, defaultTimeout)
	c.ConnectionsPerHost = cmp.Or(c.ConnectionsPerHost, wire.DefaultConnsPerHost)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, wire.DefaultIdleTimeout)
	c.MaxHeaderBytes = cmp.Or(c.MaxHeaderBytes, wire.DefaultMaxHeaderBytes)
	c.MaxDecoderMemory = cmp.Or(c.MaxDecoderMemory, defaultMaxDecoderMemory)
	c.SSLConfiguration = c.SSLConfiguration.Clone()
	if c.CookieJar == nil {
		c.CookieJar = cookies.NewJar(cookies.Options{})
	}
	c.Credentials = slices.Clone(c.Credentials)
	c.Negotiators = slices.Clone(c.Negotiators)
	c.Proxy = c.Proxy.clone()
	c.Backends = maps.Clone(c.Backends)
	return c
}

// complete fills the zero fields of a request with the Manager's defaults.
func (c *Config) complete(q *Request) {
	q.RedirectPolicy = cmp.Or(q.RedirectPolicy, c.RedirectPolicy)
	q.TransferTimeout = cmp.Or(q.TransferTimeout, c.TransferTimeout)
	q.MinRate = cmp.Or(q.MinRate, c.MinRate)
	q.ReadBufferSize = cmp.Or(q.ReadBufferSize, c.ReadBufferSize)
	q.MaxBodySize = cmp.Or(q.MaxBodySize, c.MaxBodySize)
	if len(c.SecretHeaders) > 0 {
		q.SecretHeaders = append(c.SecretHeaders, q.SecretHeaders...) // c.SecretHeaders is clipped, so append copies
	}
	q.Ask |= c.Ask
	if q.Answer == nil {
		q.Answer = c.Answer
	}
}

// fileAccess is the FileAccess that holds, never DefaultFileAccess.
func (c *Config) fileAccess() FileAccess {
	switch {
	case c.FileAccess != DefaultFileAccess:
		return c.FileAccess
	case c.Guard != nil:
		return NoFileAccess
	}
	return FullFileAccess
}

// validateFiles returns an error for each field about file: URLs that cannot be used.
func (c *Config) validateFiles() (errs []error) {
	if c.FileAccess < DefaultFileAccess || c.FileAccess > FullFileAccess {
		errs = append(errs, &FieldError{"Config.FileAccess", strconv.Itoa(int(c.FileAccess)), noConstant + "FileAccess"})
	} else if c.FileRoot != nil && c.fileAccess() == NoFileAccess {
		errs = append(errs, &FieldError{Field: "Config.FileRoot", Reason: "has no effect without FileAccess, which is none by default in a Manager with a Guard"})
	} else if c.FileRoot != nil && c.Backends["file"] != nil {
		errs = append(errs, &FieldError{Field: "Config.FileRoot", Reason: "has no effect on the Backend for file: URLs"})
	}
	return errs
}
