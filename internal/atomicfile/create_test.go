package atomicfile_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/atomicfile"
)

func writes(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

// entries is what is in a directory.
func entries(t *testing.T, dir string) (names []string) {
	all, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range all {
		names = append(names, e.Name())
	}
	return names
}

// TestCreate: a file that was not there, and never in the place of another.
func TestCreate(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "f")
	errWrite := errors.New("no")
	assert.ErrorIs(t, atomicfile.Create(name, func(io.Writer) error { return errWrite }), errWrite)
	assert.Empty(t, entries(t, dir))

	assert.NoError(t, atomicfile.Create(name, writes("first")))
	assert.ErrorIs(t, atomicfile.Create(name, writes("second")), fs.ErrExist)
	assert.ErrorIs(t, atomicfile.Create(filepath.Join(dir, "g"), func(w io.Writer) error {
		return os.WriteFile(filepath.Join(dir, "g"), []byte("meanwhile"), 0o600)
	}), fs.ErrExist)
	for file, want := range map[string]string{"f": "first", "g": "meanwhile"} {
		got, err := os.ReadFile(filepath.Join(dir, file))
		assert.NoError(t, err)
		assert.Equal(t, want, string(got))
	}
	assert.Equal(t, []string{"f", "g"}, entries(t, dir))
	assert.Error(t, atomicfile.Create(filepath.Join(dir, "none", "f"), writes("x")))
}

// TestLongNames: a name as long as the file system allows.
func TestLongNames(t *testing.T) {
	dir := t.TempDir()
	name := strings.Repeat("ä", 127) + "x" // 255 bytes
	assert.NoError(t, atomicfile.Create(filepath.Join(dir, name), writes("x")))
	assert.NoError(t, atomicfile.Write(filepath.Join(dir, name), writes("y")))
	assert.Equal(t, []string{name}, entries(t, dir))
	assert.NoError(t, atomicfile.Sweep(filepath.Join(dir, name)))
}
