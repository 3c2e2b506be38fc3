package netreply_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// TestMaxBodySize: bodies up to the limit pass; of larger ones the bytes up to the limit
// can be read, unless the Content-Length exceeds it.
func TestMaxBodySize(t *testing.T) {
	const size = 100_000
	data := bytes.Repeat([]byte("0123456789"), size/10)
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		body := data
		if c := q.Get("coding"); c != "" {
			w.Header().Set("Content-Encoding", c)
			body = encoded(t, data, c)
		}
		if !q.Has("chunked") {
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		}
		if q.Has("moved") {
			w.Header().Set("Location", "/?"+q.Get("moved"))
			w.WriteHeader(302)
		} else if q.Has("missing") {
			w.WriteHeader(404)
		}
		w.Write(body)
	}, netreply.Config{MaxBodySize: size}, func(t *testing.T, s *fixture) {
		for query, n := range map[string]int{"": 0, "chunked": size - 1, "coding=gzip": size - 1, "coding=br&chunked": size - 1, "missing&chunked": size - 1} {
			for _, buffer := range []int64{0, 1000} {
				req := s.request("/?" + query)
				req.ReadBufferSize = buffer
				body, err := s.m.Get(t.Context(), req).ReadAll()
				if strings.Contains(query, "missing") {
					require.ErrorIs(t, err, netreply.ContentNotFoundError)
				} else {
					require.NoError(t, err, "%s: the limit itself is allowed", query)
				}
				require.True(t, bytes.Equal(data, body), query)

				req.MaxBodySize = size - 1
				r := s.m.Get(t.Context(), req)
				var b bytes.Buffer
				if buffer > 0 {
					_, err = io.Copy(&b, r) // with a lent body
				} else {
					_, err = b.ReadFrom(struct{ io.Reader }{r})
				}
				require.ErrorIs(t, err, netreply.UnknownContentError, query)
				var limit *netreply.SizeLimitError
				require.ErrorAs(t, err, &limit, query)
				assert.Equal(t, "MaxBodySize", limit.Limit)
				assert.EqualValues(t, size-1, limit.Max)
				assert.Contains(t, r.ErrorString(), "MaxBodySize")
				assert.Equal(t, n, b.Len(), query)
				require.True(t, bytes.HasPrefix(data, b.Bytes()), query)
				if n == 0 {
					assert.EqualValues(t, size, limit.Size)
				} else {
					assert.EqualValues(t, -1, limit.Size)
				}
				var e *netreply.Error
				require.ErrorAs(t, err, &e)
				assert.Equal(t, netreply.PhaseBody, e.Phase)
				assert.EqualValues(t, n, e.Received)
			}
		}
		req := s.request("/")
		req.MaxBodySize = 10
		require.NoError(t, s.m.Head(t.Context(), req).Wait(deadline(t)), "no body, no limit")
		r := s.m.Fetch(t.Context(), "GET", s.request("/?chunked"), nil)
		require.NoError(t, r.Err())
		req.MaxBodySize = -1
		require.NoError(t, s.m.Get(t.Context(), req).Wait(deadline(t)))
	})
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			w.Header().Set("Location", "/there")
			w.WriteHeader(302)
		}
		w.Write(data[:1000])
		if r.URL.Path != "/" {
			w.(http.Flusher).Flush()
			w.Write(data)
		}
	}, netreply.Config{MaxBodySize: 1000}, func(t *testing.T, s *fixture) {
		body, err := s.m.Get(t.Context(), s.request("/")).ReadAll()
		require.ErrorIs(t, err, netreply.UnknownContentError)
		assert.Len(t, body, 1000)
	})
	var fe *netreply.FieldError
	_, err := netreply.NewManager(netreply.Config{MaxBodySize: -1})
	require.True(t, errors.As(err, &fe))
	assert.Equal(t, "Config.MaxBodySize", fe.Field)
}

// greedy are short bodies whose decoding needs much memory.
func greedy(t testing.TB) map[string][]byte {
	zeros := make([]byte, 16<<20)
	var br, z bytes.Buffer
	w := brotli.NewWriterOptions(&br, brotli.WriterOptions{Quality: 9, LGWin: 24})
	w.Write(zeros)
	require.NoError(t, w.Close())
	e, err := zstd.NewWriter(&z, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(8<<20))
	require.NoError(t, err)
	e.Write(zeros[:1<<20])
	require.NoError(t, e.Close())
	return map[string][]byte{"br": br.Bytes()[:min(br.Len(), 52)], "zstd": z.Bytes()}
}

// TestDecoderMemory: a thousand unread replies, of few bytes each and with any window, use
// less than 64 MiB together. Those without memory fail with the name of the setting.
func TestDecoderMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector takes memory")
	}
	const n = 1000
	bodies := greedy(t)
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		req, ok := c.Head()
		if !ok {
			return
		}
		coding := req.URL.Path[1:]
		c.Say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nContent-Length: 1000\r\n\r\n%s", coding, bodies[coding]))
		c.Head() // until the reply ends
	})
	m := newManager(t, netreply.Config{ConnectionsPerHost: n, ReadBufferSize: 4 << 10})
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var ms runtime.MemStats
		runtime.ReadMemStats(&ms)
		return int64(ms.HeapAlloc)
	}
	before := heap()
	var all []*netreply.Reply
	for i := range n {
		all = append(all, m.Get(t.Context(), newRequest(t, s.URL()+[]string{"/br", "/zstd"}[i%2])))
	}
	refused := 0
	for _, r := range all {
		select {
		case <-r.ReadyRead():
		case <-r.Finished():
		case <-deadline(t).Done():
			t.Fatal("neither decoded nor refused")
		}
		if err := r.Err(); err != nil {
			require.ErrorIs(t, err, netreply.UnknownContentError)
			var limit *netreply.SizeLimitError
			require.ErrorAs(t, err, &limit)
			assert.Equal(t, "MaxDecoderMemory", limit.Limit)
			refused++
		}
	}
	held := heap() - before
	t.Logf("%d refused, %d kB", refused, held>>10)
	assert.Less(t, held, int64(64<<20))
	assert.Less(t, refused, n)
	for _, r := range all {
		r.Close()
	}
}

// TestDecoderMemoryOfUsualBodies: a hundred concurrent ones are not refused by default, and
// large ones are decoded in turn.
func TestDecoderMemoryOfUsualBodies(t *testing.T) {
	const n = 100
	rng := rand.New(rand.NewPCG(1, 2))
	words := strings.Fields(`what pages are made of , more or less <p class="a"> and some numbers 1 2 3 4 5 6 7 8 9 0 </p>`)
	text := func(size int) []byte {
		var b bytes.Buffer
		for b.Len() < size {
			b.WriteString(words[rng.IntN(len(words))] + " ")
		}
		return b.Bytes()
	}
	page, large := text(100_000), text(1_500_000)
	bodies := map[string][]byte{}
	for _, c := range []string{"br", "zstd", "gzip", "deflate"} {
		bodies[c] = encoded(t, page, c)
	}
	bodies["br/large"], bodies["zstd/large"] = encoded(t, large, "br"), encoded(t, large, "zstd")
	for _, kind := range []testserver.Kind{testserver.Plain, testserver.H2} {
		s, cfg := testserver.NewOrigin(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, c := bodies[r.URL.Path[1:]], r.URL.Path[1:]
			c, _, _ = strings.Cut(c, "/")
			w.Header().Set("Content-Encoding", c)
			w.Write(body[:len(body)/2])
			w.(http.Flusher).Flush()
			w.Write(body[len(body)/2:])
		}))
		m := newManager(t, netreply.Config{ConnectionsPerHost: n, SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}})
		for path := range bodies {
			want, n := len(page), n
			if strings.HasSuffix(path, "large") {
				want, n = len(large), 50 // each waits for its turn for a limited time
				if raceEnabled {
					n = 25 // which makes decoding slow
				}
			}
			var wg sync.WaitGroup
			for range n {
				wg.Go(func() {
					body, err := m.Get(t.Context(), newRequest(t, s.URL+"/"+path)).ReadAll()
					assert.NoError(t, err, path)
					assert.Equal(t, want, len(body), path)
				})
			}
			wg.Wait()
		}
	}
}
