package netreply_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// TestLateSubscription: a subscription after the end misses nothing (point 1 of the contract).
func TestLateSubscription(t *testing.T) {
	eachProtocol(t, hops(302), netreply.Config{}, func(t *testing.T, s *fixture) {
		r := s.m.Get(t.Context(), s.request("/2"))
		require.NoError(t, r.Wait(t.Context()))
		count := func(ch <-chan struct{}) (n int) {
			for range ch {
				n++
			}
			return n
		}
		assert.Equal(t, 1, count(r.SocketStartedConnecting()))
		assert.Equal(t, 3, count(r.RequestSent()))
		assert.Equal(t, 3, count(r.MetaDataChanged()))
		assert.Equal(t, 1, count(r.ReadyRead()))
		assert.Equal(t, 1, count(r.Finished()))
		if s.kind == testserver.TLS || s.kind == testserver.H2 {
			assert.Equal(t, 1, count(r.Encrypted()))
		}
		n := 0
		for range r.Redirected() {
			n++
		}
		assert.Equal(t, 2, n)
		for range r.ErrorOccurred() {
			t.Error("no error occurred")
		}
		for range r.UploadProgress() {
			t.Error("nothing was uploaded")
		}
		for range r.InformationalReceived() {
			t.Error("nothing of the kind")
		}
		p, ok := <-r.DownloadProgress()
		assert.True(t, ok)
		assert.Equal(t, p.Done, p.Total)
		_, ok = <-r.DownloadProgress()
		assert.False(t, ok, "closed after the last")
	})
}

// TestFinishedLast: Finished is closed after all others, and the getters have the new state
// before the signal is seen (points 3 and 6).
func TestFinishedLast(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(404) }, netreply.Config{}, func(t *testing.T, s *fixture) {
		for range 50 {
			r := s.m.Get(t.Context(), s.request("/"))
			head, failed, down, finished := r.MetaDataChanged(), r.ErrorOccurred(), r.DownloadProgress(), r.Finished()
			<-head
			assert.Equal(t, 404, r.StatusCode())
			code := <-failed
			assert.ErrorIs(t, r.Err(), code)
			<-finished
			assert.True(t, r.IsFinished())
			for _, ch := range []<-chan struct{}{head, r.ReadyRead()} {
				select {
				case _, ok := <-ch:
					assert.False(t, ok)
				default:
					t.Error("still open")
				}
			}
			<-down
			_, ok := <-finished
			assert.False(t, ok)
		}
	})
}

// TestEventsObservers: several observers each see everything, in order (point 4).
func TestEventsObservers(t *testing.T) {
	eachProtocol(t, hops(302), netreply.Config{}, func(t *testing.T, s *fixture) {
		r := s.m.Get(t.Context(), s.request("/3"))
		var wg sync.WaitGroup
		var all [5][]string
		for i := range all {
			wg.Go(func() { all[i] = signalNames(t, r) })
		}
		wg.Wait()
		for _, list := range all {
			// conflating signals may be seen again while they change
			assert.Equal(t, discrete(all[0]), discrete(list))
		}
		for range r.Events(t.Context()) {
			break // leaving early is fine
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for range r.Events(ctx) {
		}
	})
}

func discrete(list []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == "ready" || s == "down" || s == "up" })
}

// TestBoundedRecord: progress does not accumulate (point 5), and an observer that does not take
// it does not stop the transfer (point 2).
func TestBoundedRecord(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		for range 200 {
			w.Write(make([]byte, 10_000))
			w.(http.Flusher).Flush()
		}
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		r := s.m.Get(t.Context(), s.request("/"))
		r.DownloadProgress() // never taken
		r.ReadyRead()
		require.NoError(t, r.Wait(deadline(t)))
		assert.Less(t, len(signalNames(t, r)), 10)
		assert.Equal(t, netreply.Progress{Done: 2_000_000, Total: 2_000_000}, <-r.DownloadProgress())
	})
}

// TestManagerSignals: the Manager's observers get a signal before those of the reply (rule
// S6).
func TestManagerSignals(t *testing.T) {
	var mu sync.Mutex
	var order []string
	add := func(who string, e netreply.Event) {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, who+signalName(e))
	}
	m := newManager(t, netreply.Config{OnSignal: func(_ *netreply.Reply, e netreply.Event) { add("manager ", e) }})
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "x") }))
	req := newRequest(t, s.URL)
	req.OnSignal = func(_ *netreply.Reply, e netreply.Event) { add("reply ", e) }
	finished := m.Finished(t.Context())
	events := m.Events(t.Context())
	r := m.Get(t.Context(), req)
	for done := range finished {
		assert.Same(t, r, done)
		break
	}
	var seen []string
	for reply, e := range events {
		assert.Same(t, r, reply)
		seen = append(seen, signalName(e))
		if _, ok := e.(netreply.Finished); ok {
			break
		}
	}
	assert.Equal(t, discrete(signalNames(t, r)), discrete(seen))
	require.NoError(t, r.Wait(t.Context()))
	m.Close()
	mu.Lock()
	defer mu.Unlock()
	for i := 0; i < len(order); i += 2 {
		assert.Equal(t, order[i][len("manager "):], order[i+1][len("reply "):])
	}

	late := m.Finished(t.Context())
	for range late {
		t.Error("the Manager is closed")
	}
}

// TestAbortAtEncrypted: an Abort at Encrypted sends nothing (rule S43).
func TestAbortAtEncrypted(t *testing.T) {
	served := 0
	s, cfg := testserver.NewOrigin(t, testserver.H2, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ }))
	m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}})
	req := newRequest(t, s.URL)
	req.OnSignal = func(r *netreply.Reply, e netreply.Event) {
		if _, ok := e.(netreply.Encrypted); ok {
			assert.NotZero(t, r.SSLConfiguration().Version)
			r.Abort()
		}
	}
	r := m.Get(t.Context(), req)
	require.ErrorIs(t, r.Wait(deadline(t)), netreply.OperationCanceledError)
	assert.NotContains(t, signalNames(t, r), "sent")
	m.Close()
	s.Close()
	assert.Zero(t, served)
}

// TestManagerClose: Close aborts running replies, waits for them, and later requests are
// refused.
func TestManagerClose(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, netreply.Config{}, func(t *testing.T, s *fixture) {
		var all []*netreply.Reply
		for range 20 {
			all = append(all, s.m.Get(t.Context(), s.request("/")))
		}
		s.m.Close()
		for _, r := range all {
			assert.True(t, r.IsFinished())
			assert.ErrorIs(t, r.Err(), netreply.OperationCanceledError)
		}
		assert.ErrorIs(t, s.m.Get(t.Context(), s.request("/")).Wait(t.Context()), netreply.OperationCanceledError)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { s.m.Get(t.Context(), s.request("/")).Wait(t.Context()) })
			wg.Go(func() { s.m.Close() })
		}
		wg.Wait()
	})
}

func TestConfig(t *testing.T) {
	_, err := netreply.NewManager(netreply.Config{RedirectPolicy: 99, TransferTimeout: -1, HeadTimeout: -1, IdleTimeout: -1, ReadBufferSize: -1,
		ConnectionsPerHost: 70000, MaxHeaderBytes: -1, UserAgent: "a\nb"})
	for _, field := range []string{"RedirectPolicy", "TransferTimeout", "HeadTimeout", "IdleTimeout", "ReadBufferSize", "ConnectionsPerHost", "MaxHeaderBytes", "UserAgent"} {
		assert.ErrorContains(t, err, "Config."+field)
	}
	m := newManager(t, netreply.Config{})
	assert.Equal(t, []string{"data", "file", "http", "https", "local+http", "unix+http"}, m.SupportedSchemes())
}

// TestLimits: MaxHeaderBytes and ConnectionsPerHost are effective.
func TestLimits(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Large", string(make([]byte, 0, 1))+fmt.Sprintf("%064000d", 1))
	}, netreply.Config{MaxHeaderBytes: 8 << 10}, func(t *testing.T, s *fixture) {
		err := s.m.Get(t.Context(), s.request("/")).Wait(deadline(t))
		assert.ErrorIs(t, err, netreply.ProtocolFailure)
	})
}

// TestClearConnectionCache: idle connections are closed, transfers continue (D32).
func TestClearConnectionCache(t *testing.T) {
	hold := make(chan struct{})
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			w.(http.Flusher).Flush()
			<-hold
		}
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		hold = make(chan struct{})
		require.NoError(t, s.m.Get(t.Context(), s.request("/")).Wait(t.Context()))
		held := s.m.Get(t.Context(), s.request("/hold"))
		<-held.MetaDataChanged()
		s.m.ClearConnectionCache()
		close(hold)
		require.NoError(t, held.Wait(deadline(t)))
		s.m.ClearConnectionCache()
		r := s.m.Get(t.Context(), s.request("/"))
		require.NoError(t, r.Wait(t.Context()))
		assert.Contains(t, signalNames(t, r), "connecting")
	})
}

// TestSixConnectionsPerHost: the default limit (rule N2).
func TestSixConnectionsPerHost(t *testing.T) {
	hold := make(chan struct{})
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-hold }))
	m := newManager(t, netreply.Config{})
	var all []*netreply.Reply
	for range 10 {
		all = append(all, m.Get(t.Context(), newRequest(t, s.URL)))
	}
	sent := func() (n int) {
		for _, r := range all {
			n += len(r.RequestSent())
		}
		return n
	}
	require.Eventually(t, func() bool { return sent() == 6 }, 10*time.Second, time.Millisecond)
	close(hold)
	for _, r := range all {
		require.NoError(t, r.Wait(deadline(t)))
	}
	assert.Equal(t, 10, sent())
}

// TestElapsed: each event has its time since the start of the reply (point 8), which is the
// same for all observers.
func TestElapsed(t *testing.T) {
	serve := func(c net.Conn, r *bufio.Reader) {
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		for _, part := range []string{"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", "bo", "dy"} {
			<-time.After(time.Second)
			io.WriteString(c, part)
		}
	}
	called, queued := map[string]time.Duration{}, map[string]time.Duration{}
	cfg := netreply.Config{OnSignal: func(_ *netreply.Reply, e netreply.Event) { called[signalName(e)] = e.Elapsed() }}
	bubble(t, cfg, serve, func(t *testing.T, m *netreply.Manager) {
		events := m.Events(context.Background())
		r := m.Get(context.Background(), get(t, "/"))
		require.NoError(t, r.Wait(context.Background()))
		<-time.After(time.Hour)
		seen := map[string]time.Duration{}
		for e := range r.Events(context.Background()) {
			seen[signalName(e)] = e.Elapsed()
		}
		m.Close()
		for _, e := range events {
			queued[signalName(e)] = e.Elapsed()
		}
		assert.Equal(t, map[string]time.Duration{"connecting": 0, "sent": 0, "head": time.Second, "ready": 3 * time.Second,
			"down": 3 * time.Second, "finished": 3 * time.Second}, seen)
		assert.Equal(t, seen, called)
		assert.Equal(t, seen, queued)
	})
}
