//go:build unix

package httpcache_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpcache"
)

func init() {
	children["write"] = writeUntilKilled
	children["unfinished"] = writeHalf
}

// process is a process of this test binary, and the lines it says.
type process struct {
	*exec.Cmd
	lines *bufio.Scanner
	errs  *strings.Builder
}

func start(t testing.TB, what, dir string, args ...string) process {
	return startCommand(t, exec.Command(os.Args[0], args...), what, dir)
}

func startCommand(t testing.TB, cmd *exec.Cmd, what, dir string) process {
	cmd.Env = append(os.Environ(), child+"="+what, childDir+"="+dir)
	errs := &strings.Builder{}
	cmd.Stderr = errs
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill() })
	return process{cmd, bufio.NewScanner(out), errs}
}

const crashSize = 4 << 20 // of the Disk

// writeUntilKilled writes, reads, updates and removes entries of a Disk, and complains about
// what is wrong. It says how often it has stored its own entry.
func writeUntilKilled(dir string) {
	me := os.Args[1]
	first, _ := strconv.Atoi(os.Args[2])
	d, err := httpcache.OpenDisk(dir, httpcache.Limits{Size: crashSize})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for n := first; ; n++ {
		key := fmt.Sprint("k", rand.N(30))
		size := []int{0, 10, 4000, 65_536, 200_000}[rand.N(5)]
		switch rand.N(12) {
		case 0:
			d.Remove(bg, key)
		case 1:
			w, err := d.Create(bg, key, httpcache.Variant{Size: -1})
			if err == nil && w != nil {
				w.Write(content(1, size))
				w.Close()
			}
		case 2:
			list, _ := d.Lookup(bg, key)
			for _, e := range list {
				d.Update(bg, e, append(e.Meta(), " updated"...)) // still of the same body
			}
		case 3, 4, 5:
			list, err := d.Lookup(bg, key)
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
			for _, e := range list {
				if _, err := check(e, key); err != nil {
					fmt.Fprintln(os.Stderr, err)
				}
			}
		default:
			store(d, key, byte(rand.N(2)), rand.Uint64(), size) // may be refused
		}
		if err := store(d, "own"+me, 0, uint64(n), 5000); err == nil {
			fmt.Println(n)
		}
	}
}

// TestDiskCrash kills processes that write to one Disk, again and again. Then every
// entry is one that was written, and what was committed is there.
// NETREPLY_TEST_CRASHES is how often, 3 times without it.
func TestDiskCrash(t *testing.T) {
	rounds, err := strconv.Atoi(os.Getenv("NETREPLY_TEST_CRASHES"))
	if err != nil {
		rounds = 3
	}
	dir := t.TempDir()
	entries := 0
	last := [4]int{}
	for round := range rounds {
		var all [4]process
		for i := range all {
			all[i] = start(t, "write", dir, fmt.Sprint(i), fmt.Sprint(last[i]+1))
		}
		for i, p := range all {
			for range 1 + rand.N(25) {
				require.True(t, p.lines.Scan(), "round %d: %s", round, p.errs)
				last[i], err = strconv.Atoi(p.lines.Text())
				require.NoError(t, err)
			}
		}
		for _, p := range all {
			p.Process.Kill()
		}
		for i, p := range all {
			for p.lines.Scan() { // what it had said before
				if n, err := strconv.Atoi(p.lines.Text()); err == nil {
					last[i] = n
				}
			}
			p.Wait()
			require.Empty(t, p.errs.String(), "round %d", round)
		}
		d := openDisk(t, dir, httpcache.Limits{Size: crashSize})
		for key, e := range d.All(bg) {
			_, err := check(e, key)
			require.NoError(t, err, "round %d", round)
			entries++
		}
		require.Empty(t, filesOf(t, filepath.Join(dir, "1", "new"), ""), "round %d", round)
		for i := range all {
			list, err := d.Lookup(bg, fmt.Sprint("own", i))
			require.NoError(t, err)
			require.Len(t, list, 1, "round %d: what was committed is lost", round)
			seed, _, _ := strings.Cut(string(list[0].Meta()), " ")
			n, err := strconv.Atoi(seed)
			require.NoError(t, err)
			require.GreaterOrEqual(t, n, last[i], "round %d: there is an older entry than the one committed last", round)
			require.LessOrEqual(t, n, last[i]+1)
			last[i] = n
			require.Equal(t, 1, there(t, d, fmt.Sprint("own", i)))
		}
		require.NoError(t, d.Close())
		require.LessOrEqual(t, onDisk(t, dir), int64(crashSize*2), "round %d", round)
	}
	assert.Positive(t, entries)
	// what was left behind is found, and nothing is counted that is not there
	recount(t, dir)
	d := openDisk(t, dir, httpcache.Limits{Size: crashSize})
	bodies := 0
	for _, e := range d.All(bg) {
		b, err := e.Open(bg)
		require.NoError(t, err)
		if b.Size() > 0 {
			bodies++
		}
		b.Close()
	}
	assert.Len(t, filesOf(t, dir, ".body"), bodies)
	assert.Empty(t, filesOf(t, dir, ".next"))
	size, err := d.Size(bg)
	require.NoError(t, err)
	assert.Equal(t, onDisk(t, dir), size)
}

// writeHalf begins an entry, and waits.
func writeHalf(dir string) {
	d, err := httpcache.OpenDisk(dir, httpcache.Limits{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	w, err := d.Create(bg, "k", httpcache.Variant{Size: 100_000})
	if err == nil {
		_, err = w.Write(content(1, 50_000))
	}
	fmt.Println("half", err)
	io.Copy(io.Discard, os.Stdin)
	w.Write(content(1, 100_000)[50_000:])
	fmt.Println("committed", w.Commit([]byte("1 100000 k")))
	w.Close()
	d.Close()
}

// TestDiskSweep: OpenDisk removes what a killed process was writing, and not what another
// one is writing.
func TestDiskSweep(t *testing.T) {
	dir := t.TempDir()
	begin := func() (process, io.Closer) {
		cmd := exec.Command(os.Args[0])
		in, err := cmd.StdinPipe()
		require.NoError(t, err)
		p := startCommand(t, cmd, "unfinished", dir)
		require.True(t, p.lines.Scan())
		require.Equal(t, "half <nil>", p.lines.Text())
		return p, in
	}
	dead, _ := begin()
	living, in := begin()
	unfinished := func() int { return len(filesOf(t, filepath.Join(dir, "1", "new"), ".body")) }
	require.Equal(t, 2, unfinished())
	dead.Process.Kill()
	dead.Wait()
	d := openDisk(t, dir, httpcache.Limits{})
	require.Equal(t, 1, unfinished())
	list, err := d.Lookup(bg, "k")
	require.NoError(t, err)
	require.Empty(t, list)

	require.NoError(t, in.Close())
	require.True(t, living.lines.Scan())
	require.Equal(t, "committed <nil>", living.lines.Text())
	require.NoError(t, living.Wait())
	assert.Equal(t, 1, there(t, d, "k"))
	assert.Zero(t, unfinished())
}
