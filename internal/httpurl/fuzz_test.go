package httpurl_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/netreply/netreply/internal/httpurl"
)

// FuzzParse: the text of a parsed URL parses to the same URL.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"http://EXAMPLE.org/%zz?ö=%", "http://[::1]:80/a b#c%", "//x/../y", "http://ü.example/", "data:,x", "http://user:p%40ss@h/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := httpurl.Parse(s)
		if err != nil {
			return
		}
		once := u.String()
		again, err := httpurl.Parse(once)
		if err != nil {
			t.Skip("net/url formats what it does not parse")
		}
		if twice := again.String(); twice != once && again.Host == u.Host {
			third, err := httpurl.Parse(twice)
			if err != nil || third.String() != twice {
				t.Errorf("%q became %q, then %q", s, once, twice)
			}
		}
	})
}

// FuzzLocation: for any Location, a followed target is valid in a request, and a refusal
// contains no secret or unprintable text.
func FuzzLocation(f *testing.F) {
	for _, seed := range []string{"/b#c", "//user:pw@b.test:8443/x?y z", "http:\\\\b.test", "//[fe80::1%25eth0]/", "https://bücher.test", "//b.test:99999", "?", "#", "..//..", "http:///", "//%00"} {
		f.Add(seed)
	}
	from := &url.URL{Scheme: "https", Host: "a.test", Path: "/d/x", RawQuery: "q", Fragment: "f", User: url.UserPassword("me", "s3cret-of-mine")}
	hasBlank := func(s string) bool {
		return strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }) >= 0
	}
	f.Fuzz(func(t *testing.T, location string) {
		p := httpurl.PlanRedirect(307, []string{location}, from, "GET", httpurl.Rules{Policy: httpurl.UserVerified, Left: 1, Upgrade: asItIs})
		if p.Refusal != nil {
			text := p.Refusal.Error()
			if strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0 || strings.Contains(text, "s3cret") {
				t.Fatalf("%q", text)
			}
			return
		}
		u := p.Target
		if u.Scheme != "http" && u.Scheme != "https" || httpurl.Check(u) != nil || hasBlank(u.RequestURI()) || hasBlank(u.Host) {
			t.Fatalf("%q is followed to %q", location, u)
		}
		if p.SameOrigin != httpurl.KeepsCredentials(from, u) {
			t.Fatal(location, p.SameOrigin)
		}
		if !strings.EqualFold(u.Host, from.Host) && u.User != nil && strings.Contains(u.User.String(), "s3cret-of-mine") && !strings.Contains(location, "s3cret") {
			t.Fatalf("user information is sent to %q", u.Host)
		}
	})
}

// FuzzExpand: whatever a value is, the path has the segments that its template has, the
// value is one of them, and resolving the path, as browsers and servers do, leaves it as it
// is.
func FuzzExpand(f *testing.F) {
	for _, seed := range []string{"7", "../x", "a/b?c#d", "//b.test", "%2e%2e", `..\..`, ".", "a b", "\xff\n", "{v}", "https://b.test"} {
		f.Add("users/{v}/posts", seed)
		f.Add("/.{v}", seed)
	}
	base := &url.URL{Scheme: "https", Host: "a.test", Path: "/v2"}
	f.Fuzz(func(t *testing.T, template, value string) {
		path, query, bad := httpurl.Expand(template, func(string) (string, bool) { return value, true })
		if bad != nil {
			return
		}
		u := httpurl.Join(base, path)
		u.RawQuery = query
		if path != "" && u.EscapedPath() != "/v2/"+strings.TrimPrefix(path, "/") {
			t.Fatalf("%q with %q became %q", template, value, u)
		}
		parsed, err := url.Parse(u.String())
		if err != nil || parsed.Host != "a.test" || parsed.Fragment != "" || parsed.EscapedPath() != u.EscapedPath() || parsed.RawQuery != query {
			t.Fatalf("%q with %q became %q: %v", template, value, u, err)
		}
		if bad := httpurl.Check(u); bad != nil {
			t.Fatalf("%q with %q became %q: %v", template, value, u, bad)
		}
		written, _, _ := strings.Cut(template, "#")
		written, _, _ = strings.Cut(written, "?")
		if strings.Count(path, "/") != strings.Count(written, "/") {
			t.Fatalf("%q with %q has other segments: %q", template, value, path)
		}
		for segment := range strings.SplitSeq(path, "/") {
			plain, err := url.PathUnescape(segment)
			if err != nil || plain == "." || plain == ".." {
				t.Fatalf("%q with %q has the segment %q", template, value, segment)
			}
		}
		if written == "{v}" {
			if plain, _ := url.PathUnescape(path); plain != value {
				t.Fatalf("%q became %q", value, path)
			}
		}
	})
}
