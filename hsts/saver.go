package hsts

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// minPause is how long a change waits for others that go to the file with it.
	// A save that takes long is followed by a pause of savePauses times its length, so
	// that saving never keeps a processor or a disk busy.
	minPause   = 100 * time.Millisecond
	savePauses = 10
	// After a failed save the next one is tried after minRetry, then after twice as long,
	// up to maxRetry.
	minRetry = time.Second
	maxRetry = 5 * time.Minute
	// lockWait bounds how long a save waits for a lock that another process has.
	lockWait = 2 * time.Second
	// closeWait bounds closing.
	closeWait = 5 * time.Second
)

var errClosed = errors.New("hsts: the store is closed, and not written any more")

// saver brings changes to a file without anybody waiting for it. The first change plans a
// save; the save runs on a goroutine of its own, which ends with it, takes all changes up
// to then, and is planned again while there are others or when it has failed. So there
// is no goroutine as long as there is nothing to save, closed or not.
type saver struct {
	// save does it, with no lock of the saver held, and never twice at a time. The
	// context bounds what can be interrupted.
	save func(context.Context) error

	mu       sync.Mutex
	changes  uint64      // so far
	saved    uint64      // how many of them the file has
	running  *saveRun    // nil when there is none
	planned  *time.Timer // nil when there is none
	pause    time.Duration
	failures int
	err      error // of the last save
	closed   bool
}

// saveRun is one save. err may be read once done is closed.
type saveRun struct {
	done   chan struct{}
	cancel context.CancelFunc
	err    error
}

// changed tells that there is something to save. It never waits.
func (s *saver) changed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	s.plan()
}

// plan makes sure that what is not saved will be. The caller holds the lock.
func (s *saver) plan() {
	if s.closed || s.running != nil || s.planned != nil || s.saved == s.changes {
		return
	}
	pause := max(s.pause, minPause)
	if s.failures > 0 {
		pause = min(minRetry<<min(s.failures-1, 16), maxRetry)
	}
	s.planned = time.AfterFunc(pause, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.planned = nil
		if !s.closed {
			s.start()
		}
	})
}

// start begins a save, unless one is under way. The caller holds the lock.
func (s *saver) start() {
	if s.running != nil {
		return
	}
	if s.planned != nil {
		s.planned.Stop()
		s.planned = nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), lockWait)
	r := &saveRun{done: make(chan struct{}), cancel: cancel}
	s.running = r
	go s.run(ctx, r, s.changes)
}

func (s *saver) run(ctx context.Context, r *saveRun, upTo uint64) {
	defer r.cancel()
	began := time.Now()
	r.err = s.save(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running, s.err = nil, r.err
	if r.err != nil {
		s.failures++
	} else {
		s.saved, s.failures = upTo, 0
		s.pause = savePauses * time.Since(began)
	}
	close(r.done)
	s.plan()
}

// flush saves what has changed before it is called. It gives the error of a save that was
// begun for it, or that of the context if this ends before; errClosed for what changed
// after closing.
func (s *saver) flush(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for upTo := s.changes; s.saved < upTo; {
		if s.closed && s.running == nil {
			if s.err != nil {
				return s.err
			}
			return errClosed
		}
		r, mine := s.running, s.running == nil
		if mine {
			s.start()
			r = s.running
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

// close saves what has changed, within closeWait, and ends the saving: later changes are
// not saved. A save that does not come back from the disk ends when that does.
func (s *saver) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	err := s.flush(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.planned != nil {
		s.planned.Stop()
		s.planned = nil
	}
	if s.running != nil {
		s.running.cancel()
	}
	return err
}

// lastError is that of the last save, nil when it went well.
func (s *saver) lastError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
