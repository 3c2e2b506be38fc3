package examples

import (
	"archive/zip"
	"errors"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// build builds the program of a directory.
func build(t *testing.T, name string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), name)
	if out, err := exec.Command("go", "build", "-o", bin, "./"+name).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

func run(t *testing.T, cmd *exec.Cmd, want ...string) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, w := range want {
		if !strings.Contains(string(out), w) {
			t.Errorf("%q is missing in:\n%s", w, out)
		}
	}
}

func TestDownloadDemo(t *testing.T) {
	run(t, exec.Command(build(t, "download")), "302: redirected to /1.2", "307: redirected to /file-1.2.iso", "209715200 bytes, status 200",
		"ContentNotFoundError", "404 page not found", "OperationCanceledError", "ErrorOccurred DownloadProgress Finished")
}

// TestPicture: the picture in README shows the output of the download demo, except for port
// and speed.
func TestPicture(t *testing.T) {
	out, err := exec.Command(build(t, "download")).Output()
	if err != nil {
		t.Fatal(err)
	}
	svg, err := os.ReadFile("../docs/download.svg")
	if err != nil {
		t.Fatal(err)
	}
	var shown []string
	for _, m := range regexp.MustCompile(`(?m)<text [^>]*>(.*)</text>$`).FindAllStringSubmatch(string(svg), -1) {
		if !strings.HasPrefix(m[1], "$ ") && !strings.Contains(m[1], "% |") { // the command, and the bar on stderr
			shown = append(shown, html.UnescapeString(m[1]))
		}
	}
	port := regexp.MustCompile(`127\.0\.0\.1:\d+`)
	got := strings.Split(strings.TrimSuffix(port.ReplaceAllString(string(out), "HOST"), "\n"), "\n")
	want := strings.Split(port.ReplaceAllString(strings.Join(shown, "\n"), "HOST"), "\n")
	if !slices.Equal(got, want) {
		t.Errorf("the picture shows\n%s\nand the demo says\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
	}
}

func TestDownload(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/gone" {
			w.WriteHeader(http.StatusGone)
			return
		}
		w.Write([]byte(strings.Repeat(r.URL.Path, 100_000)))
	}))
	defer srv.Close()
	bin, dir := build(t, "download"), t.TempDir()
	cmd := exec.Command(bin, srv.URL+"/a", srv.URL+"/b")
	cmd.Dir = dir
	run(t, cmd)
	for _, name := range []string{"a", "b"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(data) != strings.Repeat("/"+name, 100_000) {
			t.Errorf("%s: %d bytes, %v", name, len(data), err)
		}
	}
	for url, code := range map[string]int{srv.URL + "/gone": 4, "http://no-such-host.invalid/x": 2, "ftp://x/y": 5} {
		cmd := exec.Command(bin, url)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != code {
			t.Errorf("%s: %v, want exit code %d\n%s", url, err, code, out)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.part")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestCustomScheme(t *testing.T) {
	bin, dir := build(t, "customscheme"), t.TempDir()
	run(t, exec.Command(bin), "city.pdf, application/pdf, received 67108864 of 67108864", "206, bytes 3-5/10: sun", "ContentNotFoundError: the archive has no notes/tuesday.html",
		"OperationCanceledError")

	f, err := os.Create(filepath.Join(dir, "some files.zip"))
	if err != nil {
		t.Fatal(err)
	}
	w := zip.NewWriter(f)
	for _, name := range []string{"docs/a", "b%"} {
		e, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(e, strings.Repeat(name, 100_000))
	}
	if err := errors.Join(w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("over HTTP")) }))
	defer srv.Close()
	cmd := exec.Command(bin, "zip:some%20files.zip!/docs/a", "zip:some files.zip!/b%25", srv.URL+"/c")
	cmd.Dir = dir
	run(t, cmd)
	for name, want := range map[string]string{"a": strings.Repeat("docs/a", 100_000), "b%": strings.Repeat("b%", 100_000), "c": "over HTTP"} {
		if data, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(data) != want {
			t.Errorf("%s: %d bytes, %v", name, len(data), err)
		}
	}
	for url, code := range map[string]int{"zip:none.zip!/a": 4, "zip:some%20files.zip!/docs": 4, "zip:c!/b": 5, "zip:c": 5, "tar:x!/y": 5} {
		cmd := exec.Command(bin, url)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != code {
			t.Errorf("%s: %v, want exit code %d\n%s", url, err, code, out)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.part")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestInterrupt(t *testing.T) {
	asked := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write(make([]byte, 100_000))
		w.(http.Flusher).Flush()
		close(asked)
		<-r.Context().Done()
	}))
	defer srv.Close()
	cmd := exec.Command(build(t, "download"), srv.URL+"/x")
	cmd.Dir = t.TempDir()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-asked
	cmd.Process.Signal(os.Interrupt)
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit code %d, want 130", code)
	}
	if left, _ := filepath.Glob(filepath.Join(cmd.Dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestAPIClient(t *testing.T) {
	run(t, exec.Command(build(t, "apiclient")), "read: {ID:1 Text:buy milk}", "/notes/99 does not exist", "/secret is not for us",
		"ServiceUnavailableError, status 503, worth another try: true")
}

func TestUpload(t *testing.T) {
	run(t, exec.Command(build(t, "upload")), "52428800 bytes came back", "received 52428800 of 52428800", "UploadProgress")
}

func TestRedirects(t *testing.T) {
	bin := build(t, "redirects")
	for in, want := range map[string]string{"y\ny\n": "7 bytes from", "y\nn\n": "not followed to", "": "not followed to"} {
		cmd := exec.Command(bin)
		cmd.Stdin = strings.NewReader(in)
		run(t, cmd, want)
	}
}

func TestLogin(t *testing.T) {
	bin, file := build(t, "login"), filepath.Join(t.TempDir(), "cookies")
	for i, c := range []struct {
		in   string
		want []string
	}{
		{"gopher\nburrow\n", []string{`wants a password for "the burrow" (Basic)`, "for the 1. time", "for the 2. time", "cookie session of 127.0.0.1, kept: false"}},
		{"gopher\nwrong\ngopher\nburrow\n", []string{"gopher was refused", "for the 3. time", "for the 4. time", "cookie visits of 127.0.0.1, kept: true"}},
	} {
		cmd := exec.Command(bin, "-cookies", file)
		cmd.Stdin = strings.NewReader(c.in)
		run(t, cmd, c.want...)
		if i == 0 {
			data, err := os.ReadFile(file)
			if err != nil || !strings.Contains(string(data), "visits") || strings.Contains(string(data), "session") {
				t.Errorf("%s %v", data, err)
			}
		}
	}
	cmd := exec.Command(bin)
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "AuthenticationRequiredError") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestSelfSigned(t *testing.T) {
	bin := build(t, "selfsigned")
	cmd := exec.Command(bin)
	cmd.Stdin = strings.NewReader("y\n")
	run(t, cmd, "self-signed, and untrusted (SelfSignedCertificate)", "fingerprint (SHA-256) ", "without a question:\nhello from a server")
	for _, in := range []string{"", "n\n"} {
		cmd := exec.Command(bin)
		cmd.Stdin = strings.NewReader(in)
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "SslHandshakeFailedError") || strings.Contains(string(out), "hello") {
			t.Errorf("%v\n%s", err, out)
		}
	}

	// a known certificate stays trusted for its host
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("kept")) }))
	defer srv.Close()
	file := filepath.Join(t.TempDir(), "known")
	for _, in := range []string{"y\n", ""} {
		cmd := exec.Command(bin, "-known", file, srv.URL)
		cmd.Stdin = strings.NewReader(in)
		run(t, cmd, "kept")
	}
	data, err := os.ReadFile(file)
	if err != nil || strings.Count(string(data), "\n") != 1 || !strings.HasPrefix(string(data), srv.Listener.Addr().String()) {
		t.Errorf("%s %v", data, err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(data), ":", ";", 2)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(bin, "-known", file, srv.URL).CombinedOutput(); err == nil || strings.Contains(string(out), "kept") {
		t.Errorf("another fingerprint was trusted: %s", out)
	}
}

func TestProxy(t *testing.T) {
	bin := build(t, "proxy")
	cmd := exec.Command(bin)
	cmd.Stdin = strings.NewReader("gopher\nwrong\ngopher\nburrow\n")
	run(t, cmd, "gopher was refused.", "hello through a tunnel", "the proxy says: 403 nobody goes there", "UnknownProxyError (proxy)",
		"the proxy says: 503 nobody is there", "ConnectionRefusedError", "not the server's fault")
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(r.Host)) }))
	defer srv.Close()
	run(t, exec.Command(bin, "-proxy", srv.URL, "http://elsewhere.example/"), "elsewhere.example")
	cmd = exec.Command(bin, "http://elsewhere.example/")
	cmd.Env = append(os.Environ(), "HTTP_PROXY="+srv.URL, "REQUEST_METHOD=")
	run(t, cmd, "elsewhere.example")
	if out, err := exec.Command(bin, "-proxy", "ftp://u:secret@x", "http://x/").CombinedOutput(); err == nil || strings.Contains(string(out), "secret") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestCached(t *testing.T) {
	run(t, exec.Command(build(t, "cached")), "a page (from the cache: false) Cache-Status: netreply; fwd=uri-miss; ttl=", "stored\n",
		"a page (from the cache: true) Cache-Status: netreply; fwd=stale; fwd-status=304; ttl=", "gone\na page (from the cache: true) Cache-Status: netreply; hit; ttl=")
}
