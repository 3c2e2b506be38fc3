// compare prints how traces of another client differ from the recorded ones.
//
//	compare -want traces -got othertraces [-level wire] [-waive waivers.json] [-run REGEXP]
//
// The exit status is 1 when a difference is left at or above the level.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"

	"github.com/netreply/netreply/internal/conformance/compare"
	"github.com/netreply/netreply/internal/conformance/scenario"
)

func main() {
	want := flag.String("want", "traces", "recorded traces")
	got := flag.String("got", "", "traces to judge")
	level := flag.String("level", "wire", "least severity to print: error, body, meta, signals, wire, state")
	waive := flag.String("waive", "", "JSON list of {scenario, field, reason} that are accepted")
	match := flag.String("run", "", "only scenarios whose name matches this regular expression")
	brief := flag.Bool("brief", false, "only the worst difference of each scenario")
	flag.Parse()
	n, err := run(*want, *got, *level, *waive, *match, *brief)
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(2)
	}
	if n > 0 {
		os.Exit(1)
	}
}

func run(want, got, level, waive, match string, brief bool) (int, error) {
	lv, ok := compare.Severities[level]
	if !ok {
		return 0, fmt.Errorf("unknown level %q", level)
	}
	re, err := regexp.Compile(match)
	if err != nil {
		return 0, err
	}
	var ws []compare.Waiver
	if waive != "" {
		data, err := os.ReadFile(waive)
		if err != nil {
			return 0, err
		}
		if ws, err = compare.ParseWaivers(data); err != nil {
			return 0, fmt.Errorf("%s: %w", waive, err)
		}
	}
	files, err := filepath.Glob(filepath.Join(want, "*.json"))
	if err != nil {
		return 0, err
	}
	count := map[compare.Severity]int{}
	clean, missing, waived, differing := 0, 0, 0, 0
	sort.Strings(files)
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".json")
		if !re.MatchString(name) {
			continue
		}
		w, err := scenario.LoadTrace(f)
		if err != nil {
			return 0, err
		}
		g, err := scenario.LoadTrace(filepath.Join(got, name+".json"))
		if os.IsNotExist(err) {
			fmt.Printf("%s: no trace\n", name)
			missing++
			continue
		}
		if err != nil {
			return 0, err
		}
		var left []compare.Diff
		for _, d := range compare.Traces(w, g, g.Unstable) {
			switch {
			case d.Severity > lv:
			case compare.Waived(ws, name, d.Path):
				waived++
			default:
				left = append(left, d)
			}
		}
		if len(left) == 0 {
			clean++
			continue
		}
		differing++
		count[left[0].Severity]++
		fmt.Println(name)
		for _, d := range left {
			fmt.Println("  " + d.String())
			if brief {
				break
			}
		}
	}
	fmt.Printf("%d scenarios agree, %d differ, %d missing, %d differences waived; worst of each:", clean, differing, missing, waived)
	for s := compare.Error; s <= lv; s++ {
		fmt.Printf(" %s %d", s, count[s])
	}
	fmt.Println()
	return differing + missing, nil
}
