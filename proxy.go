package netreply

import (
	"cmp"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/net/http/httpproxy"

	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/wire"
)

// ProxyType says how a proxy is spoken to (Qt: QNetworkProxy::ProxyType).
type ProxyType int

const (
	// DefaultProxy is what the Manager says, and for the Manager no proxy.
	DefaultProxy ProxyType = iota
	// Socks5Proxy makes tunnels for http and https; it looks names up itself.
	Socks5Proxy
	// NoProxy connects directly.
	NoProxy
	// HTTPProxy takes http requests as they are, and makes tunnels for https by CONNECT.
	HTTPProxy
	// HTTPCachingProxy takes http requests only.
	HTTPCachingProxy
	// HTTPSProxy is an HTTPProxy that is reached by TLS.
	HTTPSProxy
)

func (t ProxyType) String() string {
	names := [...]string{"Default", "Socks5", "No", "HTTP", "HTTPCaching", "HTTPS"}
	if t < 0 || int(t) >= len(names) {
		return "ProxyType(" + strconv.Itoa(int(t)) + ")"
	}
	return names[t]
}

// Proxy is a proxy server (Qt: QNetworkProxy). Its zero value is DefaultProxy.
type Proxy struct {
	Type ProxyType
	// Host and Port are where it listens; port 0 means 1080 for SOCKS5, 443 for
	// HTTPSProxy and 8080 for the others.
	Host string
	Port uint16
	// User and Password are given when it asks for them, as its scheme wants; for NTLM
	// the user may be DOMAIN\user. They never go to anybody else.
	User, Password string
	// ResolveLocally makes a Socks5Proxy be asked for addresses instead of names.
	ResolveLocally bool
	// SSLConfiguration is for the connection to an HTTPSProxy itself; nil means the
	// system's roots. Its certificate is no matter of SSLErrors.
	SSLConfiguration *SSLConfiguration
}

// ParseProxy reads a proxy from a URL: http, https, socks5 or socks5h, with user and
// password if there are. The error does not quote them.
func ParseProxy(raw string) (*Proxy, error) {
	u, err := parseURL(raw)
	if err != nil {
		return nil, &FieldError{Field: "proxy URL", Reason: err.Error()}
	}
	types := map[string]ProxyType{"http": HTTPProxy, "https": HTTPSProxy, "socks5": Socks5Proxy, "socks5h": Socks5Proxy}
	p := &Proxy{Type: types[u.Scheme], Host: u.Hostname()}
	if p.Type == DefaultProxy {
		return nil, &FieldError{"proxy URL", u.Scheme, "a proxy has scheme http, https, socks5 or socks5h"}
	}
	if u.User != nil {
		p.User = u.User.Username()
		p.Password, _ = u.User.Password()
	}
	if port := u.Port(); port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return nil, &FieldError{"proxy URL", port, "not a port"}
		}
		p.Port = uint16(n)
	}
	return p, p.validate("proxy URL")
}

// String writes the proxy as a URL without its password.
func (p *Proxy) String() string {
	schemes := map[ProxyType]string{HTTPProxy: "http", HTTPCachingProxy: "http", HTTPSProxy: "https", Socks5Proxy: "socks5"}
	scheme, ok := schemes[p.Type]
	if !ok {
		return strings.ToLower(p.Type.String())
	}
	return scheme + "://" + p.addr()
}

func (p *Proxy) addr() string {
	port := p.Port
	if port == 0 {
		switch p.Type {
		case Socks5Proxy:
			port = 1080
		case HTTPSProxy:
			port = 443
		default:
			port = 8080
		}
	}
	return net.JoinHostPort(p.Host, strconv.Itoa(int(port)))
}

func (p *Proxy) validate(field string) error {
	if p == nil {
		return nil
	}
	switch {
	case p.Type < DefaultProxy || p.Type > HTTPSProxy:
		return &FieldError{field, strconv.Itoa(int(p.Type)), "no such type"}
	case p.Type != DefaultProxy && p.Type != NoProxy && (p.Host == "" || strings.ContainsAny(p.Host, " /@\r\n\x00")):
		return &FieldError{field, p.Host, "names no host"}
	}
	return p.SSLConfiguration.validate(field + ".SSLConfiguration")
}

// ProxyQuery is what a ProxyFactory is asked about.
type ProxyQuery struct {
	URL *url.URL // of the request or redirect, without user information
}

// ProxyFactory chooses proxies (Qt: QNetworkProxyFactory). Of the list, which is in
// order of preference, the first that can be used for the URL is (rule X3); NoProxy
// among them means to connect directly, as does an empty list. It is called for every
// request and redirect, on its goroutine, by several at once.
type ProxyFactory func(ProxyQuery) []Proxy

// ProxyFromEnvironment is a ProxyFactory that goes by HTTP_PROXY, HTTPS_PROXY, NO_PROXY
// and ALL_PROXY, or their lower-case forms (rule X9). A variable that is no proxy URL
// gives a list of which nothing can be used. The environment is read once.
func ProxyFromEnvironment(q ProxyQuery) []Proxy {
	f := environment()
	u, err := f(q.URL)
	if err == nil && u == nil {
		return nil
	}
	if err == nil {
		var p *Proxy
		if p, err = ParseProxy(u.String()); err == nil {
			return []Proxy{*p}
		}
	}
	return []Proxy{{Type: HTTPProxy}} // without a host
}

var environment = sync.OnceValue(func() func(*url.URL) (*url.URL, error) { return environmentProxies().ProxyFunc() })

// environmentProxies is the environment, with ALL_PROXY where the other two say nothing.
func environmentProxies() *httpproxy.Config {
	c := httpproxy.FromEnvironment()
	all := cmp.Or(os.Getenv("ALL_PROXY"), os.Getenv("all_proxy"))
	if c.HTTPProxy == "" {
		c.HTTPProxy = all
	}
	if c.HTTPSProxy == "" {
		c.HTTPSProxy = all
	}
	return c
}

// ProxyError is the cause of a reply that failed for its proxy: the code is one of 101
// to 199, or HostNotFoundError or ConnectionRefusedError where the proxy says so of the
// target.
type ProxyError struct {
	Proxy string // as URL, without password
	err   error
}

func (e *ProxyError) Error() string { return e.err.Error() }
func (e *ProxyError) Unwrap() error { return e.err }

// ProxyResponse is the answer of a proxy that did not make a tunnel.
type ProxyResponse struct {
	StatusCode int
	Reason     string
	Headers    Headers
	Body       []byte // at most 64 KiB of it
}

// ProxyResponse is what the proxy has answered to CONNECT, for a reply that failed for
// that; nil otherwise. It comes from the proxy, and says nothing of the target.
func (r *Reply) ProxyResponse() *ProxyResponse {
	var e *dial.ProxyError
	if !errors.As(r.Err(), &e) || e.Status == "" {
		return nil
	}
	_, reason, _ := strings.Cut(e.Status, " ")
	return &ProxyResponse{e.StatusCode(), reason, headersFrom(e.Header, false), slices.Clone(e.Body)}
}

// chooseProxy finds the proxy for a URL; nil for none (rules X2 and X3).
func (m *Manager) chooseProxy(q *Request, u *url.URL) (*Proxy, error) {
	var list []Proxy
	switch {
	case q.Proxy != nil && q.Proxy.Type != DefaultProxy:
		list = []Proxy{*q.Proxy}
	case m.cfg.ProxyFactory != nil:
		bare := *u
		bare.User = nil
		list = m.cfg.ProxyFactory(ProxyQuery{&bare})
	case m.cfg.Proxy != nil:
		list = []Proxy{*m.cfg.Proxy}
	}
	if len(list) == 0 {
		return nil, nil
	}
	for i := range list {
		p := &list[i]
		switch {
		case p.Type == NoProxy || p.Type == DefaultProxy:
			return nil, nil
		case p.Type == HTTPCachingProxy && (u.Scheme != "http" || q.HTTP == HTTP2Direct), p.validate("") != nil:
			continue
		}
		return p, nil
	}
	return nil, &Error{Code: ProxyNotFoundError, Phase: PhaseProxy, Text: "No suitable proxy found",
		Err: &FieldError{Field: "proxy", Reason: "none of those given can be used for " + u.Scheme}}
}

// routeKey tells routes apart.
type routeKey struct {
	kind           dial.Kind
	addr           string
	ssl            *SSLConfiguration
	tls            bool
	credentials    bool
	user, password string
	local          bool
	agent          string
}

// routes gives the same address to the same way.
type routes struct {
	mu    sync.Mutex
	known map[routeKey]*dial.Proxy
}

// maxRoutes bounds them; beyond, connections of before are not found any more.
const maxRoutes = 256

// route is the way through a proxy for a URL, with credentials or without.
func (m *Manager) route(p *Proxy, q *Request, u *url.URL, creds *credentials) *dial.Proxy {
	k := routeKey{kind: dial.Tunnel, addr: p.addr(), tls: p.Type == HTTPSProxy, local: p.ResolveLocally}
	switch {
	case p.Type == Socks5Proxy:
		k.kind = dial.SOCKS5
	case u.Scheme == "http" && q.HTTP != HTTP2Direct:
		k.kind = dial.Forward
	default:
		k.agent = m.userAgent[0]
		if q.Headers.Has("User-Agent") { // rule X4
			k.agent = q.Headers.Get("User-Agent")
		}
	}
	if k.tls {
		k.ssl = p.SSLConfiguration
	}
	if creds != nil && k.kind != dial.Forward {
		k.credentials, k.user, k.password = true, creds.user, creds.password
	}
	m.routes.mu.Lock()
	defer m.routes.mu.Unlock()
	if r := m.routes.known[k]; r != nil {
		return r
	}
	if m.routes.known == nil || len(m.routes.known) >= maxRoutes {
		m.routes.known = map[routeKey]*dial.Proxy{}
	}
	r := &dial.Proxy{Kind: k.kind, Addr: k.addr, Credentials: k.credentials, User: k.user, Password: k.password,
		LocalNames: k.local, UserAgent: k.agent}
	if k.tls {
		r.TLS = proxyTLS(p)
	}
	m.routes.known[k] = r
	return r
}

// proxyTLS is the encryption of the connection to a proxy.
func proxyTLS(p *Proxy) *tls.Config {
	c := p.SSLConfiguration
	if c == nil {
		c = &SSLConfiguration{}
	}
	cfg := c.profiles().config.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName = p.Host
	}
	if c.PeerVerifyMode == VerifyNone || c.PeerVerifyMode == QueryPeer {
		cfg.InsecureSkipVerify = true
	}
	cfg.NextProtos = []string{"http/1.1"}
	return cfg
}

// proxyLayer chooses the proxy of every hop, and answers what it asks.
type proxyLayer struct {
	next http.RoundTripper
	m    *Manager
}

func (l proxyLayer) RoundTrip(req *http.Request) (*http.Response, error) {
	r := replyOf(req.Context())
	r.proxied = nil
	if r.req.Proxy == nil && l.m.cfg.Proxy == nil && l.m.cfg.ProxyFactory == nil || isLocal(req.URL.Scheme) {
		return l.next.RoundTrip(req)
	}
	return l.through(r, req)
}

func (l proxyLayer) through(r *Reply, req *http.Request) (*http.Response, error) {
	p, err := l.m.chooseProxy(&r.req, req.URL)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return l.next.RoundTrip(req)
	}
	h := &proxied{proxy: p, url: req.URL}
	h.attempt = &attempt{layer: authLayer(l), r: r, url: req.URL, proxy: h}
	h.choose(nil)
	if h.attempt.tunnels() {
		h.choose(h.attempt.known())
	}
	r.proxied = h
	defer h.attempt.end()
	if h.route.Kind != dial.Forward {
		delete(req.Header, "Proxy-Authorization") // which is not the target's to see
		resp, err := l.next.RoundTrip(req)
		if err == nil && h.attempt.space != nil {
			h.attempt.accepted()
		}
		return resp, h.blame(err)
	}
	if l.m.cfg.Guard != nil {
		// the proxy looks the name up once more; all that can be seen from here is seen
		if _, err := l.m.dialer.Resolve(r.ctx, req.URL.Hostname()); err != nil {
			return nil, &wire.Error{Phase: wire.Resolve, Err: err}
		}
	}
	resp, err := h.attempt.run(req, nil)
	return resp, h.blame(err)
}

// proxied is a hop that goes through a proxy.
type proxied struct {
	proxy   *Proxy
	url     *url.URL
	route   *dial.Proxy
	attempt *attempt
}

// choose sets the way, with credentials or without.
func (h *proxied) choose(creds *credentials) {
	r := h.attempt.r
	h.route = r.m.route(h.proxy, &r.req, h.url, creds)
}

// own are the credentials of the Proxy value.
func (h *proxied) own() *credentials {
	if h.proxy.User == "" && h.proxy.Password == "" {
		return nil
	}
	return &credentials{h.proxy.User, h.proxy.Password}
}

// key names the proxy among the origins that want passwords. Who brings credentials along
// has a place of his own: what somebody else was let in by is not his.
func (h *proxied) key() string {
	return proxyPrefix + h.proxy.String() + " " + h.proxy.User + "\x00" + h.proxy.Password
}

// target makes the request that goes to a forwarding proxy: with the whole URL.
func (h *proxied) target(req *http.Request) *http.Request {
	u := *req.URL
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	u.Opaque = "//" + u.Host + path
	out := *req
	out.URL = &u
	return &out
}

// refused asks for credentials in the place of those that the proxy did not take for a
// tunnel. true means that there are some.
func (h *proxied) refused(err error) bool {
	var pe *dial.ProxyError
	if !errors.As(err, &pe) || pe.Fault != dial.ProxyUnwilling {
		return false
	}
	creds := h.attempt.forTunnel(pe)
	if creds == nil {
		return false
	}
	h.choose(creds)
	return true
}

// blame gives a failure of the proxy its code (D9), also where it only forwards. It
// leaves alone what is the target's.
func (h *proxied) blame(err error) error {
	var we *wire.Error
	if !errors.As(err, &we) || h.attempt != nil && h.attempt.r.ctx.Err() != nil {
		return err
	}
	e := &Error{Phase: PhaseProxy, Sent: we.Sent}
	var pe *dial.ProxyError
	switch {
	case errors.As(err, &pe):
		e.Code = proxyCode(pe)
		e.Err = &ProxyError{h.proxy.String(), pe}
		e.Attempts = attempts(pe)
	case h.route.Kind == dial.Forward && !we.Began && we.Fault == wire.Closed:
		e.Code = ProxyConnectionClosedError
		e.Err = &ProxyError{h.proxy.String(), we.Err}
	case h.route.Kind == dial.Forward && we.Phase == wire.Headers && we.Fault == wire.Malformed:
		e.Code = UnknownProxyError
		e.Err = &ProxyError{h.proxy.String(), we.Err}
	default:
		return err
	}
	e.Text = proxyText(e, h)
	return e
}

// proxyCode is D9.
func proxyCode(pe *dial.ProxyError) NetworkError {
	switch pe.Fault {
	case dial.ProxyClosed:
		return ProxyConnectionClosedError
	case dial.ProxyUnwilling:
		return ProxyAuthenticationRequiredError
	case dial.TargetNotFound:
		return HostNotFoundError
	case dial.TargetRefused:
		return ConnectionRefusedError
	case dial.ProxyUnreachable:
		we := wire.DialError(pe.Err)
		switch wireCode(we) {
		case ConnectionRefusedError:
			return ProxyConnectionRefusedError
		case HostNotFoundError:
			return ProxyNotFoundError
		case TimeoutError:
			return ProxyTimeoutError
		case RemoteHostClosedError:
			return ProxyConnectionClosedError
		}
	}
	return UnknownProxyError
}

func proxyText(e *Error, h *proxied) string {
	switch e.Code {
	case ProxyConnectionRefusedError:
		return "Proxy connection refused"
	case ProxyConnectionClosedError:
		return "Proxy connection closed prematurely"
	case ProxyNotFoundError:
		return "Proxy host " + h.proxy.Host + " not found"
	case ProxyTimeoutError:
		return "Proxy connection timed out"
	case ProxyAuthenticationRequiredError:
		return "Proxy requires authentication"
	case HostNotFoundError:
		return "Host " + h.url.Hostname() + " not found"
	case ConnectionRefusedError:
		return "Connection refused"
	}
	return e.Err.Error()
}
