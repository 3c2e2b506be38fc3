package netreply

import "time"

// The only place where signals are born.

// emit records a signal of a running reply and tells those who asked to be
// called. It must be called without the lock.
func (r *Reply) emit(k signal, a, b int64, value any) {
	r.mu.Lock()
	if r.state != running {
		r.mu.Unlock()
		return
	}
	r.emitLocked(k, a, b, value)
}

// emitLocked is emit for whoever holds the lock, which it gives up.
func (r *Reply) emitLocked(k signal, a, b int64, value any) {
	e := entry{k, time.Since(r.started), a, b, value}
	r.m.hub.publish(r, e)
	r.record.note(e)
	r.mu.Unlock()
	if r.m.cfg.OnSignal != nil || r.req.OnSignal != nil {
		r.callBack(e)
	}
}
