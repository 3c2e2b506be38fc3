package netreply_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// resolver resolves the names in hosts; others do not exist.
func resolver(t *testing.T, hosts map[string][]string) *net.Resolver {
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
			list, ok := hosts[q.Name.String()]
			if !ok {
				m.RCode = dnsmessage.RCodeNameError
			}
			for _, text := range list {
				a := netip.MustParseAddr(text)
				h := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 1}
				switch {
				case a.Is4() && q.Type == dnsmessage.TypeA:
					m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: a.As4()}})
				case a.Is6() && q.Type == dnsmessage.TypeAAAA:
					m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
				}
			}
			if out, err := m.Pack(); err == nil {
				pc.WriteTo(out, from)
			}
		}
	}()
	t.Cleanup(func() {
		pc.Close()
		<-done
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}

// elsewhere is a connection with another remote address.
type elsewhere struct {
	net.Conn
	remote net.Addr
	closed *atomic.Bool
}

func (c elsewhere) RemoteAddr() net.Addr { return c.remote }
func (c elsewhere) Close() error         { c.closed.Store(true); return c.Conn.Close() }

// TestGuardBeforeDialContext: DialContext is not called with a refused address, and the address
// that it has connected to is checked as well.
func TestGuardBeforeDialContext(t *testing.T) {
	var called atomic.Int32
	m := newManager(t, netreply.Config{Guard: &netreply.AddressGuard{}, DialContext: func(context.Context, string, string) (net.Conn, error) {
		called.Add(1)
		return nil, netreply.ConnectionRefusedError
	}})
	for _, host := range []string{"127.0.0.1", "[::1]", "[::ffff:10.0.0.1]", "[fe80::1%eth0]", "169.254.169.254", "127.0.0.1.", "localhost", "localhost.", "a.localhost", "[64:ff9b::7f00:1]"} {
		for _, scheme := range []string{"http", "https"} {
			r := m.Get(t.Context(), newRequest(t, scheme+"://"+host+"/"))
			var blocked *netreply.BlockedAddressError
			require.ErrorAs(t, r.Wait(deadline(t)), &blocked, host)
			assert.NotContains(t, signalNames(t, r), "connecting", host)
		}
	}
	assert.Zero(t, called.Load())
	for _, host := range []string{"8.8.8.8", "[2001:4860:4860::8888]", "name.test"} {
		require.ErrorIs(t, m.Get(t.Context(), newRequest(t, "http://"+host+"/")).Wait(deadline(t)), netreply.ConnectionRefusedError, host)
	}
	assert.EqualValues(t, 3, called.Load())

	for name, c := range map[string]struct {
		remote net.Addr
		text   string
	}{
		"inside":     {&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 80}, "10.0.0.1"},
		"no address": {nil, "has no remote address"},
		"no IP":      {&net.UnixAddr{Name: "memory", Net: "unix"}, "cannot be checked"},
	} {
		var closed atomic.Bool
		m := newManager(t, netreply.Config{Guard: &netreply.AddressGuard{}, DialContext: func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			server.Close()
			return elsewhere{client, c.remote, &closed}, nil
		}})
		err := m.Get(t.Context(), newRequest(t, "http://name.test/")).Wait(deadline(t))
		require.ErrorIs(t, err, netreply.UnknownNetworkError, name)
		assert.ErrorContains(t, err, c.text)
		assert.True(t, closed.Load(), name)
	}
}

// TestGuardWithoutRemoteAddr: a connection of DialContext need not have a remote address.
func TestGuardWithoutRemoteAddr(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
	var closed atomic.Bool
	m := newManager(t, netreply.Config{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, s.Listener.Addr().String())
		return elsewhere{c, nil, &closed}, err
	}})
	r := m.Get(t.Context(), newRequest(t, "http://name.test/"))
	assert.Equal(t, "hello", readBody(t, r))
	assert.Nil(t, r.RemoteAddr())
}

// TestGuardForwardingProxy: a proxy that resolves a name itself may use any of its addresses,
// so all must be allowed; a tunnel is opened to an allowed one.
func TestGuardForwardingProxy(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	px := testserver.NewProxy(t, s.Listener.Addr().String(), nil)
	dns := resolver(t, map[string][]string{
		"good.test.": {"8.8.8.8", "2001:4860:4860::8888"}, "mixed.test.": {"8.8.8.8", "127.0.0.1"}, "first.test.": {"10.0.0.1", "8.8.8.8"}, "six.test.": {"8.8.8.8", "fd00::1"}})
	for host, ok := range map[string]bool{"good.test": true, "mixed.test": false, "first.test": false, "six.test": false, "localhost": false, "a.localhost": false} {
		m := newManager(t, netreply.Config{Proxy: proxyAt(netreply.HTTPProxy, px.Addr), Guard: &netreply.AddressGuard{}, Resolver: dns})
		before := px.Requests()
		err := m.Get(t.Context(), newRequest(t, "http://"+host+"/")).Wait(deadline(t))
		asked := px.Requests()
		if ok {
			require.NoError(t, err, host)
			continue
		}
		var blocked *netreply.BlockedAddressError
		require.ErrorAs(t, err, &blocked, host)
		assert.Len(t, asked, len(before), "%s was asked for", host)
	}
	m := newManager(t, netreply.Config{Proxy: proxyAt(netreply.Socks5Proxy, px.Addr), Guard: &netreply.AddressGuard{}, Resolver: dns})
	require.NoError(t, m.Get(t.Context(), newRequest(t, "http://mixed.test/")).Wait(deadline(t)))
	asked := px.Requests()
	assert.Equal(t, "SOCKS 8.8.8.8:80", asked[len(asked)-1])
}

// TestGuardPrefixes: invalid and ambiguous prefixes are errors that name the field.
func TestGuardPrefixes(t *testing.T) {
	_, err := netreply.NewManager(netreply.Config{Guard: &netreply.AddressGuard{
		Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), {}},
		Deny:  []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr("1.2.3.4"), 33), netip.MustParsePrefix("::ffff:1.2.3.4/80")}}})
	require.ErrorContains(t, err, "Config.Guard.Allow[1]")
	require.ErrorContains(t, err, "Config.Guard.Deny[0]")
	require.ErrorContains(t, err, `Config.Guard.Deny[1] "::ffff:1.2.3.4/80"`)
	assert.NotContains(t, err.Error(), "Allow[0]")
	var field *netreply.FieldError
	require.ErrorAs(t, err, &field)
}
