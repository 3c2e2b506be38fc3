package flow

import (
	"context"
	"strings"
	"sync/atomic"
)

// owed is what could not be removed because the store has failed, while it could not be reached,
// for instance. It must not be used when the store is there again: it is removed before anything
// of it is looked up. The lock of the cache guards keys and prefixes.
type owed struct {
	any            atomic.Bool    // there is something
	keys, prefixes map[string]int // with the number of the last failure
	failures       int
}

// oweKey notes a key.
func (c *cache) oweKey(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.owed.keys == nil {
		c.owed.keys = map[string]int{}
	}
	c.owed.failures++
	c.owed.keys[key] = c.owed.failures
	c.boundOwed()
}

// owePrefix notes all keys that begin with prefix.
func (c *cache) owePrefix(prefix string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.owed.prefixes == nil {
		c.owed.prefixes = map[string]int{}
	}
	c.owed.failures++
	c.owed.prefixes[prefix] = c.owed.failures
	c.boundOwed()
}

// boundOwed owes everything in place of very much. The caller holds the lock.
func (c *cache) boundOwed() {
	if len(c.owed.keys)+len(c.owed.prefixes) > maxKeys {
		c.owed.keys, c.owed.prefixes = nil, map[string]int{"": c.owed.failures}
	}
	c.owed.any.Store(true)
}

// settle removes what is owed of a key, and reports whether that was possible.
func (c *cache) settle(ctx context.Context, key string) bool {
	if !c.owed.any.Load() {
		return true
	}
	c.mu.Lock()
	_, owesKey := c.owed.keys[key]
	before := c.owed.failures
	var prefixes []string
	for prefix := range c.owed.prefixes {
		if strings.HasPrefix(key, prefix) {
			prefixes = append(prefixes, prefix)
		}
	}
	c.mu.Unlock()
	if owesKey && c.store.Remove(ctx, key) != nil {
		return false
	}
	for _, prefix := range prefixes {
		if c.store.RemovePrefix(ctx, prefix) != nil {
			return false
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.owed.keys[key] <= before {
		delete(c.owed.keys, key)
	}
	for _, prefix := range prefixes {
		if c.owed.prefixes[prefix] <= before {
			delete(c.owed.prefixes, prefix)
		}
	}
	c.owed.any.Store(len(c.owed.keys)+len(c.owed.prefixes) > 0)
	return true
}
