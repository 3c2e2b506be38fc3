package httpserver_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpserver"
)

// TestShutdownStreams: chunked answers hear of it at once, others when the drain time is
// up.
func TestShutdownStreams(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		s := newServer(t, httpserver.Config{HTTP2Cleartext: true, DrainTimeout: time.Millisecond})
		var begun sync.WaitGroup
		causes := make(chan error, 3)
		wait := func(ctx context.Context) {
			begun.Done()
			<-ctx.Done()
			causes <- context.Cause(ctx)
		}
		s.Handle("/events", func(_ *http.Request, w *httpserver.Responder) {
			ctx := w.Context() // asked for before it is a stream's
			e, err := w.Events()
			assert.NoError(t, err)
			wait(ctx)
			assert.NoError(t, e.Send(httpserver.Event{Data: "bye"}))
			assert.NoError(t, e.Close())
		})
		s.Handle("/request", func(r *http.Request, w *httpserver.Responder) {
			assert.NoError(t, w.WriteBeginChunked("a/b"))
			wait(r.Context())
			assert.NoError(t, w.WriteEndChunked(nil))
		})
		s.Handle("/", func(_ *http.Request, w *httpserver.Responder) {
			wait(w.Context())
			assert.NoError(t, w.WriteStatus())
		})
		addr := listen(t, s)
		begun.Add(3)
		var answers [3]net.Conn
		for i, path := range []string{"/events", "/request", "/"} {
			if h2 {
				answers[i] = sendH2(t, addr, "GET") // all are "/" there
			} else {
				answers[i] = send(t, addr, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
			}
		}
		begun.Wait()
		assert.NoError(t, s.Shutdown(t.Context()))
		for range 3 {
			assert.Equal(t, http.ErrServerClosed, <-causes)
		}
		if !h2 {
			got, err := io.ReadAll(answers[0])
			assert.NoError(t, err)
			assert.Contains(t, string(got), "data: bye\n\n\r\n0\r\n\r\n")
		}
	}
}

// TestShutdownOrder: those that answer at once are not hurried by the end of the streams.
func TestShutdownOrder(t *testing.T) {
	s := newServer(t, httpserver.Config{DrainTimeout: -1})
	begun, over, release := make(chan struct{}, 2), make(chan struct{}), make(chan struct{})
	s.Handle("/events", func(_ *http.Request, w *httpserver.Responder) {
		e, err := w.Events()
		assert.NoError(t, err)
		begun <- struct{}{}
		<-w.Context().Done()
		assert.NoError(t, e.Close())
		close(over)
	})
	s.Handle("/", func(_ *http.Request, w *httpserver.Responder) {
		begun <- struct{}{}
		<-release
		assert.NoError(t, w.Context().Err())
		assert.NoError(t, w.WriteStatus())
	})
	addr := listen(t, s)
	for _, path := range []string{"/events", "/"} {
		send(t, addr, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
		within(t, begun, "the handler begins")
	}
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(context.Background()) }()
	within(t, over, "the stream ends")
	close(release)
	assert.NoError(t, within(t, down, "Shutdown returns"))
}

// TestShutdownExpires: the end of its own context ends all others.
func TestShutdownExpires(t *testing.T) {
	s := newServer(t, httpserver.Config{DrainTimeout: -1})
	begun, over := make(chan struct{}), make(chan struct{})
	s.Handle("/", func(_ *http.Request, w *httpserver.Responder) {
		close(begun)
		<-w.Context().Done()
		close(over)
	})
	send(t, listen(t, s), "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	within(t, begun, "the handler begins")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.ErrorIs(t, s.Shutdown(ctx), context.Canceled)
	within(t, over, "the handler's context ends")
}

// TestShutdownTakenOver: those who have taken a connection over hear of Shutdown, which does
// not wait for them.
func TestShutdownTakenOver(t *testing.T) {
	s := newServer(t, httpserver.Config{DrainTimeout: -1})
	taken, cause := make(chan struct{}), make(chan error, 1)
	s.HandleHTTP("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		require.NoError(t, err)
		defer c.Close()
		close(taken)
		<-r.Context().Done()
		cause <- context.Cause(r.Context())
	}))
	send(t, listen(t, s), h1("GET"))
	within(t, taken, "the connection is taken over")
	assert.NoError(t, s.Shutdown(context.Background()))
	assert.Equal(t, http.ErrServerClosed, within(t, cause, "the context ends"))
}
