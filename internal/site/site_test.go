package site_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"golang.org/x/net/publicsuffix"

	"github.com/netreply/netreply/internal/site"
)

func TestCanonical(t *testing.T) {
	label := strings.Repeat("a", 49) + "."
	for in, want := range map[string]string{
		"Example.ORG": "example.org", "example.org.": "example.org.", "bücher.example": "xn--bcher-kva.example", "BÜCHER.example.": "xn--bcher-kva.example.",
		"127.0.0.1": "127.0.0.1", "::1": "::1", "0:0::0:1": "::1", "2001:DB8::A": "2001:db8::a", "a_b.example": "a_b.example", "localhost": "localhost",
		"": "", ".": "", "..": "", ".org": "", "a..org": "", "a.org..": "", "ü..org": "", "ü。.org": "", "a b": "", "a/b": "", "a%b": "", "a:80": "", "[::1]": "",
		"fe80::1%eth0": "", "a\x00b": "", "\xff.org": "",
		strings.Repeat(label, 5) + "org.": strings.Repeat(label, 5) + "org.", strings.Repeat(label, 5) + "museum": "",
		strings.Repeat("a.", 50_000): "", strings.Repeat("ü.", 50_000): "",
	} {
		got, ok := site.Canonical(in)
		assert.Equal(t, want, got, "%.60q", in)
		assert.Equal(t, want != "", ok, "%.60q", in)
	}
}

func TestAddresses(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1": true, "127.0.0.1.": true, "127.1": true, "1": true, "0x7f.1": true, "a.0x7f": true, "example.0x": true, "::1": true,
		"example.org": false, "1.example": false, "1x": false, "0xg": false, "x0": false,
	} {
		assert.Equal(t, want, site.IsAddress(host), host)
	}
}

type fixed string

func (f fixed) PublicSuffix(string) string { return string(f) }

// TestSites: a public suffix may be below a name that is none (*.kobe.jp), with exceptions
// (!city.kobe.jp); a final dot has no effect.
func TestSites(t *testing.T) {
	for host, want := range map[string]string{
		"www.example.org": "example.org", "a.b.example.org": "example.org", "example.org": "example.org", "org": "org",
		"www.example.org.": "example.org.", "org.": "org.", "x.co.uk": "x.co.uk", "a.x.co.uk": "x.co.uk", "co.uk": "co.uk", "a.b.github.io": "b.github.io",
		"kobe.jp": "kobe.jp", "city.kobe.jp": "city.kobe.jp", "www.city.kobe.jp": "city.kobe.jp", "a.kobe.jp": "a.kobe.jp", "x.a.kobe.jp": "x.a.kobe.jp",
		"y.x.a.kobe.jp": "x.a.kobe.jp", "127.0.0.1": "127.0.0.1", "127.0.0.1.": "127.0.0.1.", "10.0.1": "10.0.1", "::1": "::1", "localhost": "localhost", "a.localhost": "a.localhost",
		"b.a.unknown": "a.unknown",
	} {
		assert.Equal(t, want, site.Of(host, publicsuffix.List), host)
	}
	for host, want := range map[string]bool{"org": true, "org.": true, "co.uk": true, "example.org": false, "kobe.jp": false, "a.kobe.jp": true,
		"city.kobe.jp": false, "127.0.0.1": false, "1": false, "localhost": true} {
		assert.Equal(t, want, site.IsPublicSuffix(host, publicsuffix.List), host)
	}
	for _, list := range []fixed{"", "other.example", "rg", "a.example.org", ".org", "a.b.c.d.example.org"} {
		got := site.Of("www.example.org", list)
		assert.True(t, site.Within("www.example.org", got), "%q gives %q", list, got)
	}
}

func TestWithin(t *testing.T) {
	for _, c := range []struct {
		host, domain string
		want         bool
	}{
		{"a.org", "a.org", true}, {"x.a.org", "a.org", true}, {"xa.org", "a.org", false}, {"a.org", "x.a.org", false}, {"a.org.", "org.", true},
		{"a.org.", "org", false}, {"a.org", "org.", false}, {"127.0.0.1", "0.0.1", false}, {"127.0.0.1", "127.0.0.1", true}, {"127.0.0.1.", "0.1.", false},
		{"a.org", "", false}, {"a.org.", "", false},
	} {
		assert.Equal(t, c.want, site.Within(c.host, c.domain), "%s in %s", c.host, c.domain)
	}
}
