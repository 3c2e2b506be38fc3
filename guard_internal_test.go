package netreply

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestGuardRanges: which addresses are public. Only the check itself can be tested with
// addresses that cannot be connected to here.
func TestGuardRanges(t *testing.T) {
	g := newGuard(&AddressGuard{})
	for addr, ok := range map[string]bool{
		"1.1.1.1": true, "8.8.8.8": true, "9.255.255.255": true, "11.0.0.1": true, "172.15.0.1": true, "172.32.0.1": true, "100.63.0.1": true, "100.128.0.1": true,
		"192.0.1.1": true, "192.167.255.255": true, "192.169.0.1": true, "198.17.255.255": true, "198.20.0.1": true, "223.255.255.255": true,
		"192.31.196.1": true, "192.52.193.1": true, "192.175.48.1": true, // globally reachable according to the registry
		"2000::1": true, "2001:200::1": true, "2001:4860:4860::8888": true, "2606:4700::1111": true, "2620:4f:8000::1": true, "2a00::1": true, "3ffe::1": true, "3fff:1000::1": true,
		"64:ff9b::101:101": true, "2002:101:101::": true, "2002:101:101::1": true,

		"0.0.0.0": false, "0.1.2.3": false, "10.1.2.3": false, "100.64.0.1": false, "100.127.255.255": false, "127.0.0.1": false, "169.254.169.254": false,
		"172.16.0.1": false, "172.31.255.255": false, "192.0.0.1": false, "192.0.0.9": false, "192.0.0.10": false, "192.0.0.170": false, "192.0.2.1": false,
		"192.88.99.1": false, "192.168.1.1": false, "198.18.0.1": false, "198.19.255.255": false, "198.51.100.1": false, "203.0.113.1": false,
		"224.0.0.1": false, "239.255.255.255": false, "240.0.0.1": false, "255.255.255.255": false,
		"::": false, "::1": false, "::2": false, "::ffff:10.0.0.1": false, "::10.0.0.1": false, "::8.8.8.8": false, "::ffff:0:8.8.8.8": false, "::ffff:0:7f00:1": false,
		"64:ff9b::a00:1": false, "64:ff9b::c058:6301": false, "64:ff9b::e000:1": false, "64:ff9b:0:0:0:1::1": false, "64:ff9b:1::808:808": false,
		"2002:a00:1::": false, "2002:7f00:1::": false, "2002:c058:6301::": false, "2002:a9fe:a9fe::1": false,
		"100::1": false, "100:0:0:1::1": false, "200::1": false, "400::1": false, "1000::1": false, "1fff:ffff::1": false, "4000::1": false, "5f00::1": false,
		"8000::1": false, "e000::1": false, "f000::1": false, "fe00::1": false, "fe80::1%eth0": false, "febf::1": false, "fec0::1": false,
		"fc00::1": false, "fd12:3456::1": false, "ff02::1": false, "ff0e::1": false,
		"2001::1": false, "2001:0:4136:e378:8000:63bf:3fff:fdd2": false, "2001:1::1": false, "2001:2::1": false, "2001:3::1": false, "2001:4:112::1": false,
		"2001:10::1": false, "2001:20::1": false, "2001:30::1": false, "2001:1ff::1": false, "2001:db8::1": false, "3fff::1": false, "3fff:fff::1": false,
		"2001:4860::5efe:7f00:1": false, "2001:4860::200:5efe:a00:1": false, "2001:4860::300:5efe:a00:1": false, "2002:101:101::5efe:a00:1": false,
	} {
		if err := g.check(netip.MustParseAddr(addr)); (err == nil) != ok {
			t.Errorf("%s: %v", addr, err)
		}
	}
	assert.Error(t, g.check(netip.Addr{}), "no address at all")
}

// TestGuardLists: Deny takes precedence over Allow, and both over the public ranges; an
// IPv6 address that embeds an IPv4 address counts as both.
func TestGuardLists(t *testing.T) {
	for _, c := range []struct {
		allow, deny, addr string
		ok                bool
	}{
		{"10.0.0.0/8", "", "10.1.2.3", true},
		{"10.0.0.0/8", "", "::ffff:10.1.2.3", true},
		{"10.0.0.0/8", "", "64:ff9b::a01:203", true},
		{"10.0.0.0/8", "", "2002:a01:203::1", true},
		{"10.0.0.0/8", "", "11.0.0.1", true},
		{"10.0.0.0/8", "", "127.0.0.1", false},
		{"10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", false},
		{"::ffff:10.0.0.0/104", "", "10.1.2.3", true},
		{"::ffff:0:0/96", "", "127.0.0.1", true},
		{"::ffff:0:0/96", "", "::1", false},
		{"::/0", "", "10.0.0.1", false},
		{"::/0", "", "::1", true},
		{"::/0", "10.0.0.0/8", "64:ff9b::a00:1", false},
		{"::/0", "10.0.0.0/8", "2002:a00:1::1", false},
		{"::/0", "10.0.0.0/8", "2001:4860::5efe:a00:1", false},
		{"::/0", "10.0.0.0/8", "::10.0.0.1", false},
		{"::/0", "10.0.0.0/8", "::ffff:0:a00:1", false},
		{"fe80::/10", "", "fe80::1%eth0", true},
		{"2001:4860::/32", "", "2001:4860::5efe:7f00:1", true},
		{"", "8.8.8.8/32", "8.8.8.8", false},
		{"", "8.8.8.8/32", "64:ff9b::808:808", false},
		{"", "::ffff:8.8.8.8/128", "8.8.8.8", false},
		{"", "::ffff:0:0/96", "8.8.8.8", false},
		{"", "::ffff:0:0/96", "2a00::1", true},
		{"", "::/0", "2a00::1", false},
		{"", "::/0", "8.8.8.8", true},
		{"", "8.8.8.9/24", "8.8.8.8", false}, // bits beyond the length are ignored
	} {
		var g AddressGuard
		if c.allow != "" {
			g.Allow = []netip.Prefix{netip.MustParsePrefix(c.allow)}
		}
		if c.deny != "" {
			g.Deny = []netip.Prefix{netip.MustParsePrefix(c.deny)}
		}
		err := newGuard(&g).check(netip.MustParseAddr(c.addr))
		assert.Equal(t, c.ok, err == nil, "%+v: %v", c, err)
	}
}
