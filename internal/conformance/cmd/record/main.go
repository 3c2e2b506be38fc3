// record plays scenarios against the real Qt (or any program that speaks the
// same protocol) several times and writes traces/NAME.json, with the fields
// that differed between the runs listed as unstable.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"github.com/netreply/netreply/internal/conformance/pki"
	"github.com/netreply/netreply/internal/conformance/runner"
	"github.com/netreply/netreply/internal/conformance/scenario"
)

func main() {
	qt := flag.String("client", "", "program to run: reads the client part on stdin, writes a trace on stdout (qtoracle)")
	dir := flag.String("scenarios", "scenarios", "folder of scenarios")
	out := flag.String("out", "traces", "folder for the traces")
	runs := flag.Int("runs", 4, "how often to run each scenario")
	jobs := flag.Int("j", 3, "scenarios at a time")
	match := flag.String("run", "", "only scenarios whose name matches this regular expression")
	verbose := flag.Bool("v", false, "print every scenario")
	flag.Parse()
	if *qt == "" {
		fmt.Fprintln(os.Stderr, "record: -client is required")
		os.Exit(2)
	}
	if err := run(*qt, *dir, *out, *runs, *jobs, *match, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "record:", err)
		os.Exit(1)
	}
}

func run(qt, dir, out string, runs, jobs int, match string, verbose bool) error {
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
	pkiDir, err := os.MkdirTemp("", "oracle-pki-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(pkiDir)
	p, err := pki.New(pkiDir)
	if err != nil {
		return err
	}
	start := time.Now()
	var mu sync.Mutex
	var done, unstable, late, failed int
	work := make(chan *scenario.Scenario)
	var wg sync.WaitGroup
	for range jobs {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for s := range work {
				t0 := time.Now()
				tr, err := one(s, p, qt, runs)
				if err == nil {
					var data []byte
					if data, err = scenario.Marshal(tr); err == nil {
						err = os.WriteFile(filepath.Join(out, s.Name+".json"), data, 0o644)
					}
				}
				mu.Lock()
				done++
				switch {
				case err != nil:
					failed++
					fmt.Printf("FAIL %s: %v\n", s.Name, err)
				default:
					if len(tr.Unstable) > len(s.Noise) {
						unstable++
						fmt.Printf("unstable %s: %d of %d runs agree, %d other traces: %v\n", s.Name, tr.Count, runs, len(tr.Variants), tr.Unstable)
					}
					if tr.Deadline || tr.Crashed != "" {
						late++
						fmt.Printf("deadline/crash %s: deadline=%v %s\n", s.Name, tr.Deadline, tr.Crashed)
					}
					if verbose {
						fmt.Printf("ok %s (%v)\n", s.Name, time.Since(t0).Round(10*time.Millisecond))
					}
				}
				mu.Unlock()
			}
		}()
	}
	for _, s := range all {
		if re.MatchString(s.Name) {
			work <- s
		}
	}
	close(work)
	wg.Wait()
	fmt.Printf("%d scenarios, %d with unstable fields, %d at the deadline or crashed, %d failed, %v\n",
		done, unstable, late, failed, time.Since(start).Round(time.Second))
	if failed > 0 {
		return fmt.Errorf("%d scenarios failed", failed)
	}
	return nil
}

func one(s *scenario.Scenario, p *pki.PKI, qt string, runs int) (*scenario.Trace, error) {
	var ts []*scenario.Trace
	for range runs {
		t, err := runner.Play(context.Background(), s, p, &runner.Qt{Path: qt})
		if err != nil {
			return nil, err
		}
		ts = append(ts, t)
	}
	return runner.Group(ts), nil
}
