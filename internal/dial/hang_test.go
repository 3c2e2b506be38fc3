package dial

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// stubborn is a connection whose methods block until the end of the test, despite deadlines
// and Close.
type stubborn struct {
	net.Conn
	*closing
	hang chan struct{}
}

func newStubborn() *stubborn { return &stubborn{closing: newClosing(), hang: make(chan struct{})} }

func (c *stubborn) Read([]byte) (int, error)    { <-c.hang; return 0, errors.New("late") }
func (c *stubborn) Write([]byte) (int, error)   { <-c.hang; return 0, errors.New("late") }
func (c *stubborn) Close() error                { return c.closing.Close() }
func (c *stubborn) SetDeadline(time.Time) error { return nil }
func (c *stubborn) SetReadDeadline(time.Time) error {
	return nil
}
func (c *stubborn) SetWriteDeadline(time.Time) error { return nil }
func (c *stubborn) RemoteAddr() net.Addr             { return nil }
func (c *stubborn) LocalAddr() net.Addr              { return nil }

// TestDialerHangs: a DialContext that ignores its context blocks nothing, and a connection that
// it returns late is closed.
func TestDialerHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late, hang := newClosing(), make(chan struct{})
		d := &Dialer{ConnectTimeout: 3 * time.Second, DialContext: func(context.Context, string, string) (net.Conn, error) {
			<-hang
			return late, nil
		}}
		begin := time.Now()
		_, err := d.TCP(t.Context(), "a.example:443", nil)
		require.ErrorIs(t, err, ErrTimeout)
		assert.ErrorContains(t, err, "ConnectTimeout of 3s exceeded while connecting to a.example:443")
		assert.Equal(t, 3*time.Second+grace, time.Since(begin))
		_, err = d.Through(t.Context(), &Proxy{Addr: "proxy.test:3128"}, "a.example:443", nil)
		require.ErrorIs(t, err, ErrTimeout)
		assert.Equal(t, Proxying, phaseOf(t, err))
		assert.ErrorContains(t, err, "ConnectTimeout of 3s exceeded while connecting to proxy.test:3128")
		close(hang)
		<-late.closed
	})
}

// TestDialerReturnsNothing: a DialContext that returns neither a connection nor an error.
func TestDialerReturnsNothing(t *testing.T) {
	d := &Dialer{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, nil }}
	_, err := d.TCP(t.Context(), "a.example:443", nil)
	require.ErrorContains(t, err, "neither a connection nor an error")
}

// TestHandshakeHangs: on a connection whose Close has no effect, and in a handshake that
// ignores the context.
func TestHandshakeHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newStubborn()
		d := &Dialer{TLSTimeout: 2 * time.Second}
		_, err := d.Handshake(t.Context(), c, "a.example:443", &tls.Config{ServerName: "a.example"})
		require.ErrorIs(t, err, ErrTimeout)
		assert.Equal(t, TLS, phaseOf(t, err))
		assert.ErrorContains(t, err, "TLSTimeout of 2s exceeded while making a TLS handshake with a.example:443")
		<-c.closed
		close(c.hang)

		c, hang := newStubborn(), make(chan struct{})
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("why")
		cancel(why)
		result := newClosing()
		_, _, err = d.Secure(ctx, c, "a.example:443", func(context.Context) (net.Conn, *tls.ConnectionState, error) {
			<-hang
			return result, new(tls.ConnectionState), nil
		})
		require.ErrorIs(t, err, why)
		<-c.closed
		close(hang)
		<-result.closed
	})
}

// TestProxyHangs: a proxy may hang in every phase, on every kind of connection.
func TestProxyHangs(t *testing.T) {
	for _, kind := range []Kind{Tunnel, SOCKS5} {
		synctest.Test(t, func(t *testing.T) {
			c := newStubborn()
			d := &Dialer{ConnectTimeout: 2 * time.Second, DialContext: func(context.Context, string, string) (net.Conn, error) { return c, nil }}
			_, err := d.Through(t.Context(), &Proxy{Kind: kind, Addr: "proxy.test:1"}, "a.example:443", nil)
			require.ErrorIs(t, err, ErrTimeout)
			var pe *ProxyError
			require.ErrorAs(t, err, &pe)
			assert.Equal(t, ProxyUnreachable, pe.Fault)
			assert.ErrorContains(t, err, "ConnectTimeout of 2s exceeded while waiting for proxy proxy.test:1")
			<-c.closed
			close(c.hang)
		})
	}
}
