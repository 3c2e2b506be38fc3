package netreply_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
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
	"github.com/netreply/netreply/netreplytest"
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
	for _, r := range []struct {
		name  string
		cfg   netreply.Config
		fault netreplytest.Fault
		body  netreply.Body
		phase netreply.Phase
		after time.Duration
	}{
		{name: "connect", cfg: netreply.Config{ConnectTimeout: 2 * time.Second}, fault: netreplytest.HangConnecting(), phase: netreply.PhaseConnect, after: 2 * time.Second},
		{name: "connect by default", fault: netreplytest.HangConnecting(), phase: netreply.PhaseConnect, after: 30 * time.Second},
		{name: "tls", cfg: netreply.Config{TLSTimeout: 4 * time.Second}, fault: netreplytest.StallHandshake(), phase: netreply.PhaseTLS, after: 4 * time.Second},
		{name: "tls by default", fault: netreplytest.StallHandshake(), phase: netreply.PhaseTLS, after: 30 * time.Second},
		{name: "head", cfg: netreply.Config{HeadTimeout: 3 * time.Second}, fault: netreplytest.Stall(), phase: netreply.PhaseHeaders, after: 3 * time.Second},
		{name: "head after an upload", cfg: netreply.Config{HeadTimeout: 3 * time.Second}, fault: netreplytest.Stall(), phase: netreply.PhaseHeaders, after: 8 * time.Second,
			body: netreply.SourceBody(100_000, slowSource(5*time.Second))},
	} {
		for _, kind := range []netreplytest.Kind{netreplytest.HTTPS, netreplytest.HTTP2} {
			t.Run(fmt.Sprint(r.name, " ", kind), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := netreplytest.NewServer(t, kind)
					s.Fail(r.fault)
					s.Configure(&r.cfg)
					start := time.Now()
					err := newManager(t, r.cfg).Post(t.Context(), s.Request("/"), r.body).Wait(t.Context())
					require.ErrorIs(t, err, netreply.TimeoutError)
					var e *netreply.Error
					require.ErrorAs(t, err, &e)
					assert.Equal(t, r.phase, e.Phase)
					assert.Equal(t, r.after, time.Since(start))
				})
			})
		}
	}
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
	for _, kind := range netreplytest.Kinds {
		synctest.Test(t, func(t *testing.T) {
			s := netreplytest.NewServer(t, kind)
			const pause = 10 * time.Millisecond
			s.Handle("/", netreplytest.Answer{netreplytest.Status(200), netreplytest.After(pause), netreplytest.Slowly(strings.Repeat("x", 100), 1, pause)})
			var rec netreplytest.Recorder
			req := s.Request("/")
			req.OnSignal = rec.OnSignal
			require.NoError(t, s.Manager().Get(t.Context(), req).Wait(t.Context()))
			rec.Match(t, "... Finished")
			var progress []netreply.DownloadProgress
			for _, e := range rec.Events() {
				if p, ok := e.(netreply.DownloadProgress); ok {
					progress = append(progress, p)
				}
			}
			require.Len(t, progress, 11)
			for i, p := range progress[:10] {
				assert.Equal(t, time.Duration(i+1)*100*time.Millisecond, p.Elapsed())
				assert.Equal(t, netreply.Progress{Done: int64(i+1) * 10, Total: 100}, p.Progress)
			}
			assert.EqualValues(t, 100, progress[10].Done)
		})
	}
}

// TestKeepAlive: idle connections are kept for 120 s, or as the request says (rules N10 and
// N11).
func TestKeepAlive(t *testing.T) {
	for _, kind := range netreplytest.Kinds {
		synctest.Test(t, func(t *testing.T) {
			s := netreplytest.NewServer(t, kind)
			s.Handle("/", netreplytest.Answer{netreplytest.Status(204)})
			connects := func(req *netreply.Request) bool {
				r := s.Manager().Get(t.Context(), req)
				require.NoError(t, r.Wait(t.Context()))
				return len(r.SocketStartedConnecting()) > 0
			}
			require.True(t, connects(s.Request("/")))
			time.Sleep(110 * time.Second)
			require.False(t, connects(s.Request("/")))
			time.Sleep(130 * time.Second)
			require.True(t, connects(s.Request("/")))
			short := s.Request("/")
			short.ConnectionCacheExpiry = 10 * time.Second
			require.False(t, connects(short))
			time.Sleep(20 * time.Second)
			require.True(t, connects(s.Request("/")))
			none := s.Request("/")
			none.ConnectionCacheExpiry = -1
			require.False(t, connects(none))
			require.True(t, connects(s.Request("/")))
			assert.Equal(t, 4, s.Connections())
		})
	}
}

// TestCancelDoesNotWait: a cancelled request ends at once.
func TestCancelDoesNotWait(t *testing.T) {
	for _, kind := range netreplytest.Kinds {
		synctest.Test(t, func(t *testing.T) {
			s := netreplytest.NewServer(t, kind)
			s.Fail(netreplytest.Stall())
			ctx, cancel := context.WithCancel(t.Context())
			start := time.Now()
			r := s.Manager().Get(ctx, s.Request("/"))
			time.AfterFunc(time.Second, cancel)
			require.ErrorIs(t, r.Wait(context.Background()), netreply.OperationCanceledError)
			assert.Equal(t, time.Second, time.Since(start))
			require.False(t, errors.Is(r.Err(), netreply.TimeoutError))
		})
	}
}
