package netreply_test

import (
	"context"
	"errors"
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
)

// faultyStore fails where it is told to.
type faultyStore struct {
	httpcache.Store
	fails  string // Lookup, Create, Write, Commit, Remove, Open or ReadAt; refuse: Create returns nil
	limit  int    // from which byte on
	failed atomic.Int32
	open   atomic.Int32 // bodies

	committing func() // before each Commit; nil for nothing
}

var errStore = errors.New("the store is broken")

func (s *faultyStore) fail(at string) error {
	if s.fails == at {
		s.failed.Add(1)
		return errStore
	}
	return nil
}

func (s *faultyStore) Lookup(ctx context.Context, key string) ([]httpcache.Entry, error) {
	if err := s.fail("Lookup"); err != nil {
		return nil, err
	}
	found, err := s.Store.Lookup(ctx, key)
	list := make([]httpcache.Entry, 0, len(found))
	for _, e := range found {
		list = append(list, &faultyEntry{e, s})
	}
	return list, err
}

func (s *faultyStore) Create(ctx context.Context, key string, v httpcache.Variant) (httpcache.Writer, error) {
	if s.fail("refuse") != nil {
		return nil, nil
	}
	if err := s.fail("Create"); err != nil {
		return nil, err
	}
	w, err := s.Store.Create(ctx, key, v)
	return &faultyWriter{w, s, 0}, err
}

func (s *faultyStore) Remove(ctx context.Context, key string) error {
	if err := s.fail("Remove"); err != nil {
		return err
	}
	return s.Store.Remove(ctx, key)
}

func (s *faultyStore) RemovePrefix(ctx context.Context, prefix string) error {
	if err := s.fail("Remove"); err != nil {
		return err
	}
	return s.Store.RemovePrefix(ctx, prefix)
}

type faultyEntry struct {
	httpcache.Entry
	s *faultyStore
}

func (e *faultyEntry) Open(ctx context.Context) (httpcache.Body, error) {
	if err := e.s.fail("Open"); err != nil {
		return nil, err
	}
	b, err := e.Entry.Open(ctx)
	if err == nil {
		e.s.open.Add(1)
	}
	return &faultyBody{b, e.s}, err
}

type faultyBody struct {
	httpcache.Body
	s *faultyStore
}

func (b *faultyBody) Close() error {
	b.s.open.Add(-1)
	return b.Body.Close()
}

func (b *faultyBody) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > int64(b.s.limit) {
		if err := b.s.fail("ReadAt"); err != nil {
			n, _ := b.Body.ReadAt(p[:max(0, int64(b.s.limit)-off)], off)
			return n, err
		}
	}
	return b.Body.ReadAt(p, off)
}

type faultyWriter struct {
	httpcache.Writer
	s *faultyStore
	n int
}

func (w *faultyWriter) Write(p []byte) (int, error) {
	if w.n += len(p); w.n > w.s.limit {
		if err := w.s.fail("Write"); err != nil {
			return 0, err
		}
	}
	return w.Writer.Write(p)
}

func (w *faultyWriter) Commit(meta []byte) error {
	if f := w.s.committing; f != nil {
		f()
	}
	if err := w.s.fail("Commit"); err != nil {
		return err
	}
	return w.Writer.Commit(meta)
}

// TestFaultyStore: a store that fails is as none, as long as no byte of what it has was
// delivered.
func TestFaultyStore(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 1<<14)
	for _, fails := range []string{"Lookup", "Create", "refuse", "Write", "Commit", "Open"} {
		t.Run(fails, func(t *testing.T) {
			store := &faultyStore{Store: httpcache.NewMemory(httpcache.Limits{}), fails: fails, limit: 100_000}
			s, m := cachedServer(t, fresh(large), func(c *netreply.Config) { c.Cache = httpcache.New(store) })
			for range 3 {
				r, body := fetched(t, m, s.Request("/"))
				assert.Equal(t, large, body)
				assert.False(t, r.CacheStatus().Hit)
			}
			assert.Len(t, s.Requests(), 3)
			assert.Positive(t, store.failed.Load())
		})
	}
}

// TestStoreFailsWhileShared: a store that fails in the middle of a body that several requests share
// fails none of them, and nothing is stored.
func TestStoreFailsWhileShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &faultyStore{Store: httpcache.NewMemory(httpcache.Limits{}), fails: "Write", limit: 5}
		h := &held{head: maxAge, pieces: make(chan string)}
		begin := make(chan struct{})
		s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
			<-begin
			h.ServeHTTP(w, r)
		}, func(c *netreply.Config) { c.Cache = httpcache.New(store) })
		var all []*netreply.Reply
		for range 3 {
			all = append(all, m.Get(t.Context(), s.Request("/")))
			synctest.Wait()
		}
		close(begin)
		for _, piece := range []string{"one ", "two ", "three"} {
			h.pieces <- piece
			synctest.Wait()
		}
		close(h.pieces)
		for _, r := range all {
			body, err := r.ReadAll()
			assert.NoError(t, err)
			assert.Equal(t, "one two three", string(body))
		}
		for range m.Cache().All(t.Context()) {
			t.Error("something is stored")
		}
	})
}

// TestStoreFailsWhileOneReadsSlowly: then those who read get on together, however slow one is; who
// does not read at all is left behind, and fetches the rest itself.
func TestStoreFailsWhileOneReadsSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &faultyStore{Store: httpcache.NewMemory(httpcache.Limits{}), fails: "Write", limit: 100_000}
		large := strings.Repeat("0123456789abcdef", 1<<17)
		begin := make(chan struct{})
		s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
			<-begin
			fresh(large)(w, r)
		}, func(c *netreply.Config) { c.Cache = httpcache.New(store) })
		get := func(buffer int64) *netreply.Reply {
			q := s.Request("/")
			q.ReadBufferSize = buffer
			q.TransferTimeout = time.Second
			r := m.Get(t.Context(), q)
			synctest.Wait()
			return r
		}
		stuck, slow, quick := get(1000), get(100_000), get(0)
		close(begin)
		var read int
		buf := make([]byte, 50_000)
		for {
			n, err := io.ReadFull(slow, buf)
			assert.Equal(t, large[read:read+n], string(buf[:n]))
			read += n
			if err != nil {
				assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		assert.Equal(t, len(large), read)
		require.NoError(t, slow.Err())
		body, err := quick.ReadAll()
		require.NoError(t, err)
		assert.Equal(t, large, string(body))
		assert.Len(t, s.Requests(), 1)
		body, err = stuck.ReadAll()
		require.NoError(t, err)
		assert.Equal(t, large, string(body))
		assert.Len(t, s.Requests(), 2)
	})
}

// TestManyVariants: a server cannot make a look-up slow by Vary.
func TestManyVariants(t *testing.T) {
	s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "N")
		fresh("body")(w, r)
	})
	for i := range 100 {
		q := s.Request("/")
		q.Headers.Add("N", strconv.Itoa(i))
		fetched(t, m, q)
		r, _ := fetched(t, m, q)
		assert.True(t, r.CacheStatus().Hit)
	}
	list, err := m.Cache().Metadata(t.Context(), s.Request("/").URL)
	require.NoError(t, err)
	assert.Less(t, len(list), 65)
}

// TestStoredReason: a reason phrase of the server's own is stored.
func TestStoredReason(t *testing.T) {
	s := fixed(t, "HTTP/1.1 200 Fine\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\n\r\nhi")
	m := newManager(t, netreply.Config{Cache: httpcache.New(httpcache.NewMemory(httpcache.Limits{}))})
	for range 2 {
		r, body := fetched(t, m, newRequest(t, s.URL()))
		assert.Equal(t, "hi", body)
		reason, _ := netreply.HTTPReasonPhrase.Of(r)
		assert.Equal(t, "Fine", reason)
	}
}

// reservingStore lets one at a time fetch, of those who use it.
type reservingStore struct {
	httpcache.Store
	taken    chan struct{}
	released atomic.Int32
}

func (s *reservingStore) Reserve(ctx context.Context, key string) (release func(), waited bool) {
	release = func() {
		<-s.taken
		s.released.Add(1)
	}
	select {
	case s.taken <- struct{}{}:
		return release, false
	default:
	}
	select {
	case s.taken <- struct{}{}:
		return release, true
	case <-ctx.Done():
		return func() {}, true
	}
}

// TestReservedFetch: of several processes with one store one fetches, and the others find what it
// has stored. What is not stored, or aborted, the next one fetches.
func TestReservedFetch(t *testing.T) {
	for _, row := range []struct {
		name, control string
		abort         bool
		requests      int
	}{{"stored", "max-age=60", false, 1}, {"no-store", "no-store", false, 3}, {"aborted", "max-age=60", true, 2}} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &reservingStore{Store: httpcache.NewMemory(httpcache.Limits{}), taken: make(chan struct{}, 1)}
				begin := make(chan struct{})
				s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
					select {
					case <-begin:
					case <-r.Context().Done():
						return
					}
					w.Header().Set("Cache-Control", row.control)
					io.WriteString(w, "body")
				}, func(c *netreply.Config) { c.Cache = httpcache.New(store) })
				c := s.Config()
				c.Cache = httpcache.New(store)
				others := []*netreply.Manager{newManager(t, c), newManager(t, c)}
				first := m.Get(t.Context(), s.Request("/"))
				synctest.Wait()
				var all []*netreply.Reply
				for _, m := range others {
					all = append(all, m.Get(t.Context(), s.Request("/")))
				}
				synctest.Wait()
				assert.Len(t, s.Requests(), 1)
				if row.abort {
					first.Abort()
					synctest.Wait()
				} else {
					all = append(all, first)
				}
				close(begin)
				for _, r := range all {
					body, err := r.ReadAll()
					require.NoError(t, err)
					assert.Equal(t, "body", string(body))
				}
				synctest.Wait()
				assert.Len(t, s.Requests(), row.requests)
				assert.EqualValues(t, 3, store.released.Load())
				assert.Empty(t, store.taken)
			})
		})
	}
}

// TestSharedFetchLimits: each request has its own time limit, before the head and in the body.
func TestSharedFetchLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &held{head: maxAge, pieces: make(chan string)}
		begin := make(chan struct{})
		s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
			<-begin
			h.ServeHTTP(w, r)
		})
		get := func(limit time.Duration) *netreply.Reply {
			q := s.Request("/")
			q.TransferTimeout = limit
			r := m.Get(t.Context(), q)
			synctest.Wait()
			return r
		}
		leader, patient, impatient := get(10*time.Second), get(-1), get(time.Second)
		time.Sleep(2 * time.Second)
		assert.ErrorIs(t, impatient.Err(), netreply.TimeoutError)
		begin <- struct{}{}
		h.pieces <- "one "
		synctest.Wait()
		late := get(time.Second)
		time.Sleep(11 * time.Second)
		assert.ErrorIs(t, leader.Err(), netreply.TimeoutError)
		assert.ErrorIs(t, late.Err(), netreply.TimeoutError)
		got, err := leader.ReadAll()
		assert.Error(t, err)
		assert.Equal(t, "one ", string(got))
		h.pieces <- "two"
		close(h.pieces)
		body, err := patient.ReadAll()
		require.NoError(t, err)
		assert.Equal(t, "one two", string(body))
		assert.EqualValues(t, 1, h.began.Load())
	})
}

// TestCacheControlsAreChecked: values that are no constants are errors.
func TestCacheControlsAreChecked(t *testing.T) {
	m := newManager(t, netreply.Config{})
	for name, change := range map[string]func(*netreply.Request){
		"CacheLoadControl": func(q *netreply.Request) { q.CacheLoadControl = 5 },
		"CacheSaveControl": func(q *netreply.Request) { q.CacheSaveControl = -1 },
	} {
		q := newRequest(t, "http://127.0.0.1:1/")
		change(q)
		err := m.Get(t.Context(), q).Wait(t.Context())
		assert.ErrorIs(t, err, netreply.ProtocolInvalidOperationError)
		assert.ErrorContains(t, err, name)
	}
}

// replacedStore replaces an entry when its body is opened for the first time.
type replacedStore struct {
	httpcache.Store
	replace func()
}

func (s *replacedStore) Lookup(ctx context.Context, key string) ([]httpcache.Entry, error) {
	found, err := s.Store.Lookup(ctx, key)
	if s.replace == nil || len(found) == 0 {
		return found, err
	}
	return []httpcache.Entry{&replacedEntry{found[0], s}}, err
}

type replacedEntry struct {
	httpcache.Entry
	s *replacedStore
}

func (e *replacedEntry) Open(context.Context) (httpcache.Body, error) {
	replace := e.s.replace
	e.s.replace = nil
	replace()
	return nil, errStore
}

// TestReplacedMeanwhile: an entry that is replaced between look-up and opening is looked up again,
// and what has taken its place stays.
func TestReplacedMeanwhile(t *testing.T) {
	store := &replacedStore{Store: httpcache.NewMemory(httpcache.Limits{})}
	n := 0
	s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
		n++
		fresh("body "+strconv.Itoa(n))(w, r)
	}, func(c *netreply.Config) { c.Cache = httpcache.New(store) })
	fetched(t, m, s.Request("/"))
	store.replace = func() {
		q := s.Request("/")
		q.CacheLoadControl = netreply.AlwaysNetwork
		_, body := fetched(t, m, q)
		assert.Equal(t, "body 2", body)
	}
	for range 2 {
		r, body := fetched(t, m, s.Request("/"))
		assert.Equal(t, "body 2", body)
		assert.True(t, r.CacheStatus().Hit)
	}
	assert.Equal(t, 2, n)
}

// TestUpgradeIsNotCached: a request to switch protocols waits for no other, and is not answered
// from the cache.
func TestUpgradeIsNotCached(t *testing.T) {
	s, m := cachedServer(t, fresh("body"))
	fetched(t, m, s.Request("/"))
	q := s.Request("/")
	q.Headers.Add("Connection", "Upgrade")
	q.Headers.Add("Upgrade", "x")
	r, _ := fetched(t, m, q)
	assert.Equal(t, httpcache.Status{}, r.CacheStatus())
	assert.Len(t, s.Requests(), 2)
}

// TestPartIsNotStored: a stored body that a part was to be put behind is closed if the store does
// not take the part.
func TestPartIsNotStored(t *testing.T) {
	store := &faultyStore{Store: httpcache.NewMemory(httpcache.Limits{})}
	s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"a"`)
		w.Header().Set("Cache-Control", "max-age=3600")
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader("0123456789"))
	}, func(c *netreply.Config) { c.Cache = httpcache.New(store) })
	part := func(which, want string) {
		t.Helper()
		q := s.Request("/")
		q.Headers.Set("Range", "bytes="+which)
		_, body := fetched(t, m, q)
		assert.Equal(t, want, body)
		assert.Zero(t, store.open.Load())
	}
	part("0-3", "0123")
	store.fails = "Create"
	part("4-6", "456")
	assert.EqualValues(t, 1, store.failed.Load())
	store.fails = ""
	part("4-6", "456")
	part("1-5", "12345")
}
