//go:build unix

package netreply

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOpenRegularAgainstReplacement: a pipe that takes the place of a file while that is opened
// is neither waited for nor returned.
func TestOpenRegularAgainstReplacement(t *testing.T) {
	dir := t.TempDir()
	file, pipe := filepath.Join(dir, "file"), filepath.Join(dir, "pipe")
	name, next := filepath.Join(dir, "name"), filepath.Join(dir, "next")
	require.NoError(t, os.WriteFile(file, nil, 0o666))
	require.NoError(t, syscall.Mkfifo(pipe, 0o666))
	require.NoError(t, os.Link(file, name))
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			for _, kind := range []string{pipe, file} {
				assert.NoError(t, os.Link(kind, next))
				assert.NoError(t, os.Rename(next, name))
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	defer func() { <-stopped }()
	defer close(stop)
	for range 5000 {
		f, _, err := openRegular(name)
		if err != nil {
			assert.ErrorIs(t, err, errNotRegular)
			continue
		}
		info, err := f.Stat()
		if assert.NoError(t, err) {
			assert.True(t, info.Mode().IsRegular(), "%v", info.Mode())
		}
		f.Close()
	}
}
