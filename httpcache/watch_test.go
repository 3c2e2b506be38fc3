package httpcache_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpcache"
	"github.com/netreply/netreply/httpcache/storetest"
)

// TestWatched: what is watched is a Store like any other.
func TestWatched(t *testing.T) {
	storetest.Test(t, storetest.Subject{
		New: func(testing.TB) httpcache.Store {
			return httpcache.Watch(httpcache.NewMemory(httpcache.Limits{}), func(string, error) {})
		},
		Limited: func(_ testing.TB, size int64) httpcache.Store {
			return httpcache.Watch(httpcache.NewMemory(httpcache.Limits{Size: size}), func(string, error) {})
		},
	})
	s := httpcache.Watch(httpcache.NewMemory(httpcache.Limits{}), nil)
	_, lists := s.(httpcache.Lister)
	_, reserves := s.(httpcache.Reserver)
	assert.True(t, lists)
	assert.False(t, reserves)
	disk, err := httpcache.OpenDisk(t.TempDir(), httpcache.Limits{})
	require.NoError(t, err)
	defer disk.Close()
	_, reserves = httpcache.Watch(disk, nil).(httpcache.Reserver)
	_, want := httpcache.Store(disk).(httpcache.Reserver)
	assert.Equal(t, want, reserves)
	assert.Nil(t, httpcache.Watch(nil, nil))
}
