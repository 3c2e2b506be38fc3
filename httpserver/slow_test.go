package httpserver_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/netreply/netreply/httpserver"
)

// TestSlowBody: a body may take as long as it likes while it comes, and no longer; the
// time that the handler takes is not the client's.
func TestSlowBody(t *testing.T) {
	for name, c := range map[string]struct {
		pause  time.Duration
		size   int // of what comes after each pause
		times  int
		think  time.Duration // the handler's own, after each piece
		status string
	}{
		"steady":           {14 * time.Second, piece, 20, 0, "200"},
		"slow handler":     {time.Second, piece, 20, time.Minute, "200"},
		"stops":            {time.Hour, piece, 3, 0, "408"},
		"drips":            {time.Second, 10, 200, 0, "408"},
		"slow":             {time.Second, 2 << 10, 96, 0, "200"},
		"too slow":         {time.Second, 1000, 1000, 0, "408"},
		"fast, then stops": {0, piece, 100, 0, "408"},
	} {
		var waited time.Duration
		handle := func(r *http.Request, s *httpserver.Responder) {
			buf := make([]byte, piece)
			for {
				began := time.Now()
				_, err := io.ReadFull(r.Body, buf)
				waited += time.Since(began)
				if err == io.EOF {
					assert.NoError(t, s.WriteStatus())
					return
				}
				if err != nil {
					assert.ErrorIs(t, err, os.ErrDeadlineExceeded, name)
					return
				}
				time.Sleep(c.think)
			}
		}
		bubble(t, patient, handle, func(t *testing.T, l *pipes) {
			conn := l.dial()
			defer conn.Close()
			length := c.size * c.times
			if c.pause == 0 {
				length++ // of which the last byte never comes
			}
			fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", length)
			wrote := make(chan error)
			go func() {
				wrote <- every(c.pause, c.times, func() error { _, err := conn.Write(make([]byte, c.size)); return err })
			}()
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if assert.NoError(t, err, name) {
				assert.Equal(t, c.status, resp.Status[:3], name)
				assert.Equal(t, c.status != "200", resp.Close, name)
			}
			if c.status != "200" && name != "too slow" {
				assert.Equal(t, 15*time.Second, waited.Truncate(time.Second), name)
			}
			conn.Close()
			<-wrote
		})
	}
}

// TestSlowReader: the same for those who do not take the answer.
func TestSlowReader(t *testing.T) {
	body := make([]byte, 20*piece)
	file := t.TempDir() + "/f"
	require.NoError(t, os.WriteFile(file, body, 0o600))
	for name, do := range map[string]func(*httpserver.Responder) error{
		"data":       func(s *httpserver.Responder) error { return s.WriteData(body, "a/b") },
		"sequential": func(s *httpserver.Responder) error { return s.WriteReader(sequential{bytes.NewReader(body)}, "a/b") },
		"sized":      func(s *httpserver.Responder) error { return s.WriteReader(bytes.NewReader(body), "a/b") },
		"file": func(s *httpserver.Responder) error {
			f, err := os.Open(file)
			require.NoError(t, err)
			return s.WriteReader(f, "a/b")
		},
		"content": func(s *httpserver.Responder) error {
			return s.WriteContent("f", time.Time{}, bytes.NewReader(body), httpserver.Headers{})
		},
		"chunks": func(s *httpserver.Responder) error {
			return errors.Join(s.WriteBeginChunked("a/b"), s.WriteChunk(body), s.WriteEndChunked(nil))
		},
	} {
		for _, reads := range []int{0, 2, 30} {
			var got error
			var took time.Duration
			handle := func(_ *http.Request, s *httpserver.Responder) {
				began := time.Now()
				got = do(s)
				took = time.Since(began)
			}
			bubble(t, patient, handle, func(t *testing.T, l *pipes) {
				conn := l.dial()
				defer conn.Close()
				io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
				buf := make([]byte, piece/8)
				every(time.Second, reads*8, func() error { _, err := io.ReadFull(conn, buf); return err })
				time.Sleep(time.Minute)
				conn.Close()
				synctest.Wait()
				if reads == 30 {
					assert.NoError(t, got, name)
				} else {
					assert.Error(t, got, name)
					assert.Less(t, took, time.Duration(reads+2)*15*time.Second, name)
				}
			})
		}
	}
}

// TestSlowHTTP2: on HTTP/2 the streams are limited, and not the connection.
func TestSlowHTTP2(t *testing.T) {
	errs := map[string]error{}
	var mu sync.Mutex
	handle := func(r *http.Request, s *httpserver.Responder) {
		var err error
		switch r.URL.Path {
		case "/body":
			_, err = io.Copy(io.Discard, r.Body)
		case "/answer":
			err = s.WriteData(make([]byte, large), "a/b")
		case "/thinks":
			if err = s.WriteBeginChunked("a/b"); err == nil {
				time.Sleep(time.Hour)
				err = s.WriteEndChunked([]byte("x"))
			}
		}
		mu.Lock()
		defer mu.Unlock()
		errs[r.URL.Path] = err
	}
	bubble(t, patient, handle, func(t *testing.T, l *pipes) {
		conn := l.dial()
		defer conn.Close()
		io.WriteString(conn, http2.ClientPreface)
		f := http2.NewFramer(conn, conn)
		f.WriteSettings()
		f.WriteWindowUpdate(0, 1<<20) // only the streams' windows are narrow
		var block bytes.Buffer
		e := hpack.NewEncoder(&block)
		ends := map[uint32]string{}
		read := make(chan struct{})
		go func() {
			defer close(read)
			for {
				frame, err := f.ReadFrame()
				if err != nil {
					return
				}
				if ends[frame.Header().StreamID] != "" {
					continue
				}
				switch frame := frame.(type) {
				case *http2.RSTStreamFrame:
					ends[frame.StreamID] = "RST"
				case *http2.HeadersFrame:
					if frame.StreamEnded() {
						ends[frame.StreamID] = "END"
					}
				case *http2.DataFrame:
					if frame.StreamEnded() {
						ends[frame.StreamID] = "END"
					}
				}
			}
		}()
		for i, path := range []string{"/body", "/answer", "/thinks"} {
			block.Reset()
			for _, kv := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":authority", "x"}, {":path", path}} {
				e.WriteField(hpack.HeaderField{Name: kv[0], Value: kv[1]})
			}
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(1 + 2*i), BlockFragment: block.Bytes(), EndHeaders: true, EndStream: path != "/body"})
		}
		time.Sleep(2 * time.Hour)
		conn.Close()
		<-read
		assert.ErrorIs(t, errs["/body"], os.ErrDeadlineExceeded)
		assert.Error(t, errs["/answer"])
		assert.NoError(t, errs["/thinks"])
		assert.Equal(t, map[uint32]string{1: "END", 3: "RST", 5: "END"}, ends)
	})
}

// TestSlowRest: neither a body that nobody reads nor an answer that nobody takes holds a
// connection when the handler has returned.
func TestSlowRest(t *testing.T) {
	for _, request := range []string{
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /missing HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /missing HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n",
	} {
		handle := func(_ *http.Request, s *httpserver.Responder) { assert.NoError(t, s.WriteData([]byte("x"), "a/b")) }
		bubbleAt(t, patient, "/{$}", handle, func(t *testing.T, l *pipes) {
			conn := l.dial()
			defer conn.Close()
			io.WriteString(conn, request)
			time.Sleep(time.Minute)
			_, err := io.WriteString(conn, "x")
			assert.ErrorIs(t, err, io.ErrClosedPipe, "%q", request)
		})
	}
}

// TestNoStallLimit: below 0 is for ever.
func TestNoStallLimit(t *testing.T) {
	handle := func(r *http.Request, s *httpserver.Responder) {
		got, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		assert.NoError(t, s.WriteData(got, "a/b"))
	}
	bubble(t, httpserver.Config{StallTimeout: -1}, handle, func(t *testing.T, l *pipes) {
		conn := l.dial()
		defer conn.Close()
		io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n")
		assert.NoError(t, every(24*time.Hour, 3, func() error { _, err := io.WriteString(conn, "x"); return err }))
		time.Sleep(24 * time.Hour)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		assert.Equal(t, 200, resp.StatusCode)
	})
}

// TestUnwrappedDeadlines: whoever writes by itself takes the time it likes.
func TestUnwrappedDeadlines(t *testing.T) {
	handle := func(r *http.Request, s *httpserver.Responder) {
		w := s.Unwrap()
		_, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		for range 3 {
			time.Sleep(time.Minute)
			_, err := io.WriteString(w, "x")
			assert.NoError(t, errors.Join(err, http.NewResponseController(w).Flush()))
		}
	}
	bubble(t, patient, handle, func(t *testing.T, l *pipes) {
		conn := l.dial()
		defer conn.Close()
		io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		got, err := io.ReadAll(resp.Body)
		assert.NoError(t, err)
		assert.Equal(t, "xxx", string(got))
	})
}
