package cookies_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/cookies"
)

// TestSites: no cookie is sent from one site to another, whatever public suffixes are below
// or above.
func TestSites(t *testing.T) {
	for _, c := range []struct{ from, domain, to, want string }{
		// *.kobe.jp is a public suffix, kobe.jp is none, city.kobe.jp is an exception.
		{"a.b.kobe.jp", "kobe.jp", "c.d.kobe.jp", ""},
		{"a.b.kobe.jp", "kobe.jp", "a.b.kobe.jp", ""},
		{"a.b.kobe.jp", "b.kobe.jp", "c.b.kobe.jp", ""},
		{"b.kobe.jp", "kobe.jp", "b.kobe.jp", ""},
		{"b.kobe.jp", "b.kobe.jp", "b.kobe.jp", "a=1"},
		{"b.kobe.jp", "b.kobe.jp", "a.b.kobe.jp", ""},
		{"x.a.b.kobe.jp", "a.b.kobe.jp", "y.a.b.kobe.jp", "a=1"},
		{"city.kobe.jp", "kobe.jp", "kobe.jp", ""},
		{"city.kobe.jp", "city.kobe.jp", "www.city.kobe.jp", "a=1"},
		{"www.city.kobe.jp", "city.kobe.jp", "city.kobe.jp", "a=1"},
		{"kobe.jp", "kobe.jp", "kobe.jp", "a=1"},
		{"kobe.jp", "kobe.jp", "a.b.kobe.jp", ""},
		{"kobe.jp", "kobe.jp", "b.kobe.jp", ""},
		{"kobe.jp", "kobe.jp", "city.kobe.jp", ""},
		{"a.b.compute.amazonaws.com", "amazonaws.com", "c.d.compute.amazonaws.com", ""},
		{"a.b.compute.amazonaws.com", "compute.amazonaws.com", "c.d.compute.amazonaws.com", ""},
		{"www.ck", "ck", "www.ck", ""},
		{"x.www.ck", "www.ck", "www.ck", "a=1"},
		// A final dot makes another host, with the same rules.
		{"a.com.", "com.", "b.com.", ""},
		{"a.com.", "com.", "a.com.", ""},
		{"a.com.", "com", "b.com", ""},
		{"a.com", "com.", "b.com.", ""},
		{"a.co.uk.", "co.uk.", "b.co.uk.", ""},
		{"a.b.kobe.jp.", "kobe.jp.", "c.d.kobe.jp.", ""},
		{"a.example.com.", "example.com.", "b.example.com.", "a=1"},
		{"a.example.com.", "example.com.", "b.example.com", ""},
		{"a.example.com", "example.com.", "b.example.com", ""},
		{"a.example.com.", "example.com", "a.example.com.", ""},
		{"com.", "com.", "com.", "a=1"},
		{"com.", "com.", "a.com.", ""},
		{"a.com.", ".", "b.com.", ""},
		{"a.com.", "..", "b.com.", ""},
		{"a.com", "..com", "b.com", ""},
		{"localhost", "localhost", "a.localhost", ""},
		// An address is a site of its own, in any form.
		{"127.0.0.1", "0.0.1", "10.0.0.1", ""},
		{"127.0.0.1", "1", "10.0.0.1", ""},
		{"127.0.0.1.", "0.0.1.", "10.0.0.1.", ""},
		{"127.0.0.1.", "1.", "10.0.0.1.", ""},
		{"127.0.0.1", "127.0.0.1", "127.0.0.1", "a=1"},
		{"127.0.0.1", ".127.0.0.1", "127.0.0.1", "a=1"},
		{"127.0.0.1", "127.0.0.1", "1.127.0.0.1", ""},
		{"1.127.0.0.1", "127.0.0.1", "127.0.0.1", ""},
		{"10.0.1", "0.1", "5.0.1", ""},
		{"10.0x1", "0x1", "5.0x1", ""},
		{"[::1]", "[::1]", "[::1]", ""},
		{"[::1]", "", "[0:0:0::1]", "a=1"},
		{"[fe80::1%25eth0]", "", "[fe80::1%25eth0]", ""},
		{"a..com", "com", "b.com", ""},
		{"a..com", "", "a..com", ""},
		{".com", "", ".com", ""},
	} {
		j := cookies.NewJar(cookies.Options{})
		line := "a=1; path=/"
		if c.domain != "" {
			line += "; domain=" + c.domain
		}
		j.SetHeader(parseURL(t, "http://"+c.from+"/"), []string{line})
		assert.Equal(t, c.want, j.Header(parseURL(t, "http://"+c.to+"/")), "%+v", c)
	}
}

// suffixes is a custom list with errors.
type suffixes func(string) string

func (f suffixes) PublicSuffix(domain string) string { return f(domain) }

// TestForeignList: with any list, a cookie is sent only to hosts of its domain.
func TestForeignList(t *testing.T) {
	for name, list := range map[string]suffixes{
		"nothing": func(string) string { return "" },
		"all":     func(d string) string { return d },
		"other":   func(string) string { return "elsewhere" },
		"half":    func(d string) string { return d[len(d)/2:] },
	} {
		j := cookies.NewJar(cookies.Options{PublicSuffix: list})
		u := parseURL(t, "http://www.example.org/")
		j.SetHeader(u, []string{"a=1", "b=2; domain=example.org", "c=3; domain=org"})
		assert.Contains(t, j.Header(u), "a=1", name)
		assert.Empty(t, j.Header(parseURL(t, "http://www.example.com/")), name)
	}
}

// TestDomainAttribute: an empty one is ignored (rule C6).
func TestDomainAttribute(t *testing.T) {
	for line, want := range map[string]string{
		"a=1; domain=": "", "a=1; domain": "", "a=1; domain= ": "", "a=1; domain=.": "", "a=1; domain=x.org; domain=": "x.org",
		"a=1; domain=; domain=x.org": "x.org", "a=1; domain=x.org; domain=y.org": "y.org", "a=1; domain=.x.org; domain=.": "x.org",
	} {
		c, ok := cookies.Parse(line)
		require.True(t, ok, line)
		assert.Equal(t, want, c.Domain, line)
	}
	j := cookies.NewJar(cookies.Options{})
	u := parseURL(t, "http://home.example.org/")
	j.SetHeader(u, []string{"a=1; domain=example.org; domain="})
	assert.False(t, j.For(u)[0].HostOnly)
}

// TestDefaultPath is RFC 6265bis, section 5.1.4.
func TestDefaultPath(t *testing.T) {
	for path, want := range map[string]string{
		"": "/", "/": "/", "/a": "/", "/a/": "/a", "/a/b": "/a", "/a/b/": "/a/b", "//": "/", "//a": "/", "/a//b": "/a/", "/a%2Fb/c": "/a%2Fb", "/a/b?x=/y/z": "/a",
	} {
		j := cookies.NewJar(cookies.Options{})
		u := parseURL(t, "http://example.org"+path)
		j.SetHeader(u, []string{"a=1"})
		require.Len(t, j.For(u), 1, path)
		assert.Equal(t, want, j.For(u)[0].Path, path)
	}
	j := cookies.NewJar(cookies.Options{})
	assert.Zero(t, j.SetHeader(parseURL(t, "http://example.org/"+strings.Repeat("x", 5000)+"/y"), []string{"a=1"}), "what a server can make a jar hold is bounded")
}

// TestLongHost: a host with very many labels.
func TestLongHost(t *testing.T) {
	j := cookies.NewJar(cookies.Options{})
	j.SetHeader(parseURL(t, "http://example.org/"), []string{"a=1"})
	host := strings.Repeat("a.", 100_000) + "example.org"
	assert.Zero(t, j.SetHeader(parseURL(t, fmt.Sprintf("http://%s/", host)), []string{"a=1", "b=1; domain=example.org"}))
	assert.Empty(t, j.Header(parseURL(t, fmt.Sprintf("http://%s/", host))))
}
