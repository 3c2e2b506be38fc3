package wire

// Session keeps exchanges that come one after the other on one connection, for
// schemes that authenticate the connection itself. It is for one goroutine at a
// time.
type Session struct {
	// Hold keeps the connection of an exchange out of the pool when its response has
	// been read, for the next exchange of the session.
	Hold bool
	c    *conn
}

// Bound tells whether the session holds a connection: the next exchange goes
// there.
func (s *Session) Bound() bool { return s != nil && s.c != nil }

// claim takes the connection that the session of x holds, nil when there is none
// or it has ended.
func (t *Transport) claim(x *Exchange) *conn {
	s := x.Session
	if !s.Bound() {
		return nil
	}
	c := s.c
	s.c = nil
	usable, _ := c.reusable()
	t.mu.Lock()
	if usable && !c.dead && !t.pool.closed {
		c.begin(x)
		t.mu.Unlock()
		if t.fits(c, x) {
			return c
		}
		return nil
	}
	t.mu.Unlock()
	t.put(c, false)
	return nil
}

// done ends an exchange on c: the connection goes back to the pool, or stays with
// the session.
func (t *Transport) done(c *conn, x *Exchange, ok bool) {
	x.ending.finish()
	if s := x.Session; ok && s != nil && s.Hold && s.c == nil && !c.http2 {
		c.exchangeDone()
		s.c = c
		return
	}
	t.put(c, ok)
}

// Release ends a session and gives its connection back.
func (t *Transport) Release(s *Session) {
	s.Hold = false
	if c := s.c; c != nil {
		s.c = nil
		t.put(c, true)
	}
}
