package netreply_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// dripping sends one piece of the body in each second, without end, and reads request
// bodies in the same way.
func dripping(piece string) func(net.Conn, *bufio.Reader) {
	return func(c net.Conn, r *bufio.Reader) {
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			for left := req.ContentLength; left > 0; left -= int64(len(piece)) {
				if _, err := io.CopyN(io.Discard, req.Body, min(left, int64(len(piece)))); err != nil && err != io.EOF {
					return
				}
				time.Sleep(time.Second)
			}
			time.Sleep(30 * time.Second) // the wait for a head is not measured
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", 60*len(piece))
			for range 60 {
				if _, err := io.WriteString(c, piece); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}
	}
}

// TestMinRate: a peer below the minimum rate fails after ten seconds; one just above it does
// not.
func TestMinRate(t *testing.T) {
	piece := strings.Repeat("x", 1000)
	for _, c := range []struct {
		config, request int64
		ok              bool
	}{{900, 0, true}, {1200, 0, false}, {0, 900, true}, {0, 1200, false}, {1200, -1, true}, {1200, 900, true}, {900, 1200, false}, {0, 0, true}} {
		bubble(t, netreply.Config{MinRate: c.config, TransferTimeout: time.Minute}, dripping(piece), func(t *testing.T, m *netreply.Manager) {
			req := get(t, "/")
			req.MinRate = c.request
			began := time.Now()
			r := m.Get(t.Context(), req)
			body, err := r.ReadAll()
			if c.ok {
				require.NoError(t, err, "%+v", c)
				assert.Len(t, body, 60*len(piece))
				return
			}
			require.ErrorIs(t, err, netreply.TimeoutError, "%+v", c)
			require.ErrorContains(t, err, "no average of 1200 bytes per second, its MinRate, within the window of 10s")
			assert.GreaterOrEqual(t, len(body), 10*len(piece), "what came can be read")
			assert.Equal(t, 40*time.Second, time.Since(began), "the wait for the head does not count")
		})
	}
}

// TestMinRateOfUpload: the same for an upload.
func TestMinRateOfUpload(t *testing.T) {
	piece := strings.Repeat("x", 2000)
	for rate, ok := range map[int64]bool{1000: true, 8000: false} {
		bubble(t, netreply.Config{MinRate: rate}, dripping(piece), func(t *testing.T, m *netreply.Manager) {
			r := m.Post(t.Context(), get(t, "/"), netreply.BytesBody(make([]byte, 100_000)))
			_, err := r.ReadAll()
			if ok {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, netreply.TimeoutError)
			}
		})
	}
}

// TestMinRateIgnoresSlowProgram: a slow reader or source of the program does not count.
func TestMinRateIgnoresSlowProgram(t *testing.T) {
	serve := func(c net.Conn, r *bufio.Reader) {
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			io.Copy(io.Discard, req.Body)
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n%s", strings.Repeat("x", 100_000))
		}
	}
	bubble(t, netreply.Config{MinRate: 1000, ReadBufferSize: 1000}, serve, func(t *testing.T, m *netreply.Manager) {
		r := m.Get(t.Context(), get(t, "/"))
		time.Sleep(time.Minute)
		n := 0
		for buf := make([]byte, 1000); ; time.Sleep(3 * time.Second) {
			k, err := r.Read(buf)
			n += k
			if err != nil {
				require.ErrorIs(t, err, io.EOF)
				break
			}
		}
		assert.Equal(t, 100_000, n)

		r = m.Get(t.Context(), get(t, "/"))
		k, err := io.Copy(slowWriter{}, r)
		require.NoError(t, err)
		assert.EqualValues(t, 100_000, k)
	})
	sent := 0
	bubble(t, netreply.Config{MinRate: 1000}, serve, func(t *testing.T, m *netreply.Manager) {
		req := get(t, "/")
		req.DoNotBufferUploadData = true
		source := readerFunc(func(p []byte) (int, error) {
			if sent++; sent > 20 {
				return 0, io.EOF
			}
			time.Sleep(5 * time.Second)
			return copy(p, "a line"), nil
		})
		require.NoError(t, m.Post(t.Context(), req, netreply.ReaderBody(source)).Wait(t.Context()))
	})
	_, err := netreply.NewManager(netreply.Config{MinRate: -1})
	var fe *netreply.FieldError
	require.ErrorAs(t, err, &fe)
	assert.Equal(t, "Config.MinRate", fe.Field)
}

type slowWriter struct{}

func (slowWriter) Write(p []byte) (int, error) {
	time.Sleep(20 * time.Second)
	return len(p), nil
}
