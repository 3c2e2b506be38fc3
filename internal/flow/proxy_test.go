package flow_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/cookies"
	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/internal/auth"
	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/flow"
	"github.com/netreply/netreply/internal/testserver"
	"github.com/netreply/netreply/internal/wire"
)

// proxied is a server, a proxy, and a client that uses both.
type proxied struct {
	*client
	proxy  *testserver.Proxy
	server string // its address
}

func newProxied(t *testing.T, kind testserver.Kind, h http.HandlerFunc, change ...func(*flow.Config)) *proxied {
	s, cfg := testserver.NewOrigin(t, kind, h)
	addr := s.Listener.Addr().String()
	return &proxied{newClient(t, cfg, "", change...), testserver.NewProxy(t, addr, nil), addr}
}

// get returns a request with Proxied set.
func (p *proxied) get(address string) flow.Request {
	q := get(address)
	q.Proxied = true
	return q
}

// via returns the relevant fields of a request.
func via(w http.ResponseWriter, r *http.Request) {
	fmt.Fprint(w, r.Host, " ", r.Header.Get("X-Via"), " ", r.Header.Get("Proxy-Authorization"))
}

// TestProxyKinds: HTTP/1 is forwarded; HTTP/2 and TLS use a tunnel; SOCKS is a tunnel for
// everything.
func TestProxyKinds(t *testing.T) {
	for name, row := range map[string]struct {
		kind     testserver.Kind
		url      string
		socks    bool
		protocol wire.Protocol
		requests []string
		body     string
	}{
		"http":          {testserver.Plain, "http://example.com/", false, wire.Negotiate, []string{"GET http://example.com/"}, "example.com proxy "},
		"https":         {testserver.H2, "https://example.com/", false, wire.Negotiate, []string{"CONNECT example.com:443"}, "example.com  "},
		"h2c":           {testserver.H2C, "http://example.com/", false, wire.HTTP2, []string{"CONNECT example.com:80"}, "example.com  "},
		"http, SOCKS5":  {testserver.Plain, "http://example.com/", true, wire.Negotiate, []string{"SOCKS example.com:80"}, "example.com  "},
		"https, SOCKS5": {testserver.TLS, "https://example.com/", true, wire.Negotiate, []string{"SOCKS example.com:443"}, "example.com  "},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProxied(t, row.kind, via)
			proxy := httpProxy(p.proxy)
			proxy.SOCKS5 = row.socks
			q := p.get(row.url)
			q.HTTP = row.protocol
			for range 2 {
				r := p.ok(&watcher{proxies: through(proxy)}, q)
				assert.Equal(t, row.body, r.body)
				assert.Equal(t, []string{"proxies " + row.url}, r.told("proxies"))
			}
			if row.kind == testserver.Plain && !row.socks {
				row.requests = append(row.requests, row.requests...)
			}
			assert.Equal(t, row.requests, p.proxy.Requests())
			assert.Equal(t, 1, p.proxy.Connections())
		})
	}
}

// TestProxyNotAsked: Proxies is not called without Proxied, nor for a local socket.
func TestProxyNotAsked(t *testing.T) {
	p := newProxied(t, testserver.Plain, via)
	q := p.get("http://" + p.server + "/")
	q.Proxied = false
	assert.Empty(t, p.ok(&watcher{proxies: through(httpProxy(p.proxy))}, q).told("proxies"))
	q = p.get("unix+http://a.example/")
	q.LocalServerName = t.TempDir() + "/none"
	r := p.do(&watcher{proxies: through(httpProxy(p.proxy))}, q)
	require.Error(t, r.err)
	assert.Empty(t, r.told("proxies"))
	assert.Empty(t, p.proxy.Requests())
}

// TestProxyEachHop: the proxy is chosen for every hop, and a repetition uses that of its
// hop.
func TestProxyEachHop(t *testing.T) {
	p := newProxied(t, testserver.Plain, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/a" {
			http.Redirect(w, r, "http://"+r.Host+"/b", http.StatusFound)
			return
		}
		via(w, r)
	})
	w := &watcher{proxies: func(u *url.URL) ([]*flow.Proxy, error) {
		if u.Path == "/a" {
			return []*flow.Proxy{httpProxy(p.proxy)}, nil
		}
		return []*flow.Proxy{nil}, nil
	}}
	q := p.get("http://" + p.server + "/a")
	q.Headers = headers.New("Proxy-Authorization", "secret")
	r := p.ok(w, q)
	assert.Equal(t, p.server+"  ", r.body, "directly, without what is the proxy's")
	assert.Equal(t, []string{"secret"}, p.proxy.Credentials())
	assert.Len(t, r.told("proxies"), 2)
}

// TestProxyChoiceFails: an error of Proxies fails the transfer.
func TestProxyChoiceFails(t *testing.T) {
	p := newProxied(t, testserver.Plain, via)
	bad := errors.New("bad PAC file")
	r := p.do(&watcher{proxies: func(*url.URL) ([]*flow.Proxy, error) { return nil, bad }}, p.get("http://a.example/"))
	assert.Equal(t, bad, r.err)
	assert.Empty(t, r.told("sent"))
}

// TestProxyList: the proxies of a list are tried in turn (rule X3), with the body from its
// beginning; nil means a direct connection.
func TestProxyList(t *testing.T) {
	dead := &flow.Proxy{Addr: testserver.Refusing(t), Host: "127.0.0.1", Name: "dead"}
	for _, kind := range []testserver.Kind{testserver.Plain, testserver.TLS} {
		t.Run(string(kind), func(t *testing.T) {
			p := newProxied(t, kind, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				w.Write(body)
				via(w, r)
			})
			address := map[testserver.Kind]string{testserver.Plain: "http://", testserver.TLS: "https://"}[kind] + p.server + "/"
			live := httpProxy(p.proxy)
			for name, row := range map[string]struct {
				list     []*flow.Proxy
				body     func(string) *flow.Payload
				requests int
				dead     string // whose failure it is; "" for none
			}{
				"the second":         {[]*flow.Proxy{dead, live}, inMemory, 1, ""},
				"the first":          {[]*flow.Proxy{live, dead}, fromSource, 1, ""},
				"a body of a source": {[]*flow.Proxy{dead, dead, live}, fromSource, 1, ""},
				"a body for once":    {[]*flow.Proxy{dead, live}, onlyOnce, 1, ""},
				"directly":           {[]*flow.Proxy{dead, nil}, inMemory, 0, ""},
				"none":               {nil, inMemory, 0, ""},
				"all fail":           {[]*flow.Proxy{dead, dead}, inMemory, 0, "dead"},
			} {
				before := len(p.proxy.Requests())
				q := request(http.MethodPost, address, row.body("text "))
				q.Proxied = true
				r := p.do(&watcher{proxies: through(row.list...)}, q)
				p.wire.CloseIdle()
				assert.Len(t, p.proxy.Requests()[before:], row.requests, name)
				if row.dead != "" {
					var f *flow.ProxyFailure
					require.ErrorAs(t, r.err, &f, name)
					assert.Equal(t, row.dead, f.Proxy.Name)
					assert.Equal(t, "127.0.0.1", f.Host)
					assert.False(t, f.Forwarding)
					var pe *dial.ProxyError
					require.ErrorAs(t, f, &pe)
					assert.Equal(t, dial.ProxyUnreachable, pe.Fault)
					continue
				}
				require.NoError(t, r.err, name)
				assert.True(t, strings.HasPrefix(r.body, "text "+p.server), "%s: %q", name, r.body)
			}
		})
	}
}

// TestProxyListCloses: the body that was opened for an unreachable proxy is closed.
func TestProxyListCloses(t *testing.T) {
	dead := &flow.Proxy{Addr: testserver.Refusing(t), Host: "127.0.0.1", Name: "dead"}
	p := newProxied(t, testserver.Plain, echo)
	var opened, closed atomic.Int64
	q := request(http.MethodPut, "http://a.example/", &flow.Payload{Size: -1, Rewindable: true, Owned: true, Open: func() (io.Reader, error) {
		opened.Add(1)
		return countedSource{strings.NewReader("text"), &closed}, nil
	}})
	q.Proxied = true
	assert.Equal(t, "text", p.ok(&watcher{proxies: through(dead, dead, httpProxy(p.proxy))}, q).body)
	assert.EqualValues(t, 3, opened.Load())
	assert.EqualValues(t, 3, closed.Load())
	require.Error(t, p.do(&watcher{proxies: through(dead)}, q).err)
	assert.EqualValues(t, 4, opened.Load())
	assert.EqualValues(t, 4, closed.Load())
}

// TestProxyListEnds: no further proxy is tried if NextProxy says so, or after the end of
// the context.
func TestProxyListEnds(t *testing.T) {
	dead := &flow.Proxy{Addr: testserver.Refusing(t), Host: "127.0.0.1", Name: "dead"}
	var asked atomic.Int64
	p := newProxied(t, testserver.Plain, via, func(c *flow.Config) {
		c.NextProxy = func(error) bool { asked.Add(1); return false }
	})
	r := p.do(&watcher{proxies: through(dead, httpProxy(p.proxy))}, p.get("http://a.example/"))
	require.Error(t, r.err)
	assert.EqualValues(t, 1, asked.Load())
	assert.Empty(t, p.proxy.Requests())

	aborted := errors.New("aborted")
	ctx, cancel := context.WithCancelCause(t.Context())
	w := &watcher{proxies: through(dead, httpProxy(p.proxy)), on: func(line string) {
		if line == "connecting" {
			cancel(aborted)
		}
	}}
	r = p.doIn(ctx, w, p.get("http://a.example/"), nil)
	assert.Equal(t, aborted, r.err)
	assert.EqualValues(t, 1, asked.Load())
}

// TestProxyListHeaders: fields for one proxy are not sent to the next one; the others are.
func TestProxyListHeaders(t *testing.T) {
	jar := cookies.NewJar(cookies.Options{})
	jar.SetHeader(get("http://a.example/").URL, []string{"a=1"})
	p := newProxied(t, testserver.Plain, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("X-First"), ",", r.Header.Get("X-Second"), ",", r.Header.Get("X-Own"), ",", r.Header.Get("Cookie"))
	}, func(c *flow.Config) { c.Jar = jar })
	first := &flow.Proxy{Addr: testserver.Refusing(t), Name: "dead", Headers: headers.New("X-First", "1")}
	second := httpProxy(p.proxy)
	second.Headers = headers.New("X-Second", "2", "x-own", "proxy's")
	q := p.get("http://a.example/")
	q.Headers = headers.New("X-Own", "mine")
	assert.Equal(t, ",2,mine,a=1", p.ok(&watcher{proxies: through(first, second)}, q).body)
}

// TestProxyLogin: challenges of a proxy are answered, and accepted credentials are sent
// without a challenge afterwards.
func TestProxyLogin(t *testing.T) {
	for name, row := range map[string]struct {
		kind  testserver.Kind
		url   string
		socks bool
		// asked are the questions of a request without a password and with a wrong one.
		asked, wrong []string
	}{
		"forwarding": {kind: testserver.Plain, url: "http://a.example/",
			asked: []string{`password Basic "the proxy" of P`}, wrong: []string{`password Basic "the proxy" of P, again`}},
		"tunnel": {kind: testserver.TLS, url: "https://example.com/",
			asked: []string{`password Basic "the proxy" of P`}, wrong: []string{`password Basic "the proxy" of P, again`}},
		"SOCKS5": {kind: testserver.Plain, url: "http://a.example/", socks: true,
			asked: []string{`password SOCKS5 "" of P`}, wrong: []string{`password SOCKS5 "" of P, again`}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProxied(t, row.kind, via)
			p.proxy.RequireLogin("u", "p")
			proxy := httpProxy(p.proxy)
			proxy.Name, proxy.SOCKS5 = "P", row.socks
			q := p.get(row.url)
			q.AsksProxyPassword = true

			r := p.ok(&watcher{proxies: through(proxy), password: answers(wrong, right)}, q)
			assert.NotContains(t, r.body, "Basic", "the target does not see it")
			assert.Equal(t, append(row.asked, row.wrong...), r.told("password"))
			assert.Len(t, r.heads, 1, "of the final response")
			p.wire.CloseIdle()
			r = p.ok(&watcher{proxies: through(proxy)}, q)
			assert.Empty(t, r.told("password"))

			p.engine.ForgetLogins()
			p.wire.CloseIdle()
			r = p.do(&watcher{proxies: through(proxy), password: answers(wrong)}, q)
			if name == "forwarding" { // the 407 is the response
				require.NoError(t, r.err)
				assert.Equal(t, http.StatusProxyAuthRequired, r.resp.StatusCode)
				assert.Equal(t, "who?", r.body)
			} else {
				var f *flow.ProxyFailure
				require.ErrorAs(t, r.err, &f)
				var pe *dial.ProxyError
				require.ErrorAs(t, f, &pe)
				assert.Equal(t, dial.ProxyAuthRequired, pe.Fault)
			}
			assert.Equal(t, append(row.asked, row.wrong...), r.told("password"))

			proxy.User, proxy.Password = "u", "p"
			r = p.ok(&watcher{proxies: through(proxy)}, q)
			assert.Empty(t, r.told("password"), "the proxy has brought it along")
		})
	}
}

// TestProxyLoginBody: after a 407 a body is sent from its beginning; one that cannot be
// read again fails.
func TestProxyLoginBody(t *testing.T) {
	p := newProxied(t, testserver.Plain, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	p.proxy.RequireLogin("u", "p")
	for name, body := range map[string]func(string) *flow.Payload{"memory": inMemory, "source": fromSource, "once": onlyOnce} {
		p.engine.ForgetLogins()
		q := request(http.MethodPost, "http://a.example/", body("text"))
		q.Proxied, q.AsksProxyPassword = true, true
		r := p.do(&watcher{proxies: through(httpProxy(p.proxy)), password: answers(right)}, q)
		if name == "once" {
			var e *flow.Error
			require.ErrorAs(t, r.err, &e)
			assert.Equal(t, flow.NotResent, e.Kind)
			continue
		}
		require.NoError(t, r.err)
		assert.Equal(t, "text", r.body)
	}
}

// TestProxyOwnAuthorization: a Proxy-Authorization of the program is sent to the proxy
// only, and a 407 to it is final.
func TestProxyOwnAuthorization(t *testing.T) {
	p := newProxied(t, testserver.Plain, via)
	p.proxy.RequireLogin("u", "p")
	q := p.get("http://a.example/")
	q.AsksProxyPassword = true
	q.Headers = headers.New("proxy-authorization", "mine")
	r := p.ok(&watcher{proxies: through(httpProxy(p.proxy)), password: answers(right)}, q)
	assert.Equal(t, http.StatusProxyAuthRequired, r.resp.StatusCode)
	assert.Empty(t, r.told("password"))
	assert.Equal(t, []string{"mine"}, p.proxy.Credentials())

	p = newProxied(t, testserver.TLS, via)
	q.URL.Scheme, q.URL.Host = "https", "example.com"
	r = p.ok(&watcher{proxies: through(httpProxy(p.proxy))}, q)
	assert.Equal(t, "example.com  ", r.body)
	assert.Equal(t, []string{""}, p.proxy.Credentials())
	proxy := httpProxy(p.proxy)
	proxy.Headers = headers.New("Proxy-Authorization", "mine")
	p.proxy.RequireLogin("u", "p")
	p.wire.CloseIdle()
	r = p.do(&watcher{proxies: through(proxy), password: answers(right)}, q)
	require.Error(t, r.err)
	assert.Empty(t, r.told("password"))
}

// TestProxyBothAsk: challenges of the proxy and then of the server, each with its own
// answer.
func TestProxyBothAsk(t *testing.T) {
	for _, kind := range []testserver.Kind{testserver.Plain, testserver.TLS} {
		p := newProxied(t, kind, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "" {
				w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			fmt.Fprint(w, r.Header.Get("Authorization"))
		})
		p.proxy.RequireLogin("u", "p")
		proxy := httpProxy(p.proxy)
		proxy.Name = "P"
		q := p.get(map[testserver.Kind]string{testserver.Plain: "http://example.com/", testserver.TLS: "https://example.com/"}[kind])
		q.AsksPassword, q.AsksProxyPassword = true, true
		w := &watcher{proxies: through(proxy), password: func(q *flow.PasswordQuestion) *auth.Credentials {
			if q.Proxy != nil {
				return right
			}
			return wrong
		}}
		r := p.ok(w, q)
		assert.Equal(t, "Basic dTp3", r.body)
		assert.Equal(t, []string{`password Basic "the proxy" of P`, `password Basic "r"`}, r.told("password"))
	}
}

// TestProxyFailures: failures of a proxy, also while forwarding, are distinguished from
// those of the target.
func TestProxyFailures(t *testing.T) {
	for name, row := range map[string]struct {
		url        string
		serve      func(*testserver.Conn)
		proxy      bool // is it the proxy's failure?
		forwarding bool
		fault      dial.Fault
	}{
		"forwarding, closes":        {url: "http://a.example/", serve: func(c *testserver.Conn) { c.Head() }, proxy: true, forwarding: true},
		"forwarding, talks rubbish": {url: "http://a.example/", serve: func(c *testserver.Conn) { c.Head(); c.Say("rubbish\r\n\r\n") }, proxy: true, forwarding: true},
		"forwarding, ends in the body": {url: "http://a.example/", serve: func(c *testserver.Conn) {
			c.Head()
			c.Say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbody")
		}},
		"tunnel, closes":        {url: "https://a.example/", serve: func(c *testserver.Conn) { c.Head() }, proxy: true, fault: dial.ProxyClosed},
		"tunnel, talks rubbish": {url: "https://a.example/", serve: func(c *testserver.Conn) { c.Head(); c.Say("rubbish\r\n\r\n") }, proxy: true, fault: dial.ProxyMalformed},
		"tunnel, refuses": {url: "https://a.example/", serve: func(c *testserver.Conn) { c.Head(); c.Say("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n") },
			proxy: true, fault: dial.ProxyRefused},
		"tunnel, the target does not speak TLS": {url: "https://a.example/", serve: func(c *testserver.Conn) {
			c.Head()
			c.Say("HTTP/1.1 200 OK\r\n\r\nrubbish rubbish")
			c.Head()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := testserver.NewRaw(t, nil, row.serve)
			c := newClient(t, nil, "")
			q := get(row.url)
			q.Proxied = true
			r := c.do(&watcher{proxies: through(&flow.Proxy{Addr: s.Addr, Name: "P"})}, q)
			require.Error(t, r.err)
			var f *flow.ProxyFailure
			require.Equal(t, row.proxy, errors.As(r.err, &f), "%v", r.err)
			if !row.proxy {
				return
			}
			assert.Equal(t, "P", f.Proxy.Name)
			assert.Equal(t, "a.example", f.Host)
			assert.True(t, strings.HasPrefix(f.Error(), "proxy P: "))
			assert.Equal(t, row.forwarding, f.Forwarding)
			if row.forwarding {
				var we *wire.Error
				require.ErrorAs(t, f, &we)
				assert.NotZero(t, f.Sent)
			} else {
				var pe *dial.ProxyError
				require.ErrorAs(t, f, &pe)
				assert.Equal(t, row.fault, pe.Fault)
			}
		})
	}
}

// TestProxyTargetRefused: a refused host is not requested from a forwarding proxy.
func TestProxyTargetRefused(t *testing.T) {
	bad := errors.New("inside")
	p := newProxied(t, testserver.Plain, via, func(c *flow.Config) {
		c.CheckTarget = func(_ context.Context, host string) error {
			if host == "bad.example" {
				return bad
			}
			return nil
		}
	})
	w := func() *watcher { return &watcher{proxies: through(httpProxy(p.proxy))} }
	r := p.do(w(), p.get("http://bad.example/"))
	require.ErrorIs(t, r.err, bad)
	assert.Empty(t, p.proxy.Requests())
	p.ok(w(), p.get("http://good.example/"))
}

// TestProxyOverTLS: the connection to the proxy may use TLS.
func TestProxyOverTLS(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(via))
	cert, cfg := testserver.NewOrigin(t, testserver.TLS, http.NotFoundHandler())
	p := testserver.NewProxy(t, s.Listener.Addr().String(), cert.TLS)
	c := newClient(t, nil, "")
	proxy := httpProxy(p)
	cfg.ServerName = "example.com"
	proxy.TLS, proxy.TLSKey = cfg.Clone, "key"
	q := get("http://a.example/")
	q.Proxied = true
	for range 2 {
		assert.Equal(t, "a.example proxy ", c.ok(&watcher{proxies: through(proxy)}, q).body)
	}
	assert.Equal(t, 1, p.Connections())
}

// TestProxyParked: credentials are sent on the parked connection of the challenge, unless
// it was closed meanwhile.
func TestProxyParked(t *testing.T) {
	for _, closes := range []bool{false, true} {
		p := newProxied(t, testserver.TLS, via)
		p.proxy.RequireLogin("u", "p")
		q := p.get("https://example.com/")
		q.AsksProxyPassword = true
		w := &watcher{proxies: through(httpProxy(p.proxy)), password: func(*flow.PasswordQuestion) *auth.Credentials {
			if closes {
				p.engine.CloseParked()
			}
			return right
		}}
		p.ok(w, q)
		assert.Equal(t, map[bool]int{false: 1, true: 2}[closes], p.proxy.Connections())
	}
}

// TestProxyNotParked: without a question or without an answer, no connection is parked.
func TestProxyNotParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{}, 1)
		c := newMemoryClient(t, func(c *testserver.Conn) {
			c.Head()
			c.Say("HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=r\r\nContent-Length: 0\r\n\r\n")
			c.Head()
			ended <- struct{}{}
		})
		defer c.close()
		begin := time.Now()
		proxy := &flow.Proxy{Addr: "p:1", Name: "P"}
		require.Error(t, c.engine.Open(t.Context(), get("https://a/").URL, c.profile, []*flow.Proxy{proxy}))
		<-ended
		q := get("https://a/")
		q.Proxied = true
		require.Error(t, c.doIn(t.Context(), &watcher{proxies: through(proxy)}, q, nil).err)
		<-ended
		proxy.Headers = headers.New("Proxy-Authorization", "mine")
		require.Error(t, c.doIn(t.Context(), &watcher{proxies: through(proxy)}, q, nil).err)
		<-ended
		assert.Equal(t, begin, time.Now())
	})
}
