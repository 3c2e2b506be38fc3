package scheme

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestFileName: the path of a file: URL, for every system and with and without a root.
func TestFileName(t *testing.T) {
	for _, c := range []struct{ path, unix, windows, unixRoot, windowsRoot string }{
		{"/", "/", "/", ".", "."},
		{"/a/b", "/a/b", "", "a/b", "a/b"},
		{"/a/b/", "/a/b/", "", "a/b/", "a/b/"},
		{"/a/./b//c", "/a/b/c", "", "a/b/c", "a/b/c"},
		{"/a/../../b", "/b", "", "b", "b"},
		{"/..", "/", "/", ".", "."},
		{"/../..//", "/", "/", ".", "."},
		{"a/b", "", "", "", ""},
		{"//server/share", "/server/share", "", "server/share", "server/share"},
		{`/\\server\share`, `/\\server\share`, "", `\\server\share`, ""},
		{`/\\.\pipe\x`, `/\\.\pipe\x`, "", `\\.\pipe\x`, ""},
		{"/C:/a/b", "/C:/a/b", "C:/a/b", "C:/a/b", ""},
		{"/c:/a/", "/c:/a/", "c:/a/", "c:/a/", ""},
		{"/C:", "/C:", "C:/", "C:", ""},
		{"/C:/", "/C:/", "C:/", "C:/", ""},
		{"/C:a", "/C:a", "", "C:a", ""},
		{"/CC:/a", "/CC:/a", "", "CC:/a", ""},
		{"/C:/a:stream", "/C:/a:stream", "", "C:/a:stream", ""},
		{"/a:stream", "/a:stream", "", "a:stream", ""},
		{`/C:/..\..\x`, `/C:/..\..\x`, "", `C:/..\..\x`, ""},
	} {
		for _, on := range []struct {
			windows, below bool
			want           string
		}{{false, false, c.unix}, {true, false, c.windows}, {false, true, c.unixRoot}, {true, true, c.windowsRoot}} {
			got, ok := fileName(c.path, on.windows, on.below)
			assert.Equal(t, on.want, got, "%q, windows %v, in a root %v", c.path, on.windows, on.below)
			assert.Equal(t, on.want != "", ok, "%q", c.path)
		}
	}
}

// TestUnescaped: percent signs that are no escape stay.
func TestUnescaped(t *testing.T) {
	for in, want := range map[string]string{"": "", "a b": "a b", "%41%6a%2F": "Aj/", "%4": "%4", "%": "%", "%%41": "%A", "%4%41": "%4A", "%g0%0g": "%g0%0g", "%00": "\x00"} {
		assert.Equal(t, want, unescaped(in), "%q", in)
	}
}
