package charset_test

import (
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/charset"
)

func TestDecode(t *testing.T) {
	for _, c := range []struct{ name, text, label, want string }{
		{"no label", "gr\u00fc\u00dfe", "", "gr\u00fc\u00dfe"},
		{"nothing", "", "", ""},
		{"nothing in Latin-1", "", "iso-8859-1", ""},
		{"UTF-8", "gr\u00fc\u00dfe", "Utf-8", "gr\u00fc\u00dfe"},
		{"blanks around the label", "a", " utf8 ", "a"},
		{"not UTF-8", "a\xffb\xe4\xf6c", "", "a\ufffdb\ufffd\ufffdc"},
		{"U+FFFD in the text", "a\ufffd", "", "a\ufffd"},
		{"cut", "a\xe2\x82", "utf-8", "a\ufffd"},
		{"mark of UTF-8", "\xef\xbb\xbfa\u00e4", "", "a\u00e4"},
		{"mark of UTF-8 before what is none", "\xef\xbb\xbfa\xff", "", "a\ufffd"},
		{"mark of UTF-8 outranks", "\xef\xbb\xbf\u00e4", "iso-8859-1", "\u00e4"},
		{"only a mark", "\xef\xbb\xbf", "utf-8", ""},
		{"Latin-1 is windows-1252", "\xe4\x80", "ISO-8859-1", "\u00e4\u20ac"},
		{"ASCII is windows-1252", "\xe4", "us-ascii", "\u00e4"},
		{"windows-1251", "\xcf\xf0\xe8\xe2\xe5\xf2", "windows-1251", "\u041f\u0440\u0438\u0432\u0435\u0442"},
		{"Shift_JIS", "\x93\xfa\x96{", "shift_jis", "\u65e5\u672c"},
		{"GBK", "\xc4\xe3", "gb2312", "\u4f60"},
		{"EUC-KR", "\xc7\xd1", "euc-kr", "\ud55c"},
		{"Big5", "\xa7A", "big5", "\u4f60"},
		{"mark of UTF-16, little endian", "\xff\xfea\x00\xe4\x00", "", "a\u00e4"},
		{"mark of UTF-16, big endian", "\xfe\xff\x00a\x00\xe4", "utf-16", "a\u00e4"},
		{"UTF-16 without a mark", "a\x00", "utf-16", "a"},
		{"half a character of UTF-16", "\xff\xfea\x00b", "utf-16", "a\ufffd"},
	} {
		got, err := charset.Decode([]byte(c.text), c.label)
		require.NoError(t, err, c.name)
		assert.Equal(t, c.want, got, c.name)
	}
}

func TestUnknown(t *testing.T) {
	for _, label := range []string{"x-none", "utf-7", "iso-2022-kr", "replacement", "\xff", "utf-8;"} {
		_, err := charset.Decode([]byte("a"), label)
		assert.ErrorIs(t, err, charset.ErrUnknown, "%q", label)
	}
}

// FuzzDecode: what is decoded is valid UTF-8.
func FuzzDecode(f *testing.F) {
	for _, label := range []string{"", "utf-8", "utf-16", "shift_jis", "gb18030", "big5", "euc-jp", "iso-2022-jp", "euc-kr", "windows-1251", "x-user-defined"} {
		f.Add([]byte("\xff\xfea\x1b$B\x81\x30\x89\x38"), label)
	}
	f.Fuzz(func(t *testing.T, text []byte, label string) {
		if s, err := charset.Decode(text, label); err == nil && !utf8.ValidString(s) {
			t.Errorf("%q in %q became %q", text, label, s)
		} else if err != nil && err != charset.ErrUnknown {
			t.Error(err)
		}
	})
}
