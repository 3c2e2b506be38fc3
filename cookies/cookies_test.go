package cookies_test

import (
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/netreply/netreply/cookies"
)

func TestMain(m *testing.M) {
	if name := os.Getenv(stuckWriter); name != "" {
		writeForever(name)
	}
	goleak.VerifyTestMain(m)
}

func parseURL(t testing.TB, s string) *url.URL {
	u, err := url.Parse(s)
	require.NoError(t, err)
	return u
}

// TestParse: the result of Parse in the form of String.
func TestParse(t *testing.T) {
	for line, want := range map[string]string{
		"a=1":                                  "a=1",
		"  a \t=  1 \t ;":                      "a=1",
		"a=":                                   "a=",
		"a":                                    "-",
		"":                                     "-",
		"=1":                                   "-",
		" =1; path=/":                          "-",
		";a=1":                                 "-",
		"a=b=c":                                "a=b=c",
		`a="quoted value"`:                     `a="quoted value"`,
		`a="x;y"`:                              `a="x`,
		"a=1, b=2":                             "a=1, b=2",
		"a=ä€;path=/":                          "a=ä€; path=/",
		"a=\xff\xfe":                           "a=\xff\xfe",
		"a=\x01":                               "-",
		"a=1\x7f":                              "-",
		"a=1\tb":                               "a=1\tb",
		"a=1; Secure":                          "a=1; secure",
		"a=1;SECURE=false":                     "a=1; secure",
		"a=1; HttpOnly; secure":                "a=1; secure; HttpOnly",
		"a=1; samesite=LAX":                    "a=1; SameSite=Lax",
		"a=1; SameSite=Strict":                 "a=1; SameSite=Strict",
		"a=1; samesite=none":                   "a=1; SameSite=None",
		"a=1; samesite=what; unknown=x; y":     "a=1",
		"a=1; path=/x":                         "a=1; path=/x",
		"a=1; path=x":                          "a=1",
		"a=1; path=/x; path=":                  "a=1",
		"a=1; path=/x; path=/y":                "a=1; path=/y",
		`a=1; path="/x"`:                       "a=1",
		"a=1; Domain=.Example.ORG":             "a=1; domain=example.org",
		"a=1; domain=":                         "a=1",
		"a=1; domain=bücher.example":           "a=1; domain=xn--bcher-kva.example",
		"a=1; domain=a b":                      "-",
		"a=1; max-age=0":                       "a=1; expires=Thu, 01-Jan-1970 00:00:00 GMT",
		"a=1; max-age=-5":                      "a=1; expires=Thu, 01-Jan-1970 00:00:00 GMT",
		"a=1; max-age=1x":                      "a=1",
		"a=1; max-age=":                        "a=1",
		"a=1; max-age=-":                       "a=1",
		"a=1; max-age=+5":                      "a=1",
		"a=; expires=Thu, 01 Jan 1970":         "a=", // no time
		"a=1; expires=Wed, 01-Jan-31 00:00:00": "a=1; expires=Wed, 01-Jan-2031 00:00:00 GMT",
		"a=1; max-age=0; expires=Wed, 01-Jan-2031 00:00:00 GMT":  "a=1; expires=Thu, 01-Jan-1970 00:00:00 GMT",
		"a=1; expires=Wed, 01-Jan-2031 00:00:00 GMT; max-age=0":  "a=1; expires=Thu, 01-Jan-1970 00:00:00 GMT",
		"a=1; expires=Wed, 01-Jan-2031 00:00:00 GMT; expires=xx": "a=1; expires=Wed, 01-Jan-2031 00:00:00 GMT",
		"a=" + strings.Repeat("x", 4095):                         "a=" + strings.Repeat("x", 4095),
		"a=" + strings.Repeat("x", 4096):                         "-",
		"a=1; path=/" + strings.Repeat("x", 1024):                "a=1",
	} {
		c, ok := cookies.Parse(line)
		got := "-"
		if ok {
			got = c.String()
		}
		assert.Equal(t, want, got, "%.60q", line)
	}
	c, _ := cookies.Parse("a=1; max-age=99999999999999999999")
	assert.Greater(t, time.Until(c.Expires), 90*365*24*time.Hour)
	c, _ = cookies.Parse("a=1; max-age=60")
	assert.InDelta(t, 60, time.Until(c.Expires).Seconds(), 5)
}

func TestDates(t *testing.T) {
	want := time.Date(2027, 6, 9, 10, 18, 14, 0, time.UTC)
	for _, s := range []string{
		"Wed, 09 Jun 2027 10:18:14 GMT", "Wednesday, 09-Jun-27 10:18:14 GMT", "Wed Jun  9 10:18:14 2027", "9 jun 2027 10:18:14",
		"2027 10:18:14 9 Jun", "10:18:14 Jun 9 2027 +0200", "Wed/09/June/2027/10:18:14", "Wed, 9-Jun-27 10:18:14 UTC", "09 Jun 2027 10:18:14.123",
		"x09 Jun 09 2027 10:18:14", "JUNE 9th 2027, 10:18:14",
	} {
		c, ok := cookies.Parse("a=1; expires=" + s)
		require.True(t, ok, s)
		assert.Equal(t, want, c.Expires, s)
	}
	for _, s := range []string{
		"", "soon", "Wed, 09 Jun 2027", "Wed, 09 2027 10:18:14", "31 Jun 2027 10:18:14", "29 Feb 2027 10:18:14", "09 Jun 1600 10:18:14",
		"09 Jun 2027 24:00:00", "09 Jun 2027 10:60:00", "09 Jun 2027 10:18:60", "00 Jun 2027 10:18:14", "09 Jun 2027 10:18", "09 Jun 20271 10:18:14",
		"09 Jum 2027 10:18:14", "2027-06-09T10:18:14Z", "009 Jun 2027 10:18:14",
	} {
		c, ok := cookies.Parse("a=1; expires=" + s)
		require.True(t, ok, s)
		assert.True(t, c.Session(), s)
	}
	for s, year := range map[string]int{"70": 1970, "99": 1999, "00": 2000, "69": 2069, "100": 100} {
		c, _ := cookies.Parse("a=1; expires=01 Jan " + s + " 00:00:00")
		if year < 1601 {
			assert.True(t, c.Session())
		} else {
			assert.Equal(t, year, c.Expires.Year())
		}
	}
}

// TestJar: which cookies are sent after a sequence of Set-Cookie fields.
func TestJar(t *testing.T) {
	const home = "http://home.example.org/a/b"
	for _, c := range []struct {
		why  string
		from string
		set  []string
		to   string
		want string
	}{
		{"plain", home, []string{"a=1"}, home, "a=1"},
		{"several", home, []string{"a=1", "b=2", "c=3"}, home, "a=1; b=2; c=3"},
		{"replaced at its place", home, []string{"a=1", "b=2", "a=3"}, home, "a=3; b=2"},
		{"deleted", home, []string{"a=1", "a=; max-age=0"}, home, ""},
		{"names are case-sensitive", home, []string{"a=1", "A=2"}, home, "a=1; A=2"},
		{"as it came", home, []string{`a="x y, z"`, "b=ä\xff"}, home, `a="x y, z"; b=ä` + "\xff"},
		{"longer paths first", home, []string{"a=1; path=/", "b=2; path=/a", "c=3; path=/a/b"}, home, "c=3; b=2; a=1"},
		{"default path", home, []string{"a=1"}, "http://home.example.org/a/", "a=1"},
		{"default path, without its slash", home, []string{"a=1"}, "http://home.example.org/a", "a=1"},
		{"default path, above", home, []string{"a=1"}, "http://home.example.org/", ""},
		{"default path, beside", home, []string{"a=1"}, "http://home.example.org/ab", ""},
		{"path, a prefix only", home, []string{"a=1; path=/fo"}, "http://home.example.org/foo", ""},
		{"path with a slash", home, []string{"a=1; path=/fo/"}, "http://home.example.org/fo", ""},
		{"path of somewhere else", home, []string{"a=1; path=/x"}, "http://home.example.org/x/y?q", "a=1"},
		{"paths are case-sensitive", home, []string{"a=1; path=/X"}, "http://home.example.org/x", ""},
		{"no path in the URL", "http://home.example.org", []string{"a=1"}, "http://home.example.org/z", "a=1"},
		{"host only", home, []string{"a=1"}, "http://www.home.example.org/a/b", ""},
		{"host only, parent", home, []string{"a=1"}, "http://example.org/a/b", ""},
		{"parent domain", home, []string{"a=1; domain=example.org; path=/"}, "http://www.example.org/", "a=1"},
		{"parent domain, itself", home, []string{"a=1; domain=.example.org; path=/"}, "http://example.org/", "a=1"},
		{"own domain, below", home, []string{"a=1; domain=home.example.org; path=/"}, "http://x.home.example.org/", "a=1"},
		{"child domain", home, []string{"a=1; domain=x.home.example.org; path=/"}, "http://x.home.example.org/", ""},
		{"sibling", home, []string{"a=1; domain=other.example.org; path=/"}, "http://other.example.org/", ""},
		{"suffix, not a domain", home, []string{"a=1; domain=ample.org; path=/"}, "http://ample.org/", ""},
		{"case of domains", "http://HOME.Example.org/", []string{"a=1; domain=EXAMPLE.org"}, "http://home.example.ORG/", "a=1"},
		{"public suffix", home, []string{"a=1; domain=org; path=/"}, "http://home.example.org/", ""},
		{"public suffix of two labels", "http://x.co.uk/", []string{"a=1; domain=co.uk"}, "http://y.co.uk/", ""},
		{"a host that is a public suffix", "http://github.io/", []string{"a=1; domain=github.io"}, "http://github.io/", "a=1"},
		{"… and not to subdomains", "http://github.io/", []string{"a=1; domain=github.io"}, "http://x.github.io/", ""},
		{"port is no part", "http://home.example.org:81/", []string{"a=1"}, "https://home.example.org:444/", "a=1"},
		{"address", "http://127.0.0.1/", []string{"a=1; domain=127.0.0.1"}, "http://127.0.0.1/", "a=1"},
		{"part of an address", "http://127.0.0.1/", []string{"a=1; domain=0.0.1"}, "http://127.0.0.1/", ""},
		{"IPv6", "http://[::1]:80/", []string{"a=1"}, "http://[::1]/", "a=1"},
		{"international", "http://bücher.example/", []string{"a=1; domain=xn--bcher-kva.example"}, "http://www.xn--bcher-kva.example/", "a=1"},
		{"secure over https", "https://home.example.org/", []string{"a=1; secure"}, "https://home.example.org/", "a=1"},
		{"secure, not over http", "https://home.example.org/", []string{"a=1; secure", "b=2"}, "http://home.example.org/", "b=2"},
		{"secure, not set by http", home, []string{"a=1; secure; path=/"}, "https://home.example.org/", ""},
		{"secure, set by this machine", "http://localhost:8080/", []string{"a=1; secure"}, "https://localhost/", "a=1"},
		{"__Secure-", "https://home.example.org/", []string{"__Secure-a=1", "__secure-b=2", "__Secure-c=3; secure"}, "https://home.example.org/", "__Secure-c=3"},
		{"__Host-", "https://home.example.org/", []string{"__Host-a=1; secure", "__Host-b=2; secure; path=/; domain=example.org",
			"__Host-c=3; path=/", "__Host-d=4; secure; path=/x", "__HOST-e=5; secure; path=/"}, "https://home.example.org/", "__HOST-e=5"},
		{"host-only and domain are two", home, []string{"a=1; path=/", "a=2; domain=home.example.org; path=/"}, home, "a=1; a=2"},
		{"trailing dot is another host", home, []string{"a=1; domain=home.example.org.; path=/"}, home, ""},
		{"commas separate nothing", home, []string{"a=1, b=2; path=/"}, home, "a=1, b=2"},
	} {
		j := cookies.NewJar(cookies.Options{})
		j.SetHeader(parseURL(t, c.from), c.set)
		assert.Equal(t, c.want, j.Header(parseURL(t, c.to)), c.why)
	}
}

// TestSecureNotReplaced: cookies set over https are not replaced or hidden over http.
func TestSecureNotReplaced(t *testing.T) {
	j := cookies.NewJar(cookies.Options{})
	secure, plain := parseURL(t, "https://example.org/a/b"), parseURL(t, "http://www.example.org/a/b")
	require.Equal(t, 1, j.SetHeader(secure, []string{"a=1; secure; domain=example.org; path=/a"}))
	assert.Zero(t, j.SetHeader(plain, []string{"a=2; path=/a", "a=2; domain=example.org; path=/a/b", "a=; max-age=0; domain=example.org; path=/a"}))
	assert.Equal(t, 1, j.SetHeader(plain, []string{"a=2; path=/"}), "a path above is not in its way")
	assert.Equal(t, "a=1", j.Header(secure))
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := cookies.NewJar(cookies.Options{MaxAge: 100 * time.Hour})
		u := parseURL(t, "http://example.org/")
		j.SetHeader(u, []string{"session=1", "hour=1; max-age=3600", "year=1; max-age=31536000"})
		require.Equal(t, "session=1; hour=1; year=1", j.Header(u))
		time.Sleep(time.Hour - time.Second)
		require.Equal(t, "session=1; hour=1; year=1", j.Header(u))
		time.Sleep(2 * time.Second)
		require.Equal(t, "session=1; year=1", j.Header(u))
		time.Sleep(100 * time.Hour)
		require.Equal(t, "session=1", j.Header(u), "held to Options.MaxAge")
		require.Equal(t, 1, j.Len())
	})
}

// TestLimits: the least recently used cookies are evicted first, Secure ones last.
func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := cookies.NewJar(cookies.Options{MaxPerDomain: 3, Max: 5})
		u := parseURL(t, "https://www.example.org/")
		for _, line := range []string{"s=1; secure; path=/s", "a=1; path=/a", "b=1; path=/b"} {
			j.SetHeader(u, []string{line})
			time.Sleep(time.Second)
		}
		require.Equal(t, "a=1", j.Header(parseURL(t, "https://www.example.org/a"))) // used
		time.Sleep(time.Second)
		j.SetHeader(parseURL(t, "https://example.org/"), []string{"c=1"})
		assert.Equal(t, []string{"c", "a", "s"}, names(j), "b was the oldest that is not secure, and the domain is one with its parent")
		for i := range 4 {
			time.Sleep(time.Second)
			j.SetHeader(parseURL(t, fmt.Sprintf("http://host%d.test/", i)), []string{"x=1"})
		}
		assert.Equal(t, 5, j.Len())
		assert.Equal(t, []string{"c", "x", "x", "x", "x"}, names(j))
	})
}

func names(j *cookies.Jar) []string {
	var all []string
	for c := range j.All() {
		all = append(all, c.Name)
	}
	return all
}

// TestHTTP: the jar in an http.Client.
func TestHTTP(t *testing.T) {
	j := cookies.NewJar(cookies.Options{})
	u := parseURL(t, "https://example.org/x/y")
	h := http.Header{"Set-Cookie": {`q="a b"; path=/`, "p=1; secure; httponly; samesite=strict; max-age=100; domain=example.org"}}
	j.SetCookies(u, (&http.Response{Header: h}).Cookies())
	j.SetCookies(u, []*http.Cookie{{Name: "own", Value: "v", Quoted: true, MaxAge: 50}, {Name: "gone", MaxAge: -1}, {Name: "bad name;", Value: "x"},
		{Name: "", Value: "x"}, {Name: "far", Value: "1", MaxAge: 1 << 62}})
	var got []string
	for _, c := range j.Cookies(u) {
		got = append(got, c.String())
	}
	assert.Equal(t, []string{"p=1", `own="v"`, "far=1", `q="a b"`}, got)
	var full []string
	for c := range j.All() {
		c.Expires = time.Time{}
		full = append(full, c.String())
	}
	assert.Equal(t, []string{`q="a b"; path=/`, "far=1; path=/x", `own="v"; path=/x`, "p=1; secure; HttpOnly; SameSite=Strict; domain=example.org; path=/x"}, full)
}

// TestEditing: the methods of QNetworkCookieJar.
func TestEditing(t *testing.T) {
	j := cookies.NewJar(cookies.Options{})
	u := parseURL(t, "http://example.org/p/q")
	require.True(t, j.Set(u, cookies.Cookie{Name: "a", Value: "1"}))
	require.False(t, j.Set(u, cookies.Cookie{Name: "a", Value: "1", Domain: "elsewhere.org"}))
	require.False(t, j.Set(u, cookies.Cookie{Name: "a", Value: "1\r\nX: y"}))
	require.False(t, j.Set(parseURL(t, "data:,x"), cookies.Cookie{Name: "a", Value: "1"}))
	require.True(t, j.Insert(cookies.Cookie{Name: "b", Value: "2", Domain: ".example.org", Secure: true}))
	require.False(t, j.Insert(cookies.Cookie{Name: "b", Value: "2"}), "no domain")
	require.False(t, j.Insert(cookies.Cookie{Name: "b", Domain: "example.org", Path: "x"}))
	require.Equal(t, "a=1", j.Header(u))
	require.Len(t, j.For(parseURL(t, "https://www.example.org/")), 1)

	c := j.For(u)[0]
	assert.Equal(t, "/p", c.Path)
	assert.True(t, c.HostOnly)
	assert.False(t, c.Created.IsZero())
	c.Value = "changed"
	require.True(t, j.Update(c))
	require.Equal(t, "a=changed", j.Header(u))
	c.Path = "/other"
	require.False(t, j.Update(c))
	require.False(t, j.Delete(c))
	c.Path = "/p"
	c.Expires = time.Unix(1, 0)
	require.False(t, j.Insert(c), "an expired one deletes")
	require.Equal(t, []string{"b"}, names(j))
	require.True(t, j.Delete(cookies.Cookie{Name: "b", Domain: "example.org", Path: "/"}))
	require.Zero(t, j.Len())

	for i := range 5 {
		j.Set(u, cookies.Cookie{Name: fmt.Sprint(i), Value: "x"})
	}
	assert.Equal(t, 2, j.DeleteFunc(func(c cookies.Cookie) bool { return c.Name > "2" }))
	n := 0
	for range j.All() {
		n++
		j.Clear() // the iteration is not affected
	}
	assert.Equal(t, 3, n)
	assert.Zero(t, j.Len())
}

func TestSaveLoad(t *testing.T) {
	name := filepath.Join(t.TempDir(), "jar")
	j := cookies.NewJar(cookies.Options{})
	u := parseURL(t, "https://www.example.org/x/y")
	j.SetHeader(u, []string{`a="<1>"; max-age=1000; secure; httponly; samesite=lax; domain=example.org`, "b=\xff\xfe; max-age=1000", "s=1"})
	require.NoError(t, j.Save(name, false))

	k := cookies.NewJar(cookies.Options{})
	require.NoError(t, k.Load(name))
	require.Equal(t, []string{"a", "b"}, names(k))
	for c := range j.All() {
		i := slices.IndexFunc(k.For(u), func(d cookies.Cookie) bool { return c.Name == d.Name })
		if c.Session() {
			require.Negative(t, i)
			continue
		}
		got := k.For(u)[i]
		assert.Equal(t, c.String(), got.String())
		assert.Equal(t, c.HostOnly, got.HostOnly)
		assert.True(t, c.Created.Equal(got.Created))
		assert.True(t, c.LastAccess.Equal(got.LastAccess))
	}
	require.NoError(t, j.Save(name, true))
	require.NoError(t, k.Load(name))
	require.Equal(t, "a=\"<1>\"; b=\xff\xfe; s=1", k.Header(u))

	k.SetHeader(u, []string{"s=newer"})
	require.NoError(t, k.Load(name))
	require.Equal(t, "s=newer", k.For(u)[2].Pair(), "what the jar has stays")
	require.NoError(t, cookies.NewJar(cookies.Options{}).Save(name, false))
	require.NoError(t, cookies.NewJar(cookies.Options{}).Load(name))
}

// TestLoadDamaged: no cookies are loaded from a damaged file.
func TestLoadDamaged(t *testing.T) {
	name := filepath.Join(t.TempDir(), "jar")
	j := cookies.NewJar(cookies.Options{})
	require.ErrorIs(t, j.Load(name), fs.ErrNotExist)
	u := parseURL(t, "https://www.example.org/x/y")
	j.SetHeader(u, []string{"a=1; max-age=1000", "b=2; max-age=1000"})
	require.NoError(t, j.Save(name, false))
	whole, err := os.ReadFile(name)
	require.NoError(t, err)
	bad := [][]byte{nil, []byte("null"), []byte("[]"), []byte("{}"), []byte("# Netscape HTTP Cookie File\n"),
		[]byte(strings.Replace(string(whole), `"version": 1`, `"version": 2`, 1)), []byte(strings.Replace(string(whole), `"path": "/x"`, `"path": ""`, 1)),
		[]byte(strings.Replace(string(whole), `"value": "1"`, `"value": "1\r\nX: y"`, 1))}
	for n := 1; n < len(whole)-2; n += 7 {
		bad = append(bad, whole[:n])
	}
	for _, data := range bad {
		require.NoError(t, os.WriteFile(name, data, 0o600))
		k := cookies.NewJar(cookies.Options{})
		var fe *cookies.FormatError
		require.ErrorAs(t, k.Load(name), &fe, "%.60q", data)
		require.Equal(t, name, fe.File)
		require.Zero(t, k.Len())
	}
}

func TestConcurrent(t *testing.T) {
	name := filepath.Join(t.TempDir(), "jar")
	j := cookies.NewJar(cookies.Options{MaxPerDomain: 10, Max: 20})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			u := parseURL(t, fmt.Sprintf("http://host%d.test/", g%4))
			for i := range 100 {
				j.SetHeader(u, []string{fmt.Sprintf("c%d=%d", i%13, i)})
				j.Header(u)
				j.Cookies(u)
				for c := range j.All() {
					if i%10 == 0 {
						j.Delete(c)
					}
				}
				if i%50 == 0 {
					assert.NoError(t, j.Save(name, true))
					assert.NoError(t, j.Load(name))
				}
			}
		})
	}
	wg.Wait()
	assert.LessOrEqual(t, j.Len(), 20)
	n := 0
	for range j.All() {
		n++
	}
	assert.Equal(t, n, j.Len())
}

// FuzzParse: the text of a parsed cookie parses to the same cookie, and is valid in a
// request.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"a=1", `a="b"; path=/; domain=.x.org; secure`, "a=b; expires=Wed, 09 Jun 2027 10:18:14 GMT", "a=b; max-age=10; samesite=lax"} {
		f.Add(s)
	}
	u := parseURL(f, "https://www.example.org/x/y")
	f.Fuzz(func(t *testing.T, line string) {
		c, ok := cookies.Parse(line)
		j := cookies.NewJar(cookies.Options{})
		n := j.SetHeader(u, []string{line})
		h := j.Header(u)
		if strings.ContainsAny(h, "\r\n\x00;") {
			t.Fatalf("%q", h)
		}
		if !ok {
			if n != 0 {
				t.Fatal("set though it is none")
			}
			return
		}
		d, ok := cookies.Parse(c.String())
		if !ok || d.Pair() != c.Pair() || d.Secure != c.Secure || d.Path != c.Path || d.SameSite != c.SameSite {
			t.Fatalf("%q: %q is not %q", line, d, c)
		}
	})
}

func ExampleJar() {
	jar := cookies.NewJar(cookies.Options{})
	u, _ := url.Parse("https://example.org/account")
	jar.SetHeader(u, []string{`theme="dark"; Path=/; Max-Age=86400`, "id=42; Secure; HttpOnly"})
	fmt.Println(jar.Header(u))
	for c := range jar.All() {
		fmt.Println(c.Name, c.Domain, c.Path, c.Session())
	}
	// Output:
	// theme="dark"; id=42
	// id example.org / true
	// theme example.org / false
}
