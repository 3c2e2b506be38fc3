package wire

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/testserver"
)

// chaosTime is how long TestH1Chaos lasts: NETREPLY_TEST_CHAOS, or a second.
func chaosTime(t *testing.T) time.Duration {
	text := os.Getenv("NETREPLY_TEST_CHAOS")
	if text == "" {
		return time.Second
	}
	d, err := time.ParseDuration(text)
	require.NoError(t, err)
	return d
}

// TestH1Chaos: whatever clients and servers do to connections of HTTP/1, no exchange gets
// the response to another request, no request is processed other than as it was sent, and at
// the end no connection is left.
func TestH1Chaos(t *testing.T) {
	origin, cfg := testserver.NewOrigin(t, testserver.TLS, http.NotFoundHandler())
	server := origin.TLS.Clone()
	server.NextProtos = []string{"http/1.1"}
	for name, newTransport := range engines {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprint(name, "/tls=", secure), func(t *testing.T) {
				var mangled atomic.Int64
				serve := func(c *testserver.Conn) { chaosServer(c, &mangled) }
				s, url := testserver.NewRaw(t, nil, serve), ""
				if url = s.URL(); secure {
					s = testserver.NewRaw(t, server, serve)
					url = "https://" + s.Addr
				}
				b := &rig{T: t, tls: &Profile{Config: cfg}, tr: newTransport(Config{ConnsPerHost: 8, Dialer: &dial.Dialer{ConnectTimeout: time.Minute, TLSTimeout: time.Minute}})}
				end := time.Now().Add(chaosTime(t))
				var wg sync.WaitGroup
				var whole, wrong atomic.Int64
				for worker := range 24 {
					wg.Go(func() {
						r := rand.New(rand.NewPCG(uint64(worker), 7))
						for i := 0; time.Now().Before(end); i++ {
							good, bad := chaosCall(b, r, fmt.Sprintf("%s/%d-%d", url, worker, i))
							if good {
								whole.Add(1)
							}
							if bad != "" {
								wrong.Add(1)
								t.Error(bad)
							}
						}
					})
				}
				done := make(chan struct{})
				go func() {
					wg.Wait()
					close(done)
				}()
				for over := false; !over; {
					select {
					case <-done:
						over = true
					case <-time.After(5 * time.Millisecond):
						b.tr.CloseIdle()
					}
				}
				assert.Zero(t, wrong.Load())
				assert.Zero(t, mangled.Load(), "requests with a wrong body")
				assert.Positive(t, whole.Load())
				b.tr.Close()
				assert.Zero(t, b.tr.Connections())
			})
		}
	}
}

// chaosCall makes one exchange. good means that a whole response to this request has come,
// and bad describes a wrong one.
func chaosCall(b *rig, r *rand.Rand, url string) (good bool, bad string) {
	what := []string{"length", "chunked", "close", "silent", "extra", "half", "early", "empty", "interim", "slow", "reset"}[r.IntN(11)]
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if r.IntN(6) == 0 {
		defer time.AfterFunc(time.Duration(r.IntN(3000))*time.Microsecond, cancel).Stop()
	}
	c := call{url: url + "?" + what}
	sum := ""
	if r.IntN(2) == 0 {
		body := strings.Repeat(url, 1+r.IntN(3000))
		sum = fmt.Sprintf("%x", sha256.Sum256([]byte(body)))
		c.method, c.body, c.length = "POST", io.MultiReader(strings.NewReader(body)), int64(len(body))
		if r.IntN(2) == 0 {
			c.length = -1
		}
		c.header = http.Header{"X-Sum": {sum}}
		if r.IntN(4) == 0 {
			c.header.Set("Expect", "100-continue")
		}
	}
	resp, x, err := b.send(ctx, c)
	if err != nil {
		return false, ""
	}
	defer resp.Body.Close()
	var body io.Reader = resp.Body
	switch r.IntN(10) {
	case 0:
		return false, "" // Close without a Read
	case 1:
		go resp.Body.Close() // during the Reads
	case 2:
		io.ReadFull(resp.Body, make([]byte, 10))
		resp.Body.Close()
		resp.Body.Close()
		if n, err := resp.Body.Read(make([]byte, 10)); n > 0 || err == nil {
			return false, fmt.Sprintf("%s (%s) has %d bytes behind its Close", url, what, n)
		}
		return false, ""
	case 3:
		body = iotest.OneByteReader(body)
	}
	got, err := io.ReadAll(body)
	if err != nil {
		return false, ""
	}
	path := url[strings.LastIndexByte(url, '/'):]
	if want := path; resp.StatusCode == 200 && string(got) != chaosBody(want) {
		return false, fmt.Sprintf("%s (%s) has the body %.80q", url, what, got)
	}
	if !strings.Contains(x.Head, "X-Path: "+path+"\r\n") || resp.Header.Get("X-Path") != path {
		return false, fmt.Sprintf("%s (%s) has the head %q", url, what, x.Head)
	}
	return true, ""
}

// chaosBody is the body of the responses to requests for a path.
func chaosBody(path string) string { return path + strings.Repeat("x", len(path)*700) }

// chaosServer answers requests on a connection as their query says. mangled counts requests
// whose body is not what the client has sent.
func chaosServer(c *testserver.Conn, mangled *atomic.Int64) {
	for {
		req, err := http.ReadRequest(c.R)
		if err != nil {
			return
		}
		head := "X-Path: " + req.URL.Path + "\r\n"
		what := req.URL.RawQuery
		if what == "early" {
			c.Say("HTTP/1.1 413 Too Large\r\n" + head + "Content-Length: 0\r\n\r\n")
			return
		}
		switch what {
		case "silent":
			return
		case "reset": // without the rest of the request
			all := chaosBody(req.URL.Path)
			c.Say("HTTP/1.1 200 OK\r\n" + head + "Connection: close\r\n\r\n" + all[:len(all)/2])
			c.Say(all[len(all)/2:])
			c.Reset()
			return
		}
		if req.Header.Get("Expect") != "" {
			c.Say("HTTP/1.1 100 Continue\r\n\r\n")
		}
		h := sha256.New()
		_, err = io.Copy(h, req.Body)
		if err != nil {
			return
		}
		if sum := req.Header.Get("X-Sum"); sum != "" && sum != fmt.Sprintf("%x", h.Sum(nil)) {
			mangled.Add(1)
		}
		body := chaosBody(req.URL.Path)
		length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
		switch what {
		case "chunked":
			c.Say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + head + "\r\n")
			for rest := body; rest != ""; {
				n := min(len(rest), 1000)
				c.Say(fmt.Sprintf("%x;ext\r\n%s\r\n", n, rest[:n]))
				rest = rest[n:]
			}
			c.Say("0\r\nX-End: y\r\n\r\n")
		case "close":
			c.Say("HTTP/1.1 200 OK\r\n" + head + "Connection: close\r\n\r\n" + body)
			return
		case "extra": // a response that nobody has asked for
			c.Say("HTTP/1.1 200 OK\r\n" + head + length + "\r\n" + body + "HTTP/1.1 200 OK\r\nX-Path: /evil\r\nContent-Length: 4\r\n\r\nevil")
		case "half":
			c.Say("HTTP/1.1 200 OK\r\n" + head + length + "\r\n" + body[:len(body)/2])
			return
		case "empty":
			c.Say("HTTP/1.1 204 No Content\r\n" + head + "\r\n")
		case "interim":
			c.Say("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n" + head + length + "\r\n" + body)
		case "slow":
			all := "HTTP/1.1 200 OK\r\n" + head + length + "\r\n" + body
			c.Say(all[:len(all)/2])
			c.Say(all[len(all)/2:])
		default:
			c.Say("HTTP/1.1 200 OK\r\n" + head + length + "\r\n" + body)
		}
	}
}
