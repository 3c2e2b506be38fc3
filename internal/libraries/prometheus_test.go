package libraries

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/testserver"
)

func TestPrometheus(t *testing.T) {
	each(t, testserver.Kinds, func(t *testing.T, c *client) {
		inFlight := prometheus.NewGauge(prometheus.GaugeOpts{Name: "in_flight", Help: "Requests in flight."})
		requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "requests_total", Help: "Requests."}, []string{"code", "method"})
		duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "duration_seconds", Help: "Duration."}, []string{"code"})
		s, rt := c.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/missing" {
				w.WriteHeader(http.StatusNotFound)
			}
			fmt.Fprint(w, testutil.ToFloat64(inFlight), " in flight")
		}))
		client := &http.Client{Transport: promhttp.InstrumentRoundTripperInFlight(inFlight,
			promhttp.InstrumentRoundTripperCounter(requests, promhttp.InstrumentRoundTripperDuration(duration, rt)))}

		for _, path := range []string{"/", "/", "/missing"} {
			res, err := client.Get(s.URL + path)
			require.NoError(t, err)
			assert.Equal(t, "1 in flight", readAll(t, res))
		}
		res, err := client.Post(s.URL, "text/plain", strings.NewReader("body"))
		require.NoError(t, err)
		assert.Equal(t, "1 in flight", readAll(t, res))
		_, err = client.Get("http://" + testserver.Refusing(t))
		require.Error(t, err)

		assert.Zero(t, testutil.ToFloat64(inFlight))
		require.NoError(t, testutil.CollectAndCompare(requests, strings.NewReader(`
			# HELP requests_total Requests.
			# TYPE requests_total counter
			requests_total{code="200",method="get"} 2
			requests_total{code="200",method="post"} 1
			requests_total{code="404",method="get"} 1
		`)))
		assert.Equal(t, 2, testutil.CollectAndCount(duration), "of the two status codes")
	})
}

// TestPrometheusTrace: each hook of promhttp.InstrumentTrace, in their order.
func TestPrometheusTrace(t *testing.T) {
	each(t, []testserver.Kind{testserver.Plain, testserver.TLS, testserver.H2}, func(t *testing.T, c *client) {
		s, rt := c.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, "answer")
		}))
		var mu sync.Mutex
		var calls []string
		hook := func(name string) func(float64) {
			return func(seconds float64) {
				mu.Lock()
				defer mu.Unlock()
				assert.GreaterOrEqual(t, seconds, 0.0)
				calls = append(calls, name)
			}
		}
		client := &http.Client{Transport: promhttp.InstrumentRoundTripperTrace(&promhttp.InstrumentTrace{
			DNSStart: hook("dns start"), DNSDone: hook("dns done"),
			ConnectStart: hook("connect start"), ConnectDone: hook("connect done"),
			TLSHandshakeStart: hook("tls start"), TLSHandshakeDone: hook("tls done"),
			GotConn: hook("got conn"), WroteHeaders: hook("wrote headers"), WroteRequest: hook("wrote request"),
			GotFirstResponseByte: hook("first byte"), PutIdleConn: hook("idle"),
		}, rt)}
		recorded := func() []string {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(calls)
		}
		check := func(want []string) {
			t.Helper()
			mu.Lock()
			calls = nil
			mu.Unlock()
			res, err := client.Get(strings.Replace(s.URL, "127.0.0.1", resolvable, 1))
			require.NoError(t, err)
			assert.Equal(t, "answer", readAll(t, res))
			if c.kind != testserver.H2 {
				assert.Equal(t, want, recorded())
				return
			}
			// A request on a shared connection may be reported as sent when its response has come.
			require.Eventually(t, func() bool { return len(recorded()) >= len(want) }, waitFor, tick)
			assert.ElementsMatch(t, want, recorded())
		}
		connecting := []string{"dns start", "dns done", "connect start", "connect done"}
		if c.kind != testserver.Plain {
			connecting = append(connecting, "tls start", "tls done")
		}
		exchange := []string{"got conn", "wrote headers", "wrote request", "first byte"}
		if c.kind != testserver.H2 {
			exchange = append(exchange, "idle")
		}
		check(append(connecting, exchange...))
		check(exchange) // on the kept connection
	})
}
