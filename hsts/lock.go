package hsts

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/netreply/netreply/internal/filelock"
)

var errLocked = errors.New("another process has it locked")

// Pauses between two attempts to get a lock.
const (
	firstLockPause = time.Millisecond
	maxLockPause   = 50 * time.Millisecond
)

// lock locks a file until unlock is called. It tries at least once, and then until the
// context ends. It polls, because a blocking system call could not be interrupted.
func lock(ctx context.Context, name string) (unlock func(), err error) {
	try := tryLock
	if !filelock.Supported {
		try = tryLockByName
	}
	for pause := firstLockPause; ; pause = min(2*pause, maxLockPause) {
		if unlock, err = try(name); unlock != nil || err != nil {
			return unlock, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, fmt.Errorf("hsts: %s: %w", name, errLocked)
		}
	}
}

// tryLock locks a file, which is not removed afterwards. It returns nil without an error if
// another process has locked it.
func tryLock(name string) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if ok, err := filelock.Try(f); !ok {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// staleLock is the age at which a lock file is assumed to be left behind by a dead process.
const staleLock = 30 * time.Second

// tryLockByName is for systems without file locks: it creates a file exclusively. A process
// that dies leaves it behind.
func tryLockByName(name string) (unlock func(), err error) {
	if st, err := os.Lstat(name); err == nil && time.Since(st.ModTime()) > staleLock {
		os.Remove(name)
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f.Close()
	return func() { os.Remove(name) }, nil
}
