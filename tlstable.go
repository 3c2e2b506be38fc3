package netreply

import (
	"container/list"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/netreply/netreply/internal/wire"
)

// profileTable maps SSLConfigurations to profiles, by value. It drops the configurations
// that were not used for the longest time.
type profileTable struct {
	defaults *profiles                // of the Manager's configuration
	last     atomic.Pointer[profiles] // the profiles found last, nil for none
	dropped  func([]*wire.Profile)    // called with profiles that no request will use any more

	mu    sync.Mutex
	order *list.List // of *profiles, the most recently used first
}

// maxProfiles bounds the number of configurations. When it is reached a quarter of them is
// dropped at once, because closing their connections requires a search of all connections.
const maxProfiles = 256

func newProfileTable(usual *SSLConfiguration, dropped func([]*wire.Profile)) *profileTable {
	return &profileTable{defaults: usual.snapshot().makeProfiles(), dropped: dropped, order: list.New()}
}

// of returns the profiles for the current value of a configuration, nil meaning the
// Manager's, or an error for an invalid field.
func (t *profileTable) of(c *SSLConfiguration, field string) (*profiles, error) {
	if c == nil || t.defaults.from.equals(c) {
		return t.defaults, nil
	}
	if p := t.last.Load(); p != nil && p.from.equals(c) {
		return p, nil
	}
	t.mu.Lock()
	p := t.find(c)
	t.mu.Unlock()
	if p == nil {
		if err := c.validate(field); err != nil {
			return nil, err
		}
		p = t.add(c.snapshot().makeProfiles()) // without the lock: it may read the system's certificates
	}
	t.last.Store(p)
	return p, nil
}

// find returns the profiles of a configuration, nil if it is not in the table, and marks it
// as the most recently used. The caller holds the lock.
func (t *profileTable) find(c *SSLConfiguration) *profiles {
	for e := t.order.Front(); e != nil; e = e.Next() {
		if p := e.Value.(*profiles); p.from.equals(c) {
			t.order.MoveToFront(e)
			return p
		}
	}
	return nil
}

// add adds new profiles and returns them, or returns those of an equal configuration that
// another request has added meanwhile.
func (t *profileTable) add(p *profiles) *profiles {
	t.mu.Lock()
	if known := t.find(&p.from.SSLConfiguration); known != nil {
		t.mu.Unlock()
		return known
	}
	var old []*profiles
	if t.order.Len() == maxProfiles {
		for range maxProfiles / 4 {
			old = append(old, t.order.Remove(t.order.Back()).(*profiles))
		}
	}
	t.order.PushFront(p)
	t.mu.Unlock()
	if len(old) > 0 {
		var wires []*wire.Profile
		for _, p := range old {
			wires = p.appendWire(wires)
		}
		t.dropped(wires)
	}
	return p
}

// appendWire appends all profiles of p that connections may use.
func (p *profiles) appendWire(list []*wire.Profile) []*wire.Profile {
	p.mu.Lock()
	defer p.mu.Unlock()
	list = append(list, p.strict)
	if p.forHSTS != nil {
		list = append(list, p.forHSTS)
	}
	for _, l := range p.lenient {
		list = append(list, l.profile)
	}
	if p.anonymous != nil {
		list = p.anonymous.appendWire(list)
	}
	return slices.Clip(list)
}
