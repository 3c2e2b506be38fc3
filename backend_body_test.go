package netreply_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// TestBackendLeavesBody: a reply finishes when Serve returns, also while another goroutine of
// the Backend opens the body and that does not return.
func TestBackendLeavesBody(t *testing.T) {
	opening, release, closed := make(chan struct{}), make(chan struct{}), make(chan struct{})
	read := make(chan error, 1)
	m := backendManager(t, netreply.Config{}, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
		go func() {
			_, err := io.Copy(io.Discard, q.Body)
			read <- err
		}()
		<-opening
		_, err := io.WriteString(w, "enough")
		return err
	})
	r := m.Post(t.Context(), newRequest(t, "test:x"), netreply.SourceBody(4, func() (io.ReadCloser, error) {
		close(opening)
		<-release
		return &closeNotifier{strings.NewReader("body"), closed}, nil
	}))
	got, err := r.ReadAll()
	require.NoError(t, err)
	assert.Equal(t, "enough", string(got))
	close(release)
	var usage *netreply.UsageError
	require.ErrorAs(t, <-read, &usage)
	<-closed // what was opened too late
}

// TestBackendContentLength: a Content-Length that the program has set is never another one than
// that of the body.
func TestBackendContentLength(t *testing.T) {
	m := backendManager(t, netreply.Config{}, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
		b, err := io.ReadAll(q.Body)
		fmt.Fprint(w, len(b), " ", q.ContentLength, " ", q.Headers.Values("Content-Length"))
		return err
	})
	unknown := netreply.SourceBody(-1, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("0123456789")), nil })
	for _, c := range []struct {
		set  string
		body netreply.Body
		want string
	}{
		{"", netreply.StringBody("0123456789"), "10 10 []"},
		{"10", netreply.StringBody("0123456789"), "10 10 [10]"},
		{"+5", netreply.StringBody("0123456789"), "5 5 [5]"},
		{"1000", netreply.StringBody("0123456789"), "10 10 [10]"},
		{"0", netreply.StringBody("0123456789"), "0 0 [0]"},
		{"5", unknown, "5 5 [5]"},
		{"5", netreply.CompressedBody(unknown, "gzip"), "35 -1 []"},
		{"5", nil, "0 0 []"},
		{"nonsense", nil, "0 0 []"},
	} {
		q := newRequest(t, "test:x")
		if c.set != "" {
			q.Headers.Set("Content-Length", c.set)
		}
		got, err := m.Post(t.Context(), q, c.body).Text()
		require.NoError(t, err)
		assert.Equal(t, c.want, got, "%s", c.set)
	}
}

type closeNotifier struct {
	io.Reader
	closed chan struct{}
}

func (c *closeNotifier) Close() error {
	close(c.closed)
	return nil
}
