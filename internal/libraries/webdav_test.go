package libraries

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/studio-b12/gowebdav"
	"golang.org/x/net/webdav"

	"github.com/netreply/netreply/internal/testserver"
)

// TestWebDAV: methods that are not of HTTP itself, and a library that answers challenges
// itself and sends bodies again.
func TestWebDAV(t *testing.T) {
	each(t, testserver.Kinds, func(t *testing.T, c *client) {
		h := &webdav.Handler{FileSystem: webdav.NewMemFS(), LockSystem: webdav.NewMemLS()}
		s, rt := c.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if user, password, _ := r.BasicAuth(); user != "gopher" || password != "burrow" {
				io.Copy(io.Discard, r.Body)
				w.Header().Set("WWW-Authenticate", `Basic realm="files"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			h.ServeHTTP(w, r)
		}))
		client := gowebdav.NewClient(s.URL, "gopher", "burrow")
		client.SetTransport(rt)
		data := randomBytes(200_000)

		require.NoError(t, client.MkdirAll("/a folder/ü", 0o755))
		require.NoError(t, client.Write("/a folder/ü/data+1.bin", data, 0o644))
		require.NoError(t, client.WriteStream("/a folder/ü/stream", io.MultiReader(bytes.NewReader(data)), 0o644))
		require.NoError(t, client.Copy("/a folder/ü/stream", "/a folder/copy", true))
		require.NoError(t, client.Rename("/a folder/ü/stream", "/a folder/moved", true))

		names := func(folder string) (list []string) {
			files, err := client.ReadDir(folder)
			require.NoError(t, err)
			for _, f := range files {
				list = append(list, f.Name())
			}
			slices.Sort(list)
			return list
		}
		assert.Equal(t, []string{"copy", "moved", "ü"}, names("/a folder"))
		assert.Equal(t, []string{"data+1.bin"}, names("/a folder/ü"))
		info, err := client.Stat("/a folder/copy")
		require.NoError(t, err)
		assert.Equal(t, int64(len(data)), info.Size())
		got, err := client.Read("/a folder/ü/data+1.bin")
		require.NoError(t, err)
		assert.True(t, bytes.Equal(data, got))
		part, err := client.ReadStreamRange("/a folder/moved", 1000, 50)
		require.NoError(t, err)
		got, err = io.ReadAll(part)
		require.NoError(t, err)
		require.NoError(t, part.Close())
		assert.Equal(t, data[1000:1050], got)

		require.NoError(t, client.RemoveAll("/a folder"))
		_, err = client.Stat("/a folder/copy")
		assert.True(t, gowebdav.IsErrNotFound(err), "%v", err)

		stranger := gowebdav.NewClient(s.URL, "gopher", "wrong")
		stranger.SetTransport(rt)
		_, err = stranger.ReadDir("/")
		assert.True(t, gowebdav.IsErrCode(err, http.StatusUnauthorized), "%v", err)
	})
}
