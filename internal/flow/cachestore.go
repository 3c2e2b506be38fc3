package flow

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/netreply/netreply/httpcache"
	"github.com/netreply/netreply/internal/cacheentry"
	"github.com/netreply/netreply/internal/cacherules"
)

// cache is the store of an Engine, and the responses that are on their way into it.
type cache struct {
	store httpcache.Store

	ctx       context.Context // of what goes on after the end of a transfer
	cancel    context.CancelFunc
	running   sync.WaitGroup
	mu        sync.Mutex
	ended     bool           // nothing goes on any more
	behind    map[string]int // how much goes on, by host
	allBehind int
	flights   map[flightKey]*fill
	alone     map[string]bool // keys whose responses cannot be shared

	refreshing map[string]bool // keys whose responses are validated in the background

	// now counts invalidations. What was requested before the last one of its key, of the
	// beginning of its key (cleared), or of all keys, is not stored.
	now               uint64
	outdated, cleared map[string]uint64
	outdatedAll       uint64

	searches  cacherules.SearchIndex
	searching atomic.Bool // searches is not empty

	owed owed
}

func newCache(store httpcache.Store) *cache {
	c := &cache{store: store}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// What goes on after the end of a transfer takes connections from those that the program waits for:
// maxBehind bounds it for all hosts, maxBehindHost for each.
const (
	maxBehind     = 64
	maxBehindHost = 2
)

// begin begins something that goes on after the end of a transfer, with a connection to host, and
// whose end done must be told; false if there is to be nothing more of that kind.
func (c *cache) begin(host string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.allBehind >= maxBehind || c.behind[host] >= maxBehindHost {
		return false
	}
	if c.behind == nil {
		c.behind = map[string]int{}
	}
	c.behind[host]++
	c.allBehind++
	c.running.Add(1)
	return true
}

func (c *cache) done(host string) {
	c.mu.Lock()
	if c.behind[host]--; c.behind[host] == 0 {
		delete(c.behind, host)
	}
	c.allBehind--
	c.mu.Unlock()
	c.running.Done()
}

// close ends all that goes on after the end of a transfer.
func (c *cache) close() {
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.cancel()
	c.running.Wait()
}

func (c *cache) invalidations() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// outdate keeps what was requested before now from being stored for a key. It returns now, and
// when that was done before.
func (c *cache) outdate(key string) (before, now uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before = c.lastOutdated(key)
	c.outdated = c.noteOutdated(c.outdated, key)
	return before, c.now
}

// outdatePrefix is outdate for all keys that begin with prefix.
func (c *cache) outdatePrefix(prefix string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cleared = c.noteOutdated(c.cleared, prefix)
}

// noteOutdated adds to outdated or cleared. The caller holds the lock.
func (c *cache) noteOutdated(m map[string]uint64, key string) map[string]uint64 {
	c.now++
	if m == nil || len(m) >= maxKeys {
		if m != nil {
			c.outdatedAll = c.now
		}
		m = map[string]uint64{}
	}
	m[key] = c.now
	return m
}

// current reports whether a response may be stored: nothing has invalidated it since it was
// requested.
func (f *fill) current() bool {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	return f.c.now == f.began || f.c.lastOutdated(f.key) <= f.began
}

// lastOutdated is when a key was last invalidated. The caller holds the lock.
func (c *cache) lastOutdated(key string) uint64 {
	last := max(c.outdated[key], c.outdatedAll)
	for prefix, at := range c.cleared {
		if at > last && strings.HasPrefix(key, prefix) {
			last = at
		}
	}
	return last
}

// lookup appends the entries of a key. The store may be the program's: the clock is paused.
func (c *cache) lookup(t *Transfer, key string, entries []entry) []entry {
	t.Clock.Pause()
	defer t.Clock.Resume()
	if !c.settle(t.ctx, key) {
		return nil
	}
	found, err := c.store.Lookup(t.ctx, key)
	if err != nil || len(found) == 0 {
		return nil
	}
	for _, e := range found {
		if s := parsed(e); s != nil {
			entries = append(entries, entry{s, e})
		}
	}
	return entries
}

// parsed is what the metadata of an entry says, nil if it is damaged. An entry that stays in
// memory keeps it.
func parsed(e httpcache.Entry) *cacherules.Stored {
	memo, keeps := e.(httpcache.Memo)
	if keeps {
		if s, ok := memo.Memo().Load().(*cacherules.Stored); ok {
			return s
		}
	}
	_, rec, err := cacheentry.Parse(e.Meta())
	if err != nil {
		return nil
	}
	s := cacherules.NewStored(rec)
	if keeps {
		memo.Memo().Store(s)
	}
	return s
}

func (c *cache) remove(t *Transfer, key string) {
	t.Clock.Pause()
	defer t.Clock.Resume()
	c.removeKey(t.ctx, key)
}

// removeKey is remove without a clock to pause.
func (c *cache) removeKey(ctx context.Context, key string) {
	if c.store.Remove(context.WithoutCancel(ctx), key) != nil { // what is outdated goes, also after an abort
		c.oweKey(key)
	}
}

func (c *cache) removePrefix(t *Transfer, prefix string) {
	t.Clock.Pause()
	defer t.Clock.Resume()
	if c.store.RemovePrefix(context.WithoutCancel(t.ctx), prefix) != nil {
		c.owePrefix(prefix)
	}
}

func (c *cache) update(t *Transfer, url string, e httpcache.Entry, rec *cacherules.Record) {
	t.Clock.Pause()
	defer t.Clock.Resume()
	c.store.Update(t.ctx, e, cacheentry.Append(nil, url, rec))
}
