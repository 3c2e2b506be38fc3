package netreply

import (
	"net/netip"
	"slices"
	"strconv"
)

// AddressGuard refuses connections to addresses that a server which fetches the URLs
// of others must not reach for them. Every connection is checked, after its name was
// resolved and with the very address that is connected to: those of redirects too, and
// names that suddenly mean something else. The zero value lets through what the
// special-purpose address registries of IANA (RFC 6890) leave to the public Internet or
// call globally reachable, and nothing else: no loopback, private and shared networks,
// link-local (cloud metadata lies there), multicast and what is reserved. Of IPv6 that
// is 2000::/3, and addresses that stand for one of IPv4 (NAT64 and 6to4) where that is
// public. The blocks for protocols, 192.0.0.0/24 and 2001::/23, are refused as a whole:
// what the registry calls reachable in them is the nearest router. A NAT64 prefix of the
// network's own, and what a router does with public addresses, cannot be seen: Deny it.
//
// Config.DialContext is not called with an address that is refused, and what it connects
// to is checked, too. Through a proxy, whose own address is the program's choice and not
// checked, names are looked up here, too, and tunnels are asked for the address that was
// checked. A proxy that forwards http looks the name up once more by itself, and is not
// asked for a name of which any address is refused.
type AddressGuard struct {
	// Allow are ranges that may be reached all the same. A range of IPv4 counts for
	// addresses of IPv6 that stand for one in it, and may be written as mapped to IPv6
	// (::ffff:10.0.0.0/104); invalid prefixes are refused by NewManager.
	Allow []netip.Prefix
	// Deny are further ranges that may not, in the same form. It counts before Allow.
	Deny []netip.Prefix
}

// BlockedAddressError tells that an AddressGuard has refused an address. The reply
// fails with UnknownNetworkError, and errors.As finds it there.
type BlockedAddressError struct {
	Addr   netip.Addr
	denied bool // by name
}

func (e *BlockedAddressError) Error() string {
	if e.denied {
		return "address " + e.Addr.String() + " is not allowed: it is in AddressGuard.Deny"
	}
	return "address " + e.Addr.String() + " is not allowed: it is not public, and not in AddressGuard.Allow"
}

func prefixes(list ...string) []netip.Prefix {
	all := make([]netip.Prefix, len(list))
	for i, s := range list {
		all[i] = netip.MustParsePrefix(s)
	}
	return all
}

// nonPublic4 are the ranges of IPv4 that are no part of the public Internet: those of
// the IANA IPv4 Special-Purpose Address Registry that are not globally reachable, the
// anycast address of 6to4 relays (RFC 7526), and multicast.
var nonPublic4 = prefixes("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
	"192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4")

// public6 is all of IPv6 that has been given to be global unicast, and nonPublic6 what
// the IANA IPv6 Special-Purpose Address Registry takes out of it.
var (
	public6    = netip.MustParsePrefix("2000::/3")
	nonPublic6 = prefixes("2001::/23", "2001:db8::/32", "3fff::/20")
)

// Forms in which an address of IPv6 stands for one of IPv4. By the first two it is
// reached across the Internet; the others are given up, or for use inside a network.
var (
	nat64      = netip.MustParsePrefix("64:ff9b::/96")    // RFC 6052
	sixToFour  = netip.MustParsePrefix("2002::/16")       // RFC 3056
	compatible = netip.MustParsePrefix("::/96")           // RFC 4291, section 2.5.5.1
	translated = netip.MustParsePrefix("::ffff:0:0:0/96") // RFC 2765
)

// isATAP tells that the interface identifier stands for an address of IPv4 (RFC 5214,
// section 6.1), whatever its universal and group bits.
func isATAP(a netip.Addr) bool {
	b := a.As16()
	return a.Is6() && b[8]&^3 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe
}

// reaches finds the IPv4 address that packets to an IPv6 address end at.
func reaches(a netip.Addr) (v4 netip.Addr, ok bool) {
	b := a.As16()
	switch {
	case isATAP(a):
		return a, false
	case nat64.Contains(a):
		return netip.AddrFrom4([4]byte(b[12:])), true
	case sixToFour.Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	}
	return a, false
}

// embedded are all IPv4 addresses that an IPv6 address may stand for.
func embedded(a netip.Addr) (list []netip.Addr) {
	if v4, ok := reaches(a); ok {
		return []netip.Addr{v4}
	}
	if b := a.As16(); isATAP(a) || compatible.Contains(a) || translated.Contains(a) {
		list = append(list, netip.AddrFrom4([4]byte(b[12:])))
		if sixToFour.Contains(a) {
			list = append(list, netip.AddrFrom4([4]byte(b[2:6])))
		}
	}
	return list
}

func contains(list []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
}

// public reports whether an address is one of the public Internet.
func public(a netip.Addr) bool {
	if v4, ok := reaches(a); ok {
		a = v4
	}
	if a.Is4() {
		return !contains(nonPublic4, a)
	}
	return public6.Contains(a) && !isATAP(a) && !sixToFour.Contains(a) && !contains(nonPublic6, a)
}

// guard is an AddressGuard in use.
type guard struct{ allow, deny []netip.Prefix }

// newGuard makes a guard of what validate has passed.
func newGuard(g *AddressGuard) *guard {
	unmap := func(list []netip.Prefix) []netip.Prefix {
		list = slices.Clone(list)
		for i, p := range list {
			if p.Addr().Is4In6() {
				list[i] = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mappedBits)
			}
		}
		return list
	}
	return &guard{unmap(g.Allow), unmap(g.Deny)}
}

// mappedBits is the length of ::ffff:0:0/96.
const mappedBits = 96

// check refuses an address.
func (g *guard) check(a netip.Addr) error {
	if !a.IsValid() {
		return &BlockedAddressError{Addr: a}
	}
	a = a.Unmap().WithZone("")
	denied := func(a netip.Addr) bool { return contains(g.deny, a) }
	v4, ok := reaches(a)
	switch {
	case denied(a), slices.ContainsFunc(embedded(a), denied):
		return &BlockedAddressError{a, true}
	case contains(g.allow, a), ok && contains(g.allow, v4), public(a):
		return nil
	}
	return &BlockedAddressError{Addr: a}
}

// validate finds the prefixes that mean nothing, or not what they seem to.
func (g *AddressGuard) validate(field string) (errs []error) {
	if g == nil {
		return nil
	}
	for _, list := range []struct {
		name string
		list []netip.Prefix
	}{{"Allow", g.Allow}, {"Deny", g.Deny}} {
		for i, p := range list.list {
			name := field + "." + list.name + "[" + strconv.Itoa(i) + "]"
			switch {
			case !p.IsValid():
				errs = append(errs, &FieldError{Field: name, Reason: "the prefix is not valid; netip.ParsePrefix and Addr.Prefix tell why"})
			case p.Addr().Is4In6() && p.Bits() < mappedBits:
				errs = append(errs, &FieldError{name, p.String(), "it covers more than the IPv4 addresses that are mapped to IPv6: write a prefix of each family"})
			}
		}
	}
	return errs
}
