package netreply_test

import (
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// callLog records the calls of OnSignal for one reply, and detects overlapping ones.
type callLog struct {
	t       testing.TB
	running atomic.Int32
	mu      sync.Mutex
	calls   []string
	done    chan struct{} // closed after the last call
}

func newCallLog(t testing.TB) *callLog { return &callLog{t: t, done: make(chan struct{})} }

func (l *callLog) add(who string, e netreply.Event) {
	assert.EqualValues(l.t, 1, l.running.Add(1), "calls overlap")
	defer l.running.Add(-1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, who+signalName(e))
	if _, over := e.(netreply.Finished); over && who == "request " {
		close(l.done)
	}
}

// requireOrder requires that for every signal the Manager was called before the Request, in
// the order of Events.
func (l *callLog) requireOrder(r *netreply.Reply) {
	<-l.done
	var want []string
	for _, s := range discrete(signalNames(l.t, r)) {
		want = append(want, "manager "+s, "request "+s)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var got []string
	for i, call := range l.calls {
		_, s, _ := strings.Cut(call, " ")
		if i%2 == 1 {
			require.Equal(l.t, l.calls[i-1], "manager "+s)
		}
		if len(discrete([]string{s})) > 0 {
			got = append(got, call)
		}
	}
	require.Equal(l.t, want, got)
}

// TestOnSignalSerial: calls for one reply never overlap and have the order of Events, for
// every kind of end, and with signals from several goroutines (point 7).
func TestOnSignalSerial(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		w.(http.Flusher).Flush() // the head, during the upload
		io.Copy(w, r.Body)
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		const most = 12
		for after := range most { // calls until the Abort
			for range 5 {
				log, calls := newCallLog(t), 0
				abort := make(chan *netreply.Reply, 3)
				m := newManager(t, netreply.Config{
					SSLConfiguration: &netreply.SSLConfiguration{TLS: s.cfg},
					OnSignal: func(r *netreply.Reply, e netreply.Event) {
						log.add("manager ", e)
						if calls++; calls == after {
							for range cap(abort) {
								abort <- r
							}
							for range after {
								runtime.Gosched()
							}
						}
					},
				})
				req := s.request("/")
				req.EmitAllUploadProgress = true
				req.DoNotBufferUploadData = true
				req.OnSignal = func(_ *netreply.Reply, e netreply.Event) { log.add("request ", e) }
				var aborting sync.WaitGroup
				for range cap(abort) {
					aborting.Go(func() {
						if r := <-abort; r != nil {
							r.Abort()
							assert.True(t, r.IsFinished())
						}
					})
				}
				r := m.Post(t.Context(), req, netreply.ReaderBody(io.MultiReader(strings.NewReader("some "), strings.NewReader("bytes"))))
				log.requireOrder(r)
				close(abort)
				aborting.Wait()
				m.Close()
			}
		}
	})
}

// TestAbortDoesNotWait: an Abort while OnSignal runs on another goroutine returns at once
// with the reply finished, and that goroutine makes the remaining calls.
func TestAbortDoesNotWait(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "body") }))
	log := newCallLog(t)
	m := newManager(t, netreply.Config{OnSignal: func(_ *netreply.Reply, e netreply.Event) { log.add("manager ", e) }})
	inside, leave := make(chan struct{}), make(chan struct{})
	req := newRequest(t, s.URL)
	req.OnSignal = func(_ *netreply.Reply, e netreply.Event) {
		log.add("request ", e)
		if _, ok := e.(netreply.MetaDataChanged); ok {
			close(inside)
			<-leave
		}
	}
	r := m.Get(t.Context(), req)
	<-inside
	r.Abort()
	assert.True(t, r.IsFinished())
	assert.ErrorIs(t, r.Wait(deadline(t)), netreply.OperationCanceledError)
	list := signalNames(t, r)
	assert.Equal(t, []string{"head", "OperationCanceledError", "down", "finished"}, list[len(list)-4:], "observers do not wait for OnSignal")
	log.mu.Lock()
	assert.Equal(t, "request head", log.calls[len(log.calls)-1])
	log.mu.Unlock()
	close(leave)
	log.requireOrder(r)
}

// TestAbortInsideOnSignal: at any signal; the calls for the end follow after the current
// one.
func TestAbortInsideOnSignal(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(404)
		io.WriteString(w, "not here")
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		for _, at := range []string{"connecting", "encrypted", "up", "sent", "head", "ready", "ContentNotFoundError", "down", "finished"} {
			if at == "encrypted" && s.kind != testserver.TLS && s.kind != testserver.H2 {
				continue
			}
			log, aborted := newCallLog(t), false
			m := newManager(t, netreply.Config{
				SSLConfiguration: &netreply.SSLConfiguration{TLS: s.cfg},
				OnSignal: func(r *netreply.Reply, e netreply.Event) {
					log.add("manager ", e)
					if signalName(e) == at {
						aborted = true
						r.Abort()
						assert.True(t, r.IsFinished())
					}
				},
			})
			req := s.request("/")
			req.OnSignal = func(_ *netreply.Reply, e netreply.Event) { log.add("request ", e) }
			r := m.Post(t.Context(), req, netreply.StringBody("some bytes"))
			log.requireOrder(r)
			assert.True(t, aborted, at)
			assert.Error(t, r.Err())
			m.Close()
		}
	})
}

// TestInterimBlocksOnlyItsReply: a slow OnSignal for an interim response blocks its own
// reply, and not the others on the same HTTP/2 connection.
func TestInterimBlocksOnlyItsReply(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hints" {
			w.WriteHeader(http.StatusEarlyHints)
		}
		w.WriteHeader(http.StatusOK)
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		require.NoError(t, s.m.Get(t.Context(), s.request("/first")).Wait(deadline(t)))
		inside, leave, finished := make(chan struct{}), make(chan struct{}), make(chan struct{})
		var seen []string
		req := s.request("/hints")
		req.OnSignal = func(_ *netreply.Reply, e netreply.Event) {
			seen = append(seen, signalName(e))
			switch e.(type) {
			case netreply.InformationalReceived:
				close(inside)
				<-leave
			case netreply.Finished:
				close(finished)
			}
		}
		r := s.m.Get(t.Context(), req)
		<-inside
		assert.NoError(t, s.m.Get(t.Context(), s.request("/other")).Wait(deadline(t)))
		close(leave)
		require.NoError(t, r.Wait(deadline(t)))
		<-finished // OnSignal has been called for all: Wait may show the end before
		assert.Equal(t, []string{"sent", "informational", "head"}, seen[:3])
	})
}

// TestPanicInEverySignal: a reply ends whose OnSignal panics at every signal, that of the error
// among them.
func TestPanicInEverySignal(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, 1<<20)) }))
	m := newManager(t, netreply.Config{})
	req := newRequest(t, s.URL)
	var r *netreply.Reply
	req.OnSignal = func(called *netreply.Reply, e netreply.Event) {
		r = called
		panic(signalName(e))
	}
	assert.Panics(t, func() { m.Fetch(t.Context(), "GET", req, nil) })
	require.NotNil(t, r)
	assert.True(t, r.IsFinished())
	assert.ErrorIs(t, r.Wait(deadline(t)), netreply.OperationCanceledError)
}

// TestGoexitInOnSignal: a reply ends whose OnSignal calls runtime.Goexit, as a failed
// requirement in a test does.
func TestGoexitInOnSignal(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, 1<<20)) }))
	for _, at := range []string{"connecting", "sent", "head", "ready"} {
		m := newManager(t, netreply.Config{ConnectionsPerHost: 1})
		req := newRequest(t, s.URL)
		req.OnSignal = func(_ *netreply.Reply, e netreply.Event) {
			if signalName(e) == at {
				runtime.Goexit()
			}
		}
		r := m.Get(t.Context(), req)
		assert.ErrorIs(t, r.Wait(deadline(t)), netreply.OperationCanceledError, at)
	}
}
