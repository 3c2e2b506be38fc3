package netreplytest_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/netreplytest"
)

// eachServer runs a test with a server of every kind, in memory and on a port.
func eachServer(t *testing.T, f func(*testing.T, *netreplytest.Server, netreplytest.Kind)) {
	for _, kind := range netreplytest.Kinds {
		t.Run(fmt.Sprint(kind, " in memory"), func(t *testing.T) { f(t, netreplytest.NewServer(t, kind), kind) })
		t.Run(fmt.Sprint(kind, " on a port"), func(t *testing.T) { f(t, netreplytest.NewPortServer(t, kind), kind) })
	}
}

// TestServer: routes, methods, header fields, bodies of both directions and the record.
func TestServer(t *testing.T) {
	eachServer(t, func(t *testing.T, s *netreplytest.Server, kind netreplytest.Kind) {
		s.Handle("GET /page", netreplytest.Answer{netreplytest.Header("Content-Type", "text/html"), netreplytest.Body("<p>"), netreplytest.Body("page")})
		s.Handle("POST /echo", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			assert.NoError(t, err)
			assert.Equal(t, contains(secure, kind), r.TLS != nil)
			w.Write(b)
		}))
		s.Handle("/canned", netreplytest.Answer{netreplytest.Status(201)})
		s.Handle("other.example/page", netreplytest.Answer{netreplytest.Body("other")})

		r := s.Manager().Get(t.Context(), s.Request("/page?q=1"))
		b, err := r.ReadAll()
		require.NoError(t, err)
		assert.Equal(t, "<p>page", string(b))
		assert.Equal(t, "text/html", r.RawHeader("Content-Type"))
		assert.EqualValues(t, 7, r.ContentLength())

		long := strings.Repeat("0123456789abcdef", 400<<10/16)
		b, err = s.Manager().Post(t.Context(), s.Request("/echo"), netreply.StringBody(long)).ReadAll()
		require.NoError(t, err)
		assert.True(t, string(b) == long, "%d bytes", len(b))

		req := s.Request("/canned")
		req.Headers.Set("X-A", "b")
		r = s.Manager().Put(t.Context(), req, netreply.StringBody("sent"))
		require.NoError(t, r.Wait(t.Context()))
		assert.Equal(t, 201, r.StatusCode())

		require.ErrorIs(t, s.Manager().Get(t.Context(), s.Request("/none")).Wait(t.Context()), netreply.ContentNotFoundError)

		req = s.Request("/page")
		req.URL.Host = "other.example"
		b, err = s.Manager().Get(t.Context(), req).ReadAll()
		require.NoError(t, err)
		assert.Equal(t, "other", string(b), "one server is every host")

		seen := s.Requests()
		require.Len(t, seen, 5)
		assert.Equal(t, "GET /page?q=1", seen[0].Method+" "+seen[0].Target)
		assert.Equal(t, req.URL.Host, seen[4].Host)
		assert.Equal(t, len(long), len(seen[1].Body))
		assert.Equal(t, "PUT sent b", seen[2].Method+" "+string(seen[2].Body)+" "+seen[2].Header.Get("X-A"))
		proto := "HTTP/1.1"
		if contains(binary, kind) {
			proto = "HTTP/2.0"
		}
		assert.Equal(t, proto, seen[0].Proto)
	})
}

// TestParallel: many requests at once, on each kind of server.
func TestParallel(t *testing.T) {
	eachServer(t, func(t *testing.T, s *netreplytest.Server, _ netreplytest.Kind) {
		s.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, strings.Repeat(r.URL.Path, 20_000))
		}))
		m := s.Manager()
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				path := fmt.Sprintf("/%d", i)
				b, err := m.Get(t.Context(), s.Request(path)).ReadAll()
				assert.NoError(t, err)
				assert.True(t, string(b) == strings.Repeat(path, 20_000), "%d bytes", len(b))
			})
		}
		all.Wait()
		assert.Len(t, s.Requests(), 20)
	})
}

// TestAnswerSteps: interim responses, trailers, chunks, pauses and slow bodies.
func TestAnswerSteps(t *testing.T) {
	for _, kind := range netreplytest.Kinds {
		synctest.Test(t, func(t *testing.T) {
			s := netreplytest.NewServer(t, kind)
			s.Handle("/", netreplytest.Answer{
				netreplytest.After(time.Hour), netreplytest.Informational(103, "Link", "</a.css>"), netreplytest.Header("X-A", "1"), netreplytest.Header("X-A", "2"),
				netreplytest.After(time.Minute), netreplytest.Slowly("abcdef", 2, time.Second), netreplytest.Trailer("X-Sum", "7"),
			})
			s.Handle("/chunked", netreplytest.Answer{netreplytest.Header("Transfer-Encoding", "chunked"), netreplytest.Body("abc")})
			s.Handle("/redirect", netreplytest.Answer{netreplytest.Status(303), netreplytest.Redirect("/chunked")})
			s.Handle("/none", netreplytest.Answer{netreplytest.Status(204)})

			r := s.Manager().Get(t.Context(), s.Request("/"))
			b, err := r.ReadAll()
			require.NoError(t, err)
			assert.Equal(t, "abcdef", string(b))
			assert.Equal(t, []string{"1", "2"}, r.Headers().Values("X-A"))
			assert.Empty(t, r.RawHeader("Link"), "it is a field of the interim response")
			assert.Equal(t, "7", r.Trailers().Get("X-Sum"))
			at := map[string]time.Duration{}
			for _, e := range netreplytest.Record(r).Events() {
				switch e := e.(type) {
				case netreply.InformationalReceived:
					at["interim"] = e.Elapsed()
				case netreply.MetaDataChanged:
					at["head"] = e.Elapsed()
				case netreply.Finished:
					at["end"] = e.Elapsed()
				}
			}
			assert.Equal(t, map[string]time.Duration{"interim": time.Hour, "head": time.Hour, "end": time.Hour + time.Minute + 3*time.Second}, at)

			r = s.Manager().Get(t.Context(), s.Request("/redirect"))
			b, err = r.ReadAll()
			require.NoError(t, err)
			assert.Equal(t, "abc", string(b))
			assert.EqualValues(t, -1, r.ContentLength())
			require.NoError(t, s.Manager().Get(t.Context(), s.Request("/none")).Wait(t.Context()))
			require.NoError(t, s.Manager().Head(t.Context(), s.Request("/chunked")).Wait(t.Context()))
		})
	}
}

// TestEarly: an early answer comes before the body of the request, which is not read.
func TestEarly(t *testing.T) {
	for _, kind := range netreplytest.Kinds {
		synctest.Test(t, func(t *testing.T) {
			s := netreplytest.NewServer(t, kind)
			s.Handle("/", netreplytest.Answer{netreplytest.Early(), netreplytest.Status(413), netreplytest.Body("too much")})
			body := netreply.StringBody(strings.Repeat("x", 8<<20))
			r := s.Manager().Post(t.Context(), s.Request("/"), body)
			b, err := r.ReadAll()
			require.ErrorIs(t, err, netreply.UnknownContentError)
			assert.Equal(t, "too much", string(b))
			assert.Less(t, err.(*netreply.Error).Sent, int64(8<<20))
			assert.Empty(t, s.Requests()[0].Body)
		})
	}
}

// TestUploadStalls: a server that reads nothing stops the upload of its client.
func TestUploadStalls(t *testing.T) {
	for _, kind := range netreplytest.Kinds {
		synctest.Test(t, func(t *testing.T) {
			s := netreplytest.NewServer(t, kind)
			s.Handle("/", netreplytest.Answer{netreplytest.Early(), netreplytest.Stall()})
			req := s.Request("/")
			req.TransferTimeout = time.Hour
			err := s.Manager().Post(t.Context(), req, netreply.StringBody(strings.Repeat("x", 8<<20))).Wait(t.Context())
			require.ErrorIs(t, err, netreply.TimeoutError, "%v", kind)
			assert.Less(t, err.(*netreply.Error).Sent, int64(2<<20), "%v", kind)
		})
	}
}

// TestHandlerExits: a handler that ends its goroutine, as FailNow of a test does, ends the
// request.
func TestHandlerExits(t *testing.T) {
	eachServer(t, func(t *testing.T, s *netreplytest.Server, _ netreplytest.Kind) {
		s.Handle("/", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { runtime.Goexit() }))
		req := s.Request("/")
		req.TransferTimeout = 10 * time.Second
		err := s.Manager().Get(t.Context(), req).Wait(t.Context())
		require.Error(t, err)
		assert.NotErrorIs(t, err, netreply.TimeoutError)
	})
}

// TestHandlerPanics: a panic of a handler ends its request, and fails the test.
func TestHandlerPanics(t *testing.T) {
	for _, kind := range netreplytest.Kinds {
		spy := &spyTB{TB: t}
		s := netreplytest.NewServer(spy, kind)
		s.Handle("/abort", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
		s.Handle("/panic", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("oops") }))
		require.Error(t, s.Manager().Get(t.Context(), s.Request("/abort")).Wait(t.Context()))
		assert.Empty(t, spy.errs)
		require.Error(t, s.Manager().Get(t.Context(), s.Request("/panic")).Wait(t.Context()))
		require.Len(t, spy.errs, 1)
		assert.Contains(t, spy.errs[0], "the handler of GET /panic panics: oops")
	}
}

// TestClientLeaves: a handler sees that its client has left.
func TestClientLeaves(t *testing.T) {
	for _, kind := range netreplytest.Kinds {
		left := make(chan struct{})
		s := netreplytest.NewServer(t, kind)
		s.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			close(left)
		}))
		r := s.Manager().Get(t.Context(), s.Request("/"))
		require.NoError(t, r.WaitHead(t.Context()))
		r.Abort()
		<-left
	}
}

// TestPortServer: another client reaches a server on a port, and does not trust it without its
// certificates.
func TestPortServer(t *testing.T) {
	s := netreplytest.NewPortServer(t, netreplytest.HTTPS)
	s.Handle("/", netreplytest.Answer{netreplytest.Body("hello")})
	get := func(roots *tls.Config) (string, error) {
		tr := &http.Transport{TLSClientConfig: roots}
		defer tr.CloseIdleConnections()
		resp, err := (&http.Client{Transport: tr}).Get(s.URL("/"))
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return string(b), err
	}
	_, err := get(nil)
	var unknown *tls.CertificateVerificationError
	require.ErrorAs(t, err, &unknown)
	text, err := get(&tls.Config{RootCAs: s.Config().SSLConfiguration.RootCAs})
	require.NoError(t, err)
	assert.Equal(t, "hello", text)
}

// TestConfigure: a Config keeps what it has.
func TestConfigure(t *testing.T) {
	s := netreplytest.NewServer(t, netreplytest.HTTPS)
	s.Handle("/", netreplytest.Answer{})
	roots := netreplytest.NewServer(t, netreplytest.HTTPS).Config().SSLConfiguration.RootCAs
	given := &netreply.SSLConfiguration{RootCAs: roots, PeerVerifyDepth: 3}
	c := netreply.Config{UserAgent: "test", SSLConfiguration: given}
	s.Configure(&c)
	assert.Equal(t, "test", c.UserAgent)
	assert.Equal(t, 3, c.SSLConfiguration.PeerVerifyDepth)
	assert.Empty(t, given.AddedCAs, "the program's own is not changed")
	m, err := netreply.NewManager(c)
	require.NoError(t, err)
	defer m.Close()
	require.NoError(t, m.Get(t.Context(), s.Request("/")).Wait(t.Context()))
	assert.Equal(t, "test", s.Requests()[0].Header.Get("User-Agent"))
}

// TestProxy: http is forwarded, https goes through a tunnel, and both are recorded.
func TestProxy(t *testing.T) {
	for _, kind := range netreplytest.Kinds {
		synctest.Test(t, func(t *testing.T) {
			s := netreplytest.NewServer(t, kind)
			s.Handle("/", netreplytest.Answer{netreplytest.Body("ok")})
			p := s.Proxy()
			p.RequireLogin("user", "secret")
			req := s.Request("/a")
			req.HTTP = netreply.HTTPAny // over HTTP/1 where the proxy forwards
			c := s.Config()
			m, err := netreply.NewManager(c)
			require.NoError(t, err)
			require.ErrorIs(t, m.Get(t.Context(), req).Wait(t.Context()), netreply.ProxyAuthenticationRequiredError)
			assert.Empty(t, s.Requests())
			m.Close()

			c.Proxy.User, c.Proxy.Password = "user", "secret"
			m, err = netreply.NewManager(c)
			require.NoError(t, err)
			defer m.Close()
			b, err := m.Get(t.Context(), req).ReadAll()
			require.NoError(t, err)
			assert.Equal(t, "ok", string(b))
			require.Len(t, s.Requests(), 1)
			assert.Equal(t, "/a", s.Requests()[0].Target)
			assert.Empty(t, s.Requests()[0].Header.Get("Proxy-Authorization"))
			last := p.Requests()[len(p.Requests())-1]
			if contains(secure, kind) {
				assert.Equal(t, "CONNECT server.example:443", last.Method+" "+last.Target)
			} else {
				assert.Equal(t, "GET http://server.example/a", last.Method+" "+last.Target)
			}
			assert.NotZero(t, p.Connections())

			m.ClearConnectionCache()
			s.Next(netreplytest.Refuse())
			require.ErrorIs(t, m.Get(t.Context(), req).Wait(t.Context()), refusedBehindProxy(kind))
			require.NoError(t, m.Get(t.Context(), req).Wait(t.Context()))

			m.ClearConnectionCache()
			p.Next(netreplytest.Close(), netreplytest.Answer{netreplytest.Status(502)})
			require.ErrorIs(t, m.Get(t.Context(), req).Wait(t.Context()), netreply.ProxyConnectionClosedError)
			err = m.Get(t.Context(), req).Wait(t.Context())
			if contains(secure, kind) {
				require.ErrorIs(t, err, netreply.UnknownProxyError)
			} else {
				require.ErrorIs(t, err, netreply.UnknownServerError)
			}
		})
	}
}

// TestProxyTypes: the proxy also speaks TLS and SOCKS5, with logins, faults and targets that
// cannot be reached.
func TestProxyTypes(t *testing.T) {
	for _, kind := range netreplytest.Kinds {
		for _, typ := range []netreply.ProxyType{netreply.HTTPSProxy, netreply.Socks5Proxy} {
			synctest.Test(t, func(t *testing.T) {
				s := netreplytest.NewServer(t, kind)
				s.Handle("/", netreplytest.Answer{netreplytest.Body("ok")})
				p := s.Proxy()
				p.RequireLogin("user", "secret")
				c := s.Config()
				c.Proxy.Type, c.Proxy.SSLConfiguration = typ, c.SSLConfiguration
				get := func() (string, error) {
					m, err := netreply.NewManager(c)
					require.NoError(t, err)
					defer m.Close()
					req := s.Request("/a")
					if typ == netreply.HTTPSProxy {
						req.HTTP = netreply.HTTPAny
					}
					b, err := m.Get(t.Context(), req).ReadAll()
					return string(b), err
				}
				_, err := get()
				require.ErrorIs(t, err, netreply.ProxyAuthenticationRequiredError, "%v %v", kind, typ)
				c.Proxy.User, c.Proxy.Password = "user", "wrong"
				_, err = get()
				require.ErrorIs(t, err, netreply.ProxyAuthenticationRequiredError, "%v %v", kind, typ)
				c.Proxy.Password = "secret"
				body, err := get()
				require.NoError(t, err, "%v %v", kind, typ)
				assert.Equal(t, "ok", body)
				require.Len(t, s.Requests(), 1)
				last := p.Requests()[len(p.Requests())-1]
				assert.NotEmpty(t, last.Header.Get("Proxy-Authorization"))
				if typ == netreply.Socks5Proxy {
					assert.Equal(t, "SOCKS5 CONNECT "+last.Host, last.Proto+" "+last.Method+" "+last.Target)
				}
				if typ == netreply.Socks5Proxy || contains(secure, kind) {
					s.Next(netreplytest.Refuse())
					_, err = get()
					require.ErrorIs(t, err, netreply.ConnectionRefusedError)
					s.Next(netreplytest.HostNotFound())
					_, err = get()
					require.ErrorIs(t, err, netreply.HostNotFoundError)
				}
				for _, code := range []netreply.NetworkError{netreply.ProxyConnectionRefusedError, netreply.ProxyConnectionClosedError,
					netreply.ProxyNotFoundError, netreply.ProxyTimeoutError, netreply.UnknownProxyError} {
					s.Fail(netreplytest.Fail(code))
					_, err = get()
					require.ErrorIs(t, err, code, "%v %v", kind, typ)
				}
				s.Recover()
				p.Next(netreplytest.Answer{netreplytest.Status(502)}, netreplytest.Stall())
				_, err = get()
				require.Error(t, err)
				c.ConnectTimeout = time.Minute
				c.HeadTimeout = time.Minute
				_, err = get()
				require.Error(t, err)
			})
		}
	}
}

// refusedBehindProxy is the code of a target that refuses the proxy's connection: a proxy
// that forwards says so by its status.
func refusedBehindProxy(kind netreplytest.Kind) error {
	if contains(secure, kind) {
		return netreply.ConnectionRefusedError
	}
	return netreply.ServiceUnavailableError
}

// TestTransferTimeout: ten minutes of silence take no time in a bubble.
func TestTransferTimeout(t *testing.T) {
	for _, kind := range netreplytest.Kinds {
		synctest.Test(t, func(t *testing.T) {
			s := netreplytest.NewServer(t, kind)
			s.Handle("/", netreplytest.Answer{netreplytest.Body("hello"), netreplytest.After(9 * time.Minute), netreplytest.Body("world"), netreplytest.Stall()})
			req := s.Request("/")
			req.TransferTimeout = 10 * time.Minute
			start := time.Now()
			b, err := s.Manager().Get(t.Context(), req).ReadAll()
			require.ErrorIs(t, err, netreply.TimeoutError)
			assert.Equal(t, "helloworld", string(b))
			// Over HTTP/2 the peer's activity is looked for at every eighth of the limit.
			assert.GreaterOrEqual(t, time.Since(start), 19*time.Minute, "%v", kind)
			assert.LessOrEqual(t, time.Since(start), 19*time.Minute+10*time.Minute/8, "%v", kind)
		})
	}
}

// TestEndOfTest: the end of a test ends what is running; goleak tells if it does not.
func TestEndOfTest(t *testing.T) {
	eachServer(t, func(t *testing.T, s *netreplytest.Server, _ netreplytest.Kind) {
		s.Handle("/", netreplytest.Answer{netreplytest.Body("x"), netreplytest.After(time.Hour)})
		require.NoError(t, s.Manager().Get(t.Context(), s.Request("/")).WaitHead(t.Context()))
		m, err := netreply.NewManager(s.Config()) // which is closed after the server
		require.NoError(t, err)
		r := m.Get(t.Context(), s.Request("/"))
		require.NoError(t, r.WaitHead(t.Context()))
		go func() { // ends by the end of the server
			r.Wait(context.Background())
			m.Close()
		}()
	})
}
