package httpserver_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/httpserver"
)

// untilError calls f until it fails.
func untilError(f func() error) error {
	for {
		if err := f(); err != nil {
			return err
		}
	}
}

// TestErrClientGone: whatever call finds out, and on what connection.
func TestErrClientGone(t *testing.T) {
	const much = 64 << 20
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(dir+"/f", nil, 0o600))
	require.NoError(t, os.Truncate(dir+"/f", much))
	data := make([]byte, much)
	forever := func(yield func(int, error) bool) {
		for yield(1, nil) {
		}
	}
	for call, do := range map[string]func(*httpserver.Responder) error{
		"WriteData":   func(w *httpserver.Responder) error { return w.WriteData(data, "a/b") },
		"WriteReader": func(w *httpserver.Responder) error { return w.WriteReader(bytes.NewReader(data), "a/b") },
		"sequential":  func(w *httpserver.Responder) error { return w.WriteReader(sequential{bytes.NewReader(data)}, "a/b") },
		"WriteContent": func(w *httpserver.Responder) error {
			return w.WriteContent("f", time.Time{}, bytes.NewReader(data), headers.Headers{})
		},
		"WriteFile":    func(w *httpserver.Responder) error { return w.WriteFile(os.DirFS(dir), "f", httpserver.FileOptions{}) },
		"SendResponse": func(w *httpserver.Responder) error { return w.SendResponse(httpserver.FileResponse(dir + "/f")) },
		"lines":        func(w *httpserver.Responder) error { return httpserver.WriteJSONLines(w, forever) },
		"chunks": func(w *httpserver.Responder) error {
			if err := w.WriteBeginChunked("a/b"); err != nil {
				return err
			}
			err := untilError(func() error { return w.WriteChunk(data[:1<<20]) })
			assert.ErrorIs(t, w.WriteChunk(data[:10]), httpserver.ErrClientGone, "again")
			return err
		},
		"events": func(w *httpserver.Responder) error {
			e, err := w.Events()
			if err != nil {
				return err
			}
			return untilError(func() error { return e.Send(httpserver.Event{Data: string(data[:1<<10])}) })
		},
		"waiting items": func(w *httpserver.Responder) error {
			return httpserver.WriteJSONArray(w, func(yield func(int, error) bool) {
				if yield(1, nil) {
					<-w.Context().Done()
				}
			})
		},
	} {
		begun, over := make(chan struct{}, 1), make(chan error, 1)
		for way, addr := range ways(t, func(_ *http.Request, w *httpserver.Responder) {
			begun <- struct{}{}
			over <- do(w)
		}) {
			for proto, request := range map[string]string{"h1": "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "h2": requestH2("GET")} {
				c := send(t, addr, request)
				within(t, begun, "the handler begins: "+call+", "+way+", "+proto)
				c.Close()
				assert.ErrorIs(t, within(t, over, "the call returns: "+call+", "+way+", "+proto), httpserver.ErrClientGone, "%s, %s, %s", call, way, proto)
			}
		}
	}
}

// TestNotTheClient: an end of the Context, or an error of writing, that is middleware's is not
// blamed on the client.
func TestNotTheClient(t *testing.T) {
	boom := errors.New("boom")
	var sum httpserver.Summary
	var got error
	handle := func(c httpserver.Config, middleware func(http.Handler) http.Handler, f answer) http.Handler {
		c.ErrorLog = quiet()
		s := newServer(t, c)
		s.Handle("/", f)
		s.Finished(func(_ *http.Request, of httpserver.Summary) { sum = of })
		s.Use(middleware)
		return s
	}
	ending := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithCancelCause(r.Context())
			cancel(boom)
			h.ServeHTTP(w, r.WithContext(ctx))
		})
	}
	asked(handle(httpserver.Config{}, ending, func(_ *http.Request, w *httpserver.Responder) {
		<-w.Context().Done()
	}), "GET", "/", nil)
	assert.ErrorIs(t, sum.Err, httpserver.ErrNoAnswer)
	assert.ErrorIs(t, sum.Err, boom)
	assert.NotErrorIs(t, sum.Err, httpserver.ErrClientGone)
	asked(handle(httpserver.Config{}, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithCancel(r.Context())
			cancel()
			h.ServeHTTP(w, r.WithContext(ctx))
		})
	}, func(_ *http.Request, w *httpserver.Responder) {
		got = httpserver.WriteJSONLines(w, httpserver.Values(func(yield func(int) bool) { yield(1) }))
	}), "GET", "/", nil)
	assert.ErrorIs(t, got, context.Canceled)
	assert.NotErrorIs(t, got, httpserver.ErrClientGone)
	assert.Panics(t, func() {
		asked(handle(httpserver.Config{}, func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(failingWriter{w, boom}, r) })
		}, func(_ *http.Request, w *httpserver.Responder) { got = w.WriteJSON(1) }), "GET", "/", nil)
	})
	assert.ErrorIs(t, sum.Err, boom)
	assert.ErrorIs(t, got, boom)
	assert.NotErrorIs(t, got, httpserver.ErrClientGone)
	synctest.Test(t, func(t *testing.T) {
		over := make(chan error, 1)
		h := http.TimeoutHandler(httpserver.HandlerFunc(func(_ *http.Request, w *httpserver.Responder) {
			time.Sleep(time.Minute)
			over <- w.WriteJSON(1)
		}), time.Second, "late")
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		err := <-over
		assert.ErrorIs(t, err, http.ErrHandlerTimeout)
		assert.NotErrorIs(t, err, httpserver.ErrClientGone)
	})
}

// failingWriter is middleware's writer that cannot write.
type failingWriter struct {
	http.ResponseWriter
	err error
}

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

// TestNewBesideWriter: what a handler writes past its Responder is its answer, where a Server
// sees it.
func TestNewBesideWriter(t *testing.T) {
	s := newServer(t, httpserver.Config{ErrorLog: quiet()})
	s.HandleHTTP("/written", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer httpserver.New(w, r).End()
		io.WriteString(w, "written")
	}))
	s.HandleHTTP("/panics", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer httpserver.New(w, r).End()
		io.WriteString(w, "written")
		panic("boom")
	}))
	s.HandleHTTP("/nothing", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer httpserver.New(w, r).End()
	}))
	var sum httpserver.Summary
	s.Finished(func(_ *http.Request, of httpserver.Summary) { sum = of })
	for _, middleware := range []bool{false, true} {
		if middleware {
			s.Use(func(h http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(around{w}, r) })
			})
		}
		w := asked(s, "GET", "/written", nil)
		assert.Equal(t, 200, w.Code)
		assert.Equal(t, "written", w.Body.String())
		assert.NoError(t, sum.Err)
		assert.Equal(t, 500, asked(s, "GET", "/nothing", nil).Code)
		assert.ErrorIs(t, sum.Err, httpserver.ErrNoAnswer)
		assert.PanicsWithValue(t, http.ErrAbortHandler, func() { asked(s, "GET", "/panics", nil) })
		var p *httpserver.PanicError
		assert.ErrorAs(t, sum.Err, &p)
	}
}

// TestEndWithoutReadDeadline: a goroutine that a handler leaves behind in its body does not
// keep the handler, where its Read cannot be ended.
func TestEndWithoutReadDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pr, pw := io.Pipe()
		reading, over := make(chan struct{}), make(chan error, 1)
		h := httpserver.HandlerFunc(func(r *http.Request, w *httpserver.Responder) {
			go func() {
				close(reading)
				_, err := r.Body.Read(make([]byte, 1))
				_, again := r.Body.Read(make([]byte, 1))
				over <- errors.Join(err, again)
			}()
			<-reading
			synctest.Wait()
			w.WriteStatus()
		})
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("POST", "/", pr)) // a recorder has no deadlines
		assert.Equal(t, 200, w.Code)
		pw.CloseWithError(io.ErrUnexpectedEOF)
		assert.ErrorIs(t, <-over, http.ErrBodyReadAfterClose)
	})
}

// TestNoReadDeadlineNoTrailer: a body that ends when its handler has returned does not change
// the request any more.
func TestNoReadDeadlineNoTrailer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pr, pw := io.Pipe()
		over := make(chan error, 1)
		var kept *http.Request
		of := httptest.NewRequest("POST", "/", pr)
		httpserver.HandlerFunc(func(r *http.Request, w *httpserver.Responder) {
			kept = r
			go func() {
				_, err := r.Body.Read(make([]byte, 1))
				over <- err
			}()
			synctest.Wait()
			w.WriteStatus()
		}).ServeHTTP(httptest.NewRecorder(), of)
		of.Trailer = http.Header{"X": {"y"}}
		pw.Close()
		assert.ErrorIs(t, <-over, io.EOF)
		assert.Nil(t, kept.Trailer)
	})
}
