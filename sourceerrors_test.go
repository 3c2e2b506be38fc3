package netreply_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// TestSourceErrorWrapsEOF: only io.EOF itself is the end of a source. An error that wraps it
// fails the reply like any other, also in the middle of a body.
func TestSourceErrorWrapsEOF(t *testing.T) {
	m := newManager(t, netreply.Config{Backends: map[string]netreply.Backend{
		"test": netreply.BackendFunc(func(q *netreply.BackendRequest, _ netreply.ReplyWriter) error {
			_, err := io.Copy(io.Discard, q.Body)
			return err
		}),
	}})
	broken := fmt.Errorf("broken source: %w", io.EOF)
	source := func() io.Reader { return io.MultiReader(strings.NewReader("start"), iotest.ErrReader(broken)) }
	part := func(body netreply.Body) netreply.Body {
		form := &netreply.Multipart{}
		form.AddFile("a", "b", "text/plain", body)
		return form
	}
	again := func(size int64) netreply.Body {
		return netreply.SourceBody(size, func() (io.ReadCloser, error) { return io.NopCloser(source()), nil })
	}
	for name, body := range map[string]netreply.Body{
		"reader":             netreply.ReaderBody(source()),
		"source":             again(-1),
		"part":               part(again(-1)),
		"part of known size": part(again(10)),
		"part, reader":       part(netreply.ReaderBody(source())),
		"compressed":         netreply.CompressedBody(again(-1), "gzip"),
	} {
		t.Run(name, func(t *testing.T) {
			q := newRequest(t, "test:x")
			q.DoNotBufferUploadData = true
			r := m.Fetch(t.Context(), http.MethodPost, q, body)
			require.ErrorIs(t, r.Err(), broken)
			assert.True(t, errors.Is(r.Err(), netreply.UnknownNetworkError), "%v", r.Err())
		})
	}
}
