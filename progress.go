package netreply

import (
	"strconv"
	"sync/atomic"
	"time"
)

// Progress is how far a transfer has come. Total is -1 while it is not known
// (rules P4 and P14).
type Progress struct {
	Done, Total int64 // bytes
}

// String is "5 of 10 bytes", or "5 bytes" where the total is not known.
func (p Progress) String() string {
	if p.Total < 0 {
		return strconv.FormatInt(p.Done, 10) + " bytes"
	}
	return strconv.FormatInt(p.Done, 10) + " of " + strconv.FormatInt(p.Total, 10) + " bytes"
}

// progressInterval is the least time between two progress signals, but for the
// first and the last (rule P1).
const progressInterval = 100 * time.Millisecond

// throttle lets a signal through when the interval has passed.
type throttle struct{ last time.Duration }

// start begins an interval; times are counted from the start of the reply.
func (t *throttle) start(now time.Duration) { t.last = now }

func (t *throttle) due(now time.Duration) bool {
	if now-t.last < progressInterval {
		return false
	}
	t.last = now
	return true
}

// finalProgress is the last downloadProgress of a reply: the rules P4 and P5,
// and (0,0) where no body can follow (D1).
func finalProgress(received, length int64, noBody bool) Progress {
	switch {
	case noBody:
		return Progress{0, 0}
	case length >= 0:
		return Progress{received, length}
	}
	return Progress{received, received}
}

// uploadMeter counts one sending of a request body, from the goroutine that
// reads it.
type uploadMeter struct {
	t     *transfer
	sent  atomic.Int64
	total int64 // -1 when not known
	// announce: requestSent is still to be said, after the first bytes (rule S36)
	announce atomic.Bool
	ended    func() // called at the end of the source, when set
	begun    bool
	over     bool
	throttle throttle
}

// add counts bytes that were handed to the connection.
func (u *uploadMeter) add(n int) {
	if n == 0 {
		return
	}
	sent := u.sent.Add(int64(n))
	u.t.clock.Touch()
	now := time.Since(u.t.started)
	if !u.begun || sent == u.total || u.t.q.EmitAllUploadProgress || u.throttle.due(now) {
		u.throttle.start(now)
		u.begun = true
		u.t.w.Uploaded(sent, u.total)
	}
	u.sentOnce()
}

// end is called when the source is at its end.
func (u *uploadMeter) end() {
	if u.over {
		return
	}
	u.over = true
	if u.total < 0 {
		u.total = u.sent.Load()
		if u.total > 0 {
			u.t.w.Uploaded(u.total, u.total)
		}
	}
	u.sentOnce()
	if u.ended != nil {
		u.ended()
	}
}

func (u *uploadMeter) sentOnce() {
	if u.announce.CompareAndSwap(true, false) {
		u.t.w.Sent()
	}
}
