package dial

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/testserver"
)

// TestLocalhost: localhost names are not resolved by DNS (RFC 6761, section 6.3).
func TestLocalhost(t *testing.T) {
	for host, is := range map[string]bool{
		"localhost": true, "LocalHost": true, "localhost.": true, "app.localhost": true, "a.b.localhost.": true, "APP.LOCALHOST": true, "xn--bcher-kva.localhost": true,
		"": false, ".": false, ".localhost": false, "localhost..": false, "mylocalhost": false, "localhost.test": false, "local": false, "ocalhost": false,
	} {
		assert.Equal(t, is, isLocalhost(host), host)
	}
	d := &Dialer{Resolver: &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		t.Error("a resolver was asked")
		return nil, errors.New("no")
	}}}
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) { c.R.ReadByte() })
	_, port, _ := net.SplitHostPort(s.Addr)
	for _, host := range []string{"localhost", "localhost.", "app.localhost"} {
		c, err := d.TCP(t.Context(), net.JoinHostPort(host, port), nil)
		require.NoError(t, err, host)
		assert.Equal(t, s.Addr, c.RemoteAddr().String())
		c.Close()
	}
	d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}
	list, named, err := d.addresses(t.Context(), "localhost:80")
	require.NoError(t, err)
	assert.True(t, named)
	assert.Equal(t, addrPorts("127.0.0.1:80"), list, "the family of the local address")

	refused := errors.New("refused")
	d = &Dialer{Check: func(a netip.Addr) error {
		if a.IsLoopback() {
			return refused
		}
		return nil
	}}
	_, err = d.TCP(t.Context(), "app.localhost:80", func() { t.Error("connecting") })
	require.ErrorIs(t, err, refused)
	require.ErrorIs(t, d.CheckAll(t.Context(), "app.localhost"), refused)
}

// TestResolverHangs: a resolver that ignores its context blocks nothing.
func TestResolverHangs(t *testing.T) {
	hang := make(chan struct{})
	r := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		<-hang
		return nil, errors.New("late")
	}}
	d := &Dialer{Resolver: r, ConnectTimeout: 20 * time.Millisecond}
	_, err := d.TCP(t.Context(), "a.example:443", nil)
	assert.Equal(t, Resolve, phaseOf(t, err))
	require.ErrorIs(t, err, ErrTimeout)
	assert.ErrorContains(t, err, "ConnectTimeout of 20ms exceeded while resolving a.example")
	why := errors.New("why")
	ctx, cancel := context.WithCancelCause(t.Context())
	d.ConnectTimeout = 0
	done := make(chan error)
	go func() {
		_, err := d.TCP(ctx, "b.example:443", nil)
		done <- err
	}()
	cancel(why)
	require.ErrorIs(t, <-done, why)
	close(hang)
}

// TestManyAddresses: addresses above the limit are ignored.
func TestManyAddresses(t *testing.T) {
	all := make([]netip.Addr, 5000)
	for i := range all {
		all[i] = netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)})
	}
	list := candidates(all, 80)
	assert.Len(t, list, maxAddresses)
	assert.Equal(t, netip.AddrPortFrom(all[0], 80), list[0])
}
