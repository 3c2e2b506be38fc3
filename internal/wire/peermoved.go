package wire

import (
	"math"
	"time"
)

// PeerMoved is now, if something has gone on since the last call that nobody is told of:
// the peer has taken bytes of the request off the system's hands, which takes far more
// than the peer has, so that a slow upload and a dead one look the same for seconds; or
// bytes of a large HTTP/2 frame have come, which net/http waits for as a whole, or word of
// what the peer has read. It may be called from Sending on, from one goroutine at a time.
// It is the zero time otherwise, and where that cannot be seen, or not be told apart from
// the bytes of other exchanges.
func (t *Transport) PeerMoved(x *Exchange) (at time.Time) {
	c := x.carrier
	if c == nil {
		return at
	}
	t.mu.Lock()
	alone := c.streams == 1
	t.mu.Unlock()
	untaken, moved := x.untaken, x.moved
	x.untaken = int32(min(x.Conn.Untaken(), math.MaxInt32))
	if s, ok := c.connection.(*h2Conn); ok {
		x.moved = s.guard.moved.Load()
	}
	if alone && (x.untaken >= 0 && x.untaken < untaken || x.moved != moved) {
		at = time.Now()
	}
	return at
}
