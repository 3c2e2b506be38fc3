package wire

import (
	"io"
	"net/http"
	"time"
)

// usuallyLacksBody reports whether requests of a method usually have no body. A server may
// reject such a request because of a Transfer-Encoding, even if the body is empty.
func usuallyLacksBody(method string) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodDelete, http.MethodOptions, "PROPFIND", "SEARCH":
		return true
	}
	return false
}

// peekLimit is how long the head of a request waits for the first byte of its body, or for
// the body's end.
const peekLimit = 200 * time.Millisecond

// peekedBody is a request body whose first byte is read in advance, on a goroutine of its
// own, which ends when that Read returns.
type peekedBody struct {
	body  io.Reader
	done  chan struct{} // closed when the fields below are set
	first [1]byte
	n     int
	err   error
}

// peekBody begins to read the request body. The head waits until it is known whether the
// body is empty, for peekLimit at most.
func (e *h1Exchange) peekBody() *peekedBody {
	p := &peekedBody{body: e.body, done: make(chan struct{}), err: errUnfinished}
	go func() {
		defer close(p.done)
		p.n, p.err = p.body.Read(p.first[:])
	}()
	timer := time.NewTimer(peekLimit)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
	case <-e.ctx.Done():
	}
	return p
}

// empty reports whether the body is known to be empty.
func (p *peekedBody) empty() bool {
	select {
	case <-p.done:
		return p.n == 0 && p.err == io.EOF
	default:
		return false
	}
}

func (p *peekedBody) Read(b []byte) (n int, err error) {
	<-p.done
	switch {
	case p.n > 0:
		n = copy(b, p.first[:])
		p.n = 0
		return n, nil
	case p.err != nil:
		return 0, p.err
	}
	return p.body.Read(b)
}
