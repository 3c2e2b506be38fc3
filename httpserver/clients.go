package httpserver

import (
	"container/list"
	"net"
	"net/http"
	"net/netip"
	"sync"

	"golang.org/x/time/rate"
)

// clientOf is the address that a client is known by: of IPv6 its network, the /64, in which
// every client has as many addresses as it likes (RFC 4291, section 2.5.4).
func clientOf(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if network, err := a.Prefix(64); err == nil {
			return network.Addr()
		}
	}
	return a
}

// maxRates bounds the addresses that are counted at one time.
const maxRates = 10_000

// rates counts the requests of each address, of those that have asked last.
type rates struct {
	mu   sync.Mutex
	each map[netip.Addr]*list.Element
	used list.List // of *client, the one that asked last in front
}

type client struct {
	at    netip.Addr
	limit *rate.Limiter
}

func (c *rates) allow(remote string, limit int) bool {
	addr, err := netip.ParseAddrPort(remote)
	if err != nil {
		return true // no address, as from a test or a Unix socket
	}
	at := clientOf(addr.Addr())
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.each[at]
	if e != nil {
		c.used.MoveToFront(e)
		return e.Value.(*client).limit.Allow()
	}
	if c.each == nil {
		c.each = map[netip.Addr]*list.Element{}
	}
	if len(c.each) >= maxRates {
		oldest := c.used.Back()
		delete(c.each, c.used.Remove(oldest).(*client).at)
	}
	l := &client{at, rate.NewLimiter(rate.Limit(limit), limit)}
	c.each[at] = c.used.PushFront(l)
	return l.limit.Allow()
}

// connections counts those that are open.
type connections struct {
	max, perHost int // 0 for any number

	mu   sync.Mutex
	open int
	each map[netip.Addr]int
}

func (c *connections) limited() bool { return c.max > 0 || c.perHost > 0 }

// hostOf is the client of a connection; the zero address counts as nobody's.
func hostOf(c net.Conn) netip.Addr {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return clientOf(a.AddrPort().Addr())
	}
	return netip.Addr{}
}

// admit counts a connection, unless it is one too many.
func (c *connections) admit(conn net.Conn) bool {
	host := hostOf(conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.max > 0 && c.open >= c.max || c.perHost > 0 && host.IsValid() && c.each[host] >= c.perHost {
		return false
	}
	if c.each == nil {
		c.each = map[netip.Addr]int{}
	}
	c.open++
	c.each[host]++
	return true
}

// changed is told of every connection by net/http.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	if state != http.StateClosed && state != http.StateHijacked {
		return
	}
	host := hostOf(conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open--
	if c.each[host]--; c.each[host] <= 0 {
		delete(c.each, host)
	}
}

// limitedListener closes connections beyond the limits as they come.
type limitedListener struct {
	net.Listener
	conns *connections
}

func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.conns.admit(c) {
			return c, nil
		}
		c.Close()
	}
}
