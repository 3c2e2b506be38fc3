package wire

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/testserver"
)

// Interim responses, Expect: 100-continue and 101 on HTTP/1.

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

// TestHookPanics: an exchange of which a hook panics, or ends its goroutine, is over, and its
// connection is closed.
func TestHookPanics(t *testing.T) {
	s := says(t, "HTTP/1.1 103 X\r\n\r\nHTTP/1.1 204 X\r\n\r\n", 0)
	b := ownRig(t)
	for name, hook := range map[string]func(func()) *httptrace.ClientTrace{
		"GotConn": func(f func()) *httptrace.ClientTrace {
			return &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { f() }}
		},
		"WroteHeaderField": func(f func()) *httptrace.ClientTrace {
			return &httptrace.ClientTrace{WroteHeaderField: func(string, []string) { f() }}
		},
		"WroteHeaders": func(f func()) *httptrace.ClientTrace { return &httptrace.ClientTrace{WroteHeaders: f} },
		"WroteRequest": func(f func()) *httptrace.ClientTrace {
			return &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { f() }}
		},
		"GotFirstResponseByte": func(f func()) *httptrace.ClientTrace { return &httptrace.ClientTrace{GotFirstResponseByte: f} },
		"Got1xxResponse": func(f func()) *httptrace.ClientTrace {
			return &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error { f(); return nil }}
		},
		"PutIdleConn": func(f func()) *httptrace.ClientTrace { return &httptrace.ClientTrace{PutIdleConn: func(error) { f() }} },
	} {
		for _, fails := range []func(){func() { panic("a bug") }, runtime.Goexit} {
			called, done := false, make(chan struct{})
			memory := []byte("x")
			body := &closing{Reader: bytes.NewReader(memory)}
			go func() {
				defer close(done)
				defer func() { recover() }()
				ctx := httptrace.WithClientTrace(t.Context(), hook(func() { called = true; fails() }))
				req, err := http.NewRequestWithContext(ctx, "POST", s.URL(), body)
				require.NoError(t, err)
				req.ContentLength = 1
				b.tr.RoundTrip(req, &Exchange{Observer: &recorder{}, Memory: &memory, Key: Key{Scheme: "http", Addr: s.Addr}})
			}()
			<-done
			assert.True(t, called, name)
			require.Eventually(t, func() bool { return b.tr.Connections() == 0 }, 10*time.Second, time.Millisecond, name)
			assert.LessOrEqual(t, body.n.Load(), int64(1))
		}
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

// TestWait100ContinueFirst: the hook for waiting for 100 Continue is called before that for
// its arrival, however early that is.
func TestWait100ContinueFirst(t *testing.T) {
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		c.Say("HTTP/1.1 100 Continue\r\n\r\n")
		c.Request()
		c.Say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	})
	b := ownRig(t)
	for range 100 {
		h := &hooks{}
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			Wait100Continue: func() { h.add("wait") }, Got100Continue: func() { h.add("got") }, WroteRequest: func(httptrace.WroteRequestInfo) { h.add("wrote") }})
		_, _, err := b.send(ctx, call{method: "POST", url: s.URL(), body: strings.NewReader("body"), length: 4, header: http.Header{"Expect": {"100-continue"}}})
		require.NoError(t, err)
		require.Equal(t, "wait\ngot\nwrote", h.list())
		b.tr.CloseIdle()
	}
}
