// Package runner plays a scenario with any client and assembles the trace.
package runner

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/netreply/netreply/internal/conformance/pki"
	"github.com/netreply/netreply/internal/conformance/scenario"
	"github.com/netreply/netreply/internal/conformance/server"
)

// Client runs the client part of a scenario (templates already filled in, see
// scenario.Client) and yields what it observed: Events, Replies, Deadline,
// Cookies and Noise of the trace. The runner adds the rest. It must return
// within c.DeadlineMs and report the replies it has when that time is over.
type Client interface {
	Name() string
	Run(ctx context.Context, c *scenario.Client) (*scenario.Trace, error)
}

// Play runs one scenario once.
func Play(ctx context.Context, s *scenario.Scenario, p *pki.PKI, cl Client) (*scenario.Trace, error) {
	tmp, err := os.MkdirTemp("", "oracle-run-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	srv, err := server.Start(s, p, tmp)
	if err != nil {
		return nil, err
	}
	c, err := srv.Client()
	if err != nil {
		srv.Stop(0)
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(c.DeadlineMs)*time.Millisecond+5*time.Second)
	defer cancel()
	t, err := cl.Run(ctx, c)
	log := srv.Stop(700 * time.Millisecond)
	if err != nil {
		return nil, err
	}
	t.Scenario = s.Name
	t.Client = cl.Name()
	t.Server = log
	data, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	// JSON escapes < > & in strings: undo it before texts are compared
	var out scenario.Trace
	if err := json.Unmarshal([]byte(normaliseDigest(srv.Normalise(string(data)))), &out); err != nil {
		return nil, fmt.Errorf("normalised trace: %w", err)
	}
	dropEarlyProgress(&out)
	for path := range s.Noise {
		out.Unstable = append(out.Unstable, path)
	}
	sort.Strings(out.Unstable)
	return &out, nil
}

// dropEarlyProgress removes a first downloadProgress that says the same as the
// last one: whether a client emits it twice depends on its throttle timer.
func dropEarlyProgress(t *scenario.Trace) {
	twice := map[string]bool{}
	for i := range t.Replies {
		if p := t.Replies[i].Download; p != nil && p.First == p.Last {
			twice[t.Replies[i].ID] = true
		}
	}
	kept := t.Events[:0]
	for _, e := range t.Events {
		if e.Sig == "downloadProgress" && twice[e.Reply] {
			if e.Args["which"] == "first" {
				continue
			}
			e.Args["which"] = "only"
		}
		kept = append(kept, e)
	}
	t.Events = kept
}

var digestRe = regexp.MustCompile(`(cnonce|response)=\\"[0-9a-f]+\\"`)

func normaliseDigest(text string) string {
	return digestRe.ReplaceAllString(text, `$1=\"{$1}\"`)
}

// Qt is the client that runs the qtoracle program.
type Qt struct {
	Path string
	name string
}

func (q *Qt) Name() string {
	if q.name == "" {
		return "qt"
	}
	return q.name
}

func (q *Qt) Run(ctx context.Context, c *scenario.Client) (*scenario.Trace, error) {
	in, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	// a separate empty directory: Qt writes "PUT data:,x" to a file there
	dir, err := os.MkdirTemp("", "oracle-cwd-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path, err := filepath.Abs(q.Path)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, path)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "http_proxy=", "https_proxy=", "all_proxy=", "no_proxy=")
	cmd.Stdin = bytes.NewReader(in)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	runErr := cmd.Run()
	var t scenario.Trace
	if err := json.Unmarshal(out.Bytes(), &t); err != nil {
		var ee *exec.ExitError
		if errors.As(runErr, &ee) {
			return &scenario.Trace{Crashed: ee.String(), Events: []scenario.Event{}, Replies: []scenario.Reply{}}, nil
		}
		return nil, fmt.Errorf("qtoracle: %v: %v: %s", runErr, err, errs.Bytes())
	}
	if runErr != nil {
		t.Crashed = "after the run: " + runErr.Error()
	}
	q.name = t.Client
	return &t, nil
}

// Unstable lists the JSON pointers at which two traces differ, leaving out
// noise, log and unstable itself.
func Unstable(a, b *scenario.Trace) []string {
	var out []string
	diff("", tree(a), tree(b), &out)
	return out
}

func tree(t *scenario.Trace) any {
	c := *t
	c.Noise, c.Log, c.Unstable, c.Count, c.Variants = nil, nil, nil, 0, nil
	data, _ := json.Marshal(&c)
	var v any
	json.Unmarshal(data, &v)
	return v
}

func diff(path string, a, b any, out *[]string) {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok {
			break
		}
		keys := map[string]bool{}
		for k := range x {
			keys[k] = true
		}
		for k := range y {
			keys[k] = true
		}
		for k := range keys {
			diff(path+"/"+k, x[k], y[k], out)
		}
		return
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			break
		}
		for i := range x {
			diff(path+"/"+strconv.Itoa(i), x[i], y[i], out)
		}
		return
	}
	if !reflect.DeepEqual(a, b) {
		*out = append(*out, path)
	}
}

// Masked reports whether a JSON pointer is one of the patterns or below one (* stands for
// one element).
func Masked(path string, patterns []string) bool {
	have := strings.Split(path, "/")
next:
	for _, p := range patterns {
		want := strings.Split(p, "/")
		if len(want) > len(have) {
			continue
		}
		for i, w := range want {
			if w != "*" && w != have[i] {
				continue next
			}
		}
		return true
	}
	return false
}

// Group makes one trace of several runs: the most frequent one, with the
// others as Variants and the differing fields as Unstable. Differences in
// declared noise do not make a variant.
func Group(runs []*scenario.Trace) *scenario.Trace {
	var groups []*scenario.Trace
	noise := append([]string{}, runs[0].Unstable...)
next:
	for _, t := range runs {
		for _, g := range groups {
			same := true
			for _, d := range Unstable(g, t) {
				same = same && Masked(d, noise)
			}
			if same {
				g.Count++
				continue next
			}
		}
		t.Count = 1
		groups = append(groups, t)
	}
	sort.SliceStable(groups, func(i, j int) bool { return groups[i].Count > groups[j].Count })
	first := groups[0]
	set := map[string]bool{}
	for _, p := range noise {
		set[p] = true
	}
	for _, g := range groups[1:] {
		for _, d := range Unstable(first, g) {
			if !Masked(d, noise) {
				set[d] = true
			}
		}
		v := *g
		v.Unstable, v.Noise, v.Log = nil, nil, nil
		first.Variants = append(first.Variants, v)
	}
	first.Unstable = nil
	for p := range set {
		first.Unstable = append(first.Unstable, p)
	}
	sort.Strings(first.Unstable)
	return first
}
