package wire

import "time"

// todo are actions that were decided under the lock.
type todo struct {
	dial   []*dialing // to start
	cancel []*dialing // to cancel
	close  []*conn    // to close gracefully
	cut    []*conn    // to close at once
	probe  []*conn    // to check for their end
}

func (d *todo) empty() bool {
	return len(d.dial) == 0 && len(d.cancel) == 0 && len(d.close) == 0 && len(d.cut) == 0 && len(d.probe) == 0
}

// unlock releases the lock, and then carries out the actions in todo.
func (t *Transport) unlock() {
	p := &t.pool
	if p.over() && !p.overSignaled {
		p.overSignaled = true
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
		t.dial(d)
	}
	for _, c := range do.close {
		go t.closeConn(c)
	}
	for _, c := range do.probe {
		t.probe(c)
	}
	for _, c := range do.cut {
		go func() { // Close of a connection of the program may block
			c.nc.Close()
			t.closeConn(c)
		}()
	}
}

// closeConn closes a removed connection gracefully. It runs on its own goroutine, since the peer
// may not read, and ends after endGrace.
func (t *Transport) closeConn(c *conn) {
	timer := time.AfterFunc(endGrace, func() { c.nc.Close() })
	c.connection.close()
	timer.Stop()
	t.mu.Lock()
	t.pool.all.remove(c)
	t.unlock()
}
