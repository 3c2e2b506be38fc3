package netreply_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// TestErrorNamesAwaitedAction: the error of a deadline that passes while the reply waits
// for the program says so; other errors do not.
func TestErrorNamesAwaitedAction(t *testing.T) {
	const answer = "; the reply waited for the program to answer "
	serve := func(c net.Conn, r *bufio.Reader) {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		switch req.URL.Path {
		case "/moved":
			io.WriteString(c, "HTTP/1.1 302 Found\r\nLocation: /silent\r\nContent-Length: 0\r\n\r\n")
			if _, err = http.ReadRequest(r); err != nil {
				return
			}
		case "/secret":
			io.WriteString(c, "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n")
		case "/body":
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n0123456789")
		}
		io.Copy(io.Discard, r)
	}
	cases := []struct {
		name, path string
		change     func(*netreply.Request)
		want       string
	}{
		{"password", "/secret", func(q *netreply.Request) { q.Ask = netreply.AskAuthentication }, answer + "AuthenticationRequired"},
		{"redirect", "/moved", func(q *netreply.Request) { q.RedirectPolicy = netreply.UserVerifiedRedirectPolicy }, answer + "Redirected"},
		{"Answer", "/moved", func(q *netreply.Request) {
			q.RedirectPolicy = netreply.UserVerifiedRedirectPolicy
			q.Answer = func(ctx context.Context, _ netreply.Question) { <-ctx.Done() }
		}, answer + "Redirected"},
		{"answered", "/moved", func(q *netreply.Request) {
			q.RedirectPolicy = netreply.UserVerifiedRedirectPolicy
			q.Answer = func(_ context.Context, q netreply.Question) { q.(*netreply.Redirect).Allow() }
		}, ""},
		{"full", "/body", func(q *netreply.Request) { q.ReadBufferSize = 5 }, "; the reply waited for the program to read: its ReadBufferSize of 5 was full"},
		{"not full", "/body", func(q *netreply.Request) { q.ReadBufferSize = 50 }, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, netreply.Config{}, serve, func(t *testing.T, m *netreply.Manager) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				req := get(t, c.path)
				c.change(req)
				err := m.Get(ctx, req).Wait(t.Context())
				require.ErrorIs(t, err, netreply.TimeoutError)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				var e *netreply.Error
				require.ErrorAs(t, err, &e)
				assert.EqualError(t, e.Err, "context deadline exceeded"+c.want)
			})
		})
	}
}
