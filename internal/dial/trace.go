package dial

import (
	"context"
	"crypto/tls"
	"net/http/httptrace"
)

// A trace goes by a key of our own, and is given to package net only for what it is to tell
// of: else the connections of a resolver would be taken for those to the server.
type traceKey struct{}

// WithTrace makes what is dialled with the context call those hooks of trace that are about
// opening a connection: DNSStart and DNSDone, ConnectStart and ConnectDone, TLSHandshakeStart
// and TLSHandshakeDone. As with net/http they may be called on any goroutine, and by addresses
// that have lost the race even when the dial has ended. Where there are none of them, nil
// being none, ctx itself is returned.
func WithTrace(ctx context.Context, trace *httptrace.ClientTrace) context.Context {
	if trace == nil || trace.DNSStart == nil && trace.DNSDone == nil && trace.ConnectStart == nil && trace.ConnectDone == nil &&
		trace.TLSHandshakeStart == nil && trace.TLSHandshakeDone == nil {
		return ctx
	}
	return context.WithValue(ctx, traceKey{}, &httptrace.ClientTrace{
		DNSStart: trace.DNSStart, DNSDone: trace.DNSDone,
		ConnectStart: trace.ConnectStart, ConnectDone: trace.ConnectDone,
		TLSHandshakeStart: trace.TLSHandshakeStart, TLSHandshakeDone: trace.TLSHandshakeDone,
	})
}

func traceOf(ctx context.Context) *httptrace.ClientTrace {
	trace, _ := ctx.Value(traceKey{}).(*httptrace.ClientTrace)
	return trace
}

// tracedLookup is the context of a look-up.
func tracedLookup(ctx context.Context) context.Context {
	if t := traceOf(ctx); t != nil {
		return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{DNSStart: t.DNSStart, DNSDone: t.DNSDone})
	}
	return ctx
}

// tracedConnect is the context of connecting to an address.
func tracedConnect(ctx context.Context) context.Context {
	if t := traceOf(ctx); t != nil {
		return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{ConnectStart: t.ConnectStart, ConnectDone: t.ConnectDone})
	}
	return ctx
}

// tracedDial is the context of a DialContext, which may look up and connect.
func tracedDial(ctx context.Context) context.Context {
	if t := traceOf(ctx); t != nil {
		copied := *t // which composing would change
		return httptrace.WithClientTrace(ctx, &copied)
	}
	return ctx
}

// handshakeBegins and handshakeEnds tell of a TLS handshake.
func handshakeBegins(ctx context.Context) {
	if t := traceOf(ctx); t != nil && t.TLSHandshakeStart != nil {
		t.TLSHandshakeStart()
	}
}

func handshakeEnds(ctx context.Context, state *tls.ConnectionState, err error) {
	t := traceOf(ctx)
	if t == nil || t.TLSHandshakeDone == nil {
		return
	}
	if err != nil {
		state = &tls.ConnectionState{}
	}
	t.TLSHandshakeDone(*state, err)
}
