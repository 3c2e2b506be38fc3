package journal_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/journal"
)

// noted is an entry as its definition has it.
type noted struct {
	kind      journal.Kind
	at        time.Duration
	a, b      int64
	value     any
	conflates bool
}

// conflate adds an entry to a list in place of the last of its kind, if only entries that conflate
// lie between the two.
func conflate(list []noted, n noted) []noted {
	for i, e := range slices.Backward(list) {
		if !e.conflates {
			break
		}
		if e.kind == n.kind {
			return append(slices.Delete(list, i, i+1), n)
		}
	}
	return append(list, n)
}

// TestShortAndLong: records of every length and mixture have the entries that they should have, for
// a reader that comes at the end and for Last, and nobody sees an entry twice.
func TestShortAndLong(t *testing.T) {
	for seed := range uint64(3000) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		var r journal.Record
		var want []noted
		var early journal.Cursor
		lastSeen := time.Duration(-1)
		for i := range rnd.IntN(14) {
			n := noted{kind: journal.Kind(rnd.IntN(3)), at: time.Duration(i)}
			if rnd.IntN(2) > 0 {
				n.a, n.b = rnd.Int64()-rnd.Int64(), int64(rnd.IntN(3)-1)
			}
			switch rnd.IntN(4) {
			case 0:
				r.Append(n.kind, n.at, n.a, n.b)
				want = append(want, n)
			case 1:
				n.a, n.value = 0, i
				r.AppendValue(n.kind, n.at, n.value, n.b)
				want = append(want, n)
			default:
				n.kind, n.conflates = n.kind+10, true
				r.Conflate(n.kind, n.at, n.a, n.b)
				want = conflate(want, n)
			}
			if rnd.IntN(3) == 0 {
				for e, ok := r.Next(&early); ok; e, ok = r.Next(&early) {
					require.Greater(t, e.At, lastSeen)
					lastSeen = e.At
				}
				require.Equal(t, n.at, lastSeen, "the newest entry")
			}
		}
		var late journal.Cursor
		for _, n := range want {
			e, ok := r.Next(&late)
			require.True(t, ok)
			got := noted{kind: e.Kind(), at: e.At, a: e.A, b: e.B, value: r.Value(e), conflates: n.conflates}
			if got.value != nil {
				got.a = 0
			}
			require.Equal(t, n, got)
		}
		_, more := r.Next(&late)
		require.False(t, more)
		for _, n := range want {
			e, ok := r.Last(n.kind)
			require.True(t, ok)
			require.GreaterOrEqual(t, e.At, n.at)
		}
	}
}
