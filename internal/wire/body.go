package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
)

// body is the state of a response body. It is part of the Exchange, as which it is read.
type body struct {
	io.ReadCloser
	t      *Transport
	req    *http.Request
	left   int64 // bytes still to be read, if the length is known
	lowat  *lowat
	done   atomic.Bool
	closed atomic.Bool
}

// responseBody is an Exchange as the body of its response, which returns the connection to
// the pool at its end.
type responseBody Exchange

func (b *responseBody) Read(p []byte) (int, error) {
	n, err := b.body.ReadCloser.Read(p)
	if b.body.lowat != nil {
		b.body.left -= int64(n)
		b.body.lowat.read(n, b.body.left)
	}
	if err == nil {
		return n, nil
	}
	if err == io.EOF {
		b.release(true)
		b.cancellation.bodyOver()
		return n, err
	}
	if ctx := b.body.req.Context(); ctx.Err() != nil {
		err = context.Cause(ctx)
	} else if !errors.Is(err, net.ErrClosed) {
		err = b.carrier.fault(err, Body, (*Exchange)(b))
	}
	b.release(false)
	return n, err
}

// Close ends the exchange. It does not wait for an HTTP/2 connection: the stream is reset
// in the background.
func (b *responseBody) Close() error {
	if b.carrier.http2 {
		upload := b.body.req.Body != nil // which may still be being sent
		if (upload || !b.body.done.Load()) && b.body.closed.CompareAndSwap(false, true) {
			go b.abandon()
		}
		return nil
	}
	err := b.body.ReadCloser.Close()
	b.release(true)
	return err
}

func (b *responseBody) release(ok bool) {
	if b.body.done.CompareAndSwap(false, true) {
		if b.body.lowat != nil {
			b.body.lowat.end()
		}
		b.body.t.done(b.carrier, (*Exchange)(b), ok)
	}
}

var _ io.Closer = (*responseBody)(nil)
