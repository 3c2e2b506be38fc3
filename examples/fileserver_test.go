package examples

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"mime"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// startFileserver runs the program until the end of the test, and returns its URL.
func startFileserver(t *testing.T, bin, dir string) string {
	t.Helper()
	cmd := exec.Command(bin, "-addr", "127.0.0.1:0", "-dir", dir)
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

// TestFileserver is what the server answers; what a person sees of it is in TestFileserverPage.
func TestFileserver(t *testing.T) {
	bin := build(t, "fileserver")
	for _, c := range []struct {
		name string
		test func(*testing.T, string)
	}{
		{"Demo", fileserverDemo}, {"Names", fileserverNames}, {"Keeps", fileserverKeeps}, {"Versions", fileserverVersions}, {"Origin", fileserverOrigin},
		{"Download", fileserverDownload},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, bin) })
	}
}

func fileserverDemo(t *testing.T, bin string) {
	run(t, exec.Command(bin, "-demo"), "created /files/demo.bin", "downloaded 33554432 bytes", "the last 10 bytes", `"kind":"download"`)
}

// fileserverNames: no name is a path outside of the directory.
func fileserverNames(t *testing.T, bin string) {
	dir := t.TempDir()
	inner := filepath.Join(dir, "files")
	if err := os.Mkdir(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(dir, "secret"), []byte("secret"), 0o600)
	base := startFileserver(t, bin, inner)
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

// fileserverKeeps: an existing file is not replaced if the request says so, nor by an
// incomplete upload, and failures are shown to all users.
func fileserverKeeps(t *testing.T, bin string) {
	base := startFileserver(t, bin, t.TempDir())
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
	io.WriteString(half, "PUT /files/f HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf")
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
		told = strings.Contains(lines.Text(), `"fault":"It was broken off."`)
	}
	if !told {
		t.Error("nobody hears of half a file")
	}
	if _, kept := do("GET", ""); kept != "three" {
		t.Errorf("after half a file the file is %q", kept)
	}
}

// answer is what the fileserver answers to a request with these fields; Host is one of them.
func answer(t *testing.T, method, url, body string, fields ...string) (resp *http.Response, content string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		if fields[i] == "Host" {
			req.Host = fields[i+1]
		}
		req.Header.Set(fields[i], fields[i+1])
	}
	resp, err = http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(data)
}

// fileserverVersions: If-Match changes the version that it names, and no other.
func fileserverVersions(t *testing.T, bin string) {
	base := startFileserver(t, bin, t.TempDir())
	defer http.DefaultClient.CloseIdleConnections()
	url := base + "/files/f"
	answer(t, "PUT", url, "one")
	one, _ := answer(t, "GET", url, "")
	tag := one.Header.Get("ETag")
	const noFile = `{"detail":"There is no such file.","status":404,"title":"Not Found"}`
	for _, c := range []struct {
		method, tag string
		status      int
		kept        string
	}{
		{"PUT", `"other"`, http.StatusPreconditionFailed, "one"},
		{"DELETE", `"other"`, http.StatusPreconditionFailed, "one"},
		{"PUT", tag, http.StatusNoContent, "two"},
		{"PUT", tag, http.StatusPreconditionFailed, "two"},
		{"DELETE", tag, http.StatusPreconditionFailed, "two"},
		{"DELETE", "*", http.StatusNoContent, noFile},
		{"DELETE", "*", http.StatusPreconditionFailed, noFile},
		{"PUT", tag, http.StatusPreconditionFailed, noFile},
		{"DELETE", "", http.StatusNotFound, noFile},
	} {
		var fields []string
		if c.tag != "" {
			fields = []string{"If-Match", c.tag}
		}
		if resp, text := answer(t, c.method, url, "two", fields...); resp.StatusCode != c.status {
			t.Errorf("%s %s: %s %s", c.method, c.tag, resp.Status, text)
		}
		if _, kept := answer(t, "GET", url, ""); kept != c.kept {
			t.Errorf("after %s %s there is %q", c.method, c.tag, kept)
		}
	}
}

// fileserverOrigin: a page of another site changes nothing, and reads nothing by giving
// its own name to this machine.
func fileserverOrigin(t *testing.T, bin string) {
	dir := t.TempDir()
	base := startFileserver(t, bin, dir)
	defer http.DefaultClient.CloseIdleConnections()
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method string
		fields []string
		status int
	}{
		{"PUT", []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		{"PUT", []string{"Sec-Fetch-Site", "same-site"}, http.StatusForbidden},
		{"DELETE", []string{"Origin", "http://other.example"}, http.StatusForbidden},
		{"GET", []string{"Host", "other.example"}, http.StatusMisdirectedRequest},
		{"DELETE", []string{"Host", "other.example"}, http.StatusMisdirectedRequest},
		{"GET", []string{"Host", "localhost:80", "Sec-Fetch-Site", "cross-site"}, http.StatusOK}, // a link
		{"PUT", []string{"Sec-Fetch-Site", "same-origin"}, http.StatusNoContent},
	} {
		if resp, text := answer(t, c.method, base+"/files/f", "kept", c.fields...); resp.StatusCode != c.status || strings.Contains(text, "kept") != (c.status == http.StatusOK) {
			t.Errorf("%s %v: %s %s", c.method, c.fields, resp.Status, text)
		}
		if data, err := os.ReadFile(filepath.Join(dir, "f")); string(data) != "kept" {
			t.Fatalf("after %s %v the file is %q, %v", c.method, c.fields, data, err)
		}
	}
	page, _ := answer(t, "GET", base+"/", "")
	if policy := page.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("the page's policy is %q", policy)
	}
}

// fileserverDownload: ranges, versions and names are right, and what is no file of the
// folder is not served: links, folders, unfinished uploads of a server that was killed.
func fileserverDownload(t *testing.T, bin string) {
	dir := t.TempDir()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := errors.Join(os.WriteFile(secret, []byte("secret"), 0o600), os.Symlink(secret, filepath.Join(dir, "link")), os.Mkdir(filepath.Join(dir, "folder"), 0o755),
		os.WriteFile(filepath.Join(dir, ".fileserver-upload-LEFT"), []byte("half"), 0o600), os.WriteFile(filepath.Join(dir, `ü "1".txt`), []byte("0123456789"), 0o600)); err != nil {
		t.Fatal(err)
	}
	base := startFileserver(t, bin, dir)
	defer http.DefaultClient.CloseIdleConnections()
	if _, err := os.Stat(filepath.Join(dir, ".fileserver-upload-LEFT")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an unfinished upload is left: %v", err)
	}
	for _, name := range []string{"link", "folder", "other"} {
		for _, method := range []string{"GET", "DELETE"} {
			if resp, text := answer(t, method, base+"/files/"+name, ""); resp.StatusCode < 400 || text == "secret" {
				t.Errorf("%s %s: %s %q", method, name, resp.Status, text)
			}
		}
	}
	if _, list := answer(t, "GET", base+"/files", ""); strings.Count(list, `"name"`) != 1 {
		t.Errorf("the list is %s", list)
	}
	file := base + "/files/%C3%BC%20%221%22.txt"
	whole, text := answer(t, "GET", file, "")
	_, params, err := mime.ParseMediaType(whole.Header.Get("Content-Disposition"))
	if text != "0123456789" || err != nil || params["filename"] != `ü "1".txt` {
		t.Errorf("%q, saved as %q, %v", text, params["filename"], err)
	}
	for _, c := range []struct {
		fields []string
		status int
		text   string
	}{
		{[]string{"Range", "bytes=2-4"}, http.StatusPartialContent, "234"},
		{[]string{"Range", "bytes=-3", "If-Range", whole.Header.Get("ETag")}, http.StatusPartialContent, "789"},
		{[]string{"Range", "bytes=-3", "If-Range", `"other"`}, http.StatusOK, "0123456789"},
		{[]string{"If-None-Match", whole.Header.Get("ETag")}, http.StatusNotModified, ""},
	} {
		if resp, text := answer(t, "GET", file, "", c.fields...); resp.StatusCode != c.status || text != c.text {
			t.Errorf("%v: %s %q", c.fields, resp.Status, text)
		}
	}
}
