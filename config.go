package netreply

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/netreply/netreply/cookies"
	"github.com/netreply/netreply/hsts"
	"github.com/netreply/netreply/internal/wire"
)

// Config configures a Manager. Its zero value is ready to use; it is copied.
type Config struct {
	// UserAgent is sent by requests that have none; "netreply/VERSION".
	UserAgent string
	// SecretHeaders names request fields that are secrets, for all requests; see
	// Request.SecretHeaders. A Request that has not been sent knows its own only, and
	// prints the others; that of a Reply knows both.
	SecretHeaders []string
	// RedirectPolicy is for requests that have none; NoLessSafeRedirectPolicy.
	RedirectPolicy RedirectPolicy
	// TransferTimeout is for requests that have none; 0 means no limit.
	TransferTimeout time.Duration
	// ConnectTimeout bounds name resolution and TCP, and with a proxy all until there is
	// a tunnel; 30 s, below 0 no limit.
	ConnectTimeout time.Duration
	// TLSTimeout bounds a handshake; 30 s, below 0 no limit.
	TLSTimeout time.Duration
	// MinRate is for requests that have none; 0 means no least rate.
	MinRate int64
	// HeadTimeout bounds the wait for a response head, from the end of the
	// upload; 0 means no limit.
	HeadTimeout time.Duration
	// ReadBufferSize is for requests that have none; 0 means no limit.
	ReadBufferSize int64
	// ConnectionsPerHost is how many HTTP/1 connections there may be to one
	// scheme, host and port; 6 (rule N2), at most 65535. A download that is not
	// read keeps its connection.
	ConnectionsPerHost int
	// IdleTimeout is how long a connection is kept without work; 120 s (rule N10).
	IdleTimeout time.Duration
	// MaxHeaderBytes bounds a response head, interim ones included, and the header of a
	// gzip body; 256 KiB.
	MaxHeaderBytes int64
	// SSLConfiguration is for requests that have none; nil means the system's roots.
	SSLConfiguration *SSLConfiguration
	// CookieJar stores and sends cookies. nil means a new *cookies.Jar, which
	// forgets them with the Manager (rule C11); cookies.None means none.
	CookieJar http.CookieJar
	// MaxDecodedSize is the largest body in bytes that decoding a content coding may
	// give, whatever its ratio; 0 means no limit. Beyond it a reply fails with
	// UnknownContentError. See also Request.DecompressedSafetyCheckThreshold.
	MaxDecodedSize int64
	// MaxDecoderMemory bounds the memory in bytes that decoding content codings takes for
	// all replies together, beyond 128 KiB for each: a server chooses the window of an
	// encoded body, up to 16 MiB for br and 8 MiB for zstd. What exceeds 100
	// times the bytes received counts against 24 MiB of it. 0 means 256 MiB, below 0 no
	// limit. A body that finds too little left waits up to 5 s for others to end before
	// it is decoded, and then fails with UnknownContentError and a *SizeLimitError.
	MaxDecoderMemory int64
	// MaxBodySize is for requests that have none; 0 means no limit.
	MaxBodySize int64
	// HSTS holds the hosts that are reached over TLS only (RFC 6797): their http URLs
	// become https before anything is connected, and new ones are learned. nil means
	// that this is off (rule K1). One store may serve several Managers; Close of each
	// writes what was learned to its file, for a second at most, and leaves it open.
	HSTS *hsts.Store
	// Ask is what replies wait for an answer to, in addition to Request.Ask.
	Ask QuestionKinds
	// Answer is for requests that have none. Replies call it at the same time; Question.Reply
	// tells them apart.
	Answer func(ctx context.Context, q Question)
	// Credentials are passwords that are known beforehand.
	Credentials []Credential
	// Negotiators speak further authentication schemes, over HTTP/1; what is plugged
	// in here is preferred to all others.
	Negotiators []Negotiator
	// ForbidBackground fails requests marked Background with
	// BackgroundRequestNotAllowedError.
	ForbidBackground bool
	// Resolver looks names up; nil means net.DefaultResolver.
	Resolver *net.Resolver
	// DialContext opens connections instead of resolver and TCP. An error of it
	// that wraps a NetworkError fails the reply with that code: a dialer that goes
	// through a proxy can say ProxyConnectionRefusedError. One that ignores its context
	// is left to itself when that ends, and its connection is closed when it comes.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	// LocalAddr is the address to connect from, a *net.TCPAddr; nil means any. Without
	// an effect on DialContext.
	LocalAddr net.Addr
	// KeepAlive says how a silent TCP connection is probed; the zero value is that of
	// package net. Without an effect on DialContext.
	KeepAlive net.KeepAliveConfig
	// Proxy is for requests that have none; nil means to connect directly. ProxyFactory
	// chooses one for each; there cannot be both.
	Proxy        *Proxy
	ProxyFactory ProxyFactory
	// Guard refuses addresses, for servers that fetch the URLs of others; nil means
	// that every address may be reached.
	Guard *AddressGuard
	// OnSignal is called for the signals of all replies, before the Request's own
	// (rule S6); see there.
	OnSignal func(*Reply, Event)
}

// validate finds every field that cannot be used.
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
	// defaultTimeout bounds connecting and shaking hands.
	defaultTimeout = 30 * time.Second
	// defaultMaxDecoderMemory lets a hundred usual bodies be decoded at once.
	defaultMaxDecoderMemory = 256 << 20
)

// withDefaults is an independent copy that says what zero fields stand for.
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
	return c
}

// complete fills in what a request leaves to its Manager.
func (c *Config) complete(q *Request) {
	q.RedirectPolicy = cmp.Or(q.RedirectPolicy, c.RedirectPolicy)
	q.TransferTimeout = cmp.Or(q.TransferTimeout, c.TransferTimeout)
	q.MinRate = cmp.Or(q.MinRate, c.MinRate)
	q.ReadBufferSize = cmp.Or(q.ReadBufferSize, c.ReadBufferSize)
	q.MaxBodySize = cmp.Or(q.MaxBodySize, c.MaxBodySize)
	if len(c.SecretHeaders) > 0 {
		q.SecretHeaders = append(c.SecretHeaders, q.SecretHeaders...) // clipped: a copy, or as it is
	}
	q.Ask |= c.Ask
	if q.Answer == nil {
		q.Answer = c.Answer
	}
}
