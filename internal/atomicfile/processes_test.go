//go:build unix

package atomicfile_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/atomicfile"
)

// process is a child process that is writing.
type process struct {
	*exec.Cmd
	stdin io.Closer
}

func startWriting(t *testing.T, name string) process {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), stuckWriter+"="+name)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "writing\n", line)
	return process{cmd, in}
}

// kill ends the process as kill -9 does.
func (p process) kill() {
	p.Process.Kill()
	p.Wait()
}

func files(t *testing.T, dir string) []string {
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestSweep: the file of a killed process is removed; that of a running process, and files
// with similar names, are not.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "f")
	require.NoError(t, atomicfile.Write(name, text("old")))
	others := []string{".f.x.tmp", ".f..tmp", ".f.tmp", ".f.1.tmp.bak", ".f.a.1.tmp", ".g.1.tmp", "f.1.tmp"}
	for _, n := range others {
		require.NoError(t, os.WriteFile(filepath.Join(dir, n), nil, 0o600))
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, ".f.2.tmp"), 0o700))
	require.NoError(t, os.Symlink(name, filepath.Join(dir, ".f.3.tmp")))
	before := len(files(t, dir))

	living, dead := startWriting(t, name), startWriting(t, name)
	require.Len(t, files(t, dir), before+2)
	dead.kill()
	require.NoError(t, atomicfile.Sweep(name))
	require.Len(t, files(t, dir), before+1)
	require.NoError(t, living.stdin.Close())
	require.NoError(t, living.Wait(), "the living one writes to its end")
	got, err := os.ReadFile(name)
	require.NoError(t, err)
	assert.Equal(t, "half of it", string(got))
	assert.Len(t, files(t, dir), before)
	assert.Subset(t, files(t, dir), others)

	require.ErrorIs(t, atomicfile.Sweep(filepath.Join(dir, "no", "f")), os.ErrNotExist)
}

// TestSweepMeanwhile: Write succeeds during concurrent Sweeps.
func TestSweepMeanwhile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				assert.NoError(t, atomicfile.Sweep(name))
			}
		}
	}()
	for i := range 50 {
		require.NoError(t, atomicfile.Write(name, text(fmt.Sprint(i))))
	}
	close(stop)
	<-done
	assert.Equal(t, []string{"f"}, files(t, filepath.Dir(name)))
}

// TestSymlink: a link is kept, and its target is written, in any directory.
func TestSymlink(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "real", "deep"), 0o700))
	require.NoError(t, os.Symlink(filepath.Join("real", "deep"), filepath.Join(dir, "short")))
	for _, c := range [][2]string{
		{filepath.Join(dir, "relative"), filepath.Join("real", "f")},
		{filepath.Join(dir, "absolute"), filepath.Join(dir, "real", "f")},
		{filepath.Join(dir, "twice"), "relative"},
		{filepath.Join(dir, "short", "back"), filepath.Join("..", "f")}, // of real/deep
	} {
		link, to := c[0], c[1]
		require.NoError(t, os.Symlink(to, link))
		for _, s := range []string{"new", "replaced"} { // first a dangling link
			require.NoError(t, atomicfile.Write(link, text(s)), link)
			got, err := os.ReadFile(filepath.Join(dir, "real", "f"))
			require.NoError(t, err, link)
			assert.Equal(t, s, string(got))
			st, err := os.Lstat(link)
			require.NoError(t, err)
			assert.NotZero(t, st.Mode()&os.ModeSymlink, link)
		}
		target, err := atomicfile.Target(link)
		require.NoError(t, err)
		assert.True(t, filepath.Base(target) == "f", target)
		require.NoError(t, os.Remove(filepath.Join(dir, "real", "f")))
		// the temporary file is in the directory of the target
		p := startWriting(t, link)
		p.kill()
		require.Len(t, files(t, filepath.Join(dir, "real")), 2)
		require.NoError(t, atomicfile.Sweep(link))
		require.Len(t, files(t, filepath.Join(dir, "real")), 1)
	}
	require.NoError(t, os.Symlink("circle", filepath.Join(dir, "circle")))
	require.Error(t, atomicfile.Write(filepath.Join(dir, "circle"), text("x")))
	require.Error(t, atomicfile.Sweep(filepath.Join(dir, "circle")))
}

// TestPermissions: a replaced file keeps its permissions, and only regular files are
// replaced.
func TestPermissions(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "f")
	for _, mode := range []os.FileMode{0o600, 0o640, 0o644, 0o400} {
		require.NoError(t, os.WriteFile(name, nil, 0o600))
		require.NoError(t, os.Chmod(name, mode))
		require.NoError(t, atomicfile.Write(name, text("x")))
		st, err := os.Stat(name)
		require.NoError(t, err)
		assert.Equal(t, mode|0o600, st.Mode().Perm())
		require.NoError(t, os.Remove(name))
	}
	mtime := time.Unix(1e9, 0)
	require.NoError(t, os.Chtimes(dir, mtime, mtime))
	require.ErrorContains(t, atomicfile.Write(os.DevNull, text("x")), "not a regular file")
	require.ErrorContains(t, atomicfile.Write(dir, text("x")), "not a regular file")
	st, err := os.Stat(dir)
	require.NoError(t, err)
	assert.Equal(t, mtime, st.ModTime(), "nothing was tried")
}
