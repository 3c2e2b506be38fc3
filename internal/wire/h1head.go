package wire

import (
	"io"
	"net/http"
	"net/textproto"
)

// receive returns the final response, whose head it receives unless resp is that. It reports
// interim ones.
func (e *h1Exchange) receive(req *http.Request, resp *http.Response) (_ *http.Response, err error) {
	awaited := e.upload.awaits100()
	for {
		if code := resp.StatusCode; code == http.StatusContinue && awaited {
			awaited = false
			if e.trace != nil && e.trace.Got100Continue != nil {
				e.trace.Got100Continue()
			}
			e.upload.permit(true)
		}
		if e.buf.tap.stage != inInterim {
			if awaited {
				e.upload.permit(resp.StatusCode < 300 && !resp.Close && !req.Close)
			}
			e.h.finalHead()
			return resp, nil
		}
		if err := e.interim(resp); err != nil {
			return nil, err
		}
		e.buf.tap.nextHead()
		if resp, err = e.readHead(req); err != nil {
			return nil, err
		}
	}
}

// interim reports an interim response.
func (e *h1Exchange) interim(resp *http.Response) error {
	header := textproto.MIMEHeader(resp.Header)
	if err := e.x.Observer.Interim(resp.StatusCode, header); err != nil {
		return err
	}
	if e.trace != nil && e.trace.Got1xxResponse != nil {
		return e.trace.Got1xxResponse(resp.StatusCode, header)
	}
	return nil
}

// readHead receives one head, as a whole, and parses it.
func (e *h1Exchange) readHead(req *http.Request) (*http.Response, error) {
	b := e.buf
	if err := e.fillHead(); err != nil {
		return nil, err
	}
	head := string(b.tap.head)
	into := &e.head
	if b.tap.stage == inInterim {
		into = new(parsedHead) // its fields may be kept by a hook
	}
	into.parseFields(head)
	resp, err := b.tap.parse(head, req, into)
	if err != nil {
		return nil, e.rejected(err)
	}
	if b.tap.stage != inInterim {
		e.x.Head = head
	}
	return resp, nil
}

// fillHead reads until a head is whole. If one is already, it does nothing.
//
//go:noinline
func (e *h1Exchange) fillHead() error {
	b := e.buf
	for b.tap.stage == inHead {
		if b.lo == b.hi {
			if e.readErr != nil {
				return unexpected(e.readErr, &b.tap)
			}
			e.awaitHead()
			continue // an error is the result of the next round
		}
		b.lo += b.tap.feedHead(b.unread())
		if b.tap.fault != nil {
			return e.malformed()
		}
	}
	return nil
}

// awaitHead waits for bytes of a head, on a plain socket without a buffer.
func (e *h1Exchange) awaitHead() {
	b, s := e.buf, e.h.socket
	if s == nil || e.h.stream != s.Conn {
		b.hi, _ = e.readStream(b.space())
		return
	}
	b.dropInput()
	var err error
	b.in, b.hi, err = s.readPooled()
	e.afterRead(b.hi, err)
}

// unexpected is the error of a connection that ended within a head.
func unexpected(err error, tap *headTap) error {
	if err == io.EOF && len(tap.head) > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}

// malformed is the error of the tap. Stray bytes belong to an earlier exchange.
//
//go:noinline
func (e *h1Exchange) malformed() *Error {
	tap := &e.buf.tap
	f := &Error{Phase: Headers, Fault: Malformed, Reused: e.x.Conn.Reused, Sent: e.sent.Load(), Err: tap.fault}
	f.Stray = tap.stray && f.Reused
	f.Began = !f.Stray
	return f
}

// rejected is the error of a head that the tap has accepted.
//
//go:noinline
func (e *h1Exchange) rejected(err error) *Error {
	return &Error{Phase: Headers, Fault: Malformed, Reused: e.x.Conn.Reused, Began: true, Sent: e.sent.Load(), Err: err}
}

// malformedBody is the error of a body.
func (e *h1Exchange) malformedBody() *Error {
	return &Error{Phase: Body, Fault: Malformed, Reused: e.x.Conn.Reused, Began: true, Sent: e.sent.Load(), Err: e.buf.tap.fault}
}
