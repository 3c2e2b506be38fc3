package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/netreply/netreply"
)

// demo uploads a file and downloads it again, and shows the events of the server.
func demo(ctx context.Context, base string) error {
	m, err := netreply.NewManager(netreply.Config{})
	if err != nil {
		return err
	}
	defer m.Close()
	request := func(path string) *netreply.Request {
		req, err := netreply.NewRequest(base + path)
		if err != nil {
			panic(err) // the paths are below
		}
		return req
	}

	const size = 32 << 20
	events := m.Get(ctx, request("/events"))
	defer events.Close()
	told := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(events)
		for lines.Scan() {
			if text := lines.Text(); strings.Contains(text, `"kind":"download"`) && strings.Contains(text, `"over":true`) {
				told <- text
				return
			}
		}
		told <- ""
	}()

	up := m.Put(ctx, request("/files/demo.bin"), netreply.ReaderBody(io.NewSectionReader(zeros{}, 0, size)))
	for p := range up.UploadProgress() {
		fmt.Printf("\ruploading %d of %d", p.Done, p.Total)
	}
	if _, err := up.ReadAll(); err != nil {
		return err
	}
	fmt.Printf("\ncreated %s\n", up.RawHeader("Location"))

	down := m.Get(ctx, request("/files/demo.bin"))
	n, err := io.Copy(io.Discard, down)
	if err != nil {
		return err
	}
	fmt.Printf("downloaded %d bytes, %s\n", n, down.RawHeader("Content-Disposition"))
	part := request("/files/demo.bin")
	part.Headers.Set("Range", "bytes=-10")
	body, err := m.Get(ctx, part).ReadAll()
	if err != nil {
		return err
	}
	fmt.Printf("the last %d bytes by themselves\n", len(body))
	fmt.Println("the server says:", <-told)
	return m.Delete(ctx, request("/files/demo.bin")).Wait(ctx)
}

// zeros is a file of zeros.
type zeros struct{}

func (zeros) ReadAt(p []byte, _ int64) (int, error) { clear(p); return len(p), nil }
