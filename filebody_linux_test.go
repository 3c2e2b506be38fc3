package netreply_test

import (
	"io"
	"net/http"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// TestFilesWithoutSize: files that the system makes up, whose size is 0, are sent to their
// end.
func TestFilesWithoutSize(t *testing.T) {
	const name = "/proc/self/cmdline"
	want, err := os.ReadFile(name)
	require.NoError(t, err)
	require.NotEmpty(t, want)
	file := func(offset int64) io.Reader {
		f, err := os.Open(name)
		require.NoError(t, err)
		t.Cleanup(func() { f.Close() })
		_, err = f.Seek(offset, io.SeekStart)
		require.NoError(t, err)
		return f
	}
	eachProtocol(t, func(w http.ResponseWriter, q *http.Request) { io.Copy(w, q.Body) }, netreply.Config{}, func(t *testing.T, s *fixture) {
		for _, c := range []struct {
			body netreply.Body
			want []byte
		}{
			{netreply.FileBody(name), want},
			{netreply.ReaderBody(file(0)), want},
			{netreply.ReaderBody(file(5)), want[5:]},
		} {
			got, err := s.m.Post(t.Context(), s.request("/"), c.body).ReadAll()
			require.NoError(t, err)
			assert.Equal(t, string(c.want), string(got))
		}
	})
}
