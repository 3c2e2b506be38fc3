package wire

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/testserver"
)

// TestErrorFacts: what an error says of how far its exchange had come, by which it is decided
// whether the request is sent again.
func TestErrorFacts(t *testing.T) {
	type facts struct {
		phase           Phase
		fault           Fault
		reused, began   bool
		unsent, allSent bool // nothing of the request was sent, all of it
	}
	const part = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfi"
	for _, r := range []struct {
		name   string
		upload bool
		serve  func(*testserver.Conn)
		want   facts // on a new connection
	}{
		{"closed without an answer", false, func(c *testserver.Conn) { c.Request() }, facts{phase: Headers, fault: Closed, allSent: true}},
		{"reset without an answer", false, func(c *testserver.Conn) { c.Request(); c.Reset() }, facts{phase: Headers, fault: Closed, allSent: true}},
		{"part of the head", false, func(c *testserver.Conn) { c.Request(); c.Say("HTTP/1.1 2") }, facts{phase: Headers, fault: Closed, began: true, allSent: true}},
		{"an interim head", false, func(c *testserver.Conn) { c.Request(); c.Say("HTTP/1.1 103 X\r\n\r\n") }, facts{phase: Headers, fault: Closed, began: true, allSent: true}},
		{"part of the body", false, func(c *testserver.Conn) { c.Request(); c.Say(part) }, facts{phase: Body, fault: Closed, began: true, allSent: true}},
		{"malformed head", false, func(c *testserver.Conn) { c.Request(); c.Say("HTTP/1.1 200 OK\r\nA\r\n\r\n") }, facts{phase: Headers, fault: Malformed, began: true, allSent: true}},
		{"malformed body", false, func(c *testserver.Conn) {
			c.Request()
			c.Say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n")
		}, facts{phase: Body, fault: Malformed, began: true, allSent: true}},
		{"upload, closed at once", true, func(c *testserver.Conn) { c.Head() }, facts{phase: Headers, fault: Closed}},
		{"upload, reset at once", true, func(c *testserver.Conn) { c.Head(); c.Reset() }, facts{phase: Headers, fault: Closed}},
		{"upload, reset during the head", true, func(c *testserver.Conn) { c.Head(); c.Say("HTTP/1.1 2"); c.R.ReadByte(); c.Reset() }, facts{phase: Headers, fault: Closed}},
	} {
		t.Run(r.name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, with func(Config) *rig) {
				s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
					if c.N == 2 { // to be used once before
						c.Request()
						c.Say("HTTP/1.1 204 X\r\n\r\n")
					}
					r.serve(c)
				})
				b := with(Config{})
				for _, reused := range []bool{false, true} {
					if reused {
						_, _, err := b.fetch(call{url: s.URL()})
						require.NoError(t, err)
					}
					c := call{url: s.URL()}
					var all int64
					if r.upload {
						c.method, c.body, c.length = "POST", io.LimitReader(zeros{}, 64<<20), 64<<20
					} else {
						req, err := http.NewRequest("GET", s.URL(), nil)
						require.NoError(t, err)
						var head strings.Builder
						require.NoError(t, req.Write(&head))
						all = int64(head.Len())
					}
					resp, _, err := b.send(t.Context(), c)
					if err == nil {
						_, err = io.ReadAll(resp.Body)
						resp.Body.Close()
					}
					var e *Error
					require.ErrorAs(t, err, &e)
					want := r.want
					want.reused = reused
					got := facts{e.Phase, e.Fault, e.Reused, e.Began, e.Sent == 0, e.Sent == all}
					if r.upload && want.phase == Headers { // the reset may overtake what was said before
						want.began = got.began
					}
					if e.Began { // net/http may count what was sent after it has the response
						got.unsent, got.allSent = want.unsent, want.allSent
					}
					assert.Equal(t, want, got, "%v, sent %d", err, e.Sent)
				}
			})
		})
	}
}
