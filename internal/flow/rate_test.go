package flow

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestRateGuard: each row has the bytes transferred in each second, and the second at which
// the guard must fire; 0 for never.
func TestRateGuard(t *testing.T) {
	const min = 100 // bytes per second
	steady := func(rate int64) func(int) int64 { return func(int) int64 { return rate } }
	for name, row := range map[string]struct {
		moves  func(second int) int64
		pauses func(second int) bool
		at     int
	}{
		"nothing":            {steady(0), nil, 10},
		"enough":             {steady(min), nil, 0},
		"nearly enough":      {steady(min - 1), nil, 10},
		"a good start":       {func(s int) int64 { return map[bool]int64{true: 1e6}[s < 10] }, nil, 20},
		"all in one second":  {func(s int) int64 { return map[bool]int64{true: 10 * min}[s%10 == 9] }, nil, 0},
		"paused":             {steady(0), func(int) bool { return true }, 0},
		"paused in between":  {steady(0), func(s int) bool { return s < 7 || s >= 10 && s < 20 }, 27},
		"slow in the end":    {func(s int) int64 { return map[bool]int64{true: min}[s < 35] }, nil, 40},
		"enough, and paused": {func(s int) int64 { return map[bool]int64{true: min}[s%2 == 0] }, func(s int) bool { return s%2 == 1 }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				var moved, at, calls atomic.Int64
				clock := NewClock(0, func() {})
				clock.Start()
				g := NewRateGuard(min, clock, moved.Load, func() {
					at.Store(int64(time.Since(begin)))
					calls.Add(1)
				})
				g.Begin()
				time.Sleep(time.Millisecond) // the bytes of a second are counted at its end
				for s := range 60 {
					paused := row.pauses != nil && row.pauses(s)
					if paused {
						clock.Pause()
					}
					moved.Add(row.moves(s))
					time.Sleep(time.Second)
					if paused {
						clock.Resume()
					}
				}
				g.End()
				clock.Stop()
				if row.at == 0 {
					assert.Zero(t, calls.Load())
				} else {
					assert.EqualValues(t, 1, calls.Load())
					assert.Equal(t, row.at, int(time.Duration(at.Load()).Round(time.Second)/time.Second))
				}
			})
		})
	}
}

// TestRateGuardEnds: nothing is measured before Begin and after End, and Begin starts a new
// window.
func TestRateGuardEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var at atomic.Int64
		clock := NewClock(0, func() {})
		clock.Start()
		g := NewRateGuard(1, clock, func() int64 { return 0 }, func() { at.Store(int64(time.Since(begin))) })
		time.Sleep(time.Hour)
		g.Begin()
		time.Sleep(RateWindow - 1)
		g.End()
		time.Sleep(time.Hour)
		g.Begin()
		time.Sleep(RateWindow - 1)
		g.Begin()
		time.Sleep(RateWindow - 1)
		synctest.Wait()
		assert.Zero(t, at.Load())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		assert.Equal(t, time.Since(begin), time.Duration(at.Load()))
		g.End()
		clock.Stop()
	})
	var none *RateGuard
	none.Begin()
	none.End()
}
