package httpserver_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpserver"
)

func newHub(t testing.TB, c httpserver.EventHubConfig) *httpserver.EventHub {
	hub, err := httpserver.NewEventHub(c)
	require.NoError(t, err)
	t.Cleanup(hub.Close)
	return hub
}

func serveHub(t testing.TB, hub *httpserver.EventHub) string {
	return "http://" + serve(t, httpserver.HandlerFunc(hub.Serve))
}

// listener is a client of a hub.
type listener struct {
	t      testing.TB
	header http.Header
	in     *bufio.Reader
	close  func()
	lastID string // as a browser keeps it
}

func listenTo(t testing.TB, client *http.Client, url, lastID string) *listener {
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	require.NoError(t, err)
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := client.Do(req)
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
	l := &listener{t: t, header: resp.Header, in: bufio.NewReader(resp.Body), lastID: lastID}
	l.close = func() { cancel(); resp.Body.Close() }
	t.Cleanup(l.close)
	return l
}

// next is the next event, as its name and its data; comments and ids alone are none.
func (l *listener) next() (string, error) {
	for {
		var name, data string
		dispatch := false
		for {
			line, err := l.in.ReadString('\n')
			if err != nil {
				return "", err
			}
			if line = strings.TrimSuffix(line, "\n"); line == "" {
				break
			}
			field, value, _ := strings.Cut(line, ": ")
			switch field {
			case "id":
				l.lastID = value
			case "event":
				name = value + " "
			case "data":
				data, dispatch = data+value, true
			}
		}
		if dispatch {
			return name + data, nil
		}
	}
}

// expect wants these events next.
func (l *listener) expect(events ...string) {
	for _, want := range events {
		got, err := l.next()
		require.NoError(l.t, err)
		require.Equal(l.t, want, got)
	}
}

func publish(t testing.TB, hub *httpserver.EventHub, data ...string) {
	for _, d := range data {
		require.NoError(t, hub.Publish(httpserver.Event{Data: d}))
	}
}

// TestEventHub: every client gets every event, and its stream ends whole with Close.
func TestEventHub(t *testing.T) {
	overBoth(t, func(t *testing.T, client *http.Client) {
		hub := newHub(t, httpserver.EventHubConfig{})
		url := serveHub(t, hub)
		publish(t, hub, "before")
		var all []*listener
		for range 5 {
			all = append(all, listenTo(t, client, url, ""))
		}
		assert.Equal(t, 5, hub.Clients())
		require.NoError(t, hub.Publish(httpserver.Event{Name: "n", Data: "a\nb"}))
		publish(t, hub, "c", "")
		for _, l := range all {
			l.expect("n ab", "c", "")
			assert.Equal(t, "text/event-stream", l.header.Get("Content-Type"))
			assert.Equal(t, "no-cache", l.header.Get("Cache-Control"))
			assert.Equal(t, "no", l.header.Get("X-Accel-Buffering"))
		}
		publish(t, hub, "last")
		hub.Close()
		hub.Close()
		for _, l := range all {
			l.expect("last")
			_, err := l.next()
			assert.Equal(t, io.EOF, err)
		}
		status, _, _ := ask(t, client, "GET", url, "", nil)
		assert.Equal(t, 204, status)
		assert.ErrorIs(t, hub.Publish(httpserver.Event{}), httpserver.ErrHubClosed)
	})
}

// gate is a writer that lets a piece pass when its other side takes it.
type gate struct {
	header http.Header
	pieces chan string
	begun  chan struct{} // a piece has come to the gate
}

func newGate() *gate { return &gate{http.Header{}, make(chan string), make(chan struct{}, 1000)} }

func (g *gate) Header() http.Header { return g.header }
func (g *gate) WriteHeader(int)     {}
func (g *gate) Flush()              {}
func (g *gate) Write(p []byte) (int, error) {
	g.begun <- struct{}{}
	g.pieces <- string(p)
	return len(p), nil
}

// serveGate serves a hub's client behind a gate, which is closed when that has ended.
func serveGate(hub *httpserver.EventHub, ctx context.Context) *gate {
	g := newGate()
	r := httptest.NewRequest("GET", "/", nil).WithContext(ctx)
	go func() {
		defer close(g.pieces)
		defer func() { recover() }() // http.ErrAbortHandler
		httpserver.HandlerFunc(hub.Serve).ServeHTTP(g, r)
	}()
	return g
}

// TestEventHubSlow: a client that is too slow is told and dropped; others do not notice.
func TestEventHubSlow(t *testing.T) {
	hub := newHub(t, httpserver.EventHubConfig{Queue: 3, StallTimeout: -1})
	slow, quick := serveGate(hub, t.Context()), serveGate(hub, t.Context())
	<-slow.pieces
	<-slow.begun
	<-quick.pieces
	for i := range 5 { // does not wait for the slow one
		publish(t, hub, fmt.Sprint(i))
		assert.Contains(t, <-quick.pieces, fmt.Sprintf("data: %d\n\n", i))
		if i == 0 {
			<-slow.begun // is on its way, and not in the queue
		}
	}
	var got []string
	for p := range slow.pieces {
		got = append(got, p)
	}
	require.Len(t, got, 2, "what was on its way, and the end")
	assert.Contains(t, got[0], "data: 0\n")
	assert.Equal(t, "event: dropped\ndata: \n\n", got[1])
	assert.EqualValues(t, 1, hub.Dropped())
	publish(t, hub, "still there")
	assert.Contains(t, <-quick.pieces, "still there")
	hub.Close()
	_, open := <-quick.pieces
	assert.False(t, open)
	assert.Zero(t, hub.Clients())
}

// TestEventHubStalled: a client that takes nothing at all does not stay, by the hub's limit
// or by that of a Server.
func TestEventHubStalled(t *testing.T) {
	const stall = 50 * time.Millisecond
	ended := make(chan struct{})
	handler := func(hub *httpserver.EventHub) func(*http.Request, *httpserver.Responder) {
		return func(r *http.Request, w *httpserver.Responder) {
			defer func() { ended <- struct{}{} }()
			hub.Serve(r, w)
		}
	}
	for name, serveIt := range map[string]func() (http.Handler, *httpserver.EventHub){
		"HandlerFunc": func() (http.Handler, *httpserver.EventHub) {
			hub := newHub(t, httpserver.EventHubConfig{StallTimeout: stall})
			return httpserver.HandlerFunc(handler(hub)), hub
		},
		"Server": func() (http.Handler, *httpserver.EventHub) {
			hub := newHub(t, httpserver.EventHubConfig{StallTimeout: -1})
			srv, err := httpserver.NewServer(httpserver.Config{StallTimeout: stall, HTTP2Cleartext: true, ErrorLog: log.New(io.Discard, "", 0)})
			require.NoError(t, err)
			srv.Handle("/", handler(hub))
			return srv, hub
		},
	} {
		overBoth(t, func(t *testing.T, client *http.Client) {
			h, hub := serveIt()
			l := listenTo(t, client, "http://"+serve(t, h), "")
			data := strings.Repeat("x", 1<<20)
			for range 40 { // more than there is room for on the way
				publish(t, hub, data)
			}
			<-ended
			for {
				if _, err := l.next(); err != nil {
					assert.NotEqual(t, io.EOF, err, "%s: it is cut, and looks so", name)
					break
				}
			}
		})
	}
}

// TestEventHubClientGone: its handler ends, without events.
func TestEventHubClientGone(t *testing.T) {
	overBoth(t, func(t *testing.T, client *http.Client) {
		hub := newHub(t, httpserver.EventHubConfig{})
		ended := make(chan struct{})
		addr := serve(t, httpserver.HandlerFunc(func(r *http.Request, w *httpserver.Responder) {
			defer close(ended)
			hub.Serve(r, w)
		}))
		l := listenTo(t, client, "http://"+addr, "")
		assert.Equal(t, 1, hub.Clients())
		l.close()
		<-ended
		assert.Zero(t, hub.Clients())
		assert.Zero(t, hub.Dropped())
	})
}

// busy is a writer to which there is always more to write.
type busy struct {
	*httptest.ResponseRecorder
	wrote func()
}

func (b busy) Write(p []byte) (int, error) { b.wrote(); return len(p), nil }

// TestEventHubBusy: the end of the Context ends a stream whose events do not end.
func TestEventHubBusy(t *testing.T) {
	hub := newHub(t, httpserver.EventHubConfig{})
	ctx, cancel := context.WithCancel(t.Context())
	writes := 0
	w := busy{httptest.NewRecorder(), func() {
		if writes++; writes == 3 {
			cancel()
		}
		if writes < 1000 {
			publish(t, hub, "more")
		}
	}}
	h := httpserver.HandlerFunc(hub.Serve)
	assert.PanicsWithValue(t, http.ErrAbortHandler, func() { h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil).WithContext(ctx)) })
	assert.Less(t, writes, 100)
}

// TestEventHubShutdown: the end of a server is that of its streams, and they end whole.
func TestEventHubShutdown(t *testing.T) {
	overBoth(t, func(t *testing.T, client *http.Client) {
		hub := newHub(t, httpserver.EventHubConfig{})
		srv, err := httpserver.NewServer(httpserver.Config{HTTP2Cleartext: true, DrainTimeout: -1})
		require.NoError(t, err)
		srv.Handle("GET /events", hub.Serve)
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		served := make(chan error, 1)
		go func() { served <- srv.Serve(ln) }()
		l := listenTo(t, client, "http://"+ln.Addr().String()+"/events", "")
		publish(t, hub, "x")
		l.expect("x")
		down := make(chan error, 1)
		go func() { down <- srv.Shutdown(context.Background()) }()
		_, err = l.next()
		assert.Equal(t, io.EOF, err)
		client.CloseIdleConnections()
		assert.NoError(t, <-down)
		assert.ErrorIs(t, <-served, http.ErrServerClosed)
		assert.Zero(t, hub.Clients())
	})
	hub := newHub(t, httpserver.EventHubConfig{})
	s := httptest.NewUnstartedServer(httpserver.HandlerFunc(hub.Serve))
	s.Config.RegisterOnShutdown(hub.Close)
	s.Start()
	defer s.Close()
	l := listenTo(t, s.Client(), s.URL, "")
	assert.NoError(t, s.Config.Shutdown(t.Context()))
	_, err := l.next()
	assert.Equal(t, io.EOF, err)
}

// TestEventHubKeepAlive: a silent stream is kept alive, a busy one need not be.
func TestEventHubKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, err := httpserver.NewEventHub(httpserver.EventHubConfig{KeepAlive: time.Minute})
		require.NoError(t, err)
		g := serveGate(hub, t.Context())
		<-g.pieces
		start := time.Now()
		assert.Equal(t, ": keep-alive\n\n", <-g.pieces)
		assert.Equal(t, time.Minute, time.Since(start))
		time.Sleep(40 * time.Second)
		publish(t, hub, "x")
		assert.Contains(t, <-g.pieces, "data: x")
		assert.Equal(t, ": keep-alive\n\n", <-g.pieces)
		assert.Equal(t, 160*time.Second, time.Since(start))
		hub.Close()
		_, open := <-g.pieces
		assert.False(t, open)
	})
}

// TestEventHubMistakes: what cannot be sent, what cannot be configured, and the zero value.
func TestEventHubMistakes(t *testing.T) {
	hub := newHub(t, httpserver.EventHubConfig{})
	for _, v := range []httpserver.Event{{ID: "a\nb"}, {ID: "a\x00"}, {Name: "a\rb"}} {
		var refused *httpserver.HeaderError
		assert.ErrorAs(t, hub.Publish(v), &refused)
	}
	for field, c := range map[string]httpserver.EventHubConfig{
		"Queue must": {Queue: -1}, "KeepAlive must": {KeepAlive: -1}, "Retry must": {Retry: -1}, "Queue is": {Queue: 1<<20 + 1}, "History is": {History: 1 << 30},
	} {
		_, err := httpserver.NewEventHub(c)
		assert.ErrorContains(t, err, "EventHubConfig."+field)
	}
	var zero httpserver.EventHub
	assert.ErrorIs(t, zero.Publish(httpserver.Event{}), httpserver.ErrHubClosed)
	zero.Close()
	w := httptest.NewRecorder()
	httpserver.HandlerFunc(zero.Serve).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	assert.Equal(t, 204, w.Code)
	assert.Zero(t, zero.Clients())
	assert.Zero(t, zero.Dropped())

	w = httptest.NewRecorder()
	httpserver.HandlerFunc(func(r *http.Request, w *httpserver.Responder) {
		assert.NoError(t, w.WriteStatus())
		hub.Serve(r, w)
	}).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	assert.Equal(t, 200, w.Code)
	assert.Zero(t, hub.Clients())
}

// TestEventHubConcurrent: many publishers and clients that come and go, and Close.
func TestEventHubConcurrent(t *testing.T) {
	hub := newHub(t, httpserver.EventHubConfig{Queue: 1 << 12})
	url := serveHub(t, hub)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	const publishers, events = 4, 100
	stay := listenTo(t, client, url, "")
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			for i := range events {
				publish(t, hub, fmt.Sprintf("%d %d", p, i))
			}
		})
		wg.Go(func() {
			for range 10 {
				if resp, err := client.Get(url); assert.NoError(t, err) {
					resp.Body.Read(make([]byte, 100))
					resp.Body.Close()
				}
			}
		})
	}
	last := map[string]int{}
	for range publishers * events {
		got, err := stay.next()
		require.NoError(t, err)
		p, i, _ := strings.Cut(got, " ")
		require.Equal(t, fmt.Sprint(last[p]), i, "in the order of its publisher")
		last[p]++
	}
	closed := make(chan struct{})
	go func() { defer close(closed); hub.Close() }() // while some wait for events that do not come
	wg.Wait()
	<-closed
}

// countingWriter is a writer that counts the clients which have got an event.
type countingWriter struct {
	header http.Header
	got    *sync.WaitGroup
}

func (q countingWriter) Header() http.Header { return q.header }
func (q countingWriter) WriteHeader(int)     {}
func (q countingWriter) Flush()              {}
func (q countingWriter) Write(p []byte) (int, error) {
	q.got.Add(-bytes.Count(p, []byte("\n\n")))
	return len(p), nil
}

// BenchmarkEventHub publishes one event to many clients: how long Publish takes, and, as
// ns/op, how long it takes until all have it.
func BenchmarkEventHub(b *testing.B) {
	for _, clients := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprint(clients), func(b *testing.B) {
			hub, err := httpserver.NewEventHub(httpserver.EventHubConfig{})
			require.NoError(b, err)
			var got, ended sync.WaitGroup
			got.Add(clients) // their greetings
			for range clients {
				ended.Go(func() {
					httpserver.HandlerFunc(hub.Serve).ServeHTTP(countingWriter{http.Header{}, &got}, httptest.NewRequest("GET", "/", nil))
				})
			}
			got.Wait()
			v := httpserver.Event{Name: "n", Data: strings.Repeat("x", 100)}
			var publishing time.Duration
			b.ReportAllocs()
			for b.Loop() {
				got.Add(clients)
				start := time.Now()
				hub.Publish(v)
				publishing += time.Since(start)
				got.Wait()
			}
			b.ReportMetric(float64(publishing.Nanoseconds())/float64(b.N), "publish-ns/op")
			hub.Close()
			ended.Wait()
		})
	}
}
