package netreply_test

import (
	"bytes"
	"compress/gzip"
	"context"
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
	"github.com/netreply/netreply/httpcache"
	"github.com/netreply/netreply/netreplytest"
)

// cachedServer is a server, and a Manager with a cache in memory.
func cachedServer(t *testing.T, h http.HandlerFunc, change ...func(*netreply.Config)) (*netreplytest.Server, *netreply.Manager) {
	s := netreplytest.NewServer(t, netreplytest.HTTP)
	s.Handle("/", h)
	c := s.Config()
	c.Cache = httpcache.New(httpcache.NewMemory(httpcache.Limits{}))
	for _, f := range change {
		f(&c)
	}
	return s, newManager(t, c)
}

// names are the kinds of a reply's signals.
func names(r *netreply.Reply) string {
	var list []string
	for e := range r.Events(context.Background()) {
		name := fmt.Sprintf("%T", e)
		list = append(list, name[strings.LastIndexByte(name, '.')+1:])
	}
	return strings.Join(list, " ")
}

func fetched(t *testing.T, m *netreply.Manager, q *netreply.Request) (*netreply.Reply, string) {
	r := m.Get(t.Context(), q)
	body, err := r.ReadAll()
	require.NoError(t, err)
	return r, string(body)
}

// fresh answers with a body that stays fresh.
func fresh(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=3600")
		io.WriteString(w, body)
	}
}

// TestCacheSignals: rules S38, S38b, S39, S40, D5 and D27.
func TestCacheSignals(t *testing.T) { synctest.Test(t, testCacheSignals) }

func testCacheSignals(t *testing.T) {
	status, cacheControl := 200, "max-age=3600"
	s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"a"`)
		w.Header().Set("Cache-Control", cacheControl)
		if status == 200 && r.Header.Get("If-None-Match") != "" {
			w.WriteHeader(304)
			return
		}
		w.WriteHeader(status)
		fmt.Fprint(w, "hello ", status)
	})
	q := s.Request("/")
	q.CacheLoadControl = netreply.AlwaysCache
	r := m.Get(t.Context(), q) // S40
	require.Error(t, r.Wait(t.Context()))
	assert.Equal(t, "ErrorOccurred DownloadProgress Finished", names(r))
	assert.Equal(t, "Error opening "+q.URL.String(), r.ErrorString())
	assert.ErrorIs(t, r.Err(), netreply.ContentNotFoundError)

	q = s.Request("/")
	r, _ = fetched(t, m, q)
	assert.Equal(t, "SocketStartedConnecting RequestSent MetaDataChanged ReadyRead DownloadProgress Finished", names(r))
	set, isSet := netreply.SourceIsFromCache.Of(r)
	assert.False(t, set || isSet)
	assert.Equal(t, "netreply; fwd=uri-miss; ttl=3600; stored", r.CacheStatus().String())

	check := func(want, status string, control netreply.CacheLoadControl) *netreply.Reply {
		t.Helper()
		q := s.Request("/")
		q.CacheLoadControl = control
		r, body := fetched(t, m, q)
		assert.Equal(t, "hello 200", body)
		assert.Equal(t, want, names(r))
		assert.Equal(t, status, r.CacheStatus().String())
		from, _ := netreply.SourceIsFromCache.Of(r)
		assert.True(t, from)
		assert.Equal(t, 200, r.StatusCode())
		assert.Zero(t, r.WireBytes())
		var last netreply.Progress
		for e := range r.Events(context.Background()) {
			if p, ok := e.(netreply.DownloadProgress); ok {
				last = p.Progress
			}
		}
		assert.Equal(t, netreply.Progress{Done: 9, Total: 9}, last)
		return r
	}
	r = check("MetaDataChanged ReadyRead DownloadProgress Finished", "netreply; hit; ttl=3600", 0) // S38
	assert.Nil(t, r.RemoteAddr())
	check("MetaDataChanged DownloadProgress Finished", "netreply; hit; ttl=3600", netreply.AlwaysCache) // S38b

	q = s.Request("/")
	q.Headers.Add("Cache-Control", "no-cache")
	cacheControl = "max-age=0"
	r, _ = fetched(t, m, q)
	assert.Equal(t, "RequestSent MetaDataChanged ReadyRead DownloadProgress Finished", names(r)) // S39
	assert.Equal(t, "netreply; fwd=request; fwd-status=304; ttl=0", r.CacheStatus().String())
	status = 503
	check("RequestSent MetaDataChanged ReadyRead DownloadProgress Finished", "netreply; fwd=stale; fwd-status=503; ttl=0; detail=stale-if-error", 0) // D27
}

// TestAlwaysCacheWithoutCache is rule M5.
func TestAlwaysCacheWithoutCache(t *testing.T) {
	m := newManager(t, netreply.Config{})
	q := newRequest(t, "http://127.0.0.1:1/")
	q.CacheLoadControl = netreply.AlwaysCache
	assert.ErrorIs(t, m.Get(t.Context(), q).Wait(t.Context()), netreply.ContentNotFoundError)
	assert.Nil(t, m.Cache())
}

// TestCachedRedirect: each hop comes from the store (rule R25), and the attributes are those of
// the hop (D12).
func TestCachedRedirect(t *testing.T) {
	var requests atomic.Int32
	s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		w.Header().Set("Cache-Control", "max-age=3600")
		if r.URL.Path == "/" {
			w.Header().Set("Connection", "close")
			http.Redirect(w, r, "/to", http.StatusMovedPermanently)
			return
		}
		if r.URL.Path == "/to" {
			w.Header().Set("Location", "/end")
			w.Header().Set("Cache-Control", "no-store")
			w.WriteHeader(302)
			return
		}
		io.WriteString(w, "there")
	})
	_, body := fetched(t, m, s.Request("/"))
	assert.Equal(t, "there", body)
	assert.EqualValues(t, 3, requests.Load())
	r, body := fetched(t, m, s.Request("/"))
	assert.Equal(t, "there", body)
	assert.EqualValues(t, 4, requests.Load())
	assert.Equal(t, "MetaDataChanged Redirected SocketStartedConnecting RequestSent MetaDataChanged Redirected MetaDataChanged ReadyRead DownloadProgress Finished",
		strings.ReplaceAll(names(r), "Redirected RequestSent", "Redirected SocketStartedConnecting RequestSent"))
	assert.True(t, r.CacheStatus().Hit)
}

// TestCachedCookies: cookies of a stored response are not set again, those of a 304 are.
func TestCachedCookies(t *testing.T) {
	n := 0
	s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
		n++
		w.Header().Set("Set-Cookie", "n="+strconv.Itoa(n))
		w.Header().Set("Cache-Control", "max-age=3600")
		w.Header().Set("ETag", `"a"`)
		if r.Header.Get("If-None-Match") != "" {
			w.WriteHeader(304)
		}
	})
	jar := func() string {
		return m.CookieJar().Cookies(s.Request("/").URL)[0].Value
	}
	fetched(t, m, s.Request("/"))
	require.Equal(t, "1", jar())
	m.CookieJar().SetCookies(s.Request("/").URL, []*http.Cookie{{Name: "n", Value: "own"}})
	r, _ := fetched(t, m, s.Request("/"))
	assert.Equal(t, "n=1", r.RawHeader("Set-Cookie"))
	assert.Equal(t, "own", jar())
	q := s.Request("/")
	q.Headers.Add("Cache-Control", "no-cache")
	fetched(t, m, q)
	assert.Equal(t, "2", jar())
}

// TestCachedCoding: a body is stored as it was sent, and decoded for each reader (D26).
func TestCachedCoding(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	io.WriteString(z, strings.Repeat("hello", 1000))
	z.Close()
	s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=3600")
		w.Header().Set("Content-Encoding", "gzip")
		if r.URL.Path == "/chunked" {
			w.(http.Flusher).Flush()
		}
		w.Write(packed.Bytes())
	})
	for _, path := range []string{"/", "/chunked"} {
		for i := range 2 {
			r, body := fetched(t, m, s.Request(path))
			assert.Equal(t, strings.Repeat("hello", 1000), body)
			assert.Equal(t, i == 1, r.CacheStatus().Hit, path)
			assert.False(t, r.HasRawHeader("Content-Length"))
		}
	}
	all := 0
	for meta := range m.Cache().All(t.Context()) {
		all++
		assert.EqualValues(t, packed.Len(), meta.Length)
	}
	assert.Equal(t, 2, all)
}

// TestCacheManaged: what a program can do with the cache, and partitions.
func TestCacheManaged(t *testing.T) {
	s, m := cachedServer(t, fresh("body"))
	c, ctx := m.Cache(), t.Context()
	q := s.Request("/x#fragment")
	fetched(t, m, q)
	q.CachePartition = "user 1"
	r, _ := fetched(t, m, q)
	assert.False(t, r.CacheStatus().Hit)
	r, _ = fetched(t, m, q)
	assert.True(t, r.CacheStatus().Hit)
	list, err := c.Metadata(ctx, q.URL)
	require.NoError(t, err)
	require.Len(t, list, 1)
	meta := list[0]
	assert.Equal(t, s.Request("/x").URL.String(), meta.URL.String())
	assert.Equal(t, "max-age=3600", meta.Headers.Get("Cache-Control"))
	assert.Equal(t, 200, meta.StatusCode)
	assert.EqualValues(t, 4, meta.Length)
	assert.True(t, meta.Complete)
	assert.WithinDuration(t, time.Now().Add(time.Hour), meta.Expires, time.Minute)
	size, err := c.Size(ctx)
	require.NoError(t, err)
	assert.Positive(t, size)
	require.NoError(t, c.Remove(ctx, q.URL))
	list, err = c.Metadata(ctx, q.URL)
	assert.Empty(t, list)
	assert.NoError(t, err)
	r, _ = fetched(t, m, q)
	assert.True(t, r.CacheStatus().Hit, "of the partition")
	require.NoError(t, c.RemovePartition(ctx, "user 1"))
	r, _ = fetched(t, m, q)
	assert.False(t, r.CacheStatus().Hit)
	require.Error(t, c.RemovePartition(ctx, ""), "Clear is for everything")
	require.NoError(t, c.Clear(ctx))
	size, err = c.Size(ctx)
	assert.Zero(t, size)
	assert.NoError(t, err)
}

// TestCacheViewer: what is stored can be listed, read, and removed, whatever it is for.
func TestCacheViewer(t *testing.T) {
	s, m := cachedServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Last-Modified", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
		w.Header().Set("ETag", `"1"`)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader("body"))
	}))
	c, ctx := m.Cache(), t.Context()
	for _, partition := range []string{"", "12:x", "user 1"} {
		q := s.Request("/x")
		q.CachePartition = partition
		if partition == "12:x" {
			q.Headers.Set("Range", "bytes=1-2")
		}
		fetched(t, m, q)
	}
	all := map[string]httpcache.Metadata{}
	for meta := range c.All(ctx) {
		all[meta.Partition] = meta
	}
	require.Len(t, all, 3)
	for partition, want := range map[string]string{"": "body", "12:x": "od", "user 1": "body"} {
		meta := all[partition]
		assert.EqualValues(t, 4, meta.Length)
		assert.EqualValues(t, len(want), meta.Stored)
		assert.Equal(t, len(want) == 4, meta.Complete)
		assert.Equal(t, 200, meta.StatusCode)
		assert.Zero(t, meta.Expires)
		assert.WithinDuration(t, meta.Received.Add(6*time.Minute), meta.FreshUntil, 5*time.Second, "a tenth of an hour")
		b, err := meta.Open(ctx)
		require.NoError(t, err)
		text, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
		assert.NoError(t, err)
		assert.Equal(t, want, string(text))
		assert.NoError(t, b.Close())
	}
	require.NoError(t, c.RemoveLike(ctx, all["user 1"]))
	left := 0
	for meta := range c.All(ctx) {
		left++
		assert.NotEqual(t, "user 1", meta.Partition)
	}
	assert.Equal(t, 2, left)
	_, err := httpcache.Metadata{}.Open(ctx)
	assert.Error(t, err)
	assert.Error(t, c.RemoveLike(ctx, httpcache.Metadata{}))
}

// TestCacheSaveControl: LoadManual stores nothing, and uses what is stored.
func TestCacheSaveControl(t *testing.T) {
	s, m := cachedServer(t, fresh("body"))
	q := s.Request("/")
	q.CacheSaveControl = netreply.LoadManual
	fetched(t, m, q)
	r, _ := fetched(t, m, s.Request("/"))
	assert.False(t, r.CacheStatus().Hit)
	r, _ = fetched(t, m, q)
	assert.True(t, r.CacheStatus().Hit)
}

// TestCachedTrailers: trailers are stored with the body.
func TestCachedTrailers(t *testing.T) {
	s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Sum")
		w.Header().Set("Cache-Control", "max-age=3600")
		io.WriteString(w, "body")
		w.Header().Set("Sum", "4")
	})
	for range 2 {
		r, body := fetched(t, m, s.Request("/"))
		assert.Equal(t, "body", body)
		trailers := r.Trailers()
		assert.Equal(t, "4", trailers.Get("Sum"))
	}
	assert.Len(t, s.Requests(), 1)
}

// TestCachedBodyObeysReader: a stored body waits for the reader, and can be aborted.
func TestCachedBodyObeysReader(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 1<<16)
	s, m := cachedServer(t, fresh(large))
	fetched(t, m, s.Request("/"))
	q := s.Request("/")
	q.ReadBufferSize = 1000
	r := m.Get(t.Context(), q)
	buf := make([]byte, 10)
	_, err := io.ReadFull(r, buf)
	require.NoError(t, err)
	assert.LessOrEqual(t, r.BytesAvailable(), int64(1000))
	assert.True(t, r.IsRunning())
	r.Abort()
	assert.ErrorIs(t, r.Err(), netreply.OperationCanceledError)
	_, err = r.Read(buf)
	assert.ErrorIs(t, err, netreply.OperationCanceledError)
	r = m.Get(t.Context(), q)
	var all bytes.Buffer
	_, err = r.WriteTo(&all)
	require.NoError(t, err)
	assert.Equal(t, large, all.String())
	q.CacheLoadControl = netreply.AlwaysCache
	r = m.Get(t.Context(), q)
	<-r.ReadyRead() // even under AlwaysCache, when the buffer is full
	body, err := r.ReadAll()
	require.NoError(t, err)
	assert.Equal(t, large, string(body))
}

// held is a handler that answers with a head, and then with what is sent to it.
type held struct {
	head   func(http.Header)
	pieces chan string
	began  atomic.Int32
}

func (h *held) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.began.Add(1)
	h.head(w.Header())
	w.WriteHeader(200)
	for {
		w.(http.Flusher).Flush()
		select {
		case piece, more := <-h.pieces:
			if !more {
				return
			}
			io.WriteString(w, piece)
		case <-r.Context().Done():
			return
		}
	}
}

func maxAge(h http.Header) { h.Set("Cache-Control", "max-age=3600") }

// TestSharedFetch: requests for the same that come meanwhile share one fetch, also when the
// one that began it is aborted, before the head or after it.
func TestSharedFetch(t *testing.T) {
	for _, abort := range []string{"none", "before the head", "in the body", "in the body, reading"} {
		t.Run(abort, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &held{head: maxAge, pieces: make(chan string)}
				begin := make(chan struct{}, 10)
				s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
					select {
					case <-begin:
						h.ServeHTTP(w, r)
					case <-r.Context().Done():
					}
				})
				leader := m.Get(t.Context(), s.Request("/"))
				synctest.Wait()
				var others []*netreply.Reply
				for range 5 {
					others = append(others, m.Get(t.Context(), s.Request("/")))
				}
				synctest.Wait()
				if abort == "before the head" {
					leader.Abort()
					synctest.Wait()
				}
				begin <- struct{}{}
				synctest.Wait()
				h.pieces <- "one "
				synctest.Wait()
				if abort == "in the body" {
					leader.Abort()
				}
				h.pieces <- "two "
				synctest.Wait()
				others = append(others, m.Get(t.Context(), s.Request("/")))
				if abort == "in the body, reading" {
					leader.Abort()
				}
				h.pieces <- "three"
				synctest.Wait()
				close(h.pieces)
				collapsed := 0
				for _, r := range others {
					body, err := r.ReadAll()
					require.NoError(t, err)
					assert.Equal(t, "one two three", string(body))
					if r.CacheStatus().Collapsed {
						collapsed++
					}
				}
				want := 6
				if abort == "before the head" {
					want = 5
				}
				assert.Equal(t, want, collapsed)
				if abort == "none" {
					body, err := leader.ReadAll()
					require.NoError(t, err)
					assert.Equal(t, "one two three", string(body))
				} else {
					assert.ErrorIs(t, leader.Err(), netreply.OperationCanceledError)
				}
				assert.EqualValues(t, 1, h.began.Load())
				r, body := fetched(t, m, s.Request("/"))
				assert.Equal(t, "one two three", body)
				assert.True(t, r.CacheStatus().Hit)
			})
		})
	}
}

// TestSharedFetchSlowReader: a reader that does not read stops nobody.
func TestSharedFetchSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := make(chan struct{})
		large := strings.Repeat("0123456789abcdef", 1<<14)
		s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
			<-begin
			fresh(large)(w, r)
		})
		q := s.Request("/")
		q.ReadBufferSize = 100
		slow := m.Get(t.Context(), q)
		synctest.Wait()
		quick := m.Get(t.Context(), s.Request("/"))
		synctest.Wait()
		close(begin)
		body, err := quick.ReadAll()
		require.NoError(t, err)
		assert.Equal(t, large, string(body))
		assert.EqualValues(t, 100, slow.BytesAvailable())
		body, err = slow.ReadAll()
		require.NoError(t, err)
		assert.Equal(t, large, string(body))
		assert.Len(t, s.Requests(), 1)
	})
}

// TestNotShared: what cannot be shared is fetched by each, and is not waited for the next time.
func TestNotShared(t *testing.T) {
	for name, head := range map[string]func(http.Header){
		"no-store": func(h http.Header) { h.Set("Cache-Control", "no-store") },
		"no-cache": func(h http.Header) { h.Set("Cache-Control", "no-cache"); h.Set("ETag", `"a"`) },
		"vary":     func(h http.Header) { maxAge(h); h.Set("Vary", "N") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &held{head: head, pieces: make(chan string)}
				s, m := cachedServer(t, h.ServeHTTP, func(c *netreply.Config) { c.ConnectionsPerHost = 10 })
				get := func(n int) *netreply.Reply {
					q := s.Request("/")
					q.Headers.Add("N", strconv.Itoa(n))
					return m.Get(t.Context(), q)
				}
				var all []*netreply.Reply
				for i := range 3 {
					all = append(all, get(i))
				}
				synctest.Wait()
				assert.EqualValues(t, 3, h.began.Load())
				for i := range 3 {
					all = append(all, get(10+i))
				}
				synctest.Wait()
				assert.EqualValues(t, 6, h.began.Load())
				close(h.pieces)
				for _, r := range all {
					_, err := r.ReadAll()
					assert.NoError(t, err)
					assert.False(t, r.CacheStatus().Collapsed)
				}
			})
		})
	}
}

// TestAbortedFill: the rest of a small body is received when nobody wants it any more; what is
// not is not taken for the whole.
func TestAbortedFill(t *testing.T) {
	for _, row := range []struct {
		name, length string
		hit          bool
	}{{"small", "13", true}, {"large", "1000000", false}, {"unknown", "", false}} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &held{pieces: make(chan string), head: func(h http.Header) {
					maxAge(h)
					if row.length != "" {
						h.Set("Content-Length", row.length)
					}
				}}
				s, m := cachedServer(t, h.ServeHTTP)
				r := m.Get(t.Context(), s.Request("/"))
				h.pieces <- "one "
				synctest.Wait()
				r.Abort()
				if row.hit {
					h.pieces <- "two three"
				}
				synctest.Wait()
				if !row.hit {
					for range m.Cache().All(t.Context()) {
						t.Error("a part is stored")
					}
					return
				}
				r, body := fetched(t, m, s.Request("/"))
				assert.Equal(t, "one two three", body)
				assert.True(t, r.CacheStatus().Hit)
			})
		})
	}
}

// TestInvalidatedFill: what was requested before a POST is not stored behind it.
func TestInvalidatedFill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &held{head: maxAge, pieces: make(chan string)}
		s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "GET" {
				h.ServeHTTP(w, r)
			}
		})
		r := m.Get(t.Context(), s.Request("/"))
		h.pieces <- "old"
		_, err := m.Post(t.Context(), s.Request("/"), nil).ReadAll()
		require.NoError(t, err)
		close(h.pieces)
		body, err := r.ReadAll()
		require.NoError(t, err)
		assert.Equal(t, "old", string(body))
		r, _ = fetched(t, m, s.Request("/"))
		assert.False(t, r.CacheStatus().Hit)
	})
}

// TestRefreshBehind: what may be used stale is, and is validated meanwhile, once.
func TestRefreshBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		hold := make(chan struct{}, 1)
		s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
			n++
			w.Header().Set("Cache-Control", "max-age=10, stale-while-revalidate=20")
			w.Header().Set("ETag", strconv.Itoa((n+1)/2))
			w.Header().Set("X", r.Header.Get("If-None-Match")+r.Header.Get("N"))
			hold <- struct{}{}
			defer func() { <-hold }()
			if r.Header.Get("If-None-Match") == w.Header().Get("ETag") {
				w.WriteHeader(304)
				return
			}
			fmt.Fprint(w, "body ", n)
		})
		q := s.Request("/")
		q.Headers.Add("N", "x")
		check := func(want string, hit bool, x string) {
			t.Helper()
			r, body := fetched(t, m, q)
			assert.Equal(t, want, body)
			assert.Equal(t, hit, r.CacheStatus().Hit)
			assert.Equal(t, x, r.RawHeader("X"))
			synctest.Wait()
		}
		check("body 1", false, "x")
		time.Sleep(15 * time.Second)
		hold <- struct{}{}
		check("body 1", true, "x") // stale, and refreshed by a 304
		check("body 1", true, "x")
		<-hold
		synctest.Wait()
		assert.Equal(t, 2, n)
		check("body 1", true, "1x")
		time.Sleep(15 * time.Second)
		check("body 1", true, "1x") // stale, and replaced
		check("body 3", true, "1x")
		time.Sleep(31 * time.Second)
		check("body 3", false, "2x") // too old
		assert.Equal(t, 4, n)
		time.Sleep(time.Hour)
		q.CacheLoadControl = netreply.PreferCache
		check("body 3", true, "2x")
		check("body 5", true, "2x")
		hold <- struct{}{}
		time.Sleep(15 * time.Second)
		check("body 5", true, "2x")
		m.Close() // which ends what goes on
		<-hold
	})
}

// TestCacheClosed: Close ends what goes on behind aborted replies.
func TestCacheClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &held{head: func(h http.Header) { maxAge(h); h.Set("Content-Length", "10") }, pieces: make(chan string)}
		s, m := cachedServer(t, h.ServeHTTP)
		m.Get(t.Context(), s.Request("/"))
		h.pieces <- "x"
		synctest.Wait()
		began := time.Now()
		m.Close()
		assert.Less(t, time.Since(began), time.Second)
	})
}
