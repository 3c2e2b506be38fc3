package flow

import (
	"sync"
	"time"
)

// Clock measures the time in which a transfer waits for its peer, and calls a function when
// the peer was silent for too long (rules N31 and N32). While the transfer waits for
// something on this side, the clock is paused. Pauses may overlap, since several goroutines
// serve one transfer. A nil Clock does nothing.
//
// Its lock is never held during calls of functions outside the clock.
type Clock struct {
	limit   time.Duration // maximum silence; 0 means none
	expired func()        // called once, when the limit is exceeded

	mu    sync.Mutex
	timer *time.Timer
	state clockState
	// activeUntil and poll are the arguments of Consult.
	activeUntil func() time.Time
	poll        bool
	consulting  bool // a check is calling activeUntil
	pauses      int
	last        time.Time     // the last activity of the peer, or the last resumption
	resumed     time.Time     // the last resumption
	ran         time.Duration // running time up to resumed, without pauses
}

type clockState uint8

const (
	clockUnset clockState = iota
	clockGoing            // running or paused
	clockOver
)

// pollsPerLimit is how often activeUntil is called within the limit, if poll is set.
const pollsPerLimit = 8

// NewClock makes a clock that does not run until Start. expired is called once, when the
// peer was silent for limit; 0 means no limit.
func NewClock(limit time.Duration, expired func()) *Clock {
	return &Clock{limit: limit, expired: expired}
}

// Start starts the clock. Pauses may have begun before.
func (c *Clock) Start() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == clockUnset {
		c.state = clockGoing
		c.restart()
	}
}

// Touch records activity of the peer.
func (c *Clock) Touch() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = time.Now()
}

// Pause pauses the clock until Resume was called as often as Pause.
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

// Resume ends a pause. After the last one the whole limit is available again.
func (c *Clock) Resume() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pauses--
	c.restart()
}

// Stop stops the clock. It cannot be started again.
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

// Consult sets a function that is called before the clock expires, and returns the time of
// the peer's last activity as far as the clock was not told by Touch; nil removes it. poll
// makes the clock call it regularly, for activity that leaves no trace between two calls,
// such as the bytes that a peer takes from the system's send buffer.
func (c *Clock) Consult(activeUntil func() time.Time, poll bool) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.activeUntil, c.poll = activeUntil, poll
	if poll && c.running() {
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

// running reports whether the clock is started and not paused. The caller holds the lock,
// also of the methods below.
func (c *Clock) running() bool { return c.state == clockGoing && c.pauses == 0 }

// restart begins a new limit, if the clock is not paused.
func (c *Clock) restart() {
	if c.running() {
		c.last = time.Now()
		c.resumed = c.last
		c.arm(c.limit)
	}
}

// halt stops a running clock.
func (c *Clock) halt() {
	c.ran += time.Since(c.resumed)
	if c.timer != nil {
		c.timer.Stop()
	}
}

// arm makes check run after d, or earlier if it has to poll.
func (c *Clock) arm(d time.Duration) {
	if c.limit <= 0 {
		return
	}
	if c.poll {
		d = min(d, max(c.limit/pollsPerLimit, time.Millisecond))
	}
	if c.timer == nil {
		c.timer = time.AfterFunc(d, c.check)
	} else {
		c.timer.Reset(d)
	}
}

// check runs, without the lock, when the timer fires. The limit may not have passed: Touch
// does not reset the timer, it may fire when it is just being stopped, and it may have been
// reset during an earlier check that is still running.
func (c *Clock) check() {
	c.mu.Lock()
	if c.consulting { // one at a time
		c.mu.Unlock()
		return
	}
	activeUntil := c.activeUntil
	c.consulting = activeUntil != nil && c.running() && (c.poll || time.Since(c.last) >= c.limit)
	ask := c.consulting
	c.mu.Unlock()
	var until time.Time
	if ask {
		until = activeUntil()
	}
	if c.silent(until) {
		c.expired()
	}
}

// silent reports whether the limit has passed since the peer's last activity, and then ends
// the clock; otherwise it arms the next check. It takes the lock itself.
func (c *Clock) silent(activeUntil time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.consulting = false
	if activeUntil.After(c.last) {
		c.last = activeUntil
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
