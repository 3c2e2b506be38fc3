package netreply_test

import (
	"embed"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// TestFSBackend: the files of an fs.FS behind a scheme of the program (rules F8, F9).
func TestFSBackend(t *testing.T) {
	modified := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	fsys := fstest.MapFS{
		"img/logo.png": {Data: []byte("\x89PNG"), ModTime: modified},
		"page":         {Data: []byte("<!DOCTYPE html>" + strings.Repeat(" ", 1000))},
	}
	m := newManager(t, netreply.Config{Backends: map[string]netreply.Backend{"app": netreply.FSBackend(fsys)}})
	for _, raw := range []string{"app:/img/logo.png", "app:img/logo.png", "APP:///img/./logo.png?query#fragment"} {
		r := m.Get(t.Context(), newRequest(t, raw))
		got, err := r.ReadAll()
		require.NoError(t, err, raw)
		assert.Equal(t, "\x89PNG", string(got))
		assert.Equal(t, "image/png", r.Headers().Get("Content-Type"))
		assert.EqualValues(t, 4, r.ContentLength())
		at, _ := netreply.LastModifiedHeader.Get(r.Headers())
		assert.Equal(t, modified, at)
		assert.Equal(t, 200, r.StatusCode())
		assert.Equal(t, []string{"head", "ready", "down", "finished"}, signalNames(t, r))
	}
	r := m.Get(t.Context(), newRequest(t, "app:page"))
	got, err := r.ReadAll()
	require.NoError(t, err)
	assert.Equal(t, string(fsys["page"].Data), string(got))
	assert.Equal(t, "text/html; charset=utf-8", r.Headers().Get("Content-Type"))
	assert.False(t, r.Headers().Has("Last-Modified"))

	r = m.Head(t.Context(), newRequest(t, "app:page"))
	got, err = r.ReadAll()
	require.NoError(t, err)
	assert.Empty(t, got)
	assert.EqualValues(t, 1015, r.ContentLength())

	for _, c := range []struct {
		verb, url string
		code      netreply.NetworkError
	}{
		{"GET", "app:missing", netreply.ContentNotFoundError},
		{"HEAD", "app:missing", netreply.ContentNotFoundError},
		{"GET", "app:img", netreply.ContentOperationNotPermittedError},
		{"GET", "app:", netreply.ContentOperationNotPermittedError},
		{"GET", "app://host/page", netreply.ProtocolInvalidOperationError},
		{"PUT", "app:page", netreply.ContentAccessDenied},
		{"PUT", "app:new", netreply.ContentAccessDenied},
		{"POST", "app:page", netreply.ProtocolUnknownError},
		{"DELETE", "app:page", netreply.ProtocolUnknownError},
		{"GET", "other:page", netreply.ProtocolUnknownError},
	} {
		r := m.Send(t.Context(), c.verb, newRequest(t, c.url), nil)
		assert.ErrorIs(t, r.Wait(t.Context()), c.code, "%s %s", c.verb, c.url)
	}
}

//go:embed LICENSE
var embedded embed.FS

// TestFSBackendEmbed: files of package embed can be served.
func TestFSBackendEmbed(t *testing.T) {
	m := newManager(t, netreply.Config{Backends: map[string]netreply.Backend{"app": netreply.FSBackend(embedded)}})
	want, err := fs.ReadFile(embedded, "LICENSE")
	require.NoError(t, err)
	got, err := m.Get(t.Context(), newRequest(t, "app:LICENSE")).ReadAll()
	require.NoError(t, err)
	assert.Equal(t, want, got)
}

// TestFSBackendNil: a nil fs.FS is refused by NewManager, and behind another Backend, where
// NewManager cannot see it, it fails the reply.
func TestFSBackendNil(t *testing.T) {
	for _, none := range []fs.FS{nil, (*embed.FS)(nil)} {
		_, err := netreply.NewManager(netreply.Config{Backends: map[string]netreply.Backend{"app": netreply.FSBackend(none)}})
		requireField(t, err, `Config.Backends["app"]`)
		m := newManager(t, netreply.Config{Backends: map[string]netreply.Backend{"app": netreply.BackendFunc(netreply.FSBackend(none).Serve)}})
		assert.ErrorIs(t, m.Get(t.Context(), newRequest(t, "app:x")).Wait(t.Context()), netreply.ProtocolInvalidOperationError)
	}
}

// TestFSBackendFails: what goes wrong in the middle fails the reply with its cause, and what
// had come before stays.
func TestFSBackendFails(t *testing.T) {
	broken := errors.New("disk on fire")
	m := newManager(t, netreply.Config{Backends: map[string]netreply.Backend{"app": netreply.FSBackend(brokenFS{broken})}})
	r := m.Get(t.Context(), newRequest(t, "app:x.txt"))
	got, err := r.ReadAll()
	assert.Equal(t, "half", string(got))
	assert.ErrorIs(t, err, netreply.ProtocolFailure)
	assert.ErrorIs(t, err, broken)
	assert.Equal(t, http.StatusOK, r.StatusCode())
}

// brokenFS has files whose second half cannot be read.
type brokenFS struct{ err error }

func (b brokenFS) Open(name string) (fs.File, error) {
	f, err := fstest.MapFS{name: {Data: []byte("half of it")}}.Open(name)
	return &brokenFile{f, io.MultiReader(strings.NewReader("half"), readerFunc(func([]byte) (int, error) { return 0, b.err }))}, err
}

type brokenFile struct {
	fs.File
	r io.Reader
}

func (f *brokenFile) Read(p []byte) (int, error) { return f.r.Read(p) }
