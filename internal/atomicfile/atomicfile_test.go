package atomicfile_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/netreply/netreply/internal/atomicfile"
)

func TestMain(m *testing.M) {
	if name := os.Getenv(stuckWriter); name != "" {
		writeForever(name)
	}
	goleak.VerifyTestMain(m)
}

// stuckWriter is the environment variable with the file that the child process writes.
const stuckWriter = "NETREPLY_TEST_STUCK_WRITER"

// writeForever starts to write a file, reports that, and continues when its input ends.
func writeForever(name string) {
	err := atomicfile.Write(name, func(w io.Writer) error {
		io.WriteString(w, "half of it")
		fmt.Println("writing")
		_, err := io.Copy(io.Discard, os.Stdin)
		return err
	})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
}

func TestWrite(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	for _, s := range []string{"one", "two, longer", ""} {
		require.NoError(t, atomicfile.Write(name, text(s)))
		got, err := os.ReadFile(name)
		require.NoError(t, err)
		assert.Equal(t, s, string(got))
	}
	if runtime.GOOS != "windows" {
		st, err := os.Stat(name)
		require.NoError(t, err)
		assert.EqualValues(t, 0o600, st.Mode().Perm())
	}
}

// TestWriteFails: the old file is unchanged, and no temporary file is left.
func TestWriteFails(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "f")
	require.NoError(t, atomicfile.Write(name, text("old")))
	broken := errors.New("broken")
	require.ErrorIs(t, atomicfile.Write(name, func(w io.Writer) error { io.WriteString(w, "half"); return broken }), broken)
	got, err := os.ReadFile(name)
	require.NoError(t, err)
	assert.Equal(t, "old", string(got))
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, files, 1)

	require.ErrorIs(t, atomicfile.Write(filepath.Join(dir, "no", "such", "f"), text("x")), os.ErrNotExist)
	require.Error(t, atomicfile.Write(dir, text("x")), "a directory is not replaced")
	files, err = os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, files, 1)
}
