package httpserver_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/netreply/netreply/httpserver"
)

// TestFinished: every request is told with what has become of it.
func TestFinished(t *testing.T) {
	s := newServer(t, httpserver.Config{MaxBodySize: 10, MaxURLSize: 90, MaxHeaderFieldSize: 100, ErrorLog: quiet()})
	routes(s)
	told := make(chan httpserver.Summary, 10)
	s.Finished(func(r *http.Request, sum httpserver.Summary) { told <- sum })
	addr := listen(t, s)
	for _, c := range answers {
		request := c.request + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
		switch c.status {
		case httpserver.PayloadTooLarge:
			request += "Content-Length: 11\r\n"
		case httpserver.RequestHeaderFieldsTooLarge:
			request += "X: " + strings.Repeat("x", 100) + "\r\n"
		}
		raw(t, addr, request+"\r\n")
		sum := within(t, told, "it is told")
		assert.Equal(t, c.status, sum.Status, c.request)
		assert.Equal(t, c.bytes, sum.Bytes, c.request)
		assert.Positive(t, sum.Duration, c.request)
		var p *httpserver.PanicError
		if errors.As(c.err, &p) {
			if assert.ErrorAs(t, sum.Err, &p, c.request) {
				assert.Equal(t, "boom", p.Value)
				assert.Contains(t, string(p.Stack), "httpserver_test.")
				assert.EqualError(t, p, "httpserver: panic: boom")
			}
		} else {
			assert.Equal(t, c.err, sum.Err, c.request)
		}
		assert.Empty(t, told, c.request)
	}
}

// TestFinishedBroken: why an answer is cut.
func TestFinishedBroken(t *testing.T) {
	panics := errors.New("of a type")
	for name, c := range map[string]struct {
		do     answer
		want   error
		client func(net.Conn)
	}{
		"unfinished": {func(_ *http.Request, w *httpserver.Responder) { w.WriteBeginChunked("a/b") }, httpserver.ErrUnfinished, nil},
		"source":     {func(_ *http.Request, w *httpserver.Responder) { w.WriteReader(endsAfter(large, large+1), "a/b") }, httpserver.ErrShort, nil},
		"content": {func(_ *http.Request, w *httpserver.Responder) {
			content(func() *unsound { return endsAfter(large, large+1) })(w)
		}, httpserver.ErrShort, nil},
		"panic, begun": {func(_ *http.Request, w *httpserver.Responder) { w.WriteBeginChunked("a/b"); panic(panics) }, panics, nil},
		"abort":        {func(*http.Request, *httpserver.Responder) { panic(http.ErrAbortHandler) }, http.ErrAbortHandler, nil},
		"goexit":       {func(*http.Request, *httpserver.Responder) { new(testing.T).SkipNow() }, httpserver.ErrNoAnswer, nil},
		"gone, no answer": {func(_ *http.Request, w *httpserver.Responder) { <-w.Context().Done() }, httpserver.ErrClientGone,
			func(c net.Conn) { c.Close() }},
		"gone, silent source": {func(_ *http.Request, w *httpserver.Responder) { w.WriteReader(newSilent("x"), "a/b") }, httpserver.ErrClientGone,
			func(c net.Conn) { io.ReadFull(c, make([]byte, 100)); c.Close() }},
		"gone, events": {func(_ *http.Request, w *httpserver.Responder) {
			e, err := w.Events()
			for err == nil {
				err = e.Send(httpserver.Event{Data: strings.Repeat("x", 1000)})
			}
		}, httpserver.ErrClientGone, func(c net.Conn) { c.Close() }},
		"slow body": {func(r *http.Request, w *httpserver.Responder) { io.Copy(io.Discard, r.Body) }, httpserver.ErrClientGone, func(net.Conn) {}},
		"slow reader": {func(r *http.Request, w *httpserver.Responder) { w.WriteData(make([]byte, 64<<20), "a/b") }, os.ErrDeadlineExceeded,
			func(net.Conn) {}},
	} {
		cfg := httpserver.Config{ErrorLog: quiet()}
		if strings.HasPrefix(name, "slow") {
			cfg.StallTimeout = 50 * time.Millisecond
		}
		s := newServer(t, cfg)
		s.Handle("/", c.do)
		told := make(chan httpserver.Summary, 10)
		s.Finished(func(r *http.Request, sum httpserver.Summary) { told <- sum })
		request := h1("GET")
		if name == "slow body" {
			request = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n"
		}
		conn := send(t, listen(t, s), request)
		if c.client != nil {
			c.client(conn)
		} else {
			io.Copy(io.Discard, conn)
		}
		assert.ErrorIs(t, within(t, told, "it is told: "+name).Err, c.want, name)
	}
}

// TestFinishedShutdown: an answer that Shutdown has ended says so.
func TestFinishedShutdown(t *testing.T) {
	s := newServer(t, httpserver.Config{})
	begun, told := make(chan struct{}), make(chan httpserver.Summary, 1)
	s.Handle("/", func(_ *http.Request, w *httpserver.Responder) {
		w.Events()
		close(begun)
		<-w.Context().Done()
	})
	s.Finished(func(_ *http.Request, sum httpserver.Summary) { told <- sum })
	send(t, listen(t, s), h1("GET"))
	within(t, begun, "the handler begins")
	assert.NoError(t, s.Shutdown(t.Context()))
	assert.Equal(t, http.ErrServerClosed, within(t, told, "it is told").Err)
}

// records is a handler of slog.
type records struct {
	slog.Handler
	mu  sync.Mutex
	all []slog.Record
}

func (r *records) Enabled(context.Context, slog.Level) bool { return true }

func (r *records) Handle(_ context.Context, rec slog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, rec)
	return nil
}

func (r *records) take() []slog.Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.all
	r.all = nil
	return all
}

// TestLogger: what is lost is logged once, with what it was.
func TestLogger(t *testing.T) {
	logged := &records{Handler: slog.DiscardHandler}
	s := newServer(t, httpserver.Config{Logger: slog.New(logged)})
	routes(s)
	s.Handle("/gone", func(_ *http.Request, w *httpserver.Responder) { <-w.Context().Done() })
	s.Handle("/begun", func(_ *http.Request, w *httpserver.Responder) { w.WriteBeginChunked("a/b"); panic("boom") })
	s.HandleHTTP("/superfluous", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200); w.WriteHeader(200) }))
	told := make(chan struct{}, 1)
	s.Finished(func(*http.Request, httpserver.Summary) { told <- struct{}{} })
	addr := listen(t, s)
	for _, c := range []struct {
		path  string
		level slog.Level
		want  string
	}{
		{"/lost", slog.LevelError, "request failed method=GET path=/lost pattern=/lost status=500 bytes=0 error=httpserver: the handler gave no answer"},
		{"/panic", slog.LevelError, "request failed method=GET path=/panic pattern=/panic status=500 bytes=0 error=httpserver: panic: boom"},
		{"/begun", slog.LevelError, "request failed method=GET path=/begun pattern=/begun status=200 bytes=0 error=httpserver: panic: boom"},
		{"/http/panic", slog.LevelError, "request failed method=GET path=/http/panic pattern=/http/panic status=500 bytes=0 error=httpserver: panic: boom"},
		{"/gone", slog.LevelDebug, "request failed method=GET path=/gone pattern=/gone status=500 bytes=0 error=httpserver: the client has gone"},
		{"/superfluous", slog.LevelWarn, "http: superfluous response.WriteHeader call"},
		{"/data", 0, ""},
	} {
		conn := send(t, addr, "GET "+c.path+"?secret HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if c.path == "/gone" {
			conn.Close()
		}
		io.Copy(io.Discard, conn)
		within(t, told, c.path+" is told")
		all := logged.take()
		if c.want == "" {
			assert.Empty(t, all)
			continue
		}
		if assert.Len(t, all, 1, c.path) {
			text := all[0].Message
			all[0].Attrs(func(a slog.Attr) bool {
				switch a.Key {
				case "remote":
					assert.Contains(t, a.Value.String(), "127.0.0.1:")
				case "duration":
					assert.Positive(t, a.Value.Duration())
				case "stack":
					assert.Contains(t, a.Value.String(), "httpserver_test.")
				default:
					text += " " + a.String()
				}
				return true
			})
			assert.True(t, strings.HasPrefix(text, c.want), "%q, not %q", text, c.want)
			assert.Equal(t, c.level, all[0].Level, c.path)
		}
	}
}

// TestLoggedPath: of what a client has made long, only the beginning is logged, and hooks get
// all of it.
func TestLoggedPath(t *testing.T) {
	long := "/" + strings.Repeat("ä", 20_000)
	var text bytes.Buffer
	var attrs bytes.Buffer
	for name, cfg := range map[string]httpserver.Config{
		"Logger":   {Logger: slog.New(slog.NewTextHandler(&attrs, nil))},
		"ErrorLog": {ErrorLog: log.New(&text, "", 0)},
	} {
		s := newServer(t, cfg)
		s.Handle("/", func(*http.Request, *httpserver.Responder) {})
		told := 0
		s.Finished(func(r *http.Request, _ httpserver.Summary) { told = len(r.URL.Path) })
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.Path = long
		if name == "ErrorLog" { // where net/http has one
			r = r.WithContext(context.WithValue(r.Context(), http.ServerContextKey, &http.Server{ErrorLog: cfg.ErrorLog}))
		}
		r.Method = "PUT" // ServeMux redirects no GET
		s.ServeHTTP(httptest.NewRecorder(), r)
		assert.Equal(t, len(long), told, name)
	}
	for name, got := range map[string]string{"Logger": attrs.String(), "ErrorLog": text.String()} {
		assert.Contains(t, got, "äää...", name)
		assert.Less(t, len(got), 1500, name)
	}
}
