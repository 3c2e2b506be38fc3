package httpserver_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpserver"
)

// TestUploadCutOnTheWire: clients that go before the end, over every protocol.
func TestUploadCutOnTheWire(t *testing.T) {
	dir := t.TempDir()
	got := make(chan error, 1)
	addr := serve(t, httpserver.HandlerFunc(func(r *http.Request, w *httpserver.Responder) {
		save := func(u *httpserver.Upload) error {
			_, err := u.SaveAs(filepath.Join(dir, "f"))
			return err
		}
		var err error
		if r.Method == "POST" {
			_, err = httpserver.ReadForm(r, httpserver.UploadConfig{}, save)
		} else if u, bodyErr := httpserver.BodyUpload(r, httpserver.UploadConfig{}); assert.NoError(t, bodyErr) {
			err = save(u)
		}
		got <- err
		w.WriteStatus()
	}))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "f"), []byte("the old one"), 0o600))
	form, kind := multipartForm(t, file("f", "1", strings.Repeat("x", 100_000)))
	form = form[:90_000]
	check := func(what string) {
		err := <-got
		assert.ErrorIs(t, err, httpserver.ErrIncomplete, what)
		content, err := os.ReadFile(filepath.Join(dir, "f"))
		assert.NoError(t, err)
		assert.Equal(t, "the old one", string(content), what)
		all, err := os.ReadDir(dir)
		assert.NoError(t, err)
		assert.Len(t, all, 1, what)
	}
	for _, method := range []string{"POST", "PUT"} {
		for _, framing := range []string{"1.0\r\nContent-Length: 100100", "1.1\r\nContent-Length: 100100", "1.1\r\nTransfer-Encoding: chunked"} {
			c, err := net.Dial("tcp", addr)
			require.NoError(t, err)
			head := method + " / HTTP/" + framing + "\r\nHost: x\r\nContent-Type: " + kind + "\r\n\r\n"
			if strings.HasSuffix(framing, "chunked") {
				head += fmt.Sprintf("%x\r\n", len(form)) // and no last chunk
			}
			_, err = io.WriteString(c, head+string(form))
			require.NoError(t, err)
			require.NoError(t, c.Close())
			check(method + " " + framing)
		}
		overBoth(t, func(t *testing.T, client *http.Client) {
			req, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr, io.MultiReader(bytes.NewReader(form), iotest.ErrReader(errors.New("cut"))))
			require.NoError(t, err)
			req.Header.Set("Content-Type", kind)
			_, err = client.Do(req)
			require.Error(t, err)
			check(method)
		})
	}
}

// TestUploadNames: whatever a client calls its file, it is a name in the program's directory.
func TestUploadNames(t *testing.T) {
	for given, want := range map[string]string{
		`plain.txt`: "plain.txt", `../../etc/passwd`: "passwd", `/etc/passwd`: "passwd", `C:\Users\me\cat.png`: "cat.png",
		`..`: "", `.`: "", `.bashrc`: "bashrc", `a/`: "a", `nul.txt`: "_nul.txt", "a\x00b": "a_b", "a:b": "a_b", "gpj.\u202eexe": "gpj._exe",
		strings.Repeat("x", 300) + ".png": strings.Repeat("x", 251) + ".png", "Kätzchen €.png": "Kätzchen €.png",
	} {
		assert.Equal(t, want, httpserver.SafeFileName(given), given)
		escaped := strings.NewReplacer(`\`, `\\`, "\x00", "%00").Replace(given)
		body, kind := multipartForm(t, part{`form-data; name=f; filename="` + escaped + `"`, "", "x"})
		_, err := httpserver.ReadForm(formRequest(kind, bytes.NewReader(body)), httpserver.UploadConfig{}, func(u *httpserver.Upload) error {
			if !strings.Contains(given, "\x00") {
				assert.Equal(t, want, u.Name, given)
			}
			assert.Equal(t, u.Name, httpserver.SafeFileName(u.Name), given)
			return nil
		})
		assert.NoError(t, err, given)
	}
}

// TestUploadProgress: told of all bytes, in order.
func TestUploadProgress(t *testing.T) {
	body, kind := multipartForm(t, file("f", "1", strings.Repeat("x", 100_000)))
	for name, total := range map[string]int64{"sized": int64(len(body)), "chunked": -1} {
		r := formRequest(kind, bytes.NewReader(body))
		r.ContentLength = total
		var last int64
		got := readAllFiles(r, httpserver.UploadConfig{Progress: func(done, of int64) {
			assert.Greater(t, done, last, name)
			assert.Equal(t, total, of, name)
			last = done
		}})
		assert.NoError(t, got.err)
		assert.EqualValues(t, len(body), last, name)
	}
}

// TestBodyUpload: a PUT is a file, its limits, and what is no whole file.
func TestBodyUpload(t *testing.T) {
	put := func(fields ...string) *http.Request {
		r := httptest.NewRequest("PUT", "/", strings.NewReader("0123456789"))
		for i := 0; i < len(fields); i += 2 {
			r.Header.Set(fields[i], fields[i+1])
		}
		return r
	}
	u, err := httpserver.BodyUpload(put("Content-Type", "a/b", "Content-Disposition", `attachment; filename="../x"`), httpserver.UploadConfig{MaxSize: 10})
	require.NoError(t, err)
	assert.Equal(t, []string{"", "x", "a/b"}, []string{u.Field, u.Name, u.ContentType})
	content, err := io.ReadAll(u)
	assert.NoError(t, err)
	assert.Equal(t, "0123456789", string(content))

	for name, c := range map[string]struct {
		r      *http.Request
		config httpserver.UploadConfig
		want   error
		says   string
	}{
		"body":  {put(), httpserver.UploadConfig{MaxSize: 9}, httpserver.ErrTooLarge, "more than 9 bytes"},
		"file":  {put(), httpserver.UploadConfig{MaxSize: -1, MaxFileSize: 9}, httpserver.ErrTooLarge, "more than 9 bytes"},
		"coded": {put("Content-Encoding", "gzip"), httpserver.UploadConfig{}, httpserver.ErrMediaType, "Content-Encoding"},
		"piece": {put("Content-Range", "bytes 0-9/20"), httpserver.UploadConfig{}, httpserver.ErrIncomplete, "Content-Range"},
	} {
		_, err := httpserver.BodyUpload(c.r, c.config)
		assert.ErrorIs(t, err, c.want, name)
		assert.Contains(t, httpserver.ProblemOf(err).Detail, c.says, name)
		c.r.ContentLength = -1
		if c.want == httpserver.ErrTooLarge {
			u, err := httpserver.BodyUpload(c.r, c.config)
			require.NoError(t, err)
			content, err := io.ReadAll(u)
			assert.ErrorIs(t, err, httpserver.ErrTooLarge, name)
			assert.Len(t, content, 9)
			_, err = u.Read(make([]byte, 1))
			assert.ErrorIs(t, err, httpserver.ErrTooLarge, "%s: it stays", name)
		}
	}
}

// TestSaveAs: whole or not at all; SaveNew takes the place of none.
func TestSaveAs(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	upload := func(content string) *httpserver.Upload {
		u, err := httpserver.BodyUpload(httptest.NewRequest("PUT", "/", strings.NewReader(content)), httpserver.UploadConfig{})
		require.NoError(t, err)
		return u
	}
	n, err := upload("first").SaveNew(path)
	assert.NoError(t, err)
	assert.EqualValues(t, 5, n)
	_, err = upload("no").SaveNew(path)
	assert.ErrorIs(t, err, fs.ErrExist)
	n, err = upload("second").SaveAs(path)
	assert.NoError(t, err)
	assert.EqualValues(t, 6, n)
	content, err := os.ReadFile(path)
	assert.NoError(t, err)
	assert.Equal(t, "second", string(content))
	_, err = upload("x").SaveAs(filepath.Join(dir, "none", "f"))
	assert.ErrorIs(t, err, fs.ErrNotExist)
	var input *httpserver.InputError
	assert.NotErrorAs(t, err, &input, "the disk's fault")
	if runtime.GOOS != "windows" {
		st, err := os.Stat(path)
		assert.NoError(t, err)
		assert.EqualValues(t, 0o600, st.Mode().Perm())
	}
}

// TestUploadRefusedInTheMiddle: a client that is still sending gets the answer.
func TestUploadRefusedInTheMiddle(t *testing.T) {
	limits := httpserver.UploadConfig{MaxFileSize: 100_000}
	answer := func(r *http.Request, w *httpserver.Responder) {
		var err error
		if r.Method == "PUT" {
			var u *httpserver.Upload
			if u, err = httpserver.BodyUpload(r, limits); err == nil {
				_, err = io.Copy(io.Discard, u)
			}
		} else {
			err = readAllFiles(r, limits).err
		}
		w.WriteProblem(httpserver.ProblemOf(err))
	}
	srv, err := httpserver.NewServer(httpserver.Config{HTTP2Cleartext: true})
	require.NoError(t, err)
	srv.Handle("/", answer)
	form, kind := multipartForm(t, file("f", "1", strings.Repeat("x", 4<<20)))
	for name, h := range map[string]http.Handler{"Server": srv, "HandlerFunc": httpserver.HandlerFunc(answer)} {
		addr := serve(t, h)
		overBoth(t, func(t *testing.T, client *http.Client) {
			for _, method := range []string{"POST", "PUT"} {
				for framing, body := range map[string]io.Reader{"sized": bytes.NewReader(form), "chunked": struct{ io.Reader }{bytes.NewReader(form)}} {
					status, _, text := ask(t, client, method, "http://"+addr, kind, body)
					assert.Equal(t, 413, status, "%s, %s, %s", name, method, framing)
					assert.Contains(t, text, "too large")
				}
			}
		})
	}
}
