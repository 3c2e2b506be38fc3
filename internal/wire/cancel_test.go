package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/reqctx"
	"github.com/netreply/netreply/internal/testserver"
)

// TestCancelInEveryPhase: an exchange that would never end returns when its context ends, in every
// phase.
func TestCancelInEveryPhase(t *testing.T) {
	reason := errors.New("the reason")
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	endless := readerFunc(func(p []byte) (int, error) { return len(p), nil })
	silent := func(c *testserver.Conn) { io.Copy(io.Discard, c) }
	deaf := func(c *testserver.Conn) { <-never }
	headOnly := func(c *testserver.Conn) {
		c.Head()
		c.Say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")
		<-never
	}
	for _, r := range []struct {
		name  string
		serve func(*testserver.Conn)
		tls   bool
		// source: the body blocks until the context ends
		source bool
		call   call
	}{
		{name: "handshake", serve: deaf, tls: true},
		{name: "head", serve: silent},
		{name: "body", serve: headOnly},
		{name: "write", serve: deaf, call: call{method: "POST", body: endless, length: 1 << 40}},
		{name: "source", serve: silent, call: call{method: "POST", length: 10}, source: true},
	} {
		t.Run(r.name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, with func(Config) *rig) {
				s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
					done := make(chan struct{})
					go func() { defer close(done); r.serve(c) }()
					select {
					case <-done:
					case <-t.Context().Done():
					}
				})
				b := with(Config{})
				b.tls = &Profile{Config: &tls.Config{}}
				c := r.call
				c.url = s.URL()
				if r.tls {
					c.url = "https://" + s.Addr
				}
				for _, own := range []bool{false, true} {
					ctx, cancel := context.WithCancelCause(t.Context())
					if own {
						o := new(reqctx.Context)
						o.Init(t.Context())
						ctx, cancel = o, o.Cancel
					}
					if r.source {
						c.body = readerFunc(func([]byte) (int, error) { <-ctx.Done(); return 0, context.Cause(ctx) })
					}
					time.AfterFunc(30*time.Millisecond, func() { cancel(reason) })
					resp, _, err := b.send(ctx, c)
					if err == nil {
						_, err = io.ReadAll(resp.Body)
						resp.Body.Close()
					}
					assert.ErrorIs(t, err, reason)
				}
			})
		})
	}
}

// TestAbandonedDialEnds: a dial that no exchange waits for is cancelled.
func TestAbandonedDialEnds(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		ended := make(chan error, 1)
		b := with(Config{Dialer: &dial.Dialer{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			ended <- ctx.Err()
			return nil, ctx.Err()
		}}})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, _, err := b.send(ctx, call{url: "http://x:1"})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, <-ended, context.Canceled)
	})
}
