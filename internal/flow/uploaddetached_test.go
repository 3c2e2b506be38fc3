package flow_test

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/auth"
	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/flow"
	"github.com/netreply/netreply/internal/testserver"
	"github.com/netreply/netreply/internal/wire"
)

// Sources whose Read blocks, on a connection that reads them on a goroutine for which nobody
// waits.

func newDetachedClient(t *testing.T) *client {
	return newClient(t, nil, "", func(c *flow.Config) {
		c.Wire = wire.NewTransport(wire.Config{HTTP1: wire.OwnConn, Dialer: &dial.Dialer{}})
		t.Cleanup(c.Wire.Close)
	})
}

// TestDetachedUploadAborted: the end of the context ends the transfer, and not the Read.
func TestDetachedUploadAborted(t *testing.T) {
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) { c.Request() })
	for _, owned := range []bool{false, true} {
		source := newSlowSource()
		aborted := errors.New("aborted")
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			<-source.begun
			cancel(aborted)
		}()
		q := request(http.MethodPut, s.URL(), &flow.Payload{Size: 4, Blocks: true, Owned: owned, Open: source.open})
		r := newDetachedClient(t).doIn(ctx, new(watcher), q, nil)
		assert.Equal(t, aborted, r.err)
		close(source.free)
	}
}

// TestDetachedUploadRewound: a source is not opened again before its Read has returned.
func TestDetachedUploadRewound(t *testing.T) {
	source := newSlowSource()
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		req, ok := c.Head()
		switch {
		case !ok:
		case req.Header.Get("Authorization") != "":
			c.Say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
		default:
			<-source.begun
			c.Say("HTTP/1.1 401 Who\r\nConnection: close\r\nWWW-Authenticate: Basic realm=\"r\"\r\nContent-Length: 0\r\n\r\n")
		}
	})
	q := request(http.MethodPost, s.URL(), &flow.Payload{Size: 4, Rewindable: true, Blocks: true, Open: source.open})
	q.AsksPassword = true
	asked := make(chan struct{})
	w := &watcher{password: func(*flow.PasswordQuestion) *auth.Credentials { close(asked); return right }}
	done := make(chan result, 1)
	c := newDetachedClient(t)
	go func() { done <- c.do(w, q) }()
	<-asked
	for range 1000 {
		runtime.Gosched()
	}
	assert.EqualValues(t, 1, source.opened.Load(), "opened while it was read")
	close(source.free)
	r := <-done
	require.NoError(t, r.err)
	assert.Equal(t, "done", r.body)
	assert.EqualValues(t, 2, source.opened.Load())
	assert.False(t, source.clash.Load())
}
