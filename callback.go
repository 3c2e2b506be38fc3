package netreply

import (
	"errors"
	"reflect"
	"runtime"

	"github.com/netreply/netreply/internal/journal"
)

// ErrInsideOnSignal is the error of methods that would wait for a reply, such as ReadAll or
// Wait, inside an OnSignal or Answer of the same reply: the reply continues only when the
// callback returns, so that the wait would never end.
var ErrInsideOnSignal = errors.New("the reply continues only when OnSignal or Answer returns: read without waiting (ReadAvailable), or wait on another goroutine")

// teller serialises the calls of OnSignal for one reply, in the order of Events, on
// whatever goroutine emits a signal while no call is running. The reply's lock guards it.
type teller struct {
	busy    bool
	told    journal.Cursor // position in the record up to which OnSignal was called
	changed chan struct{}  // closed when told or busy changes; nil if no goroutine waits
}

func (t *teller) wake() {
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}

// tell calls OnSignal for all recorded signals for which it was not called yet. If another
// goroutine is calling it, that goroutine makes the remaining calls: Abort returns at once,
// while the transfer, which OnSignal may stop at any signal, waits until the call for e has
// returned. The caller holds the lock; tell releases it.
func (r *Reply) tell(e journal.Entry) {
	defer r.mu.Unlock()
	if !r.hasOnSignal() {
		return
	}
	if r.teller == nil {
		r.teller = new(teller)
	}
	t := r.teller
	if t.busy {
		t.wake() // goroutines that wait below: the reply may have ended
		if r.state != running || r.insideCallback() {
			return
		}
		for t.busy && r.state == running && !t.told.Passed(e) {
			r.untilTold()
		}
	}
	for !t.busy {
		next := t.told
		e, ok := r.record.next(&next)
		if !ok {
			return
		}
		r.tellOne(e, next)
	}
}

func (r *Reply) hasOnSignal() bool { return r.m.cfg.OnSignal != nil || r.req.OnSignal != nil }

// untilTold waits for a change of the teller. The caller holds the lock, which is released
// during the wait.
func (r *Reply) untilTold() {
	t := r.teller
	if t.changed == nil {
		t.changed = make(chan struct{})
	}
	changed := t.changed
	r.mu.Unlock()
	<-changed
	r.mu.Lock()
}

// tellOne calls OnSignal for one entry. The teller stays usable if that panics or calls
// runtime.Goexit. The caller holds the lock, which is released during the call.
func (r *Reply) tellOne(e entry, told journal.Cursor) {
	t := r.teller
	t.busy = true
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		t.busy, t.told = false, told
		t.wake()
	}()
	r.callBack(e.event())
}

// callBack calls OnSignal, that of the Manager first (rule S6). insideCallback looks for it
// on the stack, so it must not be inlined.
//
//go:noinline
func (r *Reply) callBack(e Event) {
	r.calls.Add(1)
	defer r.calls.Add(-1)
	r.clock.Pause() // the time of the program is not the peer's silence
	defer r.clock.Resume()
	if f := r.m.cfg.OnSignal; f != nil {
		f(r, e)
	}
	if f := r.req.OnSignal; f != nil {
		f(r, e)
	}
}

// callAnswer calls Answer. insideCallback looks for it on the stack.
//
//go:noinline
func (r *Reply) callAnswer(q Question) {
	r.calls.Add(1)
	defer r.calls.Add(-1)
	r.req.Answer(r.ctx, q)
}

// insideCallback reports whether the calling goroutine is in an OnSignal or Answer of this
// reply. Go has no goroutine identity, so while a callback of the reply is running it
// inspects the stack of the caller; it is used only before a wait. A wait for one reply in
// a callback of another may therefore be refused if a callback of the first is running,
// too.
func (r *Reply) insideCallback() bool { return r.calls.Load() > 0 && calledBack() }

// callBackEntry and callAnswerEntry are set by init: an initialiser that refers to these
// functions would be an initialisation cycle.
var callBackEntry, callAnswerEntry uintptr

func init() {
	callBackEntry = reflect.ValueOf((*Reply).callBack).Pointer()
	callAnswerEntry = reflect.ValueOf((*Reply).callAnswer).Pointer()
}

// calledBack reports whether the calling goroutine is in an OnSignal or Answer of any reply.
func calledBack() bool {
	pcs := make([]uintptr, 128)
	n := runtime.Callers(2, pcs)
	for n == len(pcs) {
		pcs = make([]uintptr, 2*len(pcs))
		n = runtime.Callers(2, pcs)
	}
	for _, pc := range pcs[:n] {
		if f := runtime.FuncForPC(pc - 1); f != nil && (f.Entry() == callBackEntry || f.Entry() == callAnswerEntry) {
			return true
		}
	}
	return false
}

// errWouldWait is the error of a wait inside OnSignal or Answer.
func errWouldWait() error {
	return localError(ProtocolInvalidOperationError, "Waiting inside a callback", ErrInsideOnSignal)
}
