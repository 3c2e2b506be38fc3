package netreply_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// fixed answers every request with the same bytes, without an allocation that a
// count would see.
func fixed(t testing.TB, answer string) *testserver.Raw {
	return testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		buf, say := make([]byte, 4096), []byte(answer)
		for n := 0; ; {
			k, err := c.Read(buf[n:])
			if err != nil {
				return
			}
			n += k
			for {
				i := bytes.Index(buf[:n], []byte("\r\n\r\n"))
				if i < 0 {
					break
				}
				n = copy(buf, buf[i+4:n])
				c.Write(say)
			}
		}
	})
}

var small = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 1024\r\nDate: Sat, 21 Nov 2026 08:00:00 GMT\r\n\r\n" + string(make([]byte, 1024))

// leastAllocs is how many allocations f makes: the least of several measurements, since a busy
// machine can add some, by a garbage collection for instance.
func leastAllocs(f func()) float64 {
	least := testing.AllocsPerRun(200, f)
	for range 4 {
		least = min(least, testing.AllocsPerRun(200, f))
	}
	return least
}

// TestAllocations: allocations of a small GET on a kept connection, by Get and by Fetch.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	s := fixed(t, small)
	m := newManager(t, netreply.Config{})
	req := newRequest(t, s.URL())
	for name, get := range map[string]func() *netreply.Reply{
		"Get":   func() *netreply.Reply { return m.Get(context.Background(), req) },
		"Fetch": func() *netreply.Reply { return m.Fetch(context.Background(), "GET", req, nil) },
	} {
		most := map[string]float64{"Get": 44, "Fetch": 43}[name] // with net/http's connection
		if netreply.OwnHTTP1 {
			most = map[string]float64{"Get": 5, "Fetch": 4}[name]
		}
		n := leastAllocs(func() {
			if body, err := get().ReadAll(); err != nil || len(body) != 1024 {
				t.Error(len(body), err)
			}
		})
		t.Logf("%s: %.0f allocations", name, n)
		assert.LessOrEqual(t, n, most, name)
	}
}

// TestGoroutines: a waiting request has four goroutines on HTTP/1 and two on HTTP/2, and
// none afterwards.
func TestGoroutines(t *testing.T) {
	const n = 50
	hold := make(chan struct{})
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) { // one goroutine for each connection
		c.Head()
		<-hold
		c.Say("HTTP/1.1 204 X\r\n\r\n")
	})
	m := newManager(t, netreply.Config{ConnectionsPerHost: n})
	before := runtime.NumGoroutine()
	var all []*netreply.Reply
	for range n {
		all = append(all, m.Get(t.Context(), newRequest(t, s.URL())))
	}
	for _, r := range all {
		<-r.RequestSent()
	}
	require.Eventually(t, func() bool { return s.Connections() == n }, 10*time.Second, time.Millisecond)
	assert.LessOrEqual(t, (runtime.NumGoroutine()-before)/n, 4+1)
	close(hold)
	for _, r := range all {
		require.NoError(t, r.Wait(deadline(t)))
	}
	m.Close()
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before && time.Now().Before(end); {
		runtime.Gosched() // Eventually runs a goroutine, too
	}
	assert.LessOrEqual(t, runtime.NumGoroutine(), before)
}

func benchmarkSmall(b *testing.B, get func(*netreply.Manager, *netreply.Request) *netreply.Reply) {
	s := fixed(b, small)
	m := newManager(b, netreply.Config{})
	req := newRequest(b, s.URL())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := get(m, req).ReadAll(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	benchmarkSmall(b, func(m *netreply.Manager, req *netreply.Request) *netreply.Reply {
		return m.Get(context.Background(), req)
	})
}

func BenchmarkFetch(b *testing.B) {
	benchmarkSmall(b, func(m *netreply.Manager, req *netreply.Request) *netreply.Reply {
		return m.Fetch(context.Background(), "GET", req, nil)
	})
}

// BenchmarkDownload with and without an observer of the progress.
func BenchmarkDownload(b *testing.B) {
	const size = 64 << 20
	for _, watched := range []bool{false, true} {
		b.Run(fmt.Sprint("watched=", watched), func(b *testing.B) {
			s, _ := testserver.NewOrigin(b, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", fmt.Sprint(size))
				io.CopyN(w, zeros{}, size)
			}))
			m := newManager(b, netreply.Config{ReadBufferSize: 1 << 20})
			req := newRequest(b, s.URL)
			b.SetBytes(size)
			for b.Loop() {
				r := m.Get(context.Background(), req)
				if watched {
					go func() {
						for range r.DownloadProgress() {
						}
					}()
				}
				if n, err := io.Copy(io.Discard, struct {
					io.WriterTo
					io.Reader
				}{r, r}); n != size || err != nil {
					b.Fatal(n, err)
				}
			}
		})
	}
}
