package httpserver

import (
	"container/list"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
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

// allow counts a request. remote is http.Request.RemoteAddr, in which handlers around the
// Server may have put an address without a port.
func (c *rates) allow(remote string, limit int) bool {
	a, err := netip.ParseAddr(remote)
	if addr, noPort := netip.ParseAddrPort(remote); noPort == nil {
		a, err = addr.Addr(), nil
	}
	if err != nil {
		return true // no address, as from a test or a Unix socket
	}
	at := clientOf(a)
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

// connections says which may be open, and counts them.
type connections struct {
	max, perHost int // 0 for any number
	allow, deny  []netip.Prefix

	mu    sync.Mutex
	hosts map[net.Conn]netip.Addr // of those that are open, as they were when they came
	each  map[netip.Addr]int
}

// counted tells whether their number matters.
func (c *connections) counted() bool { return c.max > 0 || c.perHost > 0 }

// limited tells whether there is a connection that may not be.
func (c *connections) limited() bool { return c.counted() || len(c.allow) > 0 || len(c.deny) > 0 }

// networks are prefixes as they are compared: those of IPv4 addresses in IPv6 are IPv4's.
func networks(of []netip.Prefix) []netip.Prefix {
	all := make([]netip.Prefix, 0, len(of))
	for _, p := range of {
		if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
		}
		all = append(all, p)
	}
	return all
}

// addressOf is that of a connection's client, the zero address when there is none.
func addressOf(c net.Conn) netip.Addr {
	at := c.RemoteAddr()
	if a, ok := at.(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap().WithZone("")
	}
	if at == nil {
		return netip.Addr{}
	}
	a, _ := netip.ParseAddrPort(at.String()) // of a listener with addresses of its own
	return a.Addr().Unmap().WithZone("")
}

// hostOf is the client of a connection; the zero address counts as nobody's.
func hostOf(c net.Conn) netip.Addr {
	if a := addressOf(c); a.IsValid() {
		return clientOf(a)
	}
	return netip.Addr{}
}

// welcome tells whether a client may connect at all; if not, setting is why.
func (c *connections) welcome(a netip.Addr) (setting string, ok bool) {
	in := func(p netip.Prefix) bool { return p.Contains(a) }
	switch {
	case !a.IsValid():
		return "", true
	case len(c.allow) > 0:
		return "Allow", slices.ContainsFunc(c.allow, in)
	}
	return "Deny", !slices.ContainsFunc(c.deny, in)
}

// admit counts a connection, unless it may not be because of a setting.
func (c *connections) admit(conn net.Conn) (setting string, ok bool) {
	if setting, ok = c.welcome(addressOf(conn)); !ok || !c.counted() {
		return setting, ok
	}
	host := hostOf(conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.max > 0 && len(c.hosts) >= c.max:
		return "MaxConnections", false
	case c.perHost > 0 && host.IsValid() && c.each[host] >= c.perHost:
		return "MaxConnectionsPerHost", false
	}
	if c.each == nil {
		c.hosts, c.each = map[net.Conn]netip.Addr{}, map[netip.Addr]int{}
	}
	c.hosts[conn] = host
	c.each[host]++
	return "", true
}

// changed is told of every connection by net/http.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	if state != http.StateClosed && state != http.StateHijacked {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	host, known := c.hosts[conn]
	if t, ok := conn.(*tls.Conn); ok && !known {
		conn = t.NetConn()
		host = c.hosts[conn]
	}
	delete(c.hosts, conn)
	if c.each[host]--; c.each[host] <= 0 {
		delete(c.each, host)
	}
}

// accepted is a connection of a listener's that is known by its pointer: it may be of a type
// that cannot be compared.
type accepted struct{ net.Conn }

func (c *accepted) NetConn() net.Conn { return c.Conn }

// limitedListener closes connections that may not be as they come.
type limitedListener struct {
	net.Listener
	conns  *connections
	logger *slog.Logger // may be nil
}

func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.conns.counted() && !reflect.TypeOf(c).Comparable() {
			c = &accepted{c}
		}
		setting, ok := l.conns.admit(c)
		if ok {
			return c, nil
		}
		if l.logger != nil {
			l.logger.Debug("connection refused", "remote", c.RemoteAddr(), "setting", setting)
		}
		c.Close()
	}
}
