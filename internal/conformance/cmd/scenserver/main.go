// scenserver plays one scenario for a client in any language: it prints the
// client part, templates filled in, as one line of JSON, serves until its
// standard input is closed, and then prints the record of what it received.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/netreply/netreply/internal/conformance/pki"
	"github.com/netreply/netreply/internal/conformance/scenario"
	"github.com/netreply/netreply/internal/conformance/server"
)

func main() {
	file := flag.String("scenario", "", "scenario file")
	grace := flag.Duration("grace", 700*time.Millisecond, "time for connections to end after stdin is closed")
	raw := flag.Bool("raw", false, "leave ports and dates in the record as they are")
	flag.Parse()
	if err := serve(*file, *grace, *raw); err != nil {
		fmt.Fprintln(os.Stderr, "scenserver:", err)
		os.Exit(1)
	}
}

func serve(file string, grace time.Duration, raw bool) error {
	s, err := scenario.Load(file)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "oracle-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	p, err := pki.New(dir)
	if err != nil {
		return err
	}
	tmp := filepath.Join(dir, "scratch")
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return err
	}
	srv, err := server.Start(s, p, tmp)
	if err != nil {
		return err
	}
	c, err := srv.Client()
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(map[string]any{"client": c, "ports": srv.Ports(), "tmp": tmp}); err != nil {
		return err
	}
	io.Copy(io.Discard, os.Stdin)
	data, err := scenario.Marshal(srv.Stop(grace))
	if err != nil {
		return err
	}
	text := string(data)
	if !raw {
		text = srv.Normalise(text)
	}
	_, err = io.WriteString(os.Stdout, text)
	return err
}
