package scheme_test

import (
	"errors"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/scheme"
)

// fileURL is the URL of a path of this machine.
func fileURL(path string) *url.URL {
	p := filepath.ToSlash(path)
	if !strings.HasPrefix(p, "/") {
		p = "/" + p
	}
	return &url.URL{Scheme: "file", Path: p}
}

func write(t *testing.T, path, content string) {
	require.NoError(t, os.WriteFile(path, []byte(content), 0o666))
}

func openRoot(t *testing.T, dir string) *os.Root {
	r, err := os.OpenRoot(dir)
	require.NoError(t, err)
	t.Cleanup(func() { r.Close() })
	return r
}

// faultOf is the Fault of an error, which must be an *scheme.Error.
func faultOf(t *testing.T, err error) scheme.Fault {
	var failure *scheme.Error
	require.ErrorAs(t, err, &failure)
	return failure.Fault
}

func readAll(t *testing.T, c *scheme.Content) string {
	b, err := io.ReadAll(c.Body)
	require.NoError(t, err)
	require.NoError(t, c.Body.Close())
	return string(b)
}

// TestOpen reads a file with and without a root, by several spellings of its URL.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "a b#c%d.txt")
	write(t, name, "odd name")
	modified := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	require.NoError(t, os.Chtimes(name, modified, modified))
	everywhere := fileURL(name)
	for _, c := range []struct {
		files scheme.Files
		url   string
	}{
		{scheme.Files{}, everywhere.String()},
		{scheme.Files{}, strings.Replace(everywhere.String(), "file://", "file://LOCALhost", 1)},
		{scheme.Files{}, everywhere.String() + "?query#fragment"},
		{scheme.Files{Root: openRoot(t, dir)}, "file:///a%20b%23c%25d.txt"},
		{scheme.Files{Root: openRoot(t, dir)}, "file:///x/../../a%20b%23c%25d.txt"},
	} {
		u, err := url.Parse(c.url)
		require.NoError(t, err)
		content, err := c.files.Open(u)
		require.NoError(t, err, c.url)
		assert.Equal(t, "odd name", readAll(t, content))
		assert.EqualValues(t, 8, content.Size)
		assert.Equal(t, "text/plain; charset=utf-8", content.Type)
		assert.True(t, modified.Equal(content.Modified), content.Modified)
	}
}

// TestOpenType: a type that the name does not tell is found in the content, which stays
// complete.
func TestOpenType(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ content, mediaType string }{
		"page.html": {"no markup", "text/html; charset=utf-8"},
		"page":      {"<!DOCTYPE html>" + strings.Repeat("x", 2000), "text/html; charset=utf-8"},
		"picture":   {"\x89PNG\x0D\x0A\x1A\x0A", "image/png"},
		"zeros":     {string(make([]byte, 5000)), "application/octet-stream"},
		"empty":     {"", "text/plain; charset=utf-8"},
		"x.png":     {"", "image/png"},
	} {
		write(t, filepath.Join(dir, name), c.content)
		content, err := scheme.Files{}.Open(fileURL(filepath.Join(dir, name)))
		require.NoError(t, err, name)
		assert.Equal(t, c.mediaType, content.Type, name)
		assert.EqualValues(t, len(c.content), content.Size, name)
		assert.Equal(t, c.content, readAll(t, content), name)
	}
}

// TestOpenFaults: what cannot be opened for reading (rule F4).
func TestOpenFaults(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "x")
	write(t, filepath.Join(dir, "..", filepath.Base(dir)+"-outside"), "secret")
	outside := filepath.Join(filepath.Dir(dir), filepath.Base(dir)+"-outside")
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "absolute")))
	require.NoError(t, os.Symlink("../"+filepath.Base(outside), filepath.Join(dir, "relative")))
	require.NoError(t, os.Symlink("..", filepath.Join(dir, "parent")))
	require.NoError(t, os.Symlink("loop", filepath.Join(dir, "loop")))
	below, everywhere := scheme.Files{Root: openRoot(t, dir)}, scheme.Files{}
	for _, c := range []struct {
		files scheme.Files
		url   string
		fault scheme.Fault
		text  string
	}{
		{everywhere, "file:", scheme.Directory, "Path is a directory"},
		{everywhere, "file://", scheme.Directory, "Path is a directory"},
		{everywhere, "file://localhost", scheme.Directory, "Path is a directory"},
		{everywhere, fileURL(dir).String(), scheme.Directory, "Cannot open file://"},
		{everywhere, fileURL(dir).String() + "/", scheme.Directory, "Path is a directory"},
		{everywhere, fileURL(dir).String() + "/missing", scheme.NotFound, "Error opening " + filepath.ToSlash(dir) + "/missing: "},
		{everywhere, fileURL(dir).String() + "/file/x", scheme.NotFound, "Error opening"},
		{everywhere, fileURL(dir).String() + "/file/", scheme.NotFound, "Error opening"},
		{everywhere, fileURL(dir).String() + "/" + strings.Repeat("x", 5000), scheme.NotFound, "Error opening"},
		{everywhere, fileURL(dir).String() + "/loop", scheme.Denied, "Error opening"},
		{everywhere, "file://example.org/file", scheme.BadPath, "Request for opening non-local file file://example.org/file"},
		{everywhere, "file://user:secret@example.org/file", scheme.BadPath, "user:xxxxx@"},
		{everywhere, "file:relative", scheme.BadPath, "Request for opening non-local file"},
		{everywhere, "file:///a%00b", scheme.BadPath, "NUL"},
		{below, "file:///", scheme.Directory, "Path is a directory"},
		{below, "file:///missing", scheme.NotFound, "Error opening /missing: "},
		{below, outsideURL(outside), scheme.NotFound, "Error opening /"},
		{below, "file:///../" + filepath.Base(outside), scheme.NotFound, "Error opening /"},
		{below, "file:///%2e%2e/" + filepath.Base(outside), scheme.NotFound, "Error opening /"},
		{below, "file:///parent/" + filepath.Base(outside), scheme.Denied, "Error opening /"},
		{below, "file:///absolute", scheme.Denied, "Error opening /absolute: "},
		{below, "file:///relative", scheme.Denied, "Error opening /relative: "},
	} {
		u, err := url.Parse(c.url)
		require.NoError(t, err)
		_, err = c.files.Open(u)
		require.Error(t, err, c.url)
		assert.Equal(t, c.fault, faultOf(t, err), "%s: %v", c.url, err)
		var failure *scheme.Error
		errors.As(err, &failure)
		assert.Contains(t, failure.Text, c.text)
		assert.Equal(t, c.fault == scheme.NotFound && !strings.Contains(c.url, "/file/") && len(c.url) < 4096, errors.Is(err, fs.ErrNotExist), "%s: %v", c.url, err)
	}
}

func outsideURL(path string) string { return fileURL(path).String() }

// TestOpenUnreadable: a file that may not be read is Denied.
func TestOpenUnreadable(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	write(t, name, "x")
	require.NoError(t, os.Chmod(name, 0o200))
	if f, err := os.Open(name); err == nil {
		f.Close()
		t.Skip("this user may read everything")
	}
	_, err := scheme.Files{}.Open(fileURL(name))
	require.Error(t, err)
	assert.Equal(t, scheme.Denied, faultOf(t, err))
	assert.ErrorIs(t, err, fs.ErrPermission)
}

// TestFileShrinks: a file that becomes shorter while it is read is an error, and of one that
// grows only the announced bytes are read.
func TestFileShrinks(t *testing.T) {
	for _, c := range []struct {
		name    string
		size    int64
		want    int
		wantErr error
	}{{"page.html", 1000, 1000, io.ErrUnexpectedEOF}, {"page", 1000, 1000, io.ErrUnexpectedEOF}, {"page.html", 9000, 4000, nil}, {"page", 9000, 4000, nil}} {
		name := filepath.Join(t.TempDir(), c.name)
		write(t, name, strings.Repeat("x", 4000))
		content, err := scheme.Files{}.Open(fileURL(name))
		require.NoError(t, err)
		require.NoError(t, os.Truncate(name, c.size))
		got, err := io.ReadAll(content.Body)
		assert.Len(t, got, c.want)
		if c.wantErr == nil {
			assert.NoError(t, err)
		} else {
			assert.ErrorIs(t, err, c.wantErr)
			assert.Equal(t, scheme.Broken, faultOf(t, err))
		}
		content.Body.Close()
	}
}

// TestCreate writes a new file and an existing one, which may have been longer.
func TestCreate(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "old"), "something longer")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "sub"), 0o777))
	below := scheme.Files{Root: openRoot(t, dir)}
	for _, c := range []struct {
		files scheme.Files
		url   *url.URL
		path  string
	}{
		{scheme.Files{}, fileURL(filepath.Join(dir, "new")), "new"},
		{scheme.Files{}, fileURL(filepath.Join(dir, "old")), "old"},
		{below, &url.URL{Scheme: "file", Path: "/old"}, "old"},
		{below, &url.URL{Scheme: "file", Path: "/sub/new"}, "sub/new"},
	} {
		f, err := c.files.Create(c.url)
		require.NoError(t, err)
		_, err = f.Write([]byte("short"))
		require.NoError(t, err)
		require.NoError(t, f.Close())
		got, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(c.path)))
		require.NoError(t, err)
		assert.Equal(t, "short", string(got))
	}
}

// TestCreateFaults: what cannot be written to is Denied, and stays as it is (rule F7).
func TestCreateFaults(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "sub"), 0o777))
	write(t, filepath.Join(dir, "file"), "x")
	write(t, filepath.Join(other, "outside"), "untouched")
	require.NoError(t, os.Symlink(filepath.Join(other, "outside"), filepath.Join(dir, "link")))
	require.NoError(t, os.Symlink(other, filepath.Join(dir, "folder")))
	below, everywhere := scheme.Files{Root: openRoot(t, dir)}, scheme.Files{}
	for _, c := range []struct {
		files scheme.Files
		url   string
		fault scheme.Fault
	}{
		{everywhere, fileURL(dir).String() + "/sub", scheme.Denied},
		{everywhere, fileURL(dir).String() + "/new/", scheme.Denied},
		{everywhere, fileURL(dir).String() + "/missing/new", scheme.Denied},
		{everywhere, fileURL(dir).String() + "/file/new", scheme.Denied},
		{everywhere, "file://", scheme.Denied},
		{everywhere, "file://example.org/x", scheme.BadPath},
		{everywhere, "file:relative", scheme.BadPath},
		{below, "file:///", scheme.Denied},
		{below, "file:///sub", scheme.Denied},
		{below, "file:///link", scheme.Denied},
		{below, "file:///folder/outside", scheme.Denied},
		{below, "file:///folder/new", scheme.Denied},
		{below, outsideURL(filepath.Join(other, "outside")), scheme.Denied},
	} {
		u, err := url.Parse(c.url)
		require.NoError(t, err)
		_, err = c.files.Create(u)
		require.Error(t, err, c.url)
		assert.Equal(t, c.fault, faultOf(t, err), "%s: %v", c.url, err)
	}
	entries, err := os.ReadDir(other)
	require.NoError(t, err)
	assert.Len(t, entries, 1)
	got, err := os.ReadFile(filepath.Join(other, "outside"))
	require.NoError(t, err)
	assert.Equal(t, "untouched", string(got))
	assert.NoFileExists(t, "relative")
}

// TestFileAbandoned: a file to which nothing was written keeps its content, and one that is
// closed so loses it.
func TestFileAbandoned(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	write(t, name, "old")
	f, err := scheme.Files{}.Create(fileURL(name))
	require.NoError(t, err)
	f.Abandon()
	got, err := os.ReadFile(name)
	require.NoError(t, err)
	assert.Equal(t, "old", string(got))

	f, err = scheme.Files{}.Create(fileURL(name))
	require.NoError(t, err)
	require.NoError(t, f.Close())
	got, err = os.ReadFile(name)
	require.NoError(t, err)
	assert.Empty(t, got)
}

// TestFileWriteFails: an error of writing or closing says so.
func TestFileWriteFails(t *testing.T) {
	f, err := scheme.Files{}.Create(fileURL(filepath.Join(t.TempDir(), "file")))
	require.NoError(t, err)
	require.NoError(t, f.Close())
	_, err = f.Write([]byte("x"))
	assert.Equal(t, scheme.Broken, faultOf(t, err))
	assert.ErrorIs(t, err, fs.ErrClosed)
	assert.Equal(t, scheme.Broken, faultOf(t, f.Close()))
}
