package netreply

import (
	"strconv"
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

// due reports whether the interval is over, and begins the next one then.
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

// moment is a time of the monotonic clock, in as few bytes as there may be.
type moment time.Duration

var epoch = time.Now()

func now() moment { return moment(time.Since(epoch)) }

// since is the time from m to now.
func (m moment) since() time.Duration { return time.Duration(now() - m) }
