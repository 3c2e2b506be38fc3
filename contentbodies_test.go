package netreply_test

import (
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// plain takes the content codings off a body.
func plain(codings string, body io.Reader) ([]byte, error) {
	all := strings.Split(codings, ", ")
	for i := len(all) - 1; i >= 0; i-- {
		switch all[i] {
		case "":
		case "gzip":
			r, err := gzip.NewReader(body)
			if err != nil {
				return nil, err
			}
			body = r
		case "zstd":
			r, err := zstd.NewReader(body, zstd.WithDecoderConcurrency(1))
			if err != nil {
				return nil, err
			}
			defer r.Close()
			body = r
		default:
			return nil, fmt.Errorf("coding %q", all[i])
		}
	}
	return io.ReadAll(body)
}

// describe writes the fields that describe a request's body, and its content.
func describe(w io.Writer, r *http.Request) {
	body, err := plain(r.Header.Get("Content-Encoding"), r.Body)
	if err != nil {
		fmt.Fprint(w, err)
		return
	}
	if len(body) > 100 {
		body = fmt.Appendf(nil, "%d bytes, %x", len(body), md5.Sum(body))
	}
	fmt.Fprintf(w, "%s | %s | %s%s", strings.Join(r.Header["Content-Type"], ";"), strings.Join(r.Header["Content-Encoding"], ";"), r.Header.Get("Mime-Version"), body)
}

func newFile(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, data, 0o600))
	return path
}

// noise returns data that does not compress.
func noise(n int) []byte {
	r := rand.New(rand.NewPCG(3, 4))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// TestContentBodies: bodies that know their type or coding describe themselves, and the
// request's own fields are kept.
func TestContentBodies(t *testing.T) {
	large := bytes.Repeat([]byte("0123456789"), 110_000)
	sum := fmt.Sprintf("%d bytes, %x", len(large), md5.Sum(large))
	note := newFile(t, "note.json", []byte("{}"))
	page := newFile(t, "page", []byte("<!DOCTYPE html><p>a"))
	empty := newFile(t, "empty.json", nil)
	data := newFile(t, "data.png", large)
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%d ", r.ContentLength)
		describe(w, r)
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		form := &netreply.Multipart{Type: netreply.FormDataType, Boundary: "b"}
		form.AddField("a", "1")
		for name, c := range map[string]struct {
			body    netreply.Body
			headers netreply.Headers
			stream  bool
			want    string // the length as *: any that is known
		}{
			"JSON":             {body: netreply.JSONBody(map[string]int{"a": 1}), want: `7 application/json |  | {"a":1}`},
			"JSON of nothing":  {body: netreply.JSONBody(nil), want: `4 application/json |  | null`},
			"JSON, typed":      {body: netreply.JSONBody("x"), headers: netreply.NewHeaders("content-type", "application/ld+json"), want: `3 application/ld+json |  | "x"`},
			"form":             {body: netreply.FormBody(url.Values{"b": {"1", "2"}, "a": {"ä &"}}), want: `20 application/x-www-form-urlencoded |  | a=%C3%A4+%26&b=1&b=2`},
			"form of nothing":  {body: netreply.FormBody(nil), want: `0 application/x-www-form-urlencoded |  | `},
			"file":             {body: netreply.FileBody(note), want: `2 application/json |  | {}`},
			"file by content":  {body: netreply.FileBody(page), want: `19 text/html |  | <!DOCTYPE html><p>a`},
			"empty file":       {body: netreply.FileBody(empty), want: `0 application/json |  | `},
			"large file":       {body: netreply.FileBody(data), want: `1100000 image/png |  | ` + sum},
			"file, limited":    {body: netreply.FileBody(data), headers: netreply.NewHeaders("Content-Length", "3"), want: `3 image/png |  | 012`},
			"gzip":             {body: netreply.CompressedBody(netreply.JSONBody(1), "gzip"), want: `* application/json | gzip | 1`},
			"zstd":             {body: netreply.CompressedBody(netreply.JSONBody(1), "ZSTD"), want: `* application/json | zstd | 1`},
			"gzip of nothing":  {body: netreply.CompressedBody(netreply.BytesBody(nil), "gzip"), want: `*  | gzip | `},
			"zstd of nothing":  {body: netreply.CompressedBody(netreply.StringBody(""), "zstd"), want: `*  | zstd | `},
			"gzip of file":     {body: netreply.CompressedBody(netreply.FileBody(data), "gzip"), want: `-1 image/png | gzip | ` + sum},
			"zstd of bytes":    {body: netreply.CompressedBody(netreply.BytesBody(large), "zstd"), want: `-1  | zstd | ` + sum},
			"gzip of sequence": {body: netreply.CompressedBody(netreply.ReaderBody(io.MultiReader(bytes.NewReader(large))), "gzip"), stream: true, want: `-1  | gzip | ` + sum},
			"zstd of form":     {body: netreply.CompressedBody(form, "zstd"), want: "* multipart/form-data; boundary=\"b\" | zstd | 1.0--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b--\r\n"},
			"both":             {body: netreply.CompressedBody(netreply.CompressedBody(netreply.BytesBody(large), "gzip"), "zstd"), want: `-1  | gzip, zstd | ` + sum},
			"gzip, Content-Length": {body: netreply.CompressedBody(netreply.StringBody("text"), "gzip"), headers: netreply.NewHeaders("Content-Length", "4"),
				want: `*  | gzip | text`},
			"on an encoding": {body: netreply.CompressedBody(netreply.BytesBody(gzipped("text")), "zstd"),
				headers: netreply.NewHeaders("content-encoding", "gzip", "Content-Type", "a/b"), want: `* a/b | gzip, zstd | text`},
			"form, MIME-Version": {body: form, headers: netreply.NewHeaders("MIME-Version", "1.1"),
				want: "59 multipart/form-data; boundary=\"b\" |  | 1.1--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b--\r\n"},
		} {
			req := s.request("/")
			req.Headers = c.headers
			req.DoNotBufferUploadData = c.stream
			body, err := s.m.Post(t.Context(), req, c.body).Text()
			require.NoError(t, err, name)
			if rest, ok := strings.CutPrefix(c.want, "* "); ok {
				assert.Regexp(t, `^[1-9][0-9]* `+regexp.QuoteMeta(rest)+`$`, body, name)
			} else {
				assert.Equal(t, c.want, body, name)
			}
		}
	})
}

func gzipped(text string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, text)
	w.Close()
	return b.Bytes()
}

// repeatable are bodies of each kind that can be sent again.
func repeatable(t testing.TB) map[string]netreply.Body {
	data := noise(200_000)
	file := newFile(t, "data.bin", data)
	form := &netreply.Multipart{}
	form.AddField("a", "1")
	form.AddFilePath("f", file)
	form.AddFile("g", "g", "", netreply.ReaderBody(bytes.NewReader(data)))
	large := bytes.Repeat(data, 6)
	return map[string]netreply.Body{
		"JSON": netreply.JSONBody([]int{1, 2}), "form": netreply.FormBody(url.Values{"a": {"b"}}), "file": netreply.FileBody(file),
		"source": netreply.SourceBody(-1, func() (io.ReadCloser, error) { return os.Open(file) }),
		"gzip":   netreply.CompressedBody(netreply.BytesBody(data), "gzip"), "zstd": netreply.CompressedBody(netreply.BytesBody(large), "zstd"),
		"gzip of reader": netreply.CompressedBody(netreply.ReaderBody(bytes.NewReader(large)), "gzip"),
		"zstd of source": netreply.CompressedBody(netreply.SourceBody(int64(len(data)), func() (io.ReadCloser, error) { return os.Open(file) }), "zstd"),
		"multipart":      form, "gzip of multipart": netreply.CompressedBody(form, "gzip"),
	}
}

// TestContentBodiesSentAgain: after a 307 a body is sent as before, after a 303 neither the
// body nor anything that describes it (rule R13).
func TestContentBodiesSentAgain(t *testing.T) {
	var mu sync.Mutex
	var first string
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		var b bytes.Buffer
		describe(&b, r)
		mu.Lock()
		defer mu.Unlock()
		switch r.URL.Path {
		case "/again":
			first = b.String()
			http.Redirect(w, r, "/end", http.StatusTemporaryRedirect)
		case "/dropped":
			http.Redirect(w, r, "/nothing", http.StatusSeeOther)
		case "/end":
			fmt.Fprint(w, b.String() == first, " ", len(first) > 10)
		case "/nothing":
			fmt.Fprint(w, b.String())
		}
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		for name, body := range repeatable(t) {
			got, err := s.m.Post(t.Context(), s.request("/again"), body).Text()
			require.NoError(t, err, name)
			assert.Equal(t, "true true", got, name)
			got, err = s.m.Post(t.Context(), s.request("/dropped"), body).Text()
			require.NoError(t, err, name)
			assert.Equal(t, " |  | ", got, name)
		}
		req := s.request("/again")
		req.DoNotBufferUploadData = true
		once := netreply.CompressedBody(netreply.ReaderBody(io.MultiReader(strings.NewReader("once"))), "gzip")
		require.ErrorIs(t, s.m.Post(t.Context(), req, once).Wait(deadline(t)), netreply.ContentReSendError)
	})
}

// TestContentBodiesWithDigest: the digest that authentication with auth-int needs is that of
// the bytes that are sent.
func TestContentBodiesWithDigest(t *testing.T) {
	hash := func(s string) string { return fmt.Sprintf("%x", md5.Sum([]byte(s))) }
	parameter := regexp.MustCompile(`(\w+)="?([^",]*)"?`)
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		given := map[string]string{}
		for _, m := range parameter.FindAllStringSubmatch(r.Header.Get("Authorization"), -1) {
			given[m[1]] = m[2]
		}
		want := hash(strings.Join([]string{hash("me:r:secret"), "n", given["nc"], given["cnonce"], "auth-int",
			hash(r.Method + ":" + given["uri"] + ":" + hash(string(body)))}, ":"))
		if given["response"] != want {
			w.Header().Set("WWW-Authenticate", `Digest realm="r", nonce="n", qop="auth-int"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, len(body))
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		for name, body := range repeatable(t) {
			req := s.request("/" + url.PathEscape(name))
			req.URL.User = url.UserPassword("me", "secret")
			got, err := s.m.Post(t.Context(), req, body).Text()
			require.NoError(t, err, name)
			assert.NotEqual(t, "0", got, name)
		}
	})
}

// TestUnusableContentBodies: a body that cannot be made fails the reply before anything is
// sent, with an error that says why.
func TestUnusableContentBodies(t *testing.T) {
	var requests atomic.Int64
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	m := newManager(t, netreply.Config{})
	dir := t.TempDir()
	for name, c := range map[string]struct {
		body  netreply.Body
		cause error
		text  string
	}{
		"JSON of a channel":  {netreply.JSONBody(make(chan int)), nil, "chan int"},
		"JSON that fails":    {netreply.JSONBody(unmarshallable{}), errUnmarshallable, "unmarshallable"},
		"no such file":       {netreply.FileBody(filepath.Join(dir, "none")), fs.ErrNotExist, "none"},
		"no name":            {netreply.FileBody(""), fs.ErrNotExist, "file"},
		"directory":          {netreply.FileBody(dir), nil, "not a regular file"},
		"unknown coding":     {netreply.CompressedBody(netreply.StringBody("a"), "br"), nil, `"br"`},
		"no coding":          {netreply.CompressedBody(netreply.StringBody("a"), ""), nil, "gzip or zstd"},
		"nothing":            {netreply.CompressedBody(nil, "gzip"), nil, "needs a body"},
		"nil form":           {netreply.CompressedBody((*netreply.Multipart)(nil), "gzip"), nil, "*Multipart"},
		"unusable inside":    {netreply.CompressedBody(netreply.FileBody(dir), "gzip"), nil, "not a regular file"},
		"part of a form":     {&netreply.Multipart{Parts: []netreply.Part{{Body: netreply.FileBody(dir)}}}, nil, "not a regular file"},
		"part that is empty": {&netreply.Multipart{Parts: []netreply.Part{{Body: netreply.CompressedBody(nil, "zstd")}}}, nil, "needs a body"},
	} {
		err := m.Post(t.Context(), newRequest(t, s.URL), c.body).Wait(deadline(t))
		require.ErrorIs(t, err, netreply.ProtocolInvalidOperationError, name)
		var field *netreply.FieldError
		require.ErrorAs(t, err, &field, name)
		assert.Contains(t, err.Error(), c.text, name)
		if c.cause != nil {
			assert.ErrorIs(t, err, c.cause, name)
		}
	}
	assert.Zero(t, requests.Load())
}

var errUnmarshallable = errors.New("it refuses")

type unmarshallable struct{}

func (unmarshallable) MarshalJSON() ([]byte, error) { return nil, errUnmarshallable }

// TestJSONBodyIsACopy: the value may change after the call.
func TestJSONBodyIsACopy(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { describe(w, r) }))
	v := map[string]int{"a": 1}
	body := netreply.JSONBody(v)
	v["a"] = 2
	got, err := newManager(t, netreply.Config{}).Post(t.Context(), newRequest(t, s.URL), body).Text()
	require.NoError(t, err)
	assert.Equal(t, `application/json |  | {"a":1}`, got)
}

// TestFileChangesWhileSent: a file that grows or shrinks before all of it was sent fails the
// reply, and the server gets no complete body.
func TestFileChangesWhileSent(t *testing.T) {
	var complete atomic.Int64
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "/", http.StatusTemporaryRedirect)
			return
		}
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			complete.Add(1)
		}
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		for _, size := range []int64{50_000, 150_000} {
			for _, wrap := range []func(netreply.Body) netreply.Body{
				func(b netreply.Body) netreply.Body { return b },
				func(b netreply.Body) netreply.Body { return netreply.CompressedBody(b, "gzip") },
				func(b netreply.Body) netreply.Body { return &netreply.Multipart{Parts: []netreply.Part{{Body: b}}} },
			} {
				file := newFile(t, "f.bin", noise(100_000))
				req := s.request("/")
				req.OnSignal = func(_ *netreply.Reply, e netreply.Event) {
					if _, ok := e.(netreply.SocketStartedConnecting); ok || isSent(e) {
						os.Truncate(file, size)
					}
				}
				s.m.ClearConnectionCache()
				err := s.m.Put(t.Context(), req, wrap(netreply.FileBody(file))).Wait(deadline(t))
				require.ErrorIs(t, err, netreply.UnknownNetworkError)
				assert.Regexp(t, `f\.bin.* had 100000 bytes .* now has (50000|150000)$`, err.Error())
			}
		}
		file := newFile(t, "f.bin", []byte("abc"))
		req := s.request("/moved")
		req.OnSignal = func(_ *netreply.Reply, e netreply.Event) {
			if _, ok := e.(netreply.Redirected); ok {
				os.Truncate(file, 4)
			}
		}
		err := s.m.Put(t.Context(), req, netreply.FileBody(file)).Wait(deadline(t))
		require.ErrorIs(t, err, netreply.UnknownNetworkError)
		assert.Contains(t, err.Error(), "had 3 bytes")
	})
	assert.Zero(t, complete.Load())
}

func isSent(e netreply.Event) bool { _, ok := e.(netreply.RequestSent); return ok }

// TestCompressedProgress: progress counts compressed bytes, and the total is unknown until the
// end if the content was not compressed before.
func TestCompressedProgress(t *testing.T) {
	var received atomic.Int64
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		received.Store(n)
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		for _, coding := range []string{"gzip", "zstd"} {
			var all []netreply.Progress
			req := s.request("/")
			req.EmitAllUploadProgress = true
			req.OnSignal = func(_ *netreply.Reply, e netreply.Event) {
				if p, ok := e.(netreply.UploadProgress); ok {
					all = append(all, p.Progress)
				}
			}
			body := netreply.CompressedBody(netreply.BytesBody(append(noise(1<<20), make([]byte, 1<<20)...)), coding)
			require.NoError(t, s.m.Post(t.Context(), req, body).Wait(deadline(t)))
			require.Greater(t, len(all), 2)
			last := all[len(all)-1]
			assert.Equal(t, netreply.Progress{Done: received.Load(), Total: received.Load()}, last)
			assert.Less(t, last.Done, int64(3<<19))
			for _, p := range all[:len(all)-1] {
				assert.EqualValues(t, -1, p.Total)
			}
		}
	})
}

// blockedSource is a reader whose Read waits for Close.
type blockedSource struct {
	reading, closed chan struct{}
	once            sync.Once
	closes          atomic.Int64
}

func newBlockedSource() *blockedSource {
	return &blockedSource{reading: make(chan struct{}), closed: make(chan struct{})}
}

func (s *blockedSource) Read([]byte) (int, error) {
	s.once.Do(func() { close(s.reading) })
	<-s.closed
	return 0, io.ErrClosedPipe
}

func (s *blockedSource) Close() error {
	if s.closes.Add(1) == 1 {
		close(s.closed)
	}
	return nil
}

// TestAbortClosesInnerSource: an abort closes the source inside a compressed or multipart
// body while it is being read, once.
func TestAbortClosesInnerSource(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }, netreply.Config{}, func(t *testing.T, s *fixture) {
		for name, wrap := range map[string]func(netreply.Body) netreply.Body{
			"gzip": func(b netreply.Body) netreply.Body { return netreply.CompressedBody(b, "gzip") },
			"zstd": func(b netreply.Body) netreply.Body { return netreply.CompressedBody(b, "zstd") },
			"form": func(b netreply.Body) netreply.Body { return &netreply.Multipart{Parts: []netreply.Part{{Body: b}}} },
			"gzip of form": func(b netreply.Body) netreply.Body {
				return netreply.CompressedBody(&netreply.Multipart{Parts: []netreply.Part{{Body: b}}}, "gzip")
			},
		} {
			src := newBlockedSource()
			r := s.m.Post(t.Context(), s.request("/"), wrap(netreply.SourceBody(-1, func() (io.ReadCloser, error) { return src, nil })))
			<-src.reading
			r.Abort()
			require.ErrorIs(t, r.Wait(deadline(t)), netreply.OperationCanceledError)
			<-src.closed
			assert.EqualValues(t, 1, src.closes.Load(), name)
		}
	})
}

// TestContentBodiesForBackends: a Backend gets the fields that describe the body, and so does
// the one that it redirects to, once.
func TestContentBodiesForBackends(t *testing.T) {
	var got []string
	b := netreply.BackendFunc(func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
		body, err := plain(q.Headers.Joined("Content-Encoding"), q.Body)
		if err != nil {
			return err
		}
		got = append(got, fmt.Sprint(q.URL.Path, " ", q.ContentLength > 0, " ", q.Headers.Joined("Content-Type"), " ", q.Headers.Joined("Content-Encoding"), " ", string(body)))
		if q.URL.Path == "/a" {
			return w.Redirect("/b", http.StatusPermanentRedirect)
		}
		return nil
	})
	m := newManager(t, netreply.Config{Backends: map[string]netreply.Backend{"x": b}})
	req := newRequest(t, "x://host/a")
	body := netreply.CompressedBody(netreply.CompressedBody(netreply.JSONBody(1), "gzip"), "zstd")
	require.NoError(t, m.Put(t.Context(), req, body).Wait(deadline(t)))
	assert.Equal(t, []string{"/a true application/json gzip, zstd 1", "/b true application/json gzip, zstd 1"}, got)
}

// slowSeeker is a source whose reads after the first wait, and which notices a Seek during a
// Read.
type slowSeeker struct {
	*bytes.Reader
	release  chan struct{}
	first    atomic.Bool
	reading  atomic.Int32
	overlaps atomic.Int32
	blocked  chan struct{} // closed when a Read waits
	once     sync.Once
}

func (s *slowSeeker) Read(p []byte) (int, error) {
	s.reading.Add(1)
	defer s.reading.Add(-1)
	if !s.first.CompareAndSwap(false, true) {
		s.once.Do(func() { close(s.blocked) })
		<-s.release
	}
	return s.Reader.Read(p)
}

func (s *slowSeeker) Seek(offset int64, whence int) (int64, error) {
	if s.reading.Load() > 0 {
		s.overlaps.Add(1)
	}
	return s.Reader.Seek(offset, whence)
}

// TestSharedSourceIsRewoundAlone: a source inside another body is not rewound while a Read of
// an earlier sending runs.
func TestSharedSourceIsRewoundAlone(t *testing.T) {
	data := noise(300_000)
	var src atomic.Pointer[slowSeeker]
	s, cfg := testserver.NewOrigin(t, testserver.H2, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved" {
			<-src.Load().blocked
			http.Redirect(w, r, "/", http.StatusTemporaryRedirect)
			return
		}
		body, _ := plain(r.Header.Get("Content-Encoding"), r.Body)
		fmt.Fprint(w, bytes.Contains(body, data))
	}))
	m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}})
	for _, wrap := range []func(netreply.Body) netreply.Body{
		func(b netreply.Body) netreply.Body { return netreply.CompressedBody(b, "gzip") },
		func(b netreply.Body) netreply.Body { return &netreply.Multipart{Parts: []netreply.Part{{Body: b}}} },
	} {
		r := &slowSeeker{Reader: bytes.NewReader(data), release: make(chan struct{}), blocked: make(chan struct{})}
		src.Store(r)
		req := newRequest(t, s.URL+"/moved")
		req.OnSignal = func(_ *netreply.Reply, e netreply.Event) {
			if _, ok := e.(netreply.Redirected); ok {
				time.AfterFunc(30*time.Millisecond, func() { close(r.release) })
			}
		}
		got, err := m.Post(t.Context(), req, wrap(netreply.ReaderBody(r))).Text()
		require.NoError(t, err)
		assert.Equal(t, "true", got)
		assert.Zero(t, r.overlaps.Load())
	}
}
