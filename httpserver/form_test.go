package httpserver_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpserver"
)

// part is a field of a form, or a file if it has a disposition with a file name.
type part struct{ disposition, mime, content string }

func field(name, value string) part {
	return part{fmt.Sprintf(`form-data; name=%q`, name), "", value}
}

func file(name, fileName, content string) part {
	return part{fmt.Sprintf(`form-data; name=%q; filename=%q`, name, fileName), "application/octet-stream", content}
}

// multipartForm makes a body, and its Content-Type.
func multipartForm(t testing.TB, parts ...part) (body []byte, contentType string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	require.NoError(t, w.SetBoundary("limit"))
	for _, p := range parts {
		h := textproto.MIMEHeader{}
		if p.disposition != "" {
			h.Set("Content-Disposition", p.disposition)
		}
		if p.mime != "" {
			h.Set("Content-Type", p.mime)
		}
		to, err := w.CreatePart(h)
		require.NoError(t, err)
		io.WriteString(to, p.content)
	}
	require.NoError(t, w.Close())
	return b.Bytes(), w.FormDataContentType()
}

// taken is what a handler has got of a form.
type taken struct {
	fields url.Values
	files  []string // field, name, type and content
	err    error
}

// readAllFiles reads a form and its files.
func readAllFiles(r *http.Request, c httpserver.UploadConfig) (got taken) {
	got.fields, got.err = httpserver.ReadForm(r, c, func(u *httpserver.Upload) error {
		content, err := io.ReadAll(u)
		if err == nil {
			got.files = append(got.files, short(strings.Join([]string{u.Field, u.Name, u.ContentType, string(content)}, "|")))
		}
		return err
	})
	return got
}

// short is a text that can be shown, and stands for a long one.
func short(s string) string {
	if len(s) < 1000 {
		return s
	}
	return fmt.Sprintf("%.30s %d bytes, %x", s, len(s), sha256.Sum256([]byte(s)))
}

func formRequest(contentType string, body io.Reader) *http.Request {
	r := httptest.NewRequest("POST", "/", struct{ io.Reader }{body})
	r.Header.Set("Content-Type", contentType)
	return r
}

// TestReadForm: fields and files, over every protocol.
func TestReadForm(t *testing.T) {
	got := make(chan taken, 1)
	addr := serve(t, httpserver.HandlerFunc(func(r *http.Request, w *httpserver.Responder) {
		got <- readAllFiles(r, httpserver.UploadConfig{})
		w.WriteStatus()
	}))
	big := strings.Repeat("0123456789\r\n--limi", 20000)
	body, kind := multipartForm(t, field("title", "Kätzchen"), file("photo", "cat.png", big), field("title", ""), file("photo", "empty", ""),
		part{`form-data; name="none"; filename=""`, "application/octet-stream", ""},
		part{`form-data; name="blob"; filename=""`, "application/octet-stream", "b"})
	want := taken{
		fields: url.Values{"title": {"Kätzchen", ""}},
		files:  []string{short("photo|cat.png|application/octet-stream|" + big), "photo|empty|application/octet-stream|", "blob||application/octet-stream|b"},
	}
	const pairs = "a=1&b=%C3%A4+%26&&a=2;3&c"
	wantPairs := taken{fields: url.Values{"a": {"1", "2;3"}, "b": {"ä &"}, "c": {""}}}
	overBoth(t, func(t *testing.T, client *http.Client) {
		for name, r := range map[string]io.Reader{"sized": bytes.NewReader(body), "in pieces": iotest.HalfReader(bytes.NewReader(body))} {
			ask(t, client, "POST", "http://"+addr, kind, r)
			assert.Equal(t, want, <-got, name)
		}
		ask(t, client, "POST", "http://"+addr, "application/x-www-form-urlencoded", strings.NewReader(pairs))
		assert.Equal(t, wantPairs, <-got)
		ask(t, client, "POST", "http://"+addr, "application/x-www-form-urlencoded", nil)
		assert.Equal(t, taken{fields: url.Values{}}, <-got)
	})
	raw(t, addr, fmt.Sprintf("POST / HTTP/1.0\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", kind, len(body), body))
	assert.Equal(t, want, <-got)
	assert.Equal(t, wantPairs, readAllFiles(formRequest("application/x-www-form-urlencoded", iotest.OneByteReader(strings.NewReader(pairs))), httpserver.UploadConfig{}))
	assert.Equal(t, want, readAllFiles(formRequest(kind, iotest.DataErrReader(bytes.NewReader(body))), httpserver.UploadConfig{}))
}

// TestReadFormCut: wherever a form breaks off, it is incomplete, and so is the file that it
// breaks off in.
func TestReadFormCut(t *testing.T) {
	// The content has what looks like the boundary, but goes on.
	first, second := "one\r\n--limit2", "two\r\n--limit-\r\n"
	body, kind := multipartForm(t, field("a", "b"), file("f", "1", first), file("f", "2", second))
	whole := []string{"f|1|application/octet-stream|" + first, "f|2|application/octet-stream|" + second}
	end := len(body) - len("\r\n")
	for n := range len(body) {
		for name, cut := range map[string]error{"broken off": io.ErrUnexpectedEOF, "ended": io.EOF} {
			got := readAllFiles(formRequest(kind, io.MultiReader(bytes.NewReader(body[:n]), iotest.ErrReader(cut))), httpserver.UploadConfig{})
			if n >= end && cut == io.EOF {
				assert.NoError(t, got.err, n)
				continue
			}
			if cut == io.EOF && errors.Is(got.err, httpserver.ErrSyntax) { // in a header
				got.err = httpserver.ErrIncomplete
			}
			assert.ErrorIs(t, got.err, httpserver.ErrIncomplete, "%s after %d of %d bytes", name, n, len(body))
			assert.Nil(t, got.fields)
			for i, f := range got.files {
				assert.Equal(t, whole[i], f, "%s after %d of %d bytes: a shorter file", name, n, len(body))
			}
		}
	}
}

// TestReadFormRefuses: what is no form, or beyond a limit.
func TestReadFormRefuses(t *testing.T) {
	const pairs = "application/x-www-form-urlencoded"
	multi := func(parts ...part) string {
		body, _ := multipartForm(t, parts...)
		return string(body)
	}
	const kind = "multipart/form-data; boundary=limit"
	many := make([]part, 129)
	for i := range many {
		many[i] = field("a", "")
	}
	for name, c := range map[string]struct {
		mime, body string
		config     httpserver.UploadConfig
		want       error
		field      string
		status     httpserver.StatusCode
		says       string // what a client is told
	}{
		"no type":               {"", "a=b", httpserver.UploadConfig{}, httpserver.ErrMediaType, "", 415, "multipart/form-data or application/x-www-form-urlencoded is wanted"},
		"JSON":                  {"application/json", "{}", httpserver.UploadConfig{}, httpserver.ErrMediaType, "", 415, "multipart/form-data or application/x-www-form-urlencoded is wanted"},
		"multipart of others":   {"multipart/mixed; boundary=limit", multi(), httpserver.UploadConfig{}, httpserver.ErrMediaType, "", 415, "is wanted"},
		"no boundary":           {"multipart/form-data", multi(), httpserver.UploadConfig{}, httpserver.ErrSyntax, "", 400, "the boundary is missing"},
		"long boundary":         {"multipart/form-data; boundary=" + strings.Repeat("x", 71), "", httpserver.UploadConfig{}, httpserver.ErrSyntax, "", 400, "longer than 70 bytes"},
		"empty multipart":       {kind, "", httpserver.UploadConfig{}, httpserver.ErrIncomplete, "", 400, "the last boundary is missing"},
		"another boundary":      {"multipart/form-data; boundary=other", multi(field("a", "b")), httpserver.UploadConfig{}, httpserver.ErrIncomplete, "", 400, "the last boundary is missing"},
		"no disposition":        {kind, multi(part{}), httpserver.UploadConfig{}, httpserver.ErrSyntax, "", 400, "a part has no Content-Disposition"},
		"no name":               {kind, multi(part{"form-data", "", ""}), httpserver.UploadConfig{}, httpserver.ErrSyntax, "", 400, "a part has no"},
		"two names":             {kind, multi(part{`form-data; name=a; name=b`, "", ""}), httpserver.UploadConfig{}, httpserver.ErrSyntax, "", 400, "a part has no"},
		"bad header":            {kind, "--limit\r\nno colon\r\n\r\n\r\n--limit--\r\n", httpserver.UploadConfig{}, httpserver.ErrSyntax, "", 400, "syntax error"},
		"bad escape":            {pairs, "a=%zz", httpserver.UploadConfig{}, httpserver.ErrSyntax, "", 400, "an escape is not valid"},
		"large body":            {kind, multi(file("f", "n", strings.Repeat("x", 1000))), httpserver.UploadConfig{MaxSize: 500}, httpserver.ErrTooLarge, "", 413, "the body has more than 500 bytes"},
		"large file":            {kind, multi(file("f", "n", strings.Repeat("x", 1000))), httpserver.UploadConfig{MaxFileSize: 999}, httpserver.ErrTooLarge, "f", 413, "the file has more than 999 bytes"},
		"large field":           {kind, multi(field("a", strings.Repeat("x", 1000))), httpserver.UploadConfig{MaxFieldSize: 999}, httpserver.ErrTooLarge, "a", 413, "the value has more than 999 bytes"},
		"large name":            {kind, multi(field("abc", "")), httpserver.UploadConfig{MaxFieldSize: 2}, httpserver.ErrTooLarge, "abc", 413, "the name has more than 2 bytes"},
		"large header":          {kind, "--limit\r\nX-A: " + strings.Repeat("x", 70_000) + "\r\n\r\n\r\n--limit--\r\n", httpserver.UploadConfig{}, httpserver.ErrTooLarge, "", 413, "before the content of a part has more than 65536 bytes"},
		"many fields of header": {kind, "--limit\r\n" + strings.Repeat("X-A: x\r\n", 20_000) + "\r\n\r\n--limit--\r\n", httpserver.UploadConfig{}, httpserver.ErrTooLarge, "", 413, "has more than 65536 bytes"},
		"large preamble":        {kind, strings.Repeat("x\r\n", 30_000) + multi(), httpserver.UploadConfig{}, httpserver.ErrTooLarge, "", 413, "has more than 65536 bytes"},
		"large epilogue":        {kind, multi() + strings.Repeat("x", 500), httpserver.UploadConfig{MaxSize: 400}, httpserver.ErrTooLarge, "", 413, "the body has more than 400 bytes"},
		"many parts":            {kind, multi(many...), httpserver.UploadConfig{}, httpserver.ErrTooLarge, "a", 413, "there are more than 128 fields and files"},
		"large body of pairs":   {pairs, "a=" + strings.Repeat("x", 1000), httpserver.UploadConfig{MaxSize: 500}, httpserver.ErrTooLarge, "", 413, "the body has more than 500 bytes"},
		"large value":           {pairs, "a=" + strings.Repeat("x", 1000), httpserver.UploadConfig{MaxFieldSize: 999}, httpserver.ErrTooLarge, "a", 413, "the value has more than 999 bytes"},
		"very large value":      {pairs, "a=" + strings.Repeat("x", 10_000), httpserver.UploadConfig{MaxFieldSize: 999}, httpserver.ErrTooLarge, "", 413, "a name or a value has more than 999 bytes"},
		"many pairs":            {pairs, strings.Repeat("a&", 129), httpserver.UploadConfig{}, httpserver.ErrTooLarge, "a", 413, "there are more than 128 fields and files"},
	} {
		got := readAllFiles(formRequest(c.mime, strings.NewReader(c.body)), c.config)
		var input *httpserver.InputError
		if assert.ErrorAs(t, got.err, &input, name) {
			assert.Equal(t, c.want, input.Kind, "%s: %v", name, got.err)
			assert.Equal(t, c.field, input.Field, name)
			assert.Equal(t, c.status, input.Status(), name)
			assert.Contains(t, httpserver.ProblemOf(got.err).Detail, c.says, name)
		}
		assert.Empty(t, got.files, name)
		if c.want == httpserver.ErrTooLarge {
			none := httpserver.UploadConfig{MaxSize: -1, MaxFileSize: -1, MaxFieldSize: -1, MaxParts: -1}
			if !strings.Contains(name, "header") && name != "large preamble" {
				assert.NoError(t, readAllFiles(formRequest(c.mime, strings.NewReader(c.body)), none).err, name)
			}
		}
	}
	body, _ := multipartForm(t, field("a", "b"), file("f", "n", "x"))
	_, err := httpserver.ReadForm(formRequest(kind, bytes.NewReader(body)), httpserver.UploadConfig{}, nil)
	assert.ErrorIs(t, err, httpserver.ErrUnknownField)
	r := formRequest(kind, bytes.NewReader(body))
	r.Header.Set("Content-Encoding", "gzip")
	assert.ErrorIs(t, readAllFiles(r, httpserver.UploadConfig{}).err, httpserver.ErrMediaType)
}

// TestReadFormFunction: its error is ReadForm's, what it leaves is passed over, and that it
// looks away does not make a cut form whole.
func TestReadFormFunction(t *testing.T) {
	body, kind := multipartForm(t, file("f", "1", strings.Repeat("x", 10_000)), field("a", "b"), file("f", "2", "y"))
	errFull := errors.New("disk full")
	calls := 0
	_, err := httpserver.ReadForm(formRequest(kind, bytes.NewReader(body)), httpserver.UploadConfig{}, func(*httpserver.Upload) error {
		calls++
		return errFull
	})
	assert.Equal(t, errFull, err)
	assert.Equal(t, 1, calls)

	var kept *httpserver.Upload
	fields, err := httpserver.ReadForm(formRequest(kind, bytes.NewReader(body)), httpserver.UploadConfig{}, func(u *httpserver.Upload) error {
		kept = u
		u.Read(make([]byte, 5))
		return nil
	})
	assert.NoError(t, err)
	assert.Equal(t, url.Values{"a": {"b"}}, fields)
	_, err = kept.Read(make([]byte, 1))
	assert.Equal(t, io.EOF, err)

	_, err = httpserver.ReadForm(formRequest(kind, bytes.NewReader(body[:5000])), httpserver.UploadConfig{}, func(u *httpserver.Upload) error {
		io.Copy(io.Discard, u)
		return nil
	})
	assert.ErrorIs(t, err, httpserver.ErrIncomplete)
	n, err := new(httpserver.Upload).Read(make([]byte, 1))
	assert.Zero(t, n)
	assert.Equal(t, io.EOF, err)
}

// BenchmarkReadForm reads a file of 8 MiB; its memory must not grow with it.
func BenchmarkReadForm(b *testing.B) {
	body, kind := multipartForm(b, file("f", "1", strings.Repeat("x", 8<<20)))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		_, err := httpserver.ReadForm(formRequest(kind, bytes.NewReader(body)), httpserver.UploadConfig{}, func(u *httpserver.Upload) error {
			_, err := io.Copy(io.Discard, u)
			return err
		})
		require.NoError(b, err)
	}
}
