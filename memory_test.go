package netreply_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// memoryURL is set for the child process whose memory is measured.
const memoryURL = "NETREPLY_TEST_MEMORY_URL"

const memoryBytes = 4 << 30

// TestMemory: transferring 4 GiB in each direction needs less than 8 MB in a separate
// process, besides its executable.
func TestMemory(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("moves 8 GiB")
	}
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("needs Linux's /proc/self/status for the peak memory")
	}
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if r.Method == "GET" {
			w.Header().Set("Content-Length", strconv.Itoa(memoryBytes))
			buf := make([]byte, 256<<10)
			for sent := 0; sent < memoryBytes; sent += len(buf) {
				if _, err := w.Write(buf); err != nil {
					return
				}
			}
		}
	}))
	kb, _ := peakOf(t, s.URL)
	assert.Less(t, kb, 8_000, "kB of memory at the peak")
}

// TestBombMemory: 128 MiB of zeros are refused with less than 32 MB in a separate process,
// although the reply is not read.
func TestBombMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector takes memory")
	}
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("needs Linux's /proc/self/status")
	}
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		codings := strings.TrimPrefix(r.URL.Path, "/bomb/")
		w.Header().Set("Content-Encoding", codings)
		enc := encoder(w, strings.Split(codings, ",")...)
		buf := make([]byte, 256<<10)
		for range 512 {
			if _, err := enc.Write(buf); err != nil {
				return
			}
		}
		enc.Close()
	}))
	for _, codings := range []string{"gzip", "deflate", "br", "zstd", "gzip,gzip", "gzip,br", "br,zstd"} {
		// the garbage collector runs at random times: take the best of ten
		kb := math.MaxInt
		for try := 0; try < 10 && kb >= 32_000; try++ {
			_, peak := peakOf(t, s.URL+"/bomb/"+codings)
			t.Log(codings, peak)
			kb = min(kb, peak)
		}
		assert.Less(t, kb, 32_000, "kB of memory at the peak: %s", codings)
	}
}

// peakOf returns the peak memory in kB of a process that transfers a URL: resident memory
// without the pages of the executable, which has all tests in it, and memory obtained by Go's
// runtime.
func peakOf(t *testing.T, url string) (resident, runtime int) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), memoryURL+"="+url)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	_, err = fmt.Sscanf(string(out), "peak %d %d", &resident, &runtime)
	require.NoError(t, err, "%s", out)
	return resident, runtime
}

// memoryClient transfers the bytes and prints its peak memory.
func memoryClient(url string) int {
	move := moveBytes
	if strings.Contains(url, "/bomb/") {
		move = takeBomb
	}
	if err := move(url); err != nil {
		fmt.Println(err)
		return 1
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	field := func(name string) int {
		_, rest, _ := strings.Cut(string(status), name+":")
		n, err := strconv.Atoi(strings.Fields(rest)[0])
		if err != nil {
			panic(err)
		}
		return n
	}
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	fmt.Println("peak", field("VmHWM")-field("RssFile"), ms.Sys>>10)
	return 0
}

// takeBomb waits for a reply without reading its body.
func takeBomb(url string) error {
	m, err := netreply.NewManager(netreply.Config{})
	if err != nil {
		return err
	}
	defer m.Close()
	req, err := netreply.NewRequest(url)
	if err != nil {
		return err
	}
	r := m.Get(context.Background(), req)
	if err := r.Wait(context.Background()); !errors.Is(err, netreply.UnknownContentError) {
		return fmt.Errorf("not refused: %w", err)
	}
	if n := r.BytesAvailable(); n < 9<<20 {
		return fmt.Errorf("%d bytes", n)
	}
	return nil
}

func moveBytes(url string) error {
	m, err := netreply.NewManager(netreply.Config{ReadBufferSize: 256 << 10})
	if err != nil {
		return err
	}
	defer m.Close()
	req, err := netreply.NewRequest(url)
	if err != nil {
		return err
	}
	r := m.Get(context.Background(), req)
	n, err := io.Copy(io.Discard, r)
	if err != nil || n != memoryBytes {
		return fmt.Errorf("%d bytes read: %w", n, err)
	}
	req.DoNotBufferUploadData = true
	r = m.Post(context.Background(), req, netreply.ReaderBody(io.LimitReader(zeros{}, memoryBytes)))
	return r.Wait(context.Background())
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestFinishedReplyMemory: a reply that has finished does not keep its request body in memory.
func TestFinishedReplyMemory(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
	}))
	m := newManager(t, netreply.Config{})
	for _, size := range []int{10 << 10, 1 << 20} { // sent in one piece with the head, and in pieces
		freed := make(chan struct{})
		send := func() *netreply.Reply {
			body := make([]byte, size)
			runtime.AddCleanup(&body[0], func(freed chan struct{}) { close(freed) }, freed)
			r := m.Post(t.Context(), newRequest(t, s.URL), netreply.BytesBody(body))
			_, err := r.ReadAll()
			require.NoError(t, err)
			return r
		}
		r := send()
		require.Eventually(t, func() bool {
			runtime.GC()
			select {
			case <-freed:
				return true
			default:
				return false
			}
		}, 10*time.Second, time.Millisecond, "%d bytes", size)
		runtime.KeepAlive(r)
	}
}
