package netreply_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/httpcache"
)

// TestCompletedByShortPart: a 206 that promises the rest of a stored body and ends before it is no
// whole body.
func TestCompletedByShortPart(t *testing.T) {
	for _, rest := range []string{"", "4", "4567", "456789ab"} {
		for _, chunked := range []bool{true, false} {
			t.Run(fmt.Sprint(rest, chunked), func(t *testing.T) {
				broken := true
				s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("ETag", `"a"`)
					maxAge(w.Header())
					switch {
					case broken:
						broken = false
						w.Header().Set("Content-Length", "10")
						io.WriteString(w, "0123")
						w.(http.Flusher).Flush()
						panic(http.ErrAbortHandler)
					case r.Header.Get("Range") == "bytes=4-":
						w.Header().Set("Content-Range", "bytes 4-9/10")
						w.WriteHeader(206)
						if chunked {
							w.(http.Flusher).Flush()
						}
						io.WriteString(w, rest)
						return
					}
					io.WriteString(w, "0123456789")
				})
				_, err := m.Get(t.Context(), s.Request("/")).ReadAll()
				require.Error(t, err)
				body, err := m.Get(t.Context(), s.Request("/")).ReadAll()
				if err == nil {
					assert.Equal(t, "0123456789", string(body))
				}
				_, whole := fetched(t, m, s.Request("/"))
				assert.Equal(t, "0123456789", whole, "the next request is not answered like this again")
			})
		}
	}
}

// TestVaryBySpelling: fields of one name in several spellings are all part of what Vary names.
func TestVaryBySpelling(t *testing.T) {
	s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "User")
		fresh(strings.Join(r.Header.Values("User"), "+"))(w, r)
	})
	for range 4 {
		for _, who := range []string{"alice", "bob"} {
			q := s.Request("/")
			q.Headers.Add("User", "any")
			q.Headers.Add("uSER", who)
			_, body := fetched(t, m, q)
			assert.Contains(t, body, who)
		}
	}
}

// TestCachedCodingIsAskedFor: a server that does not say that it varies by Accept-Encoding.
func TestCachedCodingIsAskedFor(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	io.WriteString(z, "hello")
	z.Close()
	s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
		maxAge(w.Header())
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(packed.Bytes())
			return
		}
		io.WriteString(w, "hello")
	})
	_, body := fetched(t, m, s.Request("/"))
	assert.Equal(t, "hello", body)
	q := s.Request("/")
	q.Headers.Add("Accept-Encoding", "identity")
	_, body = fetched(t, m, q)
	assert.Equal(t, "hello", body)
}

// TestForeignValidation: a 304 to conditions of the program, about what the program has, does not
// make fresh what the cache has.
func TestForeignValidation(t *testing.T) {
	version := 1
	s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=0")
		if r.Header.Get("If-None-Match") == `"`+strconv.Itoa(version)+`"` {
			w.Header().Set("Cache-Control", "max-age=3600")
			w.WriteHeader(304)
			return
		}
		w.Header().Set("ETag", `"`+strconv.Itoa(version)+`"`)
		fmt.Fprint(w, version)
	})
	fetched(t, m, s.Request("/"))
	version = 2
	q := s.Request("/")
	q.Headers.Add("If-None-Match", `"2"`)
	r, _ := fetched(t, m, q)
	assert.Equal(t, 304, r.StatusCode())
	_, body := fetched(t, m, s.Request("/"))
	assert.Equal(t, "2", body)
}

// TestInvalidationFanOut: one response does not remove any number of entries.
func TestInvalidationFanOut(t *testing.T) {
	var removed atomic.Int32
	store := &countingRemoves{Store: httpcache.NewMemory(httpcache.Limits{}), n: &removed}
	s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "0")
		for i := range 2000 {
			w.Header().Add("Content-Location", strconv.Itoa(i))
		}
	}, func(c *netreply.Config) { c.Cache = httpcache.New(store) })
	_, err := m.Post(t.Context(), s.Request("/"), nil).ReadAll()
	require.NoError(t, err)
	assert.LessOrEqual(t, removed.Load(), int32(3))
}

type countingRemoves struct {
	httpcache.Store
	n *atomic.Int32
}

func (s *countingRemoves) Remove(ctx context.Context, key string) error {
	s.n.Add(1)
	return s.Store.Remove(ctx, key)
}

// TestFutureDate: an answer with a Date in the future does not hide later ones.
func TestFutureDate(t *testing.T) {
	n := 0
	s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
		n++
		maxAge(w.Header())
		if n == 1 {
			w.Header().Set("Date", time.Now().Add(1000*time.Hour).UTC().Format(http.TimeFormat))
		} else {
			w.Header().Set("Vary", "Accept")
		}
		fmt.Fprint(w, n)
	})
	fetched(t, m, s.Request("/"))
	q := s.Request("/")
	q.CacheLoadControl = netreply.AlwaysNetwork
	fetched(t, m, q)
	_, body := fetched(t, m, s.Request("/"))
	assert.Equal(t, "2", body)
}

// TestManyVaryNames: a server cannot make a look-up slow by the names in Vary.
func TestManyVaryNames(t *testing.T) {
	var names []string
	for i := range 10000 {
		names = append(names, "N"+strconv.Itoa(i))
	}
	s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", strings.Join(names, ","))
		fresh("x")(w, r)
	})
	fetched(t, m, s.Request("/"))
	for range m.Cache().All(t.Context()) {
		t.Error("something is stored")
	}
}

// TestUnsatisfiableRest: an answer to the range with which the cache completes a body is not for the
// program.
func TestUnsatisfiableRest(t *testing.T) {
	n := 0
	s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
		n++
		w.Header().Set("ETag", `"a"`)
		maxAge(w.Header())
		switch {
		case n == 1:
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "0123")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case r.Header.Get("Range") != "":
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			return
		}
		io.WriteString(w, "new")
	})
	_, err := m.Get(t.Context(), s.Request("/")).ReadAll()
	require.Error(t, err)
	_, body := fetched(t, m, s.Request("/"))
	assert.Equal(t, "new", body)
	assert.Equal(t, 3, n)
}

// TestCacheKeepsPathsApart: the answer of a server to a path that it does not resolve is not that to
// the path that it would be.
func TestCacheKeepsPathsApart(t *testing.T) {
	s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
		maxAge(w.Header())
		if strings.Contains(r.RequestURI, "%") {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		io.WriteString(w, "true")
	})
	q := s.Request("/")
	q.URL = s.Request("/x/%2e%2e/").URL
	assert.Error(t, m.Get(t.Context(), q).Wait(t.Context()))
	_, body := fetched(t, m, s.Request("/"))
	assert.Equal(t, "true", body)

	q.URL = s.Request("/a/../").URL
	r, _ := fetched(t, m, q)
	assert.True(t, r.CacheStatus().Hit, "what is removed before it is sent does not count")
	list, err := m.Cache().Metadata(t.Context(), s.Request("/a/../").URL)
	require.NoError(t, err)
	assert.Len(t, list, 1)
}

// TestUnprovenIsNotStored: a response whose sender proves by Digest that it does not know the
// password does not answer later requests, also if the proof comes behind its body.
func TestUnprovenIsNotStored(t *testing.T) {
	for _, qop := range []string{"auth", "auth-int"} {
		d := &digestServer{challenge: "qop=" + qop, user: "bob"}
		s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
			rec := httptest.NewRecorder()
			d.ServeHTTP(rec, r)
			for name, values := range rec.Header() {
				w.Header()[name] = values
			}
			maxAge(w.Header())
			w.WriteHeader(rec.Code)
			io.WriteString(w, "forged") // which an auth-int proof is not about
		})
		if qop == "auth" {
			d.info = func(good string) string { return strings.Replace(good, `rspauth="`, `rspauth="0`, 1) }
		}
		q := s.Request("/")
		q.URL.User = url.UserPassword("bob", "pass")
		require.Error(t, m.Get(t.Context(), q).Wait(t.Context()))
		for range m.Cache().All(t.Context()) {
			t.Error("something is stored")
		}
	}
}
