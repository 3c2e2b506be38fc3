package netreply_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/netreply/netreply"
)

// answerAfter answers each request of a connection after a delay.
func answerAfter(d time.Duration) func(net.Conn, *bufio.Reader) {
	return func(c net.Conn, r *bufio.Reader) {
		for {
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			time.Sleep(d)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	}
}

// TestQueueTimeIsNotSilence: the wait for a free connection is not the peer's silence (rule
// N32), and the error of a context that ends meanwhile has PhaseQueue.
func TestQueueTimeIsNotSilence(t *testing.T) {
	bubble(t, netreply.Config{ConnectionsPerHost: 2, TransferTimeout: time.Second}, answerAfter(900*time.Millisecond), func(t *testing.T, m *netreply.Manager) {
		var all []*netreply.Reply
		for range 20 {
			all = append(all, m.Get(t.Context(), get(t, "/")))
		}
		synctest.Wait() // in the queue
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		late := m.Get(ctx, get(t, "/"))
		start := time.Now()
		err := late.Wait(t.Context())
		require.ErrorIs(t, err, netreply.TimeoutError)
		assert.Equal(t, 1500*time.Millisecond, time.Since(start))
		var e *netreply.Error
		require.ErrorAs(t, err, &e)
		assert.Equal(t, netreply.PhaseQueue, e.Phase)
		assert.ErrorContains(t, err, "waiting for a connection")
		assert.True(t, e.Retryable)
		for _, r := range all {
			require.NoError(t, r.Wait(t.Context()))
		}
	})
}

// TestQueueBehindSilence: hanging connections time out one after the other; requests to a
// host that accepts no connections time out together.
func TestQueueBehindSilence(t *testing.T) {
	silent := func(c net.Conn, r *bufio.Reader) { io.Copy(io.Discard, r) }
	bubble(t, netreply.Config{ConnectionsPerHost: 1, TransferTimeout: time.Second}, silent, func(t *testing.T, m *netreply.Manager) {
		start := time.Now()
		a, b := m.Get(t.Context(), get(t, "/")), m.Get(t.Context(), get(t, "/"))
		require.ErrorIs(t, a.Wait(t.Context()), netreply.TimeoutError)
		require.ErrorIs(t, b.Wait(t.Context()), netreply.TimeoutError)
		assert.Equal(t, 2*time.Second, time.Since(start))
	})
	bubble(t, netreply.Config{TransferTimeout: time.Second}, silent, func(t *testing.T, m *netreply.Manager) {
		start := time.Now()
		var all []*netreply.Reply
		for range 10 { // to a server without a handshake: one connection for all
			all = append(all, m.Get(t.Context(), newRequest(t, "https://server/")))
		}
		for _, r := range all {
			require.ErrorIs(t, r.Wait(t.Context()), netreply.TimeoutError)
		}
		assert.Equal(t, time.Second, time.Since(start), "a request whose own dial began late times out, too")
	})
}

// TestChunkedUpload: an unbuffered sequential source of unknown length is sent chunked over
// HTTP/1.1, and as DATA frames over HTTP/2 (rules L4 and L5).
func TestChunkedUpload(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		switch {
		case err != nil, string(body) != "one two three", r.ContentLength != -1, r.Header.Get("Content-Length") != "",
			r.ProtoMajor == 1 && len(r.TransferEncoding) != 1, r.ProtoMajor == 2 && len(r.TransferEncoding) != 0:
			w.WriteHeader(400)
		}
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		for name, body := range map[string]func(io.Reader) netreply.Body{
			"ReaderBody": netreply.ReaderBody,
			"SourceBody": func(r io.Reader) netreply.Body {
				return netreply.SourceBody(-1, func() (io.ReadCloser, error) { return io.NopCloser(r), nil })
			},
		} {
			pr, pw := io.Pipe()
			go func() {
				for _, s := range []string{"one ", "two ", "three"} {
					io.WriteString(pw, s)
				}
				pw.Close()
			}()
			req := s.request("/")
			req.DoNotBufferUploadData = true
			r := s.m.Post(t.Context(), req, body(pr))
			require.NoError(t, r.Wait(deadline(t)), name)
			p := netreply.Progress{}
			for p = range r.UploadProgress() {
			}
			assert.Equal(t, netreply.Progress{Done: 13, Total: 13}, p, "D14")
		}
	})
}

// TestHeadTimeoutStartsWhenSent: HeadTimeout begins when the request was sent.
func TestHeadTimeoutStartsWhenSent(t *testing.T) {
	bubble(t, netreply.Config{ConnectionsPerHost: 1, HeadTimeout: time.Second}, answerAfter(900*time.Millisecond), func(t *testing.T, m *netreply.Manager) {
		var all []*netreply.Reply
		for range 5 {
			all = append(all, m.Get(t.Context(), get(t, "/")))
		}
		for _, r := range all {
			require.NoError(t, r.Wait(t.Context()))
		}
	})
}

// TestStreamLimitIsSilence: waiting for a server that allows no streams is the peer's
// silence, also on an old connection.
func TestStreamLimitIsSilence(t *testing.T) {
	closed := make(chan struct{})
	url := newH2Server(t, func(c *h2conn) {
		id := c.headers()
		c.fr.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 0})
		c.answer(id, "200")
		c.drain()
		closed <- struct{}{}
	})
	m := newManager(t, netreply.Config{})
	req := newRequest(t, url)
	req.HTTP = netreply.HTTP2Direct
	require.NoError(t, m.Get(t.Context(), req).Wait(deadline(t)))
	req.TransferTimeout = 100 * time.Millisecond
	require.ErrorIs(t, m.Get(t.Context(), req).Wait(deadline(t)), netreply.TimeoutError)
	m.ClearConnectionCache()
	<-closed
}
