// Package atomicfile replaces files so that, whatever happens in the middle,
// readers find the old content or the new one.
package atomicfile

import (
	"io"
	"os"
	"path/filepath"
)

// Write replaces the file name by what write writes, readable by its owner only.
// When it fails the old file is as it was. The new one is on the disk before it
// takes the name.
func Write(name string, write func(io.Writer) error) (err error) {
	dir, base := filepath.Split(name)
	if dir == "" {
		dir = "."
	}
	f, err := os.CreateTemp(dir, "."+base+".*.tmp") // of mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err = write(f); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
