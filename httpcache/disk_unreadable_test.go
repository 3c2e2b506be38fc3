package httpcache_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpcache"
)

// TestDiskRemovePrefixUnreadable: RemovePrefix fails if it could not look everywhere, and removes
// what it has found.
func TestDiskRemovePrefixUnreadable(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, httpcache.Limits{})
	require.NoError(t, store(d, "kept", 0, 1, 100))
	shard := filepath.Dir(fileOf(t, dir, ".key"))
	require.NoError(t, store(d, "removed", 0, 1, 100))
	aside := filepath.Join(t.TempDir(), "shard")
	require.NoError(t, os.Rename(shard, aside))
	require.NoError(t, os.WriteFile(shard, nil, 0o600))

	require.Error(t, d.RemovePrefix(bg, ""))
	assert.Zero(t, there(t, d, "removed"))

	require.NoError(t, os.Remove(shard))
	require.NoError(t, os.Rename(aside, shard))
	assert.Equal(t, 1, there(t, d, "kept"))
	require.NoError(t, d.RemovePrefix(bg, ""))
	assert.Zero(t, there(t, d, "kept"))
}
