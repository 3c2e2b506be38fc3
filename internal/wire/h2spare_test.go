package wire

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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

// spareServer is an HTTP/2 server that sends an interim response with the query of the request, and
// it again as the body, or with /none neither. It hangs with /head before the head, and with /body
// after half of the body.
func spareServer(t *testing.T) (*rig, func(ctx context.Context, method, path string, x *Exchange) (string, error)) {
	s, _ := testserver.NewOrigin(t, testserver.H2C, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/head" {
			<-r.Context().Done()
			return
		}
		if r.URL.Path == "/none" {
			return
		}
		if r.URL.Path != "/plain" {
			w.Header().Set("Id", r.URL.RawQuery)
			w.WriteHeader(http.StatusEarlyHints)
		}
		io.WriteString(w, r.URL.RawQuery)
		if r.URL.Path == "/body" {
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return
		}
		io.WriteString(w, r.URL.RawQuery)
	}))
	b := newRig(t, Config{})
	return b, func(ctx context.Context, method, path string, x *Exchange) (string, error) {
		var body io.Reader
		if method == "POST" {
			body = strings.NewReader("body")
		}
		req, err := http.NewRequestWithContext(ctx, method, s.URL+path, body)
		require.NoError(t, err)
		x.Key = Key{Scheme: "http", Addr: req.URL.Host, Protocol: HTTP2}
		resp, err := b.tr.RoundTrip(req, x)
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
	_, send := spareServer(t)
	spare := func(ctx context.Context, method, path string) bool {
		x := &Exchange{Observer: &interims{}}
		_, err := send(ctx, method, path, x)
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

// TestH2SpareUse: an exchange in the memory of an earlier one has its own interim responses and
// body, and ends with its own context, whatever became of the others.
func TestH2SpareUse(t *testing.T) {
	_, send := spareServer(t)
	_, err := send(t.Context(), "GET", "/?first", &Exchange{Observer: &interims{}})
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
				got, err := send(ctx, "GET", path+"?"+id, x)
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
