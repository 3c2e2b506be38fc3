package filename_test

import (
	"net/url"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/filename"
)

// TestFromDisposition: the names of valid values, and of the mistakes that servers make.
func TestFromDisposition(t *testing.T) {
	for _, c := range []struct{ value, extended, plain string }{
		// no name
		{``, ``, ``},
		{`inline`, ``, ``},
		{`"attachment"`, ``, ``},
		{`attachment; foo=bar`, ``, ``},
		{`attachment; filename`, ``, ``},
		{`attachment; filename=`, ``, ``},
		{`attachment; filename=""`, ``, ``},
		{`attachment; xfilename=a.html`, ``, ``},
		{`attachment; x="filename=a.html"`, ``, ``},
		{`attachment; x="\"; filename=a.html; y=\""`, ``, ``},
		{`filename`, ``, ``},

		// tokens and quoted strings
		{`attachment; filename=foo.html`, ``, `foo.html`},
		{`attachment; filename="foo.html"`, ``, `foo.html`},
		{`inline; filename="foo.html"`, ``, `foo.html`},
		{`form-data; name=x; filename="foo.html"`, ``, `foo.html`},
		{`ATTACHMENT; FILENAME="foo.html"`, ``, `foo.html`},
		{"attachment;\tfilename\t= \"foo.html\" ; x=y", ``, `foo.html`},
		{`attachment; filename="foo.html" ;`, ``, `foo.html`},
		{`attachment; foo="\"\\";filename="foo.html"`, ``, `foo.html`},
		{`attachment; filename="f\oo.html"`, ``, `foo.html`},
		{`attachment; filename="\"quoting\" tested.html"`, ``, `"quoting" tested.html`},
		{`attachment; filename="Here's a semicolon;.html"`, ``, `Here's a semicolon;.html`},
		{`attachment; filename='foo.bar'`, ``, `'foo.bar'`},
		{`attachment; filename="foo-%41.html"`, ``, `foo-%41.html`},
		{`attachment; filename="foo-%\41.html"`, ``, `foo-%41.html`},
		{`attachment; filename="50%.html"`, ``, `50%.html`},
		{`attachment; filename="foo.html"; name="bar"`, ``, `foo.html`},
		{`attachment; modification-date="Wed, 12 Feb 1997 16:29:51 -0500"; filename="a"`, ``, `a`},

		// mistakes
		{`filename=foo.html`, ``, `foo.html`},
		{`filename="foo.html"; attachment`, ``, `foo.html`},
		{`; filename=foo.html`, ``, `foo.html`},
		{`attachment;;;filename=foo.html`, ``, `foo.html`},
		{`attachment; filename=foo bar.html ; x=y`, ``, `foo bar.html`},
		{`attachment; filename=foo[1](2).html`, ``, `foo[1](2).html`},
		{`attachment; filename=foo,bar.html`, ``, `foo,bar.html`},
		{`attachment; filename="foo.html`, ``, `foo.html`},
		{`attachment; filename="foo.html\`, ``, `foo.html\`},
		{`attachment; filename="foo.html"trailer; x=y`, ``, `foo.html`},
		{`attachment; filename="foo.html"; filename="bar.html"`, ``, `foo.html`},
		{`attachment; filename="C:\dir\foo.html"`, ``, `C:\dir\foo.html`},
		{`attachment; filename="\\server\dir\foo.html"`, ``, `\\server\dir\foo.html`},
		{`attachment; filename==foo.html`, ``, `=foo.html`},
		{`attachment; =x; filename=foo.html`, ``, `foo.html`},
		{`attachment; filename="=?ISO-8859-1?Q?foo-=E4.html?="`, ``, `=?ISO-8859-1?Q?foo-=E4.html?=`},

		// charsets
		{`attachment; filename="foo-ä.html"`, ``, `foo-ä.html`},
		{"attachment; filename=\"foo-\xe4.html\"", ``, `foo-ä.html`},
		{`attachment; filename*=UTF-8''foo-%c3%a4-%e2%82%ac.html`, `foo-ä-€.html`, ``},
		{`attachment; filename*=utf-8'de'foo-%C3%A4.html`, `foo-ä.html`, ``},
		{`attachment; filename*=iso-8859-1''foo-%E4.html`, `foo-ä.html`, ``},
		{`attachment; filename* = UTF-8''foo-%c3%a4.html`, `foo-ä.html`, ``},
		{`attachment; filename*="UTF-8''foo-%c3%a4.html"`, `foo-ä.html`, ``},
		{`attachment; filename*=UTF-8''it's.html`, `it's.html`, ``},
		{`attachment; filename="foo.html"; filename*=UTF-8''foo-%c3%a4.html`, `foo-ä.html`, `foo.html`},
		{`attachment; filename*=UTF-8''a; filename*=UTF-8''b; filename=c`, `a`, `c`},
		{`attachment; filename*=UTF-8''foo-%E4.html; filename=a`, ``, `a`},
		{`attachment; filename*=UTF-8''foo%; filename=a`, ``, `a`},
		{`attachment; filename*=UTF-8''f%oo.html`, ``, ``},
		{`attachment; filename*=''foo.html`, ``, ``},
		{`attachment; filename*=UTF-8'foo.html`, ``, ``},
		{`attachment; filename*=foo.html`, ``, ``},
		{`attachment; filename*=windows-1252''foo-%E4.html; filename=a`, ``, `a`},
		{`attachment; filename *=UTF-8''foo.html`, ``, ``},
		{`attachment; filename*0="foo."; filename*1="html"`, ``, ``},
	} {
		extended, plain := filename.FromDisposition(c.value)
		assert.Equal(t, c.extended, extended, c.value)
		assert.Equal(t, c.plain, plain, c.value)
	}
}

// TestSafe: names that are dangerous on some platform.
func TestSafe(t *testing.T) {
	long := strings.Repeat("a", 300)
	for name, want := range map[string]string{
		"":                        "",
		".":                       "",
		"..":                      "",
		"/":                       "",
		"../..":                   "",
		" . . ":                   "",
		"foo.html":                "foo.html",
		"foo-ä-€-日本.html":         "foo-ä-€-日本.html",
		"it's 50% (copy) [1].txt": "it's 50% (copy) [1].txt",
		"/foo.html":               "foo.html",
		"../../etc/passwd":        "passwd",
		`..\..\boot.ini`:          "boot.ini",
		`C:\dir\foo.html`:         "foo.html",
		"dir/":                    "dir",
		`a\/`:                     "a",
		"C:foo":                   "C_foo",
		"foo.txt:stream":          "foo.txt_stream",
		`"a"<b>|?*`:               "_a__b____",
		".bashrc":                 "bashrc",
		"...a...":                 "a",
		"  a  ":                   "a",
		"\u200c.bashrc\u200d":     "bashrc",
		"a\u200cb":                "a\u200cb",
		"a\u00a0b\u3000c":         "a b c",
		"a\x00b\r\nc\x7fd\u0085e": "a_b__c_d_e",
		"photo\u202egpj.exe":      "photo_gpj.exe",
		"a\u2066b\u200fc\u061cd":  "a_b_c_d",
		"a\u2028b\ufeffc\u200bd":  "a_b_c_d",
		"a\xff\xfeb\ufffd":        "a__b_",
		"CON":                     "_CON",
		"con.txt":                 "_con.txt",
		"nul.tar.gz":              "_nul.tar.gz",
		"Com1":                    "_Com1",
		"COM¹.log":                "_COM¹.log",
		"lpt9 .txt":               "_lpt9 .txt",
		"CONIN$":                  "_CONIN$",
		"COM":                     "COM",
		"COM10":                   "COM10",
		"console.txt":             "console.txt",
		"a.con":                   "a.con",
		long:                      long[:255],
		long + ".txt":             long[:251] + ".txt",
		"a." + long:               "a." + long[:253],
		long[:250] + "  . .x.txt": long[:250] + ".txt",
		"con" + strings.Repeat(" ", 300) + ".txt": "_con.txt",
		"con." + strings.Repeat("é", 200):         "_con." + strings.Repeat("é", 125),
		strings.Repeat("é", 200) + ".txt":         strings.Repeat("é", 125) + ".txt",
		strings.Repeat("日", 200):                  strings.Repeat("日", 85),
	} {
		got := filename.Safe(name)
		assert.Equal(t, want, got)
		if got != "" {
			requireSafe(t, got)
		}
	}
}

// TestChoose: the field, else the URL, else a default by the type.
func TestChoose(t *testing.T) {
	for _, c := range []struct{ disposition, url, contentType, want string }{
		{`attachment; filename="a.txt"`, "http://x/b.txt", "", "a.txt"},
		{`attachment; filename="a.txt"; filename*=UTF-8''%E2%82%AC.txt`, "http://x/b.txt", "", "€.txt"},
		{`attachment; filename="a.txt"; filename*=UTF-8''%2E%2E`, "http://x/b.txt", "", "a.txt"},
		{`attachment; filename=".."`, "http://x/b.txt", "", "b.txt"},
		{`attachment`, "http://x/dir/b%20c.txt?q=/z#f/g", "", "b c.txt"},
		{``, "http://x/a/..%2F..%2Fb", "", "b"},
		{``, "http://x/a/%2E%2E", "text/html", "download.html"},
		{``, "http://x/a/%ff.txt", "", "_.txt"},
		{``, "http://x/a/", "TEXT/Plain ; charset=utf-8", "download.txt"},
		{``, "http://x", "application/octet-stream", "download"},
		{``, "http://x", "", "download"},
		{``, "data:text/plain,a/b", "text/plain", "download.txt"},
		{``, "zip:archive.zip!/dir/a%20b.txt", "text/plain", "a b.txt"},
		{``, "file:///srv/a.txt", "", "a.txt"},
	} {
		u, err := url.Parse(c.url)
		require.NoError(t, err)
		got := filename.Choose([]string{c.disposition}, u, c.contentType)
		assert.Equal(t, c.want, got, "%+v", c)
		requireSafe(t, got)
	}
	assert.Equal(t, "b", filename.Choose([]string{"inline", "attachment; filename=b"}, nil, ""), "of several fields")
	assert.Equal(t, "download", filename.Choose(nil, nil, ""))
}

// FuzzContentDisposition: the name for any field and URL is one that can be created in a
// directory of every platform, and nothing but a file of that directory.
func FuzzContentDisposition(f *testing.F) {
	for _, seed := range []string{`attachment; filename="a\"b/../c"`, `filename*=UTF-8''%2e%2e%2f%00`, `inline; filename=COM1.txt:x; a`, `a;b="c`, "x; filename=\u202e\xff \\", `x; filename="C:\a\nul . "`} {
		f.Add(seed, "/a/b.txt")
		f.Add("", seed)
	}
	f.Fuzz(func(t *testing.T, value, path string) {
		for _, p := range []string{path, path + strings.Repeat("é.", 200), "con" + path} {
			requireSafe(t, filename.Choose([]string{value, "x; filename=" + value, "x; filename*=UTF-8''" + url.PathEscape(value)}, &url.URL{Scheme: "http", Host: "x", Path: p}, value))
			if name := filename.Safe(p); name != "" {
				requireSafe(t, name)
				if filename.Safe(name) != name {
					t.Fatalf("%q is safe, and became %q", name, filename.Safe(name))
				}
			}
		}
	})
}

// requireSafe checks the rules of the platforms one by one.
func requireSafe(t *testing.T, name string) {
	t.Helper()
	bad := func(rule string) { t.Helper(); t.Fatalf("%q: %s", name, rule) }
	switch {
	case name == "":
		bad("empty")
	case len(name) > 255:
		bad("too long")
	case !utf8.ValidString(name):
		bad("not UTF-8")
	case strings.ContainsAny(name, "/\\:*?\"<>|"):
		bad("reserved characters")
	case strings.Trim(name, ". ") != name:
		bad("a dot or a space at an end")
	}
	for _, r := range name {
		if unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
			bad("a control character")
		}
	}
	stem, _, _ := strings.Cut(strings.ToLower(name), ".")
	stem = strings.TrimRight(stem, " ")
	for _, device := range []string{"con", "prn", "aux", "nul", "conin$", "conout$"} {
		if stem == device {
			bad("a device")
		}
	}
	for _, port := range []string{"com", "lpt"} {
		for _, n := range []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "¹", "²", "³"} {
			if stem == port+n {
				bad("a device")
			}
		}
	}
}
