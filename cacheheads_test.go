package netreply_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/httpcache"
)

// newCachingClient makes an http.Client with a cache in memory.
func newCachingClient(t *testing.T, o netreply.RoundTripperOptions) *http.Client {
	m := newManager(t, netreply.Config{Cache: httpcache.New(httpcache.NewMemory(httpcache.Limits{}))})
	return &http.Client{Transport: m.RoundTripper(o)}
}

// bodyOf is the body of a response.
func bodyOf(t *testing.T, resp *http.Response, err error) string {
	t.Helper()
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(b)
}

// TestCacheInterim: interim responses are told once, and are no part of what is stored.
func TestCacheInterim(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusProcessing)
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		w.Header().Set("Cache-Control", "max-age=60")
		io.WriteString(w, "text")
	}))
	defer s.Close()
	c := newCachingClient(t, netreply.RoundTripperOptions{})
	var told []string
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		told = append(told, fmt.Sprint(code, " ", h.Get("Link")))
		return nil
	}})
	for range 2 {
		r, err := http.NewRequestWithContext(ctx, "GET", s.URL, nil)
		require.NoError(t, err)
		resp, err := c.Do(r)
		assert.Equal(t, "text", bodyOf(t, resp, err))
		assert.Equal(t, http.StatusOK, resp.StatusCode)
		assert.Empty(t, resp.Header.Get("Link"))
	}
	assert.Equal(t, []string{"102 ", "103 </style.css>; rel=preload"}, told)
}

// answerRaw answers requests to a server with bytes.
func answerRaw(t *testing.T, answer func(*http.Request) string) (*httptest.Server, *atomic.Int32) {
	n := &atomic.Int32{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		conn, _, err := w.(http.Hijacker).Hijack()
		if assert.NoError(t, err) {
			defer conn.Close()
			io.WriteString(conn, answer(r))
		}
	}))
	t.Cleanup(s.Close)
	return s, n
}

// TestCacheLengths: what counts is the Content-Length of the stored response, even if the server
// has sent more than that, and whatever a 304 says.
func TestCacheLengths(t *testing.T) {
	s, n := answerRaw(t, func(r *http.Request) string {
		if r.Header.Get("If-None-Match") != "" {
			return "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\nETag: \"a\"\r\nCache-Control: max-age=60\r\n\r\n"
		}
		return "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"a\"\r\nCache-Control: max-age=2\r\nAge: 5\r\n\r\n0123456789"
	})
	c := newCachingClient(t, netreply.RoundTripperOptions{})
	for range 3 {
		resp, err := c.Get(s.URL)
		assert.Equal(t, "01234", bodyOf(t, resp, err))
		assert.EqualValues(t, 5, resp.ContentLength)
		assert.Equal(t, []string{"5"}, resp.Header["Content-Length"])
	}
	assert.EqualValues(t, 2, n.Load())
}

// TestCacheUnframed: a body whose end is the end of the connection is stored, with its length
// known from then on.
func TestCacheUnframed(t *testing.T) {
	s, n := answerRaw(t, func(*http.Request) string {
		return "HTTP/1.1 200 OK\r\nConnection: close\r\nCache-Control: max-age=60\r\n\r\n0123456789"
	})
	c := newCachingClient(t, netreply.RoundTripperOptions{})
	for range 2 {
		resp, err := c.Get(s.URL)
		assert.Equal(t, "0123456789", bodyOf(t, resp, err))
	}
	r, err := http.NewRequest("GET", s.URL, nil)
	require.NoError(t, err)
	r.Header.Set("Range", "bytes=-3")
	resp, err := c.Do(r)
	assert.Equal(t, "789", bodyOf(t, resp, err))
	assert.Equal(t, "bytes 7-9/10", resp.Header.Get("Content-Range"))
	assert.EqualValues(t, 1, n.Load())
}

// TestCacheOddFraming: a transfer coding that nobody knows is an error, and nothing is stored of
// the response.
func TestCacheOddFraming(t *testing.T) {
	s, n := answerRaw(t, func(*http.Request) string {
		return "HTTP/1.1 200 OK\r\nTransfer-Encoding: abcd\r\nCache-Control: max-age=60\r\n\r\n0123456789"
	})
	c := newCachingClient(t, netreply.RoundTripperOptions{})
	for range 2 {
		_, err := c.Get(s.URL)
		assert.ErrorIs(t, err, netreply.ProtocolFailure)
	}
	assert.EqualValues(t, 2, n.Load())
}
