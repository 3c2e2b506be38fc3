// Package compare compares a trace with the recorded one, field by field. Each difference
// has a severity.
package compare

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sort"
	"strings"

	"github.com/netreply/netreply/internal/conformance/runner"
	"github.com/netreply/netreply/internal/conformance/scenario"
)

// Severity orders differences: smaller is worse.
type Severity int

const (
	Error   Severity = iota + 1 // error code, finished, crash, hang
	Body                        // body bytes
	Meta                        // headers, attributes, url, cookies, TLS facts, progress
	Signals                     // which signals, in which order, with which arguments
	Wire                        // what the server received
	State                       // isRunning/isFinished/error at a signal, error strings, header order and case
)

func (s Severity) String() string {
	return [...]string{"?", "error", "body", "meta", "signals", "wire", "state"}[s]
}

// Severities by name.
var Severities = map[string]Severity{"error": Error, "body": Body, "meta": Meta, "signals": Signals, "wire": Wire, "state": State}

// Diff is one difference.
type Diff struct {
	Severity  Severity
	Path      string
	Want, Got string
}

func (d Diff) String() string {
	return fmt.Sprintf("%-7s %s: want %s, got %s", d.Severity, d.Path, d.Want, d.Got)
}

// Traces compares got with the recorded trace and all its variants, and
// returns the differences to the nearest one, worst first. Fields the
// recording found unstable are compared (against the variants) only for the
// severities Error, Body and Meta.
func Traces(want, got *scenario.Trace, noise []string) []Diff {
	best := one(want, got, noise)
	for i := range want.Variants {
		if d := one(&want.Variants[i], got, noise); weight(d) < weight(best) {
			best = d
		}
	}
	out := best[:0:0]
	for _, d := range best {
		if d.Severity > Meta && runner.Masked(d.Path, want.Unstable) {
			continue
		}
		out = append(out, d)
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Severity < out[j].Severity })
	return out
}

func weight(ds []Diff) int {
	w := 0
	for _, d := range ds {
		w += [...]int{0, 100000, 20000, 2000, 200, 20, 1}[d.Severity]
	}
	return w
}

type cmp struct {
	noise []string
	out   []Diff
}

func (c *cmp) add(s Severity, path string, want, got any) {
	if runner.Masked(path, c.noise) {
		return
	}
	c.out = append(c.out, Diff{s, path, show(want), show(got)})
}

func show(v any) string {
	if v == nil {
		return "(none)"
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	t := string(data)
	if len(t) > 160 {
		t = t[:160] + "…"
	}
	return t
}

func (c *cmp) eq(s Severity, path string, want, got any) {
	if !reflect.DeepEqual(want, got) {
		c.add(s, path, want, got)
	}
}

func one(want, got *scenario.Trace, noise []string) []Diff {
	c := &cmp{noise: noise}
	c.eq(Error, "/deadline", want.Deadline, got.Deadline)
	c.eq(Error, "/crashed", want.Crashed, got.Crashed)
	if len(want.Replies) != len(got.Replies) {
		c.add(Error, "/replies", fmt.Sprint(len(want.Replies), " replies"), fmt.Sprint(len(got.Replies), " replies"))
	}
	for i := range min(len(want.Replies), len(got.Replies)) {
		c.reply(fmt.Sprintf("/replies/%d", i), &want.Replies[i], &got.Replies[i])
	}
	c.tree(Meta, "/cookies", generic(want.Cookies), generic(got.Cookies))
	c.events(want.Events, got.Events)
	c.server(want.Server, got.Server)
	return c.out
}

func (c *cmp) reply(p string, w, g *scenario.Reply) {
	c.eq(Error, p+"/errorName", w.ErrorName, g.ErrorName)
	c.eq(Error, p+"/finished", w.Finished, g.Finished)
	c.eq(Error, p+"/finishedSignals", w.FinishedSeen, g.FinishedSeen)
	c.eq(State, p+"/errorString", w.ErrorString, g.ErrorString)
	if w.Body != g.Body {
		c.add(Body, p+"/body", w.Body, g.Body)
	}
	c.eq(Meta, p+"/bytesAvailableAtFinished", w.BytesAtEnd, g.BytesAtEnd)
	c.eq(Meta, p+"/url", w.URL, g.URL)
	c.eq(Meta, p+"/operation", w.Operation, g.Operation)
	c.tree(Meta, p+"/attributes", generic(w.Attributes), generic(g.Attributes))
	c.headers(Meta, p+"/rawHeaders", w.RawHeaders, g.RawHeaders)
	c.tree(Meta, p+"/knownHeaders", generic(w.KnownHeaders), generic(g.KnownHeaders))
	c.progress(p+"/downloadProgress", w.Download, g.Download)
	c.progress(p+"/uploadProgress", w.Upload, g.Upload)
	c.tree(Meta, p+"/ssl", generic(w.SSL), generic(g.SSL))
	c.tree(State, p+"/extra", generic(w.Extra), generic(g.Extra))
}

func (c *cmp) progress(p string, w, g *scenario.Progress) {
	if w == nil || g == nil {
		if w != g {
			c.add(Meta, p, generic(w), generic(g))
		}
		return
	}
	c.eq(Meta, p+"/last", w.Last, g.Last)
	c.eq(Meta, p+"/monotonic", w.Monotonic, g.Monotonic)
	c.eq(Meta, p+"/totalFixed", w.TotalFixed, g.TotalFixed)
	c.eq(State, p+"/first", w.First, g.First)
}

// headers compares sets of (lower-case name, value); differences of order and case are
// separate, with the least severity.
func (c *cmp) headers(s Severity, p string, want, got [][2]string) {
	drop := map[string]bool{}
	for i, h := range want {
		if runner.Masked(fmt.Sprintf("%s/%d", p, i), c.noise) {
			drop[strings.ToLower(h[0])] = true
		}
	}
	left := map[string]int{}
	for _, h := range want {
		left[strings.ToLower(h[0])+": "+h[1]]++
	}
	same := true
	var extra []string
	for _, h := range got {
		k := strings.ToLower(h[0]) + ": " + h[1]
		if left[k] > 0 {
			left[k]--
		} else if !drop[strings.ToLower(h[0])] {
			extra = append(extra, k)
		}
	}
	for k, n := range left {
		for range n {
			name, _, _ := strings.Cut(k, ": ")
			if drop[name] {
				continue
			}
			same = false
			found := ""
			for i, e := range extra {
				if strings.HasPrefix(e, name+": ") {
					found = e
					extra = append(extra[:i], extra[i+1:]...)
					break
				}
			}
			if found != "" {
				c.add(s, p+"/"+name, strings.TrimPrefix(k, name+": "), strings.TrimPrefix(found, name+": "))
			} else {
				c.add(s, p+"/"+name, strings.TrimPrefix(k, name+": "), nil)
			}
		}
	}
	for _, e := range extra {
		same = false
		name, v, _ := strings.Cut(e, ": ")
		c.add(s, p+"/"+name, nil, v)
	}
	if same && len(drop) == 0 && !reflect.DeepEqual(want, got) && len(want) > 0 {
		c.add(State, p, want, got)
	}
}

func generic(v any) any {
	data, _ := json.Marshal(v)
	var out any
	json.Unmarshal(data, &out)
	return out
}

func (c *cmp) tree(s Severity, p string, w, g any) {
	wm, ok1 := w.(map[string]any)
	gm, ok2 := g.(map[string]any)
	if (ok1 || w == nil) && (ok2 || g == nil) {
		keys := map[string]bool{}
		for k := range wm {
			keys[k] = true
		}
		for k := range gm {
			keys[k] = true
		}
		var names []string
		for k := range keys {
			names = append(names, k)
		}
		sort.Strings(names)
		for _, k := range names {
			c.eq(s, p+"/"+k, wm[k], gm[k])
		}
		return
	}
	c.eq(s, p, w, g)
}

// events aligns the two lists by (reply, signal) and reports missing and additional events
// and, for pairs, different arguments and states.
func (c *cmp) events(w, g []scenario.Event) {
	if runner.Masked("/events", c.noise) {
		return
	}
	key := func(e scenario.Event) string {
		if which, ok := e.Args["which"].(string); ok {
			return e.Reply + ":" + e.Sig + ":" + which
		}
		return e.Reply + ":" + e.Sig
	}
	n, m := len(w), len(g)
	lcs := make([][]int, n+1)
	for i := range lcs {
		lcs[i] = make([]int, m+1)
	}
	for i := n - 1; i >= 0; i-- {
		for j := m - 1; j >= 0; j-- {
			if key(w[i]) == key(g[j]) {
				lcs[i][j] = lcs[i+1][j+1] + 1
			} else {
				lcs[i][j] = max(lcs[i+1][j], lcs[i][j+1])
			}
		}
	}
	i, j := 0, 0
	for i < n || j < m {
		switch {
		case i < n && j < m && key(w[i]) == key(g[j]):
			p := fmt.Sprintf("/events/%d", i)
			c.eq(Signals, p+"/"+key(w[i])+"/args", generic(w[i].Args), generic(g[j].Args))
			c.eq(State, p+"/"+key(w[i])+"/state", w[i].State, g[j].State)
			i++
			j++
		case j >= m || i < n && lcs[i+1][j] >= lcs[i][j+1]:
			c.add(Signals, fmt.Sprintf("/events/%d/%s", i, key(w[i])), w[i].Args, "missing")
			i++
		default:
			c.add(Signals, fmt.Sprintf("/events/%d/%s", i, key(g[j])), "nothing here", g[j].Args)
			j++
		}
	}
}

func (c *cmp) server(w, g []scenario.ListenerLog) {
	for i := range w {
		p := fmt.Sprintf("/server/%d", i)
		if i >= len(g) {
			c.add(Wire, p, w[i].Listener, nil)
			continue
		}
		wc, wIdle := used(w[i].Connections)
		gc, gIdle := used(g[i].Connections)
		c.eq(State, p+"/idle", wIdle, gIdle)
		if len(wc) != len(gc) {
			c.add(Wire, p+"/connections", fmt.Sprint(len(wc), " connections"), fmt.Sprint(len(gc), " connections"))
		}
		for k := range min(len(wc), len(gc)) {
			q := fmt.Sprintf("%s/connections/%d", p, k)
			c.tree(Wire, q+"/tls", generic(wc[k].TLS), generic(gc[k].TLS))
			c.eq(State, q+"/notes", wc[k].Notes, gc[k].Notes)
			c.eq(State, q+"/end", wc[k].End, gc[k].End)
			if len(wc[k].Requests) != len(gc[k].Requests) {
				c.add(Wire, q+"/requests", lines(wc[k].Requests), lines(gc[k].Requests))
			}
			for r := range min(len(wc[k].Requests), len(gc[k].Requests)) {
				c.request(fmt.Sprintf("%s/requests/%d", q, r), &wc[k].Requests[r], &gc[k].Requests[r])
			}
		}
	}
}

// used splits off the trailing connections on which nothing was sent.
func used(cs []scenario.ConnLog) ([]scenario.ConnLog, int) {
	n := len(cs)
	for n > 0 && len(cs[n-1].Requests) == 0 && len(cs[n-1].Notes) == 1 && cs[n-1].Notes[0] == "unscripted connection" {
		n--
	}
	return cs[:n], len(cs) - n
}

func lines(rs []scenario.ReqLog) []string {
	out := []string{}
	for _, r := range rs {
		out = append(out, r.Method+" "+r.Target)
	}
	return out
}

func (c *cmp) request(p string, w, g *scenario.ReqLog) {
	c.eq(Wire, p+"/line", w.Method+" "+w.Target+" "+w.Proto, g.Method+" "+g.Target+" "+g.Proto)
	c.headers(Wire, p+"/headers", w.Headers, g.Headers)
	c.eq(Wire, p+"/framing", w.Framing, g.Framing)
	c.eq(Wire, p+"/body", []any{w.BodySize, w.BodySHA256, w.Incomplete}, []any{g.BodySize, g.BodySHA256, g.Incomplete})
	c.eq(Wire, p+"/digestValid", w.DigestValid, g.DigestValid)
}
