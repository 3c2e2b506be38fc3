package httpurl_test

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/httpurl"
)

// TestParse: percent signs, hosts and queries as in browsers and Qt, and errors without the
// URL.
func TestParse(t *testing.T) {
	for raw, want := range map[string]string{
		"http://EXAMPLE.test/%zz":     "http://example.test/%25zz",
		"http://bücher.test:8080/":    "http://xn--bcher-kva.test:8080/",
		"http://a.test/?ö=%&<\"> ":    "http://a.test/?%C3%B6=%25&%3C%22%3E%20",
		"http://[FE80::1%25eth0]:80/": "http://[fe80::1%25eth0]:80/",
		"/relative?x":                 "/relative?x",
		"http://a.test?x=%41":         "http://a.test?x=%41",
	} {
		u, err := httpurl.Parse(raw)
		require.NoError(t, err, raw)
		assert.Equal(t, want, u.String())
	}
	for raw, want := range map[string]string{
		"http://user:s3cret#@host:x/": "invalid host or port",
		"http://user:s3cret/x@host/":  "invalid host or port",
		"http://a.test/s3cret\x00":    "control character",
		"http://[::1/s3cret":          "missing ']'",
		":s3cret":                     "missing protocol scheme",
	} {
		_, err := httpurl.Parse(raw)
		var bad *httpurl.ParseError
		require.ErrorAs(t, err, &bad, raw)
		assert.Contains(t, err.Error(), want)
		assert.NotContains(t, err.Error(), "s3cret")
	}
}

// TestAddress: the address to connect to, the Host field, and the origin.
func TestAddress(t *testing.T) {
	for _, c := range []struct {
		url                        url.URL
		address, authority, origin string
	}{
		{url.URL{Scheme: "http", Host: "a.test"}, "a.test:80", "a.test", "http://a.test:80"},
		{url.URL{Scheme: "https", Host: "A.test"}, "a.test:443", "a.test", "https://a.test:443"},
		{url.URL{Scheme: "https", Host: "a.test:1"}, "a.test:1", "a.test:1", "https://a.test:1"},
		{url.URL{Scheme: "http", Host: "a.test:"}, "a.test:80", "a.test", "http://a.test:80"},
		{url.URL{Scheme: "http", Host: "bücher.test:81"}, "xn--bcher-kva.test:81", "xn--bcher-kva.test:81", "http://xn--bcher-kva.test:81"},
		{url.URL{Scheme: "http", Host: "[::1]"}, "[::1]:80", "[::1]", "http://[::1]:80"},
		{url.URL{Scheme: "http", Host: "[FE80::1%eth0]:81"}, "[fe80::1%eth0]:81", "[fe80::1]:81", "http://[fe80::1%eth0]:81"},
	} {
		address, err := httpurl.Address(&c.url)
		require.NoError(t, err)
		assert.Equal(t, c.address, address)
		assert.Equal(t, c.authority, httpurl.Authority(&c.url))
		origin, ok := httpurl.Origin(&c.url)
		assert.True(t, ok)
		assert.Equal(t, c.origin, origin)
	}
	for _, u := range []url.URL{{Scheme: "http"}, {Scheme: "http", Host: ":80"}, {Scheme: "http", Host: "a\u200d.test"}} {
		_, ok := httpurl.Origin(&u)
		assert.False(t, ok, u.Host)
	}
}

func TestCheck(t *testing.T) {
	for _, host := range []string{"a_b.test", "a.test.", "a.test:", "a.test:1", "[::1]", "[::1]:65535", "[fe80::1%eth0]:1", "bücher.test", "a--b~c!$&'()*+,;=.test", "1.2.3"} {
		assert.Nil(t, httpurl.Check(&url.URL{Scheme: "http", Host: host}), host)
	}
	for host, field := range map[string]string{
		"": "host", "a b": "host", "a\r\nX: 1": "host", "user:s3cret@a.test": "host", "s3cret@a.test": "host", "a%0d.test": "host", "::1": "host", "[a.test]": "host",
		"[fe80::1%a b]:80": "host", "a.test:65536": "port", "a.test:99999999999": "port",
	} {
		bad := httpurl.Check(&url.URL{Scheme: "http", Host: host})
		if assert.NotNil(t, bad, host) {
			assert.Equal(t, field, bad.Field, host)
			assert.NotContains(t, bad.Error(), "s3cret")
			assert.NotContains(t, bad.Error(), "\n")
		}
	}
	assert.Equal(t, "URL", httpurl.Check(&url.URL{Host: "a.test", Opaque: "/x HTTP/1.1"}).Field)
	assert.Equal(t, "URL", httpurl.Check(&url.URL{Host: "a.test", RawQuery: "a\nb"}).Field)
}

func TestUnresolvable(t *testing.T) {
	for _, host := range []string{"a.invalid", "INVALID.", "1.2.3", "10.0.0.1.5", "2130706433", "256.1.1.1", "0x7f000001", "a.0x"} {
		assert.NotEmpty(t, httpurl.Unresolvable(host), host)
	}
	for _, host := range []string{"a.test", "1.2.3.4", "::1", "1a", "localhost", "", "."} {
		assert.Empty(t, httpurl.Unresolvable(host), host)
	}
}

// TestRedacted: no password is shown, also in a URL that was not parsed.
func TestRedacted(t *testing.T) {
	for _, c := range []struct {
		url  *url.URL
		want string
	}{
		{nil, ""},
		{&url.URL{}, ""},
		{&url.URL{Scheme: "http"}, "http:"},
		{&url.URL{Scheme: "http", Host: "h", User: url.UserPassword("u", "s3cret")}, "http://u:xxxxx@h"},
		{&url.URL{Scheme: "http", Host: "u:s3cret@h", Path: "/"}, "http://xxxxx%40h/"},
		{&url.URL{Scheme: "http", Opaque: "u:s3cret@h"}, "http:xxxxx"},
		{&url.URL{Scheme: "http", Path: "u:s3cret@h"}, "http:xxxxx"},
		{&url.URL{Scheme: "data", Opaque: ",s3cret"}, "data:xxxxx"},
		{&url.URL{Scheme: "zip", Opaque: "u:s3cret@h"}, "zip:xxxxx"},
		{&url.URL{Scheme: "zip", Opaque: "a.zip!/b"}, "zip:a.zip!/b"},
		{&url.URL{Scheme: "file", Path: "/x"}, "file:///x"},
	} {
		assert.Equal(t, c.want, httpurl.Redacted(c.url))
	}
}
