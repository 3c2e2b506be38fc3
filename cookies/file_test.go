package cookies_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/cookies"
	"github.com/netreply/netreply/internal/atomicfile"
	"github.com/netreply/netreply/internal/filelock"
)

// stuckWriter is the environment variable with the file that the child process keeps
// writing.
const stuckWriter = "NETREPLY_TEST_COOKIES_STUCK"

// writeForever starts to write a file as a jar does, reports that, and never ends.
func writeForever(name string) {
	atomicfile.Write(name, func(w io.Writer) error {
		io.WriteString(w, `{"format": "netreply coo`)
		fmt.Println("writing")
		io.Copy(io.Discard, os.Stdin)
		return nil
	})
	os.Exit(0)
}

// TestKilledProcess: the next Load or Save removes the temporary file of a process that was
// killed during Save.
func TestKilledProcess(t *testing.T) {
	if !filelock.Supported {
		t.Skip("without locks, temporary files are recognised by their age")
	}
	dir := t.TempDir()
	name := filepath.Join(dir, "jar")
	jar := cookies.NewJar(cookies.Options{})
	for what, use := range map[string]func() error{
		"Load": func() error { return cookies.NewJar(cookies.Options{}).Load(name) },
		"Save": func() error { return jar.Save(name, true) },
	} {
		require.NoError(t, jar.Save(name, true))
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), stuckWriter+"="+name)
		in, err := cmd.StdinPipe()
		require.NoError(t, err)
		defer in.Close()
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		_, err = bufio.NewReader(out).ReadString('\n')
		require.NoError(t, err)
		files := func() int {
			all, err := os.ReadDir(dir)
			require.NoError(t, err)
			return len(all)
		}
		require.NoError(t, use())
		require.Equal(t, 2, files(), "%s: of a process that lives", what)
		require.NoError(t, cmd.Process.Kill())
		cmd.Wait()
		require.Equal(t, 2, files(), what)
		require.NoError(t, use())
		assert.Equal(t, 1, files(), what)
	}
}

// TestSaveKeeps: a symbolic link stays one, and permissions are kept; a new file is for
// its owner only.
func TestSaveKeeps(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links need privileges, and there are no such permissions")
	}
	dir := t.TempDir()
	name, link := filepath.Join(dir, "jar"), filepath.Join(dir, "link")
	require.NoError(t, os.Symlink("jar", link))
	jar := cookies.NewJar(cookies.Options{})
	mode := func() os.FileMode {
		st, err := os.Lstat(name)
		require.NoError(t, err)
		require.True(t, st.Mode().IsRegular())
		return st.Mode().Perm()
	}
	require.NoError(t, jar.Save(link, false))
	assert.EqualValues(t, 0o600, mode())
	require.NoError(t, os.Chmod(name, 0o640))
	require.NoError(t, jar.Save(link, false))
	assert.EqualValues(t, 0o640, mode())
	to, err := os.Readlink(link)
	require.NoError(t, err)
	assert.Equal(t, "jar", to)
	require.NoError(t, jar.Load(link))
}
