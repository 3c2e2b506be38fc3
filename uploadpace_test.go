package netreply_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// TestSlowUpload: each byte that a slow peer accepts restarts the transfer timeout (rule
// N32), for bodies of known and unknown length, and every kind of source.
func TestSlowUpload(t *testing.T) {
	const rate, size = 655_000, 1 << 20 // bytes per second
	serve := func(c net.Conn, r *bufio.Reader) {
		slow := bufio.NewReaderSize(slowly{r, rate}, 1<<10)
		for {
			req, err := http.ReadRequest(slow)
			if err != nil {
				return
			}
			n, _ := io.Copy(io.Discard, req.Body)
			if n == size {
				io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
			}
		}
	}
	data := make([]byte, size)
	for name, body := range map[string]func() netreply.Body{
		"memory":     func() netreply.Body { return netreply.BytesBody(data) },
		"seekable":   func() netreply.Body { return netreply.ReaderBody(bytes.NewReader(data)) },
		"sequential": func() netreply.Body { return netreply.ReaderBody(io.LimitReader(zeros{}, size)) },
		"source": func() netreply.Body {
			return netreply.SourceBody(size, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
		},
	} {
		// longer than any piece takes at this rate
		bubble(t, netreply.Config{TransferTimeout: 60 * time.Millisecond}, serve, func(t *testing.T, m *netreply.Manager) {
			req := get(t, "/")
			req.DoNotBufferUploadData = true
			r := m.Put(t.Context(), req, body())
			require.NoError(t, r.Wait(t.Context()), name)
			assert.Equal(t, 204, r.StatusCode())
		})
	}
	// a peer that accepts no more bytes
	bubble(t, netreply.Config{TransferTimeout: 60 * time.Millisecond}, func(c net.Conn, r *bufio.Reader) {
		io.CopyN(io.Discard, r, 300_000)
		time.Sleep(time.Second)
	}, func(t *testing.T, m *netreply.Manager) {
		require.ErrorIs(t, m.Put(t.Context(), get(t, "/"), netreply.BytesBody(data)).Wait(t.Context()), netreply.TimeoutError)
	})
}

// slowly reads at a rate of bytes per second.
type slowly struct {
	r    io.Reader
	rate int
}

func (s slowly) Read(p []byte) (int, error) {
	n, err := s.r.Read(p[:min(len(p), 1<<10)])
	time.Sleep(time.Duration(n) * time.Second / time.Duration(s.rate))
	return n, err
}

// TestUploadInSocketBuffer: bytes in the system's socket buffer do not count as accepted by
// the peer.
func TestUploadInSocketBuffer(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux is asked what its sockets hold")
	}
	const size, steps = 200_000, 16
	for _, stall := range []bool{false, true} {
		limit := 2 * time.Second
		if stall {
			limit /= 10
		}
		over := make(chan struct{})
		s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			c.Conn.(*net.TCPConn).SetReadBuffer(16 << 10)
			req, ok := c.Head()
			if !ok || stall {
				<-over
				return
			}
			for range steps { // longer than the limit in total
				io.CopyN(io.Discard, req.Body, size/steps)
				time.Sleep(limit / (steps - 3))
			}
			io.Copy(io.Discard, req.Body)
			c.Say("HTTP/1.1 204 No Content\r\n\r\n")
		})
		m := newManager(t, netreply.Config{TransferTimeout: limit})
		err := m.Put(t.Context(), newRequest(t, s.URL()), netreply.BytesBody(make([]byte, size))).Wait(deadline(t))
		close(over)
		if stall {
			require.ErrorIs(t, err, netreply.TimeoutError)
		} else {
			require.NoError(t, err)
		}
	}
}
