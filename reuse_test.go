package netreply_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

var reuseMark = netreply.NewUserAttribute[string]("mark")

// told is all that a reply says.
type told struct {
	err                                error
	status                             int
	reason, url, method                string
	fields, body, trailers             string
	length, wire                       int64
	http2, tls, encrypted, addrs, done bool
	user                               string
	events                             []string
	target                             string
}

// tell asks a reply for everything, and reads its body.
func tell(t *testing.T, r *netreply.Reply) told {
	var x told
	x.err, x.status = r.Err(), r.StatusCode()
	x.reason, _ = netreply.HTTPReasonPhrase.Of(r)
	x.user, _ = reuseMark.OfReply(r)
	x.url, x.method = r.URL().String(), r.Method()
	h := r.Headers()
	for name, value := range h.All() {
		if !strings.EqualFold(name, "Date") {
			x.fields += name + ": " + value + "\n"
		}
	}
	trailers := r.Trailers()
	for name, value := range trailers.All() {
		x.trailers += name + ": " + value + "\n"
	}
	x.length, _ = netreply.ContentLengthHeader.Get(h)
	x.wire = r.WireBytes()
	x.http2, _ = netreply.HTTP2WasUsed.Of(r)
	x.encrypted, _ = netreply.ConnectionEncrypted.Of(r)
	x.done, x.addrs, x.tls = r.IsFinished(), r.RemoteAddr() != nil, r.SSLConfiguration().Version != 0
	if u, ok := netreply.RedirectionTarget.Of(r); ok {
		x.target = u.String()
	}
	for e := range r.Events(t.Context()) {
		name := strings.TrimPrefix(fmt.Sprintf("%T", e), "netreply.")
		if name != "ReadyRead" && name != "DownloadProgress" && name != "SocketStartedConnecting" && name != "Encrypted" {
			x.events = append(x.events, name)
		}
	}
	x.events = slices.Compact(x.events) // a connection that had ended makes a second RequestSent
	var body bytes.Buffer
	r.WriteTo(&body)
	x.body = body.String()
	return x
}

// reuseHandler answers every path in its own way.
func reuseHandler(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	w.Header().Set("X-Path", r.URL.Path)
	switch r.URL.Path {
	case "/404":
		w.Header().Set("X-Secret", "of 404")
		w.WriteHeader(404)
		io.WriteString(w, "nothing here")
	case "/204":
		w.WriteHeader(204)
	case "/trailer":
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "with a trailer")
		w.Header().Set("X-Sum", "1")
	case "/redirect":
		http.Redirect(w, r, "/small", http.StatusFound)
	case "/cookie":
		w.Header().Set("Set-Cookie", "a=b; Path=/never")
	case "/early":
		w.Header().Set("Link", "</style>")
		w.WriteHeader(103)
		io.WriteString(w, "after a hint")
	case "/large":
		w.Write(bytes.Repeat([]byte("large "), 1<<15))
	case "/cut":
		w.Header().Set("Content-Length", "1000")
		io.WriteString(w, "cut")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	case "/hang":
		<-r.Context().Done()
	case "/many":
		for i := range 100 {
			w.Header().Set(fmt.Sprint("X-Many-", i), "value")
		}
	case "/gzip":
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(gzipped("decoded"))
	default:
		w.Header().Set("Content-Length", "5")
		io.WriteString(w, "small")
	}
}

// reuseCases are requests, each with what it leaves behind.
func reuseCases(t *testing.T, s *fixture) map[string]func(context.Context) (context.Context, string, *netreply.Request, netreply.Body) {
	cases := map[string]func(context.Context) (context.Context, string, *netreply.Request, netreply.Body){}
	for _, path := range []string{"small", "404", "204", "trailer", "redirect", "cookie", "early", "large", "cut", "many", "gzip"} {
		cases[path] = func(ctx context.Context) (context.Context, string, *netreply.Request, netreply.Body) {
			return ctx, "GET", s.request("/" + path), nil
		}
	}
	with := func(name, verb, path string, change func(*netreply.Request), body func() netreply.Body) {
		cases[name] = func(ctx context.Context) (context.Context, string, *netreply.Request, netreply.Body) {
			q := s.request(path)
			change(q)
			var b netreply.Body
			if body != nil {
				b = body()
			}
			return ctx, verb, q, b
		}
	}
	nothing := func(*netreply.Request) {}
	with("post", "POST", "/small", nothing, func() netreply.Body { return netreply.BytesBody([]byte("memory")) })
	with("upload", "PUT", "/small", func(q *netreply.Request) { q.DoNotBufferUploadData = true },
		func() netreply.Body { return netreply.ReaderBody(strings.NewReader(strings.Repeat("x", 1<<17))) })
	with("head", "HEAD", "/large", nothing, nil)
	with("refused redirect", "GET", "/redirect", func(q *netreply.Request) { q.RedirectPolicy = netreply.ManualRedirectPolicy }, nil)
	with("invalid", "GET", "/small", func(q *netreply.Request) { q.MaxBodySize = 2 }, nil)
	with("header", "GET", "/small", func(q *netreply.Request) { q.Headers.Set("X-Own", "secret"); reuseMark.Set(q, "secret") }, nil)
	with("timeout", "GET", "/hang", func(q *netreply.Request) { q.TransferTimeout = 5 * time.Millisecond }, nil)
	with("time limit", "GET", "/small", func(q *netreply.Request) { q.TransferTimeout = time.Hour; q.MinRate = 1 }, nil)
	with("data", "GET", "", func(q *netreply.Request) { *q = *newRequest(t, "data:text/plain,from%20a%20URL") }, nil)
	cases["canceled"] = func(ctx context.Context) (context.Context, string, *netreply.Request, netreply.Body) {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		return ctx, "GET", s.request("/small"), nil
	}
	cases["deadline"] = func(ctx context.Context) (context.Context, string, *netreply.Request, netreply.Body) {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
		t.Cleanup(cancel)
		return ctx, "GET", s.request("/hang"), nil
	}
	return cases
}

// TestFetchInto: whatever the last request of a Reply was, the next one says what it says with a
// new Reply, and nothing else.
func TestFetchInto(t *testing.T) {
	eachProtocol(t, reuseHandler, netreply.Config{}, func(t *testing.T, s *fixture) {
		cases := reuseCases(t, s)
		want := map[string]told{}
		for name, c := range cases {
			ctx, verb, q, body := c(t.Context())
			r := s.m.Fetch(ctx, verb, q, body)
			want[name] = tell(t, r)
			assert.True(t, want[name].done, name)
		}
		for first, a := range cases {
			for second, b := range cases {
				if strings.Contains("timeout deadline large", first) && strings.Contains("timeout deadline large", second) && first != second {
					continue // takes time
				}
				var r netreply.Reply
				for _, step := range []struct {
					name string
					c    func(context.Context) (context.Context, string, *netreply.Request, netreply.Body)
				}{{first, a}, {second, b}, {"small", cases["small"]}, {second, b}} {
					ctx, verb, q, body := step.c(t.Context())
					err := s.m.FetchInto(ctx, &r, verb, q, body)
					got := tell(t, &r)
					assert.Equal(t, got.err, err)
					w := want[step.name]
					assert.Equal(t, code(w.err), code(err), "%s after %s", step.name, first)
					got.err, w.err = nil, nil
					if step.name == "cut" {
						got.body, w.body = "", "" // more or less of it has come
						got.wire, w.wire = 0, 0
					}
					if step.name == "timeout" || step.name == "deadline" { // before or after the connection
						got.tls, got.addrs, got.events = w.tls, w.addrs, w.events
					}
					require.Equal(t, w, got, "%s after %s", step.name, first)
				}
			}
		}
	})
}

// code is the code of an error, for comparison.
func code(err error) netreply.NetworkError {
	var e *netreply.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return netreply.NoError
}

// TestFetchIntoKeeps: what was taken from a Reply stays what it is when the Reply is used again.
func TestFetchIntoKeeps(t *testing.T) {
	eachProtocol(t, reuseHandler, netreply.Config{}, func(t *testing.T, s *fixture) {
		var r netreply.Reply
		err := s.m.FetchInto(t.Context(), &r, "GET", s.request("/404"), nil)
		require.ErrorIs(t, err, netreply.ContentNotFoundError)
		text, h, u, ctx, finished := err.Error(), r.Headers(), r.URL(), r.Context(), r.Finished()
		body, readErr := r.ReadAll()
		require.Error(t, readErr)
		for range 3 {
			require.NoError(t, s.m.FetchInto(t.Context(), &r, "GET", s.request("/small"), nil))
			assert.NoError(t, context.Cause(t.Context()))
			assert.Equal(t, "small", string(readAll(t, &r)))
			assert.Error(t, ctx.Err())
			assert.NotSame(t, ctx, r.Context())
		}
		assert.Equal(t, text, err.Error())
		assert.Equal(t, "of 404", h.Get("X-Secret"))
		assert.Equal(t, "/404", u.Path)
		assert.Equal(t, "nothing here", string(body))
		_, open := <-finished
		assert.True(t, open, "one value")
		_, open = <-finished
		assert.False(t, open)
	})
}

// TestFetchIntoRefuses: a Reply that is in use is refused, and left as it is.
func TestFetchIntoRefuses(t *testing.T) {
	eachProtocol(t, reuseHandler, netreply.Config{}, func(t *testing.T, s *fixture) {
		refused := func(m *netreply.Manager, r *netreply.Reply) {
			t.Helper()
			assert.ErrorIs(t, m.FetchInto(t.Context(), r, "GET", s.request("/small"), nil), netreply.ErrReplyInUse)
		}
		for _, r := range []*netreply.Reply{s.m.Get(t.Context(), s.request("/404")), s.m.Fetch(t.Context(), "GET", s.request("/404"), nil)} {
			refused(s.m, r)
			assert.ErrorIs(t, r.Wait(deadline(t)), netreply.ContentNotFoundError)
			refused(s.m, r)
			assert.Equal(t, 404, r.StatusCode())
		}
		var r netreply.Reply
		q := s.request("/small")
		inside := 0
		q.OnSignal = func(r *netreply.Reply, e netreply.Event) {
			inside++
			refused(s.m, r)
		}
		require.NoError(t, s.m.FetchInto(t.Context(), &r, "GET", q, nil))
		assert.Positive(t, inside)
		refused(newManager(t, netreply.Config{}), &r)
		assert.Equal(t, 200, r.StatusCode())
		require.NoError(t, s.m.FetchInto(t.Context(), &r, "GET", s.request("/small"), nil))

		var field *netreply.FieldError
		assert.ErrorAs(t, s.m.FetchInto(t.Context(), nil, "GET", q, nil), &field)
		var none *netreply.Manager
		assert.ErrorIs(t, none.FetchInto(t.Context(), &netreply.Reply{}, "GET", q, nil), netreply.ProtocolInvalidOperationError)
		assert.ErrorIs(t, new(netreply.Manager).FetchInto(t.Context(), &netreply.Reply{}, "GET", q, nil), netreply.ProtocolInvalidOperationError)
		s.m.Close()
		assert.ErrorIs(t, s.m.FetchInto(t.Context(), &r, "GET", s.request("/small"), nil), netreply.OperationCanceledError)
		assert.ErrorIs(t, s.m.FetchInto(t.Context(), &r, "GET", s.request("/small"), nil), netreply.OperationCanceledError)
	})
}

// TestFetchIntoPanics: after a callback that has panicked, the Reply can be used again.
func TestFetchIntoPanics(t *testing.T) {
	eachProtocol(t, reuseHandler, netreply.Config{}, func(t *testing.T, s *fixture) {
		var r netreply.Reply
		for range 3 {
			q := s.request("/small")
			q.OnSignal = func(_ *netreply.Reply, e netreply.Event) {
				if _, head := e.(netreply.MetaDataChanged); head {
					panic("callback")
				}
			}
			assert.PanicsWithValue(t, "callback", func() { s.m.FetchInto(t.Context(), &r, "GET", q, nil) })
			assert.ErrorIs(t, r.Err(), netreply.OperationCanceledError)
			require.NoError(t, s.m.FetchInto(t.Context(), &r, "GET", s.request("/small"), nil))
			assert.Equal(t, "small", string(readAll(t, &r)))
		}
	})
}

// TestFetchIntoAborted: an Abort, the end of a context and a time limit that come late never end the
// next request. Each worker has its Reply, which others abort at any time.
func TestFetchIntoAborted(t *testing.T) {
	eachProtocol(t, reuseHandler, netreply.Config{}, func(t *testing.T, s *fixture) {
		var wg sync.WaitGroup
		for worker := range 4 {
			wg.Go(func() {
				r := new(netreply.Reply)
				for i := range 60 {
					ctx, cancel := context.WithCancel(t.Context())
					q := s.request("/small")
					ended := make(chan struct{})
					switch way := (worker + i) % 4; way {
					case 0:
						go func() { defer close(ended); cancel() }()
					case 1:
						go func() { defer close(ended); r.Abort() }()
					case 2:
						q.TransferTimeout = time.Duration(1+i) * 20 * time.Microsecond
						close(ended)
					default:
						close(ended)
					}
					s.m.FetchInto(ctx, r, "GET", q, nil)
					if err := s.m.FetchInto(t.Context(), r, "GET", s.request("/404"), nil); (worker+i)%4 != 1 {
						assert.ErrorIs(t, err, netreply.ContentNotFoundError)
						assert.Equal(t, "nothing here", tell(t, r).body)
					}
					<-ended
					cancel()
				}
			})
		}
		wg.Wait()
	})
}

// TestFetchIntoAllocations: what a GET on a kept connection allocates.
func TestFetchIntoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	s := fixed(t, small)
	m := newManager(t, netreply.Config{})
	req := newRequest(t, s.URL())
	var r netreply.Reply
	var body bytes.Buffer
	n := leastAllocs(func() {
		body.Reset()
		if err := m.FetchInto(context.Background(), &r, "GET", req, nil); err != nil {
			t.Error(err)
		}
		if _, err := r.WriteTo(&body); err != nil || body.Len() != 1024 {
			t.Error(err)
		}
	})
	t.Logf("%.0f allocations", n)
	most := 43.0 // with net/http's connection
	if netreply.OwnHTTP1 {
		most = 2
	}
	assert.LessOrEqual(t, n, most)
}

func BenchmarkFetchInto(b *testing.B) {
	s := fixed(b, small)
	m := newManager(b, netreply.Config{})
	req := newRequest(b, s.URL())
	var r netreply.Reply
	var body bytes.Buffer
	b.ReportAllocs()
	for b.Loop() {
		body.Reset()
		if err := m.FetchInto(context.Background(), &r, "GET", req, nil); err != nil {
			b.Fatal(err)
		}
		r.WriteTo(&body)
	}
}

func readAll(t *testing.T, r *netreply.Reply) []byte {
	body, err := r.ReadAll()
	require.NoError(t, err)
	return body
}
