//go:build !unix

package hsts

import (
	"errors"
	"io/fs"
	"os"
	"time"
)

// A lock that is older than staleLock is of a process that died.
const staleLock = 30 * time.Second

// lock keeps other processes out until unlock, by a file that only one can create.
func lock(name string) (unlock func(), err error) {
	for range 1000 {
		f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
		if err == nil {
			f.Close()
			return func() { os.Remove(name) }, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		if st, statErr := os.Stat(name); statErr == nil && time.Since(st.ModTime()) > staleLock {
			os.Remove(name)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil, errors.New("hsts: the file is locked")
}
