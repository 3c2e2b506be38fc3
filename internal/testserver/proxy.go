package testserver

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
)

// Proxy is a proxy for HTTP and SOCKS5 on one port. It connects to one address for all
// targets. Its fields must be set before the first connection.
type Proxy struct {
	*Raw
	// Respond, if not nil, is called for the n-th HTTP request (from 1): a text is sent as
	// the whole response, "" lets the request pass. The connection is closed after a text
	// with "Connection: close".
	Respond func(n int, req *http.Request) string
	// SOCKSLogin is the "user:password" that SOCKS requires; "" for none.
	SOCKSLogin string
	// NTLM requires NTLM authentication of every HTTP connection.
	NTLM bool

	target string

	mu          sync.Mutex
	requests    []string
	credentials []string
}

// NewProxy starts a proxy to the address target, with TLS if cfg is not nil. It ends with
// the test.
func NewProxy(t testing.TB, target string, cfg *tls.Config) *Proxy {
	t.Helper()
	p := &Proxy{target: target}
	p.Raw = NewRaw(t, cfg, func(c *Conn) {
		first, err := c.R.Peek(1)
		if err != nil {
			return
		}
		if first[0] == socksVersion {
			p.serveSOCKS(c)
			return
		}
		p.serveHTTP(c)
	})
	return p
}

// RequireLogin makes the proxy require a user and password, with Basic for HTTP, with the
// realm "the proxy".
func (p *Proxy) RequireLogin(user, password string) {
	p.Respond = RequireBasic(user, password)
	p.SOCKSLogin = user + ":" + password
}

// RequireBasic is a Proxy.Respond that refuses every request without this user and password.
func RequireBasic(user, password string) func(int, *http.Request) string {
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	return func(_ int, req *http.Request) string {
		if req.Header.Get("Proxy-Authorization") == want {
			return ""
		}
		return "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=\"the proxy\"\r\nContent-Length: 4\r\n\r\nwho?"
	}
}

// Requests are the requests so far, in order: "GET http://host/", "CONNECT host:443",
// "SOCKS host:80". One for SOCKS with a wrong login is "refused", one that ends before it is
// "nothing". With NTLM, "as DOMAIN\user" follows a request that was accepted.
func (p *Proxy) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.requests...)
}

// Credentials are, one for each of Requests, the Proxy-Authorization field or the
// "user:password" of SOCKS.
func (p *Proxy) Credentials() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.credentials...)
}

// record adds to Requests and Credentials, and returns their number.
func (p *Proxy) record(request, credentials string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = append(p.requests, request)
	p.credentials = append(p.credentials, credentials)
	return len(p.requests)
}

func (p *Proxy) serveHTTP(c *Conn) {
	var login ntlmLogin
	for {
		req, err := http.ReadRequest(c.R)
		if err != nil {
			return
		}
		n := p.record(req.Method+" "+req.RequestURI, req.Header.Get("Proxy-Authorization"))
		if p.Respond != nil {
			if text := p.Respond(n, req); text != "" {
				io.Copy(io.Discard, req.Body)
				c.Say(text)
				if strings.Contains(text, "Connection: close") {
					return
				}
				continue
			}
		}
		if p.NTLM {
			if login.user == "" {
				if challenge, _ := login.next(req.Header.Get("Proxy-Authorization")); challenge != "" {
					io.Copy(io.Discard, req.Body)
					c.Say("HTTP/1.1 407 Who\r\nProxy-Authenticate: " + challenge + "\r\nContent-Length: 4\r\n\r\nwho?")
					continue
				}
			}
			p.record("as "+login.user, "")
		}
		if req.Method == http.MethodConnect {
			c.Say("HTTP/1.1 200 here you are\r\n\r\n")
			p.tunnel(c)
			return
		}
		if !p.forward(c, req) {
			return
		}
	}
}

// forward forwards a request, with the additional field X-Via, and its response.
func (p *Proxy) forward(c *Conn, req *http.Request) bool {
	out, err := net.Dial("tcp", p.target)
	if err != nil {
		return false
	}
	defer out.Close()
	req.Header.Del("Proxy-Authorization")
	req.Header.Set("X-Via", "proxy")
	if err := req.Write(out); err != nil {
		return false
	}
	resp, err := http.ReadResponse(bufio.NewReader(out), req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.Write(c) == nil
}

// tunnel copies in both directions until both have ended.
func (p *Proxy) tunnel(c *Conn) {
	out, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	done := make(chan struct{})
	go func() { defer close(done); io.Copy(out, c.R); out.(*net.TCPConn).CloseWrite() }()
	io.Copy(c, out)
	c.Close()
	<-done
	out.Close()
}

// socksVersion is the first byte of SOCKS 5 (RFC 1928).
const socksVersion = 5

func (p *Proxy) serveSOCKS(c *Conn) {
	var head [2]byte
	io.ReadFull(c.R, head[:])
	io.ReadFull(c.R, make([]byte, head[1])) // the methods of the client
	login := ""
	if p.SOCKSLogin != "" {
		c.Say("\x05\x02")
		var ok bool
		if login, ok = readSOCKSLogin(c); !ok {
			p.record("nothing", "")
			return
		}
		if login != p.SOCKSLogin {
			p.record("refused", login)
			c.Say("\x01\x01")
			return
		}
		c.Say("\x01\x00")
	} else {
		c.Say("\x05\x00")
	}
	target, ok := readSOCKSTarget(c)
	if !ok {
		return
	}
	p.record("SOCKS "+target, login)
	c.Say("\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
	p.tunnel(c)
}

// readSOCKSLogin reads user and password (RFC 1929).
func readSOCKSLogin(c *Conn) (login string, ok bool) {
	var fields [2]string
	c.R.ReadByte() // the version
	for i := range fields {
		n, err := c.R.ReadByte()
		if err != nil {
			return "", false
		}
		b := make([]byte, n)
		io.ReadFull(c.R, b)
		fields[i] = string(b)
	}
	return fields[0] + ":" + fields[1], true
}

// readSOCKSTarget reads a request of SOCKS 5 (RFC 1928, section 4).
func readSOCKSTarget(c *Conn) (target string, ok bool) {
	var head [4]byte
	io.ReadFull(c.R, head[:])
	var host string
	switch addressType := head[3]; addressType {
	case 3: // a name
		n, _ := c.R.ReadByte()
		b := make([]byte, n)
		io.ReadFull(c.R, b)
		host = string(b)
	default: // IPv4, IPv6
		b := make([]byte, map[byte]int{1: 4, 4: 16}[addressType])
		io.ReadFull(c.R, b)
		a, _ := netip.AddrFromSlice(b)
		host = a.String()
	}
	var port [2]byte
	if _, err := io.ReadFull(c.R, port[:]); err != nil {
		return "", false
	}
	return fmt.Sprintf("%s:%d", host, binary.BigEndian.Uint16(port[:])), true
}
