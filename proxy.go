package netreply

import (
	"cmp"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/net/http/httpproxy"

	"github.com/netreply/netreply/internal/httpurl"
)

// ProxyType is the protocol of a proxy (Qt: QNetworkProxy::ProxyType).
type ProxyType int

const (
	// DefaultProxy means the Manager's proxy, and in a Config no proxy.
	DefaultProxy ProxyType = iota
	// Socks5Proxy opens tunnels for http and https; it resolves host names itself.
	Socks5Proxy
	// NoProxy means a direct connection.
	NoProxy
	// HTTPProxy forwards http requests, and opens tunnels for https by CONNECT.
	HTTPProxy
	// HTTPCachingProxy forwards http requests, and is not used for https.
	HTTPCachingProxy
	// HTTPSProxy is an HTTPProxy with a TLS connection to it.
	HTTPSProxy
)

// String is the name of the type.
func (t ProxyType) String() string {
	return nameOf("ProxyType", int(t), "Default", "Socks5", "No", "HTTP", "HTTPCaching", "HTTPS")
}

// Proxy is a proxy server (Qt: QNetworkProxy). Its zero value is DefaultProxy.
type Proxy struct {
	// Type must be set if Host or Port is.
	Type ProxyType
	// Host and Port are the address of the proxy; port 0 means 1080 for SOCKS5, 443 for
	// HTTPSProxy and 8080 for the others.
	Host string
	Port uint16
	// User and Password answer the challenges of the proxy; for NTLM the user may be
	// DOMAIN\user. They are sent to the proxy only.
	User, Password string
	// Headers are sent to the proxy: with CONNECT, and with requests that it forwards,
	// where they do not replace the request's own fields and the proxy may pass them on. If
	// they contain Proxy-Authorization, challenges of the proxy are not answered. Host and
	// the fields about the message's length and connection are refused, and all fields for
	// a Socks5Proxy. Headers may contain secrets, and are not printed.
	Headers Headers
	// ResolveLocally resolves host names locally and sends addresses to a Socks5Proxy.
	ResolveLocally bool
	// SSLConfiguration is for the connection to an HTTPSProxy; nil means its zero value.
	// Flaws of the proxy's certificate are not reported by SSLErrors: they fail the reply
	// with a *CertificateError.
	SSLConfiguration *SSLConfiguration
}

// proxyForm describes the form of a proxy URL. Errors do not quote an invalid one: any part
// of it may be a password.
const proxyForm = "it must have the form http://host:port, or with https, socks5 or socks5h; special characters in a password must be percent-encoded"

// ParseProxy parses a proxy URL with the scheme http, https, socks5 or socks5h, and
// optionally user and password. Its errors do not quote the URL.
func ParseProxy(raw string) (*Proxy, error) {
	u, err := httpurl.Parse(raw)
	if err != nil {
		return nil, &FieldError{Field: "proxy URL", Reason: proxyForm}
	}
	types := map[string]ProxyType{"http": HTTPProxy, "https": HTTPSProxy, "socks5": Socks5Proxy, "socks5h": Socks5Proxy}
	p := &Proxy{Type: types[u.Scheme], Host: u.Hostname()}
	if p.Type == DefaultProxy {
		return nil, &FieldError{Field: "proxy URL", Reason: proxyForm}
	}
	if u.User != nil {
		p.User = u.User.Username()
		p.Password, _ = u.User.Password()
	}
	if port := u.Port(); port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return nil, &FieldError{Field: "proxy URL", Reason: "its port is not a number from 1 to 65535"}
		}
		p.Port = uint16(n)
	}
	if p.Host == "" {
		return nil, &FieldError{Field: "proxy URL", Reason: "the host is missing; " + proxyForm}
	}
	if err := p.validate("proxy URL"); err != nil {
		return nil, err
	}
	return p, nil
}

// String returns the proxy as a URL without user and password.
func (p Proxy) String() string {
	schemes := map[ProxyType]string{HTTPProxy: "http", HTTPCachingProxy: "http", HTTPSProxy: "https", Socks5Proxy: "socks5"}
	scheme, ok := schemes[p.Type]
	if !ok {
		return strings.ToLower(p.Type.String())
	}
	p.Host = httpurl.HideUser(p.Host) // an invalid host may contain a password
	return scheme + "://" + p.addr()
}

func (p Proxy) addr() string {
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
	return net.JoinHostPort(p.hostname(), strconv.Itoa(int(port)))
}

// hostname is Host in ASCII.
func (p *Proxy) hostname() string {
	if ascii, err := httpurl.ASCIIHost(p.Host); err == nil {
		return ascii
	}
	return p.Host
}

func (p *Proxy) validate(field string) error {
	if p == nil {
		return nil
	}
	if p.Type < DefaultProxy || p.Type > HTTPSProxy {
		return &FieldError{field, strconv.Itoa(int(p.Type)), noConstant + "ProxyType"}
	}
	if p.Type == DefaultProxy && (p.Host != "" || p.Port != 0) {
		// a direct connection cannot be meant if a host is set
		return &FieldError{Field: field + ".Type", Reason: "required if Host or Port is set; for instance HTTPProxy or Socks5Proxy"}
	}
	if p.Type != DefaultProxy && p.Type != NoProxy {
		if err := p.validateHost(field + ".Host"); err != nil {
			return err
		}
	}
	if err := p.validateHeaders(field + ".Headers"); err != nil {
		return err
	}
	return p.SSLConfiguration.validate(field + ".SSLConfiguration")
}

// validateHost returns an error for an invalid host, without quoting it if it may contain a
// password.
func (p *Proxy) validateHost(field string) error {
	if p.Host == "" {
		return &FieldError{Field: field, Reason: required}
	}
	reason := httpurl.CheckHost(p.Host)
	if reason == "" {
		return nil
	}
	switch {
	case strings.ContainsAny(p.Host, "@/"):
		return &FieldError{Field: field, Reason: "must be a name or an address alone; use ParseProxy for a URL"}
	case strings.HasPrefix(p.Host, "["):
		reason = "an IPv6 address is written without brackets here"
	case strings.Contains(p.Host, ":"):
		return &FieldError{Field: field, Reason: reason + ", and a port goes into Port"}
	}
	return &FieldError{field, p.Host, reason}
}

// validateHeaders returns an error for fields that a program must not set.
func (p *Proxy) validateHeaders(field string) error {
	if f, badName, found := p.Headers.Invalid(); found {
		if badName {
			return &FieldError{field, f.Name, "not a header name"}
		}
		return &FieldError{Field: field, Reason: "the value of " + f.Name + " is not a header value"}
	}
	if p.Type == Socks5Proxy && p.Headers.Len() > 0 {
		return &FieldError{Field: field, Reason: "SOCKS has no header fields"}
	}
	for _, name := range []string{"Host", "Content-Length", "Transfer-Encoding", "Connection", "Proxy-Connection", "Keep-Alive", "Te", "Trailer", "Upgrade", "Expect"} {
		if p.Headers.Has(name) {
			return &FieldError{field, name, "not for a program to set"}
		}
	}
	return nil
}

// clone returns an independent copy; nil for nil.
func (p *Proxy) clone() *Proxy {
	if p == nil {
		return nil
	}
	c := *p
	c.Headers = p.Headers.Clone()
	if p.SSLConfiguration != nil {
		c.SSLConfiguration = p.SSLConfiguration.Clone()
	}
	return &c
}

// ProxyQuery is the argument of a ProxyFactory.
type ProxyQuery struct {
	URL *url.URL // of the request or redirect, without user information
}

// ProxyFactory chooses proxies (Qt: QNetworkProxyFactory). It returns a list in order of
// preference. The first proxy that can be used for the URL is used, and the next one when
// that cannot be reached or closes the connection (codes 101 to 104) before anything of the
// request was sent (rule X3). NoProxy in the list means a direct connection, as does an
// empty list. Invalid proxies are skipped; if none remains the reply fails with
// ProxyNotFoundError and the reasons. The factory is called for every request and redirect,
// concurrently for different requests.
type ProxyFactory func(ProxyQuery) []Proxy

// ProxyFromEnvironment is a ProxyFactory that uses HTTP_PROXY, HTTPS_PROXY, NO_PROXY and
// ALL_PROXY, or their lower-case forms (rule X9). If a variable is not a valid proxy URL,
// the requests that would use it fail. The environment is read once.
func ProxyFromEnvironment(q ProxyQuery) []Proxy {
	u, err := environment()(q.URL)
	if err == nil && u == nil {
		return nil
	}
	if err == nil {
		if p, err := ParseProxy(u.String()); err == nil {
			return []Proxy{*p}
		}
	}
	return []Proxy{{Type: HTTPProxy}} // invalid: it has no host
}

var environment = sync.OnceValue(func() func(*url.URL) (*url.URL, error) { return environmentProxies().ProxyFunc() })

// environmentProxies returns the configuration of the environment, with ALL_PROXY as the
// default of the other two.
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

// ProxyError is the cause of a reply that failed because of a proxy. The code is one of 101
// to 199, or HostNotFoundError or ConnectionRefusedError if the proxy reports that about
// the target.
type ProxyError struct {
	Proxy string // URL without user and password
	err   error
}

func (e *ProxyError) Error() string {
	if e.err == nil {
		return "proxy " + e.Proxy
	}
	return e.err.Error()
}
func (e *ProxyError) Unwrap() error { return e.err }

// ProxyResponse is the response of a proxy that refused to open a tunnel.
type ProxyResponse struct {
	StatusCode int
	Reason     string
	Headers    Headers
	Body       []byte // at most its first 64 KiB
}

// maxProxies bounds how many proxies of a list are considered.
const maxProxies = 16

// LogValue is what log/slog prints: the same as String.
func (t ProxyType) LogValue() slog.Value { return slog.StringValue(t.String()) }
