package wire

import "time"

// runningWrite is the Write of a request body, as its reader has to know it. A reset of a
// connection is the error of one call only: if the Write gets it, the Read that comes after
// it sees a clean end. A response up to the end of the connection that was cut would then be
// taken for a whole one, unless the reader waits for the result of the Write. It is guarded
// by the lock of the connection.
type runningWrite struct {
	running bool
	bytes   int           // of it, for tapConn.counts
	cut     bool          // its deadline was set
	over    chan struct{} // for the reader that waits
}

func (w *runningWrite) begin() { w.running = true }

func (w *runningWrite) end() {
	w.running, w.bytes = false, 0
	if w.over != nil {
		close(w.over)
		w.over = nil
	}
}

// wait returns a channel that is closed at the end of the Write, nil if none runs. The
// caller sets its deadline, so that it ends: after the end of the response nobody needs
// what it sends.
func (w *runningWrite) wait() <-chan struct{} {
	if !w.running {
		return nil
	}
	w.cut = true
	if w.over == nil {
		w.over = make(chan struct{})
	}
	return w.over
}

// write writes a part of a request body.
func (h *h1Conn) write(p []byte) (int, error) {
	h.mu.Lock()
	h.running.begin()
	h.mu.Unlock()
	n, err := h.stream.Write(p)
	if err != nil {
		h.writeFailed(err)
	}
	h.mu.Lock()
	h.running.end()
	h.mu.Unlock()
	return n, err
}

// endWrite ends the running Write, at the end of a response. What has failed before is then
// an error of writeFailed.
func (h *h1Conn) endWrite() {
	h.mu.Lock()
	over := h.running.wait()
	if over != nil && !h.interrupted {
		h.stream.SetWriteDeadline(past)
	}
	h.mu.Unlock()
	if over != nil {
		<-over
	}
}

// endWrite ends the running Write, if the end of the connection is that of a response.
func (c *tapConn) endWrite() {
	c.mu.Lock()
	var over <-chan struct{}
	if c.tap.stage == inBody && c.tap.framing == byClose {
		over = c.running.wait()
	}
	c.mu.Unlock()
	if over == nil || c.Conn.SetWriteDeadline(past) != nil {
		return
	}
	timer := time.NewTimer(holdLimit) // a connection of the program may have no deadlines
	defer timer.Stop()
	select {
	case <-over:
	case <-timer.C:
	}
}
