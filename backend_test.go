package netreply_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// backendManager makes a Manager whose scheme test is served by serve.
func backendManager(t *testing.T, cfg netreply.Config, serve netreply.BackendFunc) *netreply.Manager {
	t.Helper()
	cfg.Backends = map[string]netreply.Backend{"test": serve}
	return newManager(t, cfg)
}

// TestBackend: a reply of a Backend has the signals of one of HTTP.
func TestBackend(t *testing.T) {
	m := backendManager(t, netreply.Config{}, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
		assert.Equal(t, "test:a/b?c", q.URL.String())
		assert.NoError(t, w.SetAttribute(netreply.HTTPStatusCode, 200))
		assert.NoError(t, w.SetHeader(netreply.ContentLengthHeader, int64(5)))
		_, err := io.WriteString(w, "hello")
		return err
	})
	r := m.Get(t.Context(), newRequest(t, "test:a/b?c"))
	b, err := r.ReadAll()
	require.NoError(t, err)
	assert.Equal(t, "hello", string(b))
	assert.Equal(t, 200, r.StatusCode())
	assert.EqualValues(t, 5, r.ContentLength())
	var names []string
	for e := range r.Events(t.Context()) {
		names = append(names, reflect.TypeOf(e).Name())
	}
	assert.Equal(t, []string{"MetaDataChanged", "ReadyRead", "DownloadProgress", "Finished"}, names)
}

// TestBackendErrors: the code of an error that Serve returns.
func TestBackendErrors(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want netreply.NetworkError
	}{
		"not exist":  {fs.ErrNotExist, netreply.ContentNotFoundError},
		"permission": {&fs.PathError{Op: "open", Path: "x", Err: fs.ErrPermission}, netreply.ContentAccessDenied},
		"cut":        {io.ErrUnexpectedEOF, netreply.RemoteHostClosedError},
		"code":       {netreply.ContentGoneError, netreply.ContentGoneError},
		"other":      {errors.New("broken"), netreply.UnknownNetworkError},
	} {
		t.Run(name, func(t *testing.T) {
			m := backendManager(t, netreply.Config{}, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
				io.WriteString(w, "part")
				return c.err
			})
			b, err := m.Get(t.Context(), newRequest(t, "test:x")).ReadAll()
			require.ErrorIs(t, err, c.want)
			require.ErrorIs(t, err, c.err)
			assert.Equal(t, "part", string(b))
		})
	}
}

// TestBackendErrorText: an error that is a code or wraps it first names the code once.
func TestBackendErrorText(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{netreply.ContentGoneError, "netreply: GET test:x: ContentGoneError (headers)"},
		{fmt.Errorf("%w: it was moved", netreply.ContentGoneError), "netreply: GET test:x: ContentGoneError (headers): it was moved"},
		{fmt.Errorf("moved: %w", netreply.ContentGoneError), "netreply: GET test:x: ContentGoneError (headers): moved: ContentGoneError"},
	} {
		m := backendManager(t, netreply.Config{}, func(*netreply.BackendRequest, netreply.ReplyWriter) error { return c.err })
		assert.EqualError(t, m.Get(t.Context(), newRequest(t, "test:x")).Wait(t.Context()), c.want)
	}
}
