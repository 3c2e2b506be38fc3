package dial

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// maxAddresses is how many addresses of a name are tried at most.
const maxAddresses = 32

// addresses resolves addr to addresses, in the order in which they are tried. looked
// reports whether that required a lookup.
func (d *Dialer) addresses(ctx context.Context, addr string) (list []netip.AddrPort, looked bool, err error) {
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, false, err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, false, &net.AddrError{Err: "invalid port", Addr: addr}
	}
	all, named, err := d.lookup(ctx, host)
	if err != nil {
		return nil, named, err
	}
	if local, ok := d.LocalAddr.(*net.TCPAddr); named && ok && local.IP != nil {
		four := local.IP.To4() != nil
		n := 0
		for _, a := range all {
			if a.Is4() == four {
				all[n] = a
				n++
			}
		}
		if all = all[:n]; n == 0 {
			return nil, named, &net.AddrError{Err: "no address of the family of the local address " + local.IP.String(), Addr: addr}
		}
	}
	return candidates(all, uint16(port)), named, nil
}

// candidates returns the addresses to try.
func candidates(all []netip.Addr, port uint16) []netip.AddrPort {
	all = alternate(all)
	list := make([]netip.AddrPort, 0, min(len(all), maxAddresses))
	for _, a := range all[:cap(list)] {
		list = append(list, netip.AddrPortFrom(a, port))
	}
	return list
}

// alternate interleaves the address families, beginning with that of the first address, and
// keeps the order within each (RFC 8305, section 4).
func alternate(all []netip.Addr) []netip.Addr {
	var families [2][]netip.Addr
	for _, a := range all {
		i := 0
		if a.Is4() != all[0].Is4() {
			i = 1
		}
		families[i] = append(families[i], a)
	}
	list := make([]netip.Addr, 0, len(all))
	for i := range all {
		for _, f := range families {
			if i < len(f) {
				list = append(list, f[i])
			}
		}
	}
	return list
}

// loopback are the addresses of a localhost name.
var loopback = [...]netip.Addr{netip.IPv6Loopback(), netip.AddrFrom4([4]byte{127, 0, 0, 1})}

// isLocalhost reports whether a name means this machine by definition (RFC 6761, section
// 6.3).
func isLocalhost(host string) bool {
	const name = "localhost"
	host = strings.TrimSuffix(host, ".")
	n := len(host) - len(name)
	return n >= 0 && strings.EqualFold(host[n:], name) && (n == 0 || n > 1 && host[n-1] == '.')
}

// literal parses a host that is an address, possibly followed by a dot.
func literal(host string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(strings.TrimSuffix(host, "."))
	return a, err == nil
}

// lookup returns the addresses of a host, at least one; named reports whether the host is a
// name. It ends with ctx, even if the Dial function of the resolver does not.
func (d *Dialer) lookup(ctx context.Context, host string) (all []netip.Addr, named bool, err error) {
	if a, ok := literal(host); ok {
		return []netip.Addr{a.Unmap()}, false, nil
	}
	if isLocalhost(host) {
		return append([]netip.Addr(nil), loopback[:]...), true, nil
	}
	r := d.Resolver
	if r == nil {
		r = net.DefaultResolver
	}
	all, err = r.LookupNetIP(tracedLookup(ctx), "ip", host)
	if err == nil && len(all) == 0 {
		err = &net.DNSError{Err: "no addresses", Name: host, IsNotFound: true}
	}
	for i := range all {
		all[i] = all[i].Unmap()
	}
	return all, true, err
}
