package netreply

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func asItIs(u *url.URL) *url.URL { return u }

// TestPlanTargets: what a Location makes of http://a.test/dir/x?q=1#old (rules R11 and
// E20). "" for the target means that it is not followed, with code.
func TestPlanTargets(t *testing.T) {
	for _, c := range []struct {
		location, target string
		code             NetworkError
	}{
		{"/b", "http://a.test/b#old", 0},
		{"/b#new", "http://a.test/b#new", 0},
		{"/b#", "http://a.test/b", 0},
		{"#new", "http://a.test/dir/x?q=1#new", 0},
		{"?q=2", "http://a.test/dir/x?q=2#old", 0},
		{"b", "http://a.test/dir/b#old", 0},
		{"//b.test", "http://b.test/#old", 0},
		{"HTTPS://B.test:8443/", "https://b.test:8443/#old", 0},
		{"//[::1]:1/", "http://[::1]:1/#old", 0},
		{"//b.test:65535/", "http://b.test:65535/#old", 0},
		{`/\b.test/`, "http://a.test/%5Cb.test/#old", 0},
		{"//user:pw@b.test/", "http://user:pw@b.test/#old", 0},

		{"", "", ProtocolUnknownError},
		{"http://[x/", "", ProtocolUnknownError},
		{"ftp://b.test/", "", ProtocolUnknownError},
		{"data:,x", "", ProtocolUnknownError},
		{"file:///etc/passwd", "", ProtocolUnknownError},
		{"javascript:1", "", ProtocolUnknownError},
		{"unix+http://b.test/", "", ProtocolUnknownError},
		{"http:///x", "", ProtocolUnknownError},
		{"http:/x", "", ProtocolUnknownError},
		{"http:x", "", ProtocolUnknownError},
		{"//:80/", "", ProtocolUnknownError},
		{"//user@/", "", ProtocolUnknownError},
		{"//b.test:99999/", "", ProtocolUnknownError},
		{"//b.test:65536/", "", ProtocolUnknownError},
		{"//b.test:0/", "", ProtocolUnknownError},
		{"//b.test:000/", "", ProtocolUnknownError},
		{"//b.test:-1/", "", ProtocolUnknownError},
		{"//b.test:80x/", "", ProtocolUnknownError},
		{"//b test/", "", ProtocolUnknownError},
		{"//b.test\r\nX: 1/", "", ProtocolUnknownError},
		{"//b%0d%0a.test/", "", ProtocolUnknownError},
		{"//b%20c.test/", "", ProtocolUnknownError},
		{"//b%2523.test/", "", ProtocolUnknownError},
		{`//b.test\@c.test/`, "", ProtocolUnknownError},
		{`//b.test\c/`, "", ProtocolUnknownError},
		{`http:\\b.test/`, "", ProtocolUnknownError},
		{"//[b.test]/", "", ProtocolUnknownError},
		{"//[fe80::1%25a%0d%0a]/", "", ProtocolUnknownError},
		{"//[fe80::1%25a%20b]/", "", ProtocolUnknownError},
		{"//xn--/%zz\x00", "", ProtocolUnknownError},
	} {
		from, err := parseURL("http://a.test/dir/x?q=1#old")
		require.NoError(t, err)
		p := planRedirect(302, []string{c.location}, from, "GET", NoLessSafeRedirectPolicy, 1, asItIs)
		require.True(t, p.is)
		if c.code == 0 {
			require.Nil(t, p.err, "%q", c.location)
			assert.Equal(t, c.target, p.target.String(), "%q", c.location)
			continue
		}
		require.NotNil(t, p.err, "%q gives %v", c.location, p.target)
		assert.Equal(t, c.code, p.err.Code, "%q", c.location)
		assert.NotRegexp(t, `[\x00-\x1f]`, p.err.Error(), "%q", c.location)
		assert.NotContains(t, p.err.Error(), "pw")
	}
}

// TestPlanSeveralLocations: two that differ are an ambiguity that nobody may resolve.
func TestPlanSeveralLocations(t *testing.T) {
	from := &url.URL{Scheme: "http", Host: "a.test", Path: "/"}
	plan := func(policy RedirectPolicy, locations ...string) redirectPlan {
		return planRedirect(301, locations, from, "GET", policy, 1, asItIs)
	}
	p := plan(NoLessSafeRedirectPolicy, "/b", "/c")
	require.NotNil(t, p.err)
	assert.Equal(t, ProtocolFailure, p.err.Code)
	assert.Equal(t, "Data corrupted", p.err.Text)
	p = plan(NoLessSafeRedirectPolicy, "/b", "/b")
	require.Nil(t, p.err)
	assert.Equal(t, "http://a.test/b", p.target.String())
	assert.False(t, plan(NoLessSafeRedirectPolicy).is, "rule E20")
	assert.Equal(t, &url.URL{}, plan(ManualRedirectPolicy).target, "rule R2")
	assert.Equal(t, &url.URL{}, plan(ManualRedirectPolicy, "/b", "/c").target)
	assert.Equal(t, "/b", plan(ManualRedirectPolicy, "/b").target.String())
	for _, status := range []int{200, 201, 300, 304, 305, 306, 309, 400} {
		assert.Equal(t, redirectPlan{}, planRedirect(status, []string{"/b", "/c"}, from, "GET", NoLessSafeRedirectPolicy, 1, asItIs), status)
	}
}

func TestKeepsCredentials(t *testing.T) {
	for _, c := range []struct {
		from, to string
		keep     bool
	}{
		{"http://a.test/x", "http://a.test:80/y", true},
		{"https://a.test", "https://A.test:443", true},
		{"http://a.test", "https://a.test", true},
		{"http://a.test:80", "https://a.test:443", true},
		{"http://[::1]", "https://[::1]:443", true},
		{"http://a.test:80", "https://a.test:8443", false},
		{"http://a.test:8080", "https://a.test", false},
		{"http://a.test:8080", "https://a.test:8080", false},
		{"http://a.test:443", "https://a.test:443", false},
		{"http://a.test", "https://b.test", false},
		{"http://a.test", "https://www.a.test", false},
		{"https://a.test", "http://a.test", false},
		{"https://a.test:80", "http://a.test:80", false},
		{"http://a.test", "http://a.test:8080", false},
		{"unix+http://a.test", "https://a.test", false},
	} {
		from, _ := url.Parse(c.from)
		to, _ := url.Parse(c.to)
		assert.Equal(t, c.keep, keepsCredentials(from, to), "%s to %s", c.from, c.to)
	}
}

// TestPlanUpgrade: HSTS makes of a target of the same origin no other one.
func TestPlanUpgrade(t *testing.T) {
	secure := func(u *url.URL) *url.URL {
		v := *u
		v.Scheme = "https"
		return &v
	}
	from := &url.URL{Scheme: "http", Host: "a.test:8080", Path: "/"}
	p := planRedirect(302, []string{"/b"}, from, "GET", NoLessSafeRedirectPolicy, 1, secure)
	assert.Equal(t, "https://a.test:8080/b", p.target.String())
	assert.True(t, p.origin)
	p = planRedirect(302, []string{"http://b.test/"}, from, "GET", NoLessSafeRedirectPolicy, 1, secure)
	assert.False(t, p.origin)
}

// TestNextHeaders: rules R13 and D11.
func TestNextHeaders(t *testing.T) {
	all := NewHeaders("Accept", "1", "content-type", "2", "Content-Length", "3", "Content-Encoding", "4", "Content-Language", "5", "Content-Location", "6",
		"Content-Digest", "7", "Repr-Digest", "8", "Digest", "9", "Content-MD5", "10", "Transfer-Encoding", "11", "Trailer", "12", "Expect", "13",
		"Last-Modified", "14", "Content", "15", "Content-", "16")
	kept := nextHeaders(all.Clone(), nil, redirectPlan{origin: true})
	assert.True(t, kept.Equal(NewHeaders("Accept", "1", "Content", "15", "Content-", "16")), "%v", kept)
	assert.True(t, nextHeaders(all.Clone(), nil, redirectPlan{origin: true, body: true}).Equal(all))

	own := NewHeaders("authorization", "1", "COOKIE", "2", "Cookie2", "3", "Proxy-authorization", "4", "host", "5", "x-key", "6", "X-Mine", "7", "Authorization", "8")
	assert.True(t, nextHeaders(own.Clone(), []string{"X-KEY"}, redirectPlan{body: true}).Equal(NewHeaders("X-Mine", "7")))
	assert.True(t, nextHeaders(own.Clone(), []string{"X-KEY"}, redirectPlan{body: true, origin: true}).Equal(own))
}
