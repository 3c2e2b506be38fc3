package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/reqctx"
	"github.com/netreply/netreply/internal/testserver"
)

// interims is an observer that remembers the interim responses.
type interims struct {
	recorder
	ids []string
}

func (o *interims) Interim(_ int, h textproto.MIMEHeader) error {
	o.ids = append(o.ids, h.Get("Id"))
	return nil
}

// spareRig sends requests to an HTTP/2 server that sends an interim response with the query of the
// request, and it again as the body; without the former for /plain, and neither for /none. It hangs
// with /head before the head and with /body after half of the body, and ends the stream there with
// /cut.
type spareRig struct {
	*rig
	url string
}

func newSpareRig(t *testing.T, c Config) *spareRig {
	s, _ := testserver.NewOrigin(t, testserver.H2C, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/head":
			<-r.Context().Done()
			return
		case "/none":
			return
		case "/plain":
		default:
			w.Header().Set("Id", r.URL.RawQuery)
			w.WriteHeader(http.StatusEarlyHints)
		}
		io.WriteString(w, r.URL.RawQuery)
		switch r.URL.Path {
		case "/body":
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return
		case "/cut":
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		io.WriteString(w, r.URL.RawQuery)
	}))
	return &spareRig{newRig(t, c), s.URL}
}

// begin returns the head of the response.
func (b *spareRig) begin(ctx context.Context, method, path string, x *Exchange) (*http.Response, error) {
	var body io.Reader
	if method == "POST" {
		body = strings.NewReader("body")
	}
	req, err := http.NewRequestWithContext(ctx, method, b.url+path, body)
	require.NoError(b.T, err)
	x.Key = Key{Scheme: "http", Addr: req.URL.Host, Protocol: HTTP2}
	return b.tr.RoundTrip(req, x)
}

// send returns the body of the response, which it does not read for /unread.
func (b *spareRig) send(ctx context.Context, method, path string, x *Exchange) (string, error) {
	resp, err := b.begin(ctx, method, path, x)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if strings.HasPrefix(path, "/unread") {
		return "", nil
	}
	got, err := io.ReadAll(resp.Body)
	return string(got), err
}

// newReqctx is the context of a request.
func newReqctx(parent context.Context) *reqctx.Context {
	c := new(reqctx.Context)
	c.Init(parent)
	return c
}

// TestH2Spare: the memory of an exchange on HTTP/2 is given away after a complete response on a
// kept connection, and not where something may still refer to it.
func TestH2Spare(t *testing.T) {
	b := newSpareRig(t, Config{})
	spare := func(ctx context.Context, method, path string) bool {
		x := &Exchange{Observer: &interims{}}
		_, err := b.send(ctx, method, path, x)
		require.NoError(t, err)
		_, ok := x.Spare()
		_, twice := x.Spare()
		assert.False(t, twice)
		return ok
	}
	assert.False(t, spare(t.Context(), "GET", "/"), "the connection was opened for it")
	for _, path := range []string{"/plain?a", "/none"} {
		kept := 0 // not always: a goroutine of net/http may not have run to its end yet
		for range 50 {
			if spare(newReqctx(t.Context()), "GET", path) {
				kept++
			}
		}
		assert.NotZero(t, kept, path)
	}
	for range 50 {
		assert.False(t, spare(t.Context(), "POST", "/plain?a"))
		assert.False(t, spare(t.Context(), "POST", "/none"), "net/http closes the request body at any time")
		assert.False(t, spare(t.Context(), "HEAD", "/plain?a"))
		assert.False(t, spare(t.Context(), "GET", "/unread?a"))
		traced := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) {}})
		assert.False(t, spare(traced, "GET", "/plain?a"))
	}
}

// heldConn is a connection whose Writes, once it is held, return only after release is closed.
type heldConn struct {
	net.Conn
	held    atomic.Bool
	release chan struct{}
}

func (c *heldConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if c.held.Load() {
		<-c.release
	}
	return n, err
}

// TestH2SpareWriting: the memory of an exchange is not given away while net/http still writes the
// request, although the whole response was received.
func TestH2SpareWriting(t *testing.T) {
	nc := &heldConn{release: make(chan struct{})}
	b := newSpareRig(t, Config{Dialer: &dial.Dialer{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		nc.Conn = c
		return nc, err
	}}})
	_, err := b.send(t.Context(), "GET", "/plain", &Exchange{Observer: &interims{}})
	require.NoError(t, err)
	nc.held.Store(true)
	x := &Exchange{Observer: &interims{}}
	got, err := b.send(newReqctx(t.Context()), "GET", "/plain?a", x)
	require.NoError(t, err)
	require.Equal(t, "aa", got)
	_, ok := x.Spare()
	assert.False(t, ok)
	close(nc.release)
	require.Eventually(t, func() bool { _, ok := x.Spare(); return ok }, 10*time.Second, time.Millisecond)
}

// endingBody calls end when its end is read.
type endingBody struct {
	io.ReadCloser
	end func()
}

func (b endingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.end()
	}
	return n, err
}

// TestH2SpareEnded: the memory of an exchange is not given away after a response that was cut off,
// nor if the context has ended meanwhile: its Watcher may still run.
func TestH2SpareEnded(t *testing.T) {
	b := newSpareRig(t, Config{})
	_, err := b.send(t.Context(), "GET", "/plain", &Exchange{Observer: &interims{}})
	require.NoError(t, err)
	for range 20 {
		x := &Exchange{Observer: &interims{}}
		_, err := b.send(newReqctx(t.Context()), "GET", "/cut?a", x)
		require.Error(t, err)
		_, ok := x.Spare()
		require.False(t, ok, "cut off")

		x = &Exchange{Observer: &interims{}}
		ctx := newReqctx(t.Context())
		resp, err := b.begin(ctx, "GET", "/plain?a", x)
		require.NoError(t, err)
		x.body.ReadCloser = endingBody{x.body.ReadCloser, func() { ctx.Cancel(nil) }}
		got, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "aa", string(got))
		_, ok = x.Spare()
		require.False(t, ok, "the context has ended")
	}
}

// TestH2SpareUse: an exchange in the memory of an earlier one has its own interim responses and
// body, and ends with its own context, whatever became of the others.
func TestH2SpareUse(t *testing.T) {
	b := newSpareRig(t, Config{})
	_, err := b.send(t.Context(), "GET", "/?first", &Exchange{Observer: &interims{}})
	require.NoError(t, err)
	reason := errors.New("the reason")
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			var spare Spare
			used := 0
			for i := range 200 {
				id := strings.Repeat(string(rune('a'+worker)), 1+i%7)
				x, o := new(Exchange), &interims{}
				x.Observer = o
				x.Use(spare)
				if spare.h2 != nil {
					used++
				}
				spare = Spare{}
				ctx := newReqctx(context.Background())
				path := "/"
				switch i % 10 {
				case 8:
					path = "/head"
					o.onSend = func() { go ctx.Cancel(reason) }
				case 9:
					path = "/body"
					o.onSend = func() { go ctx.Cancel(reason) }
				}
				got, err := b.send(ctx, "GET", path+"?"+id, x)
				if path != "/" {
					assert.ErrorIs(t, err, reason)
				} else if assert.NoError(t, err) {
					assert.Equal(t, id+id, got)
					assert.Equal(t, []string{id}, o.ids)
				}
				var ok bool
				if spare, ok = x.Spare(); ok {
					assert.Equal(t, "/", path)
				}
				ctx.Cancel(nil)
			}
			assert.NotZero(t, used)
		})
	}
	wg.Wait()
}
