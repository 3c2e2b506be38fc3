package netreplytest

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// controlOf is what a fault acts on; nil if it cannot. unread means that the body of the request
// must not be read.
func controlOf(w http.ResponseWriter, r *http.Request, unread bool) control {
	for inner := w; ; {
		if s, ok := inner.(*h2Stream); ok {
			return s
		}
		u, ok := inner.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			break
		}
		inner = u.Unwrap()
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil
	}
	c := &h1Control{conn: conn, r: rw.Reader}
	e := endpointOf(r)
	if m, ok := rawConn(conn).(*memoryConn); unread && ok {
		c.wait = m.in.awaitEnd
	} else if unread && e != nil {
		c.wait = func() { <-e.ctx.Done() } // a TCP connection does not tell without reading
	}
	if e != nil { // that of the Proxy, if it has forwarded the request
		c.forget = func() { e.forget(e.peerOf(conn)) }
	}
	return c
}

// h1Control is a hijacked connection.
type h1Control struct {
	conn   net.Conn
	r      *bufio.Reader
	forget func()
	wait   func() // takes the place of reading until the client leaves; nil for none
}

func (c *h1Control) write(raw string) { io.WriteString(c.conn, raw) }

func (c *h1Control) garble() { c.write("\x00garbage, not HTTP\r\n\r\n") }

func (c *h1Control) closeConn() {
	c.conn.Close()
	if c.forget != nil {
		c.forget()
	}
}

func (c *h1Control) resetConn() {
	resetConn(c.conn)
	c.closeConn()
}

func (c *h1Control) hold() {
	defer c.closeConn()
	if c.wait != nil {
		c.wait()
		return
	}
	io.Copy(io.Discard, c.r)
}

func (*h1Control) resetStream(uint32) bool { return false }

func (*h1Control) goAway(uint32) bool { return false }

// resetConn closes a connection with a reset.
func resetConn(c net.Conn) {
	switch raw := rawConn(c).(type) {
	case *memoryConn:
		raw.reset()
	case *net.TCPConn:
		raw.SetLinger(0)
		raw.Close()
	}
}
