package httpserver_test

import (
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/httpserver"
)

// TestLargestLimits: a limit may be the largest number that there is.
func TestLargestLimits(t *testing.T) {
	const most = math.MaxInt64
	s := newServer(t, httpserver.Config{MaxBodySize: most, HTTP2Cleartext: true})
	s.Handle("/json", func(r *http.Request, w *httpserver.Responder) {
		var v string
		assert.NoError(t, httpserver.DecodeJSON(r, &v, most))
		w.WriteJSON(v)
	})
	s.Handle("/form", func(r *http.Request, w *httpserver.Responder) {
		fields, err := httpserver.ReadForm(r, httpserver.UploadConfig{MaxSize: most, MaxFileSize: most, MaxFieldSize: most, MaxParts: math.MaxInt},
			func(u *httpserver.Upload) error {
				_, err := io.Copy(io.Discard, u)
				return err
			})
		assert.NoError(t, err)
		w.WriteJSON(fields.Get("a"))
	})
	s.Handle("/body", func(r *http.Request, w *httpserver.Responder) {
		u, err := httpserver.BodyUpload(r, httpserver.UploadConfig{MaxSize: most})
		assert.NoError(t, err)
		text, err := io.ReadAll(u)
		assert.NoError(t, err)
		w.WriteJSON(string(text))
	})
	url := "http://" + listen(t, s)
	body, kind := multipartForm(t, field("a", "x"), file("f", "n", "content"))
	overBoth(t, func(t *testing.T, c *http.Client) {
		for _, in := range [][3]string{{"/json", "application/json", `"x"`}, {"/form", kind, string(body)},
			{"/form", "application/x-www-form-urlencoded", "a=x"}, {"/body", "text/plain", "x"}} {
			status, _, got := ask(t, c, "POST", url+in[0], in[1], strings.NewReader(in[2]))
			assert.Equal(t, 200, status, "%v", in)
			assert.Equal(t, `"x"`, got, "%v", in)
		}
	})
}

// TestSecondContentEncoding: a coding is found behind an empty field.
func TestSecondContentEncoding(t *testing.T) {
	r := httptest.NewRequest("PUT", "/", strings.NewReader("x"))
	r.Header["Content-Encoding"] = []string{"", "gzip"}
	_, err := httpserver.BodyUpload(r, httpserver.UploadConfig{})
	assert.ErrorIs(t, err, httpserver.ErrMediaType)
}

// busyContent is content that is being read when its client goes.
type busyContent struct {
	io.ReadSeeker
	head     atomic.Bool   // has left
	gone     chan struct{} // the client
	reading  chan struct{} // is closed when it is read behind the first range
	returned atomic.Bool   // from WriteContent
	late     atomic.Bool   // it was read later
}

func (c *busyContent) Read(p []byte) (int, error) {
	if c.head.Load() {
		select {
		case <-c.reading:
		default:
			close(c.reading)
		}
		<-c.gone
		for range 10_000 {
			if runtime.Gosched(); c.returned.Load() {
				c.late.Store(true)
				break
			}
		}
	}
	return c.ReadSeeker.Read(p)
}

// goingClient is the writer of a client that goes when its content is being read.
type goingClient struct {
	http.ResponseWriter
	content *busyContent
}

func (w goingClient) WriteHeader(int) { w.content.head.Store(true) }

func (w goingClient) Write(p []byte) (int, error) {
	if len(p) < 1000 {
		return len(p), nil // the head of a part
	}
	<-w.content.reading
	defer close(w.content.gone)
	return 0, errors.New("gone")
}

// TestContentIsLeftAlone: content of which several ranges were asked for is not read when
// WriteContent has returned, though the client has gone.
func TestContentIsLeftAlone(t *testing.T) {
	content := &busyContent{ReadSeeker: strings.NewReader(strings.Repeat("0123456789", 10_000)), gone: make(chan struct{}), reading: make(chan struct{})}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Range", "bytes=0-69999,80000-80009")
	w := httpserver.New(goingClient{httptest.NewRecorder(), content}, r)
	require.ErrorContains(t, w.WriteContent("f.txt", time.Time{}, content, headers.Headers{}), "gone")
	content.returned.Store(true)
	for range 1000 {
		runtime.Gosched()
	}
	assert.False(t, content.late.Load())
}

// TestHookSetsFieldsOfConnection: those that HTTP/2 has not are not sent there.
func TestHookSetsFieldsOfConnection(t *testing.T) {
	s := newServer(t, httpserver.Config{HTTP2Cleartext: true})
	s.HandleHTTP("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "x") }))
	s.AfterRequest(func(_ *http.Request, p *httpserver.Response) {
		p.Headers.Set("Keep-Alive", "timeout=5")
		p.Headers.Set("X-Hook", "1")
	})
	addr := listen(t, s)
	assert.Contains(t, raw(t, addr, h1("GET")), "\r\nKeep-Alive: timeout=5\r\n")
	got := frames(t, addr, "GET")
	assert.Contains(t, got, "x-hook=1")
	assert.NotContains(t, got, "keep-alive")
}

// TestShortRetry: a wait of less than a millisecond is not none.
func TestShortRetry(t *testing.T) {
	w := httptest.NewRecorder()
	hub, err := httpserver.NewEventHub(httpserver.EventHubConfig{Retry: time.Microsecond})
	require.NoError(t, err)
	httpserver.HandlerFunc(func(r *http.Request, s *httpserver.Responder) {
		events, err := s.Events()
		require.NoError(t, err)
		assert.NoError(t, events.Send(httpserver.Event{Retry: time.Microsecond, Data: "x"}))
		assert.NoError(t, events.Close())
	}).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	assert.Equal(t, "retry: 1\ndata: x\n\n", w.Body.String())

	addr := serve(t, httpserver.HandlerFunc(hub.Serve))
	resp, err := http.Get("http://" + addr)
	require.NoError(t, err)
	defer resp.Body.Close()
	first := make([]byte, len("retry: 1\n"))
	_, err = io.ReadFull(resp.Body, first)
	assert.NoError(t, err)
	assert.Equal(t, "retry: 1\n", string(first))
	hub.Close()
	io.Copy(io.Discard, resp.Body)
}
