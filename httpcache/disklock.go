package httpcache

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/netreply/netreply/internal/filelock"
)

const (
	// lockWait bounds the wait for a lock, which another process may have that was stopped.
	lockWait = 2 * time.Second
	// staleLock is the age from which a lock without the system's help counts as left behind.
	staleLock = 30 * time.Second

	firstPause = 500 * time.Microsecond
	maxPause   = 20 * time.Millisecond
)

var errLocked = errors.New("httpcache: another process has locked the store")

// lockFile is a lock between processes, and between those who share it in one process.
type lockFile struct {
	name string
	turn chan struct{} // has room for one, who has the lock in this process
}

func newLockFile(name string) lockFile { return lockFile{name, make(chan struct{}, 1)} }

// lock waits for the lock until ctx ends, for at most lockWait. The file is that of the lock.
func (l lockFile) lock(ctx context.Context) (*os.File, error) {
	select {
	case l.turn <- struct{}{}:
	default:
		timer := time.NewTimer(lockWait)
		defer timer.Stop()
		select {
		case l.turn <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
			return nil, errLocked
		}
	}
	f, err := l.lockForProcess(ctx)
	if err != nil {
		<-l.turn
	}
	return f, err
}

func (l lockFile) unlock(f *os.File) {
	f.Close()
	if !filelock.Supported {
		os.Remove(f.Name())
	}
	<-l.turn
}

// lockForProcess polls, because a system call that waits could not be interrupted.
func (l lockFile) lockForProcess(ctx context.Context) (*os.File, error) {
	var waited time.Duration
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		f, err := l.try()
		if f != nil || err != nil {
			return f, err
		}
		if waited += pause; waited > lockWait {
			return nil, errLocked
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// try returns nil without an error if another process has the lock.
func (l lockFile) try() (*os.File, error) {
	if !filelock.Supported {
		return l.tryByName()
	}
	f, err := openShared(l.name)
	if err != nil {
		return nil, err
	}
	if ok, err := filelock.Try(f); !ok {
		f.Close()
		return nil, err
	}
	return f, nil
}

// tryByName creates a file that must not exist. A process that dies leaves it behind.
func (l lockFile) tryByName() (*os.File, error) {
	name := l.name + ".lock"
	f, err := openIn(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err == nil || !errors.Is(err, fs.ErrExist) {
		return f, err
	}
	if st, err := os.Stat(name); err == nil && time.Since(st.ModTime()) > staleLock {
		os.Remove(name)
	}
	return nil, nil
}
