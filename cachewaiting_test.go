package netreply_test

import (
	"context"
	"crypto/tls"
	"io"
	"iter"
	"net/http"
	"strconv"
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

// TestHeadTimeoutOfMany: requests that wait for one that never gets a response head do not wait
// one behind another.
func TestHeadTimeoutOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, func(c *netreply.Config) {
			c.HeadTimeout = 10 * time.Second
			c.ConnectionsPerHost = 100
		})
		var all []*netreply.Reply
		for range 20 {
			all = append(all, m.Get(t.Context(), s.Request("/")))
		}
		time.Sleep(21 * time.Second)
		for _, r := range all {
			assert.ErrorIs(t, r.Err(), netreply.TimeoutError)
		}
	})
}

// TestSharedFetchInQueue: the wait for one of our own connections is nobody's silence, and not
// that of those who wait for who waits for it either (rule N32).
func TestSharedFetchInQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/long" {
				io.WriteString(w, "x")
				w.(http.Flusher).Flush()
				<-hold
				return
			}
			fresh("body")(w, r)
		}, func(c *netreply.Config) { c.ConnectionsPerHost = 1 })
		long := s.Request("/long")
		long.TransferTimeout = -1
		busy := m.Get(t.Context(), long)
		synctest.Wait()
		var all []*netreply.Reply
		for range 3 {
			q := s.Request("/")
			q.TransferTimeout = time.Second
			all = append(all, m.Get(t.Context(), q))
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		close(hold)
		_, err := busy.ReadAll()
		require.NoError(t, err)
		for _, r := range all {
			body, err := r.ReadAll()
			assert.NoError(t, err)
			assert.Equal(t, "body", string(body))
		}
	})
}

// TestSharingAgain: a URL whose responses could once not be shared is shared again when they can.
func TestSharingAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		hold := make(chan struct{})
		s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
			n++
			if n <= 2 {
				w.Header().Set("Cache-Control", "no-store")
				return
			}
			w.Header().Set("Cache-Control", "max-age=1")
			<-hold
			io.WriteString(w, "body")
		})
		fetched(t, m, s.Request("/"))
		fetched(t, m, s.Request("/"))
		go func() { hold <- struct{}{} }()
		fetched(t, m, s.Request("/"))
		time.Sleep(2 * time.Second)
		var all []*netreply.Reply
		for range 3 {
			all = append(all, m.Get(t.Context(), s.Request("/")))
		}
		synctest.Wait()
		assert.Equal(t, 4, n)
		close(hold)
		for _, r := range all {
			_, err := r.ReadAll()
			assert.NoError(t, err)
		}
	})
}

// TestRefreshesAreBounded: validations in the background leave connections for the program.
func TestRefreshesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var waiting atomic.Int32
		hold := make(chan struct{})
		s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "max-age=1, stale-while-revalidate=1000")
			w.Header().Set("ETag", `"a"`)
			if r.Header.Get("If-None-Match") != "" {
				waiting.Add(1)
				<-hold
			}
			io.WriteString(w, "body")
		})
		for i := range 20 {
			fetched(t, m, s.Request("/"+strconv.Itoa(i)))
		}
		time.Sleep(10 * time.Second)
		for i := range 20 {
			r, _ := fetched(t, m, s.Request("/"+strconv.Itoa(i)))
			assert.True(t, r.CacheStatus().Hit)
		}
		synctest.Wait()
		began := time.Now()
		fetched(t, m, s.Request("/new"))
		assert.Zero(t, time.Since(began))
		assert.Positive(t, waiting.Load())
		close(hold)
	})
}

// TestAbortedRestsAreBounded: so do the rests of bodies that nobody wants any more.
func TestAbortedRestsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
			maxAge(w.Header())
			if r.URL.Path == "/new" {
				return
			}
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "x")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		})
		for i := range 6 {
			r := m.Get(t.Context(), s.Request("/"+strconv.Itoa(i)))
			synctest.Wait()
			r.Abort()
		}
		synctest.Wait()
		began := time.Now()
		fetched(t, m, s.Request("/new"))
		assert.Zero(t, time.Since(began))
	})
}

// TestLateInvalidation: what is invalidated while the store commits it does not stay.
func TestLateInvalidation(t *testing.T) {
	store := &slowCommit{Store: httpcache.NewMemory(httpcache.Limits{}), at: make(chan struct{}), leave: make(chan struct{})}
	s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" {
			fresh("old")(w, r)
		}
	}, func(c *netreply.Config) { c.Cache = httpcache.New(store) })
	r := m.Get(t.Context(), s.Request("/"))
	<-store.at
	_, err := m.Post(t.Context(), s.Request("/"), nil).ReadAll()
	require.NoError(t, err)
	close(store.leave)
	_, err = r.ReadAll()
	require.NoError(t, err)
	for range m.Cache().All(t.Context()) {
		t.Error("something is stored")
	}
}

type slowCommit struct {
	httpcache.Store
	at, leave chan struct{}
}

func (s *slowCommit) Create(ctx context.Context, key string, v httpcache.Variant) (httpcache.Writer, error) {
	w, err := s.Store.Create(ctx, key, v)
	return &slowCommitter{w, s}, err
}
func (s *slowCommit) All(ctx context.Context) iter.Seq2[string, httpcache.Entry] {
	return s.Store.(httpcache.Lister).All(ctx)
}
func (s *slowCommit) Size(ctx context.Context) (int64, error) {
	return s.Store.(httpcache.Lister).Size(ctx)
}

type slowCommitter struct {
	httpcache.Writer
	s *slowCommit
}

func (w *slowCommitter) Commit(meta []byte) error {
	close(w.s.at)
	<-w.s.leave
	return w.Writer.Commit(meta)
}

// TestQuestionIsNotWaitedFor: requests do not wait for another one's question to the program, which
// they do not ask, or answer in another way.
func TestQuestionIsNotWaitedFor(t *testing.T) {
	s, _, requests := impostor(t, tls.NoClientCert)
	m := newManager(t, netreply.Config{Cache: httpcache.New(httpcache.NewMemory(httpcache.Limits{}))})
	asked, answer := make(chan struct{}), make(chan struct{})
	q := newRequest(t, s.URL)
	q.Answer = func(_ context.Context, a netreply.Question) {
		close(asked)
		<-answer
		a.(*netreply.SSLErrors).Ignore()
	}
	leader := m.Get(t.Context(), q)
	<-asked
	assert.ErrorIs(t, m.Get(t.Context(), newRequest(t, s.URL)).Wait(t.Context()), netreply.SslHandshakeFailedError)
	q.Answer = func(_ context.Context, a netreply.Question) { a.(*netreply.SSLErrors).Ignore() }
	_, body := fetched(t, m, q)
	assert.Equal(t, "for nobody", body)
	close(answer)
	require.NoError(t, leader.Wait(t.Context()))
	assert.EqualValues(t, 2, requests.Load())
}

// TestSharedRedirect: the body of a redirect, which nobody sees, does not hold it up, even if another
// request reads the same body.
func TestSharedRedirect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin, hold := make(chan struct{}), make(chan struct{})
		s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
			maxAge(w.Header())
			if r.URL.Path == "/to" {
				io.WriteString(w, "there")
				return
			}
			<-begin
			w.Header().Set("Location", "/to")
			w.WriteHeader(http.StatusMovedPermanently)
			w.(http.Flusher).Flush()
			<-hold
		})
		follows := m.Get(t.Context(), s.Request("/"))
		synctest.Wait()
		q := s.Request("/")
		q.RedirectPolicy = netreply.ManualRedirectPolicy
		reads := m.Get(t.Context(), q)
		synctest.Wait()
		close(begin)
		time.Sleep(time.Second)
		assert.True(t, follows.IsFinished())
		body, err := follows.ReadAll()
		require.NoError(t, err)
		assert.Equal(t, "there", string(body))
		close(hold)
		_, err = reads.ReadAll()
		assert.NoError(t, err)
	})
}

// TestEndlessRefresh: a validation in the background ends when the store takes no more.
func TestEndlessRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "max-age=1, stale-while-revalidate=1000")
			w.Header().Set("ETag", `"a"`)
			if r.Header.Get("If-None-Match") == "" {
				io.WriteString(w, "body")
				return
			}
			for r.Context().Err() == nil {
				w.Write(make([]byte, 10_000))
				time.Sleep(time.Millisecond)
			}
			close(ended)
		}, func(c *netreply.Config) {
			c.Cache = httpcache.New(httpcache.NewMemory(httpcache.Limits{Entry: 100_000}))
		})
		fetched(t, m, s.Request("/"))
		time.Sleep(10 * time.Second)
		began := time.Now()
		fetched(t, m, s.Request("/"))
		<-ended
		assert.Less(t, time.Since(began), time.Second)
	})
}

// TestReservationIsNoSilence: the wait for another process that fetches the same is not the peer's
// silence, for nobody.
func TestReservationIsNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m := cachedServer(t, fresh("body"), func(c *netreply.Config) {
			c.Cache = httpcache.New(&slowReserve{httpcache.NewMemory(httpcache.Limits{})})
		})
		var all []*netreply.Reply
		for range 3 {
			q := s.Request("/")
			q.TransferTimeout = time.Second
			all = append(all, m.Get(t.Context(), q))
			synctest.Wait()
		}
		for _, r := range all {
			_, err := r.ReadAll()
			assert.NoError(t, err)
		}
		assert.Len(t, s.Requests(), 1)
	})
}

type slowReserve struct{ httpcache.Store }

func (s *slowReserve) Reserve(context.Context, string) (release func(), waited bool) {
	time.Sleep(10 * time.Second)
	return func() {}, true
}

// TestClearedOriginOnly: Clear-Site-Data keeps what was requested before from being stored, but not of
// other origins.
func TestClearedOriginOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		s := netreplytest.NewServer(t, netreplytest.HTTPS)
		s.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			maxAge(w.Header())
			if r.URL.Path == "/clear" {
				w.Header().Set("Clear-Site-Data", `"cache"`)
				return
			}
			w.(http.Flusher).Flush()
			<-hold
			io.WriteString(w, "body")
		}))
		c := s.Config()
		c.Cache = httpcache.New(httpcache.NewMemory(httpcache.Limits{}))
		m := newManager(t, c)
		var all []*netreply.Reply
		for _, u := range []string{"https://a.example/", "https://b.example/"} {
			all = append(all, m.Get(t.Context(), newRequest(t, u)))
		}
		synctest.Wait()
		fetched(t, m, newRequest(t, "https://a.example/clear"))
		close(hold)
		for i, r := range all {
			_, err := r.ReadAll()
			require.NoError(t, err)
			r, _ = fetched(t, m, r.Request())
			assert.Equal(t, i == 1, r.CacheStatus().Hit)
		}
	})
}
