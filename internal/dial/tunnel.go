package dial

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Limits for what an HTTP proxy can cause.
const (
	maxProxyHead = 64 << 10 // all response heads of one CONNECT
	maxProxyBody = 64 << 10
	maxInterim   = 8
	maxRounds    = 6 // CONNECTs of one dial
	// bodyTime bounds reading the body of a refusal, which is only informative.
	bodyTime = time.Second
)

// tunnel requests a tunnel to addr, and answers challenges of the proxy as far as possible.
func (d *Dialer) tunnel(ctx context.Context, p *Proxy, addr string, connecting func()) (net.Conn, error) {
	n := &negotiation{proxy: p, addr: withoutZone(addr), rounds: maxRounds}
	n.line, n.tried = p.preemptive(n.addr)
	c, in := p.unpark(n.addr)
	for {
		used := c != nil // a CONNECT was sent on it
		if c == nil {
			var err error
			if c, err = d.proxy(ctx, p, connecting); err != nil {
				return nil, err
			}
			connecting, in = nil, newProxyReader(c)
		}
		conn, reader := c, in
		t, err := withConn(ctx, conn, func() (net.Conn, error) { return n.sendOn(conn, reader, used) })
		switch {
		case err == nil:
			p.accepted()
			return t, nil
		case err == errOtherConn && ctx.Err() == nil:
			GiveUp(c)
			c, in = nil, nil
			continue
		}
		var pe *ProxyError
		if ctx.Err() != nil || !errors.As(err, &pe) || pe.Fault != ProxyAuthRequired || !n.reusable || !p.park(&parked{conn: c, in: in, addr: n.addr}) {
			GiveUp(c)
		}
		return nil, p.failed(ctx, err)
	}
}

// withoutZone removes the zone of an IPv6 address, which is valid only locally (RFC 6874,
// section 1).
func withoutZone(addr string) string {
	from, to := strings.IndexByte(addr, '%'), strings.LastIndexByte(addr, ']')
	if from < 0 || to < from {
		return addr
	}
	return addr[:from] + addr[to:]
}

// errOtherConn means that the next CONNECT needs another connection.
var errOtherConn = errors.New("another connection is needed")

// negotiation is the state of a dial through an HTTP proxy.
type negotiation struct {
	proxy    *Proxy
	addr     string
	line     string // Proxy-Authorization of the next CONNECT
	tried    bool   // the credentials were sent: a refusal is final
	reusable bool   // the connection of the last refusal can be used for another CONNECT
	rounds   int    // number of CONNECTs left
}

// sendOn sends CONNECTs on one connection. It returns the tunnel, errOtherConn, or the reason
// for the failure. used reports that a CONNECT was sent on c before: if there is no
// response, the proxy has closed the connection.
func (n *negotiation) sendOn(c net.Conn, in *proxyReader, used bool) (net.Conn, error) {
	for ; n.rounds > 0; used = true {
		n.rounds--
		t, refused, err := n.connect(c, in)
		if err != nil && used && in.silent() && isGone(err) {
			n.renew()
			return nil, errOtherConn
		}
		if err != nil || t != nil {
			return t, err
		}
		n.reusable = !refused.close
		line, err := n.answer(refused)
		if err != nil {
			return nil, err
		}
		n.line = line
		if refused.close {
			return nil, errOtherConn
		}
	}
	return nil, &ProxyError{Fault: ProxyMalformed, Proxy: n.proxy.Addr, Err: errors.New("too many authentication rounds")}
}

// refusal is a response to CONNECT other than 2xx.
type refusal struct {
	*http.Response
	body  []byte
	close bool
}

// connect sends one CONNECT. It returns the tunnel or the refusal.
func (n *negotiation) connect(c net.Conn, in *proxyReader) (net.Conn, *refusal, error) {
	in.limit.N = maxProxyHead
	in.began = false
	if _, err := io.WriteString(c, n.request()); err != nil {
		return nil, nil, err
	}
	for range maxInterim {
		head, err := in.head()
		if err != nil {
			return nil, nil, err
		}
		status, err := parseHead(head)
		switch {
		case err != nil:
			return nil, nil, err
		case status/100 == 2:
			// The tunnel begins after the empty line; Content-Length and Transfer-Encoding
			// are ignored (RFC 9110, section 9.3.6).
			in.Discard(len(head))
			return in.rest(c), nil, nil
		case status == http.StatusSwitchingProtocols:
			return nil, nil, errors.New("status 101 to CONNECT")
		case status >= 200:
			refused, err := in.refusal(c)
			return nil, refused, err
		}
		in.Discard(len(head))
	}
	return nil, nil, errors.New("too many interim responses to CONNECT")
}

// request returns a CONNECT request.
func (n *negotiation) request() string {
	var b strings.Builder
	b.WriteString("CONNECT " + n.addr + " HTTP/1.1\r\nHost: " + n.addr + "\r\n")
	for _, f := range n.proxy.Fields {
		b.WriteString(f[0] + ": " + f[1] + "\r\n")
	}
	if n.line != "" {
		b.WriteString("Proxy-Authorization: " + n.line + "\r\n")
	}
	b.WriteString("\r\n")
	return b.String()
}

// proxyReader reads responses of a proxy, up to a limit. Its buffer is large enough for a
// head.
type proxyReader struct {
	*bufio.Reader
	limit *io.LimitedReader
	began bool // a byte was received since the last CONNECT
}

func newProxyReader(c net.Conn) *proxyReader {
	limit := &io.LimitedReader{R: c}
	return &proxyReader{Reader: bufio.NewReaderSize(limit, maxProxyHead), limit: limit}
}

// silent reports whether nothing was received since the last CONNECT.
func (in *proxyReader) silent() bool { return !in.began }

// head waits for a complete head, and returns it without consuming it.
func (in *proxyReader) head() ([]byte, error) {
	for { // skip empty lines before the status line (RFC 9112, section 2.2)
		b, err := in.Peek(1)
		if err != nil || b[0] != '\r' && b[0] != '\n' {
			break
		}
		in.Discard(1)
	}
	for searched := 0; ; {
		b, err := in.Peek(searched + 1)
		if err == nil {
			b, _ = in.Peek(in.Buffered())
		}
		in.began = in.began || len(b) > 0
		if end := headEnd(b, searched); end > 0 {
			return b[:end], nil
		}
		switch {
		case err == bufio.ErrBufferFull, err == io.EOF && in.limit.N <= 0, err == nil && len(b) == maxProxyHead:
			return nil, errors.New("the head of its response is longer than 64 KiB")
		case err != nil:
			return nil, err
		}
		searched = len(b)
	}
}

// headEnd returns the length of a complete head, 0 if it is incomplete. The first searched
// bytes are known not to contain its end.
func headEnd(b []byte, searched int) int {
	for i := max(0, searched-2); i < len(b); i++ {
		if b[i] != '\n' {
			continue
		}
		if rest := b[i+1:]; bytes.HasPrefix(rest, []byte("\n")) {
			return i + 2
		} else if bytes.HasPrefix(rest, []byte("\r\n")) {
			return i + 3
		}
	}
	return 0
}

// parseHead checks a head and returns its status. It does not check the fields for framing.
func parseHead(head []byte) (status int, err error) {
	line, fields, _ := bytes.Cut(head, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	version, rest, _ := strings.Cut(string(line), " ")
	code, reason, _ := strings.Cut(rest, " ")
	major, _, ok := http.ParseHTTPVersion(version)
	if !ok || major != 1 || len(code) != 3 || !httpguts.ValidHeaderFieldValue(reason) {
		return 0, errors.New("its response to CONNECT is not HTTP/1")
	}
	for _, c := range code {
		if c < '0' || c > '9' {
			return 0, errors.New("its response to CONNECT is not HTTP/1")
		}
		status = status*10 + int(c-'0')
	}
	if status < 100 {
		return 0, errors.New("status below 100 to CONNECT")
	}
	if _, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(fields))).ReadMIMEHeader(); err != nil {
		return 0, err
	}
	return status, nil
}

// refusal reads a response with its body, within limits of size and time.
func (in *proxyReader) refusal(c net.Conn) (*refusal, error) {
	in.limit.N = maxProxyBody + maxProxyHead
	resp, err := http.ReadResponse(in.Reader, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return nil, err
	}
	c.SetReadDeadline(time.Now().Add(bodyTime))
	r := &refusal{Response: resp, close: closes(resp)}
	r.body, err = io.ReadAll(io.LimitReader(resp.Body, maxProxyBody))
	if err != nil || len(r.body) == maxProxyBody || resp.ContentLength < 0 && len(resp.TransferEncoding) == 0 {
		r.close = true // the position of the next response is unknown
	} else {
		c.SetReadDeadline(time.Time{})
	}
	return r, nil
}

// closes reports whether a proxy announces that it will close the connection; some use
// Proxy-Connection.
func closes(resp *http.Response) bool {
	says := func(word string) bool {
		return httpguts.HeaderValuesContainsToken(resp.Header["Proxy-Connection"], word)
	}
	return says("close") || resp.Close && !(resp.ProtoMinor == 0 && says("keep-alive"))
}

// rest returns c preceded by the bytes that were already read.
func (in *proxyReader) rest(c net.Conn) net.Conn {
	n := in.Buffered()
	if n == 0 {
		return c
	}
	rest, _ := in.Peek(n)
	return &restConn{Conn: c, rest: bytes.Clone(rest)}
}

type restConn struct {
	net.Conn
	rest []byte
}

func (c *restConn) Read(p []byte) (int, error) {
	if len(c.rest) > 0 {
		n := copy(p, c.rest)
		c.rest = c.rest[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}
