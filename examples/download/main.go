// download fetches URLs into files, several at once, and shows the progress:
//
//	download URL...
//
// Without a URL it starts its own server and shows the signals of replies: for a file after
// two redirects, an error, and an abort.
//
// The exit code is the kind of the first error: 2 the network, 3 a proxy, 4 the content, 5
// the protocol, 6 the server, 130 an interrupt.
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
		fmt.Fprintln(os.Stderr, "download:", err)
	}
	stop()
	os.Exit(download.ExitCode(err))
}

func run(ctx context.Context, urls []string) error {
	m, err := netreply.NewManager(netreply.Config{ReadBufferSize: 1 << 20})
	if err != nil {
		return err
	}
	defer m.Close()
	if len(urls) == 0 {
		return demo(ctx, m)
	}
	return download.All(ctx, m, urls)
}
