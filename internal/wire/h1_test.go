package wire

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/testserver"
)

// says answers every request on a connection with the same bytes, in pieces of the given
// size; 0 means one piece.
func says(t *testing.T, answer string, piece int) *testserver.Raw {
	return testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		for {
			if _, _, ok := c.Request(); !ok {
				return
			}
			for rest := answer; rest != ""; {
				n := len(rest)
				if piece > 0 {
					n = min(n, piece)
				}
				c.Say(rest[:n])
				rest = rest[n:]
			}
			if strings.Contains(answer, "[close]") {
				return
			}
		}
	})
}

// TestMalformed: a malformed response is refused at the first invalid byte, while the
// connection is still open. The second list has valid responses.
func TestMalformed(t *testing.T) {
	const ok, chunked = "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for name, answer := range map[string]string{
		"HTTP/2.0":                "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/3":                  "HTTP/3 200 OK\r\n\r\n",
		"HTTP/0.9":                "HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n",
		"no HTTP":                 "SSH-2.0-x",
		"lower case":              "http/1.1 200 OK\r\n\r\n",
		"plus":                    "HTTP/1.1 +20 OK\r\n\r\n",
		"minus":                   "HTTP/1.1 -20 OK\r\n\r\n",
		"000":                     "HTTP/1.1 000 X\r\nContent-Length: 0\r\n\r\n",
		"two digits":              "HTTP/1.1 20 OK\r\n\r\n",
		"four digits":             "HTTP/1.1 2000 OK\r\n\r\n",
		"two blanks":              "HTTP/1.1  200 OK\r\n\r\n",
		"tab":                     "HTTP/1.1\t200 OK\r\n\r\n",
		"NUL in reason":           "HTTP/1.1 200 O\x00K\r\nContent-Length: 0\r\n\r\n",
		"ESC in reason":           "HTTP/1.1 200 \x1b[2J\r\nContent-Length: 0\r\n\r\n",
		"CR in reason":            "HTTP/1.1 200 O\rK\r\nContent-Length: 0\r\n\r\n",
		"reason of an interim":    "HTTP/1.1 103 \x01\r\n\r\nHTTP/1.1 204 X\r\n\r\n",
		"bare CR in front":        "\rHTTP/1.1 204 X\r\n\r\n",
		"many empty lines":        strings.Repeat("\r\n", 100) + "HTTP/1.1 204 X\r\n\r\n",
		"HTTP/1.0 chunked":        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"no colon":                ok + "nonsense\r\n\r\n",
		"no name":                 ok + ": x\r\n\r\n",
		"folded first":            ok + " A: x\r\n\r\n",
		"NUL in value":            ok + "A: x\x00\r\n\r\n",
		"CR in value":             ok + "A: x\ry\r\n\r\n",
		"two CR":                  ok + "A: x\r\r\n\r\n",
		"NUL in folded value":     ok + "A: x\r\n \x00\r\n\r\n",
		"length empty":            ok + "Content-Length:\r\n\r\n",
		"length signed":           ok + "Content-Length: +1\r\n\r\nx",
		"length hex":              ok + "Content-Length: 0x1\r\n\r\nx",
		"length list":             ok + "Content-Length: 1, 2\r\n\r\nx",
		"length list, empty":      ok + "Content-Length: 1,\r\n\r\nx",
		"length, blank":           ok + "Content-Length : 1\r\n\r\nx",
		"coding, blank":           ok + "Transfer-Encoding\t: chunked\r\n\r\n",
		"blank, no name":          ok + " : x\r\n\r\n",
		"blanks within name":      ok + "A b : x\r\n\r\n",
		"length huge":             ok + "Content-Length: 99999999999999999999\r\n\r\n",
		"length folded":           ok + "Content-Length: 1\r\n 2\r\n\r\n",
		"lengths":                 ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy",
		"gzip, chunked":           ok + "Transfer-Encoding: gzip, chunked\r\n\r\n",
		"chunked twice":           ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
		"identity":                ok + "Transfer-Encoding: identity\r\n\r\n",
		"chunk size":              chunked + "zz\r\n",
		"chunk size empty":        chunked + "\r\n",
		"chunk size signed":       chunked + "+1\r\nx\r\n",
		"chunk size 0x":           chunked + "0x1\r\nx\r\n",
		"chunk size too large":    chunked + "FFFFFFFFFFFFFFFF\r\n",
		"chunk size long":         chunked + "00000000000000001\r\nx\r\n",
		"chunk blank in size":     chunked + "1 1;x\r\n",
		"chunk bare LF":           chunked + "1\nx\n",
		"chunk bare CR":           chunked + "1;\rx\r\n",
		"chunk NUL":               chunked + "1;\x00\r\nx\r\n",
		"chunk extension endless": chunked + "1;" + strings.Repeat("x", 5000),
		"chunk without end":       chunked + "1\r\nxy\r\n",
		"trailer without colon":   chunked + "0\r\nA\r\n\r\n",
		"trailer NUL":             chunked + "0\r\nA: \x00\r\n\r\n",
		"trailer folded first":    chunked + "0\r\n A: b\r\n\r\n",
		"trailers endless":        chunked + "0\r\n" + strings.Repeat("A: b\r\n", 2000),
		"head endless":            ok + strings.Repeat("A: b\r\n", 50000),
	} {
		for _, piece := range []int{0, 1, 7} {
			if piece > 0 && len(answer) > 1000 {
				continue
			}
			t.Run(fmt.Sprint(name, "/", piece), func(t *testing.T) {
				eachEngine(t, func(t *testing.T, with func(Config) *rig) {
					s := says(t, answer, piece)
					_, _, err := with(Config{}).fetch(call{url: s.URL()})
					fault, _ := faultOf(err)
					require.Equal(t, Malformed, fault, "%v", err)
					require.NotContains(t, err.Error(), "\x00")
					require.NotContains(t, err.Error(), "\x1b")
				})
			})
		}
	}
	for name, answer := range map[string]string{
		"HTTP/1.2":            "HTTP/1.2 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		"HTTP/1.9":            "HTTP/1.9 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"empty lines":         "\r\n\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"empty line, interim": "\r\nHTTP/1.1 103 X\r\n\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"no reason":           "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
		"tab in reason":       "HTTP/1.1 200 O\tK\r\nContent-Length: 2\r\n\r\nok",
		"bytes in reason":     "HTTP/1.1 200 Gr\xf6\xdfe\r\nContent-Length: 2\r\n\r\nok",
		"empty value":         ok + "A:\r\nContent-Length: 2\r\n\r\nok",
		"extensions":          chunked + "1;a=b;c=\"d\"\r\no\r\n01 \t\r\nk\r\n0;x\r\nA: b\r\n c\r\n\r\n",
		"CRLF after":          ok + "Content-Length: 2\r\n\r\nok\r\n",
		"length and chunked":  ok + "Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
	} {
		for _, piece := range []int{0, 1, 7} {
			t.Run(fmt.Sprint(name, "/", piece), func(t *testing.T) {
				eachEngine(t, func(t *testing.T, with func(Config) *rig) {
					s := says(t, answer, piece)
					b := with(Config{})
					for range 2 {
						status, body, err := b.fetch(call{url: s.URL()})
						require.NoError(t, err)
						require.Equal(t, "200 ok", fmt.Sprint(status, " ", body))
					}
				})
			})
		}
	}
}

// TestLenient: malformed responses that other clients accept, and that cannot be understood
// in two ways, are accepted by connections of this package.
func TestLenient(t *testing.T) {
	const ok, chunked = "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for name, answer := range map[string]string{
		"space after name":        ok + "A : x\r\nContent-Length: 2\r\n\r\nok",
		"tab after name, folded":  ok + "A\t: x\r\n y: z\r\nContent-Length: 2\r\n\r\nok",
		"in an interim response":  "HTTP/1.1 103 X\r\nA : x\r\n\r\n" + ok + "Content-Length: 2\r\n\r\nok",
		"length list":             ok + "Content-Length: 2, 2,02\r\n\r\nok",
		"length list, and again":  ok + "Content-Length: 2, 2\r\nContent-Length: 2\r\n\r\nok",
		"blank before extension":  chunked + "1 ;x\r\no\r\n1\t ; y=z\r\nk\r\n0 ;\r\n\r\n",
		"blank between, and head": ok + "Transfer-Encoding: chunked\r\nServer : x\r\n\r\n2\r\nok\r\n0\r\n\r\n",
	} {
		for _, piece := range []int{0, 1, 7} {
			t.Run(fmt.Sprint(name, "/", piece), func(t *testing.T) {
				s := says(t, answer, piece)
				b := ownRig(t)
				for range 2 {
					resp, x, err := b.send(t.Context(), call{url: s.URL()})
					require.NoError(t, err)
					body, err := io.ReadAll(resp.Body)
					require.NoError(t, err)
					resp.Body.Close()
					assert.Equal(t, "ok", string(body))
					assert.NotContains(t, resp.Header, "A")
					_, fields := ParseHead(x.Head)
					for _, f := range fields {
						assert.NotContains(t, f.Name, "A")
						assert.NotContains(t, f.Name, "y")
					}
				}
				assert.Equal(t, 1, s.Connections())
			})
		}
	}
	// a field that would have an effect has none
	s := says(t, ok+"Set-Cookie : a=b\r\nConnection : close\r\nContent-Length: 2\r\n\r\nok", 0)
	b := ownRig(t)
	for range 2 {
		resp, _, err := b.send(t.Context(), call{url: s.URL()})
		require.NoError(t, err)
		io.Copy(io.Discard, resp.Body)
		assert.Empty(t, resp.Cookies())
	}
	assert.Equal(t, 1, s.Connections())
}

// TestTruncatedResponse: the end of the connection inside a response is Closed, not
// Malformed, at any position.
func TestTruncatedResponse(t *testing.T) {
	const answer = "HTTP/1.1 103 X\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nTrailer: t\r\n\r\n"
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		b := with(Config{})
		for n := range len(answer) {
			s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
				if _, _, ok := c.Request(); ok {
					c.Say(answer[:n])
				}
			})
			_, _, err := b.fetch(call{url: s.URL()})
			fault, _ := faultOf(err)
			require.Equal(t, Closed, fault, "cut after %q: %v", answer[:n], err)
		}
	})
}

// TestNotReused: a connection is not reused if the end of the response is ambiguous, or if
// the server announces to close it.
func TestNotReused(t *testing.T) {
	for _, r := range []struct {
		name, method, answer string
		again                bool
	}{
		{name: "204", answer: "HTTP/1.1 204 X\r\n\r\n", again: true},
		{name: "304", answer: "HTTP/1.1 304 X\r\n\r\n", again: true},
		{name: "HEAD with length", method: "HEAD", answer: "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", again: true},
		{name: "Keep-Alive", answer: "HTTP/1.1 204 X\r\nKeep-Alive: timeout=100, max=5\r\n\r\n", again: true},
		{name: "204 with length", answer: "HTTP/1.1 204 X\r\nContent-Length: 7\r\n\r\n"},
		{name: "204 with length 0", answer: "HTTP/1.1 204 X\r\nContent-Length: 0\r\n\r\n"},
		{name: "204 chunked", answer: "HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{name: "304 with length", answer: "HTTP/1.1 304 X\r\nContent-Length: 7\r\n\r\n"},
		{name: "304 chunked", answer: "HTTP/1.1 304 X\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{name: "both framings", answer: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{name: "interim with length", answer: "HTTP/1.1 103 X\r\nContent-Length: 7\r\n\r\nHTTP/1.1 204 X\r\n\r\n"},
		{name: "099", answer: "HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n"},
		{name: "Proxy-Connection", answer: "HTTP/1.1 204 X\r\nProxy-Connection: close\r\n\r\n"},
		{name: "Keep-Alive timeout=0", answer: "HTTP/1.1 204 X\r\nKeep-Alive: timeout=0\r\n\r\n"},
		{name: "Keep-Alive max=0", answer: "HTTP/1.1 204 X\r\nKeep-Alive: timeout=5, max=0\r\n\r\n"},
	} {
		t.Run(r.name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, with func(Config) *rig) {
				s := says(t, r.answer, 0)
				b := with(Config{})
				for range 3 {
					_, _, err := b.fetch(call{method: r.method, url: s.URL()})
					require.NoError(t, err)
				}
				want := 3
				if r.again {
					want = 1
				}
				assert.Equal(t, want, s.Connections())
			})
		})
	}
}

// TestUnsolicitedBytes: bytes after a response belong to no exchange: they neither answer
// nor fail the next one, and net/http does not log them.
func TestUnsolicitedBytes(t *testing.T) {
	logged := captureLog(t)
	const evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
	for _, r := range []struct{ name, method, answer string }{
		{"length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"},
		{"empty", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
		{"chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"},
		{"HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n"},
		{"204", "GET", "HTTP/1.1 204 X\r\n\r\n"},
		{"304", "GET", "HTTP/1.1 304 X\r\n\r\n"},
	} {
		for _, rest := range []string{evil, "x", "0\r\n\r\n", "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"} {
			for _, late := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%.8q/%v", r.name, rest, late), func(t *testing.T) {
					eachEngine(t, func(t *testing.T, with func(Config) *rig) {
						received, sent := make(chan struct{}, 1), make(chan struct{}, 1)
						s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
							for {
								req, _, ok := c.Request()
								if !ok {
									return
								}
								switch {
								case req.URL.Path == "/innocent":
									c.Say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
									continue
								case late:
									c.Say(r.answer)
									<-received
									c.Say(rest)
								default:
									c.Say(r.answer + rest)
								}
								sent <- struct{}{}
							}
						})
						b := with(Config{})
						for range 20 {
							_, _, err := b.fetch(call{method: r.method, url: s.URL() + "/guilty"})
							require.NoError(t, err)
							if late {
								received <- struct{}{}
							}
							<-sent
							// a POST must not be sent twice: it can succeed only if it used
							// another connection at once
							order := func() io.Reader { return strings.NewReader("x") }
							_, body, err := b.fetch(call{method: "POST", body: order(), again: order, url: s.URL() + "/innocent"})
							require.NoError(t, err)
							require.Equal(t, "good", body)
						}
					})
				})
			}
		}
	}
	assert.Empty(t, logged.String())
}

// TestStrayBytes: bytes on a reused connection that are not the start of a response are
// Stray, so that the request may be repeated.
func TestStrayBytes(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			c.Request()
			c.Say("HTTP/1.1 204 X\r\n\r\n")
			c.Request()
			c.Say("rest of the first body")
			c.Request()
		})
		b := with(Config{})
		_, _, err := b.fetch(call{url: s.URL()})
		require.NoError(t, err)
		_, _, err = b.fetch(call{url: s.URL()})
		var e *Error
		require.ErrorAs(t, err, &e)
		assert.True(t, e.Stray)
		assert.False(t, e.Began)
		assert.Equal(t, Malformed, e.Fault)
	})
}

// TestResponseBeforeRequest: a response before the request, which an overloaded server may
// send, is accepted on a new connection; on an idle one it ends the connection.
func TestResponseBeforeRequest(t *testing.T) {
	logged := captureLog(t)
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			c.Say("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy")
			c.Request()
		})
		b := with(Config{})
		for range 50 {
			status, body, err := b.fetch(call{url: s.URL()})
			require.NoError(t, err)
			require.Equal(t, "503 busy", fmt.Sprint(status, " ", body))
			b.tr.CloseIdle()
		}
		open := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			if c.N == 1 {
				c.Say("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
				c.R.ReadByte()
				return
			}
			c.Request()
			c.Say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
		})
		require.NoError(t, b.tr.Open(t.Context(), Key{Scheme: "http", Addr: open.Addr}))
		require.Eventually(t, func() bool { return b.tr.Connections() == 0 }, 10*time.Second, time.Millisecond)
		_, body, err := b.fetch(call{method: "POST", body: strings.NewReader("x"), url: open.URL()})
		require.NoError(t, err)
		assert.Equal(t, "good", body)
	})
	assert.Empty(t, logged.String())
}

// TestKeepAliveTimeout: a connection is not reused when the announced Keep-Alive timeout is
// nearly over.
func TestKeepAliveTimeout(t *testing.T) {
	assert.Equal(t, time.Duration(0), keepMargin(0))
	assert.Equal(t, 500*time.Millisecond, keepMargin(time.Second))
	assert.Equal(t, 4*time.Second, keepMargin(5*time.Second))
	for value, want := range map[string]time.Duration{
		"timeout=5": 5 * time.Second, "max=9, Timeout = 7": 7 * time.Second, "timeout=99999999999": 1 << 31 * time.Second, "timeout=-1": -1, "timeout": -1, "": -1,
	} {
		tap := headTap{limit: 1000}
		tap.reset("GET")
		tap.feed([]byte("HTTP/1.1 204 X\r\nKeep-Alive: " + value + "\r\n\r\n"))
		require.NoError(t, tap.fault)
		if want < 0 {
			assert.False(t, tap.limitsKeep, value)
		} else {
			assert.Equal(t, want, tap.keepAlive, value)
		}
	}
}

// TestHeadCostIsLinear: the cost of a head is linear in its size, whatever it contains.
func TestHeadCostIsLinear(t *testing.T) {
	for name, line := range map[string]string{
		"one name": "A:1\r\n", "folded": " 1\r\n", "interim": "\r\nHTTP/1.1 103 X\r\n", "long names": strings.Repeat("a", 100) + ":1\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			cost := func(n int) time.Duration {
				raw := []byte("HTTP/1.1 200 OK\r\nB:1\r\n" + strings.Repeat(line, n) + "\r\n")
				tap := headTap{limit: 1 << 30}
				tap.reset("GET")
				start := time.Now()
				for p := raw; len(p) > 0; {
					k := min(100, len(p))
					tap.feed(p[:k])
					p = p[k:]
				}
				ParseHead(string(tap.head))
				took := time.Since(start)
				require.NoError(t, tap.fault)
				return took
			}
			// 20 times the size costs about 20 times as much, and 400 times if the cost is
			// quadratic. Only the best times are compared: what else the machine does makes a
			// round slower, never faster.
			const rounds, limit = 100, 100
			small, large := cost(2000), cost(40000)
			for range 10 {
				small = min(small, cost(2000))
			}
			for n := 1; large > limit*small && n < rounds; n++ {
				large = min(large, cost(40000))
			}
			assert.LessOrEqual(t, large, limit*small, "the best of %d rounds", rounds)
		})
	}
}

// TestManyFields: a head within the limit costs at most ten times as much as with
// net/http's own client, and the end of the context interrupts it.
func TestManyFields(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		s := says(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"+strings.Repeat("A:1\r\n", 50000)+"\r\nok", 0)
		b := with(Config{})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		resp, x, err := b.send(ctx, call{url: s.URL()})
		require.NoError(t, err)
		_, fields := ParseHead(x.Head)
		assert.Len(t, fields, 50001)
		assert.Len(t, resp.Header[http.CanonicalHeaderKey("a")], 50000)
		resp.Body.Close()
	})
}
