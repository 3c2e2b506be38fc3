package scheme_test

import (
	"errors"
	"io"
	"io/fs"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/scheme"
)

// TestOpenFS: the path of a URL of any scheme is the name of a file.
func TestOpenFS(t *testing.T) {
	modified := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	fsys := fstest.MapFS{
		"a.css":    {Data: []byte("x{}"), ModTime: modified},
		"b c/d":    {Data: []byte("<html>")},
		"b c/100%": {Data: []byte("y")},
	}
	for raw, want := range map[string]string{
		"assets:/a.css": "a.css", "assets:a.css": "a.css", "assets:///a.css?q#f": "a.css", "assets://localhost/a.css": "a.css",
		"assets:/x/../../a.css": "a.css", "assets:b%20c/d": "b c/d", "assets:/b%20c/d": "b c/d", "assets:b%20c/100%": "b c/100%",
	} {
		u, err := url.Parse(raw)
		require.NoError(t, err)
		for _, f := range []fs.FS{fsys, onlyOpen{fsys}} {
			content, err := scheme.OpenFS(f, u)
			require.NoError(t, err, raw)
			assert.Equal(t, string(fsys[want].Data), readAll(t, content))
			assert.EqualValues(t, len(fsys[want].Data), content.Size)
			assert.Equal(t, fsys[want].ModTime, content.Modified)
			assert.Contains(t, map[string]string{"a.css": "text/css; charset=utf-8", "b c/d": "text/html; charset=utf-8", "b c/100%": "text/plain; charset=utf-8"}[want], content.Type)
		}
	}
	for raw, fault := range map[string]scheme.Fault{
		"assets:": scheme.Directory, "assets:/": scheme.Directory, "assets:/b%20c": scheme.Directory, "assets:/b%20c/": scheme.Directory,
		"assets:/missing": scheme.NotFound, "assets:/a.css/": scheme.NotFound, "assets:/a.css/x": scheme.NotFound, "assets:/%FF": scheme.NotFound,
		"assets:/a%00.css": scheme.BadPath, "assets://host/a.css": scheme.BadPath,
	} {
		u, err := url.Parse(raw)
		require.NoError(t, err)
		for _, f := range []fs.FS{fsys, onlyOpen{fsys}} {
			_, err := scheme.OpenFS(f, u)
			assert.Equal(t, fault, faultOf(t, err), "%s: %v", raw, err)
		}
	}
}

// onlyOpen is an fs.FS without fs.StatFS.
type onlyOpen struct{ fs.FS }

// TestOpenFSFails: the faults of a file system are told with their cause, and files are
// closed.
func TestOpenFSFails(t *testing.T) {
	broken := errors.New("disk on fire")
	u := &url.URL{Scheme: "assets", Path: "/x.css"}
	var f *brokenFile
	open := func(file brokenFile) (*scheme.Content, error) {
		f = &file
		return scheme.OpenFS(brokenFS{f}, u)
	}

	_, err := open(brokenFile{statErr: broken})
	assert.Equal(t, scheme.Denied, faultOf(t, err))
	assert.ErrorIs(t, err, broken)
	assert.True(t, f.closed)

	content, err := open(brokenFile{size: 10, content: strings.NewReader("12345"), readErr: broken})
	require.NoError(t, err)
	got, err := io.ReadAll(content.Body)
	assert.Equal(t, "12345", string(got))
	assert.Equal(t, scheme.Broken, faultOf(t, err))
	assert.ErrorIs(t, err, broken)
	require.NoError(t, content.Body.Close())
	assert.True(t, f.closed)

	u.Path = "/x" // whose type is looked for in its content
	_, err = open(brokenFile{size: 10, content: strings.NewReader(""), readErr: broken})
	assert.Equal(t, scheme.Broken, faultOf(t, err))
	assert.True(t, f.closed)

	_, err = scheme.OpenFS(nilFS{}, u)
	assert.Equal(t, scheme.Denied, faultOf(t, err))
}

type nilFS struct{}

func (nilFS) Open(string) (fs.File, error) { return nil, nil }

type brokenFS struct{ f *brokenFile }

func (b brokenFS) Open(name string) (fs.File, error) { b.f.name = name; return b.f, nil }

// brokenFile is a file whose operations fail.
type brokenFile struct {
	name             string
	size             int64
	content          *strings.Reader
	statErr, readErr error
	closed           bool
}

func (f *brokenFile) Stat() (fs.FileInfo, error) { return f, f.statErr }
func (f *brokenFile) Close() error               { f.closed = true; return nil }
func (f *brokenFile) Read(p []byte) (int, error) {
	n, err := f.content.Read(p)
	if err != nil {
		err = f.readErr
	}
	return n, err
}
func (f *brokenFile) Name() string       { return f.name }
func (f *brokenFile) Size() int64        { return f.size }
func (f *brokenFile) Mode() fs.FileMode  { return 0o444 }
func (f *brokenFile) ModTime() time.Time { return time.Time{} }
func (f *brokenFile) IsDir() bool        { return false }
func (f *brokenFile) Sys() any           { return nil }
