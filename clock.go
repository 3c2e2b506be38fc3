package netreply

import (
	"sync"
	"time"
)

// clock measures how long a transfer waits for its peer, and tells when the peer was
// silent for too long (rules N31 and N32). It stands still while the transfer waits for
// something of ours: every such wait is a pause, and pauses may overlap, since several
// goroutines serve one transfer. A nil clock does nothing.
//
// It has a lock of its own, which is never held over a call of something else.
type clock struct {
	limit   time.Duration // of silence; 0 means none
	expired func()        // called once, when the limit has passed

	mu    sync.Mutex
	timer *time.Timer
	state clockState
	// took tells whether the peer has taken bytes of an upload since the last call. The
	// system takes them off our hands long before the peer does, so while an upload is
	// going on somebody has to look.
	took    func() bool
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

// looks is how often, within one limit, the clock looks whether an upload is being
// taken.
const looks = 8

func newClock(limit time.Duration, expired func()) *clock {
	return &clock{limit: limit, expired: expired}
}

// start sets the clock going; pauses may have begun before.
func (c *clock) start() {
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

// touch tells that the peer was heard of.
func (c *clock) touch() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = time.Now()
}

// pause stops the clock until as many calls of resume as there were pauses.
func (c *clock) pause() {
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

// resume ends a pause. With the last one the peer gets the whole limit anew.
func (c *clock) resume() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pauses--
	c.goOn()
}

// stop ends the clock for good.
func (c *clock) stop() {
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

// watch sets took for the time of an upload; nil ends that.
func (c *clock) watch(took func() bool) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.took = took
	if c.running() {
		c.arm(c.limit - time.Since(c.last))
	}
}

// elapsed is how long the clock has run, without its pauses.
func (c *clock) elapsed() time.Duration {
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
func (c *clock) running() bool { return c.state == clockGoing && c.pauses == 0 }

// goOn runs the clock from now on, if nothing pauses it.
func (c *clock) goOn() {
	if c.running() {
		c.last = time.Now()
		c.resumed = c.last
		c.arm(c.limit)
	}
}

// halt stops a clock that runs.
func (c *clock) halt() {
	c.ran += time.Since(c.resumed)
	if c.timer != nil {
		c.timer.Stop()
	}
}

// arm makes check run after d, or earlier where somebody has to look.
func (c *clock) arm(d time.Duration) {
	if c.limit <= 0 {
		return
	}
	if c.took != nil {
		d = min(d, max(c.limit/looks, time.Millisecond))
	}
	if c.timer == nil {
		c.timer = time.AfterFunc(d, c.check)
	} else {
		c.timer.Reset(d)
	}
}

// check runs, without the lock, when the timer fires. That says little: the timer is not
// set anew for every byte, and it may fire in the moment in which a pause stops it.
func (c *clock) check() {
	c.mu.Lock()
	took := c.took
	look := took != nil && c.running()
	c.mu.Unlock()
	if look && took() {
		c.touch()
	}
	if c.silent() {
		c.expired()
	}
}

// silent, which takes the lock itself, tells whether the limit has passed, and ends the
// clock then; otherwise it arms the next check.
func (c *clock) silent() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
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
