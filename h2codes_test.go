package netreply_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// TestH2GoAwayCodes: rule E30 holds for codes in GOAWAY and in RST_STREAM, on the first
// stream of a connection and on later ones, and whether or not the server had accepted the
// stream. A stream that it had not accepted is sent again, and is retryable.
func TestH2GoAwayCodes(t *testing.T) {
	want := map[uint32]netreply.NetworkError{1: 399, 2: 401, 4: 4, 10: 99, 11: 499, 12: 201, 77: 399}
	for code, w := range want {
		for _, first := range []bool{true, false} {
			for _, taken := range []bool{true, false} {
				t.Run(fmt.Sprintf("%d, first %v, taken %v", code, first, taken), func(t *testing.T) {
					posts := make(chan struct{}, 10)
					s := newH2Server(t, func(c *h2conn) {
						if !first {
							c.answer(c.headers(), "200")
						}
						id := c.headers()
						if id == 0 {
							return
						}
						posts <- struct{}{}
						last := id
						if !taken {
							last = 0
						}
						c.fr.WriteGoAway(last, httpCode(code), nil)
						if taken {
							c.Close()
							return
						}
						c.drain()
					})
					m := newManager(t, netreply.Config{})
					req := newRequest(t, s)
					req.HTTP = netreply.HTTP2Direct
					if !first {
						require.NoError(t, m.Get(t.Context(), req).Wait(deadline(t)))
					}
					err := m.Post(t.Context(), req, netreply.StringBody("x")).Wait(deadline(t))
					if !first && !taken {
						require.NoError(t, err, "the first of another connection is answered")
						assert.Len(t, posts, 1)
						return
					}
					require.ErrorIs(t, err, w)
					assert.Equal(t, !taken, err.(*netreply.Error).Retryable, "%v", err)
					if taken {
						assert.Len(t, posts, 1, "never twice")
					} else {
						assert.Len(t, posts, 4)
					}
				})
			}
		}
	}
}

// TestH2GoAwayCodeReported: a request that was refused with a code and cannot be sent again
// reports that code.
func TestH2GoAwayCodeReported(t *testing.T) {
	n := 0
	s := newH2Server(t, func(c *h2conn) {
		if n++; n > 1 {
			c.fr.WriteGoAway(0, 0, nil) // and accepts no more streams
			c.drain()
			return
		}
		c.headers()
		c.fr.WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, bytes.Repeat([]byte("why\n"), 10_000))
		c.drain()
	})
	m := newManager(t, netreply.Config{})
	req := newRequest(t, s)
	req.HTTP = netreply.HTTP2Direct
	err := m.Post(t.Context(), req, netreply.StringBody("x")).Wait(deadline(t))
	require.ErrorIs(t, err, netreply.UnknownServerError)
	assert.True(t, err.(*netreply.Error).Retryable)
	assert.ErrorContains(t, err, "ENHANCE_YOUR_CALM")
	assert.Less(t, len(err.Error()), 300)
}

// TestH2ProtocolErrorNotRepeated: a POST whose stream the server resets with PROTOCOL_ERROR is
// not sent again, whatever else is on the connection.
func TestH2ProtocolErrorNotRepeated(t *testing.T) {
	var mu sync.Mutex
	posts := 0
	s := newH2Server(t, func(c *h2conn) {
		var get, post uint32 // whichever comes first
		for get == 0 || post == 0 {
			f, err := c.fr.ReadFrame()
			if err != nil {
				return
			}
			if h, ok := f.(*http2.HeadersFrame); ok && h.StreamEnded() {
				get = h.StreamID
			} else if ok {
				post = h.StreamID
			}
		}
		mu.Lock()
		posts++
		mu.Unlock()
		c.fr.WriteRSTStream(post, http2.ErrCodeProtocol)
		c.answer(get, "200")
		for id := c.headers(); id != 0; id = c.headers() {
			mu.Lock()
			posts++
			mu.Unlock()
			c.answer(id, "200")
		}
	})
	m := newManager(t, netreply.Config{})
	req := newRequest(t, s)
	req.HTTP = netreply.HTTP2Direct
	get := m.Get(t.Context(), req)
	<-get.RequestSent()
	err := m.Post(t.Context(), req, netreply.StringBody("x")).Wait(deadline(t))
	require.ErrorIs(t, err, netreply.ProtocolFailure)
	assert.False(t, err.(*netreply.Error).Retryable)
	assert.NoError(t, get.Wait(deadline(t)))
	mu.Lock()
	defer mu.Unlock()
	assert.Equal(t, 1, posts)
}

// TestH2FalseUnprocessed: after the start of a response, a server cannot declare a POST
// unprocessed; debug data in GOAWAY is ignored.
func TestH2FalseUnprocessed(t *testing.T) {
	for name, after := range map[string]func(*h2conn, uint32){
		"debug data": func(c *h2conn, id uint32) {
			c.fr.WriteGoAway(id, 0, []byte("http2: Transport received Server's graceful shutdown GOAWAY, client conn not usable"))
		},
		"refused after a head": func(c *h2conn, id uint32) {
			c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block(":status", "200"), EndHeaders: true})
			c.fr.WriteData(id, false, []byte("x"))
			c.fr.WriteRSTStream(id, http2.ErrCodeRefusedStream)
			c.drain()
		},
		"GOAWAY after a head": func(c *h2conn, id uint32) {
			c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block(":status", "200"), EndHeaders: true})
			c.fr.WriteData(id, false, []byte("x"))
			c.fr.WriteGoAway(0, 0, nil)
			c.drain()
		},
	} {
		t.Run(name, func(t *testing.T) {
			var posts atomic.Int32
			s := newH2Server(t, func(c *h2conn) {
				if id := c.headers(); id != 0 {
					posts.Add(1)
					after(c, id)
				}
			})
			req := newRequest(t, s)
			req.HTTP = netreply.HTTP2Direct
			err := newManager(t, netreply.Config{}).Post(t.Context(), req, netreply.StringBody("x")).Wait(deadline(t))
			require.Error(t, err)
			assert.False(t, err.(*netreply.Error).Retryable)
			assert.EqualValues(t, 1, posts.Load())
		})
	}
}

// h2Certificate returns a certificate for a raw server, and the configuration that trusts
// it.
func h2Certificate(t *testing.T) (*tls.Config, *netreply.SSLConfiguration) {
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	return &tls.Config{Certificates: s.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}},
		&netreply.SSLConfiguration{PeerVerifyMode: netreply.VerifyNone}
}

// TestHTTP11Required: after HTTP_1_1_REQUIRED, for a stream or for the connection, the
// request is sent again over HTTP/1.1, and later requests use HTTP/1.1 at once. A body that
// cannot be read again is the usual error.
func TestHTTP11Required(t *testing.T) {
	for _, goAway := range []bool{false, true} {
		t.Run(fmt.Sprintf("GOAWAY %v", goAway), func(t *testing.T) {
			cfg, accept := h2Certificate(t)
			seen := make(chan string, 20)
			s := testserver.NewRaw(t, cfg, func(c *testserver.Conn) {
				if preface, _ := c.R.Peek(3); string(preface) != "PRI" {
					for {
						req, body, ok := c.Request()
						if !ok {
							return
						}
						seen <- req.Proto + " " + req.Method + " " + string(body)
						c.Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
					}
				}
				io.ReadFull(c.R, make([]byte, len(http2.ClientPreface)))
				h := &h2conn{c, http2.NewFramer(c.Conn, c.R)}
				h.fr.WriteSettings()
				for id := h.request(); id != 0; id = h.request() {
					seen <- "HTTP/2"
					if goAway {
						h.fr.WriteGoAway(0, http2.ErrCodeHTTP11Required, nil)
					} else {
						h.fr.WriteRSTStream(id, http2.ErrCodeHTTP11Required)
					}
				}
			})
			url := "https://" + s.Addr + "/"
			m := newManager(t, netreply.Config{SSLConfiguration: accept})
			b, err := m.Post(t.Context(), newRequest(t, url), netreply.StringBody("x")).ReadAll()
			require.NoError(t, err)
			assert.Equal(t, "ok", string(b))
			_, err = m.Get(t.Context(), newRequest(t, url)).ReadAll()
			require.NoError(t, err)
			close(seen)
			var list []string
			for what := range seen {
				list = append(list, what)
			}
			assert.Equal(t, []string{"HTTP/2", "HTTP/1.1 POST x", "HTTP/1.1 GET "}, list)

			seen = make(chan string, 20)
			m = newManager(t, netreply.Config{SSLConfiguration: accept})
			req := newRequest(t, url)
			req.DoNotBufferUploadData = true
			once := bufio.NewReader(io.LimitReader(strings.NewReader("once"), 4))
			assert.ErrorIs(t, m.Post(t.Context(), req, netreply.ReaderBody(once)).Wait(deadline(t)), netreply.ContentReSendError)
		})
	}
}

// TestH2NoContent: a response without content, such as a 304, may give the length of the
// representation.
func TestH2NoContent(t *testing.T) {
	for _, ended := range []bool{true, false} {
		for _, status := range []string{"204", "304"} {
			s := newH2Server(t, func(c *h2conn) {
				for id := c.headers(); id != 0; id = c.headers() {
					c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block(":status", status, "content-length", "5"),
						EndHeaders: true, EndStream: ended})
					if !ended {
						c.fr.WriteData(id, true, nil)
					}
				}
			})
			m := newManager(t, netreply.Config{})
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				req := newRequest(t, s)
				req.HTTP = netreply.HTTP2Direct
				r := m.Send(t.Context(), method, req, nil)
				b, err := r.ReadAll()
				assert.NoError(t, err, "%s %s, ended %v", method, status, ended)
				assert.Empty(t, b)
				assert.Equal(t, "5", r.RawHeader("Content-Length"))
			}
		}
	}
}
