package flow

import (
	"sync"
	"time"
)

// RateWindow is the time over which rates are averaged.
const RateWindow = 10 * time.Second

// RateGuard calls a function when less than a minimum rate is transferred while a body is
// sent or received. It measures consecutive windows by the transfer's clock, which is
// paused while the transfer waits for something on this side. A nil RateGuard does nothing.
type RateGuard struct {
	min         int64 // bytes per second
	clock       *Clock
	transferred func() int64 // bytes in both directions
	expired     func()       // called once, when a window had too few bytes

	mu         sync.Mutex
	timer      *time.Timer
	running    bool
	start      time.Duration // start of the window, in time of the clock
	startBytes int64         // transferred() at that time
}

// NewRateGuard makes a RateGuard that does not measure until Begin. min is in bytes per
// second, transferred returns the number of bytes transferred in both directions, and expired is
// called once, when a window had too few bytes.
func NewRateGuard(min int64, clock *Clock, transferred func() int64, expired func()) *RateGuard {
	return &RateGuard{min: min, clock: clock, transferred: transferred, expired: expired}
}

// Begin starts measuring: a body is being transferred.
func (g *RateGuard) Begin() {
	if g == nil {
		return
	}
	had := g.transferred()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running, g.startBytes, g.start = true, had, g.clock.Elapsed()
	if g.timer == nil {
		g.timer = time.AfterFunc(RateWindow, g.check)
	} else {
		g.timer.Reset(RateWindow)
	}
}

// End stops measuring.
func (g *RateGuard) End() {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running = false
	if g.timer != nil {
		g.timer.Stop()
	}
}

func (g *RateGuard) check() {
	if g.slow(g.transferred()) {
		g.expired()
	}
}

// slow reports whether a window with too few bytes has ended; otherwise it arms the next
// check. Pauses of the clock make a window longer.
func (g *RateGuard) slow(transferred int64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.running {
		return false
	}
	now := g.clock.Elapsed()
	ran := now - g.start
	if ran < RateWindow {
		g.timer.Reset(max(RateWindow-ran, RateWindow/10))
		return false
	}
	if float64(transferred-g.startBytes) < float64(g.min)*ran.Seconds() {
		g.running = false
		return true
	}
	g.start, g.startBytes = now, transferred
	g.timer.Reset(RateWindow)
	return false
}
