package libraries

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/testserver"
)

// reverseProxy puts an httputil.ReverseProxy with the transport before a server. The client
// before it is one of net/http.
func reverseProxy(t testing.TB, c *client, h http.Handler) (front *httptest.Server, outside *http.Client) {
	s, rt := c.serve(t, h)
	target, err := url.Parse(s.URL)
	require.NoError(t, err)
	front, _ = testserver.NewOrigin(t, testserver.Plain, &httputil.ReverseProxy{
		Transport: rt, ErrorLog: discardLog, FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.SetXForwarded()
			r.Out.Host = "host.test"
		},
	})
	return front, &http.Client{Transport: newTransport(t, &client{kind: testserver.Plain}, &tls.Config{})}
}

func TestReverseProxy(t *testing.T) {
	each(t, testserver.Kinds, func(t *testing.T, c *client) {
		front, outside := reverseProxy(t, c, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			w.Header()["Many"] = []string{"a", "b"}
			w.Header().Set("Content-Encoding", "x-unknown")
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(http.StatusFound)
			fmt.Fprintf(w, "%s %s %s %s %s %q %q", r.Method, r.Host, r.RequestURI, r.Header.Get("X-Forwarded-For"), b, r.Header["User-Agent"], r.Header["Accept-Encoding"])
		}))
		outside.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		req, err := http.NewRequestWithContext(deadline(t), "PATCH", front.URL+"/a%2Fb/c?d=%20e", strings.NewReader("body"))
		require.NoError(t, err)
		req.Header["User-Agent"] = nil
		req.Header.Set("Accept-Encoding", "br")
		res, err := outside.Do(req)
		require.NoError(t, err)
		assert.Equal(t, http.StatusFound, res.StatusCode)
		assert.Equal(t, []string{"a", "b"}, res.Header["Many"])
		assert.Equal(t, "x-unknown", res.Header.Get("Content-Encoding"))
		assert.Equal(t, `PATCH host.test /a%2Fb/c?d=%20e 127.0.0.1 body [] ["br"]`, readAll(t, res))
	})
}

func TestReverseProxyTrailers(t *testing.T) {
	each(t, testserver.Kinds, func(t *testing.T, c *client) {
		front, outside := reverseProxy(t, c, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "Announced")
			io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, "body")
			w.(http.Flusher).Flush()
			w.Header().Set("Announced", "1")
			w.Header().Set(http.TrailerPrefix+"Unannounced", "2")
		}))
		req, err := http.NewRequestWithContext(deadline(t), http.MethodPost, front.URL, strings.NewReader("request"))
		require.NoError(t, err)
		res, err := outside.Do(req)
		require.NoError(t, err)
		assert.Equal(t, http.Header{"Announced": nil}, res.Trailer)
		assert.Equal(t, "body", readAll(t, res))
		assert.Equal(t, http.Header{"Announced": {"1"}, "Unannounced": {"2"}}, res.Trailer)
	})
}

// TestReverseProxyInformational: a proxy forwards responses before the final one.
func TestReverseProxyInformational(t *testing.T) {
	each(t, testserver.Kinds, func(t *testing.T, c *client) {
		front, outside := reverseProxy(t, c, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", "</style.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Del("Link")
			fmt.Fprint(w, "body")
		}))
		var hints []string
		ctx := httptrace.WithClientTrace(deadline(t), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			hints = append(hints, fmt.Sprint(code, " ", h.Get("Link")))
			return nil
		}})
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, front.URL, nil)
		require.NoError(t, err)
		res, err := outside.Do(req)
		require.NoError(t, err)
		assert.Equal(t, "body", readAll(t, res))
		assert.Equal(t, []string{"103 </style.css>; rel=preload"}, hints)
	})
}

// TestReverseProxyStreams: what the server flushes passes at once.
func TestReverseProxyStreams(t *testing.T) {
	each(t, testserver.Kinds, func(t *testing.T, c *client) {
		more := make(chan bool)
		front, outside := reverseProxy(t, c, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for i := 0; <-more; i++ {
				fmt.Fprintf(w, "data: %d\n", i)
				w.(http.Flusher).Flush()
			}
		}))
		req, err := http.NewRequestWithContext(deadline(t), http.MethodGet, front.URL, nil)
		require.NoError(t, err)
		go func() { more <- true }()
		res, err := outside.Do(req)
		require.NoError(t, err)
		lines := bufio.NewReader(res.Body)
		for i := range 3 {
			line, err := lines.ReadString('\n')
			require.NoError(t, err)
			assert.Equal(t, fmt.Sprintf("data: %d\n", i), line)
			more <- i < 2
		}
		_, err = lines.ReadString('\n')
		require.ErrorIs(t, err, io.EOF)
		require.NoError(t, res.Body.Close())
	})
}

// TestReverseProxyAborts: the end of one side is the end of the other.
func TestReverseProxyAborts(t *testing.T) {
	each(t, testserver.Kinds, func(t *testing.T, c *client) {
		gone := make(chan error, 1)
		front, outside := reverseProxy(t, c, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "half")
			w.(http.Flusher).Flush()
			if r.URL.Path == "/abort" {
				panic(http.ErrAbortHandler)
			}
			<-r.Context().Done()
			gone <- r.Context().Err()
		}))
		get := func(ctx context.Context, path string) *http.Response {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, front.URL+path, nil)
			require.NoError(t, err)
			res, err := outside.Do(req)
			require.NoError(t, err)
			return res
		}
		res := get(deadline(t), "/abort")
		b, err := io.ReadAll(res.Body)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		assert.Equal(t, "half", string(b))
		res.Body.Close()

		ctx, cancel := context.WithCancel(deadline(t))
		res = get(ctx, "/wait")
		_, err = io.ReadFull(res.Body, make([]byte, 4))
		require.NoError(t, err)
		cancel()
		require.ErrorIs(t, <-gone, context.Canceled)
		res.Body.Close()
	})
}

func TestReverseProxyBadGateway(t *testing.T) {
	each(t, testserver.Kinds, func(t *testing.T, c *client) {
		_, rt := c.serve(t, http.NotFoundHandler())
		front := httptest.NewServer(&httputil.ReverseProxy{
			Transport: rt, ErrorLog: discardLog,
			Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: testserver.Refusing(t)}) },
		})
		defer front.Close()
		outside := &http.Client{Transport: newTransport(t, &client{kind: testserver.Plain}, nil)}
		res, err := outside.Get(front.URL)
		require.NoError(t, err)
		readAll(t, res)
		assert.Equal(t, http.StatusBadGateway, res.StatusCode)
	})
}

// TestReverseProxyUpgrade: the proxy needs a body that it can write to.
func TestReverseProxyUpgrade(t *testing.T) {
	each(t, upgradable, func(t *testing.T, c *client) {
		front, outside := reverseProxy(t, c, echoMessages(nil))
		ctx := deadline(t)
		conn, _, err := websocket.Dial(ctx, front.URL, &websocket.DialOptions{HTTPClient: outside})
		require.NoError(t, err)
		defer conn.CloseNow()
		for _, message := range []string{"hello", strings.Repeat("long ", 5000)} {
			require.NoError(t, conn.Write(ctx, websocket.MessageText, []byte(message)))
			_, got, err := conn.Read(ctx)
			require.NoError(t, err)
			assert.Equal(t, message, string(got))
		}
		require.NoError(t, conn.Close(websocket.StatusNormalClosure, ""))
	})
}
