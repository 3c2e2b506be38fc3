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

// String is the word for the type.
func (t ProxyType) String() string {
	return nameOf("ProxyType", int(t), "Default", "Socks5", "No", "HTTP", "HTTPCaching", "HTTPS")
}

// Proxy is a proxy server (Qt: QNetworkProxy). Its zero value is DefaultProxy.
type Proxy struct {
	// Type must be set where there is a Host or a Port.
	Type ProxyType
	// Host and Port are where it listens; port 0 means 1080 for SOCKS5, 443 for
	// HTTPSProxy and 8080 for the others.
	Host string
	Port uint16
	// User and Password are given when it asks for them, as its scheme wants; for NTLM
	// the user may be DOMAIN\user. They never go to anybody else.
	User, Password string
	// Headers go to the proxy only: with CONNECT, and with requests that it forwards,
	// where they do not replace the request's own fields, and may be passed on by it. A
	// Proxy-Authorization among them is what the proxy has to be content with: its
	// questions are not answered. Host and the fields about the message's length and
	// connection are refused, and all fields for a Socks5Proxy. They may hold secrets,
	// and are not printed.
	Headers Headers
	// ResolveLocally makes a Socks5Proxy be asked for addresses instead of names.
	ResolveLocally bool
	// SSLConfiguration is for the connection to an HTTPSProxy itself; nil means the
	// system's roots. Its certificate is no matter of SSLErrors: what is wrong with it
	// is a *CertificateError in the reply's error.
	SSLConfiguration *SSLConfiguration
}

// proxyForm says how a proxy is written. What was written instead is not told: anything in
// it may be a password.
const proxyForm = "write it as http://host:port, or with https, socks5 or socks5h; what is no letter or digit in a password is percent-encoded"

// ParseProxy reads a proxy from a URL: http, https, socks5 or socks5h, with user and
// password if there are. The error does not quote them.
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
		return nil, &FieldError{Field: "proxy URL", Reason: "it names no host; " + proxyForm}
	}
	if err := p.validate("proxy URL"); err != nil {
		return nil, err
	}
	return p, nil
}

// String writes the proxy as a URL without its password.
func (p Proxy) String() string {
	schemes := map[ProxyType]string{HTTPProxy: "http", HTTPCachingProxy: "http", HTTPSProxy: "https", Socks5Proxy: "socks5"}
	scheme, ok := schemes[p.Type]
	if !ok {
		return strings.ToLower(p.Type.String())
	}
	p.Host = httpurl.HideUser(p.Host) // one that is no host, see validate
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
		// to connect directly is the last that somebody meant who wrote a host down
		return &FieldError{Field: field + ".Type", Reason: "a proxy with a Host or a Port needs one, such as HTTPProxy or Socks5Proxy"}
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

// validateHost refuses what is no host. It is not quoted where it may hold a password.
func (p *Proxy) validateHost(field string) error {
	if p.Host == "" {
		return &FieldError{Field: field, Reason: "a proxy needs one"}
	}
	reason := httpurl.CheckHost(p.Host)
	if reason == "" {
		return nil
	}
	switch {
	case strings.ContainsAny(p.Host, "@/"):
		return &FieldError{Field: field, Reason: "it is a name or an address alone; ParseProxy takes a URL"}
	case strings.HasPrefix(p.Host, "["):
		reason = "an IPv6 address stands without brackets here"
	case strings.Contains(p.Host, ":"):
		return &FieldError{Field: field, Reason: reason + ", and a port goes into Port"}
	}
	return &FieldError{field, p.Host, reason}
}

// validateHeaders refuses the fields that are not the program's to set.
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

// clone is an independent copy; nil for nil.
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

// ProxyQuery is what a ProxyFactory is asked about.
type ProxyQuery struct {
	URL *url.URL // of the request or redirect, without user information
}

// ProxyFactory chooses proxies (Qt: QNetworkProxyFactory). Of the list, which is in
// order of preference, the first that can be used for the URL is; the next of them when
// it cannot be reached or closes the connection (101 to 104) and nothing of the request
// has been sent (rule X3). NoProxy among them means to connect directly, as does an empty
// list. One that is not valid cannot be used; where none is left the reply fails with
// ProxyNotFoundError, which says why. It is called for every request and redirect, on its
// goroutine, by several at once.
type ProxyFactory func(ProxyQuery) []Proxy

// ProxyFromEnvironment is a ProxyFactory that goes by HTTP_PROXY, HTTPS_PROXY, NO_PROXY
// and ALL_PROXY, or their lower-case forms (rule X9). A variable that is no proxy URL
// gives a list of which nothing can be used. The environment is read once.
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

func (e *ProxyError) Error() string {
	if e.err == nil {
		return "proxy " + e.Proxy
	}
	return e.err.Error()
}
func (e *ProxyError) Unwrap() error { return e.err }

// ProxyResponse is the answer of a proxy that did not make a tunnel.
type ProxyResponse struct {
	StatusCode int
	Reason     string
	Headers    Headers
	Body       []byte // at most 64 KiB of it
}

// maxProxies bounds how many proxies of a list are looked at.
const maxProxies = 16

// LogValue is what log/slog prints: the same as String.
func (t ProxyType) LogValue() slog.Value { return slog.StringValue(t.String()) }
