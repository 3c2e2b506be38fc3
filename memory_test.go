package netreply_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// memoryURL is set for the process whose memory is measured.
const memoryURL = "NETREPLY_TEST_MEMORY_URL"

const memoryBytes = 4 << 30

// TestMemory: moving 4 GiB each way takes less than 20 MB of a process of its
// own.
func TestMemory(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("moves 8 GiB")
	}
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("wants Linux's /proc/self/status for the peak memory")
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
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), memoryURL+"="+s.URL)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	var kb int
	_, err = fmt.Sscanf(string(out), "peak %d", &kb)
	require.NoError(t, err, "%s", out)
	assert.Less(t, kb, 20_000, "kB of memory at the peak")
}

// memoryClient moves the bytes and prints its peak memory.
func memoryClient(url string) int {
	if err := moveBytes(url); err != nil {
		fmt.Println(err)
		return 1
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	fmt.Println("peak", strings.Fields(rest)[0])
	return 0
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
