package httpserver_test

import (
	"bytes"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/httpserver"
)

// TestSources: sizes are found where they can be, and sources are closed.
func TestSources(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(name, []byte("0123456789"), 0o600))
	file := func() io.Reader { f, err := os.Open(name); require.NoError(t, err); return f }
	for what, c := range map[string]struct {
		src  func() io.Reader
		size string
		body string
	}{
		"file":         {file, "10", "0123456789"},
		"middle":       {func() io.Reader { f := file(); f.(io.Seeker).Seek(7, io.SeekStart); return f }, "3", "789"},
		"fs.File":      {func() io.Reader { f, _ := fstest.MapFS{"a": {Data: []byte("map")}}.Open("a"); return f }, "3", "map"},
		"buffer":       {func() io.Reader { return bytes.NewBufferString("buf") }, "3", "buf"},
		"empty":        {func() io.Reader { return strings.NewReader("") }, "0", ""},
		"pipe":         {func() io.Reader { r, w, _ := os.Pipe(); io.WriteString(w, "pipe"); w.Close(); return r }, "", "pipe"},
		"empty pipe":   {func() io.Reader { return sequential{strings.NewReader("")} }, "", ""},
		"byte by byte": {func() io.Reader { return iotest.OneByteReader(strings.NewReader("slow")) }, "", "slow"},
	} {
		var src io.Reader
		addr := serve(t, httpserver.HandlerFunc(func(_ *http.Request, s *httpserver.Responder) {
			src = c.src()
			assert.NoError(t, s.WriteReader(src, "a/b"), what)
			if f, ok := src.(*os.File); ok {
				assert.ErrorIs(t, f.Close(), fs.ErrClosed, what)
			}
		}))
		got := raw(t, addr, "GET / HTTP/1.0\r\n\r\n")
		head, body, _ := strings.Cut(got, "\r\n\r\n")
		assert.Equal(t, c.body, body, what)
		if c.size != "" {
			assert.Contains(t, head+"\r\n", "Content-Length: "+c.size+"\r\n", what)
		} else {
			assert.NotContains(t, head, "Content-Length", what)
		}
	}
}

// TestChunksLeaveAtOnce: a client sees a chunk while the next is not there yet.
func TestChunksLeaveAtOnce(t *testing.T) {
	next := make(chan struct{})
	addr := serve(t, httpserver.HandlerFunc(func(r *http.Request, s *httpserver.Responder) {
		if r.URL.Path == "/source" {
			pr, pw := io.Pipe()
			go func() { io.WriteString(pw, "one"); <-next; io.WriteString(pw, "two"); pw.Close() }()
			assert.NoError(t, s.WriteReader(sequential{pr}, "a/b"))
			return
		}
		assert.NoError(t, s.WriteBeginChunked("a/b"))
		assert.NoError(t, s.WriteChunk([]byte("one")))
		<-next
		assert.NoError(t, s.WriteEndChunked([]byte("two")))
	}))
	m, err := netreply.NewManager(netreply.Config{})
	require.NoError(t, err)
	defer m.Close()
	for _, path := range []string{"/", "/source"} {
		for _, v := range []netreply.HTTPVersion{netreply.HTTP1Only, netreply.HTTP2Direct} {
			req, _ := netreply.NewRequest("http://" + addr + path)
			req.HTTP = v
			r := m.Get(t.Context(), req)
			buf := make([]byte, 3)
			_, err := io.ReadFull(r, buf)
			require.NoError(t, err)
			assert.Equal(t, "one", string(buf))
			next <- struct{}{}
			rest, err := io.ReadAll(r)
			require.NoError(t, err)
			assert.Equal(t, "two", string(rest))
		}
	}
}
