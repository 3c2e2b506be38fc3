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

// dispatcher serialises the calls of OnSignal for one reply, in the order of Events, on
// whatever goroutine emits a signal while no call is running. The reply's lock guards it.
type dispatcher struct {
	busy    bool
	called  journal.Cursor // position in the record up to which OnSignal was called
	changed chan struct{}  // closed when called or busy changes; nil if no goroutine waits
}

func (d *dispatcher) wake() {
	if d.changed != nil {
		close(d.changed)
		d.changed = nil
	}
}

// dispatch calls OnSignal for all recorded signals for which it was not called yet. If another
// goroutine is calling it, that goroutine makes the remaining calls: Abort returns at once,
// while the transfer, which OnSignal may stop at any signal, waits until the call for e has
// returned. The caller holds the lock; dispatch releases it.
func (r *Reply) dispatch(e journal.Cursor) {
	if r.hasOnSignal() {
		r.dispatchAll(e)
	} else {
		r.mu.Unlock()
	}
}

// dispatchAll is dispatch for a reply with an OnSignal. It is not inlined, to keep the stack of
// others small.
//
//go:noinline
func (r *Reply) dispatchAll(e journal.Cursor) {
	defer r.mu.Unlock()
	x := r.more()
	if x.dispatcher == nil {
		x.dispatcher = new(dispatcher)
	}
	d := x.dispatcher
	if d.busy {
		d.wake() // goroutines that wait below: the reply may have ended
		if r.state != running || r.insideCallback() {
			return
		}
		for d.busy && r.state == running && !d.called.Passed(e) {
			r.waitDispatch()
		}
	}
	for !d.busy {
		next := d.called
		e, ok := r.record.next(&next)
		if !ok {
			return
		}
		r.dispatchOne(e, next)
	}
}

func (r *Reply) hasOnSignal() bool { return r.m.cfg.OnSignal != nil || r.req.OnSignal != nil }

// waitDispatch waits for a change of the dispatcher. The caller holds the lock, which is released
// during the wait.
func (r *Reply) waitDispatch() {
	d := r.extra.dispatcher
	if d.changed == nil {
		d.changed = make(chan struct{})
	}
	changed := d.changed
	r.mu.Unlock()
	<-changed
	r.mu.Lock()
}

// dispatchOne calls OnSignal for one entry. The dispatcher stays usable if that panics or calls
// runtime.Goexit. The caller holds the lock, which is released during the call.
func (r *Reply) dispatchOne(e entry, next journal.Cursor) {
	d := r.extra.dispatcher
	d.busy = true
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		d.busy, d.called = false, next
		d.wake()
	}()
	r.callOnSignal(e.event())
}

// callOnSignal calls OnSignal, that of the Manager first (rule S6). insideCallback looks for it
// on the stack, so it must not be inlined.
//
//go:noinline
func (r *Reply) callOnSignal(e Event) {
	r.calls.Add(1)
	defer r.calls.Add(-1)
	r.clock.Pause() // the time of the program is not the peer's silence
	defer r.clock.Resume()
	returned := false
	defer func() {
		if !returned { // it may have ended net/http's goroutine that sends the request body
			r.ctx.Cancel(errAborted)
		}
	}()
	if f := r.m.cfg.OnSignal; f != nil {
		f(r, e)
	}
	if f := r.req.OnSignal; f != nil {
		f(r, e)
	}
	returned = true
}

// callAnswer calls Answer. insideCallback looks for it on the stack.
//
//go:noinline
func (r *Reply) callAnswer(q Question) {
	r.calls.Add(1)
	defer r.calls.Add(-1)
	r.req.Answer(r.ctx.Std(), q)
}

// insideCallback reports whether the calling goroutine is in an OnSignal or Answer of this
// reply. Go has no goroutine identity, so while a callback of the reply is running it
// inspects the stack of the caller; it is used only before a wait. A wait for one reply in
// a callback of another may therefore be refused if a callback of the first is running,
// too.
func (r *Reply) insideCallback() bool { return r.calls.Load() > 0 && calledBack() }

// onSignalEntry and answerEntry are set by init: an initialiser that refers to these
// functions would be an initialisation cycle.
var onSignalEntry, answerEntry uintptr

func init() {
	onSignalEntry = reflect.ValueOf((*Reply).callOnSignal).Pointer()
	answerEntry = reflect.ValueOf((*Reply).callAnswer).Pointer()
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
		if f := runtime.FuncForPC(pc - 1); f != nil && (f.Entry() == onSignalEntry || f.Entry() == answerEntry) {
			return true
		}
	}
	return false
}

// errWouldWait is the error of a wait inside OnSignal or Answer.
func errWouldWait() error {
	return localError(ProtocolInvalidOperationError, "Waiting inside a callback", ErrInsideOnSignal)
}
