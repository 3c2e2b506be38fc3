package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/httpserver"
)

//go:embed page.html
var page []byte

// maxUpload is the maximum size of a file.
const maxUpload = 4 << 30

// store is the directory with its transfers.
type store struct {
	dir       string
	transfers *transfers
}

func newStore(dir string) *store { return &store{dir, newTransfers()} }

func newServer(s *store) (*httpserver.Server, error) {
	srv, err := httpserver.NewServer(httpserver.Config{MaxBodySize: maxUpload})
	if err != nil {
		return nil, err
	}
	front := httpserver.DataResponse(page, "text/html; charset=utf-8")
	srv.Route("GET /{$}", func(*http.Request) *httpserver.Response { return front })
	srv.Route("GET /files", s.list)
	srv.Handle("GET /files/{name}", s.download)
	srv.Handle("PUT /files/{name}", s.upload)
	srv.Route("DELETE /files/{name}", s.remove)
	srv.Handle("GET /events", s.events)
	srv.AfterRequest(func(_ *http.Request, p *httpserver.Response) {
		p.Headers.Set("X-Content-Type-Options", "nosniff")
		p.Headers.Set("Content-Security-Policy", "default-src 'self' 'unsafe-inline'")
	})
	return srv, nil
}

// path is the path of a file; "" for an invalid name.
func (s *store) path(name string) string {
	if name == "" || strings.HasPrefix(name, ".") || strings.ContainsAny(name, `/\:`+"\x00") || !filepath.IsLocal(name) || len(name) > 200 {
		return ""
	}
	return filepath.Join(s.dir, name)
}

type entry struct {
	Name     string    `json:"name"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
}

func (s *store) list(*http.Request) *httpserver.Response {
	dir, err := os.ReadDir(s.dir)
	if err != nil {
		return httpserver.StatusResponse(httpserver.InternalServerError)
	}
	files := []entry{}
	for _, f := range dir {
		if st, err := f.Info(); err == nil && st.Mode().IsRegular() && s.path(f.Name()) != "" {
			files = append(files, entry{f.Name(), st.Size(), st.ModTime()})
		}
	}
	p, err := httpserver.JSONResponse(files)
	if err != nil {
		return httpserver.StatusResponse(httpserver.InternalServerError)
	}
	p.Headers.Set("Cache-Control", "no-store")
	return p
}

func (s *store) download(r *http.Request, w *httpserver.Responder) {
	name := r.PathValue("name")
	path := s.path(name)
	if path == "" {
		w.WriteStatus(httpserver.BadRequest)
		return
	}
	f, err := os.Open(path)
	if err != nil {
		w.WriteStatus(httpserver.NotFound)
		return
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		w.WriteStatus(httpserver.NotFound)
		return
	}
	t := s.transfers.start("download", name, st.Size())
	err = w.WriteContent(name, st.ModTime(), &counting{f, t}, headers.New(
		"Content-Disposition", "attachment; filename*=UTF-8''"+url.PathEscape(name), "X-Content-Type-Options", "nosniff"))
	var file *httpserver.SourceError
	switch {
	case err == nil:
		t.end("")
	case errors.As(err, &file):
		t.end("the file cannot be read")
		if !w.Responded() {
			w.WriteStatus(httpserver.InternalServerError)
		}
	default:
		t.end("the client has gone")
	}
}

// counting reports the bytes read from a file.
type counting struct {
	io.ReadSeeker
	t *transfer
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.ReadSeeker.Read(p)
	c.t.moved(n)
	return n, err
}

// upload takes a file whole or not at all. With If-None-Match: * it takes the place of none.
func (s *store) upload(r *http.Request, w *httpserver.Responder) {
	name := r.PathValue("name")
	path := s.path(name)
	if path == "" {
		w.WriteData([]byte("not a name for a file\n"), "text/plain", httpserver.BadRequest)
		return
	}
	_, err := os.Lstat(path)
	there := err == nil
	onlyNew := r.Header.Get("If-None-Match") == "*"
	if there && onlyNew {
		w.WriteStatus(httpserver.PreconditionFailed) // before the body comes
		return
	}
	t := s.transfers.start("upload", name, r.ContentLength)
	status, fault := s.take(r.Body, path, onlyNew, t)
	t.end(fault)
	switch {
	case fault != "":
		w.WriteData([]byte(fault+"\n"), "text/plain", status)
	case there:
		w.WriteStatus(httpserver.NoContent)
	default:
		w.WriteHeaders(headers.New("Location", "/files/"+url.PathEscape(name)), httpserver.Created)
	}
}

// take replaces a file by a body, or returns the error.
func (s *store) take(body io.Reader, path string, onlyNew bool, t *transfer) (status httpserver.StatusCode, fault string) {
	f, err := os.CreateTemp(s.dir, ".upload-*")
	if err != nil {
		return httpserver.InsufficientStorage, "there is no place for it"
	}
	defer os.Remove(f.Name()) // fails after a rename
	in := &incoming{Reader: io.TeeReader(body, t)}
	_, err = io.Copy(f, in)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	var large *http.MaxBytesError
	switch {
	case errors.As(in.err, &large):
		return httpserver.PayloadTooLarge, "the file is too large"
	case errors.Is(in.err, os.ErrDeadlineExceeded):
		return httpserver.RequestTimeout, "the file came too slowly"
	case in.err != nil:
		return httpserver.BadRequest, "the file is incomplete"
	case err != nil:
		return httpserver.InsufficientStorage, "the file cannot be written"
	}
	if onlyNew {
		err = os.Link(f.Name(), path) // unlike Rename it replaces nothing
	} else {
		err = os.Rename(f.Name(), path)
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		return httpserver.PreconditionFailed, "there is a file of that name"
	case err != nil:
		return httpserver.InternalServerError, "the file cannot be put in its place"
	}
	return httpserver.Ok, ""
}

// incoming keeps the error of a client, which is another than that of the disk.
type incoming struct {
	io.Reader
	err error
}

func (i *incoming) Read(p []byte) (int, error) {
	n, err := i.Reader.Read(p)
	if err != io.EOF {
		i.err = err
	}
	return n, err
}

func (s *store) remove(r *http.Request) *httpserver.Response {
	path := s.path(r.PathValue("name"))
	if path == "" {
		return httpserver.StatusResponse(httpserver.BadRequest)
	}
	if err := os.Remove(path); errors.Is(err, fs.ErrNotExist) {
		return httpserver.StatusResponse(httpserver.NotFound)
	} else if err != nil {
		return httpserver.StatusResponse(httpserver.InternalServerError)
	}
	s.transfers.publish(state{Kind: "delete", Name: r.PathValue("name"), Over: true})
	return httpserver.StatusResponse(httpserver.NoContent)
}

// events tells of every transfer, the newest state of each, until the client goes or the
// server shuts down.
func (s *store) events(_ *http.Request, w *httpserver.Responder) {
	stream, err := w.Events()
	if err != nil {
		return
	}
	defer stream.Close()
	seen := map[int]state{}
	alive := time.NewTicker(15 * time.Second)
	defer alive.Stop()
	for {
		all, changed := s.transfers.news()
		for _, v := range all {
			if seen[v.ID] == v {
				continue
			}
			seen[v.ID] = v
			data, err := json.Marshal(v)
			if err != nil || stream.Send(httpserver.Event{Name: "transfer", Data: string(data)}) != nil {
				return
			}
		}
		select {
		case <-changed:
		case <-alive.C:
			if stream.Comment("still here") != nil {
				return
			}
		case <-w.Context().Done():
			return
		}
	}
}
