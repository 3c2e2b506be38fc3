package main

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/netreply/netreply"
)

var modified = time.Date(2024, 5, 6, 7, 8, 10, 0, time.UTC)

// pack makes the bytes of an archive: stored entries, so that their content stands in it.
func pack(t *testing.T, entries map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, content := range entries {
		e, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store, Modified: modified})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(e, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func manager(t *testing.T, open func(string) (archive, error)) *netreply.Manager {
	t.Helper()
	m, err := netreply.NewManager(netreply.Config{Backends: map[string]netreply.Backend{"zip": zipBackend{open}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func request(t *testing.T, url string) *netreply.Request {
	t.Helper()
	req, err := netreply.NewRequest(url)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// TestNames: which entry of which archive a URL names.
func TestNames(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	content := pack(t, map[string]string{"docs/a.html": "alpha", "50% off?#!.json": "{}", "a!/b": "bang", "empty": ""})
	write(t, "archive.zip", content)
	write(t, "what !? 100%.zip", content)
	m := manager(t, openFile)
	absolute := filepath.ToSlash(dir)
	if !strings.HasPrefix(absolute, "/") {
		absolute = "/" + absolute
	}
	for url, want := range map[string]string{
		"zip:archive.zip!/docs/a.html":                    "alpha",
		"zip:./archive.zip!/docs/./a.html":                "alpha",
		"zip:archive.zip!/50%25%20off%3F%23!.json":        "{}",
		"zip:archive.zip!/50%25 off%3f%23%21.json":        "{}",
		"zip:archive.zip!/a!/b":                           "bang",
		"zip:archive.zip!/empty":                          "",
		"zip:archive.zip!/docs/a.html#part":               "alpha",
		"ZIP:what%20%21%3F%20100%25.zip!/docs%2Fa.html":   "alpha",
		"zip:" + absolute + "/archive.zip!/docs/a.html":   "alpha",
		"zip://" + absolute + "/archive.zip!/docs/a.html": "alpha",
	} {
		got, err := m.Get(t.Context(), request(t, url)).ReadAll()
		if err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", url, got, err, want)
		}
	}
}

// TestHead: status and header fields, and the signals of a reply over HTTP.
func TestHead(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "archive.zip", pack(t, map[string]string{"docs/a.html": "alpha", "b": "beta"}))
	m := manager(t, openFile)
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		r := m.Send(t.Context(), method, request(t, "zip:archive.zip!/docs/a.html"), nil)
		if err := r.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		last, _ := netreply.LastModifiedHeader.Get(r.Headers())
		if r.StatusCode() != 200 || r.ContentLength() != 5 || !strings.HasPrefix(r.RawHeader("Content-Type"), "text/html") ||
			!last.Equal(modified) || r.RawHeader("Accept-Ranges") != "bytes" || r.FileName() != "a.html" {
			t.Errorf("%s: %d %v %s", method, r.StatusCode(), r.Headers(), r.FileName())
		}
	}
	r := m.Get(t.Context(), request(t, "zip:archive.zip!/b"))
	var progress netreply.Progress
	for progress = range r.DownloadProgress() {
	}
	if progress.Done != 4 || progress.Total != 4 || r.RawHeader("Content-Type") != "application/octet-stream" {
		t.Errorf("%v %v", progress, r.Headers())
	}
}

// TestRanges: a part of an entry, as of a file over HTTP.
func TestRanges(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "archive.zip", pack(t, map[string]string{"a": "0123456789", "empty": ""}))
	m := manager(t, openFile)
	date := modified.Format(http.TimeFormat)
	for _, c := range []struct {
		entry, field, condition string
		status                  int
		part, body              string
	}{
		{"a", "", "", 200, "", "0123456789"},
		{"a", "bytes=0-0", "", 206, "bytes 0-0/10", "0"},
		{"a", "bytes=2-4", "", 206, "bytes 2-4/10", "234"},
		{"a", "bytes=7-", "", 206, "bytes 7-9/10", "789"},
		{"a", "bytes=7-99", "", 206, "bytes 7-9/10", "789"},
		{"a", "bytes=-3", "", 206, "bytes 7-9/10", "789"},
		{"a", "bytes=-99", "", 206, "bytes 0-9/10", "0123456789"},
		{"a", "bytes=0-", "", 206, "bytes 0-9/10", "0123456789"},
		{"a", "bytes=2-4", date, 206, "bytes 2-4/10", "234"},
		{"a", "bytes=2-4", "Mon, 01 Jan 2024 00:00:00 GMT", 200, "", "0123456789"},
		{"a", "bytes=10-", "", 416, "bytes */10", ""},
		{"a", "bytes=-0", "", 416, "bytes */10", ""},
		{"empty", "bytes=0-", "", 416, "bytes */0", ""},
		{"empty", "bytes=-1", "", 416, "bytes */0", ""},
		{"a", "bytes=4-2", "", 200, "", "0123456789"},
		{"a", "bytes=1-2,4-5", "", 200, "", "0123456789"},
		{"a", "bytes=-", "", 200, "", "0123456789"},
		{"a", "bytes=--1", "", 200, "", "0123456789"},
		{"a", "bytes=x", "", 200, "", "0123456789"},
		{"a", "lines=1-2", "", 200, "", "0123456789"},
		{"a", "bytes=99999999999999999999-", "", 200, "", "0123456789"},
	} {
		req := request(t, "zip:archive.zip!/"+c.entry)
		if c.field != "" {
			req.Headers.Set("Range", c.field)
		}
		if c.condition != "" {
			req.Headers.Set("If-Range", c.condition)
		}
		r := m.Get(t.Context(), req)
		body, err := r.ReadAll()
		if (err == nil) != (c.status < 400) || r.StatusCode() != c.status || r.RawHeader("Content-Range") != c.part || string(body) != c.body ||
			r.ContentLength() != int64(len(c.body)) {
			t.Errorf("%+v: %d %v %q %v", c, r.StatusCode(), r.Headers(), body, err)
		}
	}
}

// TestErrors: the code for each failure.
func TestErrors(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	content := strings.Repeat("content", 1000)
	archive := pack(t, map[string]string{"docs/a": content})
	write(t, "archive.zip", archive)
	write(t, "changed.zip", bytes.Replace(archive, []byte("content"), []byte("CONTENT"), 1))
	write(t, "cut.zip", archive[:len(archive)-10])
	write(t, "text.zip", []byte("no archive"))
	longer := bytes.Clone(archive) // the directory says fewer bytes than the entry has
	size := bytes.LastIndex(longer, []byte("PK\x01\x02")) + 24
	longer[size] -= 1
	write(t, "longer.zip", longer)
	m := manager(t, openFile)
	for _, c := range []struct {
		method, url string
		code        netreply.NetworkError
	}{
		{"GET", "zip:missing.zip!/a", netreply.ContentNotFoundError},
		{"GET", "zip:archive.zip!/missing", netreply.ContentNotFoundError},
		{"GET", "zip:archive.zip!/docs/a/b", netreply.ContentNotFoundError},
		{"GET", "zip:archive.zip!/../archive.zip", netreply.ContentNotFoundError},
		{"GET", "zip:archive.zip!//docs/a", netreply.ContentNotFoundError},
		{"GET", "zip:archive.zip!/docs", netreply.ContentOperationNotPermittedError},
		{"GET", "zip:archive.zip!/docs/", netreply.ContentOperationNotPermittedError},
		{"GET", "zip:archive.zip!/", netreply.ContentOperationNotPermittedError},
		{"GET", "zip:.!/a", netreply.ContentOperationNotPermittedError},
		{"GET", "zip:text.zip!/a", netreply.ProtocolFailure},
		{"GET", "zip:cut.zip!/docs/a", netreply.ProtocolFailure},
		{"GET", "zip:changed.zip!/docs/a", netreply.ProtocolFailure},
		{"GET", "zip:longer.zip!/docs/a", netreply.ProtocolFailure},
		{"POST", "zip:archive.zip!/docs/a", netreply.ProtocolUnknownError},
		{"DELETE", "zip:archive.zip!/docs/a", netreply.ProtocolUnknownError},
		{"GET", "zip:archive.zip", netreply.ProtocolInvalidOperationError},
		{"GET", "zip:!/a", netreply.ProtocolInvalidOperationError},
		{"GET", "zip:archive.zip!/docs/a?x", netreply.ProtocolInvalidOperationError},
		{"GET", "zip://host/archive.zip!/docs/a", netreply.ProtocolInvalidOperationError},
		{"GET", "zip:archive%zz.zip!/docs/a", netreply.ProtocolInvalidOperationError},
	} {
		err := m.Send(t.Context(), c.method, request(t, c.url), nil).Wait(t.Context())
		if !errors.Is(err, c.code) {
			t.Errorf("%s %s: %v, want %v", c.method, c.url, err, c.code)
		}
	}
}

// slowArchive is a file on a medium that stops to answer when the content of an entry is
// read.
type slowArchive struct {
	*os.File
	content int64 // where it begins
	reading chan struct{}
	once    sync.Once
	closed  chan struct{}
}

func (s *slowArchive) ReadAt(p []byte, at int64) (int, error) {
	if at >= s.content && at < s.content+1<<20 {
		s.once.Do(func() { close(s.reading) })
		<-s.closed
		return 0, os.ErrClosed
	}
	return s.File.ReadAt(p, at)
}

func (s *slowArchive) Close() error {
	err := s.File.Close()
	if err == nil {
		close(s.closed)
	}
	return err
}

// TestAbort: the end of a reply ends a read that hangs, also when a range is looked for.
func TestAbort(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "archive.zip", pack(t, map[string]string{"a": strings.Repeat("x", 2<<20)}))
	for _, part := range []string{"", "bytes=1500000-"} {
		slow := &slowArchive{content: 1 << 10, reading: make(chan struct{}), closed: make(chan struct{})}
		m := manager(t, func(name string) (archive, error) {
			f, err := os.Open(name)
			slow.File = f
			return slow, err
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		req := request(t, "zip:archive.zip!/a")
		if part != "" {
			req.Headers.Set("Range", part)
		}
		r := m.Get(ctx, req)
		<-slow.reading
		if part == "" {
			r.Abort()
		} else {
			cancel()
		}
		if err := r.Wait(t.Context()); !errors.Is(err, netreply.OperationCanceledError) {
			t.Errorf("%v", err)
		}
		<-slow.closed
	}
}
