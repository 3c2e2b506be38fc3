package flow

import (
	"sync"
	"time"
)

// RateWindow is the time over which a rate is an average.
const RateWindow = 10 * time.Second

// RateGuard ends a transfer whose peer is slower than a least rate, while a body is on its
// way in either direction. It measures one window after the other, by the transfer's
// clock, which stands still while something of ours is waited for. A nil RateGuard does
// nothing.
type RateGuard struct {
	min     int64 // bytes per second
	clock   *Clock
	moved   func() int64 // bytes, both ways
	expired func()       // called once, when a window had too few

	mu    sync.Mutex
	timer *time.Timer
	on    bool
	since time.Duration // when the window began, by the clock
	had   int64         // what had moved by then
}

// NewRateGuard makes one that measures nothing until Begin. min is in bytes per second, moved
// counts the bytes of both ways, expired is called once, when a window had too few.
func NewRateGuard(min int64, clock *Clock, moved func() int64, expired func()) *RateGuard {
	return &RateGuard{min: min, clock: clock, moved: moved, expired: expired}
}

// Begin begins a window: a body is on its way.
func (g *RateGuard) Begin() {
	if g == nil {
		return
	}
	had := g.moved()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.on, g.had, g.since = true, had, g.clock.Elapsed()
	if g.timer == nil {
		g.timer = time.AfterFunc(RateWindow, g.check)
	} else {
		g.timer.Reset(RateWindow)
	}
}

// End stops the measuring: no body is on its way.
func (g *RateGuard) End() {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.on = false
	if g.timer != nil {
		g.timer.Stop()
	}
}

func (g *RateGuard) check() {
	if g.slow(g.moved()) {
		g.expired()
	}
}

// slow tells whether a window is over in which too little has moved, and arms the next
// check otherwise. Pauses of the clock make a window longer.
func (g *RateGuard) slow(moved int64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.on {
		return false
	}
	now := g.clock.Elapsed()
	ran := now - g.since
	if ran < RateWindow {
		g.timer.Reset(max(RateWindow-ran, RateWindow/10))
		return false
	}
	if float64(moved-g.had) < float64(g.min)*ran.Seconds() {
		g.on = false
		return true
	}
	g.since, g.had = now, moved
	g.timer.Reset(RateWindow)
	return false
}
