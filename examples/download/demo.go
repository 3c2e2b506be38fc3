package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/examples/internal/download"
	"github.com/netreply/netreply/httpserver"
)

const fileSize = 200 << 20

// demo shows a download, an error and an abort with its own server.
func demo(ctx context.Context, m *netreply.Manager) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv, err := origin()
	if err != nil {
		return err
	}
	go srv.Serve(ln)
	defer srv.Close()
	base := "http://" + ln.Addr().String()

	fmt.Println("A file behind two redirects:")
	if err := watch(ctx, m, base+"/latest"); err != nil {
		return err
	}

	fmt.Println("\nA file that is not there:")
	req, err := netreply.NewRequest(base + "/missing")
	if err != nil {
		return err
	}
	body, err := m.Get(ctx, req).ReadAll()
	if !errors.Is(err, netreply.ContentNotFoundError) {
		return fmt.Errorf("expected ContentNotFoundError, got %w", err)
	}
	fmt.Printf("  %v\n  the server says: %s", err, body)

	fmt.Println("\nA download that is given up:")
	if req, err = netreply.NewRequest(base + "/file-1.2.iso"); err != nil {
		return err
	}
	reply := m.Get(ctx, req)
	<-reply.ReadyRead()
	reply.Abort()
	if !errors.Is(reply.Err(), netreply.OperationCanceledError) {
		return fmt.Errorf("expected OperationCanceledError, got %w", reply.Err())
	}
	fmt.Printf("  %v\n  signals:", reply.Err())
	for e := range reply.Events(ctx) {
		fmt.Printf(" %s", name(e))
	}
	fmt.Println()
	return nil
}

func name(e netreply.Event) string {
	s := fmt.Sprintf("%T", e)
	return s[len("netreply."):]
}

// watch downloads a file, which it does not keep, and shows the important signals.
func watch(ctx context.Context, m *netreply.Manager, url string) error {
	req, err := netreply.NewRequest(url)
	if err != nil {
		return err
	}
	reply := m.Get(ctx, req)
	defer reply.Close()
	var shown sync.WaitGroup
	shown.Go(func() {
		for d := range reply.Redirected() {
			fmt.Printf("  %d: redirected to %s\n", d.StatusCode, d.URL.Path)
		}
	})
	bar := download.NewBar(fileSize, "  file-1.2.iso")
	shown.Go(func() {
		for p := range reply.DownloadProgress() {
			bar.ChangeMax64(max(p.Total, 1))
			bar.Set64(p.Done)
		}
	})
	n, err := io.Copy(io.Discard, reply)
	shown.Wait()
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr)
	fmt.Printf("  %d bytes, status %d, from %s\n", n, reply.StatusCode(), reply.URL().Path)
	return nil
}

// origin is the server of the demo, slow enough to observe.
func origin() (*httpserver.Server, error) {
	srv, err := httpserver.NewServer(httpserver.Config{})
	if err != nil {
		return nil, err
	}
	moved := func(status httpserver.StatusCode, to string) func(*http.Request) *httpserver.Response {
		return func(*http.Request) *httpserver.Response {
			return &httpserver.Response{Status: status, Headers: netreply.NewHeaders("Location", to)}
		}
	}
	srv.Route("GET /latest", moved(httpserver.Found, "/1.2"))
	srv.Route("GET /1.2", moved(httpserver.TemporaryRedirect, "/file-1.2.iso"))
	srv.Handle("GET /file-1.2.iso", func(r *http.Request, w *httpserver.Responder) {
		w.WriteReader(&slow{ctx: r.Context(), left: fileSize}, "application/octet-stream")
	})
	return srv, nil
}

// slow is a slow file. Its Len lets the server send a Content-Length.
type slow struct {
	ctx  context.Context
	left int
	ripe int // bytes that can be read before the next pause
}

func (s *slow) Len() int { return s.left }

func (s *slow) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	if s.ripe == 0 {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-s.ctx.Done():
			return 0, s.ctx.Err()
		}
		s.ripe = min(s.left, fileSize/200)
	}
	n := min(len(p), s.ripe)
	clear(p[:n])
	s.ripe -= n
	s.left -= n
	return n, nil
}
