package httpserver

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path/filepath"

	"github.com/netreply/netreply/headers"
)

// Response is an answer as a value, which can be built, looked at, compared and
// sent (Qt: QHttpServerResponse). Its Content-Type is among its Headers.
type Response struct {
	Status  StatusCode // 0 means Ok
	Headers Headers
	Body    []byte
	// File, if it is not empty and Body is nil, is the name of a file that is the body. It is
	// read when the response is sent, and not kept in memory; with Status Ok, ranges and
	// conditions of the request are honoured, see Responder.WriteFile.
	File string
}

// StatusResponse has nothing but a status, and the Content-Type of WriteStatus.
func StatusResponse(status StatusCode) *Response {
	return &Response{Status: status, Headers: headers.New("Content-Type", "application/x-empty")}
}

// TextResponse is plain text in UTF-8.
func TextResponse(text string, status ...StatusCode) *Response {
	return DataResponse([]byte(text), "text/plain; charset=utf-8", status...)
}

// JSONResponse is a value as JSON; the error says that it cannot be.
func JSONResponse(v any, status ...StatusCode) (*Response, error) {
	body, err := encodeJSON(v)
	if err != nil {
		return nil, err
	}
	return DataResponse(body, "application/json", status...), nil
}

// DataResponse is bytes of a MIME type; "" means the one that they look like.
func DataResponse(body []byte, mime string, status ...StatusCode) *Response {
	if mime == "" {
		mime = http.DetectContentType(body)
	}
	return &Response{Status: statusOf(status), Headers: headers.New("Content-Type", mime), Body: body}
}

// FileResponse is a whole file, with the MIME type of its name or else of its
// content, which is read when it is sent. A file that is not there or cannot be read is a
// response, too: NotFound, or Forbidden. The name is the program's: for names from clients
// there is Responder.WriteFile.
func FileResponse(name string) *Response {
	f, err := openRegular(name)
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return StatusResponse(Forbidden)
		}
		return StatusResponse(NotFound)
	}
	defer f.Close()
	kind := mime.TypeByExtension(filepath.Ext(name))
	if kind == "" {
		first := make([]byte, 512) // as much as DetectContentType looks at
		n, _ := io.ReadFull(f, first)
		kind = http.DetectContentType(first[:n])
	}
	return &Response{Status: Ok, Headers: headers.New("Content-Type", kind), File: name}
}

// openRegular opens a file that can be sent; others, as pipes, it does not touch.
func openRegular(name string) (*os.File, error) {
	st, err := os.Stat(name)
	if err == nil && !st.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	if err != nil {
		return nil, err
	}
	return os.Open(name)
}

// MIMEType is the Content-Type.
func (p *Response) MIMEType() string { return p.Headers.Get("Content-Type") }

// Equal tells whether two responses say the same.
func (p *Response) Equal(o *Response) bool {
	return p.status() == o.status() && p.Headers.Equal(o.Headers) && bytes.Equal(p.Body, o.Body) && p.File == o.File
}

// Clone returns a response that shares nothing with p.
func (p *Response) Clone() *Response {
	return &Response{Status: p.Status, Headers: p.Headers.Clone(), Body: bytes.Clone(p.Body), File: p.File}
}

func (p *Response) status() StatusCode {
	if p.Status == 0 {
		return Ok
	}
	return p.Status
}

// SendResponse answers with a Response. A Server's after-request hooks see it first,
// a copy of it: the same Response can be sent again and again. Of one with a File they see
// the head. A File that cannot be opened or read is a *SourceError, as with WriteReader.
func (s *Responder) SendResponse(p *Response) error {
	x := s.exchange()
	if err := x.check(); err != nil {
		return err
	}
	if p.File != "" && p.Body == nil {
		return x.refuse(s.sendFile(p))
	}
	if x.writer == nil || len(x.writer.server.after) == 0 {
		return s.data(p.Body, "", p.Headers, p.status())
	}
	given := p
	p = p.Clone()
	x.writer.server.prepare(x.writer, p)
	for _, name := range [...]string{"Content-Length", "Transfer-Encoding", "Trailer"} {
		p.Headers.Del(name)
		if len(p.Body) == len(given.Body) {
			for _, v := range given.Headers.Values(name) {
				p.Headers.Add(name, v)
			}
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.writer.prepared = p.status()
	err := x.data(p.Body, "", p.Headers, p.status())
	if err != nil {
		x.writer.prepared = 0
		x.refused = err
	}
	return err
}

func (s *Responder) sendFile(p *Response) error {
	f, err := openRegular(p.File)
	if err != nil {
		return &SourceError{err}
	}
	if p.status() != Ok {
		return s.reader(f, "", p.Headers, p.status())
	}
	defer f.Close()
	return s.file(f, filepath.Base(p.File), p.Headers)
}
