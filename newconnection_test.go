package netreply_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// TestGoAwayWhileStreaming: after GOAWAY running responses are completed; new requests use
// a new connection at once.
func TestGoAwayWhileStreaming(t *testing.T) {
	over := make(chan struct{})
	end := sync.OnceFunc(func() { close(over) })
	defer end()
	url := newH2Server(t, func(c *h2conn) {
		id := c.headers()
		if c.N > 1 {
			for ; id != 0; id = c.headers() {
				c.answer(id, "204")
			}
			return
		}
		var b bytes.Buffer
		hpack.NewEncoder(&b).WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
		c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: b.Bytes(), EndHeaders: true})
		c.fr.WriteData(id, false, []byte("x"))
		c.fr.WriteGoAway(id, 0, nil)
		<-over
		c.fr.WriteData(id, true, []byte("y"))
		c.drain()
	})
	m := newManager(t, netreply.Config{})
	req := newRequest(t, url)
	req.HTTP = netreply.HTTP2Direct
	long := m.Get(deadline(t), req)
	<-long.ReadyRead()
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		require.NoError(t, m.Get(ctx, req).Wait(ctx))
		cancel()
	}
	end()
	body, err := long.ReadAll()
	require.NoError(t, err)
	require.Equal(t, "xy", string(body))
}

// TestSilentConnection: a silent HTTP/2 connection fails the requests that time out on it,
// and not later ones.
func TestSilentConnection(t *testing.T) {
	url := newH2Server(t, func(c *h2conn) {
		for id := c.headers(); id != 0; id = c.headers() {
			if c.N > 1 {
				c.answer(id, "204")
			}
		}
	})
	m := newManager(t, netreply.Config{})
	req := newRequest(t, url)
	req.HTTP = netreply.HTTP2Direct
	req.TransferTimeout = 300 * time.Millisecond
	require.ErrorIs(t, m.Get(deadline(t), req).Wait(deadline(t)), netreply.TimeoutError)
	// it is closed after the end of the reply, so the next requests may still use it
	var err error
	for range 5 {
		if err = m.Get(deadline(t), req).Wait(deadline(t)); err == nil {
			break
		}
		require.ErrorIs(t, err, netreply.TimeoutError)
	}
	require.NoError(t, err)
}

// TestSilentHandshake: a hanging handshake is not assigned to the next request after a
// timeout.
func TestSilentHandshake(t *testing.T) {
	cert := selfSigned(t, "127.0.0.1")
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		if c.N == 1 {
			c.R.WriteTo(new(bytes.Buffer))
			return
		}
		tc := tls.Server(c.Conn, &tls.Config{Certificates: []tls.Certificate{cert}})
		defer tc.Close()
		if _, err := tc.Read(make([]byte, 4096)); err == nil {
			tc.Write([]byte("HTTP/1.1 204 No Content\r\n\r\n"))
		}
	})
	m := newManager(t, netreply.Config{TLSTimeout: -1})
	req := newRequest(t, "https://"+s.Addr)
	req.IgnoreAllSSLErrors = true
	second := req.Clone()
	req.TransferTimeout = 300 * time.Millisecond
	first := m.Get(deadline(t), req)
	<-first.SocketStartedConnecting()
	next := m.Get(deadline(t), second) // waits for the same dial
	require.ErrorIs(t, first.Wait(deadline(t)), netreply.TimeoutError)
	require.NoError(t, next.Wait(deadline(t)))
	require.Equal(t, 2, s.Connections())
}
