package netreply_test

import (
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// heldReader is read once, which takes until it is released.
type heldReader struct{ entered, release chan struct{} }

func (h *heldReader) Read(p []byte) (int, error) {
	close(h.entered)
	<-h.release
	return copy(p, "late"), io.EOF
}

// TestFetchIntoWhileWritten: a Reply to which a Backend still writes is refused, left as it is, and
// usable when the writing has ended.
func TestFetchIntoWhileWritten(t *testing.T) {
	written := make(chan error)
	source := &heldReader{entered: make(chan struct{}), release: make(chan struct{})}
	m := backendManager(t, netreply.Config{}, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
		if q.URL.Path == "/own" {
			_, err := io.WriteString(w, "own")
			return err
		}
		go func() {
			_, err := w.(io.ReaderFrom).ReadFrom(source)
			written <- err
		}()
		<-source.entered
		return nil
	})
	var r netreply.Reply
	require.NoError(t, m.FetchInto(t.Context(), &r, "GET", newRequest(t, "test:///late"), nil))
	ctx := r.Context()
	assert.ErrorIs(t, m.FetchInto(t.Context(), &r, "GET", newRequest(t, "test:///own"), nil), netreply.ErrReplyInUse)
	assert.Equal(t, ctx, r.Context())
	assert.Equal(t, "/late", r.URL().Path)
	close(source.release)
	<-written
	require.NoError(t, r.Close())
	_, err := r.ReadAll()
	assert.Error(t, err)
	require.NoError(t, m.FetchInto(t.Context(), &r, "GET", newRequest(t, "test:///own"), nil))
	assert.Equal(t, "own", string(readAll(t, &r)))
}
