package httpserver_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/httpserver"
)

type items = iter.Seq2[any, error]

// jsonWriters are the two kinds of streams.
var jsonWriters = map[string]func(*httpserver.Responder, items) error{
	"array": func(w *httpserver.Responder, s items) error {
		return httpserver.WriteJSONArray(w, s)
	},
	"lines": func(w *httpserver.Responder, s items) error {
		return httpserver.WriteJSONLines(w, s)
	},
}

func of(all ...any) items { return httpserver.Values(slices.Values(all)) }

// failing gives n items, and then an error.
func failing(n int, err error) items {
	return func(yield func(any, error) bool) {
		for i := range n {
			if !yield(i, nil) {
				return
			}
		}
		yield(nil, err)
	}
}

// TestJSONStream: what is sent, over every protocol.
func TestJSONStream(t *testing.T) {
	for name, c := range map[string]struct {
		items        items
		array, lines string
	}{
		"none":     {of(), "[]\n", ""},
		"one":      {of("<a>"), "[\"<a>\"]\n", "\"<a>\"\n"},
		"several":  {of(1, nil, []int{2}, httpserver.Indented([]int{3})), "[1,\nnull,\n[2],\n[3]]\n", "1\nnull\n[2]\n[3]\n"},
		"new line": {of("a\nb"), "[\"a\\nb\"]\n", "\"a\\nb\"\n"},
	} {
		for kind, write := range jsonWriters {
			addr := serve(t, httpserver.HandlerFunc(func(_ *http.Request, w *httpserver.Responder) { assert.NoError(t, write(w, c.items)) }))
			want, mime := c.array, "application/json"
			if kind == "lines" {
				want, mime = c.lines, "application/x-ndjson"
			}
			overBoth(t, func(t *testing.T, client *http.Client) {
				status, h, body := ask(t, client, "GET", "http://"+addr, "", nil)
				assert.Equal(t, 200, status)
				assert.Equal(t, mime, h.Get("Content-Type"))
				assert.Equal(t, want, body, "%s, %s", name, kind)
				_, h, _ = ask(t, client, "HEAD", "http://"+addr, "", nil)
				assert.Equal(t, mime, h.Get("Content-Type"))
			})
			assert.Equal(t, "HTTP/1.0 200 OK\r\nContent-Type: "+mime+"\r\n\r\n"+want, raw(t, addr, "GET / HTTP/1.0\r\n\r\n"), name)
		}
	}
}

// TestJSONStreamHead: fields and status, and no item for HEAD.
func TestJSONStreamHead(t *testing.T) {
	asked := false
	h := httpserver.HandlerFunc(func(_ *http.Request, w *httpserver.Responder) {
		assert.NoError(t, httpserver.WriteJSONArrayWith(w, func(func(int, error) bool) { asked = true },
			headers.New("Content-Type", "application/geo+json-seq", "X-A", "b"), httpserver.Accepted))
	})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("HEAD", "/", nil))
	assert.Equal(t, 202, w.Code)
	assert.Equal(t, "application/geo+json-seq", w.Header().Get("Content-Type"))
	assert.Equal(t, "b", w.Header().Get("X-A"))
	assert.False(t, asked)
	assert.Empty(t, w.Body.String())
}

// TestJSONStreamFailsFirst: while nothing is sent another answer can be given.
func TestJSONStreamFailsFirst(t *testing.T) {
	errDatabase := errors.New("no database")
	for kind, write := range jsonWriters {
		for name, s := range map[string]items{"error": failing(0, errDatabase), "not JSON": of(func() {}), "nil": nil} {
			w := httptest.NewRecorder()
			httpserver.HandlerFunc(func(_ *http.Request, s2 *httpserver.Responder) {
				err := write(s2, s)
				var source *httpserver.SourceError
				assert.ErrorAs(t, err, &source, "%s, %s", kind, name)
				if name == "error" {
					assert.ErrorIs(t, err, errDatabase)
				}
				assert.False(t, s2.Responded())
				assert.NoError(t, s2.WriteProblem(httpserver.ProblemOf(err)))
				assert.ErrorIs(t, write(s2, of(1)), httpserver.ErrAlreadyResponded)
			}).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
			assert.Equal(t, 500, w.Code)
		}
		w := httptest.NewRecorder()
		httpserver.HandlerFunc(func(_ *http.Request, w *httpserver.Responder) {
			assert.ErrorIs(t, httpserver.WriteJSONArray(w, of(1), httpserver.NoContent), httpserver.ErrBodyNotAllowed)
			assert.False(t, w.Responded())
		}).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	}
	assert.Nil(t, httpserver.Values[int](nil))
}

// TestJSONStreamFailsLater: an answer that is not whole does not look whole.
func TestJSONStreamFailsLater(t *testing.T) {
	errDatabase := errors.New("no database")
	for kind, write := range jsonWriters {
		for name, s := range map[string]items{"error": failing(2, errDatabase), "not JSON": of(0, 1, func() {})} {
			addr := serve(t, httpserver.HandlerFunc(func(_ *http.Request, w *httpserver.Responder) {
				var source *httpserver.SourceError
				assert.ErrorAs(t, write(w, s), &source, "%s, %s", kind, name)
				assert.True(t, w.Responded())
			}))
			overBoth(t, func(t *testing.T, client *http.Client) {
				resp, err := client.Get("http://" + addr)
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				assert.Error(t, err, "%s, %s", kind, name)
			})
			_, err := rawUntil(t, addr, "GET / HTTP/1.0\r\n\r\n")
			assert.Error(t, err, "HTTP/1.0, %s, %s", kind, name)
		}
	}
}

// TestJSONStreamClientGone: a client that goes ends the sequence, be it in the middle of
// giving items or while it waits.
func TestJSONStreamClientGone(t *testing.T) {
	for name, wait := range map[string]bool{"giving": false, "waiting": true} {
		for kind, write := range jsonWriters {
			ended := make(chan error, 1)
			addr := serve(t, httpserver.HandlerFunc(func(_ *http.Request, w *httpserver.Responder) {
				ended <- write(w, func(yield func(any, error) bool) {
					for yield(strings.Repeat("x", 100), nil) {
						if wait {
							<-w.Context().Done()
							return
						}
					}
				})
			}))
			overBoth(t, func(t *testing.T, client *http.Client) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				req, err := http.NewRequestWithContext(ctx, "GET", "http://"+addr, nil)
				require.NoError(t, err)
				resp, err := client.Do(req)
				require.NoError(t, err)
				_, err = io.ReadFull(resp.Body, make([]byte, 50))
				assert.NoError(t, err, "an item is there while others are not")
				cancel()
				resp.Body.Close()
				assert.Error(t, <-ended, "%s, %s", name, kind)
			})
		}
	}
}

// TestJSONStreamContext: a Context that has ended ends the sequence, even where writing goes on.
func TestJSONStreamContext(t *testing.T) {
	for kind, write := range jsonWriters {
		for _, after := range []int{0, 2} {
			ctx, cancel := context.WithCancel(t.Context())
			asked := 0
			h := httpserver.HandlerFunc(func(_ *http.Request, w *httpserver.Responder) {
				err := write(w, func(yield func(any, error) bool) {
					for {
						if asked == after {
							cancel()
						}
						asked++
						if !yield(asked, nil) {
							return
						}
					}
				})
				assert.ErrorIs(t, err, context.Canceled, kind)
				assert.Equal(t, after > 0, w.Responded(), kind)
			})
			assert.Equal(t, after > 0, aborts(h, httptest.NewRequest("GET", "/", nil).WithContext(ctx)), "an answer that has begun is cut")
			assert.Equal(t, after+1, asked, kind)
		}
	}
}

// aborts tells whether a handler cuts its answer.
func aborts(h http.Handler, r *http.Request) (cut bool) {
	defer func() { cut = recover() == http.ErrAbortHandler }()
	h.ServeHTTP(httptest.NewRecorder(), r)
	return false
}

// TestJSONStreamPanics: a sequence that panics is not taken for one that has ended.
func TestJSONStreamPanics(t *testing.T) {
	for kind, write := range jsonWriters {
		addr := serve(t, httpserver.HandlerFunc(func(_ *http.Request, w *httpserver.Responder) {
			write(w, func(yield func(any, error) bool) {
				yield(1, nil)
				panic(http.ErrAbortHandler)
			})
		}))
		_, err := rawUntil(t, addr, "GET / HTTP/1.0\r\n\r\n")
		assert.Error(t, err, kind)
		got, _ := rawUntil(t, addr, h1("GET"))
		assert.NotContains(t, got, "\r\n0\r\n\r\n", kind)
	}
}
