package wire

import (
	"errors"
	"io"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/testserver"
)

// TestEmptyBodyOfUnknownLength: a request whose method usually has no body has none if it
// turns out to be empty; any other body is sent as a whole, also if its first Read waits
// for the head to be sent.
func TestEmptyBodyOfUnknownLength(t *testing.T) {
	bad := errors.New("the disk is gone")
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		for {
			req, body, ok := c.Request()
			if !ok {
				return
			}
			c.Say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Body: " + strings.Join(req.TransferEncoding, "") + " " + string(body) + "\r\n\r\n")
		}
	})
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		b := with(Config{})
		fetch := func(method string, body io.Reader) (string, error) {
			resp, _, err := b.send(t.Context(), call{method: method, url: s.URL(), body: body, length: -1})
			if err != nil {
				return "", err
			}
			resp.Body.Close()
			return resp.Header.Get("X-Body"), nil
		}
		for _, method := range []string{"", "GET", "HEAD", "DELETE", "OPTIONS", "PROPFIND", "SEARCH", "POST", "PUT", "PATCH", "X"} {
			got, err := fetch(method, io.MultiReader())
			require.NoError(t, err)
			want := ""
			if strings.HasPrefix(method, "P") && method != "PROPFIND" || method == "X" {
				want = "chunked"
			}
			assert.Equal(t, want, got, method)
			for _, pieces := range []io.Reader{io.MultiReader(strings.NewReader("a body")), io.MultiReader(strings.NewReader("a"), strings.NewReader(" body"))} {
				got, err = fetch(method, pieces)
				require.NoError(t, err)
				assert.Equal(t, "chunked a body", got, method)
			}
		}
		// the first Read returns when the head has arrived
		head, first := make(chan struct{}), true
		slow := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			req, ok := c.Head()
			if !ok {
				return
			}
			close(head)
			body, _ := io.ReadAll(req.Body)
			c.Say("HTTP/1.1 200 OK\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + string(body))
		})
		_, got, err := b.fetch(call{url: slow.URL(), length: -1, body: readerFunc(func(p []byte) (int, error) {
			if !first {
				return 0, io.EOF
			}
			<-head
			first = false
			return copy(p, "x"), nil
		})})
		require.NoError(t, err)
		assert.Equal(t, "x", got)

		_, err = fetch("GET", readerFunc(func(p []byte) (int, error) { return 0, &SourceError{bad} }))
		fault, phase := faultOf(err)
		assert.Equal(t, Source, fault)
		assert.Equal(t, Send, phase)
		assert.ErrorIs(t, err, bad)
	})
}

// TestSourceEndsGoroutine: a Read of the request body that calls runtime.Goexit ends the
// exchange with an error, on every goroutine that reads it.
func TestSourceEndsGoroutine(t *testing.T) {
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		c.Head()
		c.R.ReadByte()
	})
	b := ownRig(t)
	for _, method := range []string{"GET", "POST"} {
		body := &closing{Reader: readerFunc(func([]byte) (int, error) { runtime.Goexit(); return 0, nil })}
		_, _, err := b.send(t.Context(), call{method: method, url: s.URL(), body: body, length: -1})
		require.ErrorIs(t, err, errUnfinished)
		fault, phase := faultOf(err)
		assert.Equal(t, Source, fault)
		assert.Equal(t, Send, phase)
		require.Eventually(t, func() bool { return body.n.Load() == 1 && b.tr.Connections() == 0 }, 10*time.Second, time.Millisecond)
	}
}
