package netreply_test

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/httpcache"
)

// TestWireBytesOfCompletedBody: what was stored of a body that is completed by a Range request was
// not received from the network (rule M40).
func TestWireBytesOfCompletedBody(t *testing.T) {
	body := numbered(400_000)
	for _, breaks := range []bool{false, true} {
		s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
			if breaks && r.Header.Get("Range") == "bytes=350000-" {
				h := w.Header()
				h.Set("Cache-Control", "max-age=3600")
				h.Set("ETag", `"a"`)
				h.Set("Content-Range", "bytes 350000-399999/400000")
				h.Set("Content-Length", "50000")
				w.WriteHeader(206)
				io.WriteString(w, body[350_000:360_000])
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}
			rangedBody{body: body, etag: `"a"`, ranges: true}.ServeHTTP(w, r)
		})
		part := s.Request("/")
		part.Headers.Add("Range", "bytes=0-349999")
		r, _ := fetched(t, m, part)
		assert.EqualValues(t, 350_000, r.WireBytes())

		r = m.Get(t.Context(), s.Request("/"))
		got, err := r.ReadAll()
		assert.Equal(t, 206, r.CacheStatus().ForwardStatus)
		if breaks {
			require.ErrorIs(t, err, netreply.RemoteHostClosedError)
			assert.EqualValues(t, 10_000, failure(t, r).Received)
			assert.EqualValues(t, 10_000, r.WireBytes())
			assert.True(t, body[:360_000] == string(got))
			continue
		}
		require.NoError(t, err)
		assert.True(t, body == string(got))
		assert.EqualValues(t, 50_000, r.WireBytes())
		r, _ = fetched(t, m, s.Request("/"))
		assert.EqualValues(t, 0, r.WireBytes())
	}
}

// TestWireBytesOfRest: what is fetched in place of what the store has lost counts (rule M41).
func TestWireBytesOfRest(t *testing.T) {
	body := numbered(300_000)
	for etag, want := range map[string]int64{`"a"`: 200_000, "": 300_000} {
		for _, load := range []netreply.CacheLoadControl{netreply.PreferNetwork, netreply.AlwaysCache} {
			store := &faultyStore{Store: httpcache.NewMemory(httpcache.Limits{}), fails: "ReadAt", limit: 100_000}
			s, m := cachedServer(t, rangedBody{body: body, etag: etag, ranges: etag != ""}.ServeHTTP,
				func(c *netreply.Config) { c.Cache = httpcache.New(store) })
			fetched(t, m, s.Request("/"))
			q := s.Request("/")
			q.CacheLoadControl = load
			r := m.Get(t.Context(), q)
			got, err := r.ReadAll()
			assert.True(t, r.CacheStatus().Hit)
			if load == netreply.AlwaysCache {
				require.ErrorIs(t, err, netreply.UnknownContentError)
				assert.Zero(t, r.WireBytes())
				assert.Zero(t, failure(t, r).Received)
				continue
			}
			require.NoError(t, err)
			assert.True(t, body == string(got))
			assert.Equal(t, want, r.WireBytes())
		}
	}
}

// TestWireBytesOfCollapsed: a reply that shares the response of another request receives nothing.
func TestWireBytesOfCollapsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
			<-hold
			fresh("body")(w, r)
		})
		leader, other := m.Get(t.Context(), s.Request("/")), (*netreply.Reply)(nil)
		synctest.Wait()
		other = m.Get(t.Context(), s.Request("/"))
		synctest.Wait()
		close(hold)
		for r, want := range map[*netreply.Reply]int64{leader: 4, other: 0} {
			body, err := r.ReadAll()
			require.NoError(t, err)
			assert.Equal(t, "body", string(body))
			assert.Equal(t, want, r.WireBytes())
		}
		assert.True(t, other.CacheStatus().Collapsed)
	})
}

func failure(t *testing.T, r *netreply.Reply) (e *netreply.Error) {
	require.ErrorAs(t, r.Err(), &e)
	return e
}
