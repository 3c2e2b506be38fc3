package httpserver_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpserver"
)

// TestJSONStreamCut: what a sequence has given before it fails arrives, and counts, though
// the answer is cut behind it.
func TestJSONStreamCut(t *testing.T) {
	const count = 500 // more than one flush, and a rest
	item := strings.Repeat("x", 20)
	whole := map[string]string{
		"array": `["` + item + `"` + strings.Repeat(",\n\""+item+`"`, count-1),
		"lines": strings.Repeat(`"`+item+"\"\n", count),
	}
	errDatabase := errors.New("no database")
	ends := map[string]func(yield func(any, error) bool){
		"error":    func(yield func(any, error) bool) { yield(nil, errDatabase) },
		"not JSON": func(yield func(any, error) bool) { yield(func() {}, nil) },
		"panic":    func(func(any, error) bool) { panic(errDatabase) },
		"abort":    func(func(any, error) bool) { panic(http.ErrAbortHandler) },
	}
	for kind, write := range jsonWriters {
		for name, end := range ends {
			sums := make(chan httpserver.Summary, 1)
			s := newServer(t, httpserver.Config{ErrorLog: quiet()})
			s.Finished(func(_ *http.Request, sum httpserver.Summary) { sums <- sum })
			f := func(_ *http.Request, w *httpserver.Responder) {
				write(w, func(yield func(any, error) bool) {
					for range count {
						if !yield(item, nil) {
							return
						}
					}
					end(yield)
				})
			}
			s.Handle("/", f)
			for what, h := range map[string]http.Handler{"server": s, "no server": httpserver.HandlerFunc(f)} {
				addr := serve(t, h)
				overBoth(t, func(t *testing.T, client *http.Client) {
					resp, err := client.Get("http://" + addr)
					require.NoError(t, err)
					defer resp.Body.Close()
					got, err := io.ReadAll(resp.Body)
					assert.Error(t, err, "%s, %s, %s", kind, name, what)
					assert.Equal(t, whole[kind], string(got), "%s, %s, %s", kind, name, what)
					if what == "server" {
						assert.EqualValues(t, len(got), (<-sums).Bytes, "%s, %s", kind, name)
					}
				})
			}
		}
	}
}

// TestNewCut: so it is with a Responder of New, whose handler need not hear of it.
func TestNewCut(t *testing.T) {
	body := strings.Repeat("x", 100_000)
	addr := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		httpserver.New(w, r).WriteReader(io.MultiReader(strings.NewReader(body), iotest.ErrReader(errors.New("no disk"))), "a/b")
	}))
	overBoth(t, func(t *testing.T, client *http.Client) {
		resp, err := client.Get("http://" + addr)
		require.NoError(t, err)
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		assert.Error(t, err)
		if resp.ProtoMajor == 1 { // HTTP/2 is told by a reset of the stream
			assert.Equal(t, len(body), len(got))
		}
	})
}
