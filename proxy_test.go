package netreply_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// proxyAt makes the Proxy of an address.
func proxyAt(kind netreply.ProxyType, addr string) *netreply.Proxy {
	a := netip.MustParseAddrPort(addr)
	return &netreply.Proxy{Type: kind, Host: a.Addr().String(), Port: a.Port()}
}

// testProxy is a proxy of HTTP and SOCKS5 that takes every target for one.
type testProxy struct {
	*testserver.Raw
	target string

	mu    sync.Mutex
	asked []string // targets, with the kind of request
	lines []string // of Proxy-Authorization, or user:password for SOCKS
	// answer, when not nil, decides about an HTTP request: "" lets it through.
	answer func(n int, req *http.Request) string
	users  bool // SOCKS wants a:b
	ntlm   bool // HTTP authenticates connections
}

// ntlmState is how far a connection has come with NTLM.
type ntlmState struct {
	stage int
	user  string
}

// answer asks until the connection is somebody's.
func (s *ntlmState) answer(field string) string {
	if s.user != "" {
		return ""
	}
	refuse := func(value string) string {
		return "HTTP/1.1 407 Who\r\nProxy-Authenticate: " + value + "\r\nContent-Length: 4\r\n\r\nwho?"
	}
	token, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(field, "NTLM "))
	switch {
	case bytes.HasPrefix(token, []byte("NTLMSSP\x00\x01")):
		s.stage = 1
		return refuse("NTLM " + base64.StdEncoding.EncodeToString(ntlmChallenge()))
	case bytes.HasPrefix(token, []byte("NTLMSSP\x00\x03")) && s.stage == 1:
		s.stage = 0
		if user := ntlmUser(token); !strings.HasSuffix(user, `\bad`) {
			s.user = user
			return ""
		}
	}
	return refuse("NTLM")
}

func newProxy(t *testing.T, target string, cfg *tls.Config) *testProxy {
	p := &testProxy{target: target}
	p.Raw = testserver.NewRaw(t, cfg, func(c *testserver.Conn) {
		first, err := c.R.Peek(1)
		if err != nil {
			return
		}
		if first[0] == 5 {
			p.socks(c)
			return
		}
		p.http(c)
	})
	return p
}

func (p *testProxy) note(what, line string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, what)
	p.lines = append(p.lines, line)
	return len(p.asked)
}

func (p *testProxy) seen() ([]string, []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.asked...), append([]string(nil), p.lines...)
}

func (p *testProxy) http(c *testserver.Conn) {
	var ntlm ntlmState
	for {
		req, err := http.ReadRequest(c.R)
		if err != nil {
			return
		}
		n := p.note(req.Method+" "+req.RequestURI, req.Header.Get("Proxy-Authorization"))
		if p.answer != nil {
			if text := p.answer(n, req); text != "" {
				io.Copy(io.Discard, req.Body)
				c.Say(text)
				if strings.Contains(text, "Connection: close") || text == "close" {
					return
				}
				continue
			}
		}
		if p.ntlm {
			if text := ntlm.answer(req.Header.Get("Proxy-Authorization")); text != "" {
				io.Copy(io.Discard, req.Body)
				c.Say(text)
				continue
			}
			p.note("as "+ntlm.user, "")
		}
		if req.Method == http.MethodConnect {
			c.Say("HTTP/1.1 200 here you are\r\n\r\n")
			p.pipe(c)
			return
		}
		out, err := net.Dial("tcp", p.target)
		if err != nil {
			return
		}
		req.Header.Del("Proxy-Authorization")
		req.Header.Set("X-Via", "proxy")
		err = req.Write(out)
		var resp *http.Response
		if err == nil {
			resp, err = http.ReadResponse(bufio.NewReader(out), req)
		}
		if err == nil {
			err = resp.Write(c)
			resp.Body.Close()
		}
		out.Close()
		if err != nil {
			return
		}
	}
}

func (p *testProxy) pipe(c *testserver.Conn) {
	out, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	done := make(chan struct{})
	go func() { defer close(done); io.Copy(out, c.R); out.(*net.TCPConn).CloseWrite() }()
	io.Copy(c, out)
	c.Close()
	<-done
	out.Close()
}

func (p *testProxy) socks(c *testserver.Conn) {
	var head [2]byte
	io.ReadFull(c.R, head[:])
	io.ReadFull(c.R, make([]byte, head[1]))
	line := ""
	if p.users {
		c.Say("\x05\x02")
		var text [2]string
		c.R.ReadByte()
		for i := range text {
			n, err := c.R.ReadByte()
			if err != nil {
				p.note("nothing", "")
				return
			}
			b := make([]byte, n)
			io.ReadFull(c.R, b)
			text[i] = string(b)
		}
		line = text[0] + ":" + text[1]
		if line != "a:b" {
			p.note("refused", line)
			c.Say("\x01\x01")
			return
		}
		c.Say("\x01\x00")
	} else {
		c.Say("\x05\x00")
	}
	var req [4]byte
	io.ReadFull(c.R, req[:])
	host := ""
	switch req[3] {
	case 3:
		n, _ := c.R.ReadByte()
		b := make([]byte, n)
		io.ReadFull(c.R, b)
		host = string(b)
	default:
		b := make([]byte, map[byte]int{1: 4, 4: 16}[req[3]])
		io.ReadFull(c.R, b)
		a, _ := netip.AddrFromSlice(b)
		host = a.String()
	}
	var port [2]byte
	if _, err := io.ReadFull(c.R, port[:]); err != nil {
		return
	}
	p.note(fmt.Sprintf("SOCKS %s:%d", host, binary.BigEndian.Uint16(port[:])), line)
	c.Say("\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
	p.pipe(c)
}

// TestProxies: each kind carries each protocol, names are the proxy's to look up, and
// nothing of the proxy goes to the target.
func TestProxies(t *testing.T) {
	for _, kind := range testserver.Kinds {
		for _, proxy := range []netreply.ProxyType{netreply.HTTPProxy, netreply.HTTPSProxy, netreply.Socks5Proxy, netreply.HTTPCachingProxy} {
			if proxy == netreply.HTTPCachingProxy && kind != testserver.Plain {
				continue
			}
			t.Run(fmt.Sprint(kind, "/", proxy), func(t *testing.T) {
				s, cfg := testserver.NewOrigin(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					for name := range r.Header {
						if strings.HasPrefix(name, "Proxy") {
							t.Errorf("%s reached the target", name)
						}
					}
					fmt.Fprint(w, r.Host, " ", r.URL, " ", r.ProtoMajor, " ", r.Header.Get("X-Via"))
				}))
				var proxyCfg *tls.Config
				p := (*netreply.Proxy)(nil)
				if proxy == netreply.HTTPSProxy {
					cert := selfSigned(t, "proxy.test")
					proxyCfg = &tls.Config{Certificates: []tls.Certificate{cert}}
					px := newProxy(t, s.Listener.Addr().String(), proxyCfg)
					p = proxyAt(proxy, px.Addr)
					p.SSLConfiguration = &netreply.SSLConfiguration{PeerVerifyName: "proxy.test", RootCAs: pool(cert.Leaf)}
					check(t, kind, px, p, cfg)
					return
				}
				px := newProxy(t, s.Listener.Addr().String(), nil)
				check(t, kind, px, proxyAt(proxy, px.Addr), cfg)
			})
		}
	}
}

func pool(cs ...*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range cs {
		p.AddCert(c)
	}
	return p
}

func check(t *testing.T, kind testserver.Kind, px *testProxy, p *netreply.Proxy, cfg *tls.Config) {
	m := newManager(t, netreply.Config{Proxy: p, SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}})
	scheme, major := "http", 1
	if kind == testserver.TLS || kind == testserver.H2 {
		scheme = "https"
	}
	if kind == testserver.H2 || kind == testserver.H2C {
		major = 2
	}
	for range 2 {
		req := newRequest(t, scheme+"://example.com/a%2Fb?c=d")
		req.Headers.Set("Proxy-Authorization", "none of the target's business")
		if kind != testserver.TLS && kind != testserver.H2 {
			req.Headers.Del("Proxy-Authorization")
		}
		if kind == testserver.H2C {
			req.HTTP = netreply.HTTP2Direct
		}
		r := m.Get(t.Context(), req)
		got, err := r.ReadAll()
		require.NoError(t, err)
		via := ""
		forwards := kind == testserver.Plain && p.Type != netreply.Socks5Proxy
		if forwards {
			via = "proxy"
		}
		assert.Equal(t, fmt.Sprint("example.com /a%2Fb?c=d ", major, " ", via), string(got))
		assert.Equal(t, scheme+"://example.com/a%2Fb?c=d", r.URL().String())
		asked, _ := px.seen()
		port := map[string]string{"http": "80", "https": "443"}[scheme]
		switch {
		case forwards:
			assert.Equal(t, "GET http://example.com/a%2Fb?c=d", asked[len(asked)-1])
		case p.Type == netreply.Socks5Proxy:
			assert.Equal(t, []string{"SOCKS example.com:" + port}, asked, "one tunnel for both requests")
		default:
			assert.Equal(t, []string{"CONNECT example.com:" + port}, asked, "one tunnel for both requests")
		}
	}
}

// TestProxyFailures: every failure of a proxy has a code of its own, in every phase (D9).
func TestProxyFailures(t *testing.T) {
	closed := testserver.Refusing(t)
	refused := "HTTP/1.1 %s\r\nContent-Length: 5\r\nX-Why: because\r\n\r\nsorry"
	say := func(text string) func(*testserver.Conn) {
		return func(c *testserver.Conn) { c.Request(); c.Say(text) }
	}
	socks := func(text string) func(*testserver.Conn) {
		return func(c *testserver.Conn) {
			io.ReadFull(c.R, make([]byte, 4))
			c.Say("\x05\x00")
			io.ReadFull(c.R, make([]byte, 7))
			c.Say(text)
			c.R.ReadByte()
		}
	}
	silent := func(c *testserver.Conn) { io.Copy(io.Discard, c.R) }
	type failure struct {
		proxy netreply.ProxyType
		url   string
		serve func(*testserver.Conn)
		code  netreply.NetworkError
		body  bool
	}
	cases := map[string]failure{}
	for name, c := range map[string]struct {
		serve func(*testserver.Conn)
		code  netreply.NetworkError
		body  bool
	}{
		"closed":     {func(c *testserver.Conn) { c.Head() }, netreply.ProxyConnectionClosedError, false},
		"reset":      {func(c *testserver.Conn) { c.Head(); c.Reset() }, netreply.ProxyConnectionClosedError, false},
		"half":       {say("HTTP/1.1 200 O"), netreply.ProxyConnectionClosedError, false},
		"garbage":    {say("220 mail.test ESMTP\r\n\r\n"), netreply.UnknownProxyError, false},
		"endless":    {say("HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 100_000)), netreply.UnknownProxyError, false},
		"silent":     {silent, netreply.ProxyTimeoutError, false},
		"400":        {say(fmt.Sprintf(refused, "400 Bad")), netreply.UnknownProxyError, true},
		"403":        {say(fmt.Sprintf(refused, "403 No")), netreply.UnknownProxyError, true},
		"404":        {say(fmt.Sprintf(refused, "404 None")), netreply.HostNotFoundError, true},
		"407":        {say(fmt.Sprintf(refused, "407 Who")), netreply.ProxyAuthenticationRequiredError, true},
		"500":        {say(fmt.Sprintf(refused, "500 Oh")), netreply.UnknownProxyError, true},
		"502":        {say(fmt.Sprintf(refused, "502 Oh")), netreply.UnknownProxyError, true},
		"503":        {say(fmt.Sprintf(refused, "503 Busy")), netreply.ConnectionRefusedError, true},
		"interims":   {say(strings.Repeat("HTTP/1.1 103 Early\r\n\r\n", 20)), netreply.UnknownProxyError, false},
		"long body":  {say("HTTP/1.1 403 No\r\n\r\nsorry" + strings.Repeat("!", 1<<20)), netreply.UnknownProxyError, true},
		"TLS inside": {say("HTTP/1.1 200 OK\r\n\r\nnot TLS at all"), netreply.SslHandshakeFailedError, false},
	} {
		cases["CONNECT/"+name] = failure{netreply.HTTPProxy, "https://target.test/", c.serve, c.code, c.body}
	}
	for name, c := range map[string]struct {
		serve func(*testserver.Conn)
		code  netreply.NetworkError
	}{
		"closed":    {func(c *testserver.Conn) { io.ReadFull(c.R, make([]byte, 4)) }, netreply.ProxyConnectionClosedError},
		"garbage":   {func(c *testserver.Conn) { io.ReadFull(c.R, make([]byte, 4)); c.Say("HTTP/1.1 400 Bad Request\r\n\r\n") }, netreply.UnknownProxyError},
		"nobody":    {func(c *testserver.Conn) { io.ReadFull(c.R, make([]byte, 4)); c.Say("\x05\xff") }, netreply.ProxyAuthenticationRequiredError},
		"other":     {func(c *testserver.Conn) { io.ReadFull(c.R, make([]byte, 4)); c.Say("\x05\x01") }, netreply.UnknownProxyError},
		"password":  {func(c *testserver.Conn) { io.ReadFull(c.R, make([]byte, 4)); c.Say("\x05\x02") }, netreply.ProxyAuthenticationRequiredError},
		"silent":    {silent, netreply.ProxyTimeoutError},
		"general":   {socks("\x05\x01\x00\x01"), netreply.UnknownProxyError},
		"rules":     {socks("\x05\x02\x00\x01"), netreply.UnknownProxyError},
		"network":   {socks("\x05\x03\x00\x01"), netreply.UnknownProxyError},
		"host":      {socks("\x05\x04\x00\x01"), netreply.HostNotFoundError},
		"refused":   {socks("\x05\x05\x00\x01"), netreply.ConnectionRefusedError},
		"what":      {socks("\x05\x63\x00\x01"), netreply.UnknownProxyError},
		"version 4": {socks("\x04\x00\x00\x01"), netreply.UnknownProxyError},
		"address":   {socks("\x05\x00\x00\x09"), netreply.UnknownProxyError},
		"half":      {socks("\x05\x00\x00\x01\x00"), netreply.ProxyConnectionClosedError},
	} {
		cases["SOCKS5/"+name] = failure{netreply.Socks5Proxy, "http://target.test/", c.serve, c.code, false}
	}
	cases["forward/closed"] = failure{netreply.HTTPProxy, "http://target.test/", func(c *testserver.Conn) { c.Head() }, netreply.ProxyConnectionClosedError, false}
	cases["forward/garbage"] = failure{netreply.HTTPProxy, "http://target.test/", say("220 mail.test ESMTP\r\n\r\n"), netreply.UnknownProxyError, false}
	cases["forward/502"] = failure{netreply.HTTPProxy, "http://target.test/", say("HTTP/1.1 502 Oh\r\nContent-Length: 0\r\n\r\n"), netreply.UnknownServerError, false}
	cases["forward/407"] = failure{netreply.HTTPProxy, "http://target.test/", say("HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n"), netreply.ProxyAuthenticationRequiredError, false}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testserver.NewRaw(t, nil, c.serve)
			m := newManager(t, netreply.Config{Proxy: proxyAt(c.proxy, s.Addr), ConnectTimeout: 300 * time.Millisecond})
			r := m.Get(t.Context(), newRequest(t, c.url))
			err := r.Wait(soon(t))
			require.ErrorIs(t, err, c.code)
			var e *netreply.Error
			require.ErrorAs(t, err, &e)
			if strings.HasPrefix(name, "CONNECT") && name != "CONNECT/TLS inside" {
				assert.Equal(t, netreply.PhaseProxy, e.Phase)
				assert.Contains(t, err.Error(), s.Addr, "which proxy")
				assert.Zero(t, r.StatusCode(), "the target has said nothing")
			}
			got := r.ProxyResponse()
			require.Equal(t, c.body, got != nil)
			if c.body {
				assert.True(t, strings.HasPrefix(string(got.Body), "sorry"))
				assert.LessOrEqual(t, len(got.Body), 64<<10)
				assert.GreaterOrEqual(t, got.StatusCode, 400)
				assert.NotEmpty(t, got.Reason)
			}
		})
	}
	for _, kind := range []netreply.ProxyType{netreply.HTTPProxy, netreply.HTTPSProxy, netreply.Socks5Proxy} {
		for _, u := range []string{"http://target.test/", "https://target.test/"} {
			get := func(p *netreply.Proxy, dial func(context.Context, string, string) (net.Conn, error)) error {
				m := newManager(t, netreply.Config{Proxy: p, DialContext: dial, ConnectTimeout: 200 * time.Millisecond})
				return m.Get(t.Context(), newRequest(t, u)).Wait(soon(t))
			}
			err := get(proxyAt(kind, closed), nil)
			assert.ErrorIs(t, err, netreply.ProxyConnectionRefusedError, "%v %s", kind, u)
			err = get(&netreply.Proxy{Type: kind, Host: "no-such-proxy.invalid"}, nil)
			assert.ErrorIs(t, err, netreply.ProxyNotFoundError, "%v %s", kind, u)
			err = get(&netreply.Proxy{Type: kind, Host: "slow.test"}, func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			})
			assert.ErrorIs(t, err, netreply.ProxyTimeoutError, "%v %s", kind, u)
			var pe *netreply.ProxyError
			assert.ErrorAs(t, err, &pe)
		}
	}
	plain := testserver.NewRaw(t, nil, say("HTTP/1.1 200 OK\r\n\r\n"))
	m := newManager(t, netreply.Config{Proxy: proxyAt(netreply.HTTPSProxy, plain.Addr)})
	require.ErrorIs(t, m.Get(t.Context(), newRequest(t, "https://target.test/")).Wait(soon(t)), netreply.UnknownProxyError, "a proxy that speaks no TLS")
	stranger := newProxy(t, "127.0.0.1:1", &tls.Config{Certificates: []tls.Certificate{selfSigned(t, "127.0.0.1")}})
	m = newManager(t, netreply.Config{Proxy: proxyAt(netreply.HTTPSProxy, stranger.Addr)})
	for _, u := range []string{"http://target.test/", "https://target.test/"} {
		req := newRequest(t, u)
		req.IgnoreAllSSLErrors = true
		r := m.Get(t.Context(), req)
		require.ErrorIs(t, r.Wait(soon(t)), netreply.UnknownProxyError, "whoever ignores a server's flaws does not ignore the proxy's")
		assert.NotContains(t, names(t, r), "flaws")
		var ce *netreply.CertificateError
		require.ErrorAs(t, r.Err(), &ce)
		assert.Equal(t, netreply.SSLHostNameMismatch, ce.Errors[0].Code)
		assert.Equal(t, netreply.SSLSelfSignedCertificate, ce.Errors[1].Code)
	}
	asked, _ := stranger.seen()
	assert.Empty(t, asked)
	trusting := proxyAt(netreply.HTTPSProxy, stranger.Addr)
	trusting.SSLConfiguration = &netreply.SSLConfiguration{PeerVerifyMode: netreply.VerifyNone}
	m = newManager(t, netreply.Config{Proxy: trusting})
	m.Get(t.Context(), newRequest(t, "https://target.test/")).Wait(soon(t))
	asked, _ = stranger.seen()
	assert.Equal(t, []string{"CONNECT target.test:443"}, asked)
}

// TestProxyChoice: who says what, and what can be used for what (rules X2, X3 and X8).
func TestProxyChoice(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	one, two := newProxy(t, s.Listener.Addr().String(), nil), newProxy(t, s.Listener.Addr().String(), nil)
	http1, caching := *proxyAt(netreply.HTTPProxy, one.Addr), *proxyAt(netreply.HTTPCachingProxy, two.Addr)
	socks := proxyAt(netreply.Socks5Proxy, two.Addr)
	var queries atomic.Int32
	factory := func(q netreply.ProxyQuery) []netreply.Proxy {
		queries.Add(1)
		if q.URL.User != nil {
			t.Error("a factory has no business with passwords")
		}
		switch q.URL.Host {
		case "none.test":
			return nil
		case "direct.test":
			return []netreply.Proxy{{Type: netreply.NoProxy}, http1}
		case "bad.test":
			return []netreply.Proxy{{Type: netreply.HTTPProxy}, {Type: 99, Host: "x"}}
		}
		return []netreply.Proxy{caching, http1}
	}
	plain := newManager(t, netreply.Config{Proxy: &http1, DialContext: toProxyOr(s.Listener.Addr().String(), one, two)})
	chooses := newManager(t, netreply.Config{ProxyFactory: factory, DialContext: toProxyOr(s.Listener.Addr().String(), one, two)})
	for _, c := range []struct {
		m        *netreply.Manager
		url      string
		own      *netreply.Proxy
		one, two int
		code     netreply.NetworkError
	}{
		{plain, "http://a.test/", nil, 1, 0, 0},
		{plain, "http://a.test/", &netreply.Proxy{}, 1, 0, 0},
		{plain, "http://a.test/", &netreply.Proxy{Type: netreply.NoProxy}, 0, 0, 0},
		{plain, "http://a.test/", socks, 0, 1, 0},
		{plain, "https://a.test/", &caching, 0, 0, netreply.ProxyNotFoundError},
		{chooses, "http://u:p@a.test/", nil, 0, 1, 0},
		{chooses, "https://a.test/", nil, 1, 0, netreply.SslHandshakeFailedError}, // the server speaks http
		{chooses, "http://none.test/", nil, 0, 0, 0},
		{chooses, "http://direct.test/", nil, 0, 0, 0},
		{chooses, "http://bad.test/", nil, 0, 0, netreply.ProxyNotFoundError},
	} {
		req := newRequest(t, c.url)
		req.Proxy = c.own
		asked1, _ := one.seen()
		asked2, _ := two.seen()
		err := c.m.Get(t.Context(), req).Wait(soon(t))
		if c.code != 0 {
			require.ErrorIs(t, err, c.code, c.url)
		} else {
			require.NoError(t, err, c.url)
		}
		now1, _ := one.seen()
		now2, _ := two.seen()
		assert.Equal(t, []int{c.one, c.two}, []int{len(now1) - len(asked1), len(now2) - len(asked2)}, "%s %v", c.url, c.own)
		c.m.ClearConnectionCache()
	}
	assert.EqualValues(t, 5, queries.Load())
}

// toProxyOr dials the proxies where they are, and everything else at one address.
func toProxyOr(target string, proxies ...*testProxy) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		for _, p := range proxies {
			if addr == p.Addr {
				return new(net.Dialer).DialContext(ctx, network, addr)
			}
		}
		return new(net.Dialer).DialContext(ctx, network, target)
	}
}

// TestProxyRedirect: every hop chooses for itself.
func TestProxyRedirect(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host == "first.test" {
			http.Redirect(w, r, "http://second.test/", http.StatusFound)
		}
	}))
	px := newProxy(t, s.Listener.Addr().String(), nil)
	m := newManager(t, netreply.Config{DialContext: toProxyOr(s.Listener.Addr().String(), px), ProxyFactory: func(q netreply.ProxyQuery) []netreply.Proxy {
		if q.URL.Host == "second.test" {
			return []netreply.Proxy{*proxyAt(netreply.HTTPProxy, px.Addr)}
		}
		return nil
	}})
	require.NoError(t, m.Get(t.Context(), newRequest(t, "http://first.test/")).Wait(soon(t)))
	asked, _ := px.seen()
	assert.Equal(t, []string{"GET http://second.test/"}, asked)
}

// wantsBasic lets those through who know the password.
func wantsBasic(user, password string) func(int, *http.Request) string {
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	return func(_ int, req *http.Request) string {
		if req.Header.Get("Proxy-Authorization") == want {
			return ""
		}
		return "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=\"the proxy\"\r\nContent-Length: 4\r\n\r\nwho?"
	}
}

// TestProxyPassword: known or asked for, remembered, and nobody else's.
func TestProxyPassword(t *testing.T) {
	for _, kind := range testserver.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			s, cfg := testserver.NewOrigin(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Proxy-Authorization") != "" {
					t.Error("the target sees the proxy's password")
				}
				io.Copy(w, r.Body)
			}))
			for name, c := range map[string]struct {
				proxy netreply.ProxyType
				user  string
				ask   bool
				wrong bool
			}{
				"HTTP, known": {netreply.HTTPProxy, "a", false, false}, "HTTP, asked": {netreply.HTTPProxy, "", true, false},
				"HTTP, known but wrong": {netreply.HTTPProxy, "x", true, true},
				"SOCKS, known":          {netreply.Socks5Proxy, "a", false, false}, "SOCKS, asked": {netreply.Socks5Proxy, "", true, false},
				"SOCKS, known but wrong": {netreply.Socks5Proxy, "x", true, true},
			} {
				t.Run(name, func(t *testing.T) {
					px := newProxy(t, s.Listener.Addr().String(), nil)
					px.answer, px.users = wantsBasic("a", "b"), true
					p := proxyAt(c.proxy, px.Addr)
					if c.user != "" {
						p.User, p.Password = c.user, "b"
					}
					questions := 0
					m := newManager(t, netreply.Config{Proxy: p, SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}, OnSignal: func(_ *netreply.Reply, e netreply.Event) {
						if q, ok := e.(netreply.ProxyAuthenticationRequired); ok {
							questions++
							assert.Equal(t, c.wrong, q.PreviousFailed)
							assert.Equal(t, c.user, q.User)
							assert.Empty(t, q.Proxy.Password)
							if c.proxy == netreply.HTTPProxy {
								assert.Equal(t, "the proxy", q.Realm)
							}
							q.SetCredentials("a", "b")
						}
					}})
					for range 3 {
						req := newRequest(t, strings.Replace(s.URL, "127.0.0.1", "example.com", 1))
						if kind == testserver.H2C {
							req.HTTP = netreply.HTTP2Direct
						}
						r := m.Post(t.Context(), req, netreply.BytesBody([]byte("a body")))
						got, err := r.ReadAll()
						require.NoError(t, err)
						assert.Equal(t, "a body", string(got))
						m.ClearConnectionCache()
					}
					want := 0
					if c.ask {
						want = 1
					}
					assert.Equal(t, want, questions, "once for all")
					if kind == testserver.TLS {
						at := netip.MustParseAddrPort(s.Listener.Addr().String())
						require.NoError(t, m.ConnectToHostEncrypted(t.Context(), "example.com", at.Port(), nil), "what the proxy took, it takes again")
					}
					m.ClearAccessCache()
					r := m.Get(t.Context(), newRequest(t, strings.Replace(s.URL, "127.0.0.1", "example.com", 1)))
					if kind != testserver.H2C {
						require.NoError(t, r.Wait(soon(t)))
						assert.Equal(t, 2*want, questions, "and once more when it is forgotten")
					}
				})
			}
		})
	}
}

// TestProxyNTLM: connections to the proxy are somebody's, tunnels and others.
func TestProxyNTLM(t *testing.T) {
	for _, kind := range testserver.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			s, cfg := testserver.NewOrigin(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
			px := newProxy(t, s.Listener.Addr().String(), nil)
			px.ntlm = true
			m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}})
			post := func(user string) (string, error) {
				req := newRequest(t, strings.Replace(s.URL, "127.0.0.1", "example.com", 1))
				if kind == testserver.H2C {
					req.HTTP = netreply.HTTP2Direct
				}
				req.Proxy = proxyAt(netreply.HTTPProxy, px.Addr)
				req.Proxy.User, req.Proxy.Password = user, "secret"
				got, err := m.Post(t.Context(), req, netreply.StringBody("hello")).ReadAll()
				return string(got), err
			}
			for _, user := range []string{`DOM\a`, `DOM\b`, `DOM\a`, `DOM\b`} {
				got, err := post(user)
				require.NoError(t, err)
				require.Equal(t, "hello", got)
				asked, _ := px.seen()
				last := ""
				for _, a := range asked {
					if strings.HasPrefix(a, "as ") {
						last = a
					}
				}
				if kind == testserver.Plain {
					assert.Equal(t, "as "+user, last)
				}
			}
			asked, _ := px.seen()
			assert.Contains(t, asked, `as DOM\a`)
			assert.Contains(t, asked, `as DOM\b`)
			_, err := post(`DOM\bad`)
			require.ErrorIs(t, err, netreply.ProxyAuthenticationRequiredError)
		})
	}
}

// TestProxyToNTLM: a server that authenticates connections is reached through tunnels, too,
// and what its negotiation holds is not the proxy's to let go.
func TestProxyToNTLM(t *testing.T) {
	for _, kind := range []testserver.Kind{testserver.Plain, testserver.TLS} {
		s, cfg := connOrigin(t, kind, ntlmServer(func(string) {}))
		px := newProxy(t, s.Listener.Addr().String(), nil)
		px.answer, px.users = wantsBasic("a", "b"), true
		for _, proxy := range []netreply.ProxyType{netreply.HTTPProxy, netreply.Socks5Proxy} {
			if kind == testserver.Plain && proxy == netreply.HTTPProxy {
				continue // it forwards, over connections of its own
			}
			p := proxyAt(proxy, px.Addr)
			p.User, p.Password = "a", "b"
			m := newManager(t, netreply.Config{Proxy: p, SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}})
			var wg sync.WaitGroup
			for range 24 {
				req := newRequest(t, strings.Replace(s.URL, "127.0.0.1", "example.com", 1)+"/")
				req.URL.User = url.UserPassword(`DOM\alice`, "pass")
				wg.Go(func() {
					got, err := m.Post(t.Context(), req, netreply.StringBody("!")).ReadAll()
					assert.NoError(t, err, "%s by %v", kind, proxy)
					assert.Equal(t, `DOM\alice!`, string(got))
				})
			}
			wg.Wait()
		}
	}
}

// TestProxyCloses: a proxy that ends the connection with its question is connected to
// once more.
func TestProxyCloses(t *testing.T) {
	for _, kind := range []testserver.Kind{testserver.Plain, testserver.TLS} {
		s, cfg := testserver.NewOrigin(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }))
		for _, head := range []string{"HTTP/1.1 407 Who\r\nConnection: close\r\n", "HTTP/1.0 407 Who\r\nX-Connection: close\r\n"} {
			px := newProxy(t, s.Listener.Addr().String(), nil)
			knows := wantsBasic("a", "b")
			px.answer = func(n int, req *http.Request) string {
				if knows(n, req) == "" {
					return ""
				}
				return head + "Proxy-Authenticate: Basic realm=\"r\"\r\nContent-Length: 4\r\n\r\nwho?"
			}
			p := proxyAt(netreply.HTTPProxy, px.Addr)
			p.User, p.Password = "a", "b"
			m := newManager(t, netreply.Config{Proxy: p, SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}})
			got, err := m.Get(t.Context(), newRequest(t, strings.Replace(s.URL, "127.0.0.1", "example.com", 1))).ReadAll()
			require.NoError(t, err)
			require.Equal(t, "hello", string(got))
			asked, lines := px.seen()
			require.Len(t, asked, 2)
			require.Equal(t, 2, px.Connections())
			require.Empty(t, lines[0])
		}
	}
}

// TestProxyAsk: the reply waits for the answer, and no answer is an end.
func TestProxyAsk(t *testing.T) {
	s, cfg := testserver.NewOrigin(t, testserver.TLS, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	px := newProxy(t, s.Listener.Addr().String(), nil)
	px.answer = wantsBasic("a", "b")
	m := newManager(t, netreply.Config{Proxy: proxyAt(netreply.HTTPProxy, px.Addr), SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}, Ask: netreply.AskProxyAuthentication})
	for _, u := range []string{"http://example.com/", "https://example.com/"} {
		r := m.Get(t.Context(), newRequest(t, u))
		q := <-r.ProxyAuthenticationRequired()
		assert.True(t, r.IsRunning())
		q.Cancel()
		require.ErrorIs(t, r.Wait(soon(t)), netreply.ProxyAuthenticationRequiredError)
		assert.Equal(t, "Proxy requires authentication", r.ErrorString())
	}
	r := m.Get(t.Context(), newRequest(t, "https://example.com/"))
	(<-r.ProxyAuthenticationRequired()).SetCredentials("a", "wrong")
	again := <-r.ProxyAuthenticationRequired()
	assert.True(t, again.PreviousFailed)
	again.SetCredentials("a", "b")
	require.NoError(t, r.Wait(soon(t)))
	assert.Equal(t, []string{"connecting", "proxy question", "proxy question", "encrypted", "sent", "head", "down", "finished"}, names(t, r))
}

// TestProxyGuard: what a proxy is asked for is looked at like what is connected to.
func TestProxyGuard(t *testing.T) {
	s, cfg := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	px := newProxy(t, s.Listener.Addr().String(), nil)
	for _, kind := range []netreply.ProxyType{netreply.HTTPProxy, netreply.Socks5Proxy} {
		m := newManager(t, netreply.Config{Proxy: proxyAt(kind, px.Addr), Guard: &netreply.AddressGuard{}, SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}})
		for _, u := range []string{"http://10.0.0.1/", "https://10.0.0.1/", "http://localhost/", "https://localhost/"} {
			err := m.Get(t.Context(), newRequest(t, u)).Wait(soon(t))
			var blocked *netreply.BlockedAddressError
			require.ErrorAs(t, err, &blocked, "%v %s", kind, u)
		}
		asked, _ := px.seen()
		require.Empty(t, asked)
	}
	m := newManager(t, netreply.Config{Proxy: proxyAt(netreply.HTTPProxy, px.Addr), Guard: &netreply.AddressGuard{}})
	require.NoError(t, m.Get(t.Context(), newRequest(t, "http://192.0.1.1/")).Wait(soon(t)), "the proxy itself is the program's choice")
	local := proxyAt(netreply.Socks5Proxy, px.Addr)
	local.ResolveLocally = true
	m = newManager(t, netreply.Config{Proxy: local})
	require.NoError(t, m.Get(t.Context(), newRequest(t, "http://localhost/")).Wait(soon(t)))
	asked, _ := px.seen()
	assert.Regexp(t, `SOCKS (127\.0\.0\.1|::1):80`, asked[len(asked)-1])
}

func TestParseProxy(t *testing.T) {
	for raw, want := range map[string]netreply.Proxy{
		"http://p.test":               {Type: netreply.HTTPProxy, Host: "p.test"},
		"https://u:s%20p@P.test:8443": {Type: netreply.HTTPSProxy, Host: "p.test", Port: 8443, User: "u", Password: "s p"},
		"socks5://[::1]:9050":         {Type: netreply.Socks5Proxy, Host: "::1", Port: 9050},
		"socks5h://p.test":            {Type: netreply.Socks5Proxy, Host: "p.test"},
	} {
		p, err := netreply.ParseProxy(raw)
		require.NoError(t, err)
		assert.Equal(t, want, *p)
		assert.NotContains(t, p.String(), "s p")
	}
	for _, raw := range []string{"", "p.test", "ftp://p.test", "http://", "http://u:secret@p.test:99999", "http://u:secret@p test"} {
		_, err := netreply.ParseProxy(raw)
		var fe *netreply.FieldError
		require.ErrorAs(t, err, &fe, raw)
		assert.NotContains(t, err.Error(), "secret")
	}
	_, err := netreply.NewManager(netreply.Config{Proxy: &netreply.Proxy{Type: netreply.HTTPProxy}, ProxyFactory: netreply.ProxyFromEnvironment})
	require.ErrorContains(t, err, "Config.Proxy")
	require.ErrorContains(t, err, "ProxyFactory")
	m := newManager(t, netreply.Config{})
	req := newRequest(t, "http://127.0.0.1:1/")
	req.Proxy = &netreply.Proxy{Type: 77}
	require.ErrorIs(t, m.Get(t.Context(), req).Wait(soon(t)), netreply.ProtocolInvalidOperationError)
	assert.Equal(t, "direct", strings.ToLower(strings.Replace((&netreply.Proxy{Type: netreply.NoProxy}).String(), "no", "direct", 1)))
}

// TestProxyFromEnvironment: the variables of this process, which are read once.
func TestProxyFromEnvironment(t *testing.T) {
	u, err := url.Parse("http://127.0.0.1/") // never proxied, whatever they say
	require.NoError(t, err)
	assert.Empty(t, netreply.ProxyFromEnvironment(netreply.ProxyQuery{URL: u}))
}
