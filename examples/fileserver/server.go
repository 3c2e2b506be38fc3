package main

import (
	"embed"
	"errors"
	"io"
	"io/fs"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/httpserver"
)

//go:embed page
var page embed.FS

// maxUpload is the maximum size of a file.
const maxUpload = 4 << 30

// policy lets the page load its own files only, and nobody else frame it. File names cannot
// become markup: the page has no way to make some of a string.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// server serves the files of a store and the page.
type server struct {
	files     *store
	transfers *transfers
}

// newServer makes a server that will listen on an address.
func newServer(files *store, transfers *transfers, addr net.Addr) (*httpserver.Server, error) {
	srv, err := httpserver.NewServer(httpserver.Config{
		MaxBodySize: maxUpload, MaxConnections: 1000, MaxConnectionsPerHost: 200, StallTimeout: time.Minute,
	})
	if err != nil {
		return nil, err
	}
	s := &server{files, transfers}
	if isLocal(addr.String()) {
		srv.Use(localOnly)
	}
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(refusal(httpserver.Forbidden, "Another site's page asked for this."))
	srv.Use(origin.Handler)
	srv.AfterRequest(func(_ *http.Request, p *httpserver.Response) {
		p.Headers.Set("X-Content-Type-Options", "nosniff")
		p.Headers.Set("Content-Security-Policy", policy)
		p.Headers.Set("Referrer-Policy", "no-referrer")
		if !p.Headers.Has("Cache-Control") {
			p.Headers.Set("Cache-Control", "no-cache") // what is kept is asked for its version before its use
		}
	})
	srv.Handle("GET /{$}", func(_ *http.Request, w *httpserver.Responder) {
		w.WriteFile(page, "page/index.html", httpserver.FileOptions{})
	})
	srv.Handle("GET /page/{name}", func(r *http.Request, w *httpserver.Responder) {
		w.WriteFile(page, "page/"+r.PathValue("name"), httpserver.FileOptions{})
	})
	srv.Handle("GET /files", s.list)
	srv.Handle("GET /files/{name}", s.download)
	srv.Handle("PUT /files/{name}", s.upload)
	srv.Handle("DELETE /files/{name}", s.remove)
	srv.Handle("GET /events", transfers.hub.Serve)
	return srv, nil
}

// localOnly refuses requests under a name that somebody else has given to this machine: to a
// browser, the pages of such a site would be of one origin with this one.
func localOnly(h http.Handler) http.Handler {
	other := refusal(httpserver.MisdirectedRequest, "This server is known as localhost only.")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isLocal(r.Host) {
			h.ServeHTTP(w, r)
		} else {
			other.ServeHTTP(w, r)
		}
	})
}

func isLocal(host string) bool {
	u := url.URL{Host: host}
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && addr.IsLoopback()
}

func refusal(status httpserver.StatusCode, why string) http.Handler {
	return httpserver.HandlerFunc(func(_ *http.Request, w *httpserver.Responder) { refuse(w, status, why) })
}

// refuse answers with the reason as a sentence, which the page shows.
func refuse(w *httpserver.Responder, status httpserver.StatusCode, why string) {
	w.WriteProblem(httpserver.Problem{Status: status, Detail: why})
}

// name is the file that a request is about; ok is false when it was refused.
func name(r *http.Request, w *httpserver.Responder) (name string, ok bool) {
	name = r.PathValue("name")
	if why := wrongName(name); why != "" {
		refuse(w, httpserver.BadRequest, why)
		return "", false
	}
	return name, true
}

func (s *server) list(_ *http.Request, w *httpserver.Responder) {
	files, err := s.files.list()
	if err != nil {
		refuse(w, httpserver.InternalServerError, "The folder cannot be read.")
		return
	}
	w.WriteJSONWith(map[string]any{"files": files, "limit": int64(maxUpload)}, headers.New("Cache-Control", "no-store"))
}

func (s *server) download(r *http.Request, w *httpserver.Responder) {
	name, ok := name(r, w)
	if !ok {
		return
	}
	f, st, err := s.files.open(name)
	if err != nil {
		refuse(w, httpserver.NotFound, "There is no such file.")
		return
	}
	defer f.Close()
	send := func() error {
		return w.WriteContent(name, st.ModTime(), f, headers.New(
			"Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}), "ETag", tag(st)))
	}
	if r.Method == http.MethodHead {
		send()
		return
	}
	t := s.transfers.start(state{Kind: "download", Name: name, Total: st.Size(), Part: r.Header.Get("Range") != "", Window: r.URL.Query().Get("window")})
	// Nothing stands between the file and the connection, so that the system can send it by
	// itself (sendfile): where it is read tells how far it has come.
	stop := t.follow(func() int64 {
		at, _ := f.Seek(0, io.SeekCurrent)
		return at
	})
	err = send()
	stop()
	var file *httpserver.SourceError
	switch {
	case err == nil:
		t.end("")
	case errors.As(err, &file):
		t.end("The file cannot be read.")
		if !w.Responded() {
			refuse(w, httpserver.InternalServerError, "The file cannot be read.")
		}
	default:
		t.end("It was broken off.")
	}
}

// upload takes a file whole or not at all. With If-None-Match: * it takes the place of none,
// with If-Match that of one version only.
func (s *server) upload(r *http.Request, w *httpserver.Responder) {
	name, ok := name(r, w)
	if !ok {
		return
	}
	c := conditionOf(r)
	if _, err := s.files.check(name, c); err != nil { // before the body comes
		status, why := failure(err)
		refuse(w, status, why)
		return
	}
	var done atomic.Int64
	body, err := httpserver.BodyUpload(r, httpserver.UploadConfig{MaxSize: maxUpload, Progress: func(n, _ int64) { done.Store(n) }})
	if err != nil {
		w.WriteProblem(httpserver.ProblemOf(err))
		return
	}
	t := s.transfers.start(state{Kind: "upload", Name: name, Total: r.ContentLength, Window: r.Header.Get("X-Window")})
	stop := t.follow(done.Load)
	replaced, err := s.files.put(name, c, body)
	stop()
	if err != nil {
		status, why := failure(err)
		t.end(why)
		refuse(w, status, why)
		return
	}
	t.end("")
	if replaced {
		w.WriteStatus(httpserver.NoContent)
	} else {
		w.WriteHeaders(headers.New("Location", "/files/"+url.PathEscape(name)), httpserver.Created)
	}
}

// failure is what is answered when a change of the store has failed.
func failure(err error) (status httpserver.StatusCode, why string) {
	var input *httpserver.InputError
	switch {
	case errors.Is(err, errCondition):
		return httpserver.PreconditionFailed, "Another version of the file is there."
	case errors.Is(err, fs.ErrNotExist):
		return httpserver.NotFound, "There is no such file."
	case !errors.As(err, &input):
		return httpserver.InsufficientStorage, "The server cannot write to its folder."
	}
	switch status = input.Status(); status {
	case httpserver.PayloadTooLarge:
		return status, "The file is too large."
	case httpserver.RequestTimeout:
		return status, "The file came too slowly."
	}
	return status, "It was broken off."
}

// remove deletes a file; with If-Match that version of it only.
func (s *server) remove(r *http.Request, w *httpserver.Responder) {
	name, ok := name(r, w)
	if !ok {
		return
	}
	if err := s.files.remove(name, conditionOf(r)); err != nil {
		status, why := failure(err)
		refuse(w, status, why)
		return
	}
	s.transfers.publish(state{Kind: "delete", Name: name, Over: true})
	w.WriteStatus(httpserver.NoContent)
}
