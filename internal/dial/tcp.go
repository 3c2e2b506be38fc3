package dial

import (
	"context"
	"net"
	"net/netip"
	"runtime"
	"sync/atomic"
	"syscall"
)

// TCP opens a TCP connection to addr. connecting, if not nil, is called once, after name
// resolution and before the first packet is sent. It may be called on another goroutine.
func (d *Dialer) TCP(ctx context.Context, addr string, connecting func()) (c net.Conn, err error) {
	t := &tcp{d: d, addr: addr, connecting: connecting, done: func(conn net.Conn, failure error) { c, err = conn, failure }}
	t.run(ctx)
	return c, err
}

// GoTCP is TCP on a goroutine of its own, on which it calls done with the outcome. Its stack is
// half as large as that of a goroutine that calls TCP; see tcp.run.
func (d *Dialer) GoTCP(ctx context.Context, addr string, connecting func(), done func(net.Conn, error)) {
	t := &tcp{d: d, addr: addr, connecting: connecting, done: done}
	go t.run(ctx)
}

// tcp is a TCP connection that is being opened.
type tcp struct {
	d          *Dialer
	ctx        context.Context
	cancel     context.CancelFunc
	addr       string
	connecting func() // may be nil
	started    atomic.Bool
	done       func(net.Conn, error)

	// without Dialer.DialContext
	net    net.Dialer
	list   []netip.AddrPort // the addresses to try
	netCtx context.Context  // for only
	only   string           // the only address, "" if there are several
	phase  Phase            // of err

	conn net.Conn
	err  error
}

// run opens the connection. While it connects, package net needs nearly 4 KiB of stack. With a
// little more below it the stack of each goroutine that opens a connection would be doubled. So run
// has few variables: the others are in t, and what comes before and after is in other functions.
func (t *tcp) run(ctx context.Context) {
	t.begin(ctx)
	switch {
	case t.err != nil:
	case t.only != "":
		t.conn, t.err = t.net.DialContext(t.netCtx, "tcp", t.only)
	default:
		t.runOther()
	}
	t.end()
}

// begin resolves the name.
func (t *tcp) begin(ctx context.Context) {
	d := t.d
	t.ctx, t.cancel = d.limited(ctx)
	t.phase = Connect
	if d.DialContext != nil {
		return
	}
	t.net = net.Dialer{LocalAddr: d.LocalAddr, KeepAliveConfig: d.KeepAlive, ControlContext: t.control}
	var looked bool
	t.list, looked, t.err = d.addresses(t.ctx, t.addr)
	switch {
	case t.err != nil && looked: // an invalid port, for instance, is not a failed lookup
		t.phase = Resolve
	case t.err == nil && len(t.list) == 1 && hasControl:
		t.netCtx, t.only = tracedConnect(t.ctx), t.list[0].String()
	}
}

// control is called by package net before it connects to an address.
func (t *tcp) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	if err := t.d.refused(address); err != nil {
		return err
	}
	t.start()
	return nil
}

// start reports that connecting begins.
func (t *tcp) start() {
	if t.started.CompareAndSwap(false, true) && t.connecting != nil {
		t.connecting()
	}
}

// runOther connects by DialContext, or to one of several addresses.
func (t *tcp) runOther() {
	if t.d.DialContext != nil {
		t.conn, t.err = t.d.custom(t.ctx, t.addr, t.start)
		return
	}
	t.conn, t.err = race(t.ctx, t.list, func(ctx context.Context, addr string) (net.Conn, error) {
		if !hasControl {
			if err := t.control(ctx, "tcp", addr, nil); err != nil {
				return nil, err
			}
		}
		return t.net.DialContext(tracedConnect(ctx), "tcp", addr)
	})
}

// end reports the outcome, after the time limit.
func (t *tcp) end() {
	if t.err != nil {
		t.conn, t.err = nil, t.failure()
	}
	t.cancel()
	t.done(t.conn, t.err)
}

func (t *tcp) failure() error {
	err := t.err
	if t.only != "" {
		err = Attempts{{t.list[0], err}}
	}
	if t.d.DialContext == nil {
		err = explain(runtime.GOOS, err)
		if len(t.list) > 0 && t.ctx.Err() != nil {
			return &Error{Phase: Connect, Addr: t.addr, Err: &timeoutError{cause(t.ctx, Connect, t.addr), err}}
		}
	}
	return fail(t.ctx, t.phase, t.addr, err)
}
