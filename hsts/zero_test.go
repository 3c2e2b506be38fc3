package hsts_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/hsts"
)

// noContext is nil, which programs pass by mistake.
var noContext context.Context

// TestZeroStore: the zero value is a store in memory, whatever method is called first.
func TestZeroStore(t *testing.T) {
	policy := hsts.Policy{Host: "b.test", Expires: time.Now().Add(time.Hour)}
	for name, use := range map[string]func(*hsts.Store){
		"Learn":   func(s *hsts.Store) { assert.True(t, s.Learn("b.test", []string{"max-age=100"})) },
		"Add":     func(s *hsts.Store) { s.Add(policy) },
		"Remove":  func(s *hsts.Store) { s.Remove("b.test") },
		"Clear":   (*hsts.Store).Clear,
		"Known":   func(s *hsts.Store) { assert.False(t, s.Known("a.test")) },
		"Upgrade": func(s *hsts.Store) { assert.Nil(t, s.Upgrade(nil)) },
		"Flush":   func(s *hsts.Store) { require.NoError(t, s.Flush(noContext)) },
		"Close":   func(s *hsts.Store) { require.NoError(t, s.Close()) },
		"All": func(s *hsts.Store) {
			for range s.All() {
				t.Error("there is nothing")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var s hsts.Store
			use(&s)
			s.Add(hsts.Policy{Host: "a.test", Expires: time.Now().Add(time.Hour)})
			assert.True(t, s.Known("a.test"))
		})
	}
}

// TestOpenEmptyName: an empty file name is an error, not a store without a file.
func TestOpenEmptyName(t *testing.T) {
	_, err := hsts.Open("")
	require.ErrorContains(t, err, "NewStore")

	s, err := hsts.Open(filepath.Join(t.TempDir(), "hsts"))
	require.NoError(t, err)
	s.Add(hsts.Policy{Host: "a.test", Expires: time.Now().Add(time.Hour)})
	require.NoError(t, s.Flush(noContext))
	require.NoError(t, s.Close())
}
