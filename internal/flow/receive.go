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

// Receive carries the body of the final response into a pipe, to its end. Whoever ends the
// transfer's context must end the pipe as well, which is what stops a wait for the reader.
func (t *Transfer) Receive(resp *http.Response, p *pipe.Pipe) error {
	if resp.Body == http.NoBody || resp.StatusCode == http.StatusSwitchingProtocols {
		return nil
	}
	t.Rate.Begin()
	defer t.Rate.End()
	return receiveBody(t.ctx, resp.Body, resp.ContentLength, p, t.Clock)
}

// receiveBody carries a body of some length, -1 for unknown, into a pipe, to its end. The end of
// ctx must end a read of the body.
func receiveBody(ctx context.Context, body io.Reader, length int64, p *pipe.Pipe, clock pipe.Clock) error {
	first := true
	for {
		over, err := p.Lend(body, clock)
		if over {
			return endOf(ctx, err)
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
			return endOf(ctx, err)
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
			// the reader was made ready on this processor: let it have the first
			// bytes before the next read keeps it waiting
			runtime.Gosched()
			first = false
		}
	}
}

// endOf is why a transfer has stopped whose pipe has ended: the cause of its context, if that
// has.
func endOf(ctx context.Context, err error) error {
	if err == pipe.ErrEnded && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// confirmEnd reads the end of a body that is complete: HTTP/2 tells it apart from
// the last bytes. scratch has room for one byte.
func confirmEnd(body io.Reader, scratch []byte) error {
	for range 100 {
		n, err := body.Read(scratch)
		switch {
		case n > 0:
			return &wire.Error{Phase: wire.Body, Fault: wire.Malformed, Began: true, Err: errors.New("more bytes than Content-Length says")}
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
	return io.ErrNoProgress
}
