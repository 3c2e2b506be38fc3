package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
)

// body is a response body that returns its connection to the pool at its end.
type body struct {
	io.ReadCloser
	t    *Transport
	c    *conn
	x    *Exchange
	ctx  context.Context
	done atomic.Bool

	left   int64 // bytes still to be read, if the length is known
	lowat  *lowat
	upload bool // the request has a body, which may still be being sent
	closed atomic.Bool
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.lowat != nil {
		b.left -= int64(n)
		b.lowat.read(n, b.left)
	}
	if err == nil {
		return n, nil
	}
	if err == io.EOF {
		b.release(true)
		return n, err
	}
	if b.ctx.Err() != nil {
		err = context.Cause(b.ctx)
	} else if !errors.Is(err, net.ErrClosed) {
		err = b.c.fault(err, Body, b.x)
	}
	b.release(false)
	return n, err
}

// Close ends the exchange. It does not wait for an HTTP/2 connection: the stream is reset
// in the background.
func (b *body) Close() error {
	if b.c.http2 {
		if (b.upload || !b.done.Load()) && b.closed.CompareAndSwap(false, true) {
			go b.abandon()
		}
		return nil
	}
	err := b.ReadCloser.Close()
	b.release(true)
	return err
}

func (b *body) release(ok bool) {
	if b.done.CompareAndSwap(false, true) {
		if b.lowat != nil {
			b.lowat.end()
		}
		b.t.done(b.c, b.x, ok)
	}
}

var _ io.Closer = (*body)(nil)
