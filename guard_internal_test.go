package netreply

import (
	"net/netip"
	"testing"
)

// TestGuardRanges: what is public and what is not. Only the check itself can be asked
// about addresses that nobody here can connect to.
func TestGuardRanges(t *testing.T) {
	var g AddressGuard
	for addr, ok := range map[string]bool{
		"1.1.1.1": true, "8.8.8.8": true, "172.15.0.1": true, "172.32.0.1": true, "100.63.0.1": true, "100.128.0.1": true, "192.0.1.1": true,
		"223.255.255.255": true, "2606:4700::1111": true, "2a00::1": true, "64:ff9b::101:101": true, "2002:101:101::": true,
		"0.1.2.3": false, "10.1.2.3": false, "100.64.0.1": false, "127.0.0.1": false, "169.254.169.254": false, "172.16.0.1": false, "172.31.255.255": false,
		"192.0.0.1": false, "192.168.1.1": false, "198.18.0.1": false, "203.0.113.1": false, "224.0.0.1": false, "255.255.255.255": false,
		"::": false, "::1": false, "::ffff:10.0.0.1": false, "::10.0.0.1": false, "64:ff9b::a00:1": false, "2002:a00:1::": false, "2002:7f00:1::": false,
		"fe80::1%eth0": false, "fec0::1": false, "fc00::1": false, "fd12:3456::1": false, "ff02::1": false, "2001:db8::1": false, "100::1": false,
	} {
		if err := g.check(netip.MustParseAddr(addr)); (err == nil) != ok {
			t.Errorf("%s: %v", addr, err)
		}
	}
}
