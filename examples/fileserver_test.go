package examples

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// startFileserver runs the program until the end of the test, and returns its URL.
func startFileserver(t *testing.T, dir string) string {
	t.Helper()
	cmd := exec.Command(build(t, "fileserver"), "-addr", "127.0.0.1:0", "-dir", dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			t.Errorf("it does not end well: %v", err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url, _, _ := strings.Cut(line, ",")
	return url
}

func TestFileserverDemo(t *testing.T) {
	run(t, exec.Command(build(t, "fileserver"), "-demo"), "created /files/demo.bin", "downloaded 33554432 bytes", "the last 10 bytes", `"kind":"download"`)
}

// TestFileserverNames: no name is a path outside of the directory.
func TestFileserverNames(t *testing.T) {
	dir := t.TempDir()
	inner := filepath.Join(dir, "files")
	if err := os.Mkdir(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(dir, "secret"), []byte("secret"), 0o600)
	base := startFileserver(t, inner)
	defer http.DefaultClient.CloseIdleConnections()
	for _, name := range []string{"..%2Fsecret", "%2e%2e%2fsecret", ".hidden", "a%2Fb", "a%5Cb", "c%3Ax", "%00"} {
		for _, method := range []string{"GET", "PUT", "DELETE"} {
			req, err := http.NewRequest(method, base+"/files/"+name, strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode < 400 || strings.Contains(string(body), "secret") {
				t.Errorf("%s %s: %s %s", method, name, resp.Status, body)
			}
		}
	}
	if left, _ := os.ReadDir(inner); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestFileserverKeeps: an existing file is not replaced if the request says so, nor by an
// incomplete upload, and failures are shown to all users.
func TestFileserverKeeps(t *testing.T) {
	base := startFileserver(t, t.TempDir())
	defer http.DefaultClient.CloseIdleConnections()
	do := func(method, body string, fields ...string) (int, string) {
		t.Helper()
		req, err := http.NewRequest(method, base+"/files/f", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(fields); i += 2 {
			req.Header.Set(fields[i], fields[i+1])
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(got)
	}
	for _, c := range []struct {
		body   string
		fields []string
		status int
		kept   string
	}{
		{"one", []string{"If-None-Match", "*"}, http.StatusCreated, "one"},
		{"two", []string{"If-None-Match", "*"}, http.StatusPreconditionFailed, "one"},
		{"three", nil, http.StatusNoContent, "three"},
	} {
		if status, text := do("PUT", c.body, c.fields...); status != c.status {
			t.Errorf("PUT %s: %d %s", c.body, status, text)
		}
		if _, kept := do("GET", ""); kept != c.kept {
			t.Errorf("after %s the file is %q", c.body, kept)
		}
	}

	half, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(half, "PUT /files/f HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
	half.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", base+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	events, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer events.Body.Close()
	told := false
	for lines := bufio.NewScanner(events.Body); !told && lines.Scan(); {
		told = strings.Contains(lines.Text(), `"fault":"the file is incomplete"`)
	}
	if !told {
		t.Error("nobody hears of half a file")
	}
	if _, kept := do("GET", ""); kept != "three" {
		t.Errorf("after half a file the file is %q", kept)
	}
}

// TestFileserverPage is the page in a real browser: a file is uploaded with its progress
// shown, all users see the transfer, the file can be downloaded and deleted.
func TestFileserverPage(t *testing.T) {
	chromium := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			chromium = path
			break
		}
	}
	if chromium == "" {
		t.Skip("no Chromium on this machine (Debian: chromium)")
	}
	dir := t.TempDir()
	base := startFileserver(t, dir)
	name := `a <b>"odd" & name ä.bin`
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, make([]byte, 24<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.DisableGPU)
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), opts...)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()

	do(t, ctx, chromedp.Navigate(base))
	title := do(t, ctx, chromedp.Title())
	do(t, ctx, chromedp.WaitVisible("#list .empty"))
	do(t, ctx, chromedp.SetUploadFiles("#files", []string{file}))
	do(t, ctx, chromedp.Poll[bool](`document.querySelector('#reports li')?.textContent.endsWith('is there.')`))
	status := do(t, ctx, chromedp.Text("#reports li"))
	bar := do(t, ctx, chromedp.Evaluate[bool](`document.querySelector('#bar').hidden`))
	seen := do(t, ctx, chromedp.Evaluate[int](`Number(document.querySelector('#bar').dataset.seen)`))
	do(t, ctx, chromedp.WaitVisible("#list a"))
	listed := do(t, ctx, chromedp.Text("#list a"))
	do(t, ctx, chromedp.Poll[bool](`document.querySelector('#transfers .kind')?.textContent === 'upload, over'`))
	shown := do(t, ctx, chromedp.Text("#transfers .name"))
	fetched := do(t, ctx, chromedp.Evaluate[string](
		`fetch(document.querySelector('#list a').href, {headers: {Range: 'bytes=0-4'}}).then(r => r.text().then(b => r.status + ' ' + b.length))`,
		chromedp.EvalAwaitPromise))
	// the same file again: nothing is replaced unasked
	do(t, ctx, chromedp.SetUploadFiles("#files", []string{file}))
	do(t, ctx, chromedp.WaitVisible("#reports button"))
	do(t, ctx, chromedp.Click("#reports button"))
	do(t, ctx, chromedp.Poll[bool](`document.querySelectorAll('#reports li').length === 2 && !document.querySelector('#reports .wrong')`))
	do(t, ctx, chromedp.Click("#list button"))
	asked := do(t, ctx, chromedp.Text("#list button"))
	do(t, ctx, chromedp.Click("#list button"))
	do(t, ctx, chromedp.WaitVisible("#list .empty"))
	if title != "Files" || listed != name || shown != name || !strings.HasPrefix(status, name) || seen == 0 || !bar || fetched != "206 5" || asked != "Delete it?" {
		t.Errorf("title %q, listed %q, shown %q, status %q, progress seen %d times, its bar hidden %v, fetched %q, asked %q", title, listed, shown, status, seen, bar, fetched, asked)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// do is one step in the browser.
func do[T any](t *testing.T, ctx context.Context, a chromedp.Action[T]) T {
	t.Helper()
	v, err := chromedp.Run(ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
