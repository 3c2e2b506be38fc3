package docs_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/cookies"
	"github.com/netreply/netreply/hsts"
	"github.com/netreply/netreply/httpcache"
	"github.com/netreply/netreply/httpserver"
	"github.com/netreply/netreply/internal/testserver"
)

func download(ctx context.Context, m *netreply.Manager, address string, file io.Writer, show func(done, total int64)) error {
	req, err := netreply.NewRequest(address)
	if err != nil {
		return err
	}
	reply := m.Get(ctx, req) // returns at once, and is never nil
	defer reply.Close()
	go func() {
		for p := range reply.DownloadProgress() { // closed after the last one
			show(p.Done, p.Total)
		}
	}()
	_, err = io.Copy(file, reply) // fails for a broken transfer, and for a 404
	return err
}

func TestDownload(t *testing.T) {
	m, s := side(t)
	var file bytes.Buffer
	last := make(lastProgress, 1)
	err := download(t.Context(), m, s.URL+"/file", &file, last.Set)
	require.NoError(t, err)
	assert.Equal(t, size, file.Len())
	assert.EqualValues(t, size, <-last)
	assert.ErrorIs(t, download(t.Context(), m, s.URL+"/none", &file, func(int64, int64) {}), netreply.ContentNotFoundError)
}

func goOn(ctx context.Context, m *netreply.Manager, address string, file *os.File, tag string) (newTag string, err error) {
	have, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return tag, err
	}
	req, err := netreply.NewRequest(address)
	if err != nil {
		return tag, err
	}
	req.Headers.Set("Accept-Encoding", "identity") // ranges count the bytes that are sent
	if have > 0 && strings.HasPrefix(tag, `"`) {   // not W/"…", which says "much the same"
		req.Headers.Set("Range", fmt.Sprintf("bytes=%d-", have))
		req.Headers.Set("If-Range", tag) // the whole file, if it is another one now
	}
	reply := m.Get(ctx, req)
	defer reply.Close()
	if err := reply.WaitHead(ctx); err != nil {
		return tag, err
	}
	switch reply.StatusCode() {
	case http.StatusPartialContent:
	case http.StatusOK: // the whole file
		tag, _ = netreply.ETagHeader.Get(reply.Headers())
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return tag, err
		}
		if err := file.Truncate(0); err != nil {
			return tag, err
		}
	default: // not something for the file
		_, err := reply.ReadAll()
		return tag, err
	}
	_, err = io.Copy(file, reply)
	return tag, err
}

// TestGoOn: from where it broke, from the start for another file, and an error page is not part
// of it.
func TestGoOn(t *testing.T) {
	content := strings.Repeat(line, size/len(line))
	var wanted atomic.Value
	m, err := netreply.NewManager(netreply.Config{ReadBufferSize: 64 << 10})
	require.NoError(t, err)
	defer m.Close()
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wanted.Store(r.Header.Get("Range"))
		w.Header().Set("ETag", strconv.Quote(r.URL.Query().Get("tag")))
		if r.URL.Path == "/whole" {
			http.ServeContent(w, r, "file", time.Time{}, strings.NewReader(content))
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		io.WriteString(w, content[:size/2])
	}))
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	require.NoError(t, err)
	defer file.Close()
	for _, tag := range []string{"a", "b"} {
		had, err := goOn(t.Context(), m, s.URL+"/broken?tag=a", file, "")
		require.ErrorIs(t, err, netreply.RemoteHostClosedError)
		var e *netreply.Error
		require.ErrorAs(t, err, &e)
		assert.True(t, e.Retryable)
		assert.Equal(t, `"a"`, had)
		now, err := goOn(t.Context(), m, s.URL+"/whole?tag="+tag, file, had)
		require.NoError(t, err)
		assert.Equal(t, fmt.Sprintf("bytes=%d-", size/2), wanted.Load())
		assert.Equal(t, strconv.Quote(tag), now)
		data, err := os.ReadFile(file.Name())
		require.NoError(t, err)
		assert.True(t, content == string(data))
	}
	_, err = goOn(t.Context(), m, s.URL+"/whole?tag=b", file, `"b"`) // beyond its end
	require.ErrorIs(t, err, netreply.UnknownContentError)
	info, err := file.Stat()
	require.NoError(t, err)
	assert.EqualValues(t, len(content), info.Size())
}

func countLines(reply *netreply.Reply) (n int, err error) {
	lines := bufio.NewScanner(reply)
	for lines.Scan() { // waits for the next line, or for the end
		n++
	}
	return n, lines.Err()
}

func TestCountLines(t *testing.T) {
	m, s := side(t)
	n, err := countLines(m.Get(t.Context(), request(t, s.URL+"/file")))
	require.NoError(t, err)
	assert.Equal(t, size/len(line), n)
}

func follow(ctx context.Context, reply *netreply.Reply, log io.Writer) {
	for event := range reply.Events(ctx) { // every signal, in order; ends behind Finished
		switch e := event.(type) {
		case netreply.MetaDataChanged:
			fmt.Fprintln(log, "status", e.StatusCode)
		case netreply.Redirected:
			fmt.Fprintln(log, "goes to", e.URL.Path)
		case netreply.ReadyRead:
			log.Write(reply.ReadAvailable())
		case netreply.ErrorOccurred:
			fmt.Fprintln(log, e.Code)
		}
	}
}

func TestFollow(t *testing.T) {
	m, s := side(t)
	var log strings.Builder
	follow(t.Context(), m.Get(t.Context(), request(t, s.URL+"/moved")), &log)
	assert.True(t, strings.HasPrefix(log.String(), "status 302\ngoes to /file\nstatus 200\n"), "%.80s", log.String())
	assert.Equal(t, size/len(line), strings.Count(log.String(), line))
}

func explain(err error) string {
	var e *netreply.Error
	switch {
	case err == nil:
		return "it went well"
	case errors.Is(err, netreply.HostNotFoundError):
		return "there is no such host"
	case errors.Is(err, netreply.OperationCanceledError):
		return "given up"
	case errors.As(err, &e) && e.Retryable:
		return fmt.Sprintf("failed while %v; worth another try in %v", e.Phase, e.RetryAfter)
	case errors.As(err, &e) && e.StatusCode >= 400:
		return fmt.Sprintf("the server answered %d", e.StatusCode)
	}
	return err.Error()
}

func TestExplain(t *testing.T) {
	m, s := side(t)
	for path, want := range map[string]string{
		"/file": "it went well", "/none": "the server answered 404", "/busy": "failed while body; worth another try in 30s",
	} {
		_, err := m.Get(t.Context(), request(t, s.URL+path)).ReadAll()
		assert.Equal(t, want, explain(err))
	}
	reply := m.Get(t.Context(), request(t, s.URL+"/file"))
	reply.Abort()
	assert.Equal(t, "given up", explain(reply.Err()))
}

type dialogs interface {
	Trust(host string, flaws []netreply.SSLError) bool
	Password(place, realm string, again bool) (user, password string, ok bool)
	Follow(from, to *url.URL) bool
}

func getWithDialogs(ctx context.Context, m *netreply.Manager, req *netreply.Request, ui dialogs) ([]byte, error) {
	req.RedirectPolicy = netreply.UserVerifiedRedirectPolicy
	req.Answer = func(ctx context.Context, q netreply.Question) { // the transfer waits until it returns
		switch q := q.(type) { // no answer is the safe answer
		case *netreply.SSLErrors:
			if ui.Trust(q.Host, q.Errors) {
				q.Ignore()
			}
		case *netreply.Authenticator:
			if user, password, ok := ui.Password(q.URL.Host, q.Realm, q.PreviousFailed); ok {
				q.SetCredentials(user, password)
			}
		case *netreply.ProxyAuthenticator:
			if user, password, ok := ui.Password(q.Proxy.Host, q.Realm, q.PreviousFailed); ok {
				q.SetCredentials(user, password)
			}
		case *netreply.Redirect:
			if ui.Follow(q.From, q.URL) {
				q.Allow()
			}
		}
	}
	return m.Get(ctx, req).ReadAll()
}

func getWithQuestions(ctx context.Context, m *netreply.Manager, req *netreply.Request, ui dialogs) ([]byte, error) {
	req.Ask = netreply.AskSSLErrors // for an answer through a channel
	reply := m.Get(ctx, req)
	for q := range reply.SSLErrors() { // closed when no question can come any more
		if ui.Trust(q.Host, q.Errors) {
			q.Ignore()
		} else {
			q.Reject()
		}
	}
	return reply.ReadAll()
}

// answers are those of a person who says yes to everything but what refuse names.
type answers struct {
	asked  []string
	refuse string
}

func (a *answers) say(what string) bool {
	a.asked = append(a.asked, what)
	return what != a.refuse
}

func (a *answers) Trust(host string, flaws []netreply.SSLError) bool {
	return a.say(fmt.Sprint("trust ", flaws[0].Code))
}

func (a *answers) Password(place, realm string, again bool) (string, string, bool) {
	ok := a.say("password for " + realm)
	return "gopher", "burrow", ok && !again
}

func (a *answers) Follow(from, to *url.URL) bool { return a.say("follow to " + to.Path) }

func TestGetWithDialogs(t *testing.T) {
	s := httptest.NewTLSServer(origin()) // whose certificate nobody vouches for
	t.Cleanup(s.Close)
	proxy := testserver.NewProxy(t, s.Listener.Addr().String(), nil)
	proxy.Respond = func(_ int, r *http.Request) string {
		if r.Header.Get("Proxy-Authorization") != "" {
			return ""
		}
		return "HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic realm=proxy\r\nContent-Length: 0\r\n\r\n"
	}
	get := func(refuse string) ([]byte, []string, error) {
		m, err := netreply.NewManager(netreply.Config{ReadBufferSize: 64 << 10})
		require.NoError(t, err)
		defer m.Close()
		req := request(t, s.URL+"/door")
		req.Proxy, err = netreply.ParseProxy(proxy.URL())
		require.NoError(t, err)
		a := &answers{refuse: refuse}
		body, err := getWithDialogs(t.Context(), m, req, a)
		return body, a.asked, err
	}
	body, asked, err := get("")
	require.NoError(t, err)
	assert.Len(t, body, size)
	assert.Equal(t, []string{"password for proxy", "trust SelfSignedCertificate", "follow to /private", "password for private"}, asked)
	for refuse, want := range map[string]error{
		"password for proxy": netreply.ProxyAuthenticationRequiredError, "trust SelfSignedCertificate": netreply.SslHandshakeFailedError,
		"follow to /private": netreply.OperationCanceledError, "password for private": netreply.AuthenticationRequiredError,
	} {
		_, asked, err := get(refuse)
		assert.ErrorIs(t, err, want, refuse)
		assert.Equal(t, refuse, asked[len(asked)-1])
	}
}

func TestGetWithQuestions(t *testing.T) {
	m, _ := side(t)
	s := httptest.NewTLSServer(origin())
	t.Cleanup(s.Close)
	_, err := getWithQuestions(t.Context(), m, request(t, s.URL+"/file"), &answers{refuse: "trust SelfSignedCertificate"})
	assert.ErrorIs(t, err, netreply.SslHandshakeFailedError)
	body, err := getWithQuestions(t.Context(), m, request(t, s.URL+"/file"), &answers{})
	require.NoError(t, err)
	assert.Len(t, body, size)
}

func upload(ctx context.Context, m *netreply.Manager, address string, photo *os.File, show func(sent, total int64)) ([]byte, error) {
	form := &netreply.Multipart{Type: netreply.FormDataType}
	form.AddField("title", "Sunset")
	form.AddFile("photo", "sunset.jpg", "image/jpeg", netreply.ReaderBody(photo))
	req, err := netreply.NewRequest(address)
	if err != nil {
		return nil, err
	}
	reply := m.Post(ctx, req, form)
	go func() {
		for p := range reply.UploadProgress() {
			show(p.Done, p.Total)
		}
	}()
	return reply.ReadAll()
}

func TestUpload(t *testing.T) {
	m, s := side(t)
	name := filepath.Join(t.TempDir(), "photo")
	require.NoError(t, os.WriteFile(name, bytes.Repeat([]byte(line), size/len(line)), 0o600))
	photo, err := os.Open(name)
	require.NoError(t, err)
	defer photo.Close()
	last := make(lastProgress, 1)
	answer, err := upload(t.Context(), m, s.URL+"/photo", photo, last.Set)
	require.NoError(t, err)
	assert.Equal(t, "Sunset sunset.jpg image/jpeg "+fmt.Sprint(size)+"\n", string(answer[:len(answer)-size]))
	assert.Greater(t, <-last, int64(size))
}

func configure(jar *cookies.Jar, policies *hsts.Store) (*netreply.Manager, error) {
	return netreply.NewManager(netreply.Config{
		UserAgent:        "Example/1.0",
		TransferTimeout:  30 * time.Second, // of silence
		ConnectTimeout:   10 * time.Second,
		RedirectPolicy:   netreply.SameOriginRedirectPolicy,
		CookieJar:        jar,
		HSTS:             policies,
		ProxyFactory:     netreply.ProxyFromEnvironment,
		SSLConfiguration: &netreply.SSLConfiguration{MinProtocol: tls.VersionTLS13},
		ReadBufferSize:   1 << 20,
	})
}

func TestConfigure(t *testing.T) {
	m, err := configure(cookies.NewJar(cookies.Options{}), hsts.NewStore())
	require.NoError(t, err)
	assert.NoError(t, m.Close())
}

func prepare(req *netreply.Request) {
	req.Headers.Set("Accept", "application/json")
	netreply.ContentTypeHeader.Set(&req.Headers, "application/json")
	req.RedirectPolicy = netreply.ManualRedirectPolicy
	req.TransferTimeout = 5 * time.Second
	req.Priority = netreply.HighPriority
	req.ReadBufferSize = 64 << 10
	req.Proxy = &netreply.Proxy{Type: netreply.NoProxy}
	req.HTTP = netreply.HTTP1Only
}

func inspect(reply *netreply.Reply) string {
	status, ok := netreply.HTTPStatusCode.Of(reply)
	if !ok {
		return "no response yet"
	}
	target, moved := netreply.RedirectionTarget.Of(reply)
	length, known := netreply.ContentLengthHeader.Get(reply.Headers())
	return fmt.Sprintln(status, target, moved, length, known)
}

func TestPrepareAndInspect(t *testing.T) {
	m, s := side(t)
	req := request(t, s.URL+"/moved")
	prepare(req)
	reply := m.Get(t.Context(), req)
	_, err := reply.ReadAll()
	require.NoError(t, err)
	assert.Equal(t, "302 /file true 0 true\n", inspect(reply))
	assert.Equal(t, "no response yet", inspect(&netreply.Reply{}))
}

func firstBytes(ctx context.Context, m *netreply.Manager, req *netreply.Request, n int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute) // of the whole request, where a TransferTimeout is of silence
	defer cancel()
	reply := m.Get(ctx, req)
	defer reply.Close() // gives up what is still running; nothing else has to be freed
	return io.ReadAll(io.LimitReader(reply, n))
}

func TestFirstBytes(t *testing.T) {
	m, s := side(t)
	data, err := firstBytes(t.Context(), m, request(t, s.URL+"/file"), 100)
	require.NoError(t, err)
	assert.Len(t, data, 100)
}

type note struct {
	Title string `json:"title"`
}

func exchange(ctx context.Context, m *netreply.Manager, req *netreply.Request, question note) (answer note, err error) {
	err = m.Post(ctx, req, netreply.JSONBody(question)).JSON(&answer)
	return answer, err
}

func TestExchange(t *testing.T) {
	m, s := side(t)
	answer, err := exchange(t.Context(), m, request(t, s.URL+"/note"), note{"hello"})
	require.NoError(t, err)
	assert.Equal(t, note{"HELLO"}, answer)
}

func withDiskCache(dir string) (*netreply.Manager, *httpcache.Disk, error) {
	store, err := httpcache.OpenDisk(dir, httpcache.Limits{Size: 10 << 20}) // other processes may use it, too
	if err != nil {
		return nil, nil, err
	}
	m, err := netreply.NewManager(netreply.Config{Cache: httpcache.New(store)})
	return m, store, err // to be closed in this order
}

func show(ctx context.Context, m *netreply.Manager, req *netreply.Request, show func(body []byte, fromCache bool)) error {
	req.CacheLoadControl = netreply.PreferCache // what is stale is shown, and validated for the next time
	reply := m.Get(ctx, req)
	body, err := reply.ReadAll()
	if err != nil {
		return err
	}
	fromCache, _ := netreply.SourceIsFromCache.Of(reply)
	show(body, fromCache)
	return nil
}

func TestShow(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=0")
		io.WriteString(w, "news")
	}))
	t.Cleanup(s.Close)
	m, store, err := withDiskCache(t.TempDir())
	require.NoError(t, err)
	defer store.Close()
	defer m.Close()
	var from []bool
	for range 2 {
		require.NoError(t, show(t.Context(), m, request(t, s.URL), func(body []byte, fromCache bool) {
			assert.Equal(t, "news", string(body))
			from = append(from, fromCache)
		}))
	}
	assert.Equal(t, []bool{false, true}, from)
}

func withResources(resources fs.FS) (*netreply.Manager, error) { // an embed.FS, for instance
	return netreply.NewManager(netreply.Config{
		Backends: map[string]netreply.Backend{"qrc": netreply.FSBackend(resources)},
	})
}

func fromLocalFile(path string) *url.URL {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") { // it begins with a drive of Windows
		path = "/" + path
	}
	return &url.URL{Scheme: "file", Path: path}
}

func load(ctx context.Context, m *netreply.Manager, where *url.URL) ([]byte, error) {
	return m.Get(ctx, &netreply.Request{URL: where}).ReadAll()
}

func TestLoad(t *testing.T) {
	m, err := withResources(fstest.MapFS{"help/index.html": {Data: []byte("help")}})
	require.NoError(t, err)
	defer m.Close()
	name := filepath.Join(t.TempDir(), "100% #1")
	require.NoError(t, os.WriteFile(name, []byte("local"), 0o666))
	for want, where := range map[string]*url.URL{"help": {Scheme: "qrc", Path: "/help/index.html"}, "local": fromLocalFile(name)} {
		got, err := load(t.Context(), m, where)
		require.NoError(t, err)
		assert.Equal(t, want, string(got))
	}
}

func serve(folder string) (*httpserver.Server, error) {
	server, err := httpserver.NewServer(httpserver.Config{RateLimit: 1000})
	if err != nil {
		return nil, err
	}
	server.Route("GET /hello/{name}", func(r *http.Request) *httpserver.Response {
		return httpserver.TextResponse("hello " + r.PathValue("name"))
	})
	server.Handle("GET /report", func(r *http.Request, w *httpserver.Responder) {
		file, err := os.Open(filepath.Join(folder, "report.pdf"))
		if err != nil {
			w.WriteStatus(httpserver.NotFound)
			return
		}
		w.WriteReader(file, "application/pdf") // closes it
	})
	server.AfterRequest(func(r *http.Request, answer *httpserver.Response) {
		answer.Headers.Set("X-Frame-Options", "DENY")
	})
	return server, nil
}

func TestServe(t *testing.T) {
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "report.pdf"), make([]byte, size), 0o600))
	server, err := serve(folder)
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	m, _ := side(t)
	reply := m.Get(t.Context(), request(t, "http://"+l.Addr().String()+"/hello/Qt"))
	text, err := reply.ReadAll()
	require.NoError(t, err)
	assert.Equal(t, "hello Qt", string(text))
	assert.Equal(t, "DENY", reply.RawHeader("X-Frame-Options"))
	report, err := m.Get(t.Context(), request(t, "http://"+l.Addr().String()+"/report")).ReadAll()
	require.NoError(t, err)
	assert.Len(t, report, size)
	require.NoError(t, server.Close())
	assert.ErrorIs(t, <-done, http.ErrServerClosed)
}

type notes map[string]string

func (n notes) Serve(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
	note, found := n[q.URL.Opaque]
	if !found {
		return w.SetError(netreply.ContentNotFoundError, "there is no such note")
	}
	w.SetAttribute(netreply.HTTPStatusCode, 200)
	w.SetHeader(netreply.ContentTypeHeader, "text/plain")
	w.SetHeader(netreply.ContentLengthHeader, int64(len(note)))
	_, err := io.WriteString(w, note) // emits MetaDataChanged and ReadyRead
	return err                        // finishes the reply
}

func withNoteBackend(n notes) (*netreply.Manager, error) {
	return netreply.NewManager(netreply.Config{Backends: map[string]netreply.Backend{"note": n}})
}

func TestNotes(t *testing.T) {
	m, err := withNoteBackend(notes{"shopping": "bread"})
	require.NoError(t, err)
	defer m.Close()
	get := func(name string) *netreply.Reply {
		r := m.Get(t.Context(), &netreply.Request{URL: &url.URL{Scheme: "note", Opaque: name}})
		r.Wait(t.Context())
		return r
	}
	r := get("shopping")
	assert.NoError(t, r.Err())
	assert.Equal(t, "bread", string(r.ReadAvailable()))
	assert.Equal(t, 200, r.StatusCode())
	assert.EqualValues(t, 5, r.ContentLength())
	r = get("none")
	assert.ErrorIs(t, r.Err(), netreply.ContentNotFoundError)
	assert.Equal(t, "there is no such note", r.ErrorString())
}
