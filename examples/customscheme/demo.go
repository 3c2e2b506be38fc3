package main

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/netreply/netreply"
)

const mapSize = 64 << 20

// demo shows replies from an archive that it makes.
func demo(ctx context.Context, m *netreply.Manager) error {
	dir, err := os.MkdirTemp("", "netreply-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	archive := filepath.Join(dir, "holiday 50%.zip")
	if err := writeArchive(archive); err != nil {
		return err
	}

	fmt.Println("A file in an archive:")
	reply, err := get(ctx, m, archive, "maps/city.pdf", "")
	if err != nil {
		return err
	}
	defer reply.Close()
	told := make(chan netreply.Progress)
	go func() {
		var last netreply.Progress
		for last = range reply.DownloadProgress() {
		}
		told <- last
	}()
	_, err = io.Copy(io.Discard, reply)
	last := <-told
	if err != nil {
		return err
	}
	fmt.Printf("  %s, %s, received %d of %d\n", reply.FileName(), reply.RawHeader("Content-Type"), last.Done, last.Total)

	fmt.Println("A part of it:")
	if reply, err = get(ctx, m, archive, "notes/monday.html", "bytes=3-5"); err != nil {
		return err
	}
	body, err := reply.ReadAll()
	if err != nil {
		return err
	}
	fmt.Printf("  %d, %s: %s\n", reply.StatusCode(), reply.RawHeader("Content-Range"), body)

	fmt.Println("What is not there:")
	if reply, err = get(ctx, m, archive, "notes/tuesday.html", ""); err != nil {
		return err
	}
	if err := reply.Wait(ctx); !errors.Is(err, netreply.ContentNotFoundError) {
		return fmt.Errorf("expected ContentNotFoundError, got %w", err)
	}
	fmt.Printf("  %v\n", reply.Err())

	fmt.Println("A download that is given up:")
	if reply, err = get(ctx, m, archive, "maps/city.pdf", ""); err != nil {
		return err
	}
	<-reply.ReadyRead()
	reply.Abort()
	if !errors.Is(reply.Err(), netreply.OperationCanceledError) {
		return fmt.Errorf("expected OperationCanceledError, got %w", reply.Err())
	}
	fmt.Printf("  %v\n", reply.Err())
	return nil
}

// get requests an entry of an archive, or the part of it that a Range field names.
func get(ctx context.Context, m *netreply.Manager, archive, entry, part string) (*netreply.Reply, error) {
	req, err := netreply.NewRequest("zip:" + encode(filepath.ToSlash(archive)) + "!/" + encode(entry))
	if err != nil {
		return nil, err
	}
	if part != "" {
		req.Headers.Set("Range", part)
	}
	return m.Get(ctx, req), nil
}

// encode percent-encodes a path, and the exclamation marks that zipBackend splits at.
func encode(path string) string {
	return strings.ReplaceAll((&url.URL{Path: path}).EscapedPath(), "!", "%21")
}

func writeArchive(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	w := zip.NewWriter(f)
	for entry, content := range map[string]io.Reader{
		"maps/city.pdf":     io.LimitReader(zeros{}, mapSize),
		"notes/monday.html": strings.NewReader("<p>sun</p>"),
	} {
		e, err := w.Create(entry)
		if err != nil {
			return err
		}
		if _, err := io.Copy(e, content); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return f.Close()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
