package netreply_test

import (
	"context"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// TestRecycledMemoryKeepsNothingAlive: the Manager's memory for the next request refers to nothing of
// those that have ended.
func TestRecycledMemoryKeepsNothingAlive(t *testing.T) {
	if !netreply.OwnHTTP1 {
		t.Skip("a connection of net/http may keep its last request")
	}
	type holder struct{ _ [64]byte }
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("X-Id", "id")
		io.WriteString(w, "body")
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		const each = 5
		freed := make(chan string, 100)
		request := func() {
			value, captured, line := new(holder), new(holder), make([]byte, 64)
			copy(line, strings.Repeat("x", 64))
			said := unsafe.String(&line[0], len(line)) // Authorization
			runtime.AddCleanup(value, func(string) { freed <- "context" }, "")
			runtime.AddCleanup(captured, func(string) { freed <- "OnSignal" }, "")
			if s.kind != testserver.H2 && s.kind != testserver.H2C { // where it stays in the HPACK table of the connection
				runtime.AddCleanup(&line[0], func(string) { freed <- "field" }, "")
			}
			type key struct{}
			ctx, cancel := context.WithCancel(context.WithValue(context.Background(), key{}, value))
			defer cancel()
			req := s.request("/")
			req.Headers.Set("Authorization", said)
			req.OnSignal = func(*netreply.Reply, netreply.Event) { runtime.KeepAlive(captured) }
			r := s.m.Fetch(ctx, "GET", req, nil)
			runtime.AddCleanup(r, func(string) { freed <- "Reply" }, "")
			all, err := r.ReadAll()
			require.NoError(t, err)
			assert.Equal(t, "body", string(all))
		}
		for range each {
			request()
		}
		for range 3 { // net/http may still be about to forget the last stream
			r := s.m.Fetch(context.Background(), "GET", s.request("/"), nil)
			_, err := r.ReadAll()
			require.NoError(t, err)
		}
		want := map[string]int{"context": each, "OnSignal": each, "field": each, "Reply": each}
		if s.kind == testserver.H2 || s.kind == testserver.H2C {
			delete(want, "field")
		}
		runtime.GC() // once: the second one would free the memory that waits
		left, late := map[string]int{}, deadline(t)
		for range len(want) * each {
			select {
			case what := <-freed:
				left[what]++
			case <-late.Done():
			}
		}
		assert.Equal(t, want, left)
	})
}
