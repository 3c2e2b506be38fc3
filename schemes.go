package netreply

import (
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/netreply/netreply/internal/scheme"
)

// builtInBackends are the backends by scheme for what a Manager serves without HTTP.
func (c *Config) builtInBackends() map[string]Backend {
	list := map[string]Backend{"data": dataBackend{}}
	if access := c.fileAccess(); access != NoFileAccess {
		list["file"] = fileBackend{scheme.Files{Root: c.FileRoot}, access == FullFileAccess}
	}
	return list
}

// dataBackend serves data: URLs (RFC 2397).
type dataBackend struct{}

func (dataBackend) Serve(q *BackendRequest, w ReplyWriter) error {
	if !reads(q) {
		return unknownOperation(q, "GET and HEAD")
	}
	mediaType, payload, err := scheme.ParseData(q.URL)
	if err != nil {
		return err
	}
	h := NewHeaders("Content-Type", mediaType)
	ContentLengthHeader.Set(&h, int64(len(payload)))
	if err := w.SetHeaders(h); err != nil {
		return err
	}
	_, err = w.Write(payload)
	return err
}

// fileBackend serves file: URLs (RFC 8089).
type fileBackend struct {
	files    scheme.Files
	writable bool
}

func (b fileBackend) Serve(q *BackendRequest, w ReplyWriter) error {
	u := q.URL
	if strings.EqualFold(u.Host, "localhost") || u.Host+u.Path+u.Opaque == "" {
		local := *u
		local.Host = ""
		if local.Path == "" {
			local.Path = "/"
		}
		u = &local
		w.SetURL(u)
	}
	switch {
	case reads(q):
		c, err := b.files.Open(u)
		if err != nil {
			return err
		}
		return deliver(c, q, w)
	case q.Method != http.MethodPut:
		return unknownOperation(q, "GET, HEAD and PUT")
	case !b.writable:
		return notWritable(&FieldError{Field: "Config.FileAccess", Reason: "files may only be read"})
	}
	return b.put(u, q.Body, w)
}

// put writes body to a file. It makes no response head (rule F7).
func (b fileBackend) put(u *url.URL, body io.Reader, w ReplyWriter) error {
	f, err := b.files.Create(u)
	if err != nil {
		return err
	}
	w.(*replyWriter).omitHead() // Serve is called with no other one
	if _, err := io.Copy(f, body); err != nil {
		f.Abandon()
		return err
	}
	return f.Close()
}

// FSBackend serves the files of fsys, for Config.Backends:
//
//	//go:embed static
//	var static embed.FS
//
//	Config{Backends: map[string]netreply.Backend{"app": netreply.FSBackend(static)}}
//
// The path of the URL is the name of the file: app:/static/logo.png and app:static/logo.png
// are the same one. Host must be empty or localhost, so that app://static/logo.png is refused;
// query and fragment do not matter. GET and HEAD are possible, PUT fails with
// ContentAccessDenied, and another method with ProtocolUnknownError. Content-Type is that of the
// name's extension (package mime) or of the content; Content-Length and Last-Modified are
// there as far as fsys knows them. What is not a regular file fails with
// ContentOperationNotPermittedError. NewManager refuses an FSBackend of nil.
func FSBackend(fsys fs.FS) Backend { return fsBackend{fsys} }

type fsBackend struct{ fsys fs.FS }

func (b fsBackend) text() string { return "FSBackend of " + typeOf(b.fsys, "a nil fs.FS") }

// Format prints the type of the file system: fmt would print the content of some.
func (b fsBackend) Format(s fmt.State, verb rune) { formatText(s, verb, b.text()) }

// LogValue is what log/slog prints: the same.
func (b fsBackend) LogValue() slog.Value { return slog.StringValue(b.text()) }

func (b fsBackend) Serve(q *BackendRequest, w ReplyWriter) error {
	switch {
	case isNil(b.fsys):
		return localError(ProtocolInvalidOperationError, "Invalid Backend", &FieldError{Field: "FSBackend", Reason: "a nil fs.FS"})
	case q.Method == http.MethodPut:
		return notWritable(&FieldError{"verb", q.Method, "these files can only be read"})
	case !reads(q):
		return unknownOperation(q, "GET and HEAD")
	}
	c, err := scheme.OpenFS(b.fsys, q.URL)
	if err != nil {
		return err
	}
	return deliver(c, q, w)
}

// deliver sends the content of a file, and closes it.
func deliver(c *scheme.Content, q *BackendRequest, w ReplyWriter) error {
	defer c.Body.Close()
	h := NewHeaders("Content-Type", c.Type)
	if !c.Modified.IsZero() {
		LastModifiedHeader.Set(&h, c.Modified)
	}
	if c.Size >= 0 {
		ContentLengthHeader.Set(&h, c.Size)
	}
	if err := w.SetHeaders(h); err != nil {
		return err
	}
	if c.Size != 0 { // as in Qt, where the first byte brings the status (rule A0)
		w.SetAttribute(HTTPStatusCode, http.StatusOK)
		w.SetAttribute(HTTPReasonPhrase, http.StatusText(http.StatusOK))
	}
	if q.Method == http.MethodHead {
		return nil
	}
	_, err := w.ReadFrom(c.Body)
	return err
}

func reads(q *BackendRequest) bool {
	return q.Method == http.MethodGet || q.Method == http.MethodHead
}

// unknownOperation is the error of a method that a scheme does not have (rule F8).
func unknownOperation(q *BackendRequest, known string) error {
	return localError(ProtocolUnknownError, `Protocol "`+q.URL.Scheme+`" is unknown`,
		&FieldError{"verb", q.Method, "a URL with the scheme " + q.URL.Scheme + " has " + known})
}

// notWritable is the error of a PUT where files can only be read.
func notWritable(reason *FieldError) error {
	return localError(ContentAccessDenied, "Not writable", reason)
}
