package examples

import (
	"context"
	"encoding/json"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// newBrowser starts a headless Chromium with a profile of its own, which ends with the test.
func newBrowser(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("no Chromium on this machine (Debian: chromium)")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-quic", true), chromedp.Flag("lang", "en-US"))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// patience is how long a test waits for the page to show something. It is for a test that
// fails: none passes by it.
const patience = 40 * time.Second

// window is a window of the browser with a page.
type window struct {
	t   *testing.T
	ctx context.Context
	mu  sync.Mutex
	bad []string // what the page may never do
}

// openWindow opens a page. Its scripts must not fail, nor break the page's policy.
func openWindow(t *testing.T, browser context.Context, url string, opts ...chromedp.ContextOption) *window {
	t.Helper()
	w := &window{t: t}
	ctx, cancel := chromedp.NewContext(browser, append(opts, chromedp.WithListener(w.listen))...)
	t.Cleanup(func() {
		cancel()
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, what := range w.bad {
			t.Errorf("the page: %s", what)
		}
	})
	w.ctx = ctx
	if err := chromedp.Do(ctx); err != nil { // the window lives as long as the context of this call
		t.Fatal(err)
	}
	w.do(chromedp.EmulateViewport(1000, 800))
	w.do(chromedp.Navigate(url))
	return w
}

func (w *window) listen(ev any) {
	what := ""
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		what = ev.ExceptionDetails.Text
		if e := ev.ExceptionDetails.Exception; e != nil {
			what += ": " + e.Description
		}
	case *log.EventEntryAdded:
		if e := ev.Entry; e.Source != log.EntrySourceNetwork && (e.Level == log.EntryLevelError || e.Level == log.EntryLevelWarning) {
			what = e.Text
		}
	}
	if what != "" {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.bad = append(w.bad, what)
	}
}

func (w *window) do(a chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, a); err != nil {
		w.t.Fatal(err)
	}
}

// lookups find things the way a person does: a button by what it says, what a place shows.
const lookups = `
	const all = (selector, within = document) => [...within.querySelectorAll(selector)].filter(e => e.checkVisibility());
	const label = e => e.getAttribute('aria-label') ?? e.textContent.trim();
	const button = text => all('button, .button').filter(e => !document.querySelector('dialog[open]') || e.closest('dialog')).find(e => label(e) === text);
	const spaced = e => e.textContent.trim().replaceAll('\u00a0', ' ');
	const texts = selector => all(selector).map(spaced);
	const text = selector => texts(selector).join('|');
	const names = () => texts('#files tbody a');
	const upload = name => all('#uploads li').find(e => e.querySelector('.name').textContent === name);
	const state = name => upload(name)?.dataset.state;
	const says = (name, part) => spaced(upload(name).querySelector('.text')).includes(part);
	const alerts = () => texts('[role=alert]').join('|');
	const question = () => document.querySelector('dialog[open] h2')?.textContent;
	const focused = () => { const e = document.activeElement; return e === document.body ? 'body' : e.id === 'choose' ? 'Choose files to upload' : label(e) || e.id; };
`

func in(js string) string { return "(() => {" + lookups + "return (" + js + "); })()" }

// get is the value of an expression in the page.
func get[T any](w *window, js string) T {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](in(js), chromedp.EvalAwaitPromise))
	if err != nil {
		w.t.Fatalf("%s: %v", js, err)
	}
	return v
}

// wait waits until something holds in the page. An exception means that it does not.
func (w *window) wait(js string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	_, err := chromedp.Run(ctx, chromedp.Poll[chromedp.Void]("(() => { try { return Boolean("+in(js)+"); } catch { return false; } })()", chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(0)))
	if err != nil {
		shown, _ := chromedp.Run(w.ctx, chromedp.Evaluate[string](`document.body.innerText`))
		w.t.Fatalf("not so: %s (%v). The page shows:\n%s", js, err, shown)
	}
}

// click clicks on a button with the mouse, found by its label.
func (w *window) click(label string) {
	w.t.Helper()
	w.wait("button(" + quote(label) + ")")
	w.do(chromedp.Click(chromedp.JSPath(in("button(" + quote(label) + ")"))))
}

func (w *window) press(keys ...string) {
	w.t.Helper()
	for _, k := range keys {
		w.do(chromedp.KeyEvent(k))
	}
}

// choose chooses files of this machine to upload.
func (w *window) choose(files ...string) {
	w.t.Helper()
	w.do(chromedp.SetUploadFiles("#choose", files))
}

func quote(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.Encode(s)
	return strings.TrimSpace(b.String())
}
