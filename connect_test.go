package netreply_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/oserr"
	"github.com/netreply/netreply/internal/testserver"
)

// TestPreconnect: a connection is opened before the request that uses it.
func TestPreconnect(t *testing.T) {
	for _, kind := range testserver.Kinds {
		if kind == testserver.H2C {
			continue // not known before a request
		}
		for _, through := range []string{"direct", "proxy"} {
			t.Run(string(kind)+"/"+through, func(t *testing.T) {
				var opened, served atomic.Int64
				s, cfg := testserver.NewOriginWith(t, kind, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served.Add(1) }), func(s *http.Server) {
					s.ConnState = func(_ net.Conn, state http.ConnState) {
						if state == http.StateNew {
							opened.Add(1)
						}
					}
				})
				c := netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}}
				px := testserver.NewProxy(t, s.Listener.Addr().String(), nil)
				if through == "proxy" {
					c.Proxy = proxyAt(netreply.Socks5Proxy, px.Addr)
				}
				m := newManager(t, c)
				port := uint16(s.Listener.Addr().(*net.TCPAddr).Port)
				connect := func() error { return m.ConnectToHost(t.Context(), "127.0.0.1", port) }
				if kind != testserver.Plain {
					connect = func() error { return m.ConnectToHostEncrypted(t.Context(), "127.0.0.1", port, nil) }
				}
				want := int64(2)
				if kind == testserver.H2 {
					want = 1
				}
				for range 2 {
					require.NoError(t, connect())
				}
				require.Eventually(t, func() bool { return opened.Load() == want }, 10*time.Second, time.Millisecond)
				assert.Zero(t, served.Load(), "nothing was sent")
				r := m.Get(t.Context(), newRequest(t, s.URL))
				require.NoError(t, r.Wait(deadline(t)))
				assert.Equal(t, want, opened.Load())
				assert.Equal(t, "sent", signalNames(t, r)[0], "the connection was there")
				for range 10 {
					require.NoError(t, connect())
				}
				assert.LessOrEqual(t, opened.Load(), int64(6))
			})
		}
	}
	m := newManager(t, netreply.Config{})
	addr := testserver.Refusing(t)
	n := netip.MustParseAddrPort(addr).Port()
	err := m.ConnectToHost(t.Context(), "127.0.0.1", n)
	require.ErrorIs(t, err, netreply.ConnectionRefusedError)
	require.ErrorIs(t, m.ConnectToHost(t.Context(), "no-such-host.invalid", 0), netreply.HostNotFoundError)
	require.ErrorIs(t, m.ConnectToHostEncrypted(t.Context(), "", 0, nil), netreply.HostNotFoundError)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, m.ConnectToHost(ctx, "127.0.0.1", n), context.Canceled)
	s, _ := testserver.NewOriginWith(t, testserver.TLS, http.NotFoundHandler(), func(s *http.Server) { s.ErrorLog = discardLog })
	err = m.ConnectToHostEncrypted(t.Context(), "127.0.0.1", uint16(s.Listener.Addr().(*net.TCPAddr).Port), nil)
	require.ErrorIs(t, err, netreply.SslHandshakeFailedError)
	m.Close()
	require.ErrorIs(t, m.ConnectToHost(t.Context(), "127.0.0.1", n), netreply.OperationCanceledError)
}

// TestUnixSocket: rule V8.
func TestUnixSocket(t *testing.T) {
	name := filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", name)
	require.NoError(t, err)
	remote, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "unix+http://host.test/private", http.StatusFound)
	}))
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/here":
			http.Redirect(w, r, "/there", http.StatusFound)
		case "/away":
			http.Redirect(w, r, remote.URL, http.StatusFound)
		case "/login":
			if u, p, _ := r.BasicAuth(); u != "u" || p != "p" {
				w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
				w.WriteHeader(401)
				return
			}
			fallthrough
		default:
			w.Header().Set("Set-Cookie", "a=b")
			io.WriteString(w, r.Host+r.URL.Path+r.Header.Get("Cookie"))
		}
	})}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	m := newManager(t, netreply.Config{Proxy: &netreply.Proxy{Type: netreply.HTTPProxy, Host: "no-such-proxy.invalid"}})
	get := func(url string) (string, error) {
		req := newRequest(t, url)
		req.LocalServerName = name
		got, err := m.Get(t.Context(), req).ReadAll()
		return string(got), err
	}
	for range 2 {
		got, err := get("unix+http://host.test/x")
		require.NoError(t, err)
		assert.Equal(t, "host.test/x", got)
	}
	got, err := get("local+http://host.test/here")
	require.NoError(t, err)
	assert.Equal(t, "host.test/there", got)
	got, err = get("unix+http://u:p@host.test/login")
	require.NoError(t, err)
	assert.Equal(t, "host.test/login", got)
	_, err = get("unix+http://host.test/away")
	require.ErrorIs(t, err, netreply.InsecureRedirectError)
	req := newRequest(t, "unix+http://host.test/")
	require.ErrorIs(t, m.Get(t.Context(), req).Wait(deadline(t)), netreply.ProtocolUnknownError, "no socket is named")
	direct := newRequest(t, remote.URL)
	direct.LocalServerName, direct.Proxy = name, &netreply.Proxy{Type: netreply.NoProxy}
	require.ErrorIs(t, m.Get(t.Context(), direct).Wait(deadline(t)), netreply.ProtocolUnknownError, "a server cannot redirect to a local socket")
	name += "-not-there"
	_, err = get("unix+http://host.test/x")
	var e *netreply.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, netreply.PhaseConnect, e.Phase)
}

// TestAttempts: every address that was tried is reported, with its error.
func TestAttempts(t *testing.T) {
	addr := testserver.Refusing(t)
	m := newManager(t, netreply.Config{})
	err := m.Get(t.Context(), newRequest(t, "http://"+addr+"/")).Wait(deadline(t))
	var e *netreply.Error
	require.ErrorAs(t, err, &e)
	require.Len(t, e.Attempts, 1)
	assert.Equal(t, addr, e.Attempts[0].Addr.String())
	assert.True(t, oserr.Is(e.Attempts[0].Err, oserr.Refused))
	assert.True(t, oserr.Is(err, oserr.Refused))
	px := newManager(t, netreply.Config{Proxy: proxyAt(netreply.HTTPProxy, addr)})
	require.ErrorAs(t, px.Get(t.Context(), newRequest(t, "http://host.test/")).Wait(deadline(t)), &e)
	require.Len(t, e.Attempts, 1)
	own := newManager(t, netreply.Config{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no") }})
	require.ErrorAs(t, own.Get(t.Context(), newRequest(t, "http://host.test/")).Wait(deadline(t)), &e)
	assert.Empty(t, e.Attempts)
}
