package netreply_test

import (
	"context"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"strings"
	"testing"

	"github.com/netreply/netreply"
)

// FuzzMultipart: a form with names, values and content of any bytes is refused, with an error
// that names what is wrong, or is read back as it was, by a strict reader and by package
// mime/multipart.
func FuzzMultipart(f *testing.F) {
	f.Add("name", "value", "file.txt", []byte("content"), "")
	f.Add(`a"b`, "a\r\n--b--\r\n", "a\r\nX-Evil: b", []byte("--b"), "b")
	f.Add("\x00", "\xff", `c:\x\"`, []byte{}, strings.Repeat("b", 70))
	f.Add("ä;=", "", "日本.png", []byte("\r\n--b\r\n\r\n"), "b ")
	f.Add("%22", "\r\n", "\t", []byte("\n--c"), "'()+_,-./:=? b")
	var got received
	m, err := netreply.NewManager(netreply.Config{Backends: map[string]netreply.Backend{
		"form": netreply.BackendFunc(func(q *netreply.BackendRequest, _ netreply.ReplyWriter) error {
			body, err := io.ReadAll(q.Body)
			got = received{q.Headers.Get("Content-Type"), q.ContentLength, string(body)}
			return err
		}),
	}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { m.Close() })
	f.Fuzz(func(t *testing.T, name, value, fileName string, content []byte, boundary string) {
		form := &netreply.Multipart{Boundary: boundary}
		form.AddField(name, value)
		form.AddFile(name, fileName, "", netreply.BytesBody(content))
		req := newRequest(t, "form://host/")
		if err := m.Fetch(context.Background(), "POST", req, form).Err(); err != nil {
			var field *netreply.FieldError
			if !errors.Is(err, netreply.ProtocolInvalidOperationError) || !errors.As(err, &field) {
				t.Fatal(err)
			}
			return
		}
		if got.length != int64(len(got.body)) {
			t.Errorf("a length of %d, %d bytes", got.length, len(got.body))
		}
		if boundary != "" && got.boundary(t) != boundary {
			t.Errorf("%q instead of the boundary %q", got.contentType, boundary)
		}
		parts, err := strictParts(got.boundary(t), got.body)
		switch {
		case err != nil:
			t.Fatalf("%v in %q", err, got.body)
		case len(parts) != 2 || len(parts[0].head) != 1 || len(parts[1].head) != 2 || parts[0].body != value || parts[1].body != string(content):
			t.Fatalf("%q became %q", form.Parts, parts)
		}
		escape := strings.NewReplacer(`"`, "%22", "\r", "%0D", "\n", "%0A").Replace
		disposition := `Content-Disposition: form-data; name="` + escape(name) + `"`
		if parts[0].head[0] != disposition || parts[1].head[0] != disposition+`; filename="`+escape(fileName)+`"` {
			t.Errorf("names %q and %q became %q", name, fileName, parts)
		}
		mediaType, ok := strings.CutPrefix(parts[1].head[1], "Content-Type: ")
		if _, _, err := mime.ParseMediaType(mediaType); err != nil || !ok {
			t.Errorf("%q: %v", parts[1].head, err)
		}
		r := multipart.NewReader(strings.NewReader(got.body), got.boundary(t))
		for i, want := range []string{value, string(content)} {
			p, err := r.NextRawPart()
			if err != nil {
				t.Fatalf("part %d of %q: %v", i, got.body, err)
			}
			// its reader takes a backslash for an escape, which browsers do not write
			if !strings.Contains(name+fileName, `\`) && p.FormName() != escape(name) {
				t.Errorf("the name %q became %q", name, p.FormName())
			}
			if body, err := io.ReadAll(p); err != nil || string(body) != want {
				t.Errorf("%q became %q: %v", want, body, err)
			}
		}
		if _, err := r.NextRawPart(); err != io.EOF {
			t.Errorf("%v behind the last part", err)
		}
	})
}
