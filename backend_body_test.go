package netreply_test

import (
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

type closeNotifier struct {
	io.Reader
	closed chan struct{}
}

func (c *closeNotifier) Close() error {
	close(c.closed)
	return nil
}
