package wire

import (
	"context"
	"net/http/httptrace"
	"time"
)

// The hooks of net/http/httptrace that concern the pool. Those for dials are called by
// internal/dial, see waiter.trace, and those for request and response by net/http. Without
// these hooks nothing is allocated.

// traceGetConn calls GetConn.
func (x *Exchange) traceGetConn(ctx context.Context) {
	x.gotConn = nil
	trace := httptrace.ContextClientTrace(ctx)
	if trace == nil {
		return
	}
	if trace.GotConn != nil {
		x.gotConn = new(httptrace.GotConnInfo)
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

// traceGotConn calls GotConn.
func (x *Exchange) traceGotConn(ctx context.Context) {
	if x.gotConn != nil {
		httptrace.ContextClientTrace(ctx).GotConn(*x.gotConn)
	}
}

// gotConnInfo returns the argument of GotConn, before the exchange is counted. The caller
// holds the lock.
func (c *conn) gotConnInfo() httptrace.GotConnInfo {
	i := httptrace.GotConnInfo{Conn: c.stream, Reused: c.uses > 0, WasIdle: !c.idleSince.IsZero()}
	if s, ok := c.stream.(*tlsStream); ok {
		i.Conn = s.Conn // as programs know it from net/http
	}
	if i.WasIdle {
		i.IdleTime = time.Since(c.idleSince)
	}
	return i
}
