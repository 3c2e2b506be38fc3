package dial

import (
	"context"
	"crypto/tls"
	"net/http/httptrace"
)

// The trace is stored under a private key, and passed to package net only for the hooks of
// one operation: otherwise the connections of a resolver would be reported as connections
// to the server.
type traceKey struct{}

// WithTrace returns a context whose dials call the hooks of trace for opening a connection:
// DNSStart and DNSDone, ConnectStart and ConnectDone, TLSHandshakeStart and
// TLSHandshakeDone. As with net/http they may be called on any goroutine, and for addresses
// that have lost the race even after the end of the dial. If trace is nil or has none of
// them, it returns ctx.
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

// tracedLookup returns the context for a lookup.
func tracedLookup(ctx context.Context) context.Context {
	if t := traceOf(ctx); t != nil {
		return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{DNSStart: t.DNSStart, DNSDone: t.DNSDone})
	}
	return ctx
}

// tracedConnect returns the context for connecting to an address.
func tracedConnect(ctx context.Context) context.Context {
	if t := traceOf(ctx); t != nil {
		return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{ConnectStart: t.ConnectStart, ConnectDone: t.ConnectDone})
	}
	return ctx
}

// tracedDial returns the context for a DialContext, which may resolve and connect.
func tracedDial(ctx context.Context) context.Context {
	if t := traceOf(ctx); t != nil {
		copied := *t // WithClientTrace changes it
		return httptrace.WithClientTrace(ctx, &copied)
	}
	return ctx
}

// handshakeBegins calls TLSHandshakeStart.
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
