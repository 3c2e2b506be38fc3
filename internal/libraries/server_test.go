package libraries

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/klauspost/compress/gzhttp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/cors"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/httpserver"
)

// sequential is a source of no known size.
type sequential struct{ io.Reader }

var foxes = strings.Repeat("the quick brown fox. ", 20_000)

// serverAnswers are what a Server's handlers do, by path, with the body that it gives; broken
// ones have none that is whole.
func serverAnswers(t *testing.T) map[string]struct {
	do     func(*httpserver.Responder) error
	body   string
	broken bool
} {
	file := filepath.Join(t.TempDir(), "f.txt")
	require.NoError(t, os.WriteFile(file, []byte(foxes), 0o600))
	type answer = struct {
		do     func(*httpserver.Responder) error
		body   string
		broken bool
	}
	return map[string]answer{
		"/data":   {func(w *httpserver.Responder) error { return w.WriteData([]byte(foxes), "text/plain") }, foxes, false},
		"/small":  {func(w *httpserver.Responder) error { return w.WriteData([]byte("x"), "text/plain") }, "x", false},
		"/empty":  {func(w *httpserver.Responder) error { return w.WriteStatus() }, "", false},
		"/reader": {func(w *httpserver.Responder) error { return w.WriteReader(strings.NewReader(foxes), "text/plain") }, foxes, false},
		"/sequential": {func(w *httpserver.Responder) error {
			return w.WriteReader(sequential{strings.NewReader(foxes)}, "text/plain")
		}, foxes, false},
		"/file": {func(w *httpserver.Responder) error {
			f, err := os.Open(file)
			if err != nil {
				return err
			}
			return w.WriteReader(f, "text/plain")
		}, foxes, false},
		"/content": {func(w *httpserver.Responder) error {
			return w.WriteContent("f.txt", time.Time{}, strings.NewReader(foxes), headers.Headers{})
		}, foxes, false},
		"/chunks": {func(w *httpserver.Responder) error {
			return errors.Join(w.WriteBeginChunked("text/plain"), w.WriteChunk([]byte("one")), w.WriteEndChunked([]byte("two")))
		}, "onetwo", false},
		"/events": {func(w *httpserver.Responder) error {
			e, err := w.Events()
			if err != nil {
				return err
			}
			return errors.Join(e.Send(httpserver.Event{Data: "x"}), e.Close())
		}, "data: x\n\n", false},
		"/unfinished": {func(w *httpserver.Responder) error {
			return errors.Join(w.WriteBeginChunked("text/plain"), w.WriteChunk([]byte(foxes)))
		}, "", true},
		"/short": {func(w *httpserver.Responder) error {
			return w.WriteReader(short{strings.NewReader(foxes)}, "text/plain")
		}, "", true},
	}
}

// short is a source that says it has more than it has.
type short struct{ *strings.Reader }

func (s short) Len() int { return s.Reader.Len() + 1 }

// listenAndServe serves a Server until the test ends.
func listenAndServe(t testing.TB, s *httpserver.Server) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		assert.ErrorIs(t, <-served, http.ErrServerClosed)
	})
	return "http://" + l.Addr().String()
}

// TestServerMiddleware: a Responder's answers are whole behind the middleware of others, or
// seen to be broken.
func TestServerMiddleware(t *testing.T) {
	registry := prometheus.NewRegistry()
	inFlight := prometheus.NewGauge(prometheus.GaugeOpts{Name: "in_flight"})
	count := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "requests_total"}, []string{"code", "method"})
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "duration_seconds"}, []string{"code"})
	size := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "size_bytes"}, []string{"code"})
	registry.MustRegister(inFlight, count, duration, size)
	gzip, err := gzhttp.NewWrapper()
	require.NoError(t, err)
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(sdktrace.NewSimpleSpanProcessor(tracetest.NewInMemoryExporter())))
	for name, middleware := range map[string]func(http.Handler) http.Handler{
		"otelhttp": otelhttp.NewMiddleware("test", otelhttp.WithTracerProvider(tracer)),
		"promhttp": func(h http.Handler) http.Handler {
			return promhttp.InstrumentHandlerInFlight(inFlight, promhttp.InstrumentHandlerCounter(count,
				promhttp.InstrumentHandlerDuration(duration, promhttp.InstrumentHandlerResponseSize(size, h))))
		},
		"gzhttp":                func(h http.Handler) http.Handler { return gzip(h) },
		"cors":                  cors.AllowAll().Handler,
		"CrossOriginProtection": http.NewCrossOriginProtection().Handler,
		"TimeoutHandler":        func(h http.Handler) http.Handler { return http.TimeoutHandler(h, time.Minute, "too late") },
	} {
		s, err := httpserver.NewServer(httpserver.Config{HTTP2Cleartext: true, ErrorLog: log.New(io.Discard, "", 0)})
		require.NoError(t, err)
		s.Use(middleware)
		all := serverAnswers(t)
		for path, answer := range all {
			s.Handle(path, func(_ *http.Request, w *httpserver.Responder) {
				if err := answer.do(w); !answer.broken && !errors.Is(err, httpserver.ErrBodyNotAllowed) {
					assert.NoError(t, err, "%s, %s", name, path)
				}
			})
		}
		s.Handle("/lost", func(*http.Request, *httpserver.Responder) {})
		s.AfterRequest(func(_ *http.Request, p *httpserver.Response) { p.Headers.Add("X-Hook", "1") })
		url := listenAndServe(t, s)
		for _, h2 := range []bool{false, true} {
			for _, coding := range []string{"identity", "gzip"} {
				rt := &http.Transport{Protocols: new(http.Protocols), DisableCompression: coding == "identity"}
				rt.Protocols.SetHTTP1(!h2)
				rt.Protocols.SetUnencryptedHTTP2(h2)
				client := &http.Client{Transport: rt}
				for path, answer := range all {
					what := fmt.Sprintf("%s, %s, HTTP/2 %v, %s", name, path, h2, coding)
					res, err := client.Get(url + path)
					if !answer.broken {
						require.NoError(t, err, what)
						assert.Equal(t, []string{"1"}, res.Header["X-Hook"], what)
					}
					if err == nil {
						var body []byte
						body, err = io.ReadAll(res.Body)
						res.Body.Close()
						if !answer.broken {
							assert.NoError(t, err, what)
							assert.True(t, answer.body == string(body), what)
						}
					}
					assert.Equal(t, answer.broken, err != nil, "%s: %v", what, err)
					if answer.broken {
						continue
					}
					res, err = client.Head(url + path)
					require.NoError(t, err, what)
					res.Body.Close()
					assert.Equal(t, 200, res.StatusCode, what)
				}
				res, err := client.Get(url + "/lost")
				require.NoError(t, err)
				res.Body.Close()
				assert.Equal(t, 500, res.StatusCode)
				rt.CloseIdleConnections()
			}
		}
	}
	assert.Zero(t, testutil.ToFloat64(inFlight))
	assert.Positive(t, testutil.ToFloat64(count.WithLabelValues("200", "get")))
}

// TestServerRanges: parts are parts behind a middleware that codes what it can.
func TestServerRanges(t *testing.T) {
	gzip, err := gzhttp.NewWrapper()
	require.NoError(t, err)
	s, err := httpserver.NewServer(httpserver.Config{})
	require.NoError(t, err)
	s.Use(func(h http.Handler) http.Handler { return gzip(h) })
	s.Handle("/", serverContent)
	req, err := http.NewRequest("GET", listenAndServe(t, s)+"/", nil)
	require.NoError(t, err)
	req.Header.Set("Range", "bytes=1000-1999")
	req.Header.Set("Accept-Encoding", "gzip")
	rt := &http.Transport{}
	defer rt.CloseIdleConnections()
	res, err := rt.RoundTrip(req)
	require.NoError(t, err)
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	assert.Equal(t, 206, res.StatusCode)
	assert.True(t, bytes.Equal([]byte(foxes)[1000:2000], got))
}

func serverContent(_ *http.Request, w *httpserver.Responder) {
	w.WriteContent("f.txt", time.Time{}, strings.NewReader(foxes), headers.Headers{})
}

// outlast waits until a client that is silent has met the limits of its Server.
func outlast(t *testing.T, url string) {
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	require.NoError(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "GET / HTTP/1.1\r\n")
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, c)
	require.NoError(t, err)
}

// TestServerWebSocket: on a Server, behind middleware, beyond the time of its limits.
func TestServerWebSocket(t *testing.T) {
	tracer := sdktrace.NewTracerProvider()
	s, err := httpserver.NewServer(httpserver.Config{StallTimeout: 20 * time.Millisecond, KeepAliveTimeout: 20 * time.Millisecond})
	require.NoError(t, err)
	s.HandleHTTP("/echo", echoMessages(nil))
	s.HandleHTTP("/forbidden", echoMessages(nil))
	s.Use(otelhttp.NewMiddleware("test", otelhttp.WithTracerProvider(tracer)))
	url := listenAndServe(t, s)
	ctx := deadline(t)
	rt := &http.Transport{}
	defer rt.CloseIdleConnections()
	options := &websocket.DialOptions{HTTPClient: &http.Client{Transport: rt}}
	conn, _, err := websocket.Dial(ctx, url+"/echo", options)
	require.NoError(t, err)
	defer conn.CloseNow()
	for range 3 {
		_, res, err := websocket.Dial(ctx, url+"/forbidden", options)
		require.Error(t, err)
		assert.Equal(t, http.StatusForbidden, res.StatusCode)
		outlast(t, url)
		require.NoError(t, conn.Write(ctx, websocket.MessageText, []byte("hello")))
		_, got, err := conn.Read(ctx)
		require.NoError(t, err)
		assert.Equal(t, "hello", string(got))
	}
	require.NoError(t, conn.Close(websocket.StatusNormalClosure, ""))
}
