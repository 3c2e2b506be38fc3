package flow

import (
	"sync"
	"time"
)

// Clock measures how long a transfer waits for its peer, and tells when the peer was
// silent for too long (rules N31 and N32). It stands still while the transfer waits for
// something of ours: every such wait is a pause, and pauses may overlap, since several
// goroutines serve one transfer. A nil Clock does nothing.
//
// It has a lock of its own, which is never held over a call of something else.
type Clock struct {
	limit   time.Duration // of silence; 0 means none
	expired func()        // called once, when the limit has passed

	mu    sync.Mutex
	timer *time.Timer
	state clockState
	// excused tells, when the limit has passed, until when the peer was not to blame. often
	// says that it must be asked in between.
	excused func() time.Time
	often   bool
	asking  bool // a check does so now, and goes on afterwards
	pauses  int
	last    time.Time     // when the peer was last heard of, or the clock went on
	resumed time.Time     // when it last went on
	ran     time.Duration // without the pauses, up to resumed
}

type clockState uint8

const (
	clockUnset clockState = iota
	clockGoing            // or paused
	clockOver
)

// looks is how often excused is asked within one limit, where that is needed.
const looks = 8

// NewClock makes a clock that stands still until Start. expired is called once, when the peer
// was silent for limit; 0 means that it never is.
func NewClock(limit time.Duration, expired func()) *Clock {
	return &Clock{limit: limit, expired: expired}
}

// Start sets the clock going; pauses may have begun before.
func (c *Clock) Start() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == clockUnset {
		c.state = clockGoing
		c.goOn()
	}
}

// Touch tells that the peer was heard of.
func (c *Clock) Touch() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = time.Now()
}

// Pause stops the clock until as many calls of resume as there were pauses.
func (c *Clock) Pause() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running() {
		c.halt()
	}
	c.pauses++
}

// Resume ends a pause. With the last one the peer gets the whole limit anew.
func (c *Clock) Resume() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pauses--
	c.goOn()
}

// Stop ends the clock for good.
func (c *Clock) Stop() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running() {
		c.halt()
	}
	c.state = clockOver
}

// Excuse sets what is asked before the clock expires; nil ends that. often is for what passes
// unseen between two calls, such as the bytes that a peer takes of what the system holds.
func (c *Clock) Excuse(excused func() time.Time, often bool) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.excused, c.often = excused, often
	if often && c.running() {
		c.arm(c.limit - time.Since(c.last))
	}
}

// Elapsed is how long the clock has run, without its pauses.
func (c *Clock) Elapsed() time.Duration {
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running() {
		return c.ran + time.Since(c.resumed)
	}
	return c.ran
}

// running tells whether the clock is going and not paused. The caller holds the lock,
// as with everything below.
func (c *Clock) running() bool { return c.state == clockGoing && c.pauses == 0 }

// goOn runs the clock from now on, if nothing pauses it.
func (c *Clock) goOn() {
	if c.running() {
		c.last = time.Now()
		c.resumed = c.last
		c.arm(c.limit)
	}
}

// halt stops a clock that runs.
func (c *Clock) halt() {
	c.ran += time.Since(c.resumed)
	if c.timer != nil {
		c.timer.Stop()
	}
}

// arm makes check run after d, or earlier where somebody has to look.
func (c *Clock) arm(d time.Duration) {
	if c.limit <= 0 {
		return
	}
	if c.often {
		d = min(d, max(c.limit/looks, time.Millisecond))
	}
	if c.timer == nil {
		c.timer = time.AfterFunc(d, c.check)
	} else {
		c.timer.Reset(d)
	}
}

// check runs, without the lock, when the timer fires. That says little: the timer is not
// set anew for every byte, it may fire in the moment in which a pause stops it, and it may
// have been set anew while a check before this one still asks.
func (c *Clock) check() {
	c.mu.Lock()
	if c.asking { // by one at a time
		c.mu.Unlock()
		return
	}
	excused := c.excused
	c.asking = excused != nil && c.running() && (c.often || time.Since(c.last) >= c.limit)
	ask := c.asking
	c.mu.Unlock()
	var until time.Time
	if ask {
		until = excused()
	}
	if c.silent(until) {
		c.expired()
	}
}

// silent, which takes the lock itself, tells whether the limit has passed since the peer was
// last excused or heard of, and ends the clock then; otherwise it arms the next check.
func (c *Clock) silent(excused time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asking = false
	if excused.After(c.last) {
		c.last = excused
	}
	if !c.running() {
		return false
	}
	if left := c.limit - time.Since(c.last); left > 0 {
		c.arm(left)
		return false
	}
	c.halt()
	c.state = clockOver
	return true
}
