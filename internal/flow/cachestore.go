package flow

import (
	"context"
	"net/http"
	"sync"

	"github.com/netreply/netreply/httpcache"
	"github.com/netreply/netreply/internal/cacheentry"
	"github.com/netreply/netreply/internal/cacherules"
)

// cache is the store of an Engine, and the responses that are on their way into it.
type cache struct {
	store httpcache.Store

	ctx     context.Context // of what goes on after the end of a transfer
	cancel  context.CancelFunc
	running sync.WaitGroup
	mu      sync.Mutex
	ended   bool // nothing goes on any more
	flights map[flightKey]*fill
	alone   map[string]bool // keys whose responses cannot be shared

	refreshing map[string]bool // keys whose responses are validated in the background

	// now counts invalidations. What was requested before the last one of its key, or of
	// all keys, is not stored.
	now         uint64
	outdated    map[string]uint64
	outdatedAll uint64
}

func newCache(store httpcache.Store) *cache {
	c := &cache{store: store}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// begin begins something that goes on after the end of a transfer, whose end running must be
// told; false if there is to be nothing of that kind any more.
func (c *cache) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	c.running.Add(1)
	return true
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

// outdate keeps what was requested before now from being stored for a key, "" for all. It
// returns now, and when that was done before.
func (c *cache) outdate(key string) (before, now uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now++
	before, now = max(c.outdated[key], c.outdatedAll), c.now
	if c.outdated == nil {
		c.outdated = map[string]uint64{}
	}
	if len(c.outdated) >= maxAlone || key == "" {
		clear(c.outdated)
		c.outdatedAll = c.now
		return before, now
	}
	c.outdated[key] = c.now
	return before, now
}

// lookup returns the entries of a key. The store may be the program's: the clock is paused.
func (c *cache) lookup(t *Transfer, key string) []entry {
	t.Clock.Pause()
	defer t.Clock.Resume()
	found, err := c.store.Lookup(t.ctx, key)
	if err != nil || len(found) == 0 {
		return nil
	}
	entries := make([]entry, 0, len(found))
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
	c.store.Remove(context.WithoutCancel(t.ctx), key) // what is outdated goes, also after an abort
}

func (c *cache) removePrefix(t *Transfer, prefix string) {
	t.Clock.Pause()
	defer t.Clock.Resume()
	c.store.RemovePrefix(context.WithoutCancel(t.ctx), prefix)
}

func (c *cache) update(t *Transfer, req *http.Request, e httpcache.Entry, rec *cacherules.Record) {
	t.Clock.Pause()
	defer t.Clock.Resume()
	c.store.Update(t.ctx, e, cacheentry.Append(nil, req.URL.String(), rec))
}
