package netreply

import (
	"container/list"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/netreply/netreply/internal/wire"
)

// profileTable finds what an SSLConfiguration has become on the wire, by its value. Those
// that were not used for the longest time are dropped.
type profileTable struct {
	usual   *profiles                // of the Manager's configuration
	latest  atomic.Pointer[profiles] // that was found, nil for none
	dropped func([]*wire.Profile)    // told what no request will find any more

	mu    sync.Mutex
	order *list.List // of *profiles, the most recently used first
}

// maxProfiles bounds the configurations that a Manager knows. Beyond, a quarter of them is
// dropped at once, because to close their connections means to look through all there are.
const maxProfiles = 256

func newProfileTable(usual *SSLConfiguration, dropped func([]*wire.Profile)) *profileTable {
	return &profileTable{usual: usual.snapshot().makeProfiles(), dropped: dropped, order: list.New()}
}

// of gives the profiles of a configuration as it is now, nil being the Manager's, or an
// error that names what of it cannot be used.
func (t *profileTable) of(c *SSLConfiguration, field string) (*profiles, error) {
	if c == nil || t.usual.from.equals(c) {
		return t.usual, nil
	}
	if p := t.latest.Load(); p != nil && p.from.equals(c) {
		return p, nil
	}
	t.mu.Lock()
	p := t.find(c)
	t.mu.Unlock()
	if p == nil {
		if err := c.validate(field); err != nil {
			return nil, err
		}
		p = t.add(c.snapshot().makeProfiles()) // which may read the system's certificates
	}
	t.latest.Store(p)
	return p, nil
}

// find looks for a configuration, and makes it the one that was used last. The caller holds
// the lock.
func (t *profileTable) find(c *SSLConfiguration) *profiles {
	for e := t.order.Front(); e != nil; e = e.Next() {
		if p := e.Value.(*profiles); p.from.equals(c) {
			t.order.MoveToFront(e)
			return p
		}
	}
	return nil
}

// add enters new profiles, unless another request was faster, and gives those to use.
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

// appendWire adds all profiles that connections may be kept with.
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
