package netreply_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// ending is a way to end a reply, by the program or a limit, and the resulting code.
type ending struct {
	name string
	code netreply.NetworkError
	send func(*fixture, *netreply.Request, netreply.Body) *netreply.Reply
}

var endings = []ending{
	{"cancelled context", netreply.OperationCanceledError, func(s *fixture, req *netreply.Request, body netreply.Body) *netreply.Reply {
		ctx, cancel := context.WithCancelCause(s.t.Context())
		r := s.m.Post(ctx, req, body)
		<-r.RequestSent()
		cancel(errors.New("enough"))
		return r
	}},
	{"deadline", netreply.TimeoutError, func(s *fixture, req *netreply.Request, body netreply.Body) *netreply.Reply {
		ctx, cancel := context.WithTimeout(s.t.Context(), 50*time.Millisecond)
		s.t.Cleanup(cancel)
		return s.m.Post(ctx, req, body)
	}},
	{"TransferTimeout", netreply.TimeoutError, func(s *fixture, req *netreply.Request, body netreply.Body) *netreply.Reply {
		req.TransferTimeout = 50 * time.Millisecond
		return s.m.Post(s.t.Context(), req, body)
	}},
	{"Abort", netreply.OperationCanceledError, func(s *fixture, req *netreply.Request, body netreply.Body) *netreply.Reply {
		r := s.m.Post(s.t.Context(), req, body)
		<-r.RequestSent()
		r.Abort()
		return r
	}},
	{"Manager.Close", netreply.OperationCanceledError, func(s *fixture, req *netreply.Request, body netreply.Body) *netreply.Reply {
		r := s.m.Post(s.t.Context(), req, body)
		<-r.RequestSent()
		s.m.Close()
		return r
	}},
}

// stuckSource can seek and has a length, but its second Read blocks until it is released.
type stuckSource struct {
	reads int
	free  chan struct{}
}

func (s *stuckSource) Read(p []byte) (int, error) {
	if s.reads++; s.reads == 1 {
		return copy(p, "begin"), nil
	}
	<-s.free
	return 0, io.EOF
}

func (s *stuckSource) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekEnd {
		return 1 << 20, nil
	}
	return offset, nil
}

// TestReplyEndsWithHangingSource: a body source that never returns blocks its own
// goroutine, not the reply, for every kind of source.
func TestReplyEndsWithHangingSource(t *testing.T) {
	for _, end := range endings {
		if end.name == "TransferTimeout" {
			continue // measures the peer, not the source
		}
		t.Run(end.name, func(t *testing.T) {
			eachProtocol(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }, netreply.Config{}, func(t *testing.T, s *fixture) {
				source := &stuckSource{free: make(chan struct{})}
				defer close(source.free)
				r := end.send(s, s.request("/"), netreply.ReaderBody(source))
				require.ErrorIs(t, r.Wait(deadline(t)), end.code)
				assert.True(t, r.IsFinished())
			})
		})
	}
}

// stuckPeers are HTTP/2 servers that bring net/http's client into states in which it
// ignores the context of a request.
var stuckPeers = []struct {
	name  string
	serve func(context.Context, *h2conn)
}{
	{"silent", func(ctx context.Context, c *h2conn) {
		c.headers()
		c.drain()
	}},
	{"an early answer, and no window", func(ctx context.Context, c *h2conn) {
		for id := c.headers(); id != 0; id = c.headers() {
			c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte{0x88}, EndHeaders: true})
		}
	}},
	{"an early answer, and a socket that is not read", func(ctx context.Context, c *h2conn) {
		c.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30})
		c.fr.WriteWindowUpdate(0, 1<<30)
		id := c.headers()
		c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte{0x88}, EndHeaders: true})
		c.fr.WriteData(id, false, []byte("x"))
		<-ctx.Done()
	}},
	{"a window that overflows", func(ctx context.Context, c *h2conn) {
		for id := c.headers(); id != 0; id = c.headers() {
			c.fr.WriteWindowUpdate(id, 1<<31-1)
			c.fr.WriteWindowUpdate(id, 1<<31-1)
		}
	}},
}

// TestReplyEndsWithHangingPeer: in every such state a reply ends, other requests continue,
// and Manager.Close returns.
func TestReplyEndsWithHangingPeer(t *testing.T) {
	good, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "good") }))
	for _, peer := range stuckPeers {
		for _, end := range endings {
			t.Run(peer.name+"/"+end.name, func(t *testing.T) {
				url := newH2Server(t, func(c *h2conn) { peer.serve(t.Context(), c) })
				s := &fixture{m: newManager(t, netreply.Config{}), t: t}
				send := func(r *netreply.Reply) {
					err := r.Wait(deadline(t))
					if peer.name == "a window that overflows" && errors.Is(err, netreply.ProtocolFailure) {
						return // which may be seen before
					}
					require.ErrorIs(t, err, end.code)
				}
				request := func() *netreply.Request {
					req := newRequest(t, url)
					req.HTTP = netreply.HTTP2Direct
					return req
				}
				send(end.send(s, request(), netreply.BytesBody(make([]byte, 8<<20))))
				if end.name != "Manager.Close" {
					send(end.send(s, request(), netreply.BytesBody(make([]byte, 8<<20))))
					body, err := s.m.Get(deadline(t), newRequest(t, good.URL)).ReadAll()
					require.NoError(t, err)
					require.Equal(t, "good", string(body))
				}
				require.NoError(t, s.m.Close())
			})
		}
		t.Run(peer.name+"/Fetch", func(t *testing.T) {
			req := newRequest(t, newH2Server(t, func(c *h2conn) { peer.serve(t.Context(), c) }))
			req.HTTP = netreply.HTTP2Direct
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			r := newManager(t, netreply.Config{}).Fetch(ctx, "POST", req, netreply.BytesBody(make([]byte, 8<<20)))
			require.Error(t, r.Err())
		})
	}
}

// TestHangingSourceBlocksOneStream: over HTTP/2, a source that never returns blocks its
// stream, not the connection.
func TestHangingSourceBlocksOneStream(t *testing.T) {
	hold := make(chan struct{})
	s, cfg := testserver.NewOrigin(t, testserver.H2, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" {
			w.(http.Flusher).Flush()
			<-hold
			io.WriteString(w, "whole")
			return
		}
		io.Copy(io.Discard, r.Body)
	}))
	m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}})
	beside := m.Get(t.Context(), newRequest(t, s.URL))
	require.NoError(t, waitHead(beside))
	source, sink := io.Pipe()
	defer sink.Close()
	req := newRequest(t, s.URL)
	req.DoNotBufferUploadData = true
	ctx, cancel := context.WithCancel(t.Context())
	upload := m.Post(ctx, req, netreply.ReaderBody(source))
	<-upload.RequestSent()
	cancel()
	require.ErrorIs(t, upload.Wait(deadline(t)), netreply.OperationCanceledError)
	after, err := m.Fetch(deadline(t), "POST", newRequest(t, s.URL), netreply.StringBody("more")).ReadAll()
	require.NoError(t, err)
	require.Empty(t, after)
	time.AfterFunc(3*graceOfEnds, func() { close(hold) }) // by then the connection would be closed
	body, err := beside.ReadAll()
	require.NoError(t, err)
	assert.Equal(t, "whole", string(body))
}

// graceOfEnds is how long an exchange may take to end before its connection is closed.
const graceOfEnds = 200 * time.Millisecond

func waitHead(r *netreply.Reply) error {
	for e := range r.Events(context.Background()) {
		if _, ok := e.(netreply.MetaDataChanged); ok {
			return nil
		}
	}
	return r.Err()
}
