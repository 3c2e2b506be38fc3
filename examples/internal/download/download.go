// Package download is what a program does to fetch URLs into files. It knows nothing of their
// schemes.
package download

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/schollz/progressbar/v3"

	"github.com/netreply/netreply"
)

// ExitCode returns the kind of an error by the range of its code.
func ExitCode(err error) int {
	var e *netreply.Error
	switch {
	case err == nil:
		return 0
	case errors.Is(err, netreply.OperationCanceledError):
		return 130
	case !errors.As(err, &e):
		return 1
	case e.Code < 100:
		return 2
	case e.Code < 200:
		return 3
	case e.Code < 300:
		return 4
	case e.Code < 400:
		return 5
	}
	return 6
}

// All downloads all URLs at once, into the current directory, and shows the progress; a
// failure does not stop the others.
func All(ctx context.Context, m *netreply.Manager, urls []string) error {
	bar := NewBar(-1, fmt.Sprintf("%d files", len(urls)))
	var wg sync.WaitGroup
	var mu sync.Mutex
	var total, known int64
	errs := make([]error, len(urls))
	for i, url := range urls {
		wg.Go(func() {
			counted := false
			errs[i] = fetch(ctx, m, url, func(step int64, reply *netreply.Reply) {
				mu.Lock()
				defer mu.Unlock()
				if n := reply.ContentLength(); !counted && n > 0 {
					counted = true
					known++
					total += n
					if known == int64(len(urls)) {
						bar.ChangeMax64(total)
					}
				}
				bar.Add64(step)
			})
		})
	}
	wg.Wait()
	bar.Exit()
	fmt.Fprintln(os.Stderr)
	return errors.Join(errs...)
}

// fetch saves one URL to a file, which exists only if it is complete.
func fetch(ctx context.Context, m *netreply.Manager, url string, moved func(int64, *netreply.Reply)) error {
	req, err := netreply.NewRequest(url)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(".", "download.*.part")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	defer file.Close()

	reply := m.Get(ctx, req)
	defer reply.Close()
	told := make(chan struct{})
	go func() {
		defer close(told)
		var last int64
		for p := range reply.DownloadProgress() {
			moved(p.Done-last, reply)
			last = p.Done
		}
	}()
	if _, err = io.Copy(file, reply); err != nil {
		reply.Abort() // the failure may be that of the file
	}
	<-told
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(file.Name(), reply.FileName())
}

// NewBar makes the display of a progress, on the standard error.
func NewBar(total int64, what string) *progressbar.ProgressBar {
	return progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(os.Stderr),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(true),
		progressbar.OptionShowTotalBytes(true),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionThrottle(0),
		progressbar.OptionSetWidth(30),
		progressbar.OptionSetMaxDetailRow(0),
	)
}
