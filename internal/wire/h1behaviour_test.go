package wire

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/testserver"
)

// Behaviours of net/http's Transport on HTTP/1 that programs rely on, for every kind of
// connection. Where one of them differs on purpose, the test says so.

// ownRig is a pool with connections of this package.
func ownRig(t *testing.T) *rig {
	if !hasSockets {
		t.Skip("there are none here")
	}
	b := &rig{T: t, tr: NewTransport(Config{HTTP1: OwnConn, Dialer: &dial.Dialer{ConnectTimeout: 10 * time.Second, TLSTimeout: 10 * time.Second}})}
	t.Cleanup(b.tr.Close)
	return b
}

// TestEarlyResponseNotReused: a response to a request that is still being sent arrives at
// once; the connection is not reused.
func TestEarlyResponseNotReused(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			c.Head()
			c.Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			c.R.ReadByte()
			c.Head() // the rest of the upload, or the end
		})
		b := with(Config{})
		for i := range 3 {
			r, w := io.Pipe()
			go w.Write([]byte("x"))
			status, body, err := b.fetch(call{method: "POST", url: s.URL(), body: r, length: 100})
			require.NoError(t, err)
			assert.Equal(t, "200 ok", fmt.Sprint(status, " ", body))
			assert.Equal(t, i+1, s.Connections())
			w.Close()
		}
	})
}

// TestClientCloses: a connection is not reused after a request that says so, whatever the
// server does. net/http's connections do not look into the Connection field.
func TestClientCloses(t *testing.T) {
	test := func(t *testing.T, b *rig, change func(*http.Request)) {
		s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			for {
				req, _, ok := c.Request()
				if !ok {
					return
				}
				c.Say(fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Close: %v\r\nContent-Length: 2\r\n\r\nok", req.Close))
			}
		})
		for i := range 3 {
			req, err := http.NewRequestWithContext(t.Context(), "GET", s.URL(), nil)
			require.NoError(t, err)
			change(req)
			resp, err := b.tr.RoundTrip(req, &Exchange{Observer: &recorder{}, Key: Key{Scheme: "http", Addr: req.URL.Host}})
			require.NoError(t, err)
			_, err = io.ReadAll(resp.Body)
			require.NoError(t, err)
			assert.Equal(t, "true", resp.Header.Get("X-Close"))
			assert.Equal(t, i+1, s.Connections())
		}
	}
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		test(t, with(Config{}), func(req *http.Request) { req.Close = true })
	})
	test(t, ownRig(t), func(req *http.Request) { req.Header.Set("Connection", "x, Close") })
}

// TestHeadChunked: the response to a HEAD request has no body, whatever it declares.
func TestHeadChunked(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		s := says(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 0)
		b := with(Config{})
		for range 3 {
			_, body, err := b.fetch(call{method: "HEAD", url: s.URL()})
			require.NoError(t, err)
			assert.Empty(t, body)
		}
		assert.Equal(t, 1, s.Connections())
	})
}

// TestHostOfRequest: the Host field is in ASCII and without a zone; a Host of the request
// takes the place of that of the URL.
func TestHostOfRequest(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		hosts := make(chan string, 1)
		s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			for {
				req, _, ok := c.Request()
				if !ok {
					return
				}
				hosts <- req.Host
				c.Say("HTTP/1.1 204 X\r\n\r\n")
			}
		})
		b := with(Config{})
		for host, want := range map[string]string{"bücher.example:80": "xn--bcher-kva.example:80", "[fe80::1%eth0]": "[fe80::1]", "other.example": "other.example", "": s.Addr} {
			req, err := http.NewRequestWithContext(t.Context(), "", s.URL(), nil)
			require.NoError(t, err)
			req.Host = host
			resp, err := b.tr.RoundTrip(req, &Exchange{Observer: &recorder{}, Key: Key{Scheme: "http", Addr: s.Addr}})
			require.NoError(t, err)
			resp.Body.Close()
			assert.Equal(t, want, <-hosts)
		}
	})
}

// TestCloseIdleDuringExchange: closing the idle connections leaves alone those in use, which
// are kept afterwards.
func TestCloseIdleDuringExchange(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		s := says(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0)
		b := with(Config{})
		for range 3 {
			resp, _, err := b.send(t.Context(), call{url: s.URL()})
			require.NoError(t, err)
			b.tr.CloseIdle()
			_, err = io.ReadAll(resp.Body)
			require.NoError(t, err)
		}
		assert.Equal(t, 1, s.Connections())
		b.tr.CloseIdle()
		require.Eventually(t, func() bool { return b.tr.Connections() == 0 }, 10*time.Second, time.Millisecond)
	})
}

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
	b := ownRig(t)
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
}

// TestInterruptedNotReused: a connection that is being interrupted, because the context has
// ended at the same time as the response, is not reused.
func TestInterruptedNotReused(t *testing.T) {
	for _, stopped := range []bool{true, false} {
		h := newH1Conn(&conn{stream: &scriptedConn{}}, 4096)
		req, err := http.NewRequest("GET", "http://a.example/", nil)
		require.NoError(t, err)
		e := h.newExchange(req, &Exchange{Observer: &recorder{}})
		e.stop = func() bool { return stopped }
		e.buf.tap.stage = over
		e.finish(true)
		kept, _ := h.reusable()
		assert.Equal(t, stopped, kept)
	}
	h := newH1Conn(&conn{stream: &scriptedConn{}}, 4096)
	h.interrupt()
	kept, _ := h.reusable()
	assert.False(t, kept)
	assert.False(t, h.keepFor(0, false))
}

// TestExpectContinueAnswers: when the body is sent after "Expect: 100-continue". Connections
// of this package never send it after a refusal; those of net/http send it where the
// connection stays open.
func TestExpectContinueAnswers(t *testing.T) {
	for _, r := range []struct {
		name, answer string
		std, own     string // the body that is sent
	}{
		{"100", "HTTP/1.1 100 Continue\r\n\r\n", "body", "body"},
		{"103, then 100", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n", "body", "body"},
		{"200", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "body", "body"},
		{"200, close", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "", ""},
		{"417", "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n", "body", ""},
		{"401", "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", "body", ""},
		{"500, close", "HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "", ""},
		{"nothing", "", "body", "body"},
	} {
		t.Run(r.name, func(t *testing.T) {
			for engine, newTransport := range engines {
				t.Run(engine, func(t *testing.T) {
					got := make(chan string, 1)
					s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
						req, ok := c.Head()
						if !ok {
							return
						}
						c.Say(r.answer)
						body, _ := io.ReadAll(req.Body)
						got <- string(body)
						if !strings.Contains(r.answer, "Length") {
							c.Say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
						}
					})
					b := &rig{T: t, tr: newTransport(Config{Dialer: &dial.Dialer{}})}
					t.Cleanup(b.tr.Close)
					_, _, err := b.fetch(call{method: "POST", url: s.URL(), body: io.MultiReader(strings.NewReader("body")), length: 4, header: http.Header{"Expect": {"100-continue"}}})
					require.NoError(t, err)
					want := r.std
					if engine == "own" && hasSockets {
						want = r.own
					}
					b.tr.CloseIdle()
					assert.Equal(t, want, <-got)
				})
			}
		})
	}
}

// TestInterimResponses: interim responses are reported, do not end an exchange, and count
// towards the limit of a head; an error of the hook ends the exchange.
func TestInterimResponses(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		const early = "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"
		s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			for {
				req, _, ok := c.Request()
				if !ok {
					return
				}
				n := 3
				if req.URL.Path == "/many" {
					n = 300000
				}
				c.Say("HTTP/1.1 100 Continue\r\n\r\n" + strings.Repeat(early, n) + "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			}
		})
		b := with(Config{})
		var codes []int
		status, body, err := b.fetch(call{url: s.URL(), interim: func(code int) error { codes = append(codes, code); return nil }})
		require.NoError(t, err)
		assert.Equal(t, "200 ok", fmt.Sprint(status, " ", body))
		assert.Equal(t, []int{100, 103, 103, 103}, codes)

		_, _, err = b.fetch(call{url: s.URL() + "/many"})
		fault, phase := faultOf(err)
		assert.Equal(t, Malformed, fault)
		assert.Equal(t, Headers, phase)

		bad := errors.New("enough")
		_, _, err = b.fetch(call{url: s.URL(), interim: func(int) error { return bad }})
		assert.ErrorIs(t, err, bad)
	})
}

// TestInterimHookPanics: an exchange whose hook for interim responses panics, or ends its
// goroutine, is over, and its connection is closed.
func TestInterimHookPanics(t *testing.T) {
	s := says(t, "HTTP/1.1 103 X\r\n\r\nHTTP/1.1 204 X\r\n\r\n", 0)
	b := ownRig(t)
	for _, hook := range []func(int) error{func(int) error { panic("a bug") }, func(int) error { runtime.Goexit(); return nil }} {
		done := make(chan struct{})
		body := &closing{Reader: strings.NewReader("x")}
		go func() {
			defer close(done)
			defer func() { recover() }()
			b.send(t.Context(), call{method: "POST", url: s.URL(), body: body, length: 1, interim: hook})
		}()
		<-done
		require.Eventually(t, func() bool { return b.tr.Connections() == 0 }, 10*time.Second, time.Millisecond)
		assert.EqualValues(t, 1, body.n.Load())
	}
	_, _, err := b.fetch(call{url: s.URL()})
	require.NoError(t, err)
}

// TestUpgradeBothDirections: after a 101 response both directions are open, beginning with the bytes that
// came with the head, and the end of the request's context does not end them.
func TestUpgradeBothDirections(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			if _, ok := c.Head(); !ok {
				return
			}
			c.Say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello\n")
			io.Copy(c, c.R)
		})
		b := with(Config{})
		ctx, cancel := context.WithCancel(t.Context())
		resp, x, err := b.send(ctx, call{url: s.URL(), header: http.Header{"Connection": {"Upgrade"}, "Upgrade": {"echo"}}})
		require.NoError(t, err)
		assert.Equal(t, 101, resp.StatusCode)
		assert.True(t, strings.HasPrefix(x.Head, "HTTP/1.1 101 "))
		cancel()
		both := resp.Body.(*Upgraded)
		r := bufio.NewReader(both)
		for _, want := range []string{"hello\n", "one\n", "two\n"} {
			line, err := r.ReadString('\n')
			require.NoError(t, err)
			require.Equal(t, want, line)
			_, err = io.WriteString(both, map[string]string{"hello\n": "one\n", "one\n": "two\n"}[want])
			require.NoError(t, err)
		}
		require.NoError(t, both.CloseWrite())
		_, err = r.ReadByte()
		assert.Equal(t, io.EOF, err)
		require.NoError(t, both.Close())
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

// TestBodyClose: Close of a response body that was not read to its end.
func TestBodyClose(t *testing.T) {
	hold := make(chan struct{})
	t.Cleanup(func() { close(hold) })
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		for {
			req, _, ok := c.Request()
			if !ok {
				return
			}
			switch req.URL.Path {
			case "/whole":
				c.Say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole")
			case "/chunked":
				c.Say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n\r\n")
			default:
				c.Say("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nnot whole")
				select {
				case <-hold:
				case <-t.Context().Done():
				}
			}
		}
	})
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		b := with(Config{})
		resp, _, err := b.send(t.Context(), call{url: s.URL() + "/part"})
		require.NoError(t, err)
		p := make([]byte, 3)
		_, err = io.ReadFull(resp.Body, p)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.NoError(t, resp.Body.Close())
		_, err = resp.Body.Read(p)
		assert.Error(t, err)
		assert.NotEqual(t, io.EOF, err)
		require.Eventually(t, func() bool { return b.tr.Connections() == 0 }, 10*time.Second, time.Millisecond)

		// during a Read, which fails then
		resp, _, err = b.send(t.Context(), call{url: s.URL() + "/part"})
		require.NoError(t, err)
		_, err = io.ReadFull(resp.Body, make([]byte, 9))
		require.NoError(t, err)
		failed := make(chan error)
		go func() {
			_, err := resp.Body.Read(p)
			failed <- err
		}()
		runtime.Gosched()
		require.NoError(t, resp.Body.Close())
		require.Error(t, <-failed)
		require.Eventually(t, func() bool { return b.tr.Connections() == 0 }, 10*time.Second, time.Millisecond)
	})
	// what has arrived with the head is discarded, and the connection is reused
	b := ownRig(t) // net/http closes it
	fresh := 0
	for range 10 {
		resp, x, err := b.send(t.Context(), call{url: s.URL() + "/whole"})
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		if !x.Conn.Reused {
			fresh++
		}
	}
	assert.Equal(t, 1, fresh)
	resp, _, err := b.send(t.Context(), call{url: s.URL() + "/chunked"})
	require.NoError(t, err)
	_, err = io.ReadFull(resp.Body, make([]byte, 5))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	_, body, err := b.fetch(call{url: s.URL() + "/whole"})
	require.NoError(t, err)
	assert.Equal(t, "whole", body)
}

// TestContextEndsIdleBody: the end of the context while nobody reads the response is the
// error of the next Read, and the connection is not reused.
func TestContextEndsIdleBody(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			c.Head()
			c.Say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\npart")
			c.R.ReadByte()
		})
		b := with(Config{})
		reason := errors.New("the reason")
		ctx, cancel := context.WithCancelCause(t.Context())
		resp, _, err := b.send(ctx, call{url: s.URL()})
		require.NoError(t, err)
		cancel(reason)
		_, err = io.ReadAll(resp.Body)
		require.ErrorIs(t, err, reason)
		resp.Body.Close()
		require.Eventually(t, func() bool { return b.tr.Connections() == 0 }, 10*time.Second, time.Millisecond)
	})
}

// TestContextEndsBetweenExchanges: the end of the context of an exchange that is over does
// not concern the next one on its connection.
func TestContextEndsBetweenExchanges(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		s := says(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0)
		b := with(Config{})
		var last context.CancelFunc = func() {}
		for range 300 {
			ctx, cancel := context.WithCancel(t.Context())
			resp, _, err := b.send(ctx, call{url: s.URL()})
			require.NoError(t, err)
			last() // of the exchange before
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Equal(t, "ok", string(body))
			last = cancel
		}
		last()
		assert.Equal(t, 1, s.Connections())
	})
}

// TestUnsolicitedBytesTLS is TestUnsolicitedBytes under TLS, where the socket alone does not
// tell, and for a server that closes silently.
func TestUnsolicitedBytesTLS(t *testing.T) {
	logged := captureLog(t)
	origin, cfg := testserver.NewOrigin(t, testserver.TLS, http.NotFoundHandler())
	server := origin.TLS.Clone()
	server.NextProtos = []string{"http/1.1"}
	for _, rest := range []string{"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", "x", "[close]"} {
		t.Run(rest, func(t *testing.T) {
			{ // net/http's connections may read them before they are checked
				sent := make(chan struct{}, 1)
				s := testserver.NewRaw(t, server, func(c *testserver.Conn) {
					for {
						req, _, ok := c.Request()
						if !ok {
							return
						}
						if req.URL.Path == "/innocent" {
							c.Say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
							continue
						}
						c.Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
						if rest == "[close]" {
							c.Close()
							sent <- struct{}{}
							return
						}
						c.Say(rest)
						sent <- struct{}{}
					}
				})
				b := ownRig(t)
				b.tls = &Profile{Config: cfg}
				url := "https://" + s.Addr
				for range 10 {
					_, _, err := b.fetch(call{url: url + "/guilty"})
					require.NoError(t, err)
					<-sent
					order := func() io.Reader { return strings.NewReader("x") }
					_, body, err := b.fetch(call{method: "POST", body: order(), again: order, url: url + "/innocent"})
					require.NoError(t, err)
					require.Equal(t, "good", body)
				}
			}
		})
	}
	assert.Empty(t, logged.String())
}

// TestIdleConnectionsHaveNoGoroutine: idle connections of this package have no goroutine.
func TestIdleConnectionsHaveNoGoroutine(t *testing.T) {
	if !hasSockets {
		t.Skip("there are none here")
	}
	const n = 20
	var arrived atomic.Int32
	all := make(chan struct{})
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		c.Head()
		if arrived.Add(1) == n {
			close(all)
		}
		<-all
		c.Say("HTTP/1.1 204 X\r\n\r\n")
		c.R.ReadByte()
	})
	b := &rig{T: t, tr: NewTransport(Config{HTTP1: OwnConn, ConnsPerHost: n, Dialer: &dial.Dialer{}})}
	before := runtime.NumGoroutine()
	results := make(chan error)
	for range n {
		go func() {
			_, _, err := b.fetch(call{url: s.URL()})
			results <- err
		}()
	}
	for range n {
		require.NoError(t, <-results)
	}
	assert.Equal(t, n, b.tr.Connections())
	// the server has one goroutine for each
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before+n && time.Now().Before(end); {
		runtime.Gosched()
	}
	assert.LessOrEqual(t, runtime.NumGoroutine(), before+n)
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

// TestOwnConnection: for which connections those of this package are used.
func TestOwnConnection(t *testing.T) {
	handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	var d net.Dialer
	for _, c := range []struct {
		name    string
		kind    testserver.Kind
		config  Config
		profile func(*Profile)
		own     bool
	}{
		{name: "TCP", kind: testserver.Plain, own: true},
		{name: "TLS", kind: testserver.TLS, own: true},
		{name: "TCP of the program", kind: testserver.Plain, own: true, config: Config{Dialer: &dial.Dialer{DialContext: d.DialContext}}},
		{name: "a type of the program", kind: testserver.Plain, config: Config{Dialer: &dial.Dialer{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := d.DialContext(ctx, network, addr)
			return struct{ net.Conn }{c}, err
		}}}},
		{name: "TLS of the program", kind: testserver.TLS, profile: func(p *Profile) {
			p.Handshake = func(ctx context.Context, raw net.Conn, cfg *tls.Config, _ func(any) error) (net.Conn, *tls.ConnectionState, error) {
				c := tls.Client(raw, cfg)
				err := c.HandshakeContext(ctx)
				state := c.ConnectionState()
				return c, &state, err
			}
		}},
		{name: "HTTP/2", kind: testserver.H2},
		{name: "switched off", kind: testserver.Plain, config: Config{HTTP1: StdConn}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, cfg := testserver.NewOrigin(t, c.kind, handler)
			if c.config.HTTP1 == DefaultConn {
				c.config.HTTP1 = OwnConn
			}
			if c.config.Dialer == nil {
				c.config.Dialer = &dial.Dialer{}
			}
			b := &rig{T: t, tr: NewTransport(c.config), tls: &Profile{Config: cfg}}
			defer b.tr.Close()
			if c.profile != nil {
				c.profile(b.tls)
				b.tls.Config.ServerName = "127.0.0.1"
			}
			_, _, err := b.fetch(call{url: s.URL})
			require.NoError(t, err)
			b.tr.mu.Lock()
			_, own := b.tr.pool.all.first.connection.(*h1Conn)
			b.tr.mu.Unlock()
			assert.Equal(t, c.own && hasSockets, own)
		})
	}
}
