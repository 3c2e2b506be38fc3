// fileserver is a web page to upload and download the files of a folder. It shows what
// everybody does there, as it happens.
//
// The page is in folder page: no framework, and nothing from elsewhere.
//
//	fileserver [-addr 127.0.0.1:8080] [-dir DIR]
//	fileserver -demo    # starts one, and uses it from a program
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "address to listen on")
	dir := flag.String("dir", "", "folder of the files; a new one by default")
	show := flag.Bool("demo", false, "use the server once, and end")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *addr, *dir, *show); err != nil {
		fmt.Fprintln(os.Stderr, "fileserver:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, addr, dir string, show bool) error {
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "fileserver"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	if show {
		addr = "127.0.0.1:0"
	}
	files, err := openStore(dir)
	if err != nil {
		return err
	}
	defer files.Close()
	transfers, err := newTransfers()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go transfers.beat(ctx)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	srv, err := newServer(files, transfers, l.Addr())
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	fmt.Printf("http://%s, files in %s\n", l.Addr(), dir)
	if show {
		err = demo(ctx, "http://"+l.Addr().String())
	} else {
		select {
		case <-ctx.Done():
		case err := <-served:
			return err
		}
	}
	late, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if downErr := srv.Shutdown(late); downErr != nil {
		srv.Close()
	}
	if served := <-served; !errors.Is(served, http.ErrServerClosed) {
		return served
	}
	return err
}
