package netreply_test

import (
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/netreplytest"
)

// sharing sends n requests of which the later ones share the fetch of the first.
func sharing(t *testing.T, s *netreplytest.Server, m *netreply.Manager, n int, hold chan struct{}, change func(*netreply.Request)) (all []*netreply.Reply) {
	for range n {
		q := s.Request("/")
		if change != nil {
			change(q)
		}
		all = append(all, m.Get(t.Context(), q))
		synctest.Wait()
	}
	close(hold)
	return all
}

// TestSharedBodyBreaksOff: a body that breaks off is no failure of those who have only shared it: they
// fetch the rest with one request, but once. Behind bytes of a body without a strong validator
// they put no others.
func TestSharedBodyBreaksOff(t *testing.T) {
	body := numbered(100)
	for _, c := range []struct {
		name, etag string
		before     int // how much of the body comes first
		after      int // how much of the rest comes
		same       bool
		want       int // how much the others get
		requests   int32
		rangeOf    string // of the second request
		wire       []int64
		fails      error
	}{
		{name: "strong validator", etag: `"a"`, before: 4, after: 100, same: true, want: 100, requests: 2, rangeOf: "bytes=4-", wire: []int64{4, 96, 0}},
		{name: "nothing delivered", etag: "", before: 0, after: 100, same: true, want: 100, requests: 2, wire: []int64{0, 100, 0}},
		{name: "no validator", etag: "", before: 4, after: 100, same: true, want: 4, requests: 1, wire: []int64{4, 0, 0}, fails: netreply.RemoteHostClosedError},
		{name: "weak validator", etag: `W/"a"`, before: 4, after: 100, same: true, want: 4, requests: 1, wire: []int64{4, 0, 0}, fails: netreply.RemoteHostClosedError},
		{name: "changed", etag: `"a"`, before: 4, after: 100, want: 4, requests: 2, rangeOf: "bytes=4-", fails: netreply.RemoteHostClosedError},
		{name: "breaks off again", etag: `"a"`, before: 4, after: 10, same: true, want: 14, requests: 2, rangeOf: "bytes=4-", wire: []int64{4, 10, 0}, fails: netreply.RemoteHostClosedError},
		{name: "no head again", etag: `"a"`, before: 4, after: -1, same: true, want: 4, requests: 0, rangeOf: "bytes=4-", fails: netreply.RemoteHostClosedError},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hold := make(chan struct{})
				var requests atomic.Int32
				s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
					h := w.Header()
					h.Set("Cache-Control", "max-age=3600")
					etag := c.etag
					if requests.Add(1) == 1 {
						<-hold
					} else if c.after < 0 {
						panic(http.ErrAbortHandler)
					} else if !c.same {
						etag = `"b"`
					}
					if etag != "" {
						h.Set("ETag", etag)
					}
					from, end := 0, c.before
					if requests.Load() > 1 {
						assert.Equal(t, c.rangeOf, r.Header.Get("Range"))
						if end = len(body); c.rangeOf != "" && c.same {
							assert.Equal(t, etag, r.Header.Get("If-Range"))
							from, end = c.before, min(len(body), c.before+c.after)
							h.Set("Content-Range", "bytes "+strconv.Itoa(from)+"-99/100")
						}
					}
					h.Set("Content-Length", strconv.Itoa(len(body)-from))
					if from > 0 {
						w.WriteHeader(206)
					}
					w.WriteHeader(200)
					w.(http.Flusher).Flush()
					io.WriteString(w, body[from:end])
					w.(http.Flusher).Flush()
					synctest.Wait() // what was sent is read before it breaks off
					if end < len(body) {
						panic(http.ErrAbortHandler)
					}
				})
				all := sharing(t, s, m, 3, hold, nil)
				var wire []int64
				for i, r := range all {
					got, err := r.ReadAll()
					want := c.want
					if i == 0 {
						want = c.before
						require.ErrorIs(t, err, netreply.RemoteHostClosedError)
					} else if c.fails != nil {
						require.ErrorIs(t, err, c.fails)
					} else {
						require.NoError(t, err)
					}
					assert.Equal(t, body[:want], string(got), "reply %d", i)
					assert.Equal(t, i > 0, r.CacheStatus().Collapsed)
					wire = append(wire, r.WireBytes())
				}
				if c.requests > 0 {
					assert.Equal(t, c.requests, requests.Load())
				}
				if c.wire != nil {
					if wire[1] < wire[2] {
						wire[1], wire[2] = wire[2], wire[1]
					}
					assert.Equal(t, c.wire, wire)
				}
			})
		})
	}
}
