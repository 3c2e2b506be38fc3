package netreplytest

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
)

// SOCKS5 (RFC 1928, RFC 1929).
const (
	socksVersion  = 5
	socksNoLogin  = 0
	socksPassword = 2
	socksNoMethod = 0xff
	socksConnect  = 1
	socksIPv4     = 1
	socksName     = 3
	socksIPv6     = 4

	socksGranted     = 0
	socksFailure     = 1
	socksNetwork     = 3
	socksHost        = 4
	socksRefused     = 5
	socksUnsupported = 7
)

// serveSOCKS serves a client that speaks SOCKS5. c reads from r.
func (p *Proxy) serveSOCKS(peer *peer, c net.Conn, r *bufio.Reader) {
	user, ok := p.socksLogin(c, r)
	if !ok {
		return
	}
	head := make([]byte, 4)
	if _, err := io.ReadFull(r, head); err != nil {
		return
	}
	var host string
	switch head[3] {
	case socksIPv4, socksIPv6:
		ip := make(net.IP, map[byte]int{socksIPv4: net.IPv4len, socksIPv6: net.IPv6len}[head[3]])
		io.ReadFull(r, ip)
		host = ip.String()
	default:
		host = socksText(r)
	}
	port := make([]byte, 2)
	if _, err := io.ReadFull(r, port); err != nil {
		return
	}
	target := net.JoinHostPort(host, strconv.Itoa(int(port[0])<<8|int(port[1])))
	rec := &record{Request: Request{Method: http.MethodConnect, Host: target, Target: target, Proto: "SOCKS5", Header: http.Header{}}}
	if user != "" {
		rec.Header.Set("Proxy-Authorization", user)
	}
	p.mu.Lock()
	p.requests = append(p.requests, rec)
	p.mu.Unlock()
	answer := func(code byte) { c.Write([]byte{socksVersion, code, 0, socksIPv4, 0, 0, 0, 0, 0, 0}) }
	h, _ := p.takeAnswer()
	if h != http.Handler(p) {
		if f, ok := h.(Fault); ok && f.act != nil {
			f.act(&h1Control{conn: c, r: r, forget: func() { p.forget(peer) }})
			return
		}
		answer(socksFailure) // SOCKS has no other answers
		return
	}
	if head[1] != socksConnect {
		answer(socksUnsupported)
		return
	}
	far, err := p.server.dial(p.ctx, target)
	if err != nil {
		answer(socksCode(err))
		return
	}
	answer(socksGranted)
	pump(c, r, far)
}

// socksCode is the answer for a target that cannot be reached.
func socksCode(err error) byte {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return socksHost
	case errors.Is(err, errRefused):
		return socksRefused
	case errors.Is(err, errUnreachable):
		return socksNetwork
	}
	return socksFailure
}

// socksLogin agrees on a method; user is the login that the client sends, as Basic.
func (p *Proxy) socksLogin(c net.Conn, r *bufio.Reader) (user string, ok bool) {
	r.Discard(1) // the version
	offered := socksText(r)
	want := p.requiredLogin()
	method := byte(socksNoLogin)
	if want != "" {
		method = socksPassword
	}
	found := false
	for i := range len(offered) {
		found = found || offered[i] == method
	}
	if !found {
		c.Write([]byte{socksVersion, socksNoMethod})
		return "", false
	}
	c.Write([]byte{socksVersion, method})
	if method == socksNoLogin {
		return "", true
	}
	r.Discard(1) // the version of RFC 1929
	name, password := socksText(r), socksText(r)
	user = basic(name, password)
	status := byte(0)
	if ok = user == want; !ok {
		status = 1
	}
	c.Write([]byte{1, status})
	return user, ok
}

// socksText reads bytes that follow their number.
func socksText(r *bufio.Reader) string {
	n, err := r.ReadByte()
	if err != nil {
		return ""
	}
	b := make([]byte, n)
	io.ReadFull(r, b)
	return string(b)
}

// pump carries bytes between a client, whose bytes are read from r, and the server, until
// either closes. It copies one direction by itself and waits for the goroutine of the other.
func pump(client net.Conn, r io.Reader, far net.Conn) {
	back := make(chan struct{})
	go func() {
		defer close(back)
		if _, err := io.Copy(client, far); errors.Is(err, errReset) {
			resetConn(client)
		}
		client.Close()
	}()
	io.Copy(far, r)
	far.Close()
	<-back
}
