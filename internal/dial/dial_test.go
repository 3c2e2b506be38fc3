package dial

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/netreply/netreply/internal/oserr"
	"github.com/netreply/netreply/internal/testserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// nameServer answers A and AAAA questions on 127.0.0.1 by the first label of the
// name: "both", "none", or silence.
func nameServer(t *testing.T) *net.Resolver {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) == 0 {
				continue
			}
			q := m.Questions[0]
			m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
			switch name := q.Name.String(); {
			case strings.HasPrefix(name, "silent"):
				continue
			case !strings.HasPrefix(name, "both"):
				m.RCode = dnsmessage.RCodeNameError
			case q.Type == dnsmessage.TypeA:
				m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 1},
					Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}}}}
			case q.Type == dnsmessage.TypeAAAA:
				// nothing listens there, or the family is not available
				m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 1},
					Body: &dnsmessage.AAAAResource{AAAA: [16]byte{15: 1}}}}
			}
			if out, err := m.Pack(); err == nil {
				pc.WriteTo(out, from)
			}
		}
	}()
	var mu sync.Mutex
	var asked []net.Conn // package net still waits for the other answer
	over := false
	t.Cleanup(func() {
		pc.Close()
		<-done
		mu.Lock()
		defer mu.Unlock()
		over = true
		for _, c := range asked {
			c.Close()
		}
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		if over {
			return nil, net.ErrClosed
		}
		c, err := new(net.Dialer).DialContext(ctx, "udp", pc.LocalAddr().String())
		if err == nil {
			asked = append(asked, c)
		}
		return c, err
	}}
}

func phaseOf(t *testing.T, err error) Phase {
	t.Helper()
	var e *Error
	require.ErrorAs(t, err, &e)
	return e.Phase
}

// TestTwoFamilies: if nothing listens on the addresses of one family, the other is used.
func TestTwoFamilies(t *testing.T) {
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) { io.Copy(io.Discard, c) })
	_, port, _ := net.SplitHostPort(s.Addr)
	d := &Dialer{Resolver: nameServer(t), ConnectTimeout: 10 * time.Second}
	var connecting atomic.Int64
	c, err := d.TCP(t.Context(), "both.example:"+port, func() { connecting.Add(1) })
	require.NoError(t, err)
	assert.Equal(t, s.Addr, c.RemoteAddr().String())
	assert.EqualValues(t, 1, connecting.Load(), "called once, for any number of attempts")
	c.Close()
}

// TestAttempts: the attempts of both families are reported, and the most informative error is
// the result.
func TestAttempts(t *testing.T) {
	closed := testserver.Refusing(t)
	_, port, _ := net.SplitHostPort(closed)
	d := &Dialer{Resolver: nameServer(t), ConnectTimeout: time.Minute}
	_, err := d.TCP(t.Context(), "both.example:"+port, nil)
	var tried Attempts
	require.ErrorAs(t, err, &tried)
	require.Len(t, tried, 2)
	var list []string
	for _, a := range tried {
		require.Error(t, a.Err)
		list = append(list, a.Addr.String())
	}
	assert.ElementsMatch(t, []string{"127.0.0.1:" + port, "[::1]:" + port}, list)
	assert.True(t, oserr.Is(err, oserr.Refused))
	d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}
	_, err = d.TCP(t.Context(), "both.example:"+port, nil)
	require.ErrorAs(t, err, &tried)
	require.Len(t, tried, 1, "only the family of the local address")
	_, err = d.TCP(t.Context(), "127.0.0.1:99999", nil)
	assert.Equal(t, Connect, phaseOf(t, err))
}

// TestAttemptsAtTimeout: the attempts are reported at a timeout, too.
func TestAttemptsAtTimeout(t *testing.T) {
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {})
	d := &Dialer{ConnectTimeout: 20 * time.Millisecond, Check: func(netip.Addr) error {
		<-time.After(60 * time.Millisecond)
		return nil
	}}
	_, err := d.TCP(t.Context(), s.Addr, nil)
	require.ErrorIs(t, err, ErrTimeout)
	var tried Attempts
	require.ErrorAs(t, err, &tried)
	assert.Equal(t, s.Addr, tried[0].Addr.String())
}

// TestPhases: each error has the phase that failed.
func TestPhases(t *testing.T) {
	d := &Dialer{Resolver: nameServer(t)}
	impatient := &Dialer{Resolver: d.Resolver, ConnectTimeout: 50 * time.Millisecond, TLSTimeout: 50 * time.Millisecond}
	closed := testserver.Refusing(t)
	told := false
	_, err := d.TCP(t.Context(), "nobody.example:80", func() { told = true })
	assert.Equal(t, Resolve, phaseOf(t, err))
	var dns *net.DNSError
	require.ErrorAs(t, err, &dns)
	assert.True(t, dns.IsNotFound)
	assert.False(t, told, "rule S28")

	_, err = impatient.TCP(t.Context(), "silent.example:80", nil)
	assert.Equal(t, Resolve, phaseOf(t, err))
	assert.ErrorIs(t, err, ErrTimeout)

	_, err = d.TCP(t.Context(), closed, func() { told = true })
	assert.Equal(t, Connect, phaseOf(t, err))
	assert.True(t, oserr.Is(err, oserr.Refused))
	assert.True(t, told, "rule S27")

	why := errors.New("why")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	_, err = d.TCP(ctx, closed, nil)
	assert.ErrorIs(t, err, why)

	silent := testserver.NewRaw(t, nil, func(c *testserver.Conn) { io.Copy(io.Discard, c) })
	raw, err := d.TCP(t.Context(), silent.Addr, nil)
	require.NoError(t, err)
	_, err = impatient.Handshake(t.Context(), raw, silent.Addr, &tls.Config{ServerName: "x"})
	assert.Equal(t, TLS, phaseOf(t, err))
	assert.ErrorIs(t, err, ErrTimeout)
	_, err = raw.Write([]byte("x"))
	assert.ErrorIs(t, err, net.ErrClosed, "a failed handshake closes the connection")
	assert.Contains(t, err.Error(), "closed")
}

func TestHandshake(t *testing.T) {
	s, cfg := testserver.NewOrigin(t, testserver.TLS, http.NotFoundHandler())
	d := &Dialer{}
	raw, err := d.TCP(t.Context(), s.Listener.Addr().String(), nil)
	require.NoError(t, err)
	cfg.ServerName = "example.com"
	c, err := d.Handshake(t.Context(), raw, "", cfg)
	require.NoError(t, err)
	assert.True(t, c.(*tls.Conn).ConnectionState().HandshakeComplete)
	c.Close()
}

func TestDialContext(t *testing.T) {
	why := errors.New("why")
	d := &Dialer{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, why }}
	_, err := d.TCP(t.Context(), "x:1", nil)
	assert.Equal(t, Connect, phaseOf(t, err))
	assert.ErrorIs(t, err, why)
	assert.Equal(t, "connect x:1: why", err.Error())
}
