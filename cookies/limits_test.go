package cookies_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/cookies"
)

// TestOneSite: one site displaces at most as many cookies of other sites as it may have,
// and never more than half of all.
func TestOneSite(t *testing.T) {
	for _, c := range []struct{ perDomain, max, victims, left int }{
		{0, 0, 3000, 3000 - 180},
		{180, 100, 100, 50},
		{1000, 1000, 400, 400},
	} {
		j := cookies.NewJar(cookies.Options{MaxPerDomain: c.perDomain, Max: c.max})
		for i := range c.victims {
			j.SetHeader(parseURL(t, fmt.Sprintf("https://victim%d.example/", i)), []string{"a=1"})
		}
		for i := range 5000 {
			j.SetHeader(parseURL(t, fmt.Sprintf("https://h%d.evil.example/", i%100)), []string{fmt.Sprintf("e%d=1; secure", i), fmt.Sprintf("f%d=1; domain=evil.example; secure", i)})
		}
		left := 0
		for c := range j.All() {
			if c.Name == "a" {
				left++
			}
		}
		assert.Equal(t, c.left, left, "%+v", c)
	}
}

// TestEvictionOrder: RFC 6265bis, section 5.7: expired cookies, those of a site with too
// many that are not Secure, the other ones of that site, then all, each least recently used
// first.
func TestEvictionOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := cookies.NewJar(cookies.Options{MaxPerDomain: 4, Max: 6})
		site, other := parseURL(t, "https://example.org/"), parseURL(t, "https://other.example/")
		set := func(line string) {
			t.Helper()
			require.Equal(t, 1, j.SetHeader(site, []string{line}))
			time.Sleep(time.Second)
		}
		set("old=1; secure")
		set("soon=1; max-age=5; secure")
		set("plain1=1")
		set("plain2=1; path=/p")
		time.Sleep(5 * time.Second)
		set("new=1; secure")
		assert.ElementsMatch(t, []string{"old", "plain1", "plain2", "new"}, names(j), "what has expired makes room")
		j.Header(site) // uses all but plain2
		time.Sleep(time.Second)
		set("newer=1; secure")
		assert.ElementsMatch(t, []string{"old", "plain1", "new", "newer"}, names(j), "not Secure, and longest unused")
		set("newest=1; secure")
		assert.ElementsMatch(t, []string{"old", "new", "newer", "newest"}, names(j))
		set("old=2; secure")
		set("last=1; secure")
		assert.ElementsMatch(t, []string{"old", "newer", "newest", "last"}, names(j), "only Secure ones are left")

		for i := range 2 {
			j.SetHeader(other, []string{fmt.Sprintf("o%d=1", i)})
			time.Sleep(time.Second)
		}
		assert.Len(t, names(j), 6)
		j.SetHeader(parseURL(t, "https://third.example/"), []string{"t=1"})
		assert.ElementsMatch(t, []string{"old", "newest", "last", "o0", "o1", "t"}, names(j), "cookies of the site with more than half are evicted")
		j.SetHeader(parseURL(t, "https://fourth.example/"), []string{"u=1"})
		assert.ElementsMatch(t, []string{"old", "last", "o0", "o1", "t", "u"}, names(j), "longest unused of all")
	})
}

// TestExpiredAreForgotten: expired cookies are removed without being accessed.
func TestExpiredAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := cookies.NewJar(cookies.Options{})
		for i := range 100 {
			j.SetHeader(parseURL(t, fmt.Sprintf("https://h%d.example/", i)), []string{fmt.Sprintf("a=1; max-age=%d", i+1)})
		}
		time.Sleep(50 * time.Second)
		assert.Equal(t, 100, j.Len())
		j.SetHeader(parseURL(t, "https://other.example/"), []string{"b=1"})
		assert.Equal(t, 51, j.Len())
		time.Sleep(time.Hour)
		assert.Equal(t, []string{"b"}, names(j))
		assert.Equal(t, 1, j.Len())
	})
}

// TestDeleteFunc: the function may use the jar, and a cookie that it changes is not
// deleted.
func TestDeleteFunc(t *testing.T) {
	j := cookies.NewJar(cookies.Options{})
	u := parseURL(t, "https://example.org/")
	j.SetHeader(u, []string{"a=1", "b=1", "c=1"})
	n := j.DeleteFunc(func(c cookies.Cookie) bool {
		assert.NotEmpty(t, j.Header(u), "a use is no change")
		if c.Name == "b" {
			j.SetHeader(u, []string{"b=2"})
		}
		if c.Name == "c" {
			j.Delete(c)
		}
		return true
	})
	assert.Equal(t, 1, n)
	assert.Equal(t, "b=2", j.Header(u))
}

// TestListThatUsesTheJar: no lock is held during calls of the program's list of public
// suffixes.
func TestListThatUsesTheJar(t *testing.T) {
	var j *cookies.Jar
	j = cookies.NewJar(cookies.Options{PublicSuffix: suffixes(func(domain string) string {
		names(j)
		return domain[strings.LastIndexByte(domain, '.')+1:]
	})})
	u := parseURL(t, "https://www.example.org/")
	assert.Equal(t, 1, j.SetHeader(u, []string{"a=1; domain=example.org"}))
	assert.Equal(t, "a=1", j.Header(u))
	assert.Len(t, j.For(u), 1)
	assert.Len(t, j.Cookies(u), 1)
	assert.True(t, j.Update(j.For(u)[0]))
	assert.True(t, j.Delete(j.For(u)[0]))
}
