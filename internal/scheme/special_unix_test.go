//go:build unix

package scheme_test

import (
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/scheme"
)

// TestSpecialFiles: pipes, devices and sockets are refused, without waiting for their other
// ends.
func TestSpecialFiles(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o666))
	require.NoError(t, os.Symlink("pipe", filepath.Join(dir, "link")))
	below, everywhere := scheme.Files{Root: openRoot(t, dir)}, scheme.Files{}
	for _, c := range []struct {
		files scheme.Files
		url   *url.URL
	}{
		{everywhere, fileURL(filepath.Join(dir, "pipe"))},
		{everywhere, fileURL(filepath.Join(dir, "link"))},
		{everywhere, fileURL(os.DevNull)},
		{below, &url.URL{Scheme: "file", Path: "/pipe"}},
		{below, &url.URL{Scheme: "file", Path: "/link"}},
	} {
		_, err := c.files.Open(c.url)
		assert.Equal(t, scheme.Special, faultOf(t, err), "%v", err)
		_, err = c.files.Create(c.url)
		assert.Equal(t, scheme.Denied, faultOf(t, err), "%v", err)
		assert.ErrorContains(t, err, "not a regular file")
	}
	_, err := scheme.OpenFS(os.DirFS(dir), &url.URL{Scheme: "assets", Path: "/pipe"})
	assert.Equal(t, scheme.Special, faultOf(t, err), "%v", err)
}
