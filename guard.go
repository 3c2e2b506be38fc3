package netreply

import (
	"net/netip"
	"slices"
)

// AddressGuard refuses connections to addresses that a server which fetches the URLs
// of others must not reach for them. Every connection is checked, after its name was
// resolved and with the very address that is connected to: those of redirects too, and
// names that suddenly mean something else. The zero value refuses everything that is
// not an address of the public Internet: loopback, private and shared networks,
// link-local (cloud metadata lies there), multicast and what is reserved, in IPv6 also
// as it embeds IPv4.
//
// Through a proxy, whose own address is the program's choice and not checked, names are
// looked up here, too, and tunnels are asked for the address that was checked. A proxy
// that forwards http looks the name up once more by itself.
type AddressGuard struct {
	// Allow are ranges that may be reached all the same.
	Allow []netip.Prefix
	// Deny are further ranges that may not. It counts before Allow.
	Deny []netip.Prefix
}

// BlockedAddressError tells that an AddressGuard has refused an address. The reply
// fails with UnknownNetworkError, and errors.As finds it there.
type BlockedAddressError struct{ Addr netip.Addr }

func (e *BlockedAddressError) Error() string { return "address " + e.Addr.String() + " is not allowed" }

// inside are the ranges that are no part of the public Internet (RFC 6890 and its
// registries).
var inside = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("224.0.0.0/3"),
	netip.MustParsePrefix("::/127"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("3fff::/20"),
	netip.MustParsePrefix("5f00::/16"), netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/9"), netip.MustParsePrefix("ff00::/8"),
}

// embedded finds the IPv4 address in an IPv6 address that stands for one: NAT64
// (RFC 6052), 6to4 (RFC 3056) and IPv4-compatible (RFC 4291).
func embedded(a netip.Addr) (netip.Addr, bool) {
	b := a.As16()
	switch {
	case !a.Is6():
		return a, false
	case netip.MustParsePrefix("64:ff9b::/96").Contains(a), netip.MustParsePrefix("::/96").Contains(a):
		return netip.AddrFrom4([4]byte(b[12:])), true
	case netip.MustParsePrefix("2002::/16").Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	}
	return a, false
}

// check refuses an address.
func (g *AddressGuard) check(a netip.Addr) error {
	a = a.Unmap().WithZone("")
	in := func(list []netip.Prefix) bool {
		return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	switch {
	case in(g.Deny):
		return &BlockedAddressError{a}
	case in(g.Allow):
		return nil
	case in(inside):
		return &BlockedAddressError{a}
	}
	if v4, ok := embedded(a); ok {
		return g.check(v4)
	}
	return nil
}
