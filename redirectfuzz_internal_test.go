package netreply

import (
	"net/url"
	"strings"
	"testing"
)

// FuzzLocation: whatever a Location says, what is followed can stand in a request, and
// what is not is told without anything secret or unprintable.
func FuzzLocation(f *testing.F) {
	for _, seed := range []string{"/b#c", "//user:pw@b.test:8443/x?y z", "http:\\\\b.test", "//[fe80::1%25eth0]/", "https://bücher.test", "//b.test:99999", "?", "#", "..//..", "http:///", "//%00"} {
		f.Add(seed)
	}
	from := &url.URL{Scheme: "https", Host: "a.test", Path: "/d/x", RawQuery: "q", Fragment: "f", User: url.UserPassword("me", "s3cret-of-mine")}
	f.Fuzz(func(t *testing.T, location string) {
		p := planRedirect(307, []string{location}, from, "GET", UserVerifiedRedirectPolicy, 1, func(u *url.URL) *url.URL { return u })
		if p.err != nil {
			text := p.err.Error()
			if strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0 || strings.Contains(text, "s3cret") {
				t.Fatalf("%q", text)
			}
			return
		}
		u := p.target
		if u.Scheme != "http" && u.Scheme != "https" || checkTarget(u) != nil || hasBlank(u.RequestURI()) || hasBlank(u.Host) {
			t.Fatalf("%q is followed to %q", location, u)
		}
		if p.origin != (keepsCredentials(from, u)) {
			t.Fatal(location, p.origin)
		}
		if !strings.EqualFold(u.Host, from.Host) && u.User != nil && strings.Contains(u.User.String(), "s3cret-of-mine") && !strings.Contains(location, "s3cret") {
			t.Fatalf("user information goes to %q", u.Host)
		}
	})
}
