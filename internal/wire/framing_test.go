package wire

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/testserver"
)

// TestFraming: how responses are framed.
func TestFraming(t *testing.T) {
	type row struct {
		name   string
		method string
		answer string
		status int // 0: no head
		body   string
		fault  Fault
		phase  Phase
		ok     bool
	}
	rows := []row{
		{name: "length", answer: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", status: 200, body: "hello", ok: true},
		{name: "chunked", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n", status: 200, body: "hello", ok: true},
		{name: "to the end", answer: "HTTP/1.1 200 OK\r\n\r\nhello", status: 200, body: "hello", ok: true},
		{name: "HTTP/1.0", answer: "HTTP/1.0 200 OK\r\n\r\nhello", status: 200, body: "hello", ok: true},
		{name: "HEAD", method: "HEAD", answer: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", status: 200, ok: true},
		{name: "HEAD with chunked", method: "HEAD", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", status: 200, ok: true},
		{name: "304 with chunked", answer: "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", status: 304, ok: true},
		{name: "lengths that agree", answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", status: 200, body: "ok", ok: true},
		{name: "length and chunked", answer: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", status: 200, body: "ok", ok: true},
		{name: "204", answer: "HTTP/1.1 204 No Content\r\n\r\n", status: 204, ok: true},
		{name: "304", answer: "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", status: 304, ok: true},
		{name: "interim", answer: "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", status: 200, body: "ok", ok: true},
		{name: "bare LF", answer: "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", status: 200, body: "ok", ok: true},
		{name: "32 KiB head", answer: "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 32<<10) + "\r\nContent-Length: 2\r\n\r\nok", status: 200, body: "ok", ok: true},
		{name: "body cut", answer: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", status: 200, body: "hello", fault: Closed, phase: Body},
		{name: "chunked cut in data", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello", status: 200, body: "hello", fault: Closed, phase: Body},
		{name: "chunked cut before the last", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", status: 200, body: "hello", fault: Closed, phase: Body},
		{name: "bad chunk size", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n", status: 200, fault: Malformed, phase: Body},
		{name: "head cut in a line", answer: "HTTP/1.1 200 OK\r\nContent-Le", fault: Closed, phase: Headers},
		{name: "head cut after a line", answer: "HTTP/1.1 200 OK\r\nA: b\r\n", fault: Closed, phase: Headers},
		{name: "status line cut", answer: "HTTP/1.1 20", fault: Closed, phase: Headers},
		{name: "nothing", answer: "", fault: Closed, phase: Headers},
		{name: "not HTTP", answer: "SSH-2.0-OpenSSH\r\n", fault: Malformed, phase: Headers},
		{name: "not HTTP, no line", answer: "SSH", fault: Malformed, phase: Headers},
		{name: "no code", answer: "HTTP/1.1 abc OK\r\n\r\n", fault: Malformed, phase: Headers},
		{name: "two blanks", answer: "HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n", fault: Malformed, phase: Headers},
		{name: "no colon", answer: "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", fault: Malformed, phase: Headers},
		{name: "name with blank", answer: "HTTP/1.1 200 OK\r\nA b: c\r\n\r\n", fault: Malformed, phase: Headers},
		{name: "two lengths", answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!", fault: Malformed, phase: Headers},
		{name: "signed length", answer: "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", fault: Malformed, phase: Headers},
		{name: "head too large", answer: "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 300<<10) + "\r\n\r\n", fault: Malformed, phase: Headers},
		{name: "endless line", answer: strings.Repeat("HTTP/", 100<<10), fault: Malformed, phase: Headers},
	}
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		for _, r := range rows {
			// the same response in pieces of three bytes
			for _, piece := range []int{0, 3} {
				if piece > 0 && len(r.answer) > 1000 {
					continue
				}
				t.Run(fmt.Sprint(r.name, "/", piece), func(t *testing.T) {
					s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
						if _, ok := c.Head(); !ok {
							return
						}
						for rest := r.answer; rest != ""; {
							n := len(rest)
							if piece > 0 {
								n = min(n, piece)
							}
							c.Say(rest[:n])
							rest = rest[n:]
						}
					})
					b := with(Config{})
					status, body, err := b.fetch(call{method: r.method, url: s.URL()})
					assert.Equal(t, r.status, status)
					assert.Equal(t, r.body, body)
					if r.ok {
						require.NoError(t, err)
						return
					}
					fault, phase := faultOf(err)
					assert.Equal(t, r.fault, fault, "%v", err)
					assert.Equal(t, r.phase, phase, "%v", err)
				})
			}
		}
	})
}

// TestHeadAsReceived: order, spelling, duplicates and folding of fields are unchanged, for
// any sizes of the Reads and after interim responses.
func TestHeadAsReceived(t *testing.T) {
	const answer = "HTTP/1.1 103 Early\r\nA: hint\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 Fine Indeed\r\nX-MiXeD: 1\r\na-lower: 2\r\nx-mixed: 3\r\nPragma: no-cache\r\n" +
		"Folded: a\r\n  b\r\nEmpty:\r\nConnection: keep-alive\r\nContent-Length: 20\r\n\r\nHTTP/1.1 404 X\r\n\r\n  "
	want := []Field{{Name: "X-MiXeD", Value: "1"}, {Name: "a-lower", Value: "2"}, {Name: "x-mixed", Value: "3"}, {Name: "Pragma", Value: "no-cache"}, {Name: "Folded", Value: "a b"}, {Name: "Empty", Value: ""},
		{Name: "Connection", Value: "keep-alive"}, {Name: "Content-Length", Value: "20"}}
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		for _, piece := range []int{1, 3, 1000} {
			s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
				for {
					if _, _, ok := c.Request(); !ok {
						return
					}
					for rest := answer; rest != ""; {
						n := min(len(rest), piece)
						c.Say(rest[:n])
						rest = rest[n:]
					}
				}
			})
			b := with(Config{})
			for i := range 3 {
				var seen []int
				resp, x, err := b.send(t.Context(), call{url: s.URL(), interim: func(code int) error { seen = append(seen, code); return nil }})
				require.NoError(t, err)
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				assert.Equal(t, "HTTP/1.1 404 X\r\n\r\n  ", string(body))
				reason, fields := ParseHead(x.Head)
				assert.Equal(t, "Fine Indeed", reason)
				assert.Equal(t, want, fields)
				assert.Equal(t, []int{103, 100}, seen)
				assert.Equal(t, i > 0, x.Conn.Reused)
			}
			assert.Equal(t, 1, s.Connections())
		}
	})
}

// TestSurplusResponse: a response sent after another one, without a request, is never the
// response to the next request.
func TestSurplusResponse(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			for {
				req, _, ok := c.Request()
				if !ok {
					return
				}
				path := req.URL.Path
				c.Say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%sHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", len(path), path))
			}
		})
		b := with(Config{})
		for i := range 50 {
			path := fmt.Sprintf("/%d", i)
			_, body, err := b.fetch(call{url: s.URL() + path})
			if err == nil {
				require.Equal(t, path, body)
			}
		}
	})
}

// TestSwitchingProtocols: after 101 the body is the connection.
func TestSwitchingProtocols(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			c.Head()
			c.Say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhi ")
			line, _ := c.R.ReadString('\n')
			c.Say(line)
		})
		b := with(Config{})
		resp, _, err := b.send(t.Context(), call{url: s.URL(), header: http.Header{"Connection": {"Upgrade"}, "Upgrade": {"echo"}}})
		require.NoError(t, err)
		require.Equal(t, 101, resp.StatusCode)
		_, err = io.WriteString(resp.Body.(io.Writer), "there\n")
		require.NoError(t, err)
		all, _ := io.ReadAll(resp.Body)
		assert.Equal(t, "hi there\n", string(all))
		resp.Body.Close()
	})
}
