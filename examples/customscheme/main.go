// customscheme fetches entries of zip archives into files, with the code of the download
// example, which knows nothing of archives:
//
//	customscheme zip:archive.zip!/path...
//
// The scheme zip is a Backend of this program (zip.go). URLs of http and https work as well.
// Without a URL it makes an archive and shows a reply from it: its progress, a part of an
// entry, an error, and an abort. The exit codes are those of download.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/examples/internal/download"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "customscheme:", err)
	}
	stop()
	os.Exit(download.ExitCode(err))
}

func run(ctx context.Context, urls []string) error {
	m, err := netreply.NewManager(netreply.Config{
		ReadBufferSize: 1 << 20,
		Backends:       map[string]netreply.Backend{"zip": zipBackend{openFile}},
	})
	if err != nil {
		return err
	}
	defer m.Close()
	if len(urls) == 0 {
		return demo(ctx, m)
	}
	return download.All(ctx, m, urls)
}
