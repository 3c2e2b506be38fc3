package netreply

import (
	"crypto/sha256"
	"net/netip"
	"slices"
	"strconv"
)

// AddressGuard refuses connections to non-public addresses, for servers that fetch URLs
// given by others. It checks every connection after name resolution, with the address that
// is connected to, so that redirects and changed DNS records cannot bypass it.
//
// The zero value allows addresses that the IANA special-purpose address registries (RFC
// 6890) do not list or list as globally reachable, and refuses all others: loopback,
// private, shared and link-local networks (which include cloud metadata services),
// multicast and reserved addresses. Of IPv6 it allows 2000::/3, and the NAT64 and 6to4
// addresses of public IPv4 addresses. The protocol blocks 192.0.0.0/24 and 2001::/23 are
// refused completely, because the addresses in them that are globally reachable are served
// by the nearest router. AddressGuard cannot detect NAT64 prefixes other than the
// well-known one, or what a router does with public addresses: use Deny for those.
//
// Config.DialContext is not called with a refused address, and the remote address of its
// connection is checked, too. The address of a proxy is not checked, because the program
// has chosen it. For requests through a proxy names are resolved and checked locally, and
// tunnels are requested to the checked address. A proxy that forwards http requests
// resolves the name again by itself; it is not used for a name that has any refused
// address.
//
// A Manager with a guard does not serve file: URLs, unless Config.FileAccess says so. What a
// Backend connects to is not checked.
type AddressGuard struct {
	// Allow are further ranges that are allowed. An IPv4 range also applies to IPv6
	// addresses that embed an address of it; it may be written as IPv4-mapped IPv6
	// (::ffff:10.0.0.0/104). NewManager refuses invalid prefixes.
	Allow []netip.Prefix
	// Deny are further ranges that are refused, in the same form. It takes precedence over
	// Allow.
	Deny []netip.Prefix
}

// BlockedAddressError is the cause of a reply that failed because an AddressGuard refused
// an address; the code is UnknownNetworkError.
type BlockedAddressError struct {
	Addr   netip.Addr
	denied bool // by AddressGuard.Deny
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

// nonPublic4 are the non-public ranges of IPv4: those of the IANA IPv4 Special-Purpose
// Address Registry that are not globally reachable, the anycast address of 6to4 relays (RFC
// 7526), and multicast.
var nonPublic4 = prefixes("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
	"192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4")

// public6 is the global unicast range of IPv6; nonPublic6 are the exceptions in the IANA
// IPv6 Special-Purpose Address Registry.
var (
	public6    = netip.MustParsePrefix("2000::/3")
	nonPublic6 = prefixes("2001::/23", "2001:db8::/32", "3fff::/20")
)

// IPv6 ranges whose addresses embed an IPv4 address. The first two are routed on the
// Internet; the others are deprecated or for use inside a network.
var (
	nat64      = netip.MustParsePrefix("64:ff9b::/96")    // RFC 6052
	sixToFour  = netip.MustParsePrefix("2002::/16")       // RFC 3056
	compatible = netip.MustParsePrefix("::/96")           // RFC 4291, section 2.5.5.1
	translated = netip.MustParsePrefix("::ffff:0:0:0/96") // RFC 2765
)

// isATAP reports whether the interface identifier embeds an IPv4 address (RFC 5214, section
// 6.1), whatever its universal and group bits.
func isATAP(a netip.Addr) bool {
	b := a.As16()
	return a.Is6() && b[8]&^3 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe
}

// routedIPv4 returns the IPv4 address to which packets for an IPv6 address are routed.
func routedIPv4(a netip.Addr) (v4 netip.Addr, ok bool) {
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

// embeddedIPv4 returns all IPv4 addresses that an IPv6 address may embed.
func embeddedIPv4(a netip.Addr) (list []netip.Addr) {
	if v4, ok := routedIPv4(a); ok {
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

// public reports whether an address belongs to the public Internet.
func public(a netip.Addr) bool {
	if v4, ok := routedIPv4(a); ok {
		a = v4
	}
	if a.Is4() {
		return !contains(nonPublic4, a)
	}
	return public6.Contains(a) && !isATAP(a) && !sixToFour.Contains(a) && !contains(nonPublic6, a)
}

// guard is an AddressGuard with unmapped prefixes.
type guard struct{ allow, deny []netip.Prefix }

// newGuard makes a guard; g has been validated.
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

// trust is the value of flow.Config.Trust: what a Manager without this guard has received is
// not for one with it, even from a cache that both share.
func (g *AddressGuard) trust() string {
	t := trustHash{sha256.New()}
	n := newGuard(g)
	for _, list := range [][]netip.Prefix{n.allow, n.deny} {
		t.add(len(list))
		for _, p := range list {
			t.add(p.String())
		}
	}
	return "guard " + t.sum() + " "
}

// mappedBits is the length of ::ffff:0:0/96.
const mappedBits = 96

// check returns an error for a refused address.
func (g *guard) check(a netip.Addr) error {
	if !a.IsValid() {
		return &BlockedAddressError{Addr: a}
	}
	a = a.Unmap().WithZone("")
	denied := func(a netip.Addr) bool { return contains(g.deny, a) }
	v4, ok := routedIPv4(a)
	switch {
	case denied(a), slices.ContainsFunc(embeddedIPv4(a), denied):
		return &BlockedAddressError{a, true}
	case contains(g.allow, a), ok && contains(g.allow, v4), public(a):
		return nil
	}
	return &BlockedAddressError{Addr: a}
}

// validate returns an error for each prefix that is invalid or ambiguous.
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
				errs = append(errs, &FieldError{Field: name, Reason: "the prefix is not valid; netip.ParsePrefix and Addr.Prefix return the reason"})
			case p.Addr().Is4In6() && p.Bits() < mappedBits:
				errs = append(errs, &FieldError{name, p.String(), "covers more than the IPv4-mapped addresses: use one prefix for each family"})
			}
		}
	}
	return errs
}
