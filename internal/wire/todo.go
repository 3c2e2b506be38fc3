package wire

import "time"

// todo is what was decided under the lock and is still to be done.
type todo struct {
	dial   []*dialing // to be started
	cancel []*dialing // to be cancelled
	close  []*conn    // to be closed in good order
	cut    []*conn    // to be closed at once, whatever they carry
}

func (d *todo) empty() bool {
	return len(d.dial) == 0 && len(d.cancel) == 0 && len(d.close) == 0 && len(d.cut) == 0
}

// unlock gives up the lock, and then does what was decided under it.
func (t *Transport) unlock() {
	p := &t.pool
	if p.over() && !p.toldOver {
		p.toldOver = true
		close(t.over)
	}
	if p.todo.empty() {
		t.mu.Unlock()
		return
	}
	do := p.todo
	p.todo = todo{}
	t.mu.Unlock()
	for _, d := range do.cancel {
		d.cancel()
	}
	for _, d := range do.dial {
		go t.dial(d)
	}
	for _, c := range do.close {
		go t.shut(c)
	}
	for _, c := range do.cut {
		go func() { // a connection of the program's may not return from it
			c.nc.Close()
			t.shut(c)
		}()
	}
}

// shut closes a connection that is out of the books. It runs on a goroutine of its own, which
// ends by itself: saying goodbye may wait for a peer that does not read.
func (t *Transport) shut(c *conn) {
	timer := time.AfterFunc(endGrace, func() { c.nc.Close() })
	c.connection.close()
	timer.Stop()
	t.mu.Lock()
	t.pool.all.remove(c)
	t.unlock()
}
