package netreply_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/hsts"
	"github.com/netreply/netreply/internal/filelock"
	"github.com/netreply/netreply/internal/testserver"
)

// TestHSTSFile: requests do not wait for a locked policy file, and Manager.Close writes to it
// what was learned.
func TestHSTSFile(t *testing.T) {
	if !filelock.Supported {
		t.Skip("no locks on this system")
	}
	s, cfg := testserver.NewOrigin(t, testserver.TLS, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=31536000")
		io.WriteString(w, "hello")
	}))
	file := filepath.Join(t.TempDir(), "hsts")
	store, err := hsts.Open(file)
	require.NoError(t, err)
	t.Cleanup(func() { store.Close() })
	other, err := os.OpenFile(file+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	require.NoError(t, err)
	locked, err := filelock.Try(other)
	require.NoError(t, err)
	require.True(t, locked)

	config := netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}, HSTS: store, DialContext: dialTo(s.Listener.Addr().String())}
	m := newManager(t, config)
	for _, host := range []string{"example.com", "www.example.com"} {
		assert.Equal(t, "hello", readBody(t, m.Get(t.Context(), newRequest(t, "https://"+host+"/"))))
		assert.True(t, store.Known(host))
	}
	assert.Equal(t, "hello", readBody(t, m.Get(t.Context(), newRequest(t, "http://example.com/"))), "known while it is not written")

	closed := make(chan struct{})
	go func() {
		defer close(closed)
		m.Close()
	}()
	select {
	case <-closed:
	case <-time.After(30 * time.Second):
		t.Fatal("Close waits for the lock")
	}
	require.NoError(t, other.Close())

	written := false
	for range 20 { // Close waits for a second only, which a busy machine may need
		m = newManager(t, config)
		require.NoError(t, m.Close())
		fresh, err := hsts.Open(file)
		require.NoError(t, err)
		written = fresh.Known("www.example.com")
		require.NoError(t, fresh.Close())
		if written {
			break
		}
	}
	assert.True(t, written)
}
