package httpserver_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpserver"
)

// pairs are answers, by a bare handler and by a Responder.
func pairs(t testing.TB) map[string][2]http.Handler {
	file := filepath.Join(t.TempDir(), "file")
	small, large := bytes.Repeat([]byte("x"), 1<<10), bytes.Repeat([]byte("x"), 1<<20)
	stream := bytes.Repeat([]byte("x"), 1<<20)
	require.NoError(t, os.WriteFile(file, large, 0o600))
	value := map[string]any{"name": "value", "list": []int{1, 2, 3}, "ok": true}
	pair := func(bare http.HandlerFunc, f answer) [2]http.Handler {
		return [2]http.Handler{bare, httpserver.HandlerFunc(f)}
	}
	data := func(body []byte) [2]http.Handler {
		return pair(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			if len(body) > 2048 {
				w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			}
			w.Write(body)
		}, func(r *http.Request, s *httpserver.Responder) { s.WriteData(body, "text/plain") })
	}
	return map[string][2]http.Handler{
		"status": pair(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/x-empty")
			w.WriteHeader(http.StatusAccepted)
		}, func(r *http.Request, s *httpserver.Responder) { s.WriteStatus(httpserver.Accepted) }),
		"json": pair(func(w http.ResponseWriter, r *http.Request) {
			body, err := json.Marshal(value)
			if err != nil {
				http.Error(w, err.Error(), 500)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			w.Write(body)
		}, func(r *http.Request, s *httpserver.Responder) { s.WriteJSON(value) }),
		"1KiB": data(small),
		"1MiB": data(large),
		"file": pair(func(w http.ResponseWriter, r *http.Request) {
			f, err := os.Open(file)
			if err != nil {
				http.Error(w, err.Error(), 500)
				return
			}
			defer f.Close()
			st, err := f.Stat()
			if err != nil {
				http.Error(w, err.Error(), 500)
				return
			}
			w.Header().Set("Content-Type", "text/plain")
			w.Header().Set("Content-Length", strconv.FormatInt(st.Size(), 10))
			io.Copy(w, f)
		}, func(r *http.Request, s *httpserver.Responder) {
			f, err := os.Open(file)
			if err != nil {
				s.WriteStatus(httpserver.NotFound)
				return
			}
			s.WriteReader(f, "text/plain")
		}),
		"sequential": pair(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			io.Copy(w, sequential{bytes.NewReader(stream)})
		}, func(r *http.Request, s *httpserver.Responder) {
			s.WriteReader(sequential{bytes.NewReader(stream)}, "text/plain")
		}),
		"chunked": pair(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			rc := http.NewResponseController(w)
			w.WriteHeader(200)
			rc.Flush()
			for range 8 {
				w.Write(small)
				rc.Flush()
			}
		}, func(r *http.Request, s *httpserver.Responder) {
			s.WriteBeginChunked("text/plain")
			for range 8 {
				s.WriteChunk(small)
			}
			s.WriteEndChunked(nil)
		}),
	}
}

// client asks over one connection and reads the answers without allocating.
type client struct {
	c   net.Conn
	in  *bufio.Reader
	buf []byte
}

func dial(t testing.TB, addr string) *client {
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return &client{c, bufio.NewReaderSize(c, 64<<10), make([]byte, 64<<10)}
}

var question = []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")

func (c *client) ask() error {
	if _, err := c.c.Write(question); err != nil {
		return err
	}
	length := 0
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if n, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			for _, d := range bytes.TrimSpace(n) {
				length = length*10 + int(d-'0')
			}
		}
		if bytes.HasPrefix(line, []byte("Transfer-Encoding")) {
			length = -1
		}
		if len(line) == 2 {
			break
		}
	}
	if length < 0 {
		for {
			line, err := c.in.ReadSlice('\n')
			if err != nil {
				return err
			}
			if len(line) == 3 && line[0] == '0' {
				_, err = c.in.Discard(2)
				return err
			}
			n, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 32)
			if err != nil {
				return err
			}
			if _, err := c.in.Discard(int(n) + 2); err != nil {
				return err
			}
		}
	}
	for length > 0 {
		n, err := c.in.Read(c.buf[:min(length, len(c.buf))])
		if err != nil {
			return err
		}
		length -= n
	}
	return nil
}

// BenchmarkResponder compares in turns: the ratio is of one run.
func BenchmarkResponder(b *testing.B) {
	for name, pair := range pairs(b) {
		for i, who := range []string{"bare", "responder"} {
			b.Run(name+"/"+who, func(b *testing.B) {
				c := dial(b, serve(b, pair[i]))
				b.ReportAllocs()
				for b.Loop() {
					if err := c.ask(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkPaired runs both in turns, a few requests each time, and gives the median
// of the ratios of their rates: above 1 the Responder is faster.
func BenchmarkPaired(b *testing.B) {
	const batch = 50
	for name, pair := range pairs(b) {
		b.Run(name, func(b *testing.B) {
			var c [2]*client
			for i := range pair {
				c[i] = dial(b, serve(b, pair[i]))
			}
			var ratios []float64
			for b.Loop() {
				var took [2]time.Duration
				for i := range 2 {
					i = (i + len(ratios)) % 2 // the order counts, too
					began := time.Now()
					for range batch {
						if err := c[i].ask(); err != nil {
							b.Fatal(err)
						}
					}
					took[i] = time.Since(began)
				}
				ratios = append(ratios, took[0].Seconds()/took[1].Seconds())
			}
			slices.Sort(ratios)
			b.ReportMetric(ratios[len(ratios)/2], "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// TestAllocations: at most two more than a bare handler that sends the same.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for name, pair := range pairs(t) {
		var clients [2]*client
		for i := range pair {
			clients[i] = dial(t, serve(t, pair[i]))
		}
		n := [2]float64{math.Inf(1), math.Inf(1)}
		for try := 0; try < 10 && n[1] > n[0]+2 || try == 0; try++ { // a garbage collection empties pools, which counts
			for i, c := range clients {
				n[i] = min(n[i], testing.AllocsPerRun(200, func() {
					if err := c.ask(); err != nil {
						t.Fatal(err)
					}
				}))
			}
		}
		t.Logf("%s: %.0f bare, %.0f", name, n[0], n[1])
		assert.LessOrEqual(t, n[1], n[0]+2, name)
	}
}
