package flow

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"

	"github.com/netreply/netreply/internal/pipe"
	"github.com/netreply/netreply/internal/wire"
)

// Receive copies the body of the final response, unless that is a 101, to a pipe. To stop it,
// end the transfer's context and the pipe, which ends a wait for the reader.
func (t *Transfer) Receive(resp *http.Response, p *pipe.Pipe) error {
	if resp.Body == http.NoBody {
		return nil
	}
	if !t.hop.answered() {
		t.Rate.Begin()
		defer t.Rate.End()
	}
	return receiveBody(t.ctx, resp.Body, resp.ContentLength, p, t.Clock, t.hop.cached.lends())
}

// receiveBody copies a body to a pipe; length is -1 if unknown. lends allows to lend it to the
// reader: the end of ctx must then end a Read of body.
func receiveBody(ctx context.Context, body io.Reader, length int64, p *pipe.Pipe, clock pipe.Clock, lends bool) error {
	first := true
	for {
		if lends {
			if over, err := p.Lend(body, clock); over {
				return stopCause(ctx, err)
			}
		}
		left := int64(-1)
		if length >= 0 {
			if left = length - p.Received(); left == 0 {
				return confirmEnd(body, p.Scratch())
			}
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		space, err := p.Room(left, clock)
		if err != nil {
			return stopCause(ctx, err)
		}
		n, err := body.Read(space)
		if n > 0 {
			clock.Touch()
		}
		woke := p.Fill(n)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if woke && first {
			// the reader was made runnable on this processor: let it process the first
			// bytes before the next Read blocks
			runtime.Gosched()
			first = false
		}
	}
}

// stopCause returns the cause of ctx if the pipe has ended because ctx has, and err otherwise.
func stopCause(ctx context.Context, err error) error {
	if err == pipe.ErrEnded && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// confirmEnd reads the end of a body after its last byte: HTTP/2 reports it separately.
// scratch has room for one byte.
func confirmEnd(body io.Reader, scratch []byte) error {
	for range 100 {
		n, err := body.Read(scratch)
		switch {
		case n > 0:
			return &wire.Error{Phase: wire.Body, Fault: wire.Malformed, Began: true, Err: errors.New("the body is longer than its Content-Length")}
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
	return io.ErrNoProgress
}
