package netreply_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// stubbornConn is a connection of which one method blocks until it is released.
type stubbornConn struct {
	net.Conn
	read, write, close <-chan struct{} // nil for those that do not wait
}

func wait(c <-chan struct{}) {
	if c != nil {
		<-c
	}
}

func (c *stubbornConn) Read(p []byte) (int, error) {
	wait(c.read)
	return c.Conn.Read(p)
}

func (c *stubbornConn) Write(p []byte) (int, error) {
	wait(c.write)
	return c.Conn.Write(p)
}

func (c *stubbornConn) Close() error {
	wait(c.close)
	return c.Conn.Close()
}

// TestReplyEndsWithHangingConnection: a connection of Config.DialContext whose methods
// block keeps its own goroutines, but blocks no reply and no Manager.Close.
func TestReplyEndsWithHangingConnection(t *testing.T) {
	for name, wrap := range map[string]func(net.Conn, <-chan struct{}) net.Conn{
		"Read":  func(c net.Conn, free <-chan struct{}) net.Conn { return &stubbornConn{Conn: c, read: free} },
		"Write": func(c net.Conn, free <-chan struct{}) net.Conn { return &stubbornConn{Conn: c, write: free} },
		"Close": func(c net.Conn, free <-chan struct{}) net.Conn { return &stubbornConn{Conn: c, close: free} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, kind := range testserver.Kinds {
				t.Run(string(kind), func(t *testing.T) {
					t.Parallel()
					origin, cfg := testserver.NewOrigin(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						io.WriteString(w, "begun")
						w.(http.Flusher).Flush()
						<-r.Context().Done()
					}))
					free := make(chan struct{})
					defer close(free)
					m := newManager(t, netreply.Config{
						SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg},
						DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
							c, err := new(net.Dialer).DialContext(ctx, network, addr)
							if err != nil {
								return nil, err
							}
							return wrap(c, free), nil
						},
					})
					s := &fixture{Server: origin, m: m, kind: kind, t: t}
					ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
					defer cancel()
					require.ErrorIs(t, m.Get(ctx, s.request("/")).Wait(deadline(t)), netreply.TimeoutError)
					m.Get(t.Context(), s.request("/"))
					closed := make(chan struct{})
					go func() {
						defer close(closed)
						m.Close()
					}()
					select {
					case <-closed:
					case <-deadline(t).Done():
						assert.Fail(t, "Manager.Close hangs")
					}
				})
			}
		})
	}
}

// TestRefusalWithHangingConnection: if Close of a refused connection hangs, the reply fails
// with the reason of the refusal.
func TestRefusalWithHangingConnection(t *testing.T) {
	free := make(chan struct{})
	defer close(free)
	dialer := func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &stubbornConn{Conn: c, close: free}, nil
	}
	plain := testserver.NewRaw(t, nil, func(c *testserver.Conn) { io.WriteString(c, "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n") })
	for name, c := range map[string]netreply.Config{
		"TLS":     {},
		"CONNECT": {Proxy: proxyAt(netreply.HTTPProxy, plain.Addr)},
		"SOCKS":   {Proxy: proxyAt(netreply.Socks5Proxy, plain.Addr)},
	} {
		c.DialContext = dialer
		err := newManager(t, c).Get(t.Context(), newRequest(t, "https://"+plain.Addr+"/")).Wait(deadline(t))
		var e *netreply.Error
		require.ErrorAs(t, err, &e, name)
	}
}
