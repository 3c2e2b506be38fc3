package wire

// Session makes consecutive exchanges use one connection, for schemes that authenticate
// connections. It is not safe for concurrent use.
type Session struct {
	// Hold reserves the connection of an exchange for the next exchange of the session.
	Hold bool
	c    *conn
}

// Bound reports whether the session holds a connection, which the next exchange will use.
func (s *Session) Bound() bool { return s != nil && s.c != nil }

// sessionConn returns the connection that the session of x holds, nil if there is none or
// it has ended.
func (t *Transport) sessionConn(x *Exchange) *conn {
	s := x.Session
	if !s.Bound() {
		return nil
	}
	c := s.c
	s.c = nil
	usable, _ := c.reusable()
	t.mu.Lock()
	if usable && !c.excluded && !t.pool.closed {
		c.begin(x)
		t.mu.Unlock()
		if t.stillUsable(c, x) {
			return c
		}
		return nil
	}
	t.mu.Unlock()
	t.endExchange(c, false)
	return nil
}

// done ends an exchange on c, and returns the connection to the pool or to the session.
func (t *Transport) done(c *conn, x *Exchange, ok bool) {
	x.cancellation.finish()
	if s := x.Session; ok && s != nil && s.Hold && s.c == nil && !c.http2 {
		c.exchangeDone()
		s.c = c
		return
	}
	t.endExchange(c, ok)
}

// Release ends a session and returns its connection to the pool.
func (t *Transport) Release(s *Session) {
	s.Hold = false
	if c := s.c; c != nil {
		s.c = nil
		t.endExchange(c, true)
	}
}
