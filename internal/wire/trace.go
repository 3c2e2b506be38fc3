package wire

import (
	"context"
	"net/http/httptrace"
	"time"
)

// What a trace in the context of a request (net/http/httptrace) hears of the pool. What is
// about a dial internal/dial tells it, see waiter.trace, and what is about the request and
// the response net/http. Without the hooks in question nothing is made or looked at.

// traceGetConn tells that a connection is looked for.
func (x *Exchange) traceGetConn(ctx context.Context) {
	x.got = nil
	trace := httptrace.ContextClientTrace(ctx)
	if trace == nil {
		return
	}
	if trace.GotConn != nil {
		x.got = new(httptrace.GotConnInfo)
	}
	if trace.GetConn == nil {
		return
	}
	if x.Key.Route != nil {
		trace.GetConn(x.Key.Route.Addr)
	} else {
		trace.GetConn(x.Key.Addr)
	}
}

// traceGotConn tells which connection was found.
func (x *Exchange) traceGotConn(ctx context.Context) {
	if x.got != nil {
		httptrace.ContextClientTrace(ctx).GotConn(*x.got)
	}
}

// gotConnInfo describes a connection that is being taken for an exchange. The caller holds
// the lock.
func (c *conn) gotConnInfo() httptrace.GotConnInfo {
	i := httptrace.GotConnInfo{Conn: c.stream, Reused: c.uses > 0, WasIdle: !c.idleFrom.IsZero()}
	if i.WasIdle {
		i.IdleTime = time.Since(c.idleFrom)
	}
	return i
}
