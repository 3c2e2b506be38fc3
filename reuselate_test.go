package netreply_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// TestFetchIntoIsSeen: what others ask a Reply while it is used again is of one of its requests.
func TestFetchIntoIsSeen(t *testing.T) {
	eachProtocol(t, reuseHandler, netreply.Config{}, func(t *testing.T, s *fixture) {
		r := new(netreply.Reply)
		var over atomic.Bool
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for !over.Load() {
					r.Err()
					r.Wait(noContext)
					_ = r.Context().Err()
					assert.Contains(t, "/small /404", r.URL().Path)
					assert.Contains(t, "/small /404", r.Headers().Get("X-Path"))
					if u := r.Request().URL; u != nil {
						assert.Contains(t, "/small /404", u.Path)
					}
					r.Manager()
					r.SSLConfiguration()
					r.Trailers()
					r.WireBytes()
					r.RemoteAddr()
					r.Method()
					r.StatusCode()
					r.ContentLength()
					r.IsFinished()
					r.ErrorString()
					r.ProxyResponse()
					r.Operation()
					_ = fmt.Sprint(r)
					netreply.ConnectionEncrypted.Of(r)
					r.BytesAvailable()
					r.Peek(make([]byte, 3))
					r.Finished()
					runtime.Gosched()
				}
			})
		}
		for i := range 60 {
			q := s.request([]string{"/small", "/404"}[i%2])
			reuseMark.Set(q, "x")
			err := s.m.FetchInto(context.Background(), r, "GET", q, nil)
			if i%2 == 0 {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, netreply.ContentNotFoundError)
			}
		}
		over.Store(true)
		wg.Wait()
	})
}

// TestFetchIntoClosed: Close ends the request that runs as Abort does, and does nothing to one that
// begins.
func TestFetchIntoClosed(t *testing.T) {
	eachProtocol(t, reuseHandler, netreply.Config{}, func(t *testing.T, s *fixture) {
		r := new(netreply.Reply)
		var wg sync.WaitGroup
		for range 500 {
			wg.Wait()
			wg.Go(func() { r.Close() })
			if err := s.m.FetchInto(t.Context(), r, "GET", s.request("/small"), nil); err != nil {
				assert.ErrorIs(t, err, netreply.OperationCanceledError)
			}
		}
		wg.Wait()
		require.NoError(t, s.m.FetchInto(t.Context(), r, "GET", s.request("/small"), nil))
		assert.Equal(t, "small", string(readAll(t, r)))
	})
}

// watchedContext counts who watches its end.
type watchedContext struct {
	context.Context
	done     chan struct{}
	watchers atomic.Int32
}

func (c *watchedContext) Done() <-chan struct{} { return c.done }

func (c *watchedContext) AfterFunc(f func()) (stop func() bool) {
	c.watchers.Add(1)
	stopped := atomic.Bool{}
	return func() bool {
		if stopped.CompareAndSwap(false, true) {
			c.watchers.Add(-1)
			return true
		}
		return false
	}
}

// TestCallbackPanicLeavesContext: a reply whose OnSignal has panicked does not stay with the
// context of its caller, which may last for longer.
func TestCallbackPanicLeavesContext(t *testing.T) {
	eachProtocol(t, reuseHandler, netreply.Config{}, func(t *testing.T, s *fixture) {
		ctx := &watchedContext{Context: t.Context(), done: make(chan struct{})}
		var seen int32
		q := s.request("/small")
		q.OnSignal = func(*netreply.Reply, netreply.Event) {
			seen += ctx.watchers.Load()
			panic("callback")
		}
		var r netreply.Reply
		for range 2 {
			assert.Panics(t, func() { s.m.Fetch(ctx, "GET", q, nil) })
			assert.Panics(t, func() { s.m.FetchInto(ctx, &r, "GET", q, nil) })
		}
		assert.Positive(t, seen)
		assert.Zero(t, ctx.watchers.Load())
	})
}

// TestCallbackPanicsAlways: a reply whose OnSignal panics at every signal finishes.
func TestCallbackPanicsAlways(t *testing.T) {
	eachProtocol(t, reuseHandler, netreply.Config{}, func(t *testing.T, s *fixture) {
		q := s.request("/small")
		var last *netreply.Reply
		q.OnSignal = func(r *netreply.Reply, _ netreply.Event) {
			last = r
			panic("callback")
		}
		var r netreply.Reply
		for range 3 {
			assert.Panics(t, func() { s.m.Fetch(t.Context(), "GET", q, nil) })
			assert.True(t, last.IsFinished())
			assert.Panics(t, func() { s.m.FetchInto(t.Context(), &r, "GET", q, nil) })
			assert.True(t, r.IsFinished())
			require.NoError(t, s.m.FetchInto(t.Context(), &r, "GET", s.request("/small"), nil))
		}
	})
}

// TestFetchIntoInterims: OnSignal for an interim response is never late for the next request.
func TestFetchIntoInterims(t *testing.T) {
	eachProtocol(t, reuseHandler, netreply.Config{}, func(t *testing.T, s *fixture) {
		var r netreply.Reply
		for i := range 200 {
			q := s.request("/early")
			ctx, cancel := context.WithCancel(t.Context())
			q.OnSignal = func(_ *netreply.Reply, e netreply.Event) {
				if _, interim := e.(netreply.InformationalReceived); interim && i%3 == 0 {
					cancel()
				}
			}
			err := s.m.FetchInto(ctx, &r, "GET", q, nil)
			if i%3 > 0 {
				assert.NoError(t, err)
			}
			cancel()
		}
	})
}

// TestFetchIntoQuestions: a question of the last request cannot be answered during the next one.
func TestFetchIntoQuestions(t *testing.T) {
	eachProtocol(t, reuseHandler, netreply.Config{}, func(t *testing.T, s *fixture) {
		var r netreply.Reply
		var last *netreply.Redirect
		for range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			q := s.request("/redirect")
			q.RedirectPolicy = netreply.UserVerifiedRedirectPolicy
			q.Answer = func(ctx context.Context, q netreply.Question) {
				last = q.(*netreply.Redirect)
				cancel()
				<-ctx.Done()
			}
			require.ErrorIs(t, s.m.FetchInto(ctx, &r, "GET", q, nil), netreply.OperationCanceledError)
			asked := false
			q = s.request("/small")
			q.OnSignal = func(*netreply.Reply, netreply.Event) {
				asked = true
				assert.False(t, last.Allow())
			}
			require.NoError(t, s.m.FetchInto(t.Context(), &r, "GET", q, nil))
			assert.True(t, asked)
		}
	})
}
