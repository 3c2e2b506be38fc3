package hsts_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/hsts"
	"github.com/netreply/netreply/internal/atomicfile"
	"github.com/netreply/netreply/internal/filelock"
)

var year = []string{"max-age=31536000"}

// lockFile locks a store's file like another process.
func lockFile(t *testing.T, file string) (unlock func()) {
	if !filelock.Supported {
		t.Skip("no locks on this system")
	}
	f, err := os.OpenFile(file+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	require.NoError(t, err)
	ok, err := filelock.Try(f)
	require.NoError(t, err)
	require.True(t, ok)
	return func() { f.Close() }
}

// TestForeignLock: only Flush and Close wait for a process that keeps the file locked, for
// a limited time; no change is lost.
func TestForeignLock(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hsts")
	synctest.Test(t, func(t *testing.T) {
		s, err := hsts.Open(file)
		require.NoError(t, err)
		unlock := lockFile(t, file)
		began := time.Now()
		for i := range 1000 {
			require.True(t, s.Learn(fmt.Sprintf("h%d.example", i), year))
		}
		s.Remove("h0.example")
		o, err := hsts.Open(file)
		require.NoError(t, err)
		require.NoError(t, s.Reload())
		require.True(t, s.Known("h1.example"))
		require.NoError(t, s.Err())
		require.Equal(t, began, time.Now(), "nothing has waited")

		require.ErrorContains(t, s.Flush(t.Context()), "another process has it locked")
		require.LessOrEqual(t, time.Since(began), 5*time.Second)
		require.Error(t, s.Err())
		time.Sleep(time.Hour)
		unlock()
		time.Sleep(10 * time.Minute)
		require.NoError(t, s.Err(), "tried again by itself")
		require.NoError(t, o.Reload())
		assert.True(t, o.Known("h999.example"))

		unlock = lockFile(t, file)
		s.Learn("late.example", year)
		began = time.Now()
		require.ErrorContains(t, s.Close(), "another process has it locked")
		require.LessOrEqual(t, time.Since(began), 5*time.Second)
		unlock()
		time.Sleep(time.Hour)
		require.NoError(t, o.Reload())
		assert.False(t, o.Known("late.example"), "closed")
		require.NoError(t, o.Close())
	})
}

// TestLostFile: a deleted file, or one whose directory was deleted, has no effect, and is
// restored with all policies.
func TestLostFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "folder")
	require.NoError(t, os.Mkdir(dir, 0o700))
	file := filepath.Join(dir, "hsts")
	s, o := open(t, file), open(t, file)
	s.Learn("first.example", year)
	require.NoError(t, s.Flush(t.Context()))
	require.NoError(t, os.Remove(file))
	require.NoError(t, s.Reload())
	require.True(t, s.Known("first.example"))

	o.Learn("other.example", year) // restores the file with all policies
	require.NoError(t, o.Flush(t.Context()))
	s.Learn("second.example", year)
	require.NoError(t, s.Flush(t.Context()))
	for _, host := range []string{"first.example", "second.example", "other.example"} {
		assert.True(t, s.Known(host), host)
	}

	require.NoError(t, os.RemoveAll(dir))
	s.Learn("third.example", year)
	require.Error(t, s.Flush(t.Context()))
	require.Error(t, s.Err())
	assert.True(t, s.Known("first.example"))
	require.NoError(t, os.Mkdir(dir, 0o700))
	require.NoError(t, s.Flush(t.Context()))
	require.NoError(t, s.Err())
	n := 0
	for range open(t, file).All() {
		n++
	}
	assert.Equal(t, 4, n)
}

// TestNotWritable: after Open, Err reports that the file cannot be written.
func TestNotWritable(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "no", "folder"))
	require.Error(t, s.Err())
	s.Learn("a.example", year)
	s.Learn("b.example", year)
	require.Error(t, s.Flush(t.Context()))
	assert.True(t, s.Known("a.example"))
	require.Error(t, s.Close())

	_, err := hsts.Open(os.DevNull)
	require.ErrorContains(t, err, "not a regular file")
}

// TestRemovedStaysRemoved: neither an outdated store nor a lost file restores a removed
// policy; Learn adds it again.
func TestRemovedStaysRemoved(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hsts")
	s, o := open(t, file), open(t, file)
	both := func() {
		t.Helper()
		require.NoError(t, s.Flush(t.Context()))
		require.NoError(t, o.Flush(t.Context()))
		require.NoError(t, s.Reload())
	}
	s.Learn("a.example", year)
	s.Learn("b.example", year)
	s.Learn("c.example", year)
	both()
	require.NoError(t, o.Reload())
	s.Learn("a.example", []string{"max-age=0"})
	s.Remove("b.example")
	open(t, file).Remove("never.example")
	require.NoError(t, s.Flush(t.Context()))
	o.Learn("d.example", year)
	both()
	for _, store := range []*hsts.Store{s, o, open(t, file)} {
		for host, want := range map[string]bool{"a.example": false, "b.example": false, "c.example": true, "d.example": true} {
			assert.Equal(t, want, store.Known(host), host)
		}
	}
	require.NoError(t, os.Remove(file))
	o.Learn("e.example", year)
	both()
	assert.False(t, s.Known("a.example"))
	assert.True(t, s.Known("c.example"))
	o.Learn("a.example", year)
	both()
	assert.True(t, s.Known("a.example"))
	s.Clear()
	s.Learn("f.example", year)
	require.NoError(t, s.Flush(t.Context()))
	o.Learn("g.example", year)
	both()
	for _, store := range []*hsts.Store{s, o} {
		assert.False(t, store.Known("c.example"))
		assert.True(t, store.Known("f.example"))
		assert.True(t, store.Known("g.example"))
	}
}

// TestShortened: a policy that another process has shortened ends at the new time, and the
// older, longer one is not restored afterwards.
func TestShortened(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hsts")
	synctest.Test(t, func(t *testing.T) {
		s, err := hsts.Open(file)
		require.NoError(t, err)
		s.Learn("a.example", year)
		require.NoError(t, s.Flush(t.Context()))
		o, err := hsts.Open(file)
		require.NoError(t, err)
		o.Learn("a.example", []string{"max-age=10"})
		require.NoError(t, o.Flush(t.Context()))
		time.Sleep(20 * time.Second)
		o.Learn("b.example", year) // written without expired records
		require.NoError(t, o.Flush(t.Context()))
		require.True(t, s.Known("a.example"), "it has not heard yet")
		s.Learn("c.example", year)
		require.NoError(t, s.Flush(t.Context()))
		assert.False(t, s.Known("a.example"))
		require.NoError(t, o.Reload())
		assert.False(t, o.Known("a.example"))
		time.Sleep(366 * 24 * time.Hour)
		s.Learn("d.example", year)
		require.NoError(t, s.Close())
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.NotContains(t, string(text), "a.example", "no record is needed any more")
		assert.Contains(t, string(text), "d.example")
		require.NoError(t, o.Close())
	})
}

// TestFirstVersion: a file of the first version, without times of changes.
func TestFirstVersion(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hsts")
	text := `{"format": "netreply hsts", "version": 1, "policies": [
		{"host": "a.example", "includeSubdomains": true, "expires": "2999-01-01T00:00:00Z"},
		{"host": "old.example", "expires": "2001-01-01T00:00:00Z"}]}`
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	s := open(t, file)
	assert.True(t, s.Known("x.a.example"))
	assert.False(t, s.Known("old.example"))
	s.Learn("a.example", year)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	require.NoError(t, s.Reload())
	assert.False(t, s.Known("x.a.example"), "what was learned is newer")
}

// TestSymlink: the link is kept, and stores by the name of the link and of the file share
// the file.
func TestSymlink(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links need privileges")
	}
	dir := t.TempDir()
	file, link := filepath.Join(dir, "hsts"), filepath.Join(dir, "link")
	require.NoError(t, os.Symlink("hsts", link))
	s, o := open(t, link), open(t, file)
	for i := range 20 {
		s.Learn(fmt.Sprintf("s%d.example", i), year)
		o.Learn(fmt.Sprintf("o%d.example", i), year)
		require.NoError(t, s.Flush(t.Context()))
		require.NoError(t, o.Flush(t.Context()))
	}
	n := 0
	for range open(t, link).All() {
		n++
	}
	assert.Equal(t, 40, n)
	to, err := os.Readlink(link)
	require.NoError(t, err)
	assert.Equal(t, "hsts", to)
}

// stuckWriter makes the child process stop while it is writing storeFile.
const stuckWriter = "NETREPLY_TEST_HSTS_STUCK"

// writeForever starts to write as a store does, reports that, and never ends.
func writeForever(file string) {
	atomicfile.Write(file, func(w io.Writer) error {
		io.WriteString(w, `{"format": "netreply hsts", "ver`)
		fmt.Println("writing")
		io.Copy(io.Discard, os.Stdin)
		return nil
	})
}

// TestKilledProcess: Open removes the temporary file of a process that was killed while
// writing.
func TestKilledProcess(t *testing.T) {
	if !filelock.Supported {
		t.Skip("without locks, temporary files are recognised by their age")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "hsts")
	s := open(t, file)
	s.Learn("a.example", year)
	require.NoError(t, s.Flush(t.Context()))

	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), storeFile+"="+file, stuckWriter+"=1")
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	defer in.Close()
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	_, err = bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	temporary := func() []string {
		all, err := filepath.Glob(filepath.Join(dir, ".hsts.*.tmp"))
		require.NoError(t, err)
		return all
	}
	require.NoError(t, open(t, file).Flush(context.Background()))
	require.Len(t, temporary(), 1, "of a process that lives")
	require.NoError(t, cmd.Process.Kill())
	cmd.Wait()
	require.Len(t, temporary(), 1)
	assert.True(t, open(t, file).Known("a.example"))
	assert.Empty(t, temporary())
}

// TestKilledWhileLearning: whenever a process is killed, the file is valid and not locked.
func TestKilledWhileLearning(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hsts")
	for i := range 5 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), storeFile+"="+file, storeFile+"_NAME="+fmt.Sprint("p", i, "x"))
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewReader(out)
		for range i + 1 {
			lines.ReadString('\n')
		}
		require.NoError(t, cmd.Process.Kill())
		cmd.Wait()
		s, err := hsts.Open(file)
		require.NoError(t, err)
		require.True(t, s.Known(fmt.Sprintf("p%dx%d.example", i, 10*i)))
		s.Learn("mine.example", year)
		require.NoError(t, s.Close())
	}
}

// TestConcurrent: all methods concurrently, in two stores with one file.
func TestConcurrent(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hsts")
	stores := []*hsts.Store{open(t, file), open(t, file)}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			s := stores[g%2]
			for i := range 60 {
				host := fmt.Sprintf("h%d.g%d.example", i, g)
				s.Learn(host, year)
				assert.True(t, s.Known(host))
				switch i % 6 {
				case 0:
					assert.NoError(t, s.Flush(t.Context()))
				case 1:
					assert.NoError(t, s.Reload())
				case 2:
					for range s.All() {
					}
				case 3:
					s.Remove(host)
				}
			}
		})
	}
	wg.Wait()
	wg.Go(func() { assert.NoError(t, stores[0].Close()) })
	wg.Go(func() { assert.NoError(t, stores[1].Close()) })
	wg.Wait()
	n := 0
	for range open(t, file).All() {
		n++
	}
	assert.Equal(t, 8*50, n)
}
