package dial

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptrace"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/testserver"
)

// TestTraceOrder: the hooks are called as by package net for lookup and connecting, and not
// for connections of the resolver.
func TestTraceOrder(t *testing.T) {
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) { io.Copy(io.Discard, c) })
	_, port, err := net.SplitHostPort(s.Addr)
	require.NoError(t, err)
	var mu sync.Mutex
	var told []string
	add := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, fmt.Sprintf(format, args...))
	}
	take := func() []string {
		mu.Lock()
		defer mu.Unlock()
		list := told
		told = nil
		return list
	}
	trace := &httptrace.ClientTrace{
		DNSStart:          func(i httptrace.DNSStartInfo) { add("DNSStart %s", i.Host) },
		DNSDone:           func(i httptrace.DNSDoneInfo) { add("DNSDone %v %v", i.Addrs, i.Err) },
		ConnectStart:      func(network, addr string) { add("ConnectStart %s %s", network, addr) },
		ConnectDone:       func(network, addr string, err error) { add("ConnectDone %s %s failed=%t", network, addr, err != nil) },
		TLSHandshakeStart: func() { add("TLSHandshakeStart") },
		TLSHandshakeDone:  func(s tls.ConnectionState, err error) { add("TLSHandshakeDone %t %v", s.HandshakeComplete, err) },
		GetConn:           func(string) { add("GetConn") },
	}
	r := nameServer(t)
	for _, host := range []string{"both.example", "nobody.example", "127.0.0.1"} {
		addr := net.JoinHostPort(host, port)
		c, err := (&net.Dialer{Resolver: r}).DialContext(httptrace.WithClientTrace(t.Context(), trace), "tcp", addr)
		if err == nil {
			c.Close()
		}
		want := take()
		require.NotEmpty(t, want)
		c, err = (&Dialer{Resolver: r}).TCP(WithTrace(t.Context(), trace), addr, nil)
		if err == nil {
			c.Close()
		}
		assert.Equal(t, want, take(), host)
	}

	why := errors.New("why")
	raw, err := (&Dialer{}).TCP(t.Context(), s.Addr, nil)
	require.NoError(t, err)
	_, _, err = new(Dialer).Secure(WithTrace(t.Context(), trace), raw, s.Addr, func(context.Context) (net.Conn, *tls.ConnectionState, error) {
		add("shaking hands")
		return nil, nil, why
	})
	require.ErrorIs(t, err, why)
	assert.Equal(t, []string{"TLSHandshakeStart", "shaking hands", "TLSHandshakeDone false why"}, take())
}
