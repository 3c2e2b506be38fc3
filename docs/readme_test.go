package docs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/httpcache"
	"github.com/netreply/netreply/httpserver"
	"github.com/netreply/netreply/internal/testserver"
	"github.com/netreply/netreply/netreplytest"
)

func fetch(ctx context.Context, address string, file io.Writer, bar interface{ Set(done, total int64) }) error {
	m, err := netreply.NewManager(netreply.Config{ReadBufferSize: 1 << 20}) // one for the program
	if err != nil {
		return err
	}
	defer m.Close()

	req, err := netreply.NewRequest(address)
	if err != nil {
		return err
	}
	reply := m.Get(ctx, req) // never nil, never waits
	defer reply.Close()
	go func() {
		for p := range reply.DownloadProgress() { // the newest value; the last one always; then closed
			bar.Set(p.Done, p.Total)
		}
	}()
	_, err = io.Copy(file, reply) // fails for a broken transfer, and for a 404
	if errors.Is(err, netreply.RemoteHostClosedError) {
		return errors.New("the connection broke, try again")
	}
	return err
}

func TestReadmeFetch(t *testing.T) {
	_, s := side(t)
	last := make(lastProgress, 1)
	var file bytes.Buffer
	require.NoError(t, fetch(t.Context(), s.URL+"/file", &file, last))
	assert.Equal(t, size, file.Len())
	assert.EqualValues(t, size, <-last)
	assert.ErrorIs(t, fetch(t.Context(), s.URL+"/none", &file, make(lastProgress, 1)), netreply.ContentNotFoundError)
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "and then")
	}))
	t.Cleanup(broken.Close)
	assert.ErrorContains(t, fetch(t.Context(), broken.URL, &file, make(lastProgress, 1)), "try again")
}

func logIn(ctx context.Context, m *netreply.Manager, req *netreply.Request,
	dialog func(q *netreply.Authenticator) (user, password string, ok bool)) ([]byte, error) {
	req.Answer = func(ctx context.Context, q netreply.Question) { // the transfer waits until it returns
		switch q := q.(type) {
		case *netreply.Authenticator:
			if user, password, ok := dialog(q); ok { // q.URL, q.Realm, q.PreviousFailed
				q.SetCredentials(user, password) // or else the 401 is the response
			}
		}
	}
	return m.Get(ctx, req).ReadAll()
}

func TestReadmeLogin(t *testing.T) {
	m, s := side(t)
	asked := 0
	body, err := logIn(t.Context(), m, request(t, s.URL+"/private"), func(q *netreply.Authenticator) (string, string, bool) {
		asked++
		assert.Equal(t, asked > 1, q.PreviousFailed)
		return "gopher", []string{"wrong", "burrow"}[asked-1], true
	})
	require.NoError(t, err)
	assert.Len(t, body, size)
	assert.Equal(t, 2, asked)
	m.ClearAccessCache()
	_, err = logIn(t.Context(), m, request(t, s.URL+"/private"), func(*netreply.Authenticator) (string, string, bool) { return "", "", false })
	assert.ErrorIs(t, err, netreply.AuthenticationRequiredError)
}

func trust(ctx context.Context, m *netreply.Manager, req *netreply.Request, dialog func(*netreply.SSLErrors) bool) ([]byte, error) {
	req.Ask = netreply.AskSSLErrors
	reply := m.Get(ctx, req)
	for q := range reply.SSLErrors() { // closed when no question can come any more
		if dialog(q) { // q.Host, q.Errors, q.Chain
			q.Ignore()
		} else {
			q.Reject()
		}
	}
	return reply.ReadAll()
}

func TestReadmeTrust(t *testing.T) {
	m, _ := side(t)
	s := httptest.NewTLSServer(origin()) // whose certificate nobody vouches for
	t.Cleanup(s.Close)
	_, err := trust(t.Context(), m, request(t, s.URL+"/file"), func(*netreply.SSLErrors) bool { return false })
	assert.ErrorIs(t, err, netreply.SslHandshakeFailedError)
	body, err := trust(t.Context(), m, request(t, s.URL+"/file"), func(q *netreply.SSLErrors) bool {
		return len(q.Errors) == 1 && q.Errors[0].Code == netreply.SSLSelfSignedCertificate && q.Chain[0].Equal(s.Certificate())
	})
	require.NoError(t, err)
	assert.Len(t, body, size)
}

func proxies(cfg netreply.Config, req *netreply.Request) (netreply.Config, error) {
	var err error
	cfg.Proxy, err = netreply.ParseProxy("socks5://proxy.example:1080") // for all requests
	req.Proxy = &netreply.Proxy{Type: netreply.NoProxy}                 // this one goes directly
	return cfg, err
}

func TestReadmeProxies(t *testing.T) {
	_, s := side(t)
	req := request(t, s.URL+"/file")
	cfg, err := proxies(netreply.Config{ReadBufferSize: 64 << 10}, req)
	require.NoError(t, err)
	m, err := netreply.NewManager(cfg)
	require.NoError(t, err)
	defer m.Close()
	body, err := m.Get(t.Context(), req).ReadAll()
	require.NoError(t, err)
	assert.Len(t, body, size)
}

func withCache(dir string) (*netreply.Manager, error) {
	store, err := httpcache.OpenDisk(dir, httpcache.Limits{Size: 200 << 20})
	if err != nil {
		return nil, err
	}
	return netreply.NewManager(netreply.Config{Cache: httpcache.New(store)})
}

func TestReadmeCache(t *testing.T) {
	var fetched atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fetched.Add(1)
		w.Header().Set("Cache-Control", "max-age=60")
		io.WriteString(w, "hello")
	}))
	t.Cleanup(s.Close)
	m, err := withCache(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() {
		m.Close()
		m.Cache().Store().(*httpcache.Disk).Close()
	})
	for range 2 {
		body, err := m.Get(t.Context(), request(t, s.URL)).ReadAll()
		require.NoError(t, err)
		assert.Equal(t, "hello", string(body))
	}
	assert.EqualValues(t, 1, fetched.Load())
}

func order(ctx context.Context, m *netreply.Manager, req *netreply.Request, order map[string]int, receipt *int) error {
	err := m.Post(ctx, req, netreply.JSONBody(order)).JSON(&receipt)
	return err
}

func TestReadmeJSON(t *testing.T) {
	s := netreplytest.NewServer(t, netreplytest.HTTP)
	s.Handle("POST /", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in map[string]int
		assert.NoError(t, json.NewDecoder(r.Body).Decode(&in))
		json.NewEncoder(w).Encode(in["apples"])
	}))
	var receipt int
	require.NoError(t, order(t.Context(), s.Manager(), s.Request("/"), map[string]int{"apples": 3}, &receipt))
	assert.Equal(t, 3, receipt)
}

func clientOf(m *netreply.Manager) *http.Client {
	client := &http.Client{Transport: m.RoundTripper(netreply.RoundTripperOptions{})}
	return client
}

func TestReadmeRoundTripper(t *testing.T) {
	s := netreplytest.NewServer(t, netreplytest.HTTP)
	s.Handle("/", netreplytest.Answer{netreplytest.Body("hello")})
	resp, err := clientOf(s.Manager()).Get(s.Request("/").URL.String())
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Equal(t, "hello", string(body))
}

type noteBook map[string]string

func (b noteBook) Find(_ context.Context, name string) (string, error) {
	text, ok := b[name]
	if !ok {
		return "", fs.ErrNotExist
	}
	return text, nil
}

func withNotes(cfg netreply.Config, notes noteBook) netreply.Config {
	cfg.Backends = map[string]netreply.Backend{
		"note": netreply.BackendFunc(func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
			text, err := notes.Find(q.Context(), q.URL.Opaque) // note:shopping
			if err != nil {
				return err // fs.ErrNotExist is ContentNotFoundError
			}
			w.SetHeader(netreply.ContentTypeHeader, "text/plain; charset=utf-8")
			_, err = io.WriteString(w, text) // waits while the reader is slow, ends with an Abort
			return err
		}),
	}
	return cfg
}

func TestReadmeBackend(t *testing.T) {
	m, err := netreply.NewManager(withNotes(netreply.Config{}, noteBook{"shopping": "milk"}))
	require.NoError(t, err)
	t.Cleanup(func() { m.Close() })
	text, err := m.Get(t.Context(), request(t, "note:shopping")).Text()
	require.NoError(t, err)
	assert.Equal(t, "milk", text)
	assert.ErrorIs(t, m.Get(t.Context(), request(t, "note:none")).Wait(t.Context()), netreply.ContentNotFoundError)
}

func reports(mux *http.ServeMux, reportFile func(id string) string) {
	mux.Handle("GET /report/{id}", httpserver.HandlerFunc(func(r *http.Request, w *httpserver.Responder) {
		f, err := os.Open(reportFile(r.PathValue("id")))
		if err != nil {
			w.WriteStatus(httpserver.NotFound)
			return
		}
		w.WriteReader(f, "application/pdf") // with its length, by sendfile, and closed
	}))
}

func TestReadmeReports(t *testing.T) {
	m, _ := side(t)
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "7"), make([]byte, size), 0o600))
	mux := http.NewServeMux()
	reports(mux, func(id string) string { return filepath.Join(folder, id) })
	s, _ := testserver.NewOrigin(t, testserver.Plain, mux)
	reply := m.Get(t.Context(), request(t, s.URL+"/report/7"))
	body, err := reply.ReadAll()
	require.NoError(t, err)
	assert.Len(t, body, size)
	assert.EqualValues(t, size, reply.ContentLength())
	_, err = m.Get(t.Context(), request(t, s.URL+"/report/8")).ReadAll()
	assert.ErrorIs(t, err, netreply.ContentNotFoundError)
}
