package netreply_test

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// TestCacheAborts: an abort in a callback, whatever the signal and whatever the cache is doing, ends
// the reply as any other, and takes neither other requests nor what is stored along.
func TestCacheAborts(t *testing.T) {
	const body = "0123456789abcdef"
	answer := func(w http.ResponseWriter, r *http.Request, control string) {
		w.Header().Set("Cache-Control", control)
		w.Header().Set("ETag", `"a"`)
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "/", http.StatusMovedPermanently)
			return
		}
		if r.Header.Get("If-None-Match") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		from, _ := strconv.Atoi(strings.Trim(r.Header.Get("Range"), "bytes=-"))
		w.Header().Set("Content-Length", strconv.Itoa(len(body)-from))
		if from > 0 {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(body)-1, len(body)))
			w.WriteHeader(http.StatusPartialContent)
		}
		for i := from; i < len(body); i += 4 {
			io.WriteString(w, body[i:min(len(body), i+4)])
			w.(http.Flusher).Flush()
			time.Sleep(time.Millisecond)
		}
	}
	for _, c := range []struct {
		name, path, control string
		first               string // what comes before: "get", "break" for a broken body, "" for nothing
		shared              int    // how many requests for the same come at the same time
		fails               bool   // the server answers with 503 then
	}{
		{"miss", "/", "max-age=3600", "", 0, false},
		{"hit", "/", "max-age=3600", "get", 0, false},
		{"validated", "/", "max-age=0", "get", 0, false},
		{"stale", "/", "max-age=0, stale-while-revalidate=99", "get", 0, false},
		{"server error", "/", "max-age=0", "get", 0, true},
		{"completed", "/", "max-age=3600", "break", 0, false},
		{"redirect", "/moved", "max-age=3600", "get", 0, false},
		{"shared", "/", "max-age=3600", "", 3, false},
		{"shared redirect", "/moved", "max-age=3600", "", 3, false},
		{"shared and completed", "/", "max-age=3600", "break", 3, false},
		{"not shared", "/", "no-store", "", 3, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			aborted := true
			for at := int32(1); aborted; at++ { // at the first signal, at the second, until there are no more
				aborted = false
				for _, leads := range []bool{true, false} {
					synctest.Test(t, func(t *testing.T) {
						aborted = abortAt(t, at, leads, c.path, c.first, c.shared, func(w http.ResponseWriter, r *http.Request, n int32) {
							switch {
							case n == 1 && c.first == "break":
								w.Header().Set("Cache-Control", c.control)
								w.Header().Set("ETag", `"a"`)
								w.Header().Set("Content-Length", strconv.Itoa(len(body)))
								io.WriteString(w, body[:5])
								w.(http.Flusher).Flush()
								panic(http.ErrAbortHandler)
							case n > 1 && c.fails:
								w.WriteHeader(http.StatusServiceUnavailable)
								return
							}
							answer(w, r, c.control)
						}, body) || aborted
					})
				}
			}
		})
	}
}

// abortAt aborts a request at one of its signals, and reports whether there was such a signal.
func abortAt(t *testing.T, at int32, leads bool, path, first string, shared int, h func(http.ResponseWriter, *http.Request, int32), want string) bool {
	var requests, signals atomic.Int32
	s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) { h(w, r, requests.Add(1)) })
	if first != "" {
		_, err := m.Get(t.Context(), s.Request(path)).ReadAll()
		require.Equal(t, first == "get", err == nil, err)
		time.Sleep(time.Millisecond)
	}
	var others []*netreply.Reply
	more := func() {
		for range shared {
			others = append(others, m.Get(t.Context(), s.Request(path)))
		}
	}
	if !leads {
		more()
		synctest.Wait()
	}
	finished := 0
	q := s.Request(path)
	q.OnSignal = func(r *netreply.Reply, e netreply.Event) {
		if signals.Add(1) == at {
			r.Abort()
		}
		if _, ok := e.(netreply.Finished); ok {
			finished++
		}
	}
	r := m.Get(t.Context(), q)
	if leads {
		more()
	}
	err := r.Wait(t.Context())
	synctest.Wait() // the callback that aborts goes on with the signals of the end
	assert.Equal(t, 1, finished)
	list := strings.Fields(names(r))
	assert.Equal(t, "Finished", list[len(list)-1])
	if err != nil { // at its last signals a reply is over
		assert.ErrorIs(t, err, netreply.OperationCanceledError)
	}
	for _, r := range others {
		got, err := r.ReadAll()
		assert.NoError(t, err)
		assert.Equal(t, want, string(got))
	}
	_, got := fetched(t, m, s.Request(path))
	assert.Equal(t, want, got)
	return signals.Load() >= at
}
