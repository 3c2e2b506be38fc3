// qtrun plays a folder of scenarios with the netreply client and writes its
// traces, to be compared with those of the real Qt:
//
//	qtrun -scenarios DIR -out DIR [-run REGEXP] [-j N]
//
// A scenario with a feature that the library does not have is reported on standard error
// and played without it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sync"

	"github.com/netreply/netreply/internal/conformance/client"
	"github.com/netreply/netreply/internal/conformance/pki"
	"github.com/netreply/netreply/internal/conformance/runner"
	"github.com/netreply/netreply/internal/conformance/scenario"
)

func main() {
	dir := flag.String("scenarios", "scenarios", "folder of scenarios")
	out := flag.String("out", "", "folder for the traces")
	match := flag.String("run", "", "only scenarios whose name matches this regular expression")
	jobs := flag.Int("j", 8, "scenarios at a time")
	flag.Parse()
	if *out == "" || *jobs < 1 {
		fmt.Fprintln(os.Stderr, "qtrun: -out is required, and -j must be at least 1")
		os.Exit(2)
	}
	if err := run(*dir, *out, *match, *jobs); err != nil {
		fmt.Fprintln(os.Stderr, "qtrun:", err)
		os.Exit(1)
	}
}

func run(dir, out, match string, jobs int) error {
	re, err := regexp.Compile(match)
	if err != nil {
		return err
	}
	all, err := scenario.LoadAll(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "qtrun-pki-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	p, err := pki.New(tmp)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	places := make(chan struct{}, jobs)
	for _, s := range all {
		if !re.MatchString(s.Name) {
			continue
		}
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			if err := play(s, p, out); err != nil {
				mu.Lock()
				defer mu.Unlock()
				if failed == nil {
					failed = fmt.Errorf("%s: %w", s.Name, err)
				}
			}
		})
	}
	wg.Wait()
	return failed
}

func play(s *scenario.Scenario, p *pki.PKI, out string) error {
	t, err := runner.Play(context.Background(), s, p, client.Client{})
	if err != nil {
		return err
	}
	data, err := scenario.Marshal(t)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, s.Name+".json"), data, 0o644)
}
