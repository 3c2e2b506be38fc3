package netreply_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// fileRequest is a request for the file: URL of a path of this machine.
func fileRequest(path string) *netreply.Request {
	p := filepath.ToSlash(path)
	if !strings.HasPrefix(p, "/") {
		p = "/" + p
	}
	return &netreply.Request{URL: &url.URL{Scheme: "file", Path: p}}
}

func writeFile(t *testing.T, path string, content []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, content, 0o666))
}

func openRoot(t *testing.T, dir string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	t.Cleanup(func() { root.Close() })
	return root
}

// TestFileURL reads files of several sizes (rules F5, A0, S85).
func TestFileURL(t *testing.T) {
	m := newManager(t, netreply.Config{})
	dir := t.TempDir()
	modified := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, size := range []int{1, 10, 200_000, 3 << 20} {
		want := bytes.Repeat([]byte("x"), size)
		name := filepath.Join(dir, "a b#c%d.txt")
		writeFile(t, name, want)
		require.NoError(t, os.Chtimes(name, modified, modified))
		req := fileRequest(name)
		r := m.Get(t.Context(), req)
		got, err := r.ReadAll()
		require.NoError(t, err)
		assert.True(t, bytes.Equal(want, got))
		assert.Equal(t, 200, r.StatusCode())
		reason, _ := netreply.HTTPReasonPhrase.Of(r)
		assert.Equal(t, "OK", reason)
		assert.EqualValues(t, size, r.ContentLength())
		at, _ := netreply.LastModifiedHeader.Get(r.Headers())
		assert.Equal(t, modified, at)
		assert.Equal(t, "text/plain; charset=utf-8", r.Headers().Get("Content-Type"))
		assert.Equal(t, req.URL, r.URL())
		names := signalNames(t, r)
		assert.Equal(t, "head", names[0])
		assert.Equal(t, []string{"down", "finished"}, names[len(names)-2:])
		assert.Contains(t, names, "ready")
	}

	// The status comes with the first byte, and an empty file has none.
	writeFile(t, filepath.Join(dir, "empty"), nil)
	r := m.Get(t.Context(), fileRequest(filepath.Join(dir, "empty")))
	require.NoError(t, r.Wait(t.Context()))
	assert.EqualValues(t, 0, r.ContentLength())
	assert.Zero(t, r.StatusCode())
	assert.Equal(t, []string{"head", "down", "finished"}, signalNames(t, r))
}

// TestFileURLHost: localhost is this machine and is left out of the reply's URL; an empty path
// is "/" (rule F4).
func TestFileURLHost(t *testing.T) {
	m := newManager(t, netreply.Config{})
	name := filepath.Join(t.TempDir(), "file")
	writeFile(t, name, []byte("x"))
	req := fileRequest(name)
	bare := *req.URL
	req.URL.Host = "LocalHost"
	r := m.Get(t.Context(), req)
	require.NoError(t, r.Wait(t.Context()))
	assert.Equal(t, &bare, r.URL())
	assert.Equal(t, "LocalHost", r.Request().URL.Host)

	r = m.Get(t.Context(), newRequest(t, "file://"))
	assert.ErrorIs(t, r.Wait(t.Context()), netreply.ContentOperationNotPermittedError)
	assert.Equal(t, "file:///", r.URL().String())
	assert.Equal(t, "Cannot open file:///: Path is a directory", r.ErrorString())
}

// TestFileURLRefused: what cannot be read, and methods that do not exist (rules F4, F8).
func TestFileURLRefused(t *testing.T) {
	m := newManager(t, netreply.Config{})
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "file"), []byte("x"))
	for _, c := range []struct {
		verb, url string
		code      netreply.NetworkError
		text      string
		is        error
	}{
		{"GET", fileRequest(dir).URL.String(), netreply.ContentOperationNotPermittedError, "Cannot open file://", nil},
		{"HEAD", fileRequest(dir).URL.String(), netreply.ContentOperationNotPermittedError, "Cannot open file://", nil},
		{"GET", fileRequest(filepath.Join(dir, "missing")).URL.String(), netreply.ContentNotFoundError, "Error opening ", fs.ErrNotExist},
		{"GET", fileRequest(os.DevNull).URL.String(), netreply.ContentOperationNotPermittedError, "not a regular file", nil},
		{"GET", "file://example.org/x", netreply.ProtocolInvalidOperationError, "Request for opening non-local file file://example.org/x", nil},
		{"PUT", "file://example.org/x", netreply.ProtocolInvalidOperationError, "Request for opening non-local file", nil},
		{"GET", "file:x", netreply.ProtocolInvalidOperationError, "Request for opening non-local file", nil},
		{"PUT", "file:x", netreply.ProtocolInvalidOperationError, "Request for opening non-local file", nil},
		{"GET", "file:///x%00", netreply.ProtocolInvalidOperationError, "NUL", nil},
		{"PUT", fileRequest(dir).URL.String(), netreply.ContentAccessDenied, "Error opening file://", nil},
		{"PUT", fileRequest(filepath.Join(dir, "missing", "x")).URL.String(), netreply.ContentAccessDenied, "Error opening file://", fs.ErrNotExist},
		{"POST", fileRequest(filepath.Join(dir, "file")).URL.String(), netreply.ProtocolUnknownError, `Protocol "file" is unknown`, nil},
		{"DELETE", fileRequest(filepath.Join(dir, "file")).URL.String(), netreply.ProtocolUnknownError, `Protocol "file" is unknown`, nil},
		{"put", fileRequest(dir).URL.String(), netreply.ContentAccessDenied, "Error opening", nil},
		{"FOO", fileRequest(filepath.Join(dir, "file")).URL.String(), netreply.ProtocolUnknownError, `Protocol "file" is unknown`, nil},
	} {
		r := m.Send(t.Context(), c.verb, newRequest(t, c.url), nil)
		err := r.Wait(t.Context())
		assert.ErrorIs(t, err, c.code, "%s %s", c.verb, c.url)
		assert.Contains(t, r.ErrorString(), c.text)
		if c.is != nil {
			assert.ErrorIs(t, err, c.is)
		}
		var e *netreply.Error
		require.ErrorAs(t, err, &e)
		assert.False(t, e.Retryable)
		assert.Equal(t, []string{c.code.String(), "down", "finished"}, signalNames(t, r))
	}
	assert.NoFileExists(t, "x")
}

// TestFileURLHead: HEAD has the head of GET and no body (S85, D1).
func TestFileURLHead(t *testing.T) {
	m := newManager(t, netreply.Config{})
	name := filepath.Join(t.TempDir(), "file")
	writeFile(t, name, []byte("<!DOCTYPE html>"))
	r := m.Head(t.Context(), fileRequest(name))
	body, err := r.ReadAll()
	require.NoError(t, err)
	assert.Empty(t, body)
	assert.Equal(t, 200, r.StatusCode())
	assert.EqualValues(t, 15, r.ContentLength())
	assert.Equal(t, "text/html; charset=utf-8", r.Headers().Get("Content-Type"))
	assert.Equal(t, []string{"head", "down", "finished"}, signalNames(t, r))
}

// TestFileURLPut writes files of several sizes from several kinds of bodies (rule F7).
func TestFileURLPut(t *testing.T) {
	m := newManager(t, netreply.Config{})
	dir := t.TempDir()
	for _, size := range []int{0, 1, 100, 40_000, 3 << 20} {
		want := bytes.Repeat([]byte("y"), size)
		for kind, body := range map[string]netreply.Body{
			"bytes":      netreply.BytesBody(want),
			"reader":     netreply.ReaderBody(bytes.NewReader(want)),
			"sequential": netreply.ReaderBody(io.MultiReader(bytes.NewReader(want))),
			"source":     netreply.SourceBody(-1, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(want)), nil }),
		} {
			name := filepath.Join(dir, kind)
			writeFile(t, name, []byte("something that was there before"))
			req := fileRequest(name)
			req.EmitAllUploadProgress = true
			r := m.Put(t.Context(), req, body)
			got, err := r.ReadAll()
			require.NoError(t, err, "%s %d", kind, size)
			assert.Empty(t, got)
			assert.Zero(t, r.StatusCode())
			assert.Zero(t, r.Headers().Len())
			written, err := os.ReadFile(name)
			require.NoError(t, err)
			assert.True(t, bytes.Equal(want, written), "%s %d", kind, size)

			names := signalNames(t, r)
			assert.NotContains(t, names, "head")
			var last netreply.Progress
			for e := range r.Events(deadline(t)) {
				switch e := e.(type) {
				case netreply.UploadProgress:
					last = e.Progress
				case netreply.DownloadProgress:
					assert.Equal(t, netreply.Progress{}, e.Progress)
				}
			}
			assert.Equal(t, netreply.Progress{Done: int64(size), Total: int64(size)}, last, kind)
		}
	}
	require.NoError(t, m.Put(t.Context(), fileRequest(filepath.Join(dir, "new")), netreply.StringBody("new")).Wait(t.Context()))
	written, err := os.ReadFile(filepath.Join(dir, "new"))
	require.NoError(t, err)
	assert.Equal(t, "new", string(written))
	require.NoError(t, m.Put(t.Context(), fileRequest(filepath.Join(dir, "new")), nil).Wait(t.Context()))
	written, err = os.ReadFile(filepath.Join(dir, "new"))
	require.NoError(t, err)
	assert.Empty(t, written)
}

// TestFileURLPutFails: a body that cannot be opened leaves the file as it was, and one that
// breaks fails the reply.
func TestFileURLPutFails(t *testing.T) {
	m := newManager(t, netreply.Config{})
	name := filepath.Join(t.TempDir(), "file")
	writeFile(t, name, []byte("old"))
	broken := errors.New("no such tape")
	r := m.Put(t.Context(), fileRequest(name), netreply.SourceBody(10, func() (io.ReadCloser, error) { return nil, broken }))
	assert.ErrorIs(t, r.Wait(t.Context()), broken)
	assert.ErrorIs(t, r.Err(), netreply.UnknownNetworkError)
	got, err := os.ReadFile(name)
	require.NoError(t, err)
	assert.Equal(t, "old", string(got))

	r = m.Put(t.Context(), fileRequest(name), netreply.SourceBody(10, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("short")), nil }))
	assert.ErrorIs(t, r.Wait(t.Context()), netreply.UnknownNetworkError)
}

// TestFileURLAbort: an abort in the middle of a file that is read or written ends the reply
// at once (S60, S85).
func TestFileURLAbort(t *testing.T) {
	m := newManager(t, netreply.Config{})
	name := filepath.Join(t.TempDir(), "file")
	writeFile(t, name, make([]byte, 1<<20))
	req := fileRequest(name)
	req.ReadBufferSize = 1000
	r := m.Get(t.Context(), req)
	_, err := io.ReadFull(r, make([]byte, 10))
	require.NoError(t, err)
	r.Abort()
	assert.ErrorIs(t, r.Err(), netreply.OperationCanceledError)
	assert.Zero(t, r.BytesAvailable())
	assert.True(t, r.IsFinished())

	pipe, feed := io.Pipe()
	req = fileRequest(name)
	req.DoNotBufferUploadData = true
	r = m.Put(t.Context(), req, netreply.ReaderBody(pipe))
	_, err = feed.Write([]byte("begun"))
	require.NoError(t, err)
	r.Abort()
	assert.ErrorIs(t, r.Err(), netreply.OperationCanceledError)
	feed.Close()

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.ErrorIs(t, m.Get(ctx, fileRequest(name)).Wait(t.Context()), netreply.OperationCanceledError)
}

// TestFileURLLimits: the read buffer limit and MaxBodySize hold, and TransferTimeout does not
// count the time in which the buffer is full (B5, N32).
func TestFileURLLimits(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	writeFile(t, name, make([]byte, 100_000))
	synctest.Test(t, func(t *testing.T) {
		m, err := netreply.NewManager(netreply.Config{})
		require.NoError(t, err)
		defer m.Close()
		req := fileRequest(name)
		req.ReadBufferSize = 1000
		req.TransferTimeout = time.Second
		var most mostBytes
		req.OnSignal = most.see
		r := m.Get(t.Context(), req)
		time.Sleep(time.Hour)
		assert.True(t, r.IsRunning())
		n, err := io.Copy(io.Discard, r)
		require.NoError(t, err)
		assert.EqualValues(t, 100_000, n)
		require.NoError(t, r.Wait(t.Context()))
		assert.Positive(t, most.Load())
		assert.LessOrEqual(t, most.Load(), int64(1000))
	})

	m := newManager(t, netreply.Config{})
	req := fileRequest(name)
	req.MaxBodySize = 100_000
	require.NoError(t, m.Get(t.Context(), req).Wait(t.Context()))
	req.MaxBodySize--
	assert.ErrorIs(t, m.Get(t.Context(), req).Wait(t.Context()), netreply.UnknownContentError)
}

// TestFileURLShrinks: a file that becomes shorter while it is read is no success.
func TestFileURLShrinks(t *testing.T) {
	m := newManager(t, netreply.Config{})
	name := filepath.Join(t.TempDir(), "file.txt")
	writeFile(t, name, make([]byte, 100_000))
	req := fileRequest(name)
	req.ReadBufferSize = 1000
	r := m.Get(t.Context(), req)
	require.NoError(t, r.WaitHead(t.Context()))
	require.NoError(t, os.Truncate(name, 5000))
	_, err := io.Copy(io.Discard, r)
	assert.ErrorIs(t, err, netreply.ProtocolFailure)
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.Contains(t, r.ErrorString(), "Read error reading from file://")
}

// TestFileAccess: what file: URLs may do is the program's choice, and nothing in a Manager
// with a Guard.
func TestFileAccess(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	guard := &netreply.AddressGuard{}
	for _, c := range []struct {
		cfg         netreply.Config
		read, write error
	}{
		{netreply.Config{}, nil, nil},
		{netreply.Config{FileAccess: netreply.FullFileAccess}, nil, nil},
		{netreply.Config{FileAccess: netreply.FullFileAccess, Guard: guard}, nil, nil},
		{netreply.Config{FileAccess: netreply.ReadOnlyFileAccess}, nil, netreply.ContentAccessDenied},
		{netreply.Config{FileAccess: netreply.ReadOnlyFileAccess, Guard: guard}, nil, netreply.ContentAccessDenied},
		{netreply.Config{FileAccess: netreply.NoFileAccess}, netreply.ProtocolUnknownError, netreply.ProtocolUnknownError},
		{netreply.Config{Guard: guard}, netreply.ProtocolUnknownError, netreply.ProtocolUnknownError},
	} {
		writeFile(t, name, []byte("old"))
		m := newManager(t, c.cfg)
		read, err := m.Get(t.Context(), fileRequest(name)).ReadAll()
		check := func(want, err error) {
			t.Helper()
			if want == nil {
				assert.NoError(t, err)
				return
			}
			assert.ErrorIs(t, err, want)
			var field *netreply.FieldError
			require.ErrorAs(t, err, &field)
			assert.Equal(t, "Config.FileAccess", field.Field)
		}
		check(c.read, err)
		assert.Equal(t, c.read == nil, string(read) == "old")
		check(c.write, m.Put(t.Context(), fileRequest(name), netreply.StringBody("new")).Wait(t.Context()))
		now, err := os.ReadFile(name)
		require.NoError(t, err)
		assert.Equal(t, c.write == nil, string(now) == "new")
	}
	for field, cfg := range map[string]netreply.Config{
		"Config.FileAccess": {FileAccess: 9},
		"Config.FileRoot":   {FileRoot: openRoot(t, t.TempDir()), Guard: guard},
	} {
		_, err := netreply.NewManager(cfg)
		var bad *netreply.FieldError
		require.ErrorAs(t, err, &bad)
		assert.Equal(t, field, bad.Field)
	}
	_, err := netreply.NewManager(netreply.Config{FileRoot: openRoot(t, t.TempDir()), FileAccess: netreply.NoFileAccess})
	assert.ErrorContains(t, err, "Config.FileRoot")
	_, err = netreply.NewManager(netreply.Config{FileRoot: openRoot(t, t.TempDir()), Backends: map[string]netreply.Backend{"file": netreply.FSBackend(os.DirFS("."))}})
	assert.ErrorContains(t, err, "Config.FileRoot")
}

// TestFileRoot: no path and no link leads out of Config.FileRoot, for reading or writing.
func TestFileRoot(t *testing.T) {
	dir := t.TempDir()
	inside := filepath.Join(dir, "inside")
	require.NoError(t, os.Mkdir(inside, 0o777))
	secret := filepath.Join(dir, "secret")
	writeFile(t, secret, []byte("secret"))
	writeFile(t, filepath.Join(inside, "file"), []byte("public"))
	require.NoError(t, os.Symlink(secret, filepath.Join(inside, "absolute")))
	require.NoError(t, os.Symlink("../secret", filepath.Join(inside, "relative")))
	require.NoError(t, os.Symlink("..", filepath.Join(inside, "up")))
	require.NoError(t, os.Symlink("../created", filepath.Join(inside, "dangling")))
	require.NoError(t, os.Symlink("file", filepath.Join(inside, "link")))
	m := newManager(t, netreply.Config{FileRoot: openRoot(t, inside), Guard: &netreply.AddressGuard{}, FileAccess: netreply.FullFileAccess})
	for _, path := range []string{"/file", "/link", "/./x/../file", "/../file", "//file"} {
		got, err := m.Get(t.Context(), &netreply.Request{URL: &url.URL{Scheme: "file", Path: path}}).ReadAll()
		require.NoError(t, err, path)
		assert.Equal(t, "public", string(got))
	}
	for _, path := range []string{"/absolute", "/relative", "/up/secret", "/dangling", "/../secret", "/../../../../../.." + secret, "/inside/../../secret", secret} {
		verbs := []string{http.MethodGet, http.MethodHead, http.MethodPut}
		if path == "/../secret" || path == "/inside/../../secret" { // which are /secret below the root
			verbs = verbs[:2]
		}
		for _, verb := range verbs {
			r := m.Send(t.Context(), verb, &netreply.Request{URL: &url.URL{Scheme: "file", Path: path}}, netreply.StringBody("overwritten"))
			got, err := r.ReadAll()
			assert.Error(t, err, "%s %s", verb, path)
			assert.Empty(t, got)
		}
	}
	got, err := os.ReadFile(secret)
	require.NoError(t, err)
	assert.Equal(t, "secret", string(got))
	assert.NoFileExists(t, filepath.Join(dir, "created"))
	require.NoError(t, m.Put(t.Context(), newRequest(t, "file:///new"), netreply.StringBody("x")).Wait(t.Context()))
	assert.FileExists(t, filepath.Join(inside, "new"))
}

// TestFileURLConcurrent: many replies read and write files at once.
func TestFileURLConcurrent(t *testing.T) {
	m := newManager(t, netreply.Config{FileRoot: openRoot(t, t.TempDir())})
	var replies []*netreply.Reply
	for i := range 20 {
		req := newRequest(t, "file:///"+strings.Repeat("f", i+1))
		replies = append(replies, m.Put(t.Context(), req, netreply.BytesBody(make([]byte, i*10_000))))
	}
	for _, r := range replies {
		require.NoError(t, r.Wait(t.Context()))
	}
	for i, r := range replies {
		replies[i] = m.Get(t.Context(), r.Request())
	}
	for i, r := range replies {
		got, err := r.ReadAll()
		require.NoError(t, err)
		assert.Len(t, got, i*10_000)
	}
}
