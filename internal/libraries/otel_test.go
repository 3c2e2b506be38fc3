package libraries

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/contrib/instrumentation/net/http/httptrace/otelhttptrace"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/netreply/netreply/internal/testserver"
)

// telemetry collects what OpenTelemetry records.
type telemetry struct {
	spans    *tracetest.SpanRecorder
	tracing  *trace.TracerProvider
	metering *metric.MeterProvider
	metrics  *metric.ManualReader
}

func newTelemetry(t testing.TB) *telemetry {
	o := &telemetry{spans: tracetest.NewSpanRecorder(), metrics: metric.NewManualReader()}
	o.tracing = trace.NewTracerProvider(trace.WithSpanProcessor(o.spans))
	o.metering = metric.NewMeterProvider(metric.WithReader(o.metrics))
	t.Cleanup(func() {
		o.tracing.Shutdown(context.Background())
		o.metering.Shutdown(context.Background())
	})
	return o
}

func (o *telemetry) client(rt http.RoundTripper, more ...otelhttp.Option) *http.Client {
	return &http.Client{Transport: otelhttp.NewTransport(rt, append(more, otelhttp.WithTracerProvider(o.tracing),
		otelhttp.WithMeterProvider(o.metering), otelhttp.WithPropagators(propagation.TraceContext{}))...)}
}

// ended returns the attributes of the last span, which has ended.
func (o *telemetry) ended(t testing.TB, number int) (trace.ReadOnlySpan, map[string]string) {
	t.Helper()
	spans := o.spans.Ended()
	require.Len(t, spans, number)
	span := spans[number-1]
	attributes := map[string]string{}
	for _, a := range span.Attributes() {
		attributes[string(a.Key)] = a.Value.String()
	}
	return span, attributes
}

func TestOpenTelemetrySpans(t *testing.T) {
	each(t, testserver.Kinds, func(t *testing.T, c *client) {
		s, rt := c.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/missing" {
				w.WriteHeader(http.StatusNotFound)
			}
			fmt.Fprint(w, r.Header.Get("Traceparent"))
		}))
		o := newTelemetry(t)
		client := o.client(rt)
		ctx := deadline(t)
		address, err := url.Parse(s.URL)
		require.NoError(t, err)

		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/found", nil)
		require.NoError(t, err)
		res, err := client.Do(req)
		require.NoError(t, err)
		assert.Empty(t, o.spans.Ended(), "the body is not read yet")
		traceparent := readAll(t, res)
		span, attributes := o.ended(t, 1)
		assert.Equal(t, fmt.Sprintf("00-%s-%s-01", span.SpanContext().TraceID(), span.SpanContext().SpanID()), traceparent)
		assert.Empty(t, req.Header, "the caller's request stays as it was")
		assert.Equal(t, codes.Unset, span.Status().Code)
		assert.Equal(t, "GET", attributes["http.request.method"])
		assert.Equal(t, "200", attributes["http.response.status_code"])
		assert.Equal(t, s.URL+"/found", attributes["url.full"])
		assert.Equal(t, "127.0.0.1", attributes["server.address"])
		assert.Equal(t, address.Port(), attributes["server.port"])
		assert.Equal(t, strings.TrimPrefix(c.version(), "HTTP/"), attributes["network.protocol.version"])

		res, err = client.Get(s.URL + "/missing")
		require.NoError(t, err)
		readAll(t, res)
		span, attributes = o.ended(t, 2)
		assert.Equal(t, codes.Error, span.Status().Code)
		assert.Equal(t, "404", attributes["http.response.status_code"])

		// A body that is closed early ends its span too.
		res, err = client.Get(s.URL + "/found")
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		o.ended(t, 3)
	})
}

func TestOpenTelemetryFailures(t *testing.T) {
	each(t, []testserver.Kind{testserver.Plain, testserver.H2C}, func(t *testing.T, c *client) {
		o := newTelemetry(t)
		s, rt := c.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, "half")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}))
		client := o.client(rt)
		_, err := client.Get("http://" + testserver.Refusing(t))
		require.Error(t, err)
		span, attributes := o.ended(t, 1)
		assert.Equal(t, codes.Error, span.Status().Code)
		assert.Contains(t, span.Status().Description, "refused")
		assert.NotEmpty(t, attributes["error.type"])

		res, err := client.Get(s.URL)
		require.NoError(t, err)
		b, err := io.ReadAll(res.Body)
		assert.Equal(t, "half", string(b))
		require.Error(t, err)
		require.NoError(t, res.Body.Close())
		span, _ = o.ended(t, 2)
		assert.Equal(t, codes.Error, span.Status().Code)
	})
}

// TestOpenTelemetryMetrics: the size of a request is counted while the transport reads its
// body, and recorded when the transport closes it.
func TestOpenTelemetryMetrics(t *testing.T) {
	each(t, testserver.Kinds, func(t *testing.T, c *client) {
		s, rt := c.serve(t, http.HandlerFunc(echo))
		o := newTelemetry(t)
		res, err := o.client(rt).Post(s.URL, "text/plain", strings.NewReader(strings.Repeat("x", 100_000)))
		require.NoError(t, err)
		assert.Len(t, readAll(t, res), 100_000)
		sums := map[string]int64{}
		require.Eventually(t, func() bool { // a transport may close a request's body later
			var got metricdata.ResourceMetrics
			require.NoError(t, o.metrics.Collect(t.Context(), &got))
			for _, scope := range got.ScopeMetrics {
				for _, m := range scope.Metrics {
					if h, ok := m.Data.(metricdata.Histogram[int64]); ok && len(h.DataPoints) == 1 {
						sums[m.Name] = h.DataPoints[0].Sum
					}
				}
			}
			return len(sums) > 0
		}, waitFor, tick)
		assert.Equal(t, map[string]int64{"http.client.request.body.size": 100_000}, sums)
	})
}

// TestOpenTelemetryClientTrace: the hooks of a httptrace.ClientTrace make spans of their
// own, which all end.
func TestOpenTelemetryClientTrace(t *testing.T) {
	each(t, []testserver.Kind{testserver.Plain, testserver.TLS, testserver.H2}, func(t *testing.T, c *client) {
		s, rt := c.serve(t, http.HandlerFunc(echo))
		o := newTelemetry(t)
		client := o.client(rt, otelhttp.WithClientTrace(func(ctx context.Context) *httptrace.ClientTrace {
			return otelhttptrace.NewClientTrace(ctx, otelhttptrace.WithTracerProvider(o.tracing))
		}))
		names := func() (list []string) {
			for _, span := range o.spans.Ended() {
				list = append(list, span.Name())
			}
			slices.Sort(list)
			return list
		}
		post := func() {
			res, err := client.Post(strings.Replace(s.URL, "127.0.0.1", resolvable, 1), "text/plain", strings.NewReader("body"))
			require.NoError(t, err)
			require.Equal(t, "body", readAll(t, res))
		}
		post()
		exchange := []string{"HTTP POST", "http.getconn", "http.headers", "http.receive", "http.send"}
		if c.kind == testserver.H2 {
			// http.receive ends with PutIdleConn, which is not called for a shared connection.
			exchange = slices.Delete(exchange, 3, 4)
		}
		want := append([]string{"http.connect", "http.dns"}, exchange...)
		if c.kind != testserver.Plain {
			want = append(want, "http.tls")
		}
		check := func(want []string) {
			t.Helper()
			// A request on a shared connection may be reported as sent when its response has come.
			require.Eventually(t, func() bool { return len(names()) >= len(want) }, waitFor, tick)
			assert.ElementsMatch(t, want, names())
			o.spans.Reset()
		}
		check(want)
		post()
		check(exchange) // on the kept connection
	})
}

// TestOpenTelemetryCertificate: what fails in the TLS handshake fails in its span.
func TestOpenTelemetryCertificate(t *testing.T) {
	each(t, []testserver.Kind{testserver.TLS}, func(t *testing.T, c *client) {
		s, _ := c.serve(t, http.NotFoundHandler())
		o := newTelemetry(t)
		client := o.client(c.transport(t, &tls.Config{}), otelhttp.WithClientTrace(func(ctx context.Context) *httptrace.ClientTrace {
			return otelhttptrace.NewClientTrace(ctx, otelhttptrace.WithTracerProvider(o.tracing))
		}))
		_, err := client.Get(s.URL)
		require.ErrorContains(t, err, "certificate")
		status := map[string]codes.Code{}
		for _, span := range o.spans.Ended() {
			status[span.Name()] = span.Status().Code
		}
		assert.Equal(t, codes.Error, status["http.tls"])
		assert.Equal(t, codes.Error, status["HTTP GET"])
	})
}
