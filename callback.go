package netreply

import (
	"errors"
	"reflect"
	"runtime"
)

// ErrInsideOnSignal is why something that would wait for a reply, such as ReadAll or Wait,
// fails inside an OnSignal that was called for the same reply: the reply goes on only when
// OnSignal returns, so that the wait would never end.
var ErrInsideOnSignal = errors.New("the reply goes on only when OnSignal returns: read what BytesAvailable says is there, or wait on another goroutine")

// callBack calls OnSignal, that of the Manager first (rule S6). It is known by its place
// on the stack, see insideCallback, and so it is never inlined.
//
//go:noinline
func (r *Reply) callBack(e entry) {
	r.calls.Add(1)
	defer r.calls.Add(-1)
	r.clock.Pause() // what the program takes its time for is not the peer's silence
	defer r.clock.Resume()
	if f := r.m.cfg.OnSignal; f != nil {
		f(r, e.event())
	}
	if f := r.req.OnSignal; f != nil {
		f(r, e.event())
	}
}

// insideCallback tells whether the calling goroutine is in an OnSignal of this reply. It is
// asked only where a wait would begin. A goroutine cannot be told its name, so while an
// OnSignal of the reply is running it looks at its own stack. What waits for one reply in
// the OnSignal of another, which must not block either, may be refused for it.
func (r *Reply) insideCallback() bool { return r.calls.Load() > 0 && calledBack() }

// callBackEntry is set at the start, since calledBack is called by what callBack calls.
var callBackEntry uintptr

func init() { callBackEntry = reflect.ValueOf((*Reply).callBack).Pointer() }

// calledBack tells whether the calling goroutine is in an OnSignal of any reply.
func calledBack() bool {
	pcs := make([]uintptr, 128)
	n := runtime.Callers(2, pcs)
	for n == len(pcs) {
		pcs = make([]uintptr, 2*len(pcs))
		n = runtime.Callers(2, pcs)
	}
	for _, pc := range pcs[:n] {
		if f := runtime.FuncForPC(pc - 1); f != nil && f.Entry() == callBackEntry {
			return true
		}
	}
	return false
}

// errWouldWait is the failure of a wait inside OnSignal.
func errWouldWait() error {
	return localError(ProtocolInvalidOperationError, "Waiting inside OnSignal", ErrInsideOnSignal)
}
