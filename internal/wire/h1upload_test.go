package wire

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/testserver"
)

// Requests with a body on HTTP/1.

// TestEarlyResponseCut: a response up to the end of the connection that is cut, because the
// server resets the connection during the upload, is not taken for a whole one, although the
// failed write has consumed the socket's error.
func TestEarlyResponseCut(t *testing.T) {
	const size = 256 << 10
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		c.Head()
		c.Say("HTTP/1.1 413 Too Large\r\nConnection: close\r\n\r\n" + strings.Repeat("x", size))
		c.Reset()
	})
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		b := with(Config{})
		for range 100 {
			resp, _, err := b.send(t.Context(), call{method: "POST", url: s.URL(), body: io.LimitReader(zeros{}, 64<<20), length: 64 << 20})
			if err != nil {
				continue // the reset has overtaken the head
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err == nil {
				require.Equal(t, size, len(body))
			}
		}
	})
}

// TestTrailersBothWays: trailers of request and response arrive.
func TestTrailersBothWays(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "X-Back")
			body, _ := io.ReadAll(r.Body)
			w.Write(body)
			w.Header().Set("X-Back", r.Trailer.Get("X-Sum"))
		}))
		b := with(Config{})
		for range 3 {
			trailer := http.Header{"X-Sum": nil}
			first := true
			body := readerFunc(func(p []byte) (int, error) {
				if first {
					first = false
					return copy(p, "text"), nil
				}
				trailer.Set("X-Sum", "4") // known at the end
				return 0, io.EOF
			})
			req, err := http.NewRequestWithContext(t.Context(), "POST", s.URL, body)
			require.NoError(t, err)
			req.Trailer = trailer
			resp, err := b.tr.RoundTrip(req, &Exchange{Observer: &recorder{}, Key: Key{Scheme: "http", Addr: req.URL.Host}})
			require.NoError(t, err)
			text, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			resp.Body.Close()
			assert.Equal(t, "text", string(text))
			assert.Equal(t, http.Header{"X-Back": {"4"}}, resp.Trailer)
		}
		assert.Equal(t, 1, b.tr.Connections())
	})
}

// TestBodyLength: a request body that does not have its length is an error, and the
// connection is not reused.
func TestBodyLength(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			for {
				if _, _, ok := c.Request(); !ok {
					return
				}
				c.Say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			}
		})
		b := with(Config{})
		_, _, err := b.fetch(call{method: "POST", url: s.URL(), body: io.MultiReader(strings.NewReader("short")), length: 50})
		require.Error(t, err)
		// the server may have answered before the rest was seen
		_, _, _ = b.fetch(call{method: "POST", url: s.URL(), body: io.MultiReader(strings.NewReader("long")), length: 3})
		require.Eventually(t, func() bool { return b.tr.Connections() == 0 }, 10*time.Second, time.Millisecond)
		_, _, err = b.fetch(call{url: s.URL()})
		require.NoError(t, err)
		assert.Equal(t, 3, s.Connections())
	})
}

// TestFlush: the head is sent before the first Read of the body returns, and each piece of
// the body before the next Read.
func TestFlush(t *testing.T) {
	for _, length := range []int64{-1, 3} {
		eachEngine(t, func(t *testing.T, with func(Config) *rig) {
			head, pieces := make(chan struct{}), make(chan byte)
			s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				close(head)
				for {
					var p [1]byte
					n, err := r.Body.Read(p[:])
					if n > 0 {
						pieces <- p[0]
					}
					if err != nil {
						return
					}
				}
			}))
			b := with(Config{})
			n := byte(0)
			body := readerFunc(func(p []byte) (int, error) {
				if n == 0 {
					<-head
				} else if got := <-pieces; got != n {
					return 0, fmt.Errorf("the server has got %d, not %d", got, n)
				}
				if n == 3 {
					return 0, io.EOF
				}
				n++
				p[0] = n
				return 1, nil
			})
			_, _, err := b.fetch(call{method: "POST", url: s.URL, body: body, length: length})
			require.NoError(t, err)
		})
	}
}

// TestCancelIgnoringSource: the end of the context ends an exchange while a Read of its
// request body blocks, and ignores its Close. net/http would wait for the Read.
func TestCancelIgnoringSource(t *testing.T) {
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		c.Head()
		c.R.ReadByte()
	})
	b := ownRig(t)
	release, reading := make(chan struct{}), make(chan struct{})
	body := readerFunc(func([]byte) (int, error) {
		close(reading)
		<-release
		return 0, io.EOF
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-reading
		cancel()
	}()
	_, _, err := b.send(ctx, call{method: "POST", url: s.URL(), body: body, length: 10})
	require.ErrorIs(t, err, context.Canceled)
	close(release)
}

// TestSourceErrorAfterHead: an error of the request body ends a response that is being read.
func TestSourceErrorAfterHead(t *testing.T) {
	bad := errors.New("the disk is gone")
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		c.Head()
		c.Say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive")
		c.R.ReadByte()
	})
	b := ownRig(t)
	answered := make(chan struct{})
	body := readerFunc(func([]byte) (int, error) {
		<-answered
		return 0, &SourceError{bad}
	})
	resp, _, err := b.send(t.Context(), call{method: "POST", url: s.URL(), body: body, length: 10})
	require.NoError(t, err)
	close(answered)
	_, err = io.ReadAll(resp.Body)
	fault, phase := faultOf(err)
	assert.Equal(t, Source, fault, "%v", err)
	assert.Equal(t, Send, phase)
	assert.ErrorIs(t, err, bad)
	resp.Body.Close()
}

// TestRequestBodyClosedOnce: the request body is closed exactly once, on every path.
func TestRequestBodyClosedOnce(t *testing.T) {
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		for {
			req, ok := c.Head()
			if !ok {
				return
			}
			switch req.URL.Path {
			case "/early":
				c.Say("HTTP/1.1 413 X\r\nContent-Length: 0\r\n\r\n")
				c.R.ReadByte()
				return
			case "/close":
				return
			}
			io.Copy(io.Discard, req.Body)
			c.Say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	b := ownRig(t)
	for _, c := range []struct {
		path   string
		method string
		length int64
	}{{"/", "POST", 1 << 20}, {"/early", "POST", 64 << 20}, {"/close", "POST", 64 << 20}, {"/", "B AD", 3}, {"/", "POST", -1}} {
		size := c.length
		if size < 0 {
			size = 3
		}
		body := &closing{Reader: io.LimitReader(zeros{}, size)}
		req, err := http.NewRequest("POST", s.URL()+c.path, body)
		require.NoError(t, err)
		req.Method, req.ContentLength = c.method, c.length
		resp, err := b.tr.RoundTrip(req, &Exchange{Observer: &recorder{}, Key: Key{Scheme: "http", Addr: req.URL.Host}})
		if err == nil {
			resp.Body.Close()
		}
		require.Eventually(t, func() bool { return body.n.Load() == 1 }, 10*time.Second, time.Millisecond, c)
	}
	b.tr.Close()
}

// TestUploadHooks: the hooks of an exchange with an upload that is not in memory are called.
func TestUploadHooks(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			c.Request()
			c.Say("HTTP/1.1 103 X\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		})
		h := &hooks{}
		trace := &httptrace.ClientTrace{
			WroteHeaders: func() { h.add("WroteHeaders") }, WroteRequest: func(i httptrace.WroteRequestInfo) { h.add("WroteRequest %v", i.Err) },
			Got1xxResponse: func(code int, _ textproto.MIMEHeader) error { h.add("Got1xxResponse %d", code); return nil },
			PutIdleConn:    func(err error) { h.add("PutIdleConn %v", err) },
		}
		b := with(Config{})
		ctx := httptrace.WithClientTrace(t.Context(), trace)
		resp, _, err := b.send(ctx, call{method: "PUT", url: s.URL(), body: io.MultiReader(strings.NewReader("x")), length: 1})
		require.NoError(t, err)
		resp.Body.Close()
		list := h.list()
		for _, want := range []string{"WroteHeaders", "WroteRequest <nil>", "Got1xxResponse 103", "PutIdleConn <nil>"} {
			assert.Contains(t, list, want)
		}
	})
}

// TestHeadNotWritten: the hook for the end of the request is told of a head that could not
// be written, whether or not the body was to be sent with it.
func TestHeadNotWritten(t *testing.T) {
	bad := errors.New("no route")
	for _, memory := range []*[]byte{nil, {}} {
		var told error
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{WroteRequest: func(i httptrace.WroteRequestInfo) { told = i.Err }})
		body := &closing{Reader: strings.NewReader("body")}
		req, err := http.NewRequestWithContext(ctx, "POST", "http://a.example/", body)
		require.NoError(t, err)
		if req.ContentLength = 4; memory != nil {
			*memory = []byte("body")
		}
		_, err = newH1Conn(&conn{stream: unwritable{&scriptedConn{}, bad}}, 4096).roundTrip(req, &Exchange{Observer: &recorder{}, Memory: memory})
		require.ErrorIs(t, err, bad)
		assert.Equal(t, bad, told)
		assert.EqualValues(t, 1, body.n.Load())
	}
}

// unwritable is a connection whose writes fail.
type unwritable struct {
	*scriptedConn
	err error
}

func (c unwritable) Write([]byte) (int, error) { return 0, c.err }

// TestConnectMethod: a CONNECT names its target, and what is sent and received behind the
// heads is not framed.
func TestConnectMethod(t *testing.T) {
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		req, err := http.ReadRequest(c.R)
		if err != nil {
			return
		}
		if req.Host == "no.example:1" {
			c.Say("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
		} else {
			c.Say("HTTP/1.1 200 OK\r\n\r\n" + req.RequestURI + "\n")
		}
		io.Copy(c, c.R)
		if req.Host == "no.example:1" {
			c.R.ReadByte()
		}
	})
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		b := with(Config{})
		for _, host := range []string{"a.example:443", "no.example:1"} {
			r, w := io.Pipe()
			req, err := http.NewRequestWithContext(t.Context(), "CONNECT", s.URL(), r)
			require.NoError(t, err)
			req.Host = host
			resp, err := b.tr.RoundTrip(req, &Exchange{Observer: &recorder{}, Key: Key{Scheme: "http", Addr: s.Addr}})
			require.NoError(t, err)
			if in := bufio.NewReader(resp.Body); resp.StatusCode == 200 {
				line, err := in.ReadString('\n')
				require.NoError(t, err)
				assert.Equal(t, host+"\n", line)
				for _, want := range []string{"one\n", "two\n"} {
					_, err = io.WriteString(w, want)
					require.NoError(t, err)
					line, err = in.ReadString('\n')
					require.NoError(t, err)
					assert.Equal(t, want, line)
				}
			}
			w.Close()
			resp.Body.Close()
			require.Eventually(t, func() bool { return b.tr.Connections() == 0 }, 10*time.Second, time.Millisecond, host)
		}
	})
}

// TestUploadBuffer: a body of which little comes at a time is read with a small buffer, and
// one that fills it with a large one.
func TestUploadBuffer(t *testing.T) {
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		_, body, ok := c.Request()
		if ok {
			c.Say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Got: %d %x\r\n\r\n", len(body), sha256.Sum256(body)))
		}
	})
	b := ownRig(t)
	content := make([]byte, 1<<20)
	for i := range content {
		content[i] = byte(i * i >> 3)
	}
	for _, length := range []int64{-1, 1 << 20} {
		for _, piece := range []int{4 << 10, 1 << 20} {
			var rooms []int
			rest := content
			resp, _, err := b.send(t.Context(), call{method: "POST", url: s.URL(), length: length, body: readerFunc(func(p []byte) (int, error) {
				rooms = append(rooms, len(p))
				if len(rest) == 0 {
					return 0, io.EOF
				}
				n := copy(p[:min(len(p), piece)], rest)
				rest = rest[n:]
				return n, nil
			})})
			require.NoError(t, err)
			assert.Equal(t, fmt.Sprintf("%d %x", len(content), sha256.Sum256(content)), resp.Header.Get("X-Got"))
			assert.LessOrEqual(t, rooms[0], 16<<10)
			if last := rooms[len(rooms)-1]; piece < 16<<10 {
				assert.LessOrEqual(t, last, 16<<10)
			} else {
				assert.Greater(t, last, 64<<10)
			}
			b.tr.CloseIdle()
		}
	}
}
