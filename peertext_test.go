package netreply_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// shown returns all texts of an error and its causes.
func shown(err error) []string {
	list := []string{err.Error(), fmt.Sprintf("%v %+v", err, err)}
	var e *netreply.Error
	if errors.As(err, &e) {
		list = append(list, e.Text)
		if e.Err != nil {
			list = append(list, e.Err.Error())
		}
	}
	return list
}

// TestPeerTextInErrors: texts of a peer in errors contain no control characters, and are
// shortened.
func TestPeerTextInErrors(t *testing.T) {
	const nasty = "\x1b[2J\x07\x9b31m\u202e\u2028"
	long := strings.Repeat("very ", 20_000)
	for name, answer := range map[string]string{
		"reason":         "HTTP/1.1 404 " + nasty + "\r\nContent-Length: 0\r\n\r\n",
		"C1 reason":      "HTTP/1.1 404 a\u009b31mb\u202ec\r\nContent-Length: 0\r\n\r\n",
		"long reason":    "HTTP/1.1 404 " + long + "\r\nContent-Length: 0\r\n\r\n",
		"status line":    nasty + "\r\n\r\n",
		"version":        "HTTP/1.1" + nasty + " 200 OK\r\n\r\n",
		"header name":    "HTTP/1.1 200 OK\r\nX" + nasty + ": 1\r\n\r\n",
		"no colon":       "HTTP/1.1 200 OK\r\n" + nasty + "\r\n\r\n",
		"length":         "HTTP/1.1 200 OK\r\nContent-Length: 1" + nasty + "\r\n\r\n",
		"coding":         "HTTP/1.1 200 OK\r\nContent-Encoding: gzip, " + nasty + "\r\nContent-Length: 1\r\n\r\nx",
		"transfer":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + nasty + "\r\n\r\n",
		"chunk":          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + nasty + "\r\n",
		"long chunk":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + long + "\r\n",
		"location":       "HTTP/1.1 302 X\r\nLocation: " + nasty + "://x\r\nContent-Length: 0\r\n\r\n",
		"location host":  "HTTP/1.1 302 X\r\nLocation: http://a" + nasty + ".invalid/\r\nContent-Length: 0\r\n\r\n",
		"location query": "HTTP/1.1 302 X\r\nLocation: http://a.invalid/?" + nasty + "\r\nContent-Length: 0\r\n\r\n",
		"long location":  "HTTP/1.1 302 X\r\nLocation: http://a.invalid/" + strings.Repeat("x", 100_000) + "\r\nContent-Length: 0\r\n\r\n",
		"challenge":      "HTTP/1.1 401 " + nasty + "\r\nWWW-Authenticate: Basic realm=\"" + nasty + "\"\r\nContent-Length: 0\r\n\r\n",
		"encoded":        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 13\r\n\r\n" + nasty,
	} {
		for _, secure := range []bool{false, true} {
			var cfg *tls.Config
			c := netreply.Config{}
			url := "http://"
			if secure {
				origin, trusting := testserver.NewOrigin(t, testserver.TLS, nil)
				cfg, url = &tls.Config{Certificates: origin.TLS.Certificates}, "https://"
				c.SSLConfiguration = &netreply.SSLConfiguration{TLS: trusting}
			}
			s := testserver.NewRaw(t, cfg, func(c *testserver.Conn) {
				if _, _, ok := c.Request(); ok {
					c.Say(answer)
				}
			})
			r := newManager(t, c).Get(t.Context(), newRequest(t, url+s.Addr))
			err := r.Wait(deadline(t))
			require.Error(t, err, name)
			for _, text := range append(shown(err), r.ErrorString()) {
				assert.NotRegexp(t, `[\x00-\x1f\x7f]|\p{Cc}|\p{Cf}|\x{2028}|\x{2029}`, text, name)
				assert.Less(t, len(text), 10<<10, name)
				assert.Equal(t, strings.ToValidUTF8(text, "?"), text, name)
			}
		}
	}
}

// TestTooManyRequests: 429 matches its own target, and has RetryAfter.
func TestTooManyRequests(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		var code int
		fmt.Sscanf(r.URL.Path, "/%d", &code)
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(code)
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		err := s.m.Get(t.Context(), s.request("/429")).Wait(deadline(t))
		require.ErrorIs(t, err, netreply.TooManyRequests)
		require.ErrorIs(t, err, netreply.UnknownContentError)
		var e *netreply.Error
		require.ErrorAs(t, err, &e)
		assert.Equal(t, 7*time.Second, e.RetryAfter)
		assert.True(t, e.Retryable)
		temporary := func(err error) bool { return err.(interface{ Temporary() bool }).Temporary() }
		assert.True(t, temporary(err))
		err = s.m.Post(t.Context(), s.request("/503"), nil).Wait(deadline(t))
		require.NotErrorIs(t, err, netreply.TooManyRequests)
		require.ErrorAs(t, err, &e)
		assert.Equal(t, 7*time.Second, e.RetryAfter)
		assert.False(t, e.Retryable, "a POST")
		assert.True(t, temporary(err))
		err = s.m.Get(t.Context(), s.request("/404")).Wait(deadline(t))
		assert.False(t, temporary(err))
		require.NotErrorIs(t, err, netreply.TooManyRequests)
		require.NoError(t, s.m.Get(t.Context(), s.request("/200")).Wait(deadline(t)))
	})
}

// TestMessages: an error has the expected and the actual value, and the name of the
// setting.
func TestMessages(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	m := newManager(t, netreply.Config{})
	missing, _ := os.Open("no such file")
	for name, row := range map[string]struct {
		body netreply.Body
		want []string
		is   error
	}{
		"file not opened": {netreply.ReaderBody(missing), []string{"body", "nil *os.File"}, netreply.ProtocolInvalidOperationError},
		"missing file": {netreply.SourceBody(5, func() (io.ReadCloser, error) { return os.Open("no such file") }),
			[]string{"opening the body", "no such file"}, os.ErrNotExist},
		"short": {netreply.SourceBody(10, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("hello")), nil }),
			[]string{"5 of the 10 bytes"}, io.ErrUnexpectedEOF},
		"short part": {&netreply.Multipart{Parts: []netreply.Part{{Body: netreply.SourceBody(10, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("hello")), nil })}}},
			[]string{"5 of the 10 bytes"}, io.ErrUnexpectedEOF},
		"broken": {netreply.ReaderBody(readerFunc(func([]byte) (int, error) { return 0, os.ErrPermission })),
			[]string{"reading the body", "permission denied"}, os.ErrPermission},
	} {
		r := m.Post(t.Context(), newRequest(t, s.URL), row.body)
		err := r.Wait(deadline(t))
		require.ErrorIs(t, err, row.is, name)
		for _, want := range row.want {
			assert.ErrorContains(t, err, want, name)
		}
	}
}
