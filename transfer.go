package netreply

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"time"

	"github.com/netreply/netreply/internal/wire"
)

// receive carries the body from the connection to the buffer.
func (r *Reply) receive(resp *http.Response) error {
	if resp.Body == http.NoBody || resp.StatusCode == http.StatusSwitchingProtocols {
		return nil
	}
	r.rate.Begin()
	defer r.rate.End()
	first := true
	for {
		if over, err := r.lend(resp.Body); over {
			return err
		}
		if r.complete(resp.ContentLength) {
			return r.confirmEnd(resp.Body)
		}
		space, err := r.room(resp.ContentLength)
		if err != nil {
			return err
		}
		n, err := resp.Body.Read(space)
		r.arrived(n)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if first && n > 0 && !r.direct {
			// the reader was made ready on this processor: let it have the first
			// bytes before the next read keeps it waiting
			runtime.Gosched()
			first = false
		}
	}
}

// complete tells that a body of known length is there.
func (r *Reply) complete(length int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return length >= 0 && r.received == length
}

// confirmEnd reads the end of a body that is complete: HTTP/2 tells it apart from
// the last bytes. No room is made for it.
func (r *Reply) confirmEnd(body io.Reader) error {
	for range 100 {
		n, err := body.Read(r.scratch[:])
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

// room waits until the buffer takes more, and lends a piece of it.
func (r *Reply) room(length int64) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.buf.full() && r.state == running {
		stop := context.AfterFunc(r.ctx, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.cond.Broadcast()
		})
		defer stop()
		r.clock.Pause() // the reader's turn
		for r.buf.full() && r.state == running && r.ctx.Err() == nil {
			r.cond.Wait()
		}
		r.clock.Resume()
	}
	if r.ctx.Err() != nil {
		return nil, context.Cause(r.ctx)
	}
	if r.state != running || r.buf.dropped {
		return nil, errAborted
	}
	left := int64(-1)
	if length >= 0 {
		left = length - r.received
	}
	return r.buf.space(left), nil
}

// arrived takes the bytes of one read and announces them (rules P2 and S45).
func (r *Reply) arrived(n int) {
	if n > 0 {
		r.clock.Touch()
	}
	r.mu.Lock()
	if r.state != running { // nothing changes any more: what comes late has not come
		r.buf.filled(0)
		r.buf.drain()
		r.mu.Unlock()
		return
	}
	if r.buf.filled(n); n == 0 {
		r.mu.Unlock()
		return
	}
	r.received += int64(n)
	r.cond.Broadcast()
	r.announce()
}

// announce tells of bytes that arrived. The caller holds the lock, which it gives
// up.
func (r *Reply) announce() {
	p := Progress{r.received, r.head.length}
	r.emitLocked(sigReadyRead, 0, 0, nil)
	r.mu.Lock()
	if r.state != running || !r.throttle.due(time.Since(r.started)) {
		r.mu.Unlock()
		return
	}
	r.emitLocked(sigDownloadProgress, p.Done, p.Total, nil)
}

// lend gives the body to a WriteTo that waits for it, and returns when that is
// over or the transfer ends. over says that nothing is left to read. Without a
// limit nothing is lent: the body must come to its end even if w stops taking it.
func (r *Reply) lend(body io.ReadCloser) (over bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.wantsLoan || r.buf.limit == 0 || r.buf.unread > 0 || r.state != running {
		return false, nil
	}
	r.loan = &loan{body: body}
	r.cond.Broadcast()
	stop := context.AfterFunc(r.ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.cond.Broadcast()
	})
	defer stop()
	for r.loan.body != nil && r.state == running && r.ctx.Err() == nil {
		r.cond.Wait()
	}
	if r.loan.body != nil { // the reader is still at it: closing the body stops it
		return true, context.Cause(r.ctx)
	}
	return r.loan.over, r.loan.err
}
