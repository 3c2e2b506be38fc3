package flow

import (
	"errors"
	"net/http"

	"github.com/netreply/netreply/internal/httpurl"
	"github.com/netreply/netreply/internal/wire"
)

// MaxRepeats is how often one hop is sent again by itself (D33).
const MaxRepeats = 3

// The retry step sends a request again when its connection broke in a way that cannot have
// made the server act, or may make it act twice without harm.
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
		// the program has accepted a certificate when the handshake did not wait any more
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
	if asksForHTTP11(h.err) && t.HTTP == wire.Negotiate {
		if addr, addrErr := httpurl.Address(h.req.URL); addrErr == nil {
			h.e.http11.add(h.req.URL.Scheme, addr)
		}
		h.fresh = false
	} else if mayRepeat(h.err, t.Idempotent || IdempotentMethod(h.req.Method)) {
		// a stream that was refused may do on the same connection, anything else
		// wants a new one
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

// nothingSent tells whether a request failed before anything of it could reach the server,
// and without a word of that: then what it has said before says more.
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

// mayRepeat is rule D33. What a connection used before brings instead of a response is the
// rest of another exchange, and as good as nothing.
func mayRepeat(err error, idempotent bool) bool {
	var we *wire.Error
	if !errors.As(err, &we) {
		return false
	}
	return we.Unprocessed ||
		we.Reused && !we.Began && (we.Fault == wire.Closed || we.Stray) && (we.Phase == wire.Send || we.Phase == wire.Headers) &&
			(we.Sent == 0 || idempotent)
}

// IdempotentMethod tells whether a method may be carried out twice without harm (RFC 9110,
// section 9.2.2).
func IdempotentMethod(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}
