package httpserver_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/httpserver"
)

// streamed are answers that leave in pieces, and what they say all in all.
var streamed = map[string]struct {
	do   func(*httpserver.Responder) error
	body string
}{
	"chunks": {func(s *httpserver.Responder) error {
		return errors.Join(s.WriteBeginChunked("a/b"), s.WriteChunk([]byte("one")), s.WriteEndChunked([]byte("two")))
	}, "onetwo"},
	"no chunks": {func(s *httpserver.Responder) error {
		return errors.Join(s.WriteBeginChunked("a/b"), s.WriteEndChunked(nil))
	}, ""},
	"trailers": {func(s *httpserver.Responder) error {
		return errors.Join(s.WriteBeginChunkedWith(headers.New("Content-Type", "a/b"), []string{"X-Sum"}), s.WriteChunk([]byte("one")),
			s.WriteEndChunkedWith(nil, headers.New("X-Sum", "1")))
	}, "one"},
	"sequential source": {func(s *httpserver.Responder) error {
		return s.WriteReader(sequential{io.MultiReader(strings.NewReader("one"), strings.NewReader("two"))}, "a/b")
	}, "onetwo"},
	"sequential source without a type": {func(s *httpserver.Responder) error {
		return s.WriteReaderWith(sequential{strings.NewReader("one")}, headers.New("X-A", "b"))
	}, "one"},
	"events": {func(s *httpserver.Responder) error {
		e, err := s.Events()
		if err != nil {
			return err
		}
		return errors.Join(e.Send(httpserver.Event{Data: "x"}), e.Close())
	}, "data: x\n\n"},
}

// plain is a writer that can do nothing but what it must.
type plain struct{ http.ResponseWriter }

// TestCannotFlush: a writer that cannot send at once sends in the end.
func TestCannotFlush(t *testing.T) {
	around := map[string]func(http.Handler) http.Handler{
		"TimeoutHandler": func(h http.Handler) http.Handler { return http.TimeoutHandler(h, time.Minute, "too late") },
		"without Flush": func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(plain{w}, r) })
		},
	}
	for name, c := range streamed {
		h := httpserver.HandlerFunc(func(_ *http.Request, s *httpserver.Responder) { assert.NoError(t, c.do(s), name) })
		for what, wrap := range around {
			addr := serve(t, wrap(h))
			resp, err := http.Get("http://" + addr)
			require.NoError(t, err, "%s, %s", name, what)
			body, err := io.ReadAll(resp.Body)
			assert.NoError(t, err, "%s, %s", name, what)
			assert.Equal(t, c.body, string(body), "%s, %s", name, what)
			if name == "trailers" {
				assert.Equal(t, "1", resp.Trailer.Get("X-Sum"), what)
				assert.Empty(t, resp.Header.Get("X-Sum"), what)
			}
			if got := frames(t, addr, "GET"); assert.Contains(t, got, ":status=200", what) {
				assert.Contains(t, got, "END", what)
			}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		assert.Equal(t, c.body, w.Body.String(), name)
		if name == "trailers" {
			assert.Equal(t, "1", w.Result().Trailer.Get("X-Sum"))
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// endless gives bytes for ever, and tells that it was read.
type endless struct{ reads int }

func (e *endless) Read(p []byte) (int, error) { e.reads++; return copy(p, "x"), nil }

var lengthOrCoding = regexp.MustCompile(`(Content-Length|Transfer-Encoding|Connection): [^\r]*\r\n`)

// TestHeadIsGet: the answer to HEAD is the head of the one to GET.
func TestHeadIsGet(t *testing.T) {
	file := t.TempDir() + "/page"
	require.NoError(t, os.WriteFile(file, []byte("<html><body>"), 0o600))
	none := headers.Headers{}
	all := map[string]func(*httpserver.Responder) error{
		"status":        func(s *httpserver.Responder) error { return s.WriteStatus(httpserver.Created) },
		"no content":    func(s *httpserver.Responder) error { return s.WriteStatus(httpserver.NoContent) },
		"JSON":          func(s *httpserver.Responder) error { return s.WriteJSON(1) },
		"data":          func(s *httpserver.Responder) error { return s.WriteData([]byte("x"), "a/b") },
		"empty data":    func(s *httpserver.Responder) error { return s.WriteData(nil, "a/b") },
		"data, sniffed": func(s *httpserver.Responder) error { return s.WriteDataWith([]byte("<html>"), none) },
		"data, large":   func(s *httpserver.Responder) error { return s.WriteDataWith(bytes.Repeat([]byte("%PDF-"), 1000), none) },
		"data, coded": func(s *httpserver.Responder) error {
			return s.WriteDataWith([]byte("x"), headers.New("Content-Encoding", "br"))
		},
		"response":        func(s *httpserver.Responder) error { return s.SendResponse(httpserver.TextResponse("x", 404)) },
		"reader, sniffed": func(s *httpserver.Responder) error { return s.WriteReaderWith(strings.NewReader("<html>"), none) },
		"reader, large": func(s *httpserver.Responder) error {
			return s.WriteReaderWith(bytes.NewReader(make([]byte, large)), none)
		},
		"empty reader": func(s *httpserver.Responder) error { return s.WriteReaderWith(strings.NewReader(""), none) },
		"file": func(s *httpserver.Responder) error {
			f, err := os.Open(file)
			require.NoError(t, err)
			return s.WriteReaderWith(f, none)
		},
		"fs.File": func(s *httpserver.Responder) error {
			f, err := fstest.MapFS{"f": {Data: []byte("GIF89a")}}.Open("f")
			require.NoError(t, err)
			return s.WriteReaderWith(f, none)
		},
		"content": func(s *httpserver.Responder) error {
			return s.WriteContent("page", time.Unix(1e9, 0), strings.NewReader("<html>"), headers.New("ETag", `"x"`))
		},
	}
	for name, c := range streamed {
		all[name] = c.do
	}
	for name, do := range all {
		addr := serve(t, httpserver.HandlerFunc(func(r *http.Request, s *httpserver.Responder) {
			if err := do(s); r.Method == http.MethodGet {
				assert.NoError(t, err, name)
			}
		}))
		get, body, _ := strings.Cut(raw(t, addr, h1("GET")), "\r\n\r\n")
		head, nothing, _ := strings.Cut(raw(t, addr, h1("HEAD")), "\r\n\r\n")
		assert.Empty(t, nothing, name)
		_, isStreamed := streamed[name]
		if isStreamed {
			get, head = lengthOrCoding.ReplaceAllString(get+"\r\n", ""), lengthOrCoding.ReplaceAllString(head+"\r\n", "")
		} else if name != "no content" {
			assert.Contains(t, head, fmt.Sprintf("Content-Length: %d", len(body)), name)
		}
		assert.Equal(t, fields(get), fields(head), name)
		get, _, _ = strings.Cut(frames(t, addr, "GET"), "\n")
		head = frames(t, addr, "HEAD")
		assert.Equal(t, get+"\nEND", head, name)
	}
}

// fields are the lines of a head in order: net/http adds some of its own behind the others.
func fields(head string) []string {
	lines := strings.Split(strings.TrimSpace(head), "\r\n")
	slices.Sort(lines)
	return lines
}

// TestHeadAtOnce: nothing is read for it, and a handler that goes on for ever for GET
// learns that nobody waits.
func TestHeadAtOnce(t *testing.T) {
	src := &endless{}
	for name, do := range map[string]func(*http.Request, *httpserver.Responder) error{
		"source":        func(_ *http.Request, s *httpserver.Responder) error { return s.WriteReader(src, "a/b") },
		"silent source": func(_ *http.Request, s *httpserver.Responder) error { return s.WriteReader(newSilent(""), "a/b") },
		"chunks": func(_ *http.Request, s *httpserver.Responder) error {
			err := s.WriteBeginChunked("a/b")
			for err == nil {
				err = s.WriteChunk([]byte("x"))
			}
			assert.ErrorIs(t, err, httpserver.ErrBodyNotAllowed)
			return nil
		},
		"events": func(_ *http.Request, s *httpserver.Responder) error {
			e, err := s.Events()
			for err == nil {
				err = e.Send(httpserver.Event{Data: "x"})
			}
			assert.ErrorIs(t, err, httpserver.ErrBodyNotAllowed)
			return nil
		},
		"waiting": func(_ *http.Request, s *httpserver.Responder) error {
			_, err := s.Events()
			<-s.Context().Done()
			return err
		},
		"waiting for the request": func(r *http.Request, s *httpserver.Responder) error {
			_, err := s.Events()
			<-r.Context().Done()
			return err
		},
	} {
		f := func(r *http.Request, s *httpserver.Responder) { assert.NoError(t, do(r, s), name) }
		s := newServer(t, httpserver.Config{HTTP2Cleartext: true})
		s.Handle("/", f)
		addrs := []string{serve(t, httpserver.HandlerFunc(f)), listen(t, s)}
		if name != "waiting for the request" { // which New cannot end
			addrs = append(addrs, serve(t, withNew(f)))
		}
		for _, addr := range addrs {
			assert.Contains(t, raw(t, addr, h1("HEAD")), "HTTP/1.1 200 OK\r\n", name)
			assert.Contains(t, raw(t, addr, "HEAD / HTTP/1.0\r\n\r\n"), "HTTP/1.0 200 OK\r\n", name)
			assert.Regexp(t, "^HEADERS :status=200.*\nEND$", frames(t, addr, "HEAD"), name)
		}
	}
	assert.Zero(t, src.reads)
}

// TestHeadLeaves: the head is with the client while its handler still runs.
func TestHeadLeaves(t *testing.T) {
	release := make(chan struct{})
	addr := serve(t, httpserver.HandlerFunc(func(_ *http.Request, s *httpserver.Responder) {
		assert.NoError(t, s.WriteBeginChunked("a/b"))
		<-release
		assert.NoError(t, s.WriteEndChunked([]byte("x")))
	}))
	assert.Regexp(t, "^HEADERS :status=200.*\nEND$", frames(t, addr, "HEAD"))
	release <- struct{}{}
	resp := make([]byte, 15)
	_, err := io.ReadFull(send(t, addr, h1("HEAD")), resp)
	assert.NoError(t, err)
	release <- struct{}{}
}

// TestRefusedByFields: what an answer in pieces is refused for is refused before anything
// is sent.
func TestRefusedByFields(t *testing.T) {
	bad := headers.New("X", "a\r\nb")
	for name, do := range map[string]func(*httpserver.Responder) error{
		"chunks": func(s *httpserver.Responder) error { return s.WriteBeginChunkedWith(bad, nil) },
		"trailers": func(s *httpserver.Responder) error {
			return s.WriteBeginChunkedWith(headers.Headers{}, []string{"Content-Length"})
		},
		"source": func(s *httpserver.Responder) error { return s.WriteReaderWith(&endless{}, bad) },
		"length": func(s *httpserver.Responder) error {
			return s.WriteReaderWith(&endless{}, headers.New("Content-Length", "1"))
		},
		"status": func(s *httpserver.Responder) error { return s.WriteReader(&endless{}, "a/b", httpserver.NoContent) },
	} {
		for _, method := range []string{"GET", "HEAD"} {
			addr := serve(t, http.TimeoutHandler(httpserver.HandlerFunc(func(_ *http.Request, s *httpserver.Responder) {
				assert.Error(t, do(s), name)
				assert.False(t, s.Responded(), name)
				assert.NoError(t, s.WriteData([]byte("sorry"), "text/plain", httpserver.BadGateway), name)
			}), time.Minute, ""))
			got := raw(t, addr, h1(method))
			assert.Contains(t, got, "HTTP/1.1 502 Bad Gateway\r\n", name)
			assert.NotContains(t, got, "Trailer", name)
		}
	}
}

// TestSpelling: HTTP/1 has the names as the program spells them, and recorders have them
// where their readers look.
func TestSpelling(t *testing.T) {
	h := headers.New("ETag", `"x"`, "content-type", "a/b", "x-lower", "1", "DNT", "1", "Set-Cookie", "a=b")
	const want = "ETag: \"x\"\r\n"
	for name, do := range map[string]func(*httpserver.Responder) error{
		"data":   func(s *httpserver.Responder) error { return s.WriteDataWith([]byte("x"), h) },
		"reader": func(s *httpserver.Responder) error { return s.WriteReaderWith(strings.NewReader("x"), h) },
		"chunks": func(s *httpserver.Responder) error {
			return errors.Join(s.WriteBeginChunkedWith(h, nil), s.WriteEndChunked([]byte("x")))
		},
		"content": func(s *httpserver.Responder) error {
			return s.WriteContent("f", time.Time{}, strings.NewReader("x"), h)
		},
	} {
		handler := httpserver.HandlerFunc(func(_ *http.Request, s *httpserver.Responder) { assert.NoError(t, do(s)) })
		addr := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"from outside"`)
			w.Header().Set("Set-Cookie", "c=d")
			handler.ServeHTTP(w, r)
		}))
		got := raw(t, addr, h1("GET"))
		for _, line := range []string{want, "Content-Type: a/b\r\n", "x-lower: 1\r\n", "DNT: 1\r\n", "Set-Cookie: a=b\r\n", "Set-Cookie: c=d\r\n"} {
			assert.Contains(t, got, line, name)
		}
		assert.NotContains(t, got, "outside", name)
		assert.Contains(t, frames(t, addr, "GET"), `etag="x"`, name)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		assert.Equal(t, `"x"`, w.Result().Header.Get("ETag"), name)
	}
}

// TestPhrase: a status that net/http has no words for has Qt's.
func TestPhrase(t *testing.T) {
	addr := serve(t, httpserver.HandlerFunc(func(r *http.Request, s *httpserver.Responder) {
		assert.NoError(t, s.WriteData([]byte("x"), "a/b", httpserver.NetworkConnectTimeoutError))
	}))
	const rest = " 599 Network Connect Timeout Error\r\nConnection: close\r\nContent-Length: 1\r\nContent-Type: a/b\r\n\r\n"
	assert.Equal(t, "HTTP/1.1"+rest+"x", raw(t, addr, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	assert.Equal(t, "HTTP/1.0"+rest+"x", raw(t, addr, "GET / HTTP/1.0\r\n\r\n"))
	assert.Equal(t, "HTTP/1.1"+rest, raw(t, addr, h1("HEAD")))
	assert.Equal(t, "HEADERS :status=599 content-length=1 content-type=a/b\nDATA x\nEND", frames(t, addr, "GET"))
	assert.Contains(t, raw(t, addr, "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx"), "HTTP/1.1 599 ")
	w := httptest.NewRecorder()
	httpserver.HandlerFunc(func(_ *http.Request, s *httpserver.Responder) {
		assert.NoError(t, s.WriteStatus(httpserver.NetworkConnectTimeoutError))
	}).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	assert.Equal(t, 599, w.Code)
}

// TestMissingHandlerRemoved: nil is ServeMux's own answers.
func TestMissingHandlerRemoved(t *testing.T) {
	s := newServer(t, httpserver.Config{})
	s.SetMissingHandler(func(_ *http.Request, w *httpserver.Responder) { w.WriteStatus(httpserver.Gone) })
	addr := listen(t, s)
	assert.Contains(t, raw(t, addr, h1("GET")), "HTTP/1.1 410 ")
	s.SetMissingHandler(nil)
	assert.Contains(t, raw(t, addr, h1("GET")), "HTTP/1.1 404 ")
}

// flushes counts what a writer has to do.
type flushes struct {
	http.ResponseWriter
	n int
}

func (f *flushes) FlushError() error {
	f.n++
	return http.NewResponseController(f.ResponseWriter).Flush()
}

// TestFewFlushes: a source that has more at once is not flushed for every block of it.
func TestFewFlushes(t *testing.T) {
	const blocks = 1024
	f := &flushes{}
	addr := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.ResponseWriter = w
		httpserver.HandlerFunc(func(_ *http.Request, s *httpserver.Responder) {
			assert.NoError(t, s.WriteReader(sequential{bytes.NewReader(make([]byte, blocks*32<<10))}, "a/b"))
		}).ServeHTTP(f, r)
	}))
	resp, err := http.Get("http://" + addr)
	require.NoError(t, err)
	n, err := io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	assert.EqualValues(t, blocks*32<<10, n)
	assert.Less(t, f.n, blocks/2)
	http.DefaultClient.CloseIdleConnections()
}

// TestQuietSource: what a source gives leaves though it gives no more, and is no whole
// block.
func TestQuietSource(t *testing.T) {
	pr, pw := io.Pipe()
	addr := serve(t, httpserver.HandlerFunc(func(_ *http.Request, s *httpserver.Responder) {
		assert.NoError(t, s.WriteReader(pr, "a/b"))
	}))
	c := send(t, addr, "GET / HTTP/1.0\r\n\r\n")
	var got []byte
	buf := make([]byte, 1000)
	for i := range 100 { // in a row, and each is waited for
		_, err := fmt.Fprintf(pw, "(%d)", i)
		require.NoError(t, err)
		for !bytes.HasSuffix(got, fmt.Appendf(nil, "(%d)", i)) {
			n, err := c.Read(buf)
			require.NoError(t, err)
			got = append(got, buf[:n]...)
		}
	}
	pw.Close()
	rest, err := io.ReadAll(c)
	assert.NoError(t, err)
	assert.Empty(t, rest)
}
