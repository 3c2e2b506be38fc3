package flow

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestClock: each row is a sequence of calls of a clock with a limit of one second, and the
// time at which it must expire; 0 for never.
func TestClock(t *testing.T) {
	const ms = time.Millisecond
	type step struct {
		after time.Duration // the last one
		do    func(*Clock)
	}
	start, touch, pause, resume, stop := (*Clock).Start, (*Clock).Touch, (*Clock).Pause, (*Clock).Resume, (*Clock).Stop
	for _, r := range []struct {
		name  string
		steps []step
		at    time.Duration
		ran   time.Duration // in the end
	}{
		{"never started", []step{{0, touch}, {0, pause}, {0, resume}}, 0, 0},
		{"silence", []step{{0, start}}, 1000 * ms, 1000 * ms},
		{"started twice", []step{{0, start}, {500 * ms, start}}, 1000 * ms, 1000 * ms},
		{"bytes", []step{{0, start}, {900 * ms, touch}, {900 * ms, touch}}, 2800 * ms, 2800 * ms},
		{"a pause", []step{{0, start}, {500 * ms, pause}, {time.Hour, resume}}, time.Hour + 1500*ms, 1500 * ms},
		{"forever", []step{{0, start}, {500 * ms, pause}}, 0, 500 * ms},
		{"bytes in a pause", []step{{0, start}, {500 * ms, pause}, {time.Hour, touch}}, 0, 500 * ms},
		{"paused before the start", []step{{0, pause}, {time.Hour, start}, {time.Hour, resume}}, 2*time.Hour + 1000*ms, 1000 * ms},
		{"pauses that overlap", []step{{0, start}, {0, pause}, {time.Hour, pause}, {0, resume}, {time.Hour, resume}}, 2*time.Hour + 1000*ms, 1000 * ms},
		{"pauses in a row", []step{{0, start}, {900 * ms, pause}, {time.Hour, resume}, {900 * ms, pause}, {time.Hour, resume}}, 2*time.Hour + 2800*ms, 2800 * ms},
		{"stopped", []step{{0, start}, {500 * ms, stop}}, 0, 500 * ms},
		{"stopped in a pause", []step{{0, start}, {500 * ms, pause}, {0, stop}, {time.Hour, resume}}, 0, 500 * ms},
		{"stopped before the start", []step{{0, stop}, {0, start}}, 0, 0},
		{"paused in the moment it would expire", []step{{0, start}, {1000*ms - 1, pause}, {1, touch}}, 0, 1000*ms - 1},
	} {
		t.Run(r.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var at atomic.Int64
				begin := time.Now()
				c := NewClock(time.Second, func() {
					assert.True(t, at.CompareAndSwap(0, int64(time.Since(begin))), "once")
				})
				for _, s := range r.steps {
					time.Sleep(s.after)
					s.do(c)
				}
				time.Sleep(24 * time.Hour)
				synctest.Wait()
				assert.Equal(t, r.at, time.Duration(at.Load()))
				if r.at != 0 || r.ran != 0 {
					assert.Equal(t, r.ran, c.Elapsed())
				}
			})
		})
	}
	var none *Clock
	none.Start()
	none.Touch()
	none.Pause()
	none.Resume()
	none.Consult(nil, false)
	none.Stop()
	require.Zero(t, none.Elapsed())
}

// TestClockChecksOnce: a check that is due when a pause begins does not restart the clock,
// in any order of the two.
func TestClockChecksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 200 {
			c := NewClock(time.Second, func() { t.Error("the clock was paused") })
			c.Start()
			time.Sleep(500 * time.Millisecond)
			c.Touch()
			paused := make(chan struct{})
			go func() {
				time.Sleep(500 * time.Millisecond) // when the first check is due
				c.Pause()
				close(paused)
			}()
			<-paused
			time.Sleep(time.Hour)
			c.Stop()
		}
	})
}

// TestClockPolls: during an upload the clock polls whether the peer accepts bytes.
func TestClockPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		at := make(chan time.Duration, 1)
		c := NewClock(time.Second, func() { at <- time.Since(begin) })
		c.Start()
		// the activity of every second, up to the ninth, is detected
		taken := begin
		c.Consult(func() (at time.Time) {
			if now := time.Now(); now.Sub(begin) < 10*time.Second && now.Sub(taken) >= time.Second {
				taken, at = now, now
			}
			return at
		}, true)
		require.Equal(t, 10*time.Second, <-at)
	})
}

// TestClockConsults: activity that is reported when the limit is reached restarts the whole
// limit.
func TestClockConsults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		at := make(chan time.Duration, 1)
		c := NewClock(time.Second, func() { at <- time.Since(begin) })
		var asked []time.Duration
		c.Consult(func() time.Time {
			asked = append(asked, time.Since(begin))
			return begin.Add(1500 * time.Millisecond)
		}, false)
		c.Start()
		require.Equal(t, 2500*time.Millisecond, <-at)
		require.Equal(t, []time.Duration{time.Second, 2500 * time.Millisecond}, asked)
	})
}

// TestClockConsultsSerially: a clock that is resumed during a call of activeUntil does not
// make another one concurrently, and expires without activity.
func TestClockConsultsSerially(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asking, expired atomic.Int32
		answer := make(chan time.Time)
		c := NewClock(time.Second, func() { expired.Add(1) })
		c.Start()
		c.Consult(func() time.Time {
			assert.EqualValues(t, 1, asking.Add(1))
			defer asking.Add(-1)
			return <-answer
		}, true)
		time.Sleep(time.Second)
		for range 5 {
			c.Pause()
			c.Resume()
			time.Sleep(time.Second)
		}
		assert.EqualValues(t, 0, expired.Load())
		answer <- time.Time{}
		synctest.Wait()
		assert.EqualValues(t, 1, expired.Load())
	})
}
