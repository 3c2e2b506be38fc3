package netreply

import (
	"crypto/tls"
	"crypto/x509"
	"math"
	"net/netip"
	"net/url"

	"github.com/netreply/netreply/cookies"
	"github.com/netreply/netreply/internal/auth"
	"github.com/netreply/netreply/internal/certs"
	"github.com/netreply/netreply/internal/coding"
	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/flow"
	"github.com/netreply/netreply/internal/wire"
)

// Conversion of Config and Request to the types of the internal packages.

func newWire(c *Config, dialer *dial.Dialer) *wire.Transport {
	return wire.NewTransport(wire.Config{
		Dialer:         dialer,
		ConnsPerHost:   c.ConnectionsPerHost,
		IdleTimeout:    c.IdleTimeout,
		MaxHeaderBytes: c.MaxHeaderBytes,
	})
}

func newDialer(c *Config) *dial.Dialer {
	var check func(netip.Addr) error
	if c.Guard != nil {
		check = newGuard(c.Guard).check
	}
	return &dial.Dialer{
		ConnectTimeout: max(0, c.ConnectTimeout),
		TLSTimeout:     max(0, c.TLSTimeout),
		Resolver:       c.Resolver,
		DialContext:    c.DialContext,
		Check:          check,
		LocalAddr:      c.LocalAddr,
		KeepAlive:      c.KeepAlive,
	}
}

func newEngine(c *Config, dialer *dial.Dialer, transport *wire.Transport) *flow.Engine {
	f := flow.Config{
		Wire:        transport,
		UserAgent:   c.UserAgent,
		Jar:         c.CookieJar,
		HSTS:        c.HSTS,
		Resolves:    c.DialContext == nil,
		NextProxy:   nextProxy,
		HeadTimeout: c.HeadTimeout,
		Decoding: coding.Limits{
			Max:    c.MaxDecodedSize,
			Header: int(min(c.MaxHeaderBytes, math.MaxInt32)),
			Memory: newDecoderBudget(c.MaxDecoderMemory),
		},
	}
	if c.Cache != nil {
		f.Cache = c.Cache.Store()
	}
	if c.CookieJar == cookies.None {
		f.Jar = nil
	}
	if c.Guard != nil {
		f.CheckTarget = dialer.CheckAll
		f.Trust = c.Guard.trust()
	}
	for _, n := range c.Negotiators {
		f.Negotiators = append(f.Negotiators, &negotiator{n})
	}
	f.Stored, _ = storedCredentials(c.Credentials) // validate has checked them
	return flow.NewEngine(f)
}

// newTransfer makes the transfer of the reply; see server for body and on.
//
//go:noinline
func (r *Reply) newTransfer(body *flow.Payload, on *onward) *flow.Transfer {
	q := &r.req
	c := &r.m.cfg
	threshold := q.DecompressedSafetyCheckThreshold
	if threshold == 0 {
		threshold = defaultSafetyThreshold
	}
	t := r.makeTransfer()
	t.Request = flow.Request{
		Method:            r.method,
		URL:               q.URL,
		Headers:           q.Headers,
		Payload:           body,
		HTTP:              wire.Protocol(q.HTTP),
		Redirects:         q.RedirectPolicy.rules(),
		MaxRedirects:      q.maxRedirects(),
		Priority:          q.Priority.wire(),
		IdleTimeout:       q.ConnectionCacheExpiry,
		LocalServerName:   q.LocalServerName,
		SecretHeaders:     q.SecretHeaders,
		DecodeThreshold:   threshold,
		Idempotent:        q.repeatable(),
		Proxied:           q.Proxy != nil || c.Proxy != nil || c.ProxyFactory != nil,
		Bearer:            q.Bearer != nil,
		NoLogin:           q.AuthenticationReuse == LoadManual,
		NoSaveCache:       q.CacheSaveControl != LoadAutomatic,
		Load:              q.CacheLoadControl.rules(),
		Partition:         q.CachePartition,
		NoSendCookies:     q.CookieLoadControl != LoadAutomatic,
		NoSaveCookies:     q.CookieSaveControl != LoadAutomatic,
		AsksPassword:      q.waitsFor(AskAuthentication),
		AsksProxyPassword: q.waitsFor(AskProxyAuthentication),
	}
	if on != nil {
		t.URL, t.Method, t.Headers = on.url, on.method, on.headers
		t.MaxRedirects -= int(r.hops)
		t.Bearer = t.Bearer && r.sameOrigin(on.url)
		t.Resume(on.told.interims, on.told.questions)
	}
	if taken := r.takenBy(); taken != nil {
		taken.adjust(&t.Request)
	}
	t.Clock = r.clock
	if q.MinRate > 0 {
		u, n := r.use(), q.MinRate
		t.Rate = flow.NewRateGuard(n, r.clock, r.transferred, func() { u.stop(minRate(n)) })
	}
	return t
}

// phases maps the phases of flow.
var phases = [...]Phase{flow.Local: PhaseLocal, flow.Queue: PhaseQueue, flow.Connect: PhaseConnect, flow.TLS: PhaseTLS,
	flow.Headers: PhaseHeaders, flow.Body: PhaseBody}

// Tokens returns the source of bearer tokens; see flow.Watcher.
func (w *watch) Tokens() flow.TokenSource { return w.req.Bearer }

// Proxies lists the proxies for a URL; see flow.Watcher.
func (w *watch) Proxies(u *url.URL) ([]*flow.Proxy, error) {
	return w.m.proxies(&w.req, u)
}

// Via describes the request's own proxy; see flow.Watcher.
func (w *watch) Via() string {
	c, p := &w.m.cfg, w.req.Proxy
	if p == nil || p.Type == DefaultProxy || p.Type == NoProxy && c.Proxy == nil && c.ProxyFactory == nil {
		return ""
	}
	return "via " + p.String()
}

// proxies lists the proxies for a URL, with nil for a direct connection.
func (m *Manager) proxies(q *Request, u *url.URL) ([]*flow.Proxy, error) {
	list, err := m.chooseProxies(q, u)
	if err != nil {
		return nil, err
	}
	out := make([]*flow.Proxy, len(list))
	for i, p := range list {
		if p != nil {
			out[i] = m.flowProxy(p)
		}
	}
	return out, nil
}

// flowProxy converts a proxy.
func (m *Manager) flowProxy(p *Proxy) *flow.Proxy {
	f := &flow.Proxy{
		SOCKS5: p.Type == Socks5Proxy, Addr: p.addr(), Host: p.Host, Name: p.String(), User: p.User, Password: p.Password,
		Headers: p.Headers, LocalNames: p.ResolveLocally, Value: p,
	}
	if p.Type == HTTPSProxy {
		made := m.proxyProfiles(p)
		f.TLS, f.TLSKey = func() *tls.Config { return proxyTLS(p, made) }, made
	}
	return f
}

// proxyProfiles are the profiles of a proxy's own configuration, which has been validated.
func (m *Manager) proxyProfiles(p *Proxy) *profiles {
	c := p.SSLConfiguration
	if c == nil {
		c = &SSLConfiguration{}
	}
	made, _ := m.profiles.of(c, "")
	return made
}

var _ auth.Negotiator = (*negotiator)(nil)

// chooseProxies lists the proxies that can be used for a URL, with nil for a direct
// connection, after which it ends (rules X2 and X3).
func (m *Manager) chooseProxies(q *Request, u *url.URL) ([]*Proxy, error) {
	var list []*Proxy
	switch {
	case q.Proxy != nil && q.Proxy.Type != DefaultProxy:
		list = []*Proxy{q.Proxy}
	case m.cfg.ProxyFactory != nil:
		bare := *u
		bare.User = nil
		given := m.cfg.ProxyFactory(ProxyQuery{&bare})
		for i := range given[:min(len(given), maxProxies)] {
			list = append(list, &given[i])
		}
	case m.cfg.Proxy != nil:
		list = []*Proxy{m.cfg.Proxy}
	}
	if len(list) == 0 {
		return []*Proxy{nil}, nil
	}
	usable := list[:0]
	reason := "none of those given can be used for " + u.Scheme
	for _, p := range list {
		if m.cfg.ProxyFactory != nil {
			if err := p.validate("Proxy"); err != nil {
				reason += "; " + err.Error()
				continue
			}
		}
		switch {
		case p.Type == NoProxy || p.Type == DefaultProxy:
			return append(usable, nil), nil
		case p.Type == HTTPCachingProxy && (u.Scheme != "http" || q.HTTP == HTTP2Direct):
			continue
		}
		usable = append(usable, p)
	}
	if len(usable) > 0 {
		return usable, nil
	}
	return nil, &Error{Code: ProxyNotFoundError, Phase: PhaseProxy, Text: "No suitable proxy found",
		Err: &FieldError{Field: "proxy", Reason: reason}}
}

// proxyTLS is the TLS configuration of the connection to a proxy.
func proxyTLS(p *Proxy, made *profiles) *tls.Config {
	cfg := made.config.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName = p.hostname()
	}
	cfg.NextProtos = []string{"http/1.1"}
	cfg.ClientSessionCache = nil
	if cfg.InsecureSkipVerify {
		return cfg // the program has turned verification off
	}
	certs.Supervise(cfg, made.from.PeerVerifyDepth, func(_ tls.ConnectionState, _ [][]*x509.Certificate, f *certs.Failure) error {
		if f != nil && !made.from.reportOnly() {
			return f
		}
		return nil
	})
	return cfg
}
