package wire

import (
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/testserver"
)

// TestSession: the exchanges of a session use one connection, which is not used by others
// before the session ends; a connection with an owner is used by that owner only.
func TestSession(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/close" {
				w.Header().Set("Connection", "close")
			}
			io.WriteString(w, r.RemoteAddr)
		}))
		b := with(Config{})
		from := func(path string, session *Session, owner any) string {
			_, addr, err := b.fetch(call{url: s.URL + path, session: session, owner: owner})
			require.NoError(t, err)
			return addr
		}
		alice, bob := new(int), new(int)
		session := &Session{Hold: true}
		require.False(t, session.Bound())
		first := from("/", session, alice)
		require.True(t, session.Bound())
		assert.NotEqual(t, first, from("/", nil, alice), "it is held")
		assert.Equal(t, first, from("/", session, alice))
		b.tr.Release(session)
		require.False(t, session.Bound())
		assert.Equal(t, first, from("/", nil, alice), "the one used last")
		assert.NotEqual(t, first, from("/", nil, bob))
		assert.NotEqual(t, first, from("/", nil, nil))

		session = &Session{Hold: true}
		from("/close", session, bob)
		second := from("/", session, bob)
		assert.Equal(t, second, from("/", session, bob), "after one that ended the next is held")
		b.tr.Release(session)
		b.tr.Release(session)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { from("/", nil, bob) })
		}
		wg.Wait()
	})
}
