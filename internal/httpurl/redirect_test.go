package httpurl_test

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/httpurl"
)

func asItIs(u *url.URL) *url.URL { return u }

// TestPlanTargets: the target of a Location at http://a.test/dir/x?q=1#old (rules R11 and
// E20). "" means that it is not followed.
func TestPlanTargets(t *testing.T) {
	for _, c := range []struct{ location, target string }{
		{"/b", "http://a.test/b#old"},
		{"/b#new", "http://a.test/b#new"},
		{"/b#", "http://a.test/b"},
		{"#new", "http://a.test/dir/x?q=1#new"},
		{"?q=2", "http://a.test/dir/x?q=2#old"},
		{"b", "http://a.test/dir/b#old"},
		{"//b.test", "http://b.test/#old"},
		{"HTTPS://B.test:8443/", "https://b.test:8443/#old"},
		{"//[::1]:1/", "http://[::1]:1/#old"},
		{"//b.test:65535/", "http://b.test:65535/#old"},
		{`/\b.test/`, "http://a.test/%5Cb.test/#old"},
		{"//user:pw@b.test/", "http://user:pw@b.test/#old"},

		{"", ""},
		{"http://[x/", ""},
		{"ftp://b.test/", ""},
		{"data:,x", ""},
		{"file:///etc/passwd", ""},
		{"javascript:1", ""},
		{"unix+http://b.test/", ""},
		{"http:///x", ""},
		{"http:/x", ""},
		{"http:x", ""},
		{"//:80/", ""},
		{"//user@/", ""},
		{"//b.test:99999/", ""},
		{"//b.test:65536/", ""},
		{"//b.test:0/", ""},
		{"//b.test:000/", ""},
		{"//b.test:-1/", ""},
		{"//b.test:80x/", ""},
		{"//b test/", ""},
		{"//b.test\r\nX: 1/", ""},
		{"//b%0d%0a.test/", ""},
		{"//b%20c.test/", ""},
		{"//b%2523.test/", ""},
		{`//b.test\@c.test/`, ""},
		{`//b.test\c/`, ""},
		{`http:\\b.test/`, ""},
		{"//[b.test]/", ""},
		{"//[fe80::1%25a%0d%0a]/", ""},
		{"//[fe80::1%25a%20b]/", ""},
		{"//xn--/%zz\x00", ""},
	} {
		from, err := httpurl.Parse("http://a.test/dir/x?q=1#old")
		require.NoError(t, err)
		p := httpurl.PlanRedirect(302, []string{c.location}, from, "GET", httpurl.Rules{Left: 1, Upgrade: asItIs})
		require.True(t, p.Redirect)
		if c.target != "" {
			require.Nil(t, p.Refusal, "%q", c.location)
			assert.Equal(t, c.target, p.Target.String(), "%q", c.location)
			continue
		}
		require.NotNil(t, p.Refusal, "%q gives %v", c.location, p.Target)
		assert.Equal(t, httpurl.Unusable, p.Refusal.Kind, "%q", c.location)
		assert.NotRegexp(t, `[\x00-\x1f]`, p.Refusal.Error(), "%q", c.location)
		assert.NotContains(t, p.Refusal.Error(), "pw")
	}
}

// TestPlanSeveralLocations: two different Locations are refused.
func TestPlanSeveralLocations(t *testing.T) {
	from := &url.URL{Scheme: "http", Host: "a.test", Path: "/"}
	plan := func(policy httpurl.Policy, locations ...string) httpurl.Plan {
		return httpurl.PlanRedirect(301, locations, from, "GET", httpurl.Rules{Policy: policy, Left: 1, Upgrade: asItIs})
	}
	p := plan(httpurl.NoLessSafe, "/b", "/c")
	require.NotNil(t, p.Refusal)
	assert.Equal(t, httpurl.Ambiguous, p.Refusal.Kind)
	p = plan(httpurl.NoLessSafe, "/b", "/b")
	require.Nil(t, p.Refusal)
	assert.Equal(t, "http://a.test/b", p.Target.String())
	assert.False(t, plan(httpurl.NoLessSafe).Redirect, "rule E20")
	assert.Equal(t, &url.URL{}, plan(httpurl.Manual).Target, "rule R2")
	assert.Equal(t, &url.URL{}, plan(httpurl.Manual, "/b", "/c").Target)
	assert.Equal(t, "/b", plan(httpurl.Manual, "/b").Target.String())
	for _, status := range []int{200, 201, 300, 304, 305, 306, 309, 400} {
		assert.Equal(t, httpurl.Plan{}, httpurl.PlanRedirect(status, []string{"/b", "/c"}, from, "GET", httpurl.Rules{Left: 1, Upgrade: asItIs}), status)
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
		assert.Equal(t, c.keep, httpurl.KeepsCredentials(from, to), "%s to %s", c.from, c.to)
	}
}

// TestPlanUpgrade: after an upgrade by HSTS a target of the same origin counts as the same
// origin.
func TestPlanUpgrade(t *testing.T) {
	secure := func(u *url.URL) *url.URL {
		v := *u
		v.Scheme = "https"
		return &v
	}
	from := &url.URL{Scheme: "http", Host: "a.test:8080", Path: "/"}
	p := httpurl.PlanRedirect(302, []string{"/b"}, from, "GET", httpurl.Rules{Left: 1, Upgrade: secure})
	assert.Equal(t, "https://a.test:8080/b", p.Target.String())
	assert.True(t, p.SameOrigin)
	p = httpurl.PlanRedirect(302, []string{"http://b.test/"}, from, "GET", httpurl.Rules{Left: 1, Upgrade: secure})
	assert.False(t, p.SameOrigin)
}

// TestPlanPolicies: the redirects that each policy refuses, after the limit was checked
// (rules R2 to R6 and R12).
func TestPlanPolicies(t *testing.T) {
	followed := httpurl.RefusalKind(255)
	for _, c := range []struct {
		from, to string
		policy   httpurl.Policy
		left     int
		want     httpurl.RefusalKind
	}{
		{"https://a.test/", "https://b.test/", httpurl.NoLessSafe, 1, followed},
		{"http://a.test/", "https://b.test/", httpurl.NoLessSafe, 1, followed},
		{"https://a.test/", "http://a.test/", httpurl.NoLessSafe, 1, httpurl.LessSafe},
		{"https://a.test/", "http://a.test/", httpurl.UserVerified, 1, followed},
		{"unix+http://a.test/", "http://b.test/", httpurl.NoLessSafe, 1, httpurl.LessSafe},
		{"unix+http://a.test/", "/b", httpurl.NoLessSafe, 1, followed},
		{"http://a.test/", "http://A.test/b", httpurl.SameOrigin, 1, followed},
		{"http://a.test/", "http://a.test:80/", httpurl.SameOrigin, 1, httpurl.OtherOrigin},
		{"http://a.test/", "https://a.test/", httpurl.SameOrigin, 1, httpurl.OtherOrigin},
		{"http://a.test/", "http://b.test/", httpurl.SameOrigin, 1, httpurl.OtherOrigin},
		{"http://a.test/", "http://a.test/b", httpurl.UserVerified, 0, httpurl.TooMany},
		{"https://a.test/", "http://b.test/", httpurl.NoLessSafe, 0, httpurl.TooMany},
		{"https://a.test/", "ftp://b.test/", httpurl.UserVerified, 0, httpurl.TooMany},
		{"https://a.test/", "ftp://b.test/", httpurl.UserVerified, 1, httpurl.Unusable},
		{"https://a.test/", "http://[x/", httpurl.UserVerified, 0, httpurl.Unusable},
	} {
		from, err := httpurl.Parse(c.from)
		require.NoError(t, err)
		p := httpurl.PlanRedirect(307, []string{c.to}, from, "GET", httpurl.Rules{Policy: c.policy, Left: c.left, Upgrade: asItIs})
		require.True(t, p.Redirect)
		if c.want == followed {
			assert.Nil(t, p.Refusal, "%v", c)
		} else if assert.NotNil(t, p.Refusal, "%v", c) {
			assert.Equal(t, c.want, p.Refusal.Kind, "%v", c)
		}
	}
}

// TestPlanMethods: rule R13.
func TestPlanMethods(t *testing.T) {
	from := &url.URL{Scheme: "http", Host: "a.test", Path: "/"}
	for _, c := range []struct {
		status       int
		method, want string
		body         bool
	}{
		{301, "POST", "GET", false}, {302, "PUT", "GET", false}, {303, "DELETE", "GET", false}, {303, "HEAD", "HEAD", false}, {301, "GET", "GET", false},
		{307, "POST", "POST", true}, {308, "PUT", "PUT", true}, {307, "GET", "GET", true}, {308, "HEAD", "HEAD", true},
	} {
		p := httpurl.PlanRedirect(c.status, []string{"/b"}, from, c.method, httpurl.Rules{Left: 1, Upgrade: asItIs})
		assert.Equal(t, c.want, p.Method, "%v", c)
		assert.Equal(t, c.body, p.SendBody, "%v", c)
	}
}
