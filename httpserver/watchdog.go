package httpserver

import (
	"sync"
	"time"
)

// watchdog calls fire when what stands between start and stop takes too long. After stop
// has returned, fire is not called and not running. The zero value with a fire is ready.
type watchdog struct {
	fire  func()
	timer *time.Timer

	mu    sync.Mutex // held while fire runs
	until time.Time  // zero while nothing is guarded
}

func (g *watchdog) start(d time.Duration) {
	g.mu.Lock()
	g.until = time.Now().Add(d)
	g.mu.Unlock()
	if g.timer == nil {
		g.timer = time.AfterFunc(d, g.expire)
	} else {
		g.timer.Reset(d)
	}
}

func (g *watchdog) stop() {
	if g.timer == nil {
		return
	}
	g.timer.Stop()
	g.mu.Lock()
	g.until = time.Time{}
	g.mu.Unlock()
}

func (g *watchdog) expire() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.until.IsZero() && !time.Now().Before(g.until) { // else it is late, and what it was for is over
		g.until = time.Time{}
		g.fire()
	}
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)
