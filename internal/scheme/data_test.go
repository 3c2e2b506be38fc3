package scheme_test

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/httpurl"
	"github.com/netreply/netreply/internal/scheme"
)

// TestParseData: media type and payload of data: URLs (rules F2 and F3).
func TestParseData(t *testing.T) {
	const none = "text/plain;charset=US-ASCII"
	for _, c := range []struct{ url, mediaType, payload string }{
		{"data:", none, ""},
		{"data:text/html", none, ""}, // no comma
		{"data:,", none, ""},
		{"data:,foo", none, "foo"},
		{"data:,hello%20world", none, "hello world"},
		{"data:,a+b", none, "a+b"},
		{"data:,a,b,c", none, "a,b,c"},
		{"data:%2Ca,b", none, "a,b"}, // the first comma, escaped or not
		{"data:text/html%2Cx", "text/html", "x"},
		{"data:,a?b#c", none, "a?b#c"},
		{"data:,a?", none, "a?"},
		{"data:,?%41", none, "?A"},
		{"data:,#%41%20", none, "#A "},
		{"data:x?y,z", "x?y", "z"},
		{"data:,%00%01%fF", none, "\x00\x01\xff"},
		{"data:,100%", none, "100%"},
		{"data:,%zz%4", none, "%zz%4"},
		{"data:/a,b", "/a", "b"},
		{"data:text/html,%3Cb%3Ehi%3C/b%3E", "text/html", "<b>hi</b>"},
		{"data:%20text/html%20,x", "text/html", "x"},
		{"data:text/html;param=a%3Bb,x", "text/html;param=a;b", "x"},
		{"data:charset=iso-8859-1,%FC", "text/plain;charset=iso-8859-1", "\xfc"},
		{"data:CharSet%20%20=x,y", "text/plain;CharSet  =x", "y"},
		{"data:charset,y", "charset", "y"},
		{"data:charsets=1,y", "charsets=1", "y"},
		{"data:;charset=utf-8,%C3%BC", "text/plain;charset=utf-8", "ü"},
		{"data:text/html%0D%0AX-Evil:%201,y", none, "y"}, // would add a header field
		{"data:text/%00,y", none, "y"},

		{"data:;base64,aGVsbG8=", none, "hello"},
		{"data:text/plain;base64,aGVsbG8", "text/plain", "hello"},
		{"data:text/plain;BASE64,aGVsbG8=", "text/plain", "hello"},
		{"data:text/plain;base64%20,aGVsbG8=", "text/plain", "hello"},
		{"data:text/plain%20;base64,aGVsbG8=", "text/plain", "hello"},
		{"data:charset=x;base64,aGVsbG8=", "text/plain;charset=x", "hello"},
		{"data:text/plain;base64,aGVs%20bG8%3D", "text/plain", "hello"},
		{"data:text/plain;base64,aGV***sbG8=", "text/plain", "hello"},
		{"data:text/plain;base64,aGVs%0Ab=G8h", "text/plain", "hello!"}, // no end at the padding
		{"data:;base64,a", none, ""},                                    // six bits
		{"data:;base64,++//", none, "\xfb\xef\xff"},
		{"data:;base64,-_", none, ""}, // the other alphabet
		{"data:;base64;x,aGVsbG8=", "text/plain;base64;x", "aGVsbG8="},
		{"data:base64,aGVsbG8=", "base64", "aGVsbG8="},
	} {
		t.Run(c.url, func(t *testing.T) {
			u, err := httpurl.Parse(c.url)
			require.NoError(t, err)
			mediaType, payload, err := scheme.ParseData(u)
			require.NoError(t, err)
			assert.Equal(t, c.mediaType, mediaType)
			assert.Equal(t, c.payload, string(payload))
		})
	}
}

// TestParseDataHost: a data: URL with a host is malformed (rule F3).
func TestParseDataHost(t *testing.T) {
	for _, raw := range []string{"data://text/plain,hi", "data://user:secret@/,hi"} {
		u, err := url.Parse(raw)
		require.NoError(t, err)
		_, _, err = scheme.ParseData(u)
		var failure *scheme.Error
		require.ErrorAs(t, err, &failure)
		assert.Equal(t, scheme.Malformed, failure.Fault)
		assert.NotContains(t, failure.Text+failure.Error(), "secret")
	}
}

// TestParseDataAllocates: nothing but the payload, and the media type, is copied.
func TestParseDataAllocates(t *testing.T) {
	for _, marker := range []string{"", ";base64"} {
		u, err := url.Parse("data:text/plain" + marker + "," + strings.Repeat("QUJD", 64<<10))
		require.NoError(t, err)
		assert.LessOrEqual(t, testing.AllocsPerRun(10, func() { scheme.ParseData(u) }), 3.0)
	}
}

// FuzzDataURL: whatever a data: URL contains, its payload is no longer than its text and its
// media type fits in a header field. What is encoded comes back.
func FuzzDataURL(f *testing.F) {
	for _, seed := range []string{",hi", "text/plain;base64,aGVsbG8=", ";charset=utf-8,%C3%BC", "//host/,x", "a?b#c,d", "%2c%", "charset =\r\n,"} {
		f.Add(seed, []byte(seed))
	}
	f.Fuzz(func(t *testing.T, text string, payload []byte) {
		if u, err := httpurl.Parse("data:" + text); err == nil {
			length := len(u.String())
			mediaType, got, err := scheme.ParseData(u)
			switch {
			case err != nil && u.Host == "" && u.User == nil:
				t.Error(err)
			case err == nil && mediaType == "":
				t.Error("no media type")
			case len(got) > length:
				t.Errorf("%d bytes out of %d", len(got), length)
			case strings.ContainsAny(mediaType, "\r\n\x00"):
				t.Errorf("media type %q", mediaType)
			}
		}
		var escaped strings.Builder
		for _, b := range payload {
			fmt.Fprintf(&escaped, "%%%02X", b)
		}
		for _, raw := range []string{
			"data:a/b," + escaped.String(),
			"data:a/b;base64," + base64.StdEncoding.EncodeToString(payload),
			"data:a/b;base64," + base64.RawStdEncoding.EncodeToString(payload),
		} {
			u, err := httpurl.Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			mediaType, got, err := scheme.ParseData(u)
			if err != nil || mediaType != "a/b" || string(got) != string(payload) {
				t.Errorf("%q became %q %q %v", raw, mediaType, got, err)
			}
		}
	})
}
