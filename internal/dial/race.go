package dial

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// headStart is what the first address family gets before the other one is
// tried beside it (RFC 8305, section 5).
const headStart = 250 * time.Millisecond

// Attempt is an address that was tried without success.
type Attempt struct {
	Addr netip.AddrPort
	Err  error
}

// Attempts is the failure to connect to any address of a name, in the order in which
// they failed.
type Attempts []Attempt

func (a Attempts) Error() string {
	texts := make([]string, len(a))
	for i := range a {
		texts[i] = a[i].Err.Error()
	}
	return strings.Join(texts, "; ")
}

// Unwrap gives the error that tells most about the server: that it refused, or else the
// first.
func (a Attempts) Unwrap() error {
	for i := range a {
		if errors.Is(a[i].Err, syscall.ECONNREFUSED) {
			return a[i].Err
		}
	}
	return a[0].Err
}

// addresses looks up where to connect to. looked tells whether that took a look-up.
func (d *Dialer) addresses(ctx context.Context, addr string) (list []netip.AddrPort, looked bool, err error) {
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, false, err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, false, &net.AddrError{Err: "invalid port", Addr: addr}
	}
	all, looked, err := d.lookup(ctx, host)
	if err != nil {
		return nil, looked, err
	}
	for _, a := range all {
		if local, ok := d.LocalAddr.(*net.TCPAddr); looked && ok && local.IP != nil && (local.IP.To4() != nil) != a.Is4() {
			continue
		}
		list = append(list, netip.AddrPortFrom(a, uint16(port)))
	}
	if len(list) == 0 {
		return nil, looked, &net.AddrError{Err: "no address of the local address's family", Addr: addr}
	}
	return list, looked, nil
}

// lookup gives the addresses of a host; looked tells whether it is a name.
func (d *Dialer) lookup(ctx context.Context, host string) (all []netip.Addr, looked bool, err error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, false, nil
	}
	r := d.Resolver
	if r == nil {
		r = net.DefaultResolver
	}
	all, err = r.LookupNetIP(ctx, "ip", host)
	for i := range all {
		all[i] = all[i].Unmap()
	}
	return all, true, err
}

// race connects to one of the addresses: those of the first one's family one after the
// other, and the others beside them after the head start, or when the first are through.
func (d *Dialer) race(ctx context.Context, list []netip.AddrPort, dial func(context.Context, string) (net.Conn, error)) (net.Conn, error) {
	if len(list) == 1 { // nearly always
		c, err := dial(ctx, list[0].String())
		if err != nil {
			return nil, Attempts{{list[0], err}}
		}
		return c, nil
	}
	var lanes [2][]netip.AddrPort
	for _, a := range list {
		lane := 0
		if a.Addr().Is4() != list[0].Addr().Is4() {
			lane = 1
		}
		lanes[lane] = append(lanes[lane], a)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	var failed Attempts
	conns := make(chan net.Conn, 2) // nil from a lane that has failed
	run := func(lane []netip.AddrPort) {
		for i, a := range lane {
			one, done := share(ctx, len(lane)-i)
			c, err := dial(one, a.String())
			done()
			if err == nil {
				conns <- c
				return
			}
			mu.Lock()
			failed = append(failed, Attempt{a, err})
			mu.Unlock()
			if ctx.Err() != nil {
				break
			}
		}
		conns <- nil
	}
	go run(lanes[0])
	started, ended := 1, 0
	timer := time.NewTimer(headStart)
	defer timer.Stop()
	late := timer.C
	second := func() {
		if started == 1 && len(lanes[1]) > 0 {
			started++
			go run(lanes[1])
		}
	}
	for {
		select {
		case <-late:
			second()
		case c := <-conns:
			ended++
			if c != nil {
				cancel()
				if started > ended {
					go func() { // the loser ends by itself, now that its context has
						if c := <-conns; c != nil {
							c.Close()
						}
					}()
				}
				return c, nil
			}
			second()
			if started == ended {
				mu.Lock()
				defer mu.Unlock()
				return nil, failed
			}
		}
	}
}

// share is a fair part of the time that is left, for one of n addresses; at least 2 s,
// as package net has it.
func share(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok || n == 1 {
		return ctx, func() {}
	}
	part := max(time.Until(deadline)/time.Duration(n), 2*time.Second)
	return context.WithTimeoutCause(ctx, part, ErrTimeout)
}
