package netreply

import "time"

// activity says that a byte moved.
func (r *Reply) activity() {
	if r.req.TransferTimeout > 0 {
		r.moved.Store(int64(time.Since(r.started)))
	}
}

// startTimeout arms the transfer timeout anew (rules N31 to N33).
func (r *Reply) startTimeout() {
	if r.req.TransferTimeout <= 0 {
		return
	}
	r.activity()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.timer == nil {
		r.timer = time.AfterFunc(r.req.TransferTimeout, r.checkTimeout)
	} else {
		r.timer.Reset(r.req.TransferTimeout)
	}
}

// checkTimeout runs when the timer fires: bytes that moved meanwhile put it off.
func (r *Reply) checkTimeout() {
	idle := time.Since(r.started) - time.Duration(r.moved.Load())
	if idle < r.req.TransferTimeout {
		r.mu.Lock()
		if r.state == running && r.timer != nil {
			r.timer.Reset(r.req.TransferTimeout - idle)
		}
		r.mu.Unlock()
		return
	}
	r.stop(errTransferTimeout, true)
}

// stopTimeout holds the clock, at the end or while somebody decides.
func (r *Reply) stopTimeout() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.timer != nil {
		r.timer.Stop()
	}
}
