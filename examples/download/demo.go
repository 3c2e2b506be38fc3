package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/netreply/netreply"
)

const fileSize = 200 << 20

// demo shows a download, an error and an abort against a server of its own.
func demo(ctx context.Context, m *netreply.Manager) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: origin()}
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

// watch downloads to a temporary file and shows every signal that matters.
func watch(ctx context.Context, m *netreply.Manager, url string) error {
	req, err := netreply.NewRequest(url)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp("", "netreply-demo-")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	defer file.Close()

	reply := m.Get(ctx, req)
	defer reply.Close()
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		for d := range reply.Redirected() {
			fmt.Printf("  %d: redirected to %s\n", d.StatusCode, d.URL.Path)
		}
	}()
	bar := newBar(fileSize, "  file-1.2.iso")
	told := make(chan struct{})
	go func() {
		defer close(told)
		for p := range reply.DownloadProgress() {
			bar.ChangeMax64(max(p.Total, 1))
			bar.Set64(p.Done)
		}
	}()
	n, err := io.Copy(file, reply)
	if err != nil {
		return err
	}
	if err := reply.Wait(ctx); err != nil {
		return err
	}
	<-told
	<-shown
	fmt.Fprintln(os.Stderr)
	fmt.Printf("  %d bytes, status %d, from %s\n", n, reply.StatusCode(), reply.URL().Path)
	return nil
}

// origin is the demo's server: slow enough to be watched.
func origin() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /latest", http.RedirectHandler("/1.2", http.StatusFound))
	mux.Handle("GET /1.2", http.RedirectHandler("/file-1.2.iso", http.StatusTemporaryRedirect))
	mux.HandleFunc("GET /file-1.2.iso", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(fileSize))
		const pieces = 200
		piece := make([]byte, fileSize/pieces)
		for range pieces {
			if _, err := w.Write(piece); err != nil {
				return
			}
			select {
			case <-time.After(10 * time.Millisecond):
			case <-r.Context().Done():
				return
			}
		}
	})
	return mux
}
