package netreply

import (
	"sync"
	"time"
)

// rateWindow is the time over which a rate is an average.
const rateWindow = 10 * time.Second

// rateGuard ends a transfer whose peer is slower than a least rate, while a body is on its
// way in either direction. It measures one window after the other, by the transfer's
// clock, which stands still while something of ours is waited for. A nil rateGuard does
// nothing.
type rateGuard struct {
	min     int64 // bytes per second
	clock   *clock
	moved   func() int64 // bytes, both ways
	expired func()       // called once, when a window had too few

	mu    sync.Mutex
	timer *time.Timer
	on    bool
	since time.Duration // when the window began, by the clock
	had   int64         // what had moved by then
}

// begin begins a window: a body is on its way.
func (g *rateGuard) begin() {
	if g == nil {
		return
	}
	had := g.moved()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.on, g.had, g.since = true, had, g.clock.elapsed()
	if g.timer == nil {
		g.timer = time.AfterFunc(rateWindow, g.check)
	} else {
		g.timer.Reset(rateWindow)
	}
}

// end stops the measuring: no body is on its way.
func (g *rateGuard) end() {
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

// moved is what a rateGuard of the reply counts.
func (r *Reply) moved() int64 {
	n := r.WireBytes()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sent != nil {
		n += r.sent.Load()
	}
	return n
}

func (g *rateGuard) check() {
	if g.slow(g.moved()) {
		g.expired()
	}
}

// slow tells whether a window is over in which too little has moved, and arms the next
// check otherwise. Pauses of the clock make a window longer.
func (g *rateGuard) slow(moved int64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.on {
		return false
	}
	now := g.clock.elapsed()
	ran := now - g.since
	if ran < rateWindow {
		g.timer.Reset(max(rateWindow-ran, rateWindow/10))
		return false
	}
	if float64(moved-g.had) < float64(g.min)*ran.Seconds() {
		g.on = false
		return true
	}
	g.since, g.had = now, moved
	g.timer.Reset(rateWindow)
	return false
}
