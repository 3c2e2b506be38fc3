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

	"github.com/netreply/netreply"
)

// ending is a way in which a program or a limit ends a reply, with the code it gives.
type ending struct {
	name string
	code netreply.NetworkError
	send func(*side, *netreply.Request, netreply.Body) *netreply.Reply
}

var endings = []ending{
	{"cancelled context", netreply.OperationCanceledError, func(s *side, req *netreply.Request, body netreply.Body) *netreply.Reply {
		ctx, cancel := context.WithCancelCause(s.t.Context())
		r := s.m.Post(ctx, req, body)
		<-r.RequestSent()
		cancel(errors.New("enough"))
		return r
	}},
	{"deadline", netreply.TimeoutError, func(s *side, req *netreply.Request, body netreply.Body) *netreply.Reply {
		ctx, cancel := context.WithTimeout(s.t.Context(), 50*time.Millisecond)
		s.t.Cleanup(cancel)
		return s.m.Post(ctx, req, body)
	}},
	{"Abort", netreply.OperationCanceledError, func(s *side, req *netreply.Request, body netreply.Body) *netreply.Reply {
		r := s.m.Post(s.t.Context(), req, body)
		<-r.RequestSent()
		r.Abort()
		return r
	}},
	{"Manager.Close", netreply.OperationCanceledError, func(s *side, req *netreply.Request, body netreply.Body) *netreply.Reply {
		r := s.m.Post(s.t.Context(), req, body)
		<-r.RequestSent()
		s.m.Close()
		return r
	}},
}

// stuckSource can seek and has a length, but its second Read returns only when it is told to.
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

// TestEndsDespiteSource: a body source that does not return keeps its goroutine, not the
// reply, whatever kind of source it says it is.
func TestEndsDespiteSource(t *testing.T) {
	for _, end := range endings {
		t.Run(end.name, func(t *testing.T) {
			each(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }, netreply.Config{}, func(t *testing.T, s *side) {
				source := &stuckSource{free: make(chan struct{})}
				defer close(source.free)
				r := end.send(s, s.request("/"), netreply.ReaderBody(source))
				require.ErrorIs(t, r.Wait(soon(t)), end.code)
				assert.True(t, r.IsFinished())
			})
		})
	}
}
