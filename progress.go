package netreply

import (
	"strconv"
	"sync/atomic"
	"time"
)

// Progress is the progress of a transfer. Total is -1 while it is unknown (rules P4 and
// P14).
type Progress struct {
	Done, Total int64 // bytes
}

// String is "5 of 10 bytes", or "5 bytes" if the total is unknown.
func (p Progress) String() string {
	if p.Total < 0 {
		return strconv.FormatInt(p.Done, 10) + " bytes"
	}
	return strconv.FormatInt(p.Done, 10) + " of " + strconv.FormatInt(p.Total, 10) + " bytes"
}

// progressInterval is the minimum time between two progress signals, except for the first
// and the last (rule P1).
const progressInterval = 100 * time.Millisecond

// throttle limits the rate of progress signals.
type throttle struct{ last time.Duration }

// start begins an interval. Times are relative to the start of the reply.
func (t *throttle) start(now time.Duration) { t.last = now }

// due reports whether the interval has passed, and if so begins the next one.
func (t *throttle) due(now time.Duration) bool {
	if now-t.last < progressInterval {
		return false
	}
	t.last = now
	return true
}

// uploading is one sending of a request body.
type uploading struct {
	sent     *atomic.Int64 // bytes handed to the connection
	throttle throttle
}

// finalProgress is the last DownloadProgress of a reply: rules P4 and P5, and (0,0) if the
// response has no body (D1).
func finalProgress(received, length int64, noBody bool) Progress {
	switch {
	case noBody:
		return Progress{0, 0}
	case length >= 0:
		return Progress{received, length}
	}
	return Progress{received, received}
}

// monotime is a time of the monotonic clock; smaller than a time.Time.
type monotime time.Duration

var epoch = time.Now()

func now() monotime { return monotime(time.Since(epoch)) }

// elapsed is the time from m until now.
func (m monotime) elapsed() time.Duration { return time.Duration(now() - m) }
