package httpserver_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/httpserver"
)

// large is more than is looked at before an answer begins.
const large = 1 << 20

// unsound gives n bytes and then fails, and can say a size.
type unsound struct {
	io.Reader
	size int64
}

func failsAfter(n int, size int64) *unsound {
	return &unsound{io.MultiReader(strings.NewReader(strings.Repeat("x", n)), iotest.ErrReader(fs.ErrPermission)), size}
}

func endsAfter(n int, size int64) *unsound {
	return &unsound{strings.NewReader(strings.Repeat("x", n)), size}
}

// Seek says the size, as http.ServeContent and WriteReader ask for it.
func (u *unsound) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekEnd {
		return u.size, nil
	}
	return 0, nil
}

// again can be read from its beginning after every Seek.
type again struct {
	make func() *unsound
	*unsound
}

func (a *again) Seek(offset int64, whence int) (int64, error) {
	a.unsound = a.make()
	if whence == io.SeekEnd {
		return a.size, nil
	}
	return 0, nil
}

func content(make func() *unsound) func(*httpserver.Responder) error {
	return func(s *httpserver.Responder) error {
		return s.WriteContent("f", time.Time{}, &again{make, make()}, headers.New("Content-Type", "a/b"))
	}
}

// brokenOff are answers of which something has been sent, and which cannot be whole.
var brokenOff = map[string]struct {
	do   func(*httpserver.Responder) error
	want error
}{
	"chunked without an end": {func(s *httpserver.Responder) error {
		return errors.Join(s.WriteBeginChunked("a/b"), s.WriteChunk([]byte("x")))
	}, nil},
	"wrong trailers": {func(s *httpserver.Responder) error {
		if err := s.WriteBeginChunkedWith(headers.Headers{}, []string{"X-Sum"}); err != nil {
			return err
		}
		return s.WriteEndChunkedWith([]byte("x"), headers.New("X-Other", "1"))
	}, httpserver.ErrTrailer},
	"events without an end":   {func(s *httpserver.Responder) error { _, err := s.Events(); return err }, nil},
	"sequential source fails": {func(s *httpserver.Responder) error { return s.WriteReader(sequential{failsAfter(9, 0)}, "a/b") }, fs.ErrPermission},
	"sequential source fails late": {func(s *httpserver.Responder) error {
		return s.WriteReader(sequential{failsAfter(large, 0)}, "a/b")
	}, fs.ErrPermission},
	"source fails":         {func(s *httpserver.Responder) error { return s.WriteReader(failsAfter(large, large+1), "a/b") }, fs.ErrPermission},
	"source is too short":  {func(s *httpserver.Responder) error { return s.WriteReader(endsAfter(large, large+1), "a/b") }, httpserver.ErrShort},
	"content fails":        {content(func() *unsound { return failsAfter(large, large+1) }), fs.ErrPermission},
	"content is too short": {content(func() *unsound { return endsAfter(large, large+1) }), httpserver.ErrShort},
	"panic": {func(s *httpserver.Responder) error {
		if err := s.WriteBeginChunked("a/b"); err != nil {
			return err
		}
		panic(http.ErrAbortHandler)
	}, nil},
}

// assertReset: the connection has not ended in good order.
func assertReset(t *testing.T, err error, name string) {
	assert.Error(t, err, name)
	assert.NotErrorIs(t, err, os.ErrDeadlineExceeded, name)
}

// withNew answers by a Responder of New.
func withNew(f answer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := httpserver.New(w, r)
		defer s.End()
		f(r, s)
	})
}

// TestBrokenIsSeen: a client sees that an answer is not whole, on every protocol and
// whatever made the handler.
func TestBrokenIsSeen(t *testing.T) {
	ways := map[string]func(answer) string{
		"HandlerFunc": func(f answer) string { return serve(t, httpserver.HandlerFunc(f)) },
		"New":         func(f answer) string { return serve(t, withNew(f)) },
		"plain handler": func(f answer) string {
			return serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { httpserver.HandlerFunc(f).ServeHTTP(w, r) }))
		},
		"Server": func(f answer) string {
			s := newServer(t, httpserver.Config{HTTP2Cleartext: true, ErrorLog: log.New(io.Discard, "", 0)})
			s.Handle("/", f)
			return listen(t, s)
		},
		"Server, New, middleware": func(f answer) string {
			s := newServer(t, httpserver.Config{HTTP2Cleartext: true, ErrorLog: log.New(io.Discard, "", 0)})
			s.HandleHTTP("/", withNew(f))
			s.Use(func(h http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(around{w}, r) })
			})
			return listen(t, s)
		},
		"swapped": func(f answer) string {
			return serve(t, httpserver.HandlerFunc(func(r *http.Request, s *httpserver.Responder) {
				httpserver.HandlerFunc(func(_ *http.Request, o *httpserver.Responder) {
					o.Swap(s)
					f(r, o)
				}).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
			}))
		},
	}
	for way, start := range ways {
		for name, c := range brokenOff {
			name := way + ", " + name
			addr := start(func(_ *http.Request, s *httpserver.Responder) {
				err := c.do(s)
				assert.ErrorIs(t, err, c.want, name)
				assert.True(t, s.Responded(), name)
			})
			got, _ := rawUntil(t, addr, h1("GET"))
			resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(got)), nil)
			if assert.NoError(t, err, name) {
				_, err = io.Copy(io.Discard, resp.Body)
				assert.ErrorIs(t, err, io.ErrUnexpectedEOF, name)
			}
			_, err = rawUntil(t, addr, "GET / HTTP/1.0\r\n\r\n")
			assertReset(t, err, name)
			assert.Regexp(t, "^HEADERS :status=200(?s).*RST$", frames(t, addr, "GET"), name)
		}
	}
}

// around is a writer of middleware.
type around struct{ http.ResponseWriter }

func (a around) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// TestBrokenWithoutEnd: a source that fails is seen though nobody calls End.
func TestBrokenWithoutEnd(t *testing.T) {
	for name, c := range brokenOff {
		if !strings.Contains(name, "source") && !strings.Contains(name, "content") {
			continue
		}
		for way, wrap := range map[string]func(http.ResponseWriter) http.ResponseWriter{
			"net/http's writer": func(w http.ResponseWriter) http.ResponseWriter { return w },
			"middleware":        func(w http.ResponseWriter) http.ResponseWriter { return around{w} },
		} {
			name := way + ", " + name
			addr := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				assert.ErrorIs(t, c.do(httpserver.New(wrap(w), r)), c.want, name)
			}))
			got, err := rawUntil(t, addr, h1("GET"))
			if err == nil {
				var resp *http.Response
				if resp, err = http.ReadResponse(bufio.NewReader(strings.NewReader(got)), nil); err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
				}
				assert.ErrorIs(t, err, io.ErrUnexpectedEOF, name)
			}
			_, err = rawUntil(t, addr, "GET / HTTP/1.0\r\n\r\n")
			assertReset(t, err, name)
			assert.Regexp(t, "RST$", frames(t, addr, "GET"), name)
		}
	}
}

// TestBrokenInTimeoutHandler: nothing of a broken answer leaves where all of it is held back.
func TestBrokenInTimeoutHandler(t *testing.T) {
	for name, c := range brokenOff {
		for way, h := range map[string]http.Handler{
			"HandlerFunc": httpserver.HandlerFunc(func(_ *http.Request, s *httpserver.Responder) { assert.ErrorIs(t, c.do(s), c.want, name) }),
			"New":         withNew(func(_ *http.Request, s *httpserver.Responder) { assert.ErrorIs(t, c.do(s), c.want, name) }),
		} {
			addr := serve(t, http.TimeoutHandler(h, time.Minute, ""))
			got, _ := rawUntil(t, addr, h1("GET"))
			assert.Empty(t, got, "%s, %s", way, name)
			got, _ = rawUntil(t, addr, "GET / HTTP/1.0\r\n\r\n")
			assert.Empty(t, got, "%s, %s", way, name)
			assert.Equal(t, "RST", frames(t, addr, "GET"), "%s, %s", way, name)
		}
	}
}

// TestBrokenTLS: the end of a connection that has no other sign of it is not in good order
// over TLS either.
func TestBrokenTLS(t *testing.T) {
	s := httptest.NewTLSServer(httpserver.HandlerFunc(func(_ *http.Request, s *httpserver.Responder) {
		assert.NoError(t, s.WriteBeginChunked("a/b"))
	}))
	defer s.Close()
	c, err := tls.Dial("tcp", s.Listener.Addr().String(), &tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, ServerName: "example.com"})
	require.NoError(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
	require.NoError(t, err)
	_, err = io.ReadAll(c)
	assert.Error(t, err)
}

// TestNoAnswer: a handler that gives none has answered 500, and so has one that could not
// send what it wanted.
func TestNoAnswer(t *testing.T) {
	for name, do := range map[string]answer{
		"nothing":             func(*http.Request, *httpserver.Responder) {},
		"a source that fails": func(_ *http.Request, s *httpserver.Responder) { s.WriteReader(failsAfter(0, 10), "a/b") },
	} {
		for way, h := range map[string]http.Handler{"HandlerFunc": httpserver.HandlerFunc(do), "New": withNew(do)} {
			name := way + ", " + name
			addr := serve(t, h)
			const want = "500 Internal Server Error\r\nContent-Type: application/x-empty\r\nContent-Length: 0\r\n"
			assert.Equal(t, "HTTP/1.1 "+want+"Connection: close\r\n\r\n", raw(t, addr, h1("GET")), name)
			assert.Equal(t, "HTTP/1.0 "+want+"\r\n", raw(t, addr, "GET / HTTP/1.0\r\n\r\n"), name)
			assert.Equal(t, "HEADERS :status=500 content-length=0 content-type=application/x-empty\nEND", frames(t, addr, "GET"), name)
		}
	}
}

// lines is where a log goes.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestPanic: 500 where nothing has been sent, a cut where something has, and the panic with
// its place in the log.
func TestPanic(t *testing.T) {
	for _, begun := range []bool{false, true} {
		var logged lines
		s := newServer(t, httpserver.Config{HTTP2Cleartext: true, ErrorLog: log.New(&logged, "", 0)})
		s.Handle("/", func(_ *http.Request, s *httpserver.Responder) {
			if begun {
				assert.NoError(t, s.WriteBeginChunked("a/b"))
			}
			panic("boom")
		})
		addr := listen(t, s)
		got, err := rawUntil(t, addr, h1("GET"))
		_, err10 := rawUntil(t, addr, "GET / HTTP/1.0\r\n\r\n")
		h2 := frames(t, addr, "GET")
		assert.NoError(t, err)
		if begun {
			assert.NotContains(t, got, "\r\n0\r\n")
			assertReset(t, err10, "HTTP/1.0")
			assert.Regexp(t, "^HEADERS :status=200(?s).*RST$", h2)
		} else {
			assert.Contains(t, got, "HTTP/1.1 500 ")
			assert.NoError(t, err10)
			assert.Regexp(t, "^HEADERS :status=500.*\nEND$", h2)
		}
		require.Eventually(t, func() bool { return strings.Count(logged.String(), ": boom\n") == 3 }, 10*time.Second, time.Millisecond)
		assert.Contains(t, logged.String(), "broken_test.go")
	}
}

// TestPanicIsHeard: what stands around a handler hears of a panic once something was sent.
func TestPanicIsHeard(t *testing.T) {
	h := httpserver.HandlerFunc(func(_ *http.Request, s *httpserver.Responder) {
		assert.NoError(t, s.WriteBeginChunked("a/b"))
		panic("boom")
	})
	assert.PanicsWithValue(t, "boom", func() { h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)) })
}

// TestSourceLooked: what a source is, is found out before a byte is sent.
func TestSourceLooked(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	require.NoError(t, os.WriteFile(file, []byte("x"), 0o600))
	open := func(name string) io.Reader {
		f, err := os.Open(name)
		require.NoError(t, err)
		return f
	}
	fsDir := func() io.Reader { f, err := os.DirFS(dir).Open("."); require.NoError(t, err); return f }
	for name, c := range map[string]struct {
		src  func() io.Reader
		want error
	}{
		"nil":                  {func() io.Reader { return nil }, nil},
		"nil file":             {func() io.Reader { return (*os.File)(nil) }, fs.ErrInvalid},
		"closed file":          {func() io.Reader { f := open(file); f.(io.Closer).Close(); return f }, fs.ErrClosed},
		"directory":            {func() io.Reader { return open(dir) }, nil},
		"directory of an FS":   {fsDir, nil},
		"device":               {func() io.Reader { return open(os.DevNull) }, nil},
		"fails":                {func() io.Reader { return failsAfter(0, 10) }, fs.ErrPermission},
		"fails soon":           {func() io.Reader { return failsAfter(5, 10) }, fs.ErrPermission},
		"fails, large":         {func() io.Reader { return failsAfter(0, large) }, fs.ErrPermission},
		"fails, sequential":    {func() io.Reader { return sequential{failsAfter(0, 0)} }, fs.ErrPermission},
		"empty":                {func() io.Reader { return endsAfter(0, 10) }, httpserver.ErrShort},
		"empty, large":         {func() io.Reader { return endsAfter(0, large) }, httpserver.ErrShort},
		"short":                {func() io.Reader { return endsAfter(9, 10) }, httpserver.ErrShort},
		"short by its Len":     {func() io.Reader { return liar{strings.NewReader("x")} }, httpserver.ErrShort},
		"long":                 {func() io.Reader { return endsAfter(11, 10) }, httpserver.ErrLong},
		"more than nothing":    {func() io.Reader { return endsAfter(1, 0) }, httpserver.ErrLong},
		"gives nothing":        {func() io.Reader { return sequential{still{}} }, io.ErrNoProgress},
		"gives nothing, sized": {func() io.Reader { return &unsound{still{}, 10} }, io.ErrNoProgress},
	} {
		calls := map[string]answer{
			"WriteReader": func(_ *http.Request, s *httpserver.Responder) {
				refused(t, name, c.want, s, s.WriteReader(c.src(), "a/b"))
			},
			"WriteReaderWith": func(_ *http.Request, s *httpserver.Responder) {
				refused(t, name, c.want, s, s.WriteReaderWith(c.src(), headers.Headers{}))
			},
		}
		if _, ok := c.src().(io.ReadSeeker); ok {
			calls["WriteContent"] = func(_ *http.Request, s *httpserver.Responder) {
				refused(t, name, c.want, s, s.WriteContent("f", time.Time{}, c.src().(io.ReadSeeker), headers.Headers{}))
			}
		}
		for call, f := range calls {
			addr := serve(t, httpserver.HandlerFunc(f))
			const want = "404 Not Found\r\nContent-Type: application/x-empty\r\nContent-Length: 0\r\n"
			assert.Equal(t, "HTTP/1.1 "+want+"Connection: close\r\n\r\n", raw(t, addr, h1("GET")), "%s, %s", call, name)
			assert.Equal(t, "HTTP/1.0 "+want+"\r\n", raw(t, addr, "GET / HTTP/1.0\r\n\r\n"), "%s, %s", call, name)
		}
	}
}

func refused(t *testing.T, name string, want error, s *httpserver.Responder, err error) {
	var src *httpserver.SourceError
	assert.ErrorAs(t, err, &src, name)
	if want != nil {
		assert.ErrorIs(t, err, want, name)
	}
	assert.False(t, s.Responded(), name)
	assert.NoError(t, s.WriteStatus(httpserver.NotFound), name)
}

// still is a source that never gives anything.
type still struct{}

func (still) Read([]byte) (int, error) { return 0, nil }

// TestVirtualFiles: files of /proc say that they are empty, those of /sys that they have a
// page.
func TestVirtualFiles(t *testing.T) {
	for _, name := range []string{"/sys/class/net/lo/mtu", "/proc/version", "/proc/self/environ"} {
		want, err := os.ReadFile(name)
		if err != nil || len(want) == 0 {
			t.Logf("not here: %s", name)
			continue
		}
		for call, send := range map[string]func(*httpserver.Responder, *os.File) error{
			"WriteReader":     func(s *httpserver.Responder, f *os.File) error { return s.WriteReader(f, "text/plain") },
			"WriteReaderWith": func(s *httpserver.Responder, f *os.File) error { return s.WriteReaderWith(f, headers.Headers{}) },
			"WriteContent": func(s *httpserver.Responder, f *os.File) error {
				defer f.Close()
				return s.WriteContent("f.txt", time.Time{}, f, headers.Headers{})
			},
		} {
			addr := serve(t, httpserver.HandlerFunc(func(_ *http.Request, s *httpserver.Responder) {
				f, err := os.Open(name)
				if assert.NoError(t, err) {
					assert.NoError(t, send(s, f), "%s, %s", call, name)
				}
			}))
			head, body, _ := strings.Cut(raw(t, addr, h1("GET")), "\r\n\r\n")
			assert.Contains(t, head, "HTTP/1.1 200 OK", "%s, %s", call, name)
			assert.Equal(t, string(want), body, "%s, %s", call, name)
		}
	}
}

// liar says it has more than it has.
type liar struct{ *strings.Reader }

func (l liar) Len() int { return l.Reader.Len() + 5 }

// TestSourceGrows: a file that gets longer while it is sent is sent as long as it was.
func TestSourceGrows(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	require.NoError(t, os.WriteFile(name, make([]byte, large), 0o600))
	addr := serve(t, httpserver.HandlerFunc(func(_ *http.Request, s *httpserver.Responder) {
		f, err := os.Open(name)
		require.NoError(t, err)
		assert.NoError(t, s.WriteReader(growing{f, name}, "a/b"))
	}))
	head, body, _ := strings.Cut(raw(t, addr, h1("GET")), "\r\n\r\n")
	assert.Contains(t, head, "Content-Length: 1048576\r\n")
	assert.Len(t, body, large)
}

type growing struct {
	*os.File
	name string
}

func (g growing) Read(p []byte) (int, error) {
	f, err := os.OpenFile(g.name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if _, err := f.Write([]byte("more")); err != nil {
		return 0, err
	}
	return g.File.Read(p)
}
