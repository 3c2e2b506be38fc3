package coding_test

import (
	"bytes"
	"hash/crc32"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/coding"
)

// member returns a gzip member with all header fields of RFC 1952.
func member(t testing.TB, data, name, comment string, extra []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Name, w.Comment, w.Extra = "n", "c", extra
	_, err := io.WriteString(w, data)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	// the writer refuses long texts
	head := 10 + 2 + len(extra)
	if extra == nil {
		head = 10
	}
	return append(append(bytes.Clone(b.Bytes()[:head]), name+"\x00"+comment+"\x00"...), b.Bytes()[head+4:]...)
}

// withHeaderSum adds the checksum of a header that is size bytes long.
func withHeaderSum(gz []byte, size int, flip byte) []byte {
	out := bytes.Clone(gz[:size])
	out[3] |= 2
	sum := crc32.ChecksumIEEE(out)
	return append(append(out, byte(sum)^flip, byte(sum>>8)), gz[size:]...)
}

// TestGzipHeader: names and comments up to the limit, checksums, extra fields; truncation
// at any position.
func TestGzipHeader(t *testing.T) {
	long := strings.Repeat("n", 100_000)
	for what, enc := range map[string][]byte{
		"long name":           member(t, "data", long, "", nil),
		"long comment":        member(t, "data", "", long, nil),
		"both, and extra":     member(t, "data", long, long, bytes.Repeat([]byte{1, 0}, 30_000)),
		"512 bytes of name":   member(t, "data", long[:512], "", nil),
		"checksum":            withHeaderSum(member(t, "data", "ab", "cd", []byte("ef")), 10+4+6, 0),
		"the second one long": append(encode(t, "gzip", nil), member(t, "data", long, long, nil)...),
	} {
		got, err := decode([]string{"gzip"}, enc, off)
		require.NoError(t, err, what)
		assert.Equal(t, "data", string(got), what)
		for n := 1; n < min(len(enc), 60); n++ {
			_, err := decode([]string{"gzip"}, enc[:n], off)
			if n == 20 && what == "the second one long" {
				continue
			}
			require.Error(t, err, "%s cut at %d", what, n)
		}
	}
	_, err := decode([]string{"gzip"}, withHeaderSum(member(t, "data", "ab", "cd", []byte("ef")), 10+4+6, 1), off)
	require.EqualError(t, err, "gzip: the data does not match its checksum")
	_, err = decode([]string{"gzip"}, member(t, "data", long, "", nil), coding.Limits{Threshold: -1, Header: 50_000})
	require.EqualError(t, err, "gzip: the header is longer than 50000 bytes")
	_, err = decode([]string{"gzip"}, member(t, "data", strings.Repeat(long, 3), "", nil), off)
	require.EqualError(t, err, "gzip: the header is longer than 262144 bytes")
	_, err = decode([]string{"gzip"}, []byte("\x1f\x8b\x08\xe0 and no gzip at all"), off)
	require.ErrorIs(t, err, coding.ErrFormat)
}

// TestAfterGzip: after a member, zeros are ignored, further members are decoded, and other
// bytes are an error; the data before is returned in any case.
func TestAfterGzip(t *testing.T) {
	zeros := strings.Repeat("\x00", 100_000)
	enc := string(encode(t, "gzip", []byte("hello")))
	for tail, want := range map[string]error{
		"": nil, "\x00": nil, zeros[:10]: nil, zeros: nil,
		enc: nil, enc + zeros: nil,
		"\r\n": coding.ErrTrailing, "junkjunk": coding.ErrTrailing, "x": coding.ErrTrailing, "junkjunkjunkjunk": coding.ErrTrailing,
		"\x00x": coding.ErrTrailing, zeros + "x": coding.ErrTrailing, "\x00" + enc: coding.ErrTrailing, "\x1fx": coding.ErrTrailing,
		"\x1f": coding.ErrTruncated, "\x1f\x8b": coding.ErrTruncated, enc[:5]: coding.ErrTruncated, enc[:len(enc)-1]: coding.ErrTruncated,
		"\x1f\x8b\x07": coding.ErrTruncated, "\x1f\x8b\x07       ": coding.ErrFormat,
	} {
		for _, name := range []string{"gzip", "deflate"} {
			for _, wrap := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.OneByteReader} {
				r := coding.NewReader(io.NopCloser(wrap(strings.NewReader(enc+tail))), []string{name}, off, coding.Hooks{})
				got, err := io.ReadAll(r)
				if want == nil {
					require.NoError(t, err, "%.20q", tail)
				} else {
					require.ErrorIs(t, err, want, "%.20q", tail)
				}
				require.True(t, strings.HasPrefix(string(got), "hello"), "%.20q", tail)
				r.Close()
			}
		}
	}
}

// TestGzipWithoutDelay: the data of a complete member is returned before the next byte was
// received.
func TestGzipWithoutDelay(t *testing.T) {
	client, server := io.Pipe()
	r := coding.NewReader(client, []string{"gzip"}, off, coding.Hooks{})
	defer r.Close()
	defer server.Close()
	enc := encode(t, "gzip", []byte("first"))
	for range 3 {
		go server.Write(enc)
		buf := make([]byte, 5)
		_, err := io.ReadFull(r, buf)
		require.NoError(t, err)
		require.Equal(t, "first", string(buf))
	}
}
