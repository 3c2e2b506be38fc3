package netreply_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// bubble runs a test in fake time, with a server that calls serve for each connection in
// memory.
func bubble(t *testing.T, c netreply.Config, serve func(net.Conn, *bufio.Reader), f func(*testing.T, *netreply.Manager)) {
	synctest.Test(t, func(t *testing.T) {
		ln := testserver.NewMemory()
		var servers sync.WaitGroup
		defer servers.Wait() // fake time stops when the test returns
		defer ln.Close()
		servers.Go(func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				servers.Go(func() {
					defer conn.Close()
					serve(conn, bufio.NewReader(conn))
				})
			}
		})
		c.DialContext = ln.DialContext
		m, err := netreply.NewManager(c)
		require.NoError(t, err)
		defer m.Close()
		f(t, m)
	})
}

func get(t *testing.T, path string) *netreply.Request { return newRequest(t, "http://server"+path) }

// TestTransferTimeout: rules N30 to N34.
func TestTransferTimeout(t *testing.T) {
	serve := func(c net.Conn, r *bufio.Reader) {
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			say := func(d time.Duration, text string) {
				time.Sleep(d)
				io.WriteString(c, text)
			}
			switch req.URL.Path {
			case "/silent":
				io.Copy(io.Discard, r)
			case "/slow head":
				for _, b := range "HTTP/1.1 200 OK\r\n" {
					say(800*time.Millisecond, string(b))
				}
				say(0, "Content-Length: 2\r\n\r\nok")
			case "/interim":
				for range 5 {
					say(800*time.Millisecond, "HTTP/1.1 102 Wait\r\n\r\n")
				}
				say(800*time.Millisecond, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			case "/slow body":
				say(0, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
				for range 5 {
					say(800*time.Millisecond, "x")
				}
			case "/stalled body":
				say(0, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nxx")
				io.Copy(io.Discard, r)
			case "/hop":
				say(800*time.Millisecond, "HTTP/1.1 302 X\r\nLocation: /hop2\r\nContent-Length: 0\r\n\r\n")
			case "/hop2":
				say(800*time.Millisecond, "HTTP/1.1 302 X\r\nLocation: /silent\r\nContent-Length: 0\r\n\r\n")
			}
		}
	}
	for path, want := range map[string]time.Duration{
		"/silent": time.Second, "/slow head": 0, "/interim": 0, "/slow body": 0, "/stalled body": time.Second, "/hop": 2600 * time.Millisecond,
	} {
		t.Run(path, func(t *testing.T) {
			bubble(t, netreply.Config{TransferTimeout: time.Second}, serve, func(t *testing.T, m *netreply.Manager) {
				start := time.Now()
				r := m.Get(t.Context(), get(t, strings.ReplaceAll(path, " ", "%20")))
				err := r.Wait(context.Background())
				if want == 0 {
					require.NoError(t, err)
					return
				}
				require.ErrorIs(t, err, netreply.TimeoutError, "D2")
				assert.ErrorIs(t, err, context.DeadlineExceeded)
				assert.Equal(t, want, time.Since(start), "exactly")
				assert.Equal(t, "Operation timed out", r.ErrorString())
			})
		})
	}
	t.Run("the request's", func(t *testing.T) {
		bubble(t, netreply.Config{TransferTimeout: time.Second}, serve, func(t *testing.T, m *netreply.Manager) {
			req := get(t, "/silent")
			req.TransferTimeout = time.Minute
			start := time.Now()
			require.ErrorIs(t, m.Get(t.Context(), req).Wait(t.Context()), netreply.TimeoutError)
			assert.Equal(t, time.Minute, time.Since(start))
		})
	})
	t.Run("paused for a decision", func(t *testing.T) {
		bubble(t, netreply.Config{TransferTimeout: time.Second, RedirectPolicy: netreply.UserVerifiedRedirectPolicy}, serve, func(t *testing.T, m *netreply.Manager) {
			r := m.Get(t.Context(), get(t, "/hop"))
			d := <-r.Redirected()
			time.Sleep(time.Hour)
			require.True(t, d.Allow())
			d = <-r.Redirected()
			require.True(t, d.Allow())
			require.ErrorIs(t, r.Wait(t.Context()), netreply.TimeoutError)
		})
	})
}

// TestPhaseTimeouts: the error of each limit has its phase.
func TestPhaseTimeouts(t *testing.T) {
	silent := func(c net.Conn, r *bufio.Reader) { io.Copy(io.Discard, r) }
	for _, r := range []struct {
		name  string
		cfg   netreply.Config
		url   string
		body  netreply.Body
		phase netreply.Phase
		after time.Duration
	}{
		{name: "head", cfg: netreply.Config{HeadTimeout: 3 * time.Second}, url: "http://server/", phase: netreply.PhaseHeaders, after: 3 * time.Second},
		{name: "head after an upload", cfg: netreply.Config{HeadTimeout: 3 * time.Second}, url: "http://server/", phase: netreply.PhaseHeaders, after: 8 * time.Second,
			body: netreply.SourceBody(100_000, slowSource(5*time.Second))},
		{name: "tls", cfg: netreply.Config{TLSTimeout: 4 * time.Second}, url: "https://server/", phase: netreply.PhaseTLS, after: 4 * time.Second},
		{name: "tls by default", url: "https://server/", phase: netreply.PhaseTLS, after: 30 * time.Second},
	} {
		t.Run(r.name, func(t *testing.T) {
			bubble(t, r.cfg, silent, func(t *testing.T, m *netreply.Manager) {
				start := time.Now()
				err := m.Post(t.Context(), newRequest(t, r.url), r.body).Wait(t.Context())
				require.ErrorIs(t, err, netreply.TimeoutError)
				var e *netreply.Error
				require.ErrorAs(t, err, &e)
				assert.Equal(t, r.phase, e.Phase)
				assert.Equal(t, r.after, time.Since(start))
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		m, err := netreply.NewManager(netreply.Config{ConnectTimeout: 2 * time.Second, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		require.NoError(t, err)
		defer m.Close()
		start := time.Now()
		err = m.Get(t.Context(), get(t, "/")).Wait(t.Context())
		require.ErrorIs(t, err, netreply.TimeoutError)
		var e *netreply.Error
		require.ErrorAs(t, err, &e)
		assert.Equal(t, netreply.PhaseConnect, e.Phase)
		assert.Equal(t, 2*time.Second, time.Since(start))
	})
}

// slowSource returns half of 100 kB, waits, and returns the rest.
func slowSource(wait time.Duration) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		waited := false
		pause := readerFunc(func([]byte) (int, error) {
			if !waited {
				waited = true
				time.Sleep(wait)
			}
			return 0, io.EOF
		})
		half := strings.Repeat("x", 50_000)
		return io.NopCloser(io.MultiReader(strings.NewReader(half), pause, strings.NewReader(half))), nil
	}
}

// TestProgressInterval: at most every 100 ms, and always the last (rules P1 to
// P3).
func TestProgressInterval(t *testing.T) {
	serve := func(c net.Conn, r *bufio.Reader) {
		http.ReadRequest(r)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
		for range 100 {
			time.Sleep(10 * time.Millisecond)
			io.WriteString(c, "x")
		}
	}
	bubble(t, netreply.Config{}, serve, func(t *testing.T, m *netreply.Manager) {
		var at []time.Duration
		var done []int64
		start := time.Now()
		req := get(t, "/")
		req.OnSignal = func(_ *netreply.Reply, e netreply.Event) {
			if p, ok := e.(netreply.DownloadProgress); ok {
				at = append(at, time.Since(start))
				done = append(done, p.Done)
				assert.EqualValues(t, 100, p.Total)
			}
		}
		require.NoError(t, m.Get(t.Context(), req).Wait(t.Context()))
		assert.Len(t, at, 11)
		for i := range at[:10] {
			assert.Equal(t, time.Duration(i+1)*100*time.Millisecond, at[i])
			assert.EqualValues(t, (i+1)*10, done[i])
		}
		assert.EqualValues(t, 100, done[10])
	})
}

// TestKeepAlive: idle connections are kept for 120 s, or as the request says (rules N10 and
// N11).
func TestKeepAlive(t *testing.T) {
	serve := func(c net.Conn, r *bufio.Reader) {
		for {
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			io.WriteString(c, "HTTP/1.1 204 X\r\n\r\n")
		}
	}
	bubble(t, netreply.Config{}, serve, func(t *testing.T, m *netreply.Manager) {
		connects := func(req *netreply.Request) bool {
			r := m.Get(t.Context(), req)
			require.NoError(t, r.Wait(t.Context()))
			return len(r.SocketStartedConnecting()) > 0
		}
		require.True(t, connects(get(t, "/")))
		time.Sleep(110 * time.Second)
		require.False(t, connects(get(t, "/")))
		time.Sleep(130 * time.Second)
		require.True(t, connects(get(t, "/")))
		short := get(t, "/")
		short.ConnectionCacheExpiry = 10 * time.Second
		require.False(t, connects(short))
		time.Sleep(20 * time.Second)
		require.True(t, connects(get(t, "/")))
		none := get(t, "/")
		none.ConnectionCacheExpiry = -1
		require.False(t, connects(none))
		require.True(t, connects(get(t, "/")))
	})
}

// TestCancelDoesNotWait: a cancelled request ends at once.
func TestCancelDoesNotWait(t *testing.T) {
	bubble(t, netreply.Config{}, func(c net.Conn, r *bufio.Reader) { io.Copy(io.Discard, r) }, func(t *testing.T, m *netreply.Manager) {
		ctx, cancel := context.WithCancel(t.Context())
		start := time.Now()
		r := m.Get(ctx, get(t, "/"))
		time.AfterFunc(time.Second, cancel)
		require.ErrorIs(t, r.Wait(context.Background()), netreply.OperationCanceledError)
		assert.Equal(t, time.Second, time.Since(start))
		require.False(t, errors.Is(r.Err(), netreply.TimeoutError))
	})
}
