package hsts

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// disk is the target of a saver: each save takes some time, and returns a given result.
type disk struct {
	began time.Time

	mu    sync.Mutex
	saves []time.Duration // start times
	takes time.Duration
	err   error
}

func (d *disk) save(context.Context) error {
	d.mu.Lock()
	d.saves = append(d.saves, time.Since(d.began))
	takes, err := d.takes, d.err
	d.mu.Unlock()
	time.Sleep(takes)
	return err
}

// becomes sets duration and result of later saves.
func (d *disk) becomes(takes time.Duration, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.takes, d.err = takes, err
}

// count is the number of saves.
func (d *disk) count() int { return len(d.list()) }

func (d *disk) list() []time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.saves)
}

// bubble runs a test with a saver in fake time. No goroutine may be left at its end,
// whether closed or not.
func bubble(t *testing.T, f func(t *testing.T, s *saver, d *disk)) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{began: time.Now()}
		f(t, &saver{save: d.save}, d)
	})
}

// TestCoalescing: many changes are saved together, and saving takes at most a tenth of the
// time.
func TestCoalescing(t *testing.T) {
	bubble(t, func(t *testing.T, s *saver, d *disk) {
		d.becomes(time.Second, nil)
		for range 1000 {
			s.changed()
		}
		assert.Zero(t, d.count())
		time.Sleep(500 * time.Millisecond)
		for range 1000 { // too late for the first save
			s.changed()
		}
		time.Sleep(time.Minute)
		assert.Equal(t, []time.Duration{100 * time.Millisecond, 11100 * time.Millisecond}, d.list())
		before := d.count()
		d.becomes(0, nil)
		for range 600 {
			s.changed()
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		assert.Less(t, d.count()-before, 602)
		n := d.count()
		time.Sleep(time.Hour)
		assert.Equal(t, n, d.count(), "nothing to save")
	})
}

// TestFailedSave: a failed save is repeated automatically, with growing pauses, until it
// succeeds.
func TestFailedSave(t *testing.T) {
	bubble(t, func(t *testing.T, s *saver, d *disk) {
		full, again := errors.New("disk full"), errors.New("again")
		d.becomes(0, full)
		s.changed()
		time.Sleep(10 * time.Second)
		assert.Equal(t, []time.Duration{100 * time.Millisecond, 1100 * time.Millisecond, 3100 * time.Millisecond, 7100 * time.Millisecond}, d.list())
		require.ErrorIs(t, s.lastError(), full)
		require.ErrorIs(t, s.flush(t.Context()), full, "flush does not wait for the next try")
		time.Sleep(24 * time.Hour)
		assert.InDelta(t, 24*12+8, d.count(), 3, "every five minutes")
		d.becomes(0, nil)
		time.Sleep(5 * time.Minute)
		require.NoError(t, s.lastError())
		n := d.count()
		require.NoError(t, s.flush(t.Context()), "nothing is left")
		assert.Equal(t, n, d.count())
		d.becomes(0, again)
		s.changed()
		require.ErrorIs(t, s.close(), again)
		require.ErrorIs(t, s.close(), again)
		time.Sleep(time.Hour)
		assert.Equal(t, n+1, d.count(), "closed")
	})
}

// TestFlushTakesAll: Flush returns after all earlier changes were saved, even if a save is
// running that does not include them.
func TestFlushTakesAll(t *testing.T) {
	bubble(t, func(t *testing.T, s *saver, d *disk) {
		require.NoError(t, s.flush(t.Context()))
		assert.Zero(t, d.count())
		d.becomes(time.Second, nil)
		s.changed()
		time.Sleep(500 * time.Millisecond) // during the first save
		s.changed()
		require.NoError(t, s.flush(t.Context()))
		assert.Equal(t, 2, d.count())
		assert.Equal(t, 2100*time.Millisecond, time.Since(d.began))
		s.changed()
		require.NoError(t, s.close())
		assert.Equal(t, 3, d.count())
		require.NoError(t, s.close())
		s.changed()
		time.Sleep(time.Hour)
		require.ErrorIs(t, s.flush(t.Context()), errClosed)
		assert.Equal(t, 3, d.count())
	})
}

// TestHungDisk: Flush and Close end in time although a save hangs.
func TestHungDisk(t *testing.T) {
	bubble(t, func(t *testing.T, s *saver, d *disk) {
		d.becomes(time.Hour, nil)
		s.changed()
		time.Sleep(time.Second)
		before := time.Now()
		s.changed()
		require.NoError(t, s.lastError())
		assert.Zero(t, time.Since(before))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, s.flush(ctx), context.DeadlineExceeded)
		before = time.Now()
		require.ErrorIs(t, s.close(), context.DeadlineExceeded)
		assert.Equal(t, closeWait, time.Since(before))
		time.Sleep(2 * time.Hour)
		assert.Equal(t, 1, d.count())
	})
}

// TestContextOfSave ends with lockWait, and with closing.
func TestContextOfSave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &saver{save: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
		s.changed()
		before := time.Now()
		require.ErrorIs(t, s.flush(t.Context()), context.DeadlineExceeded)
		assert.Equal(t, lockWait, time.Since(before))
		before = time.Now()
		require.Error(t, s.close())
		assert.Equal(t, lockWait, time.Since(before))
	})
}
