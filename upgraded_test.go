package netreply_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"

// echoServer switches to a protocol that sends "hi " with the head of the response, then every
// line back, and ends with an empty one.
func echoServer(t *testing.T, kind testserver.Kind) (url string, cfg *tls.Config) {
	s, cfg := testserver.NewOrigin(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" || r.ProtoMajor != 1 {
			io.WriteString(w, "no upgrade")
			return
		}
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, switching+"hi ")
		for {
			line, err := buf.ReadString('\n')
			if err != nil || line == "\n" {
				return
			}
			io.WriteString(conn, line)
		}
	}))
	return s.URL, cfg
}

func upgradeRequest(t *testing.T, url string) *netreply.Request {
	req := newRequest(t, url)
	req.Headers = netreply.NewHeaders("Connection", "Upgrade", "upgrade", "echo")
	return req
}

// say sends a line and returns what comes back.
func say(t *testing.T, conn io.ReadWriter, r *bufio.Reader, line string) string {
	_, err := io.WriteString(conn, line+"\n")
	require.NoError(t, err)
	back, err := r.ReadString('\n')
	require.NoError(t, err)
	return strings.TrimSuffix(back, "\n")
}

// TestUpgraded: after a 101 response the connection is the program's, with the bytes that came
// with the head, over TLS that would otherwise carry HTTP/2 as well. The reply has finished.
func TestUpgraded(t *testing.T) {
	for _, kind := range []testserver.Kind{testserver.Plain, testserver.TLS, testserver.H2} {
		t.Run(string(kind), func(t *testing.T) {
			url, cfg := echoServer(t, kind)
			m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}, TransferTimeout: time.Minute})
			ctx, cancel := context.WithCancel(t.Context())
			r := m.Get(ctx, upgradeRequest(t, url))
			conn, err := r.Upgraded()
			require.NoError(t, err)
			assert.Equal(t, 101, r.StatusCode())
			require.NoError(t, r.Wait(deadline(t)))
			assert.True(t, r.IsFinished())
			body, err := r.ReadAll()
			assert.Empty(t, body)
			assert.NoError(t, err)
			cancel() // does not concern the connection
			in := bufio.NewReader(conn)
			assert.Equal(t, "hi one", say(t, conn, in, "one"))
			assert.Equal(t, "two", say(t, conn, in, "two"))

			assert.Equal(t, r.RemoteAddr().String(), conn.RemoteAddr().String())
			assert.Equal(t, r.LocalAddr().String(), conn.LocalAddr().String())
			require.NoError(t, conn.SetReadDeadline(time.Now()))
			_, err = in.ReadByte()
			assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.NoError(t, conn.SetReadDeadline(time.Time{}))
			assert.Equal(t, "three", say(t, conn, in, "three"), "after a deadline")

			again, err := r.Upgraded()
			require.NoError(t, err)
			assert.Same(t, conn, again)
			require.NoError(t, conn.(interface{ CloseWrite() error }).CloseWrite())
			_, err = in.ReadByte()
			assert.ErrorIs(t, err, io.EOF)
			require.NoError(t, conn.Close())
			assert.ErrorIs(t, conn.Close(), net.ErrClosed)
			_, err = conn.Write([]byte("x"))
			assert.ErrorIs(t, err, net.ErrClosed)
		})
	}
}

// TestUpgradedRoundTripper: Response.Body of a 101 response is the connection, which the
// context of the request does not end.
func TestUpgradedRoundTripper(t *testing.T) {
	for _, kind := range []testserver.Kind{testserver.Plain, testserver.H2} {
		t.Run(string(kind), func(t *testing.T) {
			u, cfg := echoServer(t, kind)
			m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}})
			ctx, cancel := context.WithCancel(t.Context())
			req, err := http.NewRequestWithContext(ctx, "GET", u, nil)
			require.NoError(t, err)
			req.Header = http.Header{"Connection": {"keep-alive, Upgrade"}, "Upgrade": {"echo"}}
			resp, err := (&http.Client{Transport: m.RoundTripper(netreply.RoundTripperOptions{})}).Do(req)
			require.NoError(t, err)
			cancel()
			assert.Equal(t, 101, resp.StatusCode)
			assert.Equal(t, "echo", resp.Header.Get("Upgrade"))
			conn := resp.Body.(net.Conn)
			assert.Equal(t, "hi one", say(t, conn, bufio.NewReader(conn), "one"))
			require.NoError(t, resp.Body.Close())
		})
	}
}

// TestUpgradedLimit: upgraded connections do not take the places of Config.ConnectionsPerHost.
func TestUpgradedLimit(t *testing.T) {
	url, _ := echoServer(t, testserver.Plain)
	m := newManager(t, netreply.Config{ConnectionsPerHost: 1})
	for range 3 {
		r := m.Get(deadline(t), upgradeRequest(t, url))
		conn, err := r.Upgraded()
		require.NoError(t, err)
		body, err := m.Get(deadline(t), newRequest(t, url)).ReadAll()
		require.NoError(t, err)
		assert.Equal(t, "no upgrade", string(body))
		assert.Equal(t, "hi one", say(t, conn, bufio.NewReader(conn), "one"))
	}
}

// TestUpgradedEnds: Abort and Close of the reply and Manager.Close close the connection.
func TestUpgradedEnds(t *testing.T) {
	for name, end := range map[string]func(*netreply.Manager, *netreply.Reply){
		"Abort":         func(_ *netreply.Manager, r *netreply.Reply) { r.Abort() },
		"Close":         func(_ *netreply.Manager, r *netreply.Reply) { r.Close() },
		"Manager.Close": func(m *netreply.Manager, _ *netreply.Reply) { m.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			url, cfg := echoServer(t, testserver.TLS)
			m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}})
			r := m.Get(t.Context(), upgradeRequest(t, url))
			conn, err := r.Upgraded()
			require.NoError(t, err)
			in := bufio.NewReader(conn)
			require.Equal(t, "hi one", say(t, conn, in, "one"))
			read := make(chan error, 1)
			go func() {
				_, err := in.ReadByte()
				read <- err
			}()
			end(m, r)
			select {
			case err := <-read:
				assert.Error(t, err)
			case <-deadline(t).Done():
				t.Fatal("the connection is open")
			}
			assert.NoError(t, r.Err())
		})
	}
}

// TestUpgradedRefused: a response that is not an upgrade is an ordinary response.
func TestUpgradedRefused(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "no upgrade") }, netreply.Config{}, func(t *testing.T, s *fixture) {
		req := s.request("/")
		req.Headers = netreply.NewHeaders("Connection", "Upgrade", "Upgrade", "echo")
		r := s.m.Get(deadline(t), req)
		_, err := r.Upgraded()
		assert.ErrorIs(t, err, netreply.ProtocolInvalidOperationError)
		body, err := r.ReadAll()
		require.NoError(t, err)
		assert.Equal(t, "no upgrade", string(body))
	})
	_, err := newManager(t, netreply.Config{}).Get(t.Context(), upgradeRequest(t, "http://"+testserver.Refusing(t))).Upgraded()
	assert.ErrorIs(t, err, netreply.ConnectionRefusedError)
}

// TestSwitchedUnasked: a 101 response that the request did not ask for, or for a protocol that
// it did not offer, is a ProtocolFailure.
func TestSwitchedUnasked(t *testing.T) {
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		c.Head()
		c.Say(switching + "hi")
		io.Copy(io.Discard, c.R)
	})
	m := newManager(t, netreply.Config{})
	for name, fields := range map[string][]string{
		"nothing":        nil,
		"no Connection":  {"Upgrade", "echo"},
		"no Upgrade":     {"Connection", "Upgrade"},
		"other protocol": {"Connection", "Upgrade", "Upgrade", "websocket, h2c"},
	} {
		t.Run(name, func(t *testing.T) {
			req := newRequest(t, s.URL())
			req.Headers = netreply.NewHeaders(fields...)
			r := m.Get(deadline(t), req)
			_, err := r.Upgraded()
			assert.ErrorIs(t, err, netreply.ProtocolFailure)
			_, err = r.ReadAll()
			assert.ErrorIs(t, err, netreply.ProtocolFailure)
			rt := m.RoundTripper(netreply.RoundTripperOptions{})
			hr, _ := http.NewRequest("GET", s.URL(), nil)
			hr.Header = req.Headers.HTTP()
			resp, err := rt.RoundTrip(hr)
			assert.Nil(t, resp)
			assert.ErrorIs(t, err, netreply.ProtocolFailure)
		})
	}
}

// TestUpgradedAborted: an Abort at the head of a 101 response closes its connection.
func TestUpgradedAborted(t *testing.T) {
	ended := make(chan error, 1)
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		c.Head()
		c.Say(switching)
		_, err := io.Copy(io.Discard, c.R)
		ended <- err
	})
	m := newManager(t, netreply.Config{})
	req := upgradeRequest(t, s.URL())
	req.OnSignal = func(r *netreply.Reply, e netreply.Event) {
		if _, ok := e.(netreply.MetaDataChanged); ok {
			r.Abort()
		}
	}
	_, err := m.Get(t.Context(), req).Upgraded()
	assert.ErrorIs(t, err, context.Canceled)
	select {
	case <-ended:
	case <-deadline(t).Done():
		t.Fatal("the connection is open")
	}
}

// TestUpgradedInsideOnSignal: Upgraded does not wait there.
func TestUpgradedInsideOnSignal(t *testing.T) {
	url, _ := echoServer(t, testserver.Plain)
	m := newManager(t, netreply.Config{})
	req := upgradeRequest(t, url)
	refused := make(chan error, 10)
	req.OnSignal = func(r *netreply.Reply, e netreply.Event) {
		switch e.(type) {
		case netreply.RequestSent, netreply.MetaDataChanged:
			_, err := r.Upgraded()
			refused <- err
		case netreply.Finished:
			conn, err := r.Upgraded()
			if err == nil {
				err = conn.Close()
			}
			refused <- err
		}
	}
	r := m.Get(t.Context(), req)
	require.NoError(t, r.Wait(deadline(t)))
	assert.ErrorIs(t, <-refused, netreply.ErrInsideOnSignal)
	assert.ErrorIs(t, <-refused, netreply.ErrInsideOnSignal)
	require.Eventually(t, func() bool { return len(refused) == 1 }, 10*time.Second, time.Millisecond)
	assert.NoError(t, <-refused)
}

// TestUpgradedOwnConnection: a connection of Config.DialContext that cannot be closed in one
// direction says so, and is closed by Close.
func TestUpgradedOwnConnection(t *testing.T) {
	url, _ := echoServer(t, testserver.Plain)
	closed := make(chan bool, 1)
	m := newManager(t, netreply.Config{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		return &ownConn{Conn: c, closed: closed}, err
	}})
	conn, err := m.Get(deadline(t), upgradeRequest(t, url)).Upgraded()
	require.NoError(t, err)
	assert.ErrorIs(t, conn.(interface{ CloseWrite() error }).CloseWrite(), errors.ErrUnsupported)
	require.Equal(t, "hi one", say(t, conn, bufio.NewReader(conn), "one"))
	require.NoError(t, conn.Close())
	assert.True(t, <-closed)
}

type ownConn struct {
	net.Conn
	closed chan bool
}

func (c *ownConn) Close() error {
	select {
	case c.closed <- true:
	default:
	}
	return c.Conn.Close()
}

// TestUpgradedThroughProxy: with a proxy the connection is the tunnel.
func TestUpgradedThroughProxy(t *testing.T) {
	url, cfg := echoServer(t, testserver.TLS)
	px := testserver.NewProxy(t, strings.TrimPrefix(url, "https://"), nil)
	m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}, Proxy: proxyAt(netreply.HTTPProxy, px.Addr)})
	conn, err := m.Get(deadline(t), upgradeRequest(t, url)).Upgraded()
	require.NoError(t, err)
	assert.Equal(t, "hi one", say(t, conn, bufio.NewReader(conn), "one"))
}
