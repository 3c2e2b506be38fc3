package flow_test

import (
	"bufio"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/cookies"
	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/flow"
	"github.com/netreply/netreply/internal/testserver"
	"github.com/netreply/netreply/internal/wire"
)

// TestFieldOrder: on a connection of internal/wire the fields of a request are sent in the
// order and spelling of the program, with the values that the steps have given them; those
// that the steps have added follow.
func TestFieldOrder(t *testing.T) {
	heads := make(chan string, 1)
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		for {
			head, err := readHead(c.R)
			if err != nil {
				return
			}
			heads <- head
			c.Say("HTTP/1.1 204 X\r\n\r\n")
		}
	})
	pool := wire.NewTransport(wire.Config{HTTP1: wire.OwnConn, Dialer: &dial.Dialer{}})
	t.Cleanup(pool.Close)
	jar := cookies.NewJar(cookies.Options{})
	c := newClient(t, nil, "", func(f *flow.Config) { f.Wire, f.UserAgent, f.Jar = pool, "engine", jar })
	u, err := url.Parse(s.URL())
	require.NoError(t, err)
	jar.SetCookies(u, []*http.Cookie{{Name: "b", Value: "2"}})

	c.ok(&watcher{}, flow.Request{Method: "GET", URL: u, Headers: headers.New("x-lower", "1", "COOKIE", "a=1", "X-Twice", "2", "accept", "*/*", "X-Twice", "3")})
	head := <-heads
	want := "GET / HTTP/1.1\r\nHost: " + s.Addr + "\r\nx-lower: 1\r\nCOOKIE: a=1; b=2\r\nX-Twice: 2\r\naccept: */*\r\nX-Twice: 3\r\nUser-Agent: engine\r\n"
	assert.True(t, strings.HasPrefix(head, want), head)
}

func readHead(r *bufio.Reader) (head string, err error) {
	for !strings.HasSuffix(head, "\r\n\r\n") {
		line, err := r.ReadString('\n')
		if head += line; err != nil {
			return head, err
		}
	}
	return head, nil
}
