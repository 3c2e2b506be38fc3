//go:build unix

package scheme

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestOpenWithoutBlocking: a pipe that has taken the place of a file since it was looked at is
// opened without waiting for its other end.
func TestOpenWithoutBlocking(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o666))
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	defer root.Close()
	for name, files := range map[string]Files{filepath.Join(dir, "pipe"): {}, "pipe": {Root: root}} {
		f, err := files.open(name, os.O_RDONLY)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		_, err = files.open(name, os.O_WRONLY|os.O_CREATE)
		require.ErrorIs(t, err, syscall.ENXIO, "nobody reads it")
	}
}
