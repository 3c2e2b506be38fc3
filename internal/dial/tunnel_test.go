package dial

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// scriptedProxy is an HTTP proxy in memory that answers the nth CONNECT with the result of
// say; "" closes the connection instead, and with the prefix "close " it is closed after
// the response.
type scriptedProxy struct {
	say func(n int, req *http.Request) string

	mu      sync.Mutex
	wg      sync.WaitGroup
	conns   int
	asked   []*http.Request
	perConn []int // CONNECTs on each connection
}

func (s *scriptedProxy) DialContext(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.conns
	s.conns++
	s.perConn = append(s.perConn, 0)
	s.wg.Go(func() {
		defer server.Close()
		r := bufio.NewReader(server)
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			s.mu.Lock()
			s.asked = append(s.asked, req)
			s.perConn[at]++
			n := len(s.asked)
			s.mu.Unlock()
			text, last := strings.CutPrefix(s.say(n, req), "close ")
			if _, err := io.WriteString(server, text); err != nil || last || text == "" {
				return
			}
		}
	})
	return client, nil
}

func (s *scriptedProxy) fields(name string) (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.asked {
		all = append(all, r.Header.Get(name))
	}
	return all
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

const (
	ok       = "HTTP/1.1 200 OK\r\n\r\n"
	who      = "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=\"r\"\r\nContent-Length: 4\r\n\r\nwho?"
	whoClose = "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=\"r\"\r\n%sContent-Length: 4\r\n\r\nwho?"
)

// wants sends the challenge until the credentials are right.
func wants(refusal string) func(int, *http.Request) string {
	return func(_ int, req *http.Request) string {
		if req.Header.Get("Proxy-Authorization") == basic("u", "p") {
			return ok
		}
		return refusal
	}
}

// TestTunnelFraming: a tunnel begins after the head of a 2xx to CONNECT, whatever it says about
// a body (RFC 9110, section 9.3.6).
func TestTunnelFraming(t *testing.T) {
	for _, fields := range []string{"", "Content-Length: 5\r\n", "Content-Length: 0\r\n", "Content-Length: 5\r\nContent-Length: 6\r\n", "Content-Length: -1\r\n",
		"Content-Length: x\r\n", "Content-Length: 99999999999999999999\r\n", "Transfer-Encoding: chunked\r\n", "Transfer-Encoding: what\r\n",
		"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "Transfer-Encoding: chunked, chunked\r\n", "Connection: close\r\n", "Trailer: Content-Length\r\n"} {
		for _, line := range []string{"HTTP/1.1 200 OK", "HTTP/1.1 200", "HTTP/1.1 204 None", "HTTP/1.0 299 Other", "HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK", "\r\nHTTP/1.1 200 OK"} {
			s := &scriptedProxy{say: func(int, *http.Request) string { return "close " + line + "\r\n" + fields + "\r\nearly words" }}
			c, err := (&Dialer{DialContext: s.DialContext}).Through(t.Context(), &Proxy{Addr: "proxy.test:1"}, "target.test:25", nil)
			require.NoError(t, err, "%q %q", line, fields)
			got, err := io.ReadAll(c)
			require.NoError(t, err)
			assert.Equal(t, "early words", string(got), "%q %q", line, fields)
			c.Close()
			s.wg.Wait()
		}
	}
}

// TestTunnelHead: responses to CONNECT that are malformed or too large.
func TestTunnelHead(t *testing.T) {
	for _, text := range []string{"HTTP/2 200 OK\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n", "HTTP/0.9 200 OK\r\n\r\n", "http/1.1 200 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 +20 OK\r\n\r\n",
		"HTTP/1.1 099 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1  200 OK\r\n\r\n", "HTTP/1.1\t200 OK\r\n\r\n", "HTTP/1.1 200 O\x1b[31mK\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
		"HTTP/1.1 101 Switching\r\n\r\n" + ok, "SSH-2.0-x\r\n\r\n", "\x00\r\n\r\n", strings.Repeat("HTTP/1.1 100 Go\r\n\r\n", 20),
		"HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 20_000), "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("b", 100_000), strings.Repeat("\r\n", 100_000),
		"HTTP/1.1 407 \x1b[31mWho\r\n\r\n", "HTTP/1.1 407 Who\r\nContent-Length: \x1b[31m\r\n\r\n", "HTTP/1.1 407 Who\r\n\x1b[31m: x\r\n\r\n"} {
		s := &scriptedProxy{say: func(int, *http.Request) string { return "close " + text }}
		_, err := (&Dialer{DialContext: s.DialContext}).Through(t.Context(), &Proxy{Addr: "proxy.test:1"}, "target.test:25", nil)
		var pe *ProxyError
		require.ErrorAs(t, err, &pe, "%.40q", text)
		assert.Equal(t, ProxyMalformed, pe.Fault, "%.40q: %v", text, err)
		assert.NotContains(t, err.Error(), "\x1b", "%.40q", text)
		assert.Less(t, len(err.Error()), 400)
		s.wg.Wait()
	}
}

// TestRefusalText: an escape sequence in the reason phrase of a refusal is not in the error.
func TestRefusalText(t *testing.T) {
	s := &scriptedProxy{say: func(int, *http.Request) string {
		return "HTTP/1.1 403 \u009b31m\u202eno\xff\r\nContent-Length: 0\r\n\r\n"
	}}
	_, err := (&Dialer{DialContext: s.DialContext}).Through(t.Context(), &Proxy{Addr: "proxy.test:1"}, "target.test:25", nil)
	require.ErrorContains(t, err, `proxy proxy.test:1: CONNECT failed with status 403 \u009b31m\u202eno\xff`)
	s.wg.Wait()
}

// TestChallengeOnSameConnection: a challenge is answered on its connection if that stays open,
// else on a new one whose first request has the credentials, whether the proxy announces the
// close or not.
func TestChallengeOnSameConnection(t *testing.T) {
	chunked := "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=\"r\"\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwho?\r\n0\r\n\r\n"
	for name, c := range map[string]struct {
		refusal string
		conns   []int // CONNECTs on each
	}{
		"stays":             {who, []int{2}},
		"chunked":           {chunked, []int{2}},
		"stays, HTTP/1.0":   {"HTTP/1.0 407 Who\r\nConnection: keep-alive\r\nProxy-Authenticate: Basic realm=\"r\"\r\nContent-Length: 0\r\n\r\n", []int{2}},
		"stays, by a name":  {"HTTP/1.0 407 Who\r\nProxy-Connection: Keep-Alive\r\nProxy-Authenticate: Basic realm=\"r\"\r\nContent-Length: 0\r\n\r\n", []int{2}},
		"Connection: close": {fmt.Sprintf(whoClose, "Connection: close\r\n"), []int{1, 1}},
		"Proxy-Connection":  {fmt.Sprintf(whoClose, "Proxy-Connection: Close\r\n"), []int{1, 1}},
		"both":              {"close " + fmt.Sprintf(whoClose, "Connection: close\r\nProxy-Connection: keep-alive\r\n"), []int{1, 1}},
		"unsaid":            {"close " + who, []int{1, 1}},
		"HTTP/1.0":          {"close HTTP/1.0 407 Who\r\nProxy-Authenticate: Basic realm=\"r\"\r\n\r\nwho?", []int{1, 1}},
		"no length":         {"close HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=\"r\"\r\n\r\nwho?", []int{1, 1}},
		"long body":         {"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=\"r\"\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("!", 1_000_000), []int{1, 1}},
		"cut body":          {"close HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=\"r\"\r\nContent-Length: 10\r\n\r\nwho?", []int{1, 1}},
		"a line more":       {who + "\r\n", []int{2}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &scriptedProxy{say: wants(c.refusal)}
			p := &Proxy{Addr: "proxy.test:1", Credentials: true, User: "u", Password: "p"}
			tunnel, err := (&Dialer{DialContext: s.DialContext}).Through(t.Context(), p, "target.test:443", nil)
			require.NoError(t, err)
			tunnel.Close()
			s.wg.Wait()
			assert.Equal(t, c.conns, s.perConn)
			assert.Equal(t, []string{"", basic("u", "p")}, s.fields("Proxy-Authorization"))
		})
	}
}

// TestStallingRefusalBody: the wait for the body of a refusal is short, and the received
// part is returned.
func TestStallingRefusalBody(t *testing.T) {
	for _, status := range []string{"407 Who", "403 No"} {
		synctest.Test(t, func(t *testing.T) {
			s := &scriptedProxy{say: wants("HTTP/1.1 " + status + "\r\nProxy-Authenticate: Basic realm=\"r\"\r\nContent-Length: 10\r\n\r\nwho?")}
			p := &Proxy{Addr: "proxy.test:1", Credentials: true, User: "u", Password: "p"}
			begin := time.Now()
			tunnel, err := (&Dialer{DialContext: s.DialContext, ConnectTimeout: time.Minute}).Through(t.Context(), p, "target.test:443", nil)
			assert.Equal(t, bodyTime, time.Since(begin))
			if status == "403 No" {
				var pe *ProxyError
				require.ErrorAs(t, err, &pe)
				assert.Equal(t, ProxyRefused, pe.Fault)
				assert.Equal(t, "who?", string(pe.Body))
			} else {
				require.NoError(t, err)
				tunnel.Close()
				assert.Equal(t, []int{1, 1}, s.perConn)
			}
			s.wg.Wait()
		})
	}
}

// TestDrippingHead: an endless head, sent byte by byte, ends by the time limit; a slow one
// is read.
func TestDrippingHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drip := func(text string) func(context.Context, string, string) (net.Conn, error) {
			return func(context.Context, string, string) (net.Conn, error) {
				client, server := net.Pipe()
				go func() {
					defer server.Close()
					http.ReadRequest(bufio.NewReader(server))
					for i := 0; ; i++ {
						time.Sleep(10 * time.Millisecond)
						if _, err := server.Write([]byte{text[min(i, len(text)-1)]}); err != nil || text[len(text)-1] == '\n' && i == len(text)-1 {
							return
						}
					}
				}()
				return client, nil
			}
		}
		begin := time.Now()
		_, err := (&Dialer{DialContext: drip("HTTP/1.1 200 OK\r\nA: b"), ConnectTimeout: 20 * time.Second}).Through(t.Context(), &Proxy{Addr: "proxy.test:1"}, "target.test:443", nil)
		require.ErrorIs(t, err, ErrTimeout)
		assert.Equal(t, 20*time.Second, time.Since(begin))
		_, err = (&Dialer{DialContext: drip("HTTP/1.1 200 OK\r\nA: b")}).Through(t.Context(), &Proxy{Addr: "proxy.test:1"}, "target.test:443", nil)
		require.ErrorContains(t, err, "64 KiB", "without a limit of time there is one of length")
		c, err := (&Dialer{DialContext: drip(ok)}).Through(t.Context(), &Proxy{Addr: "proxy.test:1"}, "target.test:443", nil)
		require.NoError(t, err)
		c.Close()
	})
}

// TestCredentialsLater: credentials that come later are sent at once, on the connection of the
// challenge if that is still open.
func TestCredentialsLater(t *testing.T) {
	for name, c := range map[string]struct {
		refusal string
		drop    bool
		conns   []int
	}{"stays": {who, false, []int{2}}, "closes": {"close " + who, false, []int{1, 1}}, "says so": {fmt.Sprintf(whoClose, "Connection: close\r\n"), false, []int{1, 1}}, "dropped": {who, true, []int{1, 1}}} {
		t.Run(name, func(t *testing.T) {
			s := &scriptedProxy{say: wants(c.refusal)}
			d := &Dialer{DialContext: s.DialContext}
			blank := &Proxy{Addr: "proxy.test:1"}
			_, err := d.Through(t.Context(), blank, "target.test:443", nil)
			var pe *ProxyError
			require.ErrorAs(t, err, &pe)
			require.Equal(t, ProxyAuthRequired, pe.Fault)
			if c.drop {
				blank.Close()
			}
			known := &Proxy{Addr: "proxy.test:1", Credentials: true, User: "u", Password: "p"}
			known.Follow(blank, pe)
			tunnel, err := d.Through(t.Context(), known, "target.test:443", nil)
			require.NoError(t, err)
			tunnel.Close()
			s.wg.Wait()
			assert.Equal(t, c.conns, s.perConn)
			assert.Equal(t, []string{"", basic("u", "p")}, s.fields("Proxy-Authorization"))
		})
	}
	t.Run("wrong ones", func(t *testing.T) {
		s := &scriptedProxy{say: wants(who)}
		d := &Dialer{DialContext: s.DialContext}
		last, creds := &Proxy{Addr: "proxy.test:1"}, ""
		for range 3 {
			_, err := d.Through(t.Context(), last, "target.test:443", nil)
			var pe *ProxyError
			require.ErrorAs(t, err, &pe)
			next := &Proxy{Addr: "proxy.test:1", Credentials: true, User: "u", Password: creds + "x"}
			next.Follow(last, pe)
			last, creds = next, creds+"x"
		}
		last.Close()
		s.wg.Wait()
		assert.Equal(t, []int{3}, s.perConn, "one CONNECT for each, over one connection")
	})
	t.Run("another target", func(t *testing.T) {
		s := &scriptedProxy{say: wants(who)}
		d := &Dialer{DialContext: s.DialContext}
		blank := &Proxy{Addr: "proxy.test:1"}
		_, err := d.Through(t.Context(), blank, "target.test:443", nil)
		var pe *ProxyError
		require.ErrorAs(t, err, &pe)
		known := &Proxy{Addr: "proxy.test:1", Credentials: true, User: "u", Password: "p"}
		known.Follow(blank, pe)
		tunnel, err := d.Through(t.Context(), known, "other.test:443", nil)
		require.NoError(t, err)
		tunnel.Close()
		known.Close()
		s.wg.Wait()
		assert.Equal(t, []int{1, 1}, s.perConn)
	})
}

// TestParkedTimeout: a parked connection is closed after parkedFor.
func TestParkedTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scriptedProxy{say: wants(who)}
		_, err := (&Dialer{DialContext: s.DialContext}).Through(t.Context(), &Proxy{Addr: "proxy.test:1"}, "target.test:443", nil)
		require.Error(t, err)
		begin := time.Now()
		s.wg.Wait()
		assert.Equal(t, parkedFor, time.Since(begin))
	})
}

// TestParkingAfterRetire: after Retire no connection is parked, neither an existing one nor
// one that is still being opened.
func TestParkingAfterRetire(t *testing.T) {
	for _, early := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := &scriptedProxy{say: wants(who)}
			p := &Proxy{Addr: "proxy.test:1"}
			if early {
				p.Retire()
			}
			begin := time.Now()
			_, err := (&Dialer{DialContext: s.DialContext}).Through(t.Context(), p, "target.test:443", nil)
			require.Error(t, err)
			if !early {
				p.Retire()
			}
			s.wg.Wait()
			assert.Zero(t, time.Since(begin))
		})
	}
}

// TestConnectFields: the program's fields are in the CONNECT request, and its own
// Proxy-Authorization is not replaced.
func TestConnectFields(t *testing.T) {
	s := &scriptedProxy{say: wants(who)}
	p := &Proxy{Addr: "proxy.test:1", Credentials: true, User: "u", Password: "p", Fields: [][2]string{{"X-Tenant", "a"}, {"Proxy-Authorization", "Bearer wrong"}}}
	_, err := (&Dialer{DialContext: s.DialContext}).Through(t.Context(), p, "[fe80::1%eth0]:443", nil)
	var pe *ProxyError
	require.ErrorAs(t, err, &pe)
	assert.Equal(t, ProxyAuthRequired, pe.Fault)
	p.Close()
	s.wg.Wait()
	assert.Equal(t, []string{"Bearer wrong"}, s.fields("Proxy-Authorization"))
	assert.Equal(t, []string{"a"}, s.fields("X-Tenant"))
	assert.Equal(t, "[fe80::1]:443", s.asked[0].Host, "a zone is a matter of this machine")
}

// TestHeadEnd: the end of a head is found for any sizes of the Reads.
func TestHeadEnd(t *testing.T) {
	for text, want := range map[string]int{"": 0, "\n": 0, "a\n": 0, "a\r\n": 0, "a\n\n": 3, "a\r\n\r\n": 5, "a\n\r\n": 4, "a\r\n\nrest": 4, "a\r\nb\r\n\r\nrest": 8, "a\r\r\n": 0} {
		assert.Equal(t, want, headEnd([]byte(text), 0), "%q", text)
		searched := 0
		for n := range len(text) + 1 {
			end := headEnd([]byte(text)[:n], searched)
			if end > 0 {
				assert.Equal(t, want, end, "%q", text)
				break
			}
			searched = n
		}
	}
	assert.Equal(t, 2<<10, headEnd(append(bytes.Repeat([]byte("a"), 2<<10-2), "\n\n"...), 0))
}
