package wire

import (
	"math"
	"time"
)

// PeerMoved reports activity of the peer since the last call that is not visible otherwise:
// the current time if there was any, else the zero time. It detects that the peer has
// acknowledged bytes of the request: the system's send buffer accepts far more than the
// peer has received, so that a slow upload and a dead one look the same for seconds. On
// HTTP/2 it also detects bytes of a large frame, which net/http reads as a whole, and
// WINDOW_UPDATE frames. It returns the zero time if the system does not report this, or if
// the connection carries other exchanges. It may be called from Observer.Sending on, by one
// goroutine at a time.
func (t *Transport) PeerMoved(x *Exchange) (at time.Time) {
	c := x.carrier
	if c == nil {
		return at
	}
	t.mu.Lock()
	alone := c.streams == 1
	t.mu.Unlock()
	unacked, moved := x.unacked, x.moved
	x.unacked = int32(min(x.Conn.Unacked(), math.MaxInt32))
	if s, ok := c.connection.(*h2Conn); ok {
		x.moved = s.guard.activity.Load()
	}
	if alone && (x.unacked >= 0 && x.unacked < unacked || x.moved != moved) {
		at = time.Now()
	}
	return at
}
