package netreply

import (
	"errors"
	"reflect"
	"runtime"

	"github.com/netreply/netreply/internal/journal"
)

// ErrInsideOnSignal is why something that would wait for a reply, such as ReadAll or Wait,
// fails inside an OnSignal or Answer that was called for the same reply: the reply goes on
// only when that returns, so that the wait would never end.
var ErrInsideOnSignal = errors.New("the reply goes on only when OnSignal or Answer returns: read what BytesAvailable says is there, or wait on another goroutine")

// teller calls OnSignal for one reply: never twice at once, and in the order of Events, on
// the goroutine that comes first. The reply's lock guards it.
type teller struct {
	busy    bool
	told    journal.Cursor // what OnSignal was called for
	changed chan struct{}  // closed when told moves or busy ends; nil where nobody waits
}

func (t *teller) wake() {
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}

// tell calls OnSignal for all that has not been told. Where another goroutine is doing so,
// that one tells the rest: an Abort goes on at once, while the transfer, which OnSignal may
// stop at any signal, waits until e was told. The caller holds the lock, which tell gives up.
func (r *Reply) tell(e journal.Entry) {
	defer r.mu.Unlock()
	if r.m.cfg.OnSignal == nil && r.req.OnSignal == nil {
		return
	}
	if r.teller == nil {
		r.teller = new(teller)
	}
	t := r.teller
	if t.busy {
		t.wake() // whom the end of the reply frees
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

// untilTold waits for a change of the teller. The caller holds the lock and gets it back.
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

// tellOne calls OnSignal for one entry, also where that panics or ends its goroutine. The
// caller holds the lock and gets it back.
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

// callBack calls OnSignal, that of the Manager first (rule S6). It is known by its place
// on the stack, see insideCallback, and so it is never inlined.
//
//go:noinline
func (r *Reply) callBack(e Event) {
	r.calls.Add(1)
	defer r.calls.Add(-1)
	r.clock.Pause() // what the program takes its time for is not the peer's silence
	defer r.clock.Resume()
	if f := r.m.cfg.OnSignal; f != nil {
		f(r, e)
	}
	if f := r.req.OnSignal; f != nil {
		f(r, e)
	}
}

// callAnswer calls Answer. Like callBack it is known by its place on the stack.
//
//go:noinline
func (r *Reply) callAnswer(q Question) {
	r.calls.Add(1)
	defer r.calls.Add(-1)
	r.req.Answer(r.ctx, q)
}

// insideCallback tells whether the calling goroutine is in an OnSignal or Answer of this
// reply. It is asked only where a wait would begin. A goroutine cannot be told its name, so
// while a callback of the reply is running it looks at its own stack. What waits for one
// reply in a callback of another may be refused for it.
func (r *Reply) insideCallback() bool { return r.calls.Load() > 0 && calledBack() }

// callBackEntry and callAnswerEntry are set at the start, since calledBack is called by what
// those functions call.
var callBackEntry, callAnswerEntry uintptr

func init() {
	callBackEntry = reflect.ValueOf((*Reply).callBack).Pointer()
	callAnswerEntry = reflect.ValueOf((*Reply).callAnswer).Pointer()
}

// calledBack tells whether the calling goroutine is in an OnSignal or Answer of any reply.
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

// errWouldWait is the failure of a wait inside OnSignal or Answer.
func errWouldWait() error {
	return localError(ProtocolInvalidOperationError, "Waiting inside a callback", ErrInsideOnSignal)
}
