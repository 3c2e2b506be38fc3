package cookies_test

import (
	"net/url"
	"testing"

	"golang.org/x/net/publicsuffix"

	"github.com/netreply/netreply/cookies"
)

// FuzzSites: whatever hosts and Domain attributes there are, a cookie stays within the
// registrable domain that set it.
func FuzzSites(f *testing.F) {
	for _, s := range [][3]string{{"a.example.org", ".example.org", "b.example.org"}, {"a.b.kobe.jp", "kobe.jp", "c.d.kobe.jp"}, {"a.com.", "com.", "b.com."},
		{"127.0.0.1", "0.0.1", "10.0.0.1"}, {"::1", "::1", "0::1"}, {"0:", "0", "0"}, {"bücher.example", "xn--bcher-kva.example", "x.bücher.example"}} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, from, domain, to string) {
		j := cookies.NewJar(cookies.Options{})
		j.SetHeader(&url.URL{Scheme: "https", Host: from, Path: "/"}, []string{"a=1; domain=" + domain})
		header := j.Header(&url.URL{Scheme: "https", Host: to, Path: "/"})
		if header == "" || from == to {
			return
		}
		for c := range j.All() {
			if c.HostOnly {
				return // the same host in another spelling, see the tests of the jar
			}
			site, err := publicsuffix.EffectiveTLDPlusOne(c.Domain)
			if err != nil && c.Domain[len(c.Domain)-1] != '.' {
				t.Fatalf("%q of %q went to %q, and %q is no site", domain, from, to, c.Domain)
			}
			if len(c.Domain) < len(site) {
				t.Fatalf("%q of %q went to %q", domain, from, to)
			}
		}
	})
}
