package netreply_test

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// waits are the methods that wait for a reply. Each returns the bytes it has read.
var waits = map[string]func(*netreply.Reply) (string, error){
	"ReadAll": func(r *netreply.Reply) (string, error) {
		b, err := r.ReadAll()
		return string(b), err
	},
	"Read": func(r *netreply.Reply) (string, error) {
		b, err := io.ReadAll(struct{ io.Reader }{r})
		return string(b), err
	},
	"WriteTo": func(r *netreply.Reply) (string, error) {
		var b strings.Builder
		_, err := r.WriteTo(&b)
		return b.String(), err
	},
	"Wait": func(r *netreply.Reply) (string, error) { return "", r.Wait(context.Background()) },
}

// TestWaitInsideOnSignal: inside OnSignal, methods that wait return at any signal, with the
// bytes received so far and an error; after the error signal, with everything.
func TestWaitInsideOnSignal(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(404)
		io.WriteString(w, "not here")
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		for way, wait := range waits {
			var all []string
			last := ""
			req := s.request("/")
			req.OnSignal = func(r *netreply.Reply, e netreply.Event) {
				got, err := wait(r)
				all = append(all, got)
				switch e.(type) {
				case netreply.ErrorOccurred, netreply.Finished:
					assert.ErrorIs(t, err, netreply.ContentNotFoundError)
				case netreply.RequestSent, netreply.MetaDataChanged, netreply.ReadyRead:
					assert.ErrorIs(t, err, netreply.ErrInsideOnSignal)
					assert.ErrorIs(t, err, netreply.ProtocolInvalidOperationError)
				}
				for e := range r.Events(context.Background()) {
					last = signalName(e)
				}
			}
			r := s.m.Post(t.Context(), req, netreply.StringBody(strings.Repeat("x", 100_000)))
			require.ErrorIs(t, r.Wait(deadline(t)), netreply.ContentNotFoundError, way)
			for range r.Events(deadline(t)) { // the last OnSignal may still be running
			}
			s.m.Close()
			assert.Equal(t, "finished", last)
			if way != "Wait" {
				assert.Equal(t, "not here", strings.Join(all, ""), way)
			}
			s.m = newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: s.cfg}})
		}
	})
}

// TestWaitWhileOnSignalRuns: a call on another goroutine waits, whether OnSignal runs or not.
func TestWaitWhileOnSignalRuns(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "body") }))
	for way, wait := range waits {
		m := newManager(t, netreply.Config{})
		inside, leave := make(chan *netreply.Reply), make(chan struct{})
		req := newRequest(t, s.URL)
		req.OnSignal = func(r *netreply.Reply, e netreply.Event) {
			if _, ok := e.(netreply.MetaDataChanged); ok {
				inside <- r
				<-leave
			}
		}
		r := m.Get(t.Context(), req)
		require.Same(t, r, <-inside)
		done := make(chan error)
		go func() {
			_, err := wait(r)
			done <- err
		}()
		for range 100 {
			runtime.Gosched()
		}
		select {
		case err := <-done:
			t.Errorf("%s has not waited: %v", way, err)
		default:
			close(leave)
			assert.NoError(t, <-done, way)
		}
	}
}

// TestCloseInsideOnSignal: the Manager can be closed in OnSignal.
func TestCloseInsideOnSignal(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "body") }))
	m := newManager(t, netreply.Config{})
	req := newRequest(t, s.URL)
	req.OnSignal = func(r *netreply.Reply, e netreply.Event) {
		if _, ok := e.(netreply.MetaDataChanged); ok {
			assert.NoError(t, m.Close())
			assert.True(t, r.IsFinished())
		}
	}
	require.ErrorIs(t, m.Get(t.Context(), req).Wait(deadline(t)), netreply.OperationCanceledError)
}

// TestAbortDuringErrorSignal: an Abort during the error signal finishes the reply before it
// returns, inside OnSignal and elsewhere; the code stays (rule S62).
func TestAbortDuringErrorSignal(t *testing.T) {
	for _, row := range []struct {
		name string
		stop func(*netreply.Reply, context.CancelFunc)
		read int
	}{
		{"Abort", func(r *netreply.Reply, _ context.CancelFunc) { r.Abort() }, 0},
		{"Close", func(r *netreply.Reply, _ context.CancelFunc) { r.Close() }, 0},
		{"context", func(r *netreply.Reply, cancel context.CancelFunc) {
			cancel()
			r.Wait(context.Background())
		}, len("not here")},
	} {
		eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(404)
			io.WriteString(w, "not here")
		}, netreply.Config{}, func(t *testing.T, s *fixture) {
			for _, elsewhere := range []bool{false, true} {
				if row.name == "context" && !elsewhere {
					continue
				}
				ctx, cancel := context.WithCancel(t.Context())
				req := s.request("/")
				req.OnSignal = func(r *netreply.Reply, e netreply.Event) {
					if _, ok := e.(netreply.ErrorOccurred); !ok {
						return
					}
					assert.False(t, r.IsFinished(), "rule S3")
					stopped := make(chan struct{})
					stop := func() {
						defer close(stopped)
						row.stop(r, cancel)
						assert.True(t, r.IsFinished())
						assert.EqualValues(t, row.read, r.BytesAvailable())
						assert.ErrorIs(t, r.Err(), netreply.ContentNotFoundError)
					}
					if elsewhere {
						go stop()
					} else {
						stop()
					}
					<-stopped
				}
				r := s.m.Get(ctx, req)
				require.ErrorIs(t, r.Wait(deadline(t)), netreply.ContentNotFoundError)
				list := signalNames(t, r)
				assert.Equal(t, []string{"ContentNotFoundError", "down", "finished"}, list[len(list)-3:])
				cancel()
			}
		})
	}
}

// TestWaitOfFinishedReply: Wait returns the result of a finished reply although its own
// context has ended.
func TestWaitOfFinishedReply(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(404) }))
	m := newManager(t, netreply.Config{})
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for range 50 {
		r := m.Get(t.Context(), newRequest(t, s.URL))
		for !r.IsFinished() {
			if err := r.Wait(ended); err != context.Canceled {
				require.ErrorIs(t, err, netreply.ContentNotFoundError)
			}
			runtime.Gosched()
		}
		require.ErrorIs(t, r.Wait(ended), netreply.ContentNotFoundError)
	}
}

// TestAbortWhileReplyEnds: when Abort returns the reply is finished, also if it was just
// ending with a failure and OnSignal is running for it.
func TestAbortWhileReplyEnds(t *testing.T) {
	m := newManager(t, netreply.Config{})
	for range 3000 {
		req := &netreply.Request{} // without a URL: it ends as soon as its goroutine runs
		req.OnSignal = func(*netreply.Reply, netreply.Event) {
			for range 20 {
				runtime.Gosched()
			}
		}
		r := m.Get(t.Context(), req)
		for range rand.IntN(5) {
			runtime.Gosched()
		}
		var aborting sync.WaitGroup
		for range 4 {
			aborting.Go(func() {
				r.Abort()
				assert.True(t, r.IsFinished())
			})
		}
		aborting.Wait()
	}
}
