package httpserver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/httpserver"
)

// sequential has no size and no Close.
type sequential struct{ io.Reader }

func equal[T comparable](want, got T) error {
	if want != got {
		return fmt.Errorf("%v, not %v", got, want)
	}
	return nil
}

// TestWire is every call of QHttpServerResponder, byte by byte on HTTP/1.1 and frame
// by frame on HTTP/2.
func TestWire(t *testing.T) {
	const end = "\r\nConnection: close\r\n\r\n"
	h := headers.New("X-A", "1", "x-b", "2", "X-A", "3")
	large := bytes.Repeat([]byte("0123456789"), 500)
	for _, c := range []struct {
		name   string
		do     func(*httpserver.Responder) error
		h1, h2 string
	}{
		{"write()", func(s *httpserver.Responder) error { return s.WriteStatus() },
			"HTTP/1.1 200 OK\r\nContent-Type: application/x-empty\r\nContent-Length: 0" + end,
			"HEADERS :status=200 content-length=0 content-type=application/x-empty\nEND"},
		{"write(status)", func(s *httpserver.Responder) error { return s.WriteStatus(httpserver.NotFound) },
			"HTTP/1.1 404 Not Found\r\nContent-Type: application/x-empty\r\nContent-Length: 0" + end,
			"HEADERS :status=404 content-length=0 content-type=application/x-empty\nEND"},
		{"write(204)", func(s *httpserver.Responder) error { return s.WriteStatus(httpserver.NoContent) },
			"HTTP/1.1 204 No Content\r\nContent-Type: application/x-empty" + end,
			"HEADERS :status=204 content-type=application/x-empty\nEND"},
		{"write(headers)", func(s *httpserver.Responder) error { return s.WriteHeaders(h) },
			"HTTP/1.1 200 OK\r\nX-A: 1\r\nX-A: 3\r\nx-b: 2\r\nContent-Length: 0" + end,
			"HEADERS :status=200 content-length=0 x-a=1 x-a=3 x-b=2\nEND"},
		{"write(headers, status)", func(s *httpserver.Responder) error {
			return s.WriteHeaders(headers.New("Location", "/x"), httpserver.PermanentRedirect)
		},
			"HTTP/1.1 308 Permanent Redirect\r\nLocation: /x\r\nContent-Length: 0" + end, "HEADERS :status=308 content-length=0 location=/x\nEND"},
		{"write(json)", func(s *httpserver.Responder) error { return s.WriteJSON(map[string]int{"a": 1}) },
			"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7" + end + `{"a":1}`,
			"HEADERS :status=200 content-length=7 content-type=application/json\nDATA {\"a\":1}\nEND"},
		{"write(json, headers, status)", func(s *httpserver.Responder) error {
			return s.WriteJSONWith([]int{1}, headers.New("Location", "/1"), httpserver.Created)
		},
			"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nLocation: /1\r\nContent-Length: 3" + end + "[1]",
			"HEADERS :status=201 content-length=3 content-type=application/json location=/1\nDATA [1]\nEND"},
		{"write(json, headers with a type)", func(s *httpserver.Responder) error {
			return s.WriteJSONWith(1, headers.New("content-type", "application/problem+json"), httpserver.BadRequest)
		},
			"HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\nContent-Length: 1" + end + "1",
			"HEADERS :status=400 content-length=1 content-type=application/problem+json\nDATA 1\nEND"},
		{"write(bytes, mime)", func(s *httpserver.Responder) error { return s.WriteData([]byte("hi"), "text/plain") },
			"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2" + end + "hi",
			"HEADERS :status=200 content-length=2 content-type=text/plain\nDATA hi\nEND"},
		{"write(bytes, mime, status), large", func(s *httpserver.Responder) error {
			return s.WriteData(large, "text/plain", httpserver.ImATeapot)
		},
			"HTTP/1.1 418 I'm a teapot\r\nContent-Length: 5000\r\nContent-Type: text/plain" + end + string(large),
			"HEADERS :status=418 content-length=5000 content-type=text/plain\nDATA 5000 bytes\nEND"},
		{"write(bytes, headers)", func(s *httpserver.Responder) error { return s.WriteDataWith([]byte("<html>"), h) },
			"HTTP/1.1 200 OK\r\nX-A: 1\r\nX-A: 3\r\nx-b: 2\r\nContent-Length: 6\r\nContent-Type: text/html; charset=utf-8" + end + "<html>",
			"HEADERS :status=200 content-length=6 content-type=text/html; charset=utf-8 x-a=1 x-a=3 x-b=2\nDATA <html>\nEND"},
		{"write(device of known size, mime)", func(s *httpserver.Responder) error {
			return s.WriteReader(strings.NewReader("known"), "text/plain")
		},
			"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain" + end + "known",
			"HEADERS :status=200 content-length=5 content-type=text/plain\nDATA known\nEND"},
		{"write(sequential device, mime, status)", func(s *httpserver.Responder) error {
			return s.WriteReader(sequential{io.MultiReader(strings.NewReader("one"), strings.NewReader("two"))}, "text/plain", httpserver.Accepted)
		},
			"HTTP/1.1 202 Accepted\r\nContent-Type: text/plain\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n",
			"HEADERS :status=202 content-type=text/plain\nDATA onetwo\nEND"},
		{"write(device, headers)", func(s *httpserver.Responder) error {
			return s.WriteReaderWith(bytes.NewReader(large), headers.New("Content-Type", "a/b", "X-A", "1"))
		},
			"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\nContent-Type: a/b\r\nX-A: 1" + end + string(large),
			"HEADERS :status=200 content-length=5000 content-type=a/b x-a=1\nDATA 5000 bytes\nEND"},
		{"sendResponse", func(s *httpserver.Responder) error {
			return s.SendResponse(httpserver.TextResponse("text", httpserver.Gone))
		},
			"HTTP/1.1 410 Gone\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 4" + end + "text",
			"HEADERS :status=410 content-length=4 content-type=text/plain; charset=utf-8\nDATA text\nEND"},
		{"writeBeginChunked(mime)", func(s *httpserver.Responder) error {
			return errors.Join(s.WriteBeginChunked("text/plain"), s.WriteChunk([]byte("one")), s.WriteChunk(nil), s.WriteChunk([]byte("two")),
				s.WriteEndChunked([]byte("three")))
		},
			"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n",
			"HEADERS :status=200 content-type=text/plain\nDATA onetwothree\nEND"},
		{"writeBeginChunked(headers, status)", func(s *httpserver.Responder) error {
			return errors.Join(s.WriteBeginChunkedWith(h, nil, httpserver.MultiStatus), s.WriteEndChunked(nil))
		},
			"HTTP/1.1 207 Multi-Status\r\nX-A: 1\r\nX-A: 3\r\nx-b: 2\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
			"HEADERS :status=207 x-a=1 x-a=3 x-b=2\nEND"},
		{"writeBeginChunked(headers, trailers)", func(s *httpserver.Responder) error {
			return errors.Join(s.WriteBeginChunkedWith(headers.New("Content-Type", "a/b"), []string{"X-Sum", "x-two"}), s.WriteChunk([]byte("one")),
				s.WriteEndChunkedWith([]byte("end"), headers.New("x-sum", "42", "X-Two", "1", "X-Two", "2")))
		},
			"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTrailer: X-Sum\r\nTrailer: X-Two\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n" +
				"3\r\none\r\n3\r\nend\r\n0\r\nX-Two: 1\r\nX-Two: 2\r\nx-sum: 42\r\n\r\n",
			"HEADERS :status=200 content-type=a/b trailer=X-Sum trailer=X-Two\nDATA oneend\nHEADERS x-sum=42 x-two=1 x-two=2\nEND"},
		{"swap", func(s *httpserver.Responder) error {
			other := httptest.NewRecorder()
			err := errors.New("the handler was not called")
			httpserver.HandlerFunc(func(_ *http.Request, o *httpserver.Responder) {
				o.Swap(s)
				err = o.WriteStatus(httpserver.Locked)
			}).ServeHTTP(other, httptest.NewRequest("GET", "/", nil))
			return errors.Join(err, equal(500, other.Code), equal(httpserver.ErrHandlerReturned, s.WriteStatus()))
		},
			"HTTP/1.1 423 Locked\r\nContent-Type: application/x-empty\r\nContent-Length: 0" + end,
			"HEADERS :status=423 content-length=0 content-type=application/x-empty\nEND"},
		{"nothing", func(*httpserver.Responder) error { return nil },
			"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/x-empty\r\nContent-Length: 0" + end,
			"HEADERS :status=500 content-length=0 content-type=application/x-empty\nEND"},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr := serve(t, httpserver.HandlerFunc(func(_ *http.Request, s *httpserver.Responder) { assert.NoError(t, c.do(s)) }))
			assert.Equal(t, c.h1, raw(t, addr, h1("GET")))
			assert.Equal(t, c.h2, frames(t, addr, "GET"))
		})
	}
}

// TestHead: the head of the answer and nothing of its body.
func TestHead(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(*httpserver.Responder) error
		head string
	}{
		"data":   {func(s *httpserver.Responder) error { return s.WriteData([]byte("hello"), "a/b") }, "Content-Length: 5\r\nContent-Type: a/b\r\n"},
		"reader": {func(s *httpserver.Responder) error { return s.WriteReader(strings.NewReader("hello"), "a/b") }, "Content-Length: 5\r\nContent-Type: a/b\r\n"},
		"sequential": {func(s *httpserver.Responder) error {
			return s.WriteReader(sequential{strings.NewReader("hello")}, "a/b")
		}, "Content-Type: a/b\r\n"},
		"chunked": {func(s *httpserver.Responder) error {
			return errors.Join(s.WriteBeginChunked("a/b"), equal(httpserver.ErrBodyNotAllowed, s.WriteChunk([]byte("x"))), s.WriteEndChunked([]byte("y")))
		}, "Content-Type: a/b\r\n"},
		"headers": {func(s *httpserver.Responder) error { return s.WriteHeaders(headers.New("Content-Length", "77")) }, "Content-Length: 77\r\n"},
	} {
		addr := serve(t, httpserver.HandlerFunc(func(_ *http.Request, s *httpserver.Responder) { assert.NoError(t, c.do(s)) }))
		got := raw(t, addr, h1("HEAD"))
		head, body, _ := strings.Cut(got, "\r\n\r\n")
		assert.Empty(t, body, name)
		assert.Contains(t, head+"\r\n", "HTTP/1.1 200 OK\r\n"+c.head, name)
		assert.NotContains(t, frames(t, addr, "HEAD"), "DATA", name)
	}
}

// TestRefused: what cannot be sent is an error, and another answer still can.
func TestRefused(t *testing.T) {
	bad := func(pairs ...string) func(*httpserver.Responder) error {
		return func(s *httpserver.Responder) error { return s.WriteDataWith([]byte("body"), headers.New(pairs...)) }
	}
	var he *httpserver.HeaderError
	var se *httpserver.StatusError
	var srcErr *httpserver.SourceError
	for name, c := range map[string]struct {
		do   func(*httpserver.Responder) error
		want any
	}{
		"line end in a value":   {bad("X", "a\r\nY: z"), &he},
		"NUL in a value":        {bad("X", "a\x00"), &he},
		"blank in a name":       {bad("X Y", "a"), &he},
		"empty name":            {bad("", "a"), &he},
		"wrong length":          {bad("Content-Length", "5"), &he},
		"length that is none":   {bad("content-length", "x"), &he},
		"length with a sign":    {bad("Content-Length", "+4"), &he},
		"two lengths":           {bad("Content-Length", "4", "content-length", "4"), &he},
		"transfer-encoding":     {bad("Transfer-Encoding", "chunked"), &he},
		"trailer":               {bad("Trailer", "X"), &he},
		"MIME type":             {func(s *httpserver.Responder) error { return s.WriteData(nil, "a\r\nb") }, &he},
		"no MIME type":          {func(s *httpserver.Responder) error { return s.WriteBeginChunked("") }, &he},
		"length without a body": {func(s *httpserver.Responder) error { return s.WriteHeaders(headers.New("Content-Length", "3")) }, &he},
		"length and chunked": {func(s *httpserver.Responder) error {
			return s.WriteBeginChunkedWith(headers.New("Content-Length", "3"), nil)
		}, &he},
		"forbidden trailer": {func(s *httpserver.Responder) error {
			return s.WriteBeginChunkedWith(headers.Headers{}, []string{"Content-Length"})
		}, &he},
		"trailer that is no name": {func(s *httpserver.Responder) error {
			return s.WriteBeginChunkedWith(headers.Headers{}, []string{"a b"})
		}, &he},
		"interim status":        {func(s *httpserver.Responder) error { return s.WriteStatus(httpserver.Processing) }, &se},
		"switching protocols":   {func(s *httpserver.Responder) error { return s.WriteStatus(httpserver.SwitchingProtocols) }, &se},
		"no status":             {func(s *httpserver.Responder) error { return s.WriteStatus(0) }, &se},
		"negative status":       {func(s *httpserver.Responder) error { return s.WriteJSON(1, -1) }, &se},
		"status of four digits": {func(s *httpserver.Responder) error { return s.WriteBeginChunked("a/b", 1000) }, &se},
		"204 with a body":       {func(s *httpserver.Responder) error { return s.WriteData([]byte("x"), "a/b", httpserver.NoContent) }, httpserver.ErrBodyNotAllowed},
		"304 with a source": {func(s *httpserver.Responder) error {
			return s.WriteReader(strings.NewReader("x"), "a/b", httpserver.NotModified)
		}, httpserver.ErrBodyNotAllowed},
		"205 in chunks":         {func(s *httpserver.Responder) error { return s.WriteBeginChunked("a/b", httpserver.ResetContent) }, httpserver.ErrBodyNotAllowed},
		"no JSON":               {func(s *httpserver.Responder) error { return s.WriteJSON(make(chan int)) }, nil},
		"source that fails":     {func(s *httpserver.Responder) error { return s.WriteReader(iotest.ErrReader(fs.ErrPermission), "a/b") }, fs.ErrPermission},
		"no source":             {func(s *httpserver.Responder) error { return s.WriteReader(nil, "a/b") }, &srcErr},
		"chunk before begin":    {func(s *httpserver.Responder) error { return s.WriteChunk([]byte("x")) }, httpserver.ErrNotChunked},
		"end before begin":      {func(s *httpserver.Responder) error { return s.WriteEndChunked(nil) }, httpserver.ErrNotChunked},
		"interim that is final": {func(s *httpserver.Responder) error { return s.WriteInformational(200, headers.Headers{}) }, &se},
		"interim 101":           {func(s *httpserver.Responder) error { return s.WriteInformational(101, headers.Headers{}) }, &se},
		"interim with a length": {func(s *httpserver.Responder) error {
			return s.WriteInformational(103, headers.New("Content-Length", "1"))
		}, &he},
		"interim with a line end": {func(s *httpserver.Responder) error { return s.WriteInformational(103, headers.New("Link", "a\nb")) }, &he},
		"content with a length": {func(s *httpserver.Responder) error {
			return s.WriteContent("x", time.Time{}, strings.NewReader("x"), headers.New("Content-Length", "1"))
		}, &he},
		"response with a bad name": {func(s *httpserver.Responder) error {
			return s.SendResponse(&httpserver.Response{Headers: headers.New("a b", "c")})
		}, &he},
	} {
		addr := serve(t, httpserver.HandlerFunc(func(_ *http.Request, s *httpserver.Responder) {
			err := c.do(s)
			switch want := c.want.(type) {
			case nil:
				assert.Error(t, err, name)
			case error:
				assert.ErrorIs(t, err, want, name)
			default:
				assert.ErrorAs(t, err, want, name)
			}
			assert.False(t, s.Responded(), name)
			assert.NoError(t, s.WriteData([]byte("sorry"), "text/plain", httpserver.InternalServerError), name)
		}))
		assert.Equal(t, "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nConnection: close\r\n\r\nsorry", raw(t, addr, h1("GET")), name)
	}
}

// TestTwice: after an answer, or in the middle of one, nothing else gets out.
func TestTwice(t *testing.T) {
	all := map[string]func(*httpserver.Responder) error{
		"WriteStatus":  func(s *httpserver.Responder) error { return s.WriteStatus() },
		"WriteHeaders": func(s *httpserver.Responder) error { return s.WriteHeaders(headers.New("X", "y")) },
		"WriteJSON":    func(s *httpserver.Responder) error { return s.WriteJSON(1) },
		"WriteData":    func(s *httpserver.Responder) error { return s.WriteData([]byte("x"), "a/b") },
		"WriteReader":  func(s *httpserver.Responder) error { return s.WriteReader(strings.NewReader("x"), "a/b") },
		"sequential":   func(s *httpserver.Responder) error { return s.WriteReader(sequential{strings.NewReader("x")}, "a/b") },
		"SendResponse": func(s *httpserver.Responder) error { return s.SendResponse(httpserver.TextResponse("x")) },
		"WriteContent": func(s *httpserver.Responder) error {
			return s.WriteContent("x", time.Time{}, strings.NewReader("x"), headers.Headers{})
		},
		"WriteBeginChunked":  func(s *httpserver.Responder) error { return s.WriteBeginChunked("a/b") },
		"Events":             func(s *httpserver.Responder) error { _, err := s.Events(); return err },
		"WriteInformational": func(s *httpserver.Responder) error { return s.WriteInformational(103, headers.Headers{}) },
	}
	for name, first := range all {
		if name == "WriteInformational" {
			continue
		}
		open := name == "WriteBeginChunked" || name == "Events"
		clean := ""
		for _, more := range []bool{false, true} {
			addr := serve(t, httpserver.HandlerFunc(func(_ *http.Request, s *httpserver.Responder) {
				require.NoError(t, first(s), name)
				if more {
					for second, f := range all {
						assert.ErrorIs(t, f(s), httpserver.ErrAlreadyResponded, "%s, %s", name, second)
					}
				}
				if open {
					assert.NoError(t, s.WriteEndChunked(nil))
				}
				if more {
					assert.ErrorIs(t, s.WriteChunk([]byte("x")), httpserver.ErrNotChunked)
					assert.ErrorIs(t, s.WriteEndChunked([]byte("x")), httpserver.ErrNotChunked)
				}
			}))
			got := raw(t, addr, h1("GET"))
			if more {
				assert.Equal(t, clean, got, name)
			}
			clean = got
		}
	}
}

// TestTrailers: all that were announced and no others; the answer stays open until
// they are right.
func TestTrailers(t *testing.T) {
	addr := serve(t, httpserver.HandlerFunc(func(_ *http.Request, s *httpserver.Responder) {
		require.NoError(t, s.WriteBeginChunkedWith(headers.Headers{}, []string{"X-Sum"}))
		assert.ErrorIs(t, s.WriteEndChunked(nil), httpserver.ErrTrailer, "missing")
		assert.ErrorIs(t, s.WriteEndChunkedWith(nil, headers.New("X-Sum", "1", "X-Other", "2")), httpserver.ErrTrailer, "not announced")
		var he *httpserver.HeaderError
		assert.ErrorAs(t, s.WriteEndChunkedWith(nil, headers.New("X-Sum", "a\r\nb")), &he)
		assert.NoError(t, s.WriteChunk([]byte("still open")))
		assert.NoError(t, s.WriteEndChunkedWith(nil, headers.New("X-Sum", "1")))
	}))
	assert.True(t, strings.HasSuffix(raw(t, addr, h1("GET")), "\r\n\r\na\r\nstill open\r\n0\r\nX-Sum: 1\r\n\r\n"))
}

// TestInformational: early hints come before the answer and leave nothing in it.
func TestInformational(t *testing.T) {
	addr := serve(t, httpserver.HandlerFunc(func(_ *http.Request, s *httpserver.Responder) {
		for i := range 2 {
			assert.NoError(t, s.WriteInformational(httpserver.EarlyHints, headers.New("Link", "</style.css>; rel=preload", "X-N", string(rune('0'+i)))))
		}
		assert.NoError(t, s.WriteData([]byte("x"), "a/b"))
	}))
	assert.Equal(t, "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\nX-N: 0\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\nX-N: 1\r\n\r\n"+
		"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx", raw(t, addr, h1("GET")))
	assert.NotContains(t, raw(t, addr, "GET / HTTP/1.0\r\n\r\n"), "103")
	assert.Contains(t, frames(t, addr, "GET"), "HEADERS :status=103 link=</style.css>; rel=preload x-n=0\n")
}

// TestContent: ranges and conditions.
func TestContent(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	addr := serve(t, httpserver.HandlerFunc(func(_ *http.Request, s *httpserver.Responder) {
		assert.NoError(t, s.WriteContent("a.txt", at, strings.NewReader("0123456789"), headers.New("ETag", `"v1"`)))
	}))
	get := func(extra string) string {
		return raw(t, addr, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"+extra+"\r\n")
	}
	assert.Contains(t, get(""), "HTTP/1.1 200 OK\r\nAccept-Ranges: bytes\r\nContent-Length: 10\r\nContent-Type: text/plain; charset=utf-8\r\nETag: \"v1\"\r\n")
	assert.Regexp(t, `^HTTP/1.1 206 Partial Content[^$]*\r\n\r\n345$`, get("Range: bytes=3-5\r\n"))
	assert.Regexp(t, `^HTTP/1.1 304 `, get("If-None-Match: \"v1\"\r\n"))
	assert.Regexp(t, `^HTTP/1.1 416 `, get("Range: bytes=50-\r\n"))
	assert.Regexp(t, `^HTTP/1.1 412 `, get("If-Match: \"v2\"\r\n"))
}

// TestEvents: what a browser reads.
func TestEvents(t *testing.T) {
	addr := serve(t, httpserver.HandlerFunc(func(r *http.Request, s *httpserver.Responder) {
		e, err := s.Events()
		require.NoError(t, err)
		assert.Equal(t, r.Header.Get("Last-Event-ID"), e.LastEventID())
		assert.NoError(t, e.Comment("hello"))
		assert.NoError(t, e.Send(httpserver.Event{ID: "1", Name: "n", Data: "a\nb\r\nc", Retry: 1500 * time.Millisecond}))
		assert.NoError(t, e.Send(httpserver.Event{}))
		for _, bad := range []httpserver.Event{{ID: "a\nb"}, {Name: "a\rb"}, {ID: "\x00"}} {
			assert.Error(t, e.Send(bad))
		}
		assert.Error(t, e.Comment("a\nb"))
		assert.NoError(t, e.Close())
		assert.ErrorIs(t, e.Send(httpserver.Event{}), httpserver.ErrNotChunked)
	}))
	got := raw(t, addr, "GET / HTTP/1.0\r\nLast-Event-ID: 0\r\n\r\n")
	assert.Equal(t, "HTTP/1.0 200 OK\r\nCache-Control: no-cache\r\nContent-Type: text/event-stream\r\nX-Accel-Buffering: no\r\n\r\n"+
		": hello\n\nid: 1\nevent: n\nretry: 1500\ndata: a\ndata: b\ndata: c\n\ndata: \n\n", got)
}

// TestCanceled: a client that goes is seen.
func TestCanceled(t *testing.T) {
	begun, seen := make(chan struct{}), make(chan bool, 1)
	addr := serve(t, httpserver.HandlerFunc(func(_ *http.Request, s *httpserver.Responder) {
		assert.False(t, s.IsResponseCanceled())
		close(begun)
		<-s.Context().Done()
		seen <- s.IsResponseCanceled()
		s.WriteStatus()
	}))
	ctx, cancel := context.WithCancel(t.Context())
	m, err := netreply.NewManager(netreply.Config{})
	require.NoError(t, err)
	defer m.Close()
	req, _ := netreply.NewRequest("http://" + addr)
	m.Get(ctx, req)
	<-begun
	cancel()
	assert.True(t, <-seen)
}

// TestAround: what a middleware or a Go program needs.
func TestAround(t *testing.T) {
	inner := httpserver.HandlerFunc(func(_ *http.Request, s *httpserver.Responder) {
		assert.NoError(t, http.NewResponseController(s.Unwrap()).SetReadDeadline(time.Now().Add(time.Minute)))
		assert.NoError(t, s.SetWriteDeadline(time.Now().Add(time.Minute)))
		assert.Contains(t, s.RemoteAddr().String(), "127.0.0.1:")
		assert.Contains(t, s.LocalAddr().String(), "127.0.0.1:")
		assert.NoError(t, s.WriteDataWith([]byte("x"), headers.New("Content-Type", "a/b", "Vary", "B", "Connection", "x")))
	})
	addr := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "from/outside")
		w.Header().Set("Vary", "A")
		inner.ServeHTTP(w, r)
	}))
	assert.Equal(t, "HEADERS :status=200 content-length=1 content-type=a/b vary=A vary=B\nDATA x\nEND", frames(t, addr, "GET"))
	httpserver.HandlerFunc(func(_ *http.Request, s *httpserver.Responder) {
		assert.Nil(t, s.RemoteAddr())
		assert.Nil(t, s.LocalAddr())
		assert.NoError(t, s.WriteStatus())
	}).ServeHTTP(httptest.NewRecorder(), &http.Request{})
}
