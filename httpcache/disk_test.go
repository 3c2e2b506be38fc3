package httpcache_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpcache"
	"github.com/netreply/netreply/httpcache/storetest"
)

// openDisk opens a Disk that the end of the test closes.
func openDisk(t testing.TB, dir string, l httpcache.Limits) *httpcache.Disk {
	d, err := httpcache.OpenDisk(dir, l)
	require.NoError(t, err)
	t.Cleanup(func() { d.Close() })
	return d
}

// filesOf lists the files below a directory whose names end with suffix.
func filesOf(t testing.TB, dir, suffix string) (names []string) {
	require.NoError(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.HasSuffix(name, suffix) {
			names = append(names, name)
		}
		return err
	}))
	return names
}

func TestDisk(t *testing.T) {
	var dirs sync.Map // of a Store
	open := func(t testing.TB, dir string, l httpcache.Limits) httpcache.Store {
		d := openDisk(t, dir, l)
		dirs.Store(httpcache.Store(d), dir)
		return d
	}
	dirOf := func(s httpcache.Store) string {
		dir, _ := dirs.Load(s)
		return dir.(string)
	}
	storetest.Test(t, storetest.Subject{
		New: func(t testing.TB) httpcache.Store { return open(t, t.TempDir(), httpcache.Limits{}) },
		Limited: func(t testing.TB, size int64) httpcache.Store {
			return open(t, t.TempDir(), httpcache.Limits{Size: size})
		},
		Reopen: func(t testing.TB, s httpcache.Store) httpcache.Store {
			require.NoError(t, s.(*httpcache.Disk).Close())
			return open(t, dirOf(s), httpcache.Limits{})
		},
		Join: func(t testing.TB, s httpcache.Store) httpcache.Store { return open(t, dirOf(s), httpcache.Limits{}) },
		Damage: func(t testing.TB, s httpcache.Store) {
			for _, name := range filesOf(t, dirOf(s), ".body") {
				b, err := os.ReadFile(name)
				require.NoError(t, err)
				b[len(b)/2] ^= 1
				require.NoError(t, os.WriteFile(name, b, 0o600))
			}
		},
	})
}

func TestOpenDiskWithoutDirectory(t *testing.T) {
	d, err := httpcache.OpenDisk("", httpcache.Limits{})
	assert.Nil(t, d)
	assert.ErrorContains(t, err, "without a directory")
}
