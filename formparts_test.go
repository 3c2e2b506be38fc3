package netreply_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// sentPart is a part as it arrives.
type sentPart struct {
	head []string // header lines
	body string
}

// strictParts takes a multipart body apart as RFC 2046, section 5.1.1, has it, without any
// leniency.
func strictParts(boundary, body string) ([]sentPart, error) {
	delimiter := "--" + boundary
	body = "\r\n" + body
	var parts []sentPart
	for {
		rest, ok := strings.CutPrefix(body, "\r\n"+delimiter)
		if !ok {
			return nil, fmt.Errorf("no delimiter at %.40q", body)
		}
		if rest == "--\r\n" {
			return parts, nil
		}
		if rest, ok = strings.CutPrefix(rest, "\r\n"); !ok {
			return nil, fmt.Errorf("no line end after a delimiter at %.40q", rest)
		}
		end := strings.Index(rest, "\r\n"+delimiter)
		if end < 0 {
			return nil, errors.New("no delimiter after a part")
		}
		part := rest[:end]
		body = rest[end:]
		var p sentPart
		for {
			line, more, ok := strings.Cut(part, "\r\n")
			if !ok {
				return nil, errors.New("the head of a part has no end")
			}
			if part = more; line == "" {
				break
			}
			p.head = append(p.head, line)
		}
		p.body = part
		parts = append(parts, p)
	}
}

// received is a request as a server gets it.
type received struct {
	contentType string
	length      int64
	body        string
}

// boundary returns the boundary of a multipart body.
func (r received) boundary(t testing.TB) string {
	_, parameters, err := mime.ParseMediaType(r.contentType)
	require.NoError(t, err, r.contentType)
	return parameters["boundary"]
}

// sendParts sends a body to a server and returns what arrives.
func sendParts(t testing.TB, body netreply.Body, stream bool) (received, error) {
	var got received
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		all, _ := io.ReadAll(r.Body)
		got = received{r.Header.Get("Content-Type"), r.ContentLength, string(all)}
	}))
	req := newRequest(t, s.URL)
	req.DoNotBufferUploadData = stream
	err := newManager(t, netreply.Config{}).Post(t.Context(), req, body).Wait(deadline(t))
	return got, err
}

// TestFileTypes: a file of a form without a type gets that of its body, its name, or its
// content.
func TestFileTypes(t *testing.T) {
	const png = "\x89PNG\r\n\x1a\n"
	var opened atomic.Int64
	source := netreply.SourceBody(-1, func() (io.ReadCloser, error) {
		opened.Add(1)
		return io.NopCloser(strings.NewReader(png)), nil
	})
	for name, c := range map[string]struct {
		fileName string
		body     netreply.Body
		stream   bool
		want     string
	}{
		"by name":              {"a.html", netreply.StringBody(png), false, "text/html"},
		"by name, upper case":  {"A.PNG", netreply.StringBody("text"), false, "image/png"},
		"by content":           {"a", netreply.StringBody(png), false, "image/png"},
		"by content, text":     {"a", netreply.StringBody("text"), false, "text/plain"},
		"by content, UTF-16":   {"a", netreply.StringBody("\xff\xfea\x00"), false, "text/plain; charset=utf-16le"},
		"of the body":          {"a.html", netreply.JSONBody(1), false, "application/json"},
		"of a file":            {"a", netreply.FileBody(newFile(t, "b.json", nil)), false, "application/json"},
		"nothing":              {"a", nil, false, "text/plain"},
		"reader in memory":     {"a", netreply.ReaderBody(strings.NewReader(png)), false, "image/png"},
		"reader that can seek": {"a", netreply.ReaderBody(struct{ io.ReadSeeker }{strings.NewReader(png)}), false, "image/png"},
		"buffered":             {"a", netreply.ReaderBody(struct{ io.Reader }{strings.NewReader(png)}), false, "image/png"},
		"streamed":             {"a", netreply.ReaderBody(struct{ io.Reader }{strings.NewReader(png)}), true, "application/octet-stream"},
		"source":               {"a", source, false, "application/octet-stream"},
		"compressed":           {"a", netreply.CompressedBody(netreply.StringBody(png), "gzip"), false, "application/octet-stream"},
	} {
		m := &netreply.Multipart{}
		m.AddFile("f", c.fileName, "", c.body)
		got, err := sendParts(t, m, c.stream)
		require.NoError(t, err, name)
		parts, err := strictParts(got.boundary(t), got.body)
		require.NoError(t, err, name)
		require.Len(t, parts, 1)
		assert.Contains(t, parts[0].head, "Content-Type: "+c.want, name)
		if c.want == "image/png" && c.fileName == "a" {
			assert.Equal(t, png, parts[0].body, "%s: looking at the content takes nothing away", name)
		}
	}
	assert.EqualValues(t, 1, opened.Load(), "a source is not opened to look at it")
}

// TestPartsDescribeThemselves: a part has the type and the coding of its body, besides its own
// fields.
func TestPartsDescribeThemselves(t *testing.T) {
	m := &netreply.Multipart{}
	m.Add(netreply.NewHeaders("X-A", "b"), netreply.JSONBody(1))
	m.Add(netreply.NewHeaders("content-type", "a/b"), netreply.JSONBody(2))
	m.Add(netreply.NewHeaders("content-encoding", "gzip", "X-A", "b"), netreply.CompressedBody(netreply.BytesBody(gzipped("x")), "zstd"))
	got, err := sendParts(t, m, false)
	require.NoError(t, err)
	parts, err := strictParts(got.boundary(t), got.body)
	require.NoError(t, err)
	require.Len(t, parts, 3)
	assert.Equal(t, sentPart{[]string{"X-A: b", "Content-Type: application/json"}, "1"}, parts[0])
	assert.Equal(t, sentPart{[]string{"content-type: a/b"}, "2"}, parts[1])
	assert.Equal(t, []string{"X-A: b", "Content-Encoding: gzip, zstd"}, parts[2].head)
	text, err := plain("gzip, zstd", strings.NewReader(parts[2].body))
	require.NoError(t, err)
	assert.Equal(t, "x", string(text))
}

// TestMultipartLength: the length is known if that of every part is.
func TestMultipartLength(t *testing.T) {
	file := newFile(t, "a.txt", []byte("file"))
	m := &netreply.Multipart{}
	m.AddField("a", "1")
	m.AddFilePath("f", file)
	m.Add(netreply.Headers{}, netreply.ReaderBody(strings.NewReader("seek")))
	got, err := sendParts(t, m, true)
	require.NoError(t, err)
	assert.EqualValues(t, len(got.body), got.length)

	m.Add(netreply.Headers{}, netreply.ReaderBody(struct{ io.Reader }{strings.NewReader("sequential")}))
	got, err = sendParts(t, m, true)
	require.NoError(t, err)
	assert.EqualValues(t, -1, got.length)
	assert.Contains(t, got.body, "sequential")

	got, err = sendParts(t, &netreply.Multipart{Boundary: "b"}, false)
	require.NoError(t, err)
	assert.Equal(t, received{`multipart/mixed; boundary="b"`, 7, "--b--\r\n"}, got, "no parts")
}

// TestRelated: multipart/related names the type of its root, and which part that is (RFC 2387).
func TestRelated(t *testing.T) {
	parts := []netreply.Part{
		{Headers: netreply.NewHeaders("Content-ID", "<a@x>"), Body: netreply.JSONBody(1)},
		{Headers: netreply.NewHeaders("Content-ID", `<"b\"@x>`, "Content-Type", `text/x; charset="a"`), Body: netreply.StringBody("2")},
		{Headers: netreply.NewHeaders("Content-ID", "<c@x>"), Body: netreply.StringBody("3")},
	}
	for _, c := range []struct {
		parts []netreply.Part
		start string
		want  map[string]string
	}{
		{parts, "", map[string]string{"boundary": "b", "type": "application/json"}},
		{parts, "<a@x>", map[string]string{"boundary": "b", "type": "application/json", "start": "<a@x>"}},
		{parts, `<"b\"@x>`, map[string]string{"boundary": "b", "type": "text/x", "start": `<"b\"@x>`}},
		{parts, "<c@x>", map[string]string{"boundary": "b", "type": "text/plain", "start": "<c@x>"}},
		{nil, "", map[string]string{"boundary": "b"}},
	} {
		got, err := sendParts(t, &netreply.Multipart{Type: netreply.RelatedType, Boundary: "b", Parts: c.parts, Start: c.start}, false)
		require.NoError(t, err)
		mediaType, parameters, err := mime.ParseMediaType(got.contentType)
		require.NoError(t, err)
		assert.Equal(t, "multipart/related", mediaType)
		assert.Equal(t, c.want, parameters)
	}
	_, err := sendParts(t, &netreply.Multipart{Type: netreply.RelatedType, Parts: parts, Start: "a@x"}, false)
	require.ErrorIs(t, err, netreply.ProtocolInvalidOperationError)
	var field *netreply.FieldError
	require.ErrorAs(t, err, &field)
	assert.Equal(t, "Start", field.Field)
	_, err = sendParts(t, &netreply.Multipart{Parts: parts, Start: "<a@x>"}, false)
	require.ErrorIs(t, err, netreply.ProtocolInvalidOperationError, "not multipart/related")
	require.ErrorAs(t, err, &field)
	assert.Equal(t, "Start", field.Field)
	got, err := sendParts(t, &netreply.Multipart{Type: netreply.AlternativeType, Boundary: "b", Parts: parts}, false)
	require.NoError(t, err)
	assert.Equal(t, `multipart/alternative; boundary="b"`, got.contentType)
}

// TestBoundaries: a boundary is refused if it is malformed, or ends a part too early as far as
// that can be known.
func TestBoundaries(t *testing.T) {
	nested := func(boundary string) netreply.Body {
		return &netreply.Multipart{Boundary: boundary, Parts: []netreply.Part{{Body: netreply.StringBody("x")}}}
	}
	for _, c := range []struct {
		boundary string
		body     netreply.Body
		ok       bool
	}{
		{strings.Repeat("b", 70), netreply.StringBody("a"), true},
		{strings.Repeat("b", 71), netreply.StringBody("a"), false},
		{"a b", nil, true}, {"b ", nil, false}, {`"`, nil, false}, {"ä", nil, false}, {"\x00", nil, false},
		{"'()+_,-./:=?", nil, true},
		{"b", netreply.StringBody("text --b, --b"), true},
		{"b", netreply.StringBody("--b"), false},
		{"b", netreply.StringBody("--bc"), false}, // RFC 2046, section 5.1.1: the rest of the line does not count
		{"b", netreply.StringBody("text\r\n--b--\r\n"), false},
		{"b", netreply.StringBody("text\n--b"), false},
		{"b", netreply.StringBody("text\r--b"), false},
		{"b", netreply.StringBody("--B\n-b\n---b"), true},
		{"b", nested("c"), true}, {"b", nested("b"), false}, {"b", nested("bc"), false}, {"bc", nested("b"), true},
		{"boundary_.oOo._", nested(""), false},
	} {
		got, err := sendParts(t, &netreply.Multipart{Boundary: c.boundary, Parts: []netreply.Part{{Body: c.body}}}, false)
		if !c.ok {
			require.ErrorIs(t, err, netreply.ProtocolInvalidOperationError, "%q", c.boundary)
			var field *netreply.FieldError
			require.ErrorAs(t, err, &field)
			assert.Equal(t, "boundary", field.Field)
			continue
		}
		require.NoError(t, err, "%q", c.boundary)
		assert.Equal(t, c.boundary, got.boundary(t))
	}
}

// TestFormNames: names in forms cannot add fields or parts; they are written as browsers do
// (RFC 7578, sections 4.2 and 5.1).
func TestFormNames(t *testing.T) {
	for _, c := range []struct{ name, want string }{
		{"a", "a"}, {"", ""}, {`a"b`, "a%22b"}, {"a\r\nX-Evil: b", "a%0D%0AX-Evil: b"}, {"a\n\n--b--", "a%0A%0A--b--"},
		{"grün 日本", "grün 日本"}, {`c:\temp\x`, `c:\temp\x`}, {"a%22;b", "a%22;b"}, {"a\tb", "a\tb"}, {"\xff", "\xff"},
	} {
		m := &netreply.Multipart{Boundary: "b"}
		m.AddField(c.name, c.name)
		m.AddFile("f", c.name, "a/b", netreply.StringBody(c.name))
		if strings.Contains(c.name, "\n--b") {
			m.Boundary = ""
		}
		got, err := sendParts(t, m, false)
		require.NoError(t, err, "%q", c.name)
		parts, err := strictParts(got.boundary(t), got.body)
		require.NoError(t, err)
		assert.Equal(t, []sentPart{{[]string{`Content-Disposition: form-data; name="` + c.want + `"`}, c.name},
			{[]string{`Content-Disposition: form-data; name="f"; filename="` + c.want + `"`, "Content-Type: a/b"}, c.name}}, parts)
	}
	for _, name := range []string{"\x00", "a\x1b[2Jb", "\x7f"} {
		for i := range 3 {
			m := &netreply.Multipart{}
			switch i {
			case 0:
				m.AddField(name, "")
			case 1:
				m.AddFile(name, "", "", nil)
			case 2:
				m.AddFile("", name, "", nil)
			}
			_, err := sendParts(t, m, false)
			require.ErrorIs(t, err, netreply.ProtocolInvalidOperationError, "%q", name)
			var field *netreply.FieldError
			require.ErrorAs(t, err, &field)
		}
	}
	m := &netreply.Multipart{}
	m.AddFile("f", "a", "a/b\r\nX-Evil: c", nil)
	_, err := sendParts(t, m, false)
	require.ErrorIs(t, err, netreply.ProtocolInvalidOperationError)
}

// TestMultipartKinds: every kind of body can be a part, several at once, and is read by
// package mime/multipart.
func TestMultipartKinds(t *testing.T) {
	data := noise(70_000)
	file := newFile(t, "f.bin", data)
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		_, parameters, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
		for mr := multipart.NewReader(r.Body, parameters["boundary"]); ; {
			p, err := mr.NextRawPart()
			if err != nil {
				fmt.Fprint(w, err)
				return
			}
			body, err := plain(p.Header.Get("Content-Encoding"), p)
			fmt.Fprint(w, err, " ", bytes.Equal(body, data), ", ")
		}
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		open := func() (io.ReadCloser, error) { return os.Open(file) }
		m := &netreply.Multipart{}
		for _, b := range []netreply.Body{
			netreply.BytesBody(data), netreply.StringBody(string(data)), netreply.FileBody(file), netreply.ReaderBody(bytes.NewReader(data)),
			netreply.ReaderBody(struct{ io.Reader }{bytes.NewReader(data)}), netreply.SourceBody(-1, open), netreply.SourceBody(int64(len(data)), open),
			netreply.CompressedBody(netreply.FileBody(file), "gzip"), netreply.CompressedBody(netreply.BytesBody(data), "zstd"),
		} {
			m.Add(netreply.Headers{}, b)
		}
		got, err := s.m.Post(t.Context(), s.request("/"), m).Text()
		require.NoError(t, err)
		assert.Equal(t, strings.Repeat("<nil> true, ", len(m.Parts))+"EOF", got)
	})
}
