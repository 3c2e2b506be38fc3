package hsts

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// minPause is how long a save is delayed to include further changes. A save that takes
	// long is followed by a pause of savePauses times its duration, so that saving never
	// keeps a processor or a disk busy.
	minPause   = 100 * time.Millisecond
	savePauses = 10
	// A failed save is repeated after minRetry, which doubles each time up to maxRetry.
	minRetry = time.Second
	maxRetry = 5 * time.Minute
	// lockWait is how long a save waits for a lock.
	lockWait = 2 * time.Second
	// closeWait is how long close waits.
	closeWait = 5 * time.Second
)

var errClosed = errors.New("hsts: the store is closed")

// saver saves changes in the background. The first change schedules a save, which runs on
// its own goroutine. It includes all changes up to its start, and is scheduled again if
// there are others or if it has failed. So there is no goroutine while there is nothing to
// save, whether closed or not.
type saver struct {
	// save saves the current state. It is called without locks of the saver, and never
	// concurrently. The context bounds waits that can be interrupted.
	save func(context.Context) error

	mu       sync.Mutex
	changes  uint64      // number of changes
	saved    uint64      // number of saved changes
	current  *saveRun    // nil if there is none
	timer    *time.Timer // nil if there is none
	pause    time.Duration
	failures int
	err      error // error of the last save
	closed   bool
}

// saveRun is a running save. err may be read after done is closed.
type saveRun struct {
	done   chan struct{}
	cancel context.CancelFunc
	err    error
}

// changed records a change. It never blocks.
func (s *saver) changed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	s.schedule()
}

// schedule schedules a save if there are unsaved changes. The caller holds the lock.
func (s *saver) schedule() {
	if s.closed || s.current != nil || s.timer != nil || s.saved == s.changes {
		return
	}
	pause := max(s.pause, minPause)
	if s.failures > 0 {
		pause = min(minRetry<<min(s.failures-1, 16), maxRetry)
	}
	s.timer = time.AfterFunc(pause, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.timer = nil
		if !s.closed {
			s.start()
		}
	})
}

// start starts a save, unless one is running. The caller holds the lock.
func (s *saver) start() {
	if s.current != nil {
		return
	}
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), lockWait)
	r := &saveRun{done: make(chan struct{}), cancel: cancel}
	s.current = r
	go s.run(ctx, r, s.changes)
}

func (s *saver) run(ctx context.Context, r *saveRun, upTo uint64) {
	defer r.cancel()
	began := time.Now()
	r.err = s.save(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current, s.err = nil, r.err
	if r.err != nil {
		s.failures++
	} else {
		s.saved, s.failures = upTo, 0
		s.pause = savePauses * time.Since(began)
	}
	close(r.done)
	s.schedule()
}

// flush saves the changes up to its call. It returns the error of the save that it has
// started, or the cause of the context if that ends before; errClosed for changes after
// close.
func (s *saver) flush(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for upTo := s.changes; s.saved < upTo; {
		if s.closed && s.current == nil {
			if s.err != nil {
				return s.err
			}
			return errClosed
		}
		r, mine := s.current, s.current == nil
		if mine {
			s.start()
			r = s.current
		}
		s.mu.Unlock()
		select {
		case <-r.done:
		case <-ctx.Done():
			s.mu.Lock()
			return context.Cause(ctx)
		}
		s.mu.Lock()
		if mine && r.err != nil {
			return r.err
		}
	}
	return nil
}

// close saves all changes, within closeWait; later changes are not saved. It does not wait
// longer for a save that blocks on the disk.
func (s *saver) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	err := s.flush(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	if s.current != nil {
		s.current.cancel()
	}
	return err
}

// lastError is the error of the last save, nil after success.
func (s *saver) lastError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
