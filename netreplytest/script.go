package netreplytest

import "net/http"

// takeFault returns the fault that a new connection meets at a place, the zero Fault for
// none.
func (e *endpoint) takeFault(at place) Fault {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fault.at == at {
		return e.fault
	}
	if len(e.next) > 0 {
		if f, ok := e.next[0].(Fault); ok && f.at == at {
			e.next = e.next[1:]
			return f
		}
	}
	return Fault{}
}

// takeAnswer returns what answers a request; last reports that the connection has to end
// with it, because the script wants another one.
func (e *endpoint) takeAnswer() (h http.Handler, last bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fault.at == inAnswer {
		return e.fault, false
	}
	if len(e.next) == 0 {
		return e.handler, false
	}
	if e.nextIsConnection() {
		return e.handler, true
	}
	h, e.next = e.next[0], e.next[1:]
	return h, e.nextIsConnection()
}

// nextIsConnection reports whether the script goes on with a connection. The caller holds the
// lock.
func (e *endpoint) nextIsConnection() bool {
	if len(e.next) == 0 {
		return false
	}
	f, ok := e.next[0].(Fault)
	return ok && f.ofConnection()
}

// stale reports whether a request has come on a connection from before a fault that
// connections have to meet.
func (e *endpoint) stale(p *peer) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return p != nil && (e.fault.ofConnection() && p.fault.at != handshake || e.nextIsConnection())
}

// fail sets the fault of everything that follows.
func (e *endpoint) fail(f Fault) {
	e.t.Helper()
	if wrong := f.misused(e.kind, f.at); wrong != "" {
		e.t.Fatalf(prefix+"%s: %s", e.what, wrong)
	}
	e.mu.Lock()
	e.fault = f
	e.mu.Unlock()
	if f.ofConnection() {
		e.closeIdle()
	}
}

// script adds answers to the script.
func (e *endpoint) script(answers []http.Handler) {
	e.t.Helper()
	for i, h := range answers {
		if wrong := misplaced(h, e.kind, true); wrong != "" {
			e.t.Fatalf(prefix+"%s: answer %d of the script: %s", e.what, i+1, wrong)
		}
	}
	e.mu.Lock()
	idle := len(e.next) == 0 && len(answers) > 0
	e.next = append(e.next, answers...)
	e.mu.Unlock()
	if f, ok := firstOf(answers).(Fault); ok && idle && f.ofConnection() {
		e.closeIdle()
	}
}

func firstOf(answers []http.Handler) http.Handler {
	if len(answers) == 0 {
		return nil
	}
	return answers[0]
}

// misplaced says what is wrong with an answer for a kind of server; "" for nothing.
func misplaced(h http.Handler, kind Kind, scripted bool) string {
	switch h := h.(type) {
	case nil:
		return "it is nil"
	case http.HandlerFunc:
		if h == nil {
			return "it is nil"
		}
	case Answer:
		return h.misplaced(kind)
	case Fault:
		if h.at == nowhere {
			return "it is no fault: " + noFault
		}
		at := inAnswer
		if scripted {
			at = h.at
		}
		return h.misused(kind, at)
	}
	return ""
}

// pending is how many answers are left.
func (e *endpoint) pending() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.next)
}

// recover ends the fault and the script.
func (e *endpoint) recover() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fault, e.next = Fault{}, nil
}
