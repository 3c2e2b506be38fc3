package flow_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/internal/coding"
	"github.com/netreply/netreply/internal/flow"
	"github.com/netreply/netreply/internal/testserver"
)

func zipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, text)
	w.Close()
	return b.String()
}

// TestDecode: the bodies that are decoded, and those that are not.
func TestDecode(t *testing.T) {
	text := strings.Repeat("text", 100)
	body := zipped(text)
	eachKind(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Asked", r.Header.Get("Accept-Encoding"))
		w.Header().Set("Content-Encoding", r.URL.Query().Get("coding"))
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, "/?coding=gzip", http.StatusFound)
		case "/cut":
			io.WriteString(w, body[:len(body)-1])
		case "/plain":
			io.WriteString(w, text)
		default:
			io.WriteString(w, body)
		}
	}, func(t *testing.T, s *server) {
		for name, row := range map[string]struct {
			method, path string
			headers      headers.Headers
			body         string
			decoded      bool // as the head tells
			decoder      bool // there is one
		}{
			"gzip":                    {path: "/?coding=gzip", body: text, decoded: true, decoder: true},
			"identity":                {path: "/plain?coding=identity", body: text},
			"after a redirect":        {path: "/redirect?coding=gzip", body: text, decoded: true, decoder: true},
			"asked for by the caller": {path: "/?coding=gzip", headers: headers.New("accept-encoding", "gzip"), body: body},
			"a range":                 {path: "/?coding=gzip", headers: headers.New("Range", "bytes=0-"), body: body},
			"no body":                 {method: http.MethodHead, path: "/?coding=gzip", decoded: true},
		} {
			t.Run(name, func(t *testing.T) {
				q := s.get(row.path)
				q.Headers = row.headers
				if row.method != "" {
					q.Method = row.method
				}
				r := s.ok(new(watcher), q)
				assert.Equal(t, row.body, r.body)
				last := r.heads[len(r.heads)-1]
				assert.Equal(t, row.decoded, last.Decoded)
				want := 0
				if row.decoder {
					want = 1
					assert.EqualValues(t, -1, r.resp.ContentLength)
				}
				assert.Len(t, r.told("decoding"), want)
				switch {
				case row.headers.Has("Accept-Encoding"):
					assert.Equal(t, "gzip", r.resp.Header.Get("X-Asked"))
				case row.headers.Has("Range"):
					assert.Equal(t, "", r.resp.Header.Get("X-Asked"))
				default:
					assert.Equal(t, coding.Accept, r.resp.Header.Get("X-Asked"))
				}
			})
		}

		r := s.do(new(watcher), s.get("/cut?coding=gzip"))
		var e *coding.Error
		require.ErrorAs(t, r.err, &e)
		assert.Equal(t, text, r.body)
		r = s.do(new(watcher), s.get("/plain?coding=gzip"))
		require.ErrorAs(t, r.err, &e)
	})
}

// TestNotDecoded: a body with an unknown coding is not decoded, and too many codings fail
// the transfer after the head.
func TestNotDecoded(t *testing.T) {
	s := newServer(t, testserver.Plain, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", r.URL.RawQuery)
		io.WriteString(w, "grkg")
	})
	r := s.ok(new(watcher), s.get("/?rot13"))
	assert.Equal(t, "grkg", r.body)
	assert.False(t, r.heads[0].Decoded)

	r = s.do(new(watcher), s.get("/?"+strings.Repeat("gzip,", 10)+"gzip"))
	var e *coding.Error
	require.ErrorAs(t, r.err, &e)
	assert.Nil(t, r.resp)
	assert.Equal(t, []string{"head 200 final"}, r.told("head", "decoding"))
}

// TestDecodeLimits: the limits of the Engine and of the request.
func TestDecodeLimits(t *testing.T) {
	bomb := zipped(strings.Repeat("0", 1<<20))
	s := newServer(t, testserver.Plain, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		io.WriteString(w, bomb)
	}, func(c *flow.Config) { c.Decoding.Max = 1 << 10 })
	r := s.do(new(watcher), s.get("/"))
	require.Error(t, r.err)
	assert.LessOrEqual(t, len(r.body), 1<<10)

	s = newServer(t, testserver.Plain, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		io.WriteString(w, bomb)
	})
	q := s.get("/")
	q.DecodeThreshold = 1 << 12
	r = s.do(new(watcher), q)
	require.Error(t, r.err)
	assert.Less(t, len(r.body), 1<<20)
	q.DecodeThreshold = -1
	assert.Len(t, s.ok(new(watcher), q).body, 1<<20)
}
