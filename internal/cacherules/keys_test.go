package cacherules_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	. "github.com/netreply/netreply/internal/cacherules"
)

func parse(t testing.TB, s string) *url.URL {
	u, err := url.Parse(s)
	require.NoError(t, err)
	return u
}

// TestKey: equivalent URLs have one key, all others have different ones.
func TestKey(t *testing.T) {
	key := func(s string) string { return Key(parse(t, s), "", "") }
	same := [][]string{
		{"http://a.test/", "http://a.test", "HTTP://A.TEST:80/", "http://u:p@a.test/#f"},
		{"https://a.test/~b/c", "https://a.test:443/%7Eb/%63"},
		{"http://a.test/%2F%c3", "http://a.test/%2f%C3"},
		{"http://a.test/?a=%7e", "http://a.test/?a=~"},
		{"http://bücher.test/", "http://xn--bcher-kva.test/"},
	}
	different := []string{"http://a.test/", "https://a.test/", "http://a.test:8080/", "http://b.test/", "http://a.test/a", "http://a.test/A", "http://a.test//",
		"http://a.test/?", "http://a.test/?a", "http://a.test/?A", "http://a.test/%2F", "http://a.test/%3F", "http://a.test/a%2Fb", "http://a.test/a/b",
		"http://a.test/?a=%26b", "http://a.test/?a=&b", "http://a.test/?a=1&b=2", "http://a.test/?b=2&a=1", "http://a.test/a/",
		"http://a.test/.", "http://a.test/x/..", "http://a.test/x/%2e%2E/", "http://a.test/a%2E"}
	for _, all := range same {
		for _, s := range all[1:] {
			assert.Equal(t, key(all[0]), key(s), s)
		}
	}
	seen := map[string]string{}
	for _, s := range different {
		assert.Empty(t, seen[key(s)], s)
		seen[key(s)] = s
	}
	assert.Empty(t, Key(&url.URL{Scheme: "http", Opaque: "//a.test/b"}, "", ""))
	assert.NotContains(t, key("http://user:secret@a.test/"), "secret")
}

// TestKeyParts: host and partition are part of the key, and cannot be mistaken for other parts.
func TestKeyParts(t *testing.T) {
	seen := map[string]bool{}
	for _, u := range []string{"http://a.test/", "http://b.test/", "http://a.test/?http://b.test:80/"} {
		for _, host := range []string{"", "c.test", "a.test:80@", "http://b.test/?", "5@b", "1:x "} {
			for _, partition := range []string{"", "x", "x ", "1:x ", "6@b.test http://a.test:80/", "http://b.test:80/?"} {
				k := Key(parse(t, u), host, partition)
				assert.False(t, seen[k], k)
				seen[k] = true
				assert.True(t, strings.HasPrefix(k, OriginKey(parse(t, u), host, partition)))
			}
		}
	}
	u := parse(t, "http://a.test/")
	assert.Equal(t, Key(u, "", ""), Key(u, "A.TEST", ""), "a Host field that says the same")
	assert.False(t, strings.HasPrefix(Key(parse(t, "http://a.test:8080/"), "", ""), OriginKey(parse(t, "http://a.test:808/"), "", "")))
	assert.False(t, strings.HasPrefix(Key(u, "", "x"), OriginKey(u, "", "")))
}

// TestInvalidated: what an unsafe request makes invalid (RFC 9111, section 4.4).
func TestInvalidated(t *testing.T) {
	u := parse(t, "http://a.test/x/y?z")
	of := func(method string, status int, lines ...string) (urls []string) {
		for _, u := range Invalidated(method, u, status, header(lines...)) {
			urls = append(urls, u.String())
		}
		return urls
	}
	own := "http://a.test/x/y?z"
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "MKCOL", "FOO", "get"} {
		assert.Equal(t, []string{own}, of(method, 200), method)
		assert.Equal(t, []string{own}, of(method, 303), method)
		assert.Equal(t, []string{own}, of(method, 399), method)
		assert.Empty(t, of(method, 400), method)
		assert.Empty(t, of(method, 404), method)
		assert.Empty(t, of(method, 500), method)
		assert.Empty(t, of(method, 101), method)
	}
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH", "QUERY"} {
		assert.Empty(t, of(method, 200, "Location: /"), method)
	}
	assert.Equal(t, []string{own, "http://a.test/l", "http://a.test/x/c"}, of("POST", 201, "Location: /l", "Content-Location: c"))
	assert.Equal(t, []string{own, "http://A.test:80/l"}, of("POST", 201, "Location: http://A.test:80/l"), "the same origin")
	for _, other := range []string{"http://b.test/l", "https://a.test/l", "http://a.test:8080/l", "//b.test/", "::", "http://[::1", "mailto:a", "http:///l"} {
		assert.Equal(t, []string{own}, of("PUT", 201, "Location: "+other, "Content-Location: "+other), other)
	}
}

// TestClearsCache: Clear-Site-Data.
func TestClearsCache(t *testing.T) {
	for value, want := range map[string]bool{
		`"cache"`: true, `"*"`: true, `"cookies", "cache"`: true, `"cookies","*"`: true, `"cookies"`: false, `cache`: false, `*`: false, `"Cache"`: false, `"cache`: false,
	} {
		assert.Equal(t, want, ClearsCache(parse(t, "https://a.test/"), header("Clear-Site-Data: "+value)), value)
		assert.False(t, ClearsCache(parse(t, "http://a.test/"), header("Clear-Site-Data: "+value)))
	}
	assert.True(t, ClearsCache(parse(t, "https://a.test/"), header(`Clear-Site-Data: "cookies"`, `Clear-Site-Data: "cache"`)))
}

// TestStatus: values of Cache-Status (RFC 9211).
func TestStatus(t *testing.T) {
	for want, c := range map[string]struct {
		Status
		name string
	}{
		`netreply; hit`:                                      {Status{Hit: true}, "netreply"},
		`netreply; hit; ttl=0`:                               {Status{Hit: true, HasTTL: true}, "netreply"},
		`netreply; hit; ttl=376`:                             {Status{Hit: true, HasTTL: true, TTL: 376*time.Second + 999*time.Millisecond}, "netreply"},
		`netreply; hit; ttl=-412`:                            {Status{Hit: true, HasTTL: true, TTL: -412 * time.Second}, "netreply"},
		`netreply; hit; ttl=-1`:                              {Status{Hit: true, HasTTL: true, TTL: -time.Millisecond}, "netreply"},
		`netreply; fwd=uri-miss; stored`:                     {Status{Forward: ForwardURIMiss, Stored: true}, "netreply"},
		`netreply; fwd=stale; fwd-status=304; ttl=9; stored`: {Status{Forward: ForwardStale, ForwardStatus: 304, HasTTL: true, TTL: 9 * time.Second, Stored: true}, "netreply"},
		`netreply; fwd=uri-miss; collapsed`:                  {Status{Forward: ForwardURIMiss, Collapsed: true}, "netreply"},
		`netreply; detail=only-if-cached`:                    {Status{Detail: "only-if-cached"}, "netreply"},
		`netreply; hit; detail="a \"b\" \\ ?"`:               {Status{Hit: true, Detail: "a \"b\" \\ \n"}, "netreply"},
		`"my cache"; hit`:                                    {Status{Hit: true}, "my cache"},
		`""`:                                                 {Status{}, ""},
		`"1x"`:                                               {Status{}, "1x"},
		`*x:y/z`:                                             {Status{}, "*x:y/z"},
		`"a;b"`:                                              {Status{}, "a;b"},
		`"??"`:                                               {Status{}, "ü"},
		`netreply; fwd=request; fwd-status=200; collapsed; detail=x`: {Status{Forward: ForwardRequest, ForwardStatus: 200, Collapsed: true, Detail: "x"}, "netreply"},
	} {
		assert.Equal(t, want, c.Field(c.name))
	}
}

func TestPartitionOf(t *testing.T) {
	u := &url.URL{Scheme: "https", Host: "a.test", Path: "/1:b "}
	for _, partition := range []string{"", "a", "1:a ", "ä ö", "https://a.test/", " ", "12:"} {
		for _, host := range []string{"", "b.test"} {
			assert.Equal(t, partition, PartitionOf(Key(u, host, partition)))
		}
	}
	for _, key := range []string{"", ":", "1:", "1:a", "01:a b", "-1:a b", "9:a b"} {
		assert.Empty(t, PartitionOf(key), key)
	}
}
