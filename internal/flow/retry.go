package flow

import (
	"errors"
	"net/http"

	"github.com/netreply/netreply/internal/httpurl"
	"github.com/netreply/netreply/internal/wire"
)

// MaxRepeats is how often a hop is sent again automatically (D33).
const MaxRepeats = 3

// The retry step sends a request again when its connection broke before the server can have
// processed it, or when it may be processed twice without harm.
func beforeRetry(h *Hop) error {
	h.fresh, h.repeated, h.repeats, h.refusal = false, false, 0, nil
	return nil
}

func afterRetry(h *Hop) (again bool) {
	t := h.t
	if h.refusal != nil && nothingSent(h.err) && t.ctx.Err() == nil {
		h.err = h.refusal
		return false
	}
	if h.repeats == MaxRepeats || t.ctx.Err() != nil || h.session.Bound() {
		return false
	}
	if h.exchange != nil && h.exchange.accepted && !h.exchange.Begun() {
		// the program accepted the certificate after the handshake had ended
		h.repeated = true
		return true
	}
	if h.err == nil {
		again := t.withoutExpectation(h.req, h.resp)
		if again == nil {
			return false
		}
		h.req = again
		h.repeats++
		return true
	}
	if requiresHTTP11(h.err) && t.HTTP == wire.Negotiate {
		if addr, addrErr := httpurl.Address(h.req.URL); addrErr == nil {
			h.e.http11.add(h.req.URL.Scheme, addr)
		}
		h.fresh = false
	} else if mayRepeat(h.err, t.Idempotent || IdempotentMethod(h.req.Method)) {
		// a refused stream may succeed on the same connection; anything else needs a new
		// one
		var we *wire.Error
		h.fresh = errors.As(h.err, &we) && we.Fault != wire.Reset
		if we.Fault == wire.GoAway {
			h.refusal = h.err
		}
	} else {
		return false
	}
	h.repeated = true
	req, err := t.newRequest(h.req.Method, h.req.URL)
	if err != nil {
		h.err = err
		return false
	}
	req.Header = h.req.Header
	h.req = req
	h.repeats++
	return true
}

// nothingSent reports whether a request failed before any of it was sent. The server's
// earlier refusal is the better error then.
func nothingSent(err error) bool {
	var we *wire.Error
	if !errors.As(err, &we) {
		return false
	}
	switch we.Phase {
	case wire.Resolve, wire.Connect, wire.TLS, wire.Proxy:
		return true
	case wire.Send, wire.Headers, wire.Body:
	}
	return we.Unprocessed && we.Fault == wire.Closed
}

// mayRepeat implements rule D33. Stray bytes on a reused connection belong to an earlier
// exchange, and count like a closed connection.
func mayRepeat(err error, idempotent bool) bool {
	var we *wire.Error
	if !errors.As(err, &we) {
		return false
	}
	return we.Unprocessed ||
		we.Reused && !we.Began && (we.Fault == wire.Closed || we.Stray) && (we.Phase == wire.Send || we.Phase == wire.Headers) &&
			(we.Sent == 0 || idempotent)
}

// IdempotentMethod reports whether a method is idempotent (RFC 9110, section 9.2.2).
func IdempotentMethod(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}
