// upload sends a form with a file to its own server, which returns it, and shows the
// progress in both directions.
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"

	"github.com/netreply/netreply"
)

const fileSize = 50 << 20

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "upload:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	srv := httptest.NewServer(http.HandlerFunc(echo))
	defer srv.Close()
	m, err := netreply.NewManager(netreply.Config{ReadBufferSize: 1 << 20})
	if err != nil {
		return err
	}
	defer m.Close()

	file, err := os.CreateTemp("", "netreply-upload-")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if err := file.Truncate(fileSize); err != nil {
		return err
	}

	form := &netreply.Multipart{Type: netreply.FormDataType}
	form.AddField("title", "holiday")
	form.AddFile("video", "holiday.mp4", "video/mp4", netreply.ReaderBody(file))

	req, err := netreply.NewRequest(srv.URL + "/upload")
	if err != nil {
		return err
	}
	reply := m.Post(ctx, req, form)
	defer reply.Close()
	var wg sync.WaitGroup
	wg.Go(func() { show("sent", reply.UploadProgress()) })
	wg.Go(func() { show("received", reply.DownloadProgress()) })
	n, err := io.Copy(io.Discard, reply)
	if err != nil {
		return err
	}
	wg.Wait()
	if err := reply.Wait(ctx); err != nil {
		return err
	}
	fmt.Printf("%d bytes came back, signals:", n)
	for e := range reply.Events(ctx) {
		fmt.Print(" ", strings.TrimPrefix(fmt.Sprintf("%T", e), "netreply."))
	}
	fmt.Println()
	return nil
}

func show(what string, progress <-chan netreply.Progress) {
	for p := range progress {
		fmt.Printf("%s %d of %d\n", what, p.Done, p.Total)
	}
}

// echo returns the file of a form.
func echo(w http.ResponseWriter, r *http.Request) {
	parts, err := r.MultipartReader()
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for {
		part, err := parts.NextPart()
		if err == io.EOF {
			return
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if part.FileName() != "" {
			io.Copy(w, part)
		}
	}
}
