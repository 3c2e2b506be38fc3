package flow_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/internal/flow"
	"github.com/netreply/netreply/internal/testserver"
	"github.com/netreply/netreply/internal/wire"
)

// echo returns the body, its type and the Content-Length.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("X-Type", r.Header.Get("Content-Type"))
	w.Header().Set("X-Length", fmt.Sprint(r.ContentLength))
	w.Write(body)
}

// TestUploads: the reports during an upload. Over HTTP/1 Sent is reported with the first
// bytes, over HTTP/2 before them (rules S36 and S42).
func TestUploads(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 2<<10) // two pieces of minimum size
	unknown := func(text string) *flow.Payload {
		p := fromSource(text)
		p.Size = -1
		return p
	}
	for name, row := range map[string]struct {
		body   *flow.Payload
		text   string
		h1, h2 string
		length string // Content-Length of the request
	}{
		"memory":                {inMemory("text"), "text", "uploaded 4/4, sent", "sent, uploaded 4/4", "4"},
		"source":                {fromSource("text"), "text", "uploads, uploaded 4/4, sent", "uploads, sent, uploaded 4/4", "4"},
		"empty":                 {inMemory(""), "", "sent", "sent", "0"},
		"unknown length":        {unknown("text"), "text", "uploads, uploaded 4/-1, sent, uploaded 4/4", "uploads, sent, uploaded 4/-1, uploaded 4/4", "-1"},
		"unknown length, empty": {unknown(""), "", "uploads, sent", "uploads, sent", "-1"},
		"large": {inMemory(large), large, "uploads, uploaded 16384/32768, sent, uploaded 32768/32768",
			"uploads, sent, uploaded 16384/32768, uploaded 32768/32768", "32768"},
		"none": {nil, "", "sent", "sent", "0"},
		"longer than its size": {&flow.Payload{Size: 2, Rewindable: true, Open: fromSource("text").Open}, "te",
			"uploads, uploaded 2/2, sent", "uploads, sent, uploaded 2/2", "2"},
		"blocking": {&flow.Payload{Size: 4, Rewindable: true, Blocks: true, Open: fromSource("text").Open}, "text",
			"uploads, uploaded 4/4, sent", "uploads, sent, uploaded 4/4", "4"},
	} {
		t.Run(name, func(t *testing.T) {
			eachKind(t, echo, func(t *testing.T, s *server) {
				r := s.ok(new(watcher), s.request(http.MethodPut, "/", row.body))
				assert.Equal(t, row.text, r.body)
				assert.Equal(t, row.length, r.resp.Header.Get("X-Length"))
				want := row.h1
				if s.http2() {
					want = row.h2
				}
				assert.Equal(t, want, strings.Join(r.told("uploads", "no-upload", "uploaded", "sent"), ", "))
				if strings.HasPrefix(want, "uploads") {
					assert.EqualValues(t, len(row.text), r.sent.Load())
				}
			})
		})
	}
}

// TestUploadType: the Content-Type is that of the payload, unless the request has one.
func TestUploadType(t *testing.T) {
	s := newServer(t, testserver.Plain, echo)
	p := inMemory("text")
	p.MIME = "text/plain"
	q := s.request(http.MethodPut, "/", p)
	assert.Equal(t, "text/plain", s.ok(new(watcher), q).resp.Header.Get("X-Type"))
	q.Headers = headers.New("content-type", "text/html")
	assert.Equal(t, "text/html", s.ok(new(watcher), q).resp.Header.Get("X-Type"))
}

// TestUploadFails: the source of a body fails to open, fails to read, or ends too early.
func TestUploadFails(t *testing.T) {
	broken := errors.New("broken")
	source := func(src io.Reader) func() (io.Reader, error) { return func() (io.Reader, error) { return src, nil } }
	eachKind(t, echo, func(t *testing.T, s *server) {
		for _, blocks := range []bool{false, true} {
			r := s.do(new(watcher), s.request(http.MethodPut, "/", &flow.Payload{Size: 4, Blocks: blocks, Open: func() (io.Reader, error) { return nil, broken }}))
			var e *flow.Error
			require.ErrorAs(t, r.err, &e)
			assert.Equal(t, flow.BodySource, e.Kind)
			assert.Equal(t, broken.Error(), e.Error())
			require.ErrorIs(t, r.err, broken)
			assert.Empty(t, r.told("sent"))

			r = s.do(new(watcher), s.request(http.MethodPut, "/", &flow.Payload{Size: 4, Blocks: blocks,
				Open: source(io.MultiReader(strings.NewReader("te"), iotest.ErrReader(broken)))}))
			var we *wire.Error
			require.ErrorAs(t, r.err, &we)
			assert.Equal(t, wire.Source, we.Fault)
			require.ErrorIs(t, r.err, broken)

			r = s.do(new(watcher), s.request(http.MethodPut, "/", &flow.Payload{Size: 4, Blocks: blocks, Open: source(strings.NewReader("te"))}))
			require.ErrorAs(t, r.err, &we)
			assert.Equal(t, wire.Source, we.Fault)
			var short *flow.ShortSourceError
			require.ErrorAs(t, r.err, &short)
			assert.Equal(t, flow.ShortSourceError{Got: 2, Want: 4}, *short)
			require.ErrorIs(t, r.err, io.ErrUnexpectedEOF)
		}
	})
}

// countedSource is a source that counts how often it is closed.
type countedSource struct {
	io.Reader
	closed *atomic.Int64
}

func (c countedSource) Close() error { c.closed.Add(1); return nil }

// TestUploadCloses: an opened source is closed once, at the latest at the end of the
// transfer; a source of the program is not closed.
func TestUploadCloses(t *testing.T) {
	eachKind(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/early":
			w.WriteHeader(http.StatusForbidden)
			return
		case "/redirect":
			io.Copy(io.Discard, r.Body)
			http.Redirect(w, r, "/", http.StatusTemporaryRedirect)
		case "/drop":
			io.Copy(io.Discard, r.Body)
			http.Redirect(w, r, "/", http.StatusSeeOther)
		case "/login":
			askBasic(w, r)
		default:
			io.Copy(io.Discard, r.Body)
		}
	}, func(t *testing.T, s *server) {
		for _, path := range []string{"/", "/early", "/redirect", "/drop", "/login"} {
			for _, blocks := range []bool{false, true} {
				for _, owned := range []bool{false, true} {
					var opened, closed atomic.Int64
					q := s.request(http.MethodPut, path, &flow.Payload{Size: -1, Rewindable: true, Owned: owned, Blocks: blocks, Open: func() (io.Reader, error) {
						opened.Add(1)
						return countedSource{strings.NewReader(strings.Repeat("text", 1<<10)), &closed}, nil
					}})
					q.AsksPassword = true
					s.ok(&watcher{password: answers(right)}, q)
					want := opened.Load()
					if !owned {
						want = 0
					}
					assert.Equal(t, want, closed.Load(), "%s, blocks %v, owned %v", path, blocks, owned)
					s.engine.ForgetLogins()
				}
			}
		}
	})
}

// TestUploadAborted: the end of the context ends a transfer whose source blocks.
func TestUploadAborted(t *testing.T) {
	eachKind(t, echo, func(t *testing.T, s *server) {
		src, w := io.Pipe()
		defer w.Close()
		aborted := errors.New("aborted")
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			w.Write([]byte("te"))
			cancel(aborted)
		}()
		q := s.request(http.MethodPut, "/", &flow.Payload{Size: 4, Blocks: true, Open: func() (io.Reader, error) { return src, nil }})
		r := s.doIn(ctx, new(watcher), q, nil)
		assert.Equal(t, aborted, r.err)
		assert.Nil(t, r.resp)
	})
}

// TestUploadEarlyHead: a response before the first byte of a body reports that the request
// was sent.
func TestUploadEarlyHead(t *testing.T) {
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		c.Head()
		c.Say("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
		io.Copy(io.Discard, c.R)
	})
	src, w := io.Pipe()
	defer w.Close()
	r := newClient(t, nil, "").ok(new(watcher), request(http.MethodPut, s.URL(), &flow.Payload{Size: 4, Blocks: true, Open: func() (io.Reader, error) { return src, nil }}))
	assert.Equal(t, []string{"uploads", "sent", "head 403 final"}, r.told("uploads", "uploaded", "sent", "head"))
}

// TestUploadPausesClock: the clock is paused while the source is read or opened.
func TestUploadPausesClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newMemoryClient(t, func(c *testserver.Conn) {
			if _, body, ok := c.Request(); ok {
				c.Say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
			}
		})
		defer c.close()
		for _, blocks := range []bool{false, true} {
			var expired atomic.Bool
			clock := flow.NewClock(time.Second, func() { expired.Store(true) })
			clock.Start()
			text := strings.NewReader("text")
			r := c.doIn(t.Context(), new(watcher), request(http.MethodPut, "http://a/", &flow.Payload{Size: 4, Blocks: blocks, Open: func() (io.Reader, error) {
				time.Sleep(time.Hour)
				return readerFunc(func(p []byte) (int, error) { time.Sleep(time.Hour); return text.Read(p[:1]) }), nil
			}}), func(t *flow.Transfer) { t.Clock = clock })
			clock.Stop()
			require.NoError(t, r.err)
			assert.Equal(t, "text", r.body)
			assert.False(t, expired.Load())
		}
	})
}

// TestSequential: a sequential source can be opened again until it was read, and a replaced
// reader gets no bytes.
func TestSequential(t *testing.T) {
	s := &flow.Sequential{Source: strings.NewReader("text")}
	first, err := s.Open()
	require.NoError(t, err)
	second, err := s.Open()
	require.NoError(t, err)
	_, err = first.Read(make([]byte, 4))
	require.Error(t, err)
	text, err := io.ReadAll(second)
	require.NoError(t, err)
	assert.Equal(t, "text", string(text))
	_, err = s.Open()
	assert.Equal(t, flow.ErrNotRewindable, err)
}
