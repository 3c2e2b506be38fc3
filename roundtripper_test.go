package netreply_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/hsts"
	"github.com/netreply/netreply/internal/testserver"
)

// roundTrip sends a GET and returns the response with its whole body.
func roundTrip(t *testing.T, rt http.RoundTripper, rawURL string, fields ...string) (*http.Response, string) {
	req, err := http.NewRequestWithContext(deadline(t), "GET", rawURL, nil)
	require.NoError(t, err)
	for name, value := range netreply.NewHeaders(fields...).All() {
		req.Header.Add(name, value)
	}
	resp, err := rt.RoundTrip(req)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	resp.Body.Close()
	return resp, string(body)
}

// TestRoundTripperOptions: each option turns on one thing, and without it that is left to
// http.Client.
func TestRoundTripperOptions(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	io.WriteString(z, "text")
	z.Close()
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/cookie":
			http.SetCookie(w, &http.Cookie{Name: "a", Value: "b", Path: "/"})
			io.WriteString(w, r.Header.Get("Cookie"))
		case "/redirect":
			http.Redirect(w, r, "/target", http.StatusFound)
		case "/secret":
			if user, password, _ := r.BasicAuth(); user != "u" || password != "p" {
				w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
				w.WriteHeader(401)
			}
		case "/gzip":
			w.Header().Set("X-Asked", r.Header.Get("Accept-Encoding"))
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(packed.Bytes())
		}
	}))
	for _, on := range []bool{false, true} {
		m := newManager(t, netreply.Config{Credentials: []netreply.Credential{{Origin: s.URL, User: "u", Password: "p"}}})
		rt := m.RoundTripper(netreply.RoundTripperOptions{Cookies: on, Redirects: on, Credentials: on, ContentCodings: on})
		_, _ = roundTrip(t, rt, s.URL+"/cookie")
		_, cookie := roundTrip(t, rt, s.URL+"/cookie")
		moved, _ := roundTrip(t, rt, s.URL+"/redirect")
		secret, _ := roundTrip(t, rt, s.URL+"/secret")
		coded, body := roundTrip(t, rt, s.URL+"/gzip")
		own, ownBody := roundTrip(t, rt, s.URL+"/gzip", "Accept-Encoding", "gzip")
		assert.Equal(t, packed.String(), ownBody)
		assert.False(t, own.Uncompressed)
		assert.Equal(t, on, coded.Uncompressed)
		if on {
			assert.Equal(t, "a=b", cookie)
			assert.Equal(t, 200, moved.StatusCode)
			assert.Equal(t, "/target", moved.Request.URL.Path)
			assert.Equal(t, 200, secret.StatusCode)
			assert.Equal(t, "text", body)
			assert.Equal(t, int64(-1), coded.ContentLength)
			assert.NotContains(t, coded.Header, "Content-Encoding")
			assert.NotContains(t, coded.Header, "Content-Length")
			assert.NotEmpty(t, coded.Header.Get("X-Asked"))
			continue
		}
		assert.Empty(t, cookie)
		assert.Empty(t, m.CookieJar().Cookies(moved.Request.URL))
		assert.Equal(t, 302, moved.StatusCode)
		assert.Equal(t, "/redirect", moved.Request.URL.Path)
		assert.Equal(t, 401, secret.StatusCode)
		assert.Equal(t, packed.String(), body)
		assert.Equal(t, int64(packed.Len()), coded.ContentLength)
		assert.Equal(t, "gzip", coded.Header.Get("Content-Encoding"))
		assert.Empty(t, coded.Header.Get("X-Asked"))
	}

	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	m := newManager(t, netreply.Config{})
	client := &http.Client{Transport: m.RoundTripper(netreply.RoundTripperOptions{}), Jar: jar}
	for _, want := range []string{"", "a=b"} {
		resp, err := client.Get(s.URL + "/cookie")
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		resp.Body.Close()
		assert.Equal(t, want, string(body), "once, by the client's jar")
	}
}

// TestRoundTripperRequest: the template gives the settings, but neither URL nor fields.
func TestRoundTripperRequest(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.TLS, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
		}
		io.WriteString(w, r.Header.Get("X-Template")+strings.Repeat("x", 100))
	}))
	m := newManager(t, netreply.Config{})
	template := newRequest(t, "http://not.used.example/")
	template.Headers.Set("X-Template", "not used")
	template.Answer = func(_ context.Context, q netreply.Question) {
		if q, ok := q.(*netreply.SSLErrors); ok {
			q.Ignore()
		}
	}
	template.TransferTimeout = time.Minute
	rt := m.RoundTripper(netreply.RoundTripperOptions{Request: template})
	template.Answer = nil // the RoundTripper has a copy
	_, body := roundTrip(t, rt, s.URL)
	assert.Equal(t, strings.Repeat("x", 100), body)

	limited := *template
	limited.IgnoreAllSSLErrors, limited.MaxBodySize = true, 99
	_, err := (&http.Client{Transport: m.RoundTripper(netreply.RoundTripperOptions{Request: &limited})}).Get(s.URL)
	var size *netreply.SizeLimitError
	assert.ErrorAs(t, err, &size)

	hasty := *template
	hasty.IgnoreAllSSLErrors, hasty.TransferTimeout = true, 20*time.Millisecond
	_, err = (&http.Client{Transport: m.RoundTripper(netreply.RoundTripperOptions{Request: &hasty})}).Get(s.URL + "/slow")
	var ue *url.Error
	require.ErrorAs(t, err, &ue)
	assert.True(t, ue.Timeout())
	assert.ErrorIs(t, err, netreply.TimeoutError)

	invalid := netreply.Request{Priority: 99}
	_, err = (&http.Client{Transport: m.RoundTripper(netreply.RoundTripperOptions{Request: &invalid})}).Get(s.URL)
	assert.ErrorIs(t, err, netreply.ProtocolInvalidOperationError)
}

// TestRoundTripperSignals: the Manager tells of the request as of any other, also of a status
// that is an error there.
func TestRoundTripperSignals(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(404)
		io.WriteString(w, "text")
	}))
	var mu sync.Mutex
	var told []string
	finished := make(chan *netreply.Reply, 1)
	m := newManager(t, netreply.Config{OnSignal: func(r *netreply.Reply, e netreply.Event) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, signalName(e))
		if _, ok := e.(netreply.Finished); ok {
			finished <- r
		}
	}})
	resp, body := roundTrip(t, m.RoundTripper(netreply.RoundTripperOptions{}), s.URL)
	assert.Equal(t, 404, resp.StatusCode)
	assert.Equal(t, "text", body)
	r := <-finished
	assert.ErrorIs(t, r.Err(), netreply.ContentNotFoundError)
	mu.Lock()
	defer mu.Unlock()
	assert.Equal(t, []string{"connecting", "sent", "head", "ready", "ContentNotFoundError", "down", "finished"}, told)
}

// TestRoundTripperManager: HSTS, AddressGuard and Close of the Manager hold for its
// RoundTripper.
func TestRoundTripperManager(t *testing.T) {
	s, cfg := testserver.NewOrigin(t, testserver.TLS, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/endless" {
			io.WriteString(w, "text")
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
		io.WriteString(w, "over TLS")
	}))
	policies := hsts.NewStore()
	policies.Add(hsts.Policy{Host: "site.test", Expires: time.Now().Add(time.Hour)})
	m := newManager(t, netreply.Config{HSTS: policies, DialContext: dialTo(s.Listener.Addr().String()),
		SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg, PeerVerifyName: "example.com"}})
	rt := m.RoundTripper(netreply.RoundTripperOptions{})
	resp, body := roundTrip(t, rt, "http://site.test/")
	assert.Equal(t, "over TLS", body)
	assert.NotNil(t, resp.TLS)

	guarded := newManager(t, netreply.Config{Guard: &netreply.AddressGuard{}})
	_, err := (&http.Client{Transport: guarded.RoundTripper(netreply.RoundTripperOptions{})}).Get(s.URL)
	var blocked *netreply.BlockedAddressError
	require.ErrorAs(t, err, &blocked)
	assert.Equal(t, netip.MustParseAddr("127.0.0.1"), blocked.Addr)

	req, err := http.NewRequest("GET", "https://site.test/endless", nil)
	require.NoError(t, err)
	resp, err = rt.RoundTrip(req)
	require.NoError(t, err)
	m.Close()
	_, err = io.ReadAll(resp.Body)
	assert.ErrorIs(t, err, netreply.OperationCanceledError)
	resp.Body.Close()
	resp, err = rt.RoundTrip(req)
	assert.ErrorIs(t, err, netreply.OperationCanceledError)
	assert.Nil(t, resp)
	rt.(interface{ CloseIdleConnections() }).CloseIdleConnections()
}

// TestRoundTripperWithoutManager: a Manager that NewManager has not made returns errors, and
// the body of the request is closed.
func TestRoundTripperWithoutManager(t *testing.T) {
	for _, m := range []*netreply.Manager{nil, {}} {
		rt := m.RoundTripper(netreply.RoundTripperOptions{})
		body := observed(strings.NewReader("text"))
		req, err := http.NewRequest("POST", "http://127.0.0.1:1/", body)
		require.NoError(t, err)
		resp, err := rt.RoundTrip(req)
		assert.ErrorIs(t, err, netreply.ProtocolInvalidOperationError)
		assert.Nil(t, resp)
		body.awaitClose(t)
		rt.(interface{ CloseIdleConnections() }).CloseIdleConnections()
		resp, err = rt.RoundTrip(nil)
		assert.ErrorIs(t, err, netreply.ProtocolInvalidOperationError)
		assert.Nil(t, resp)
	}
}

// TestRoundTripperBackend: requests for the scheme of a Backend go to it.
func TestRoundTripperBackend(t *testing.T) {
	m := newManager(t, netreply.Config{Backends: map[string]netreply.Backend{"mem": netreply.BackendFunc(func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
		body, err := io.ReadAll(q.Body)
		if err != nil {
			return err
		}
		switch q.URL.Path {
		case "/missing":
			w.SetAttribute(netreply.HTTPStatusCode, 404)
		case "/broken":
			return io.ErrUnexpectedEOF
		case "/empty":
			return nil
		}
		w.SetRawHeader("X-A", "1")
		w.Write(append([]byte("text "), body...))
		return nil
	})}})
	rt := m.RoundTripper(netreply.RoundTripperOptions{})
	resp, body := roundTrip(t, rt, "mem://host/")
	assert.Equal(t, []any{200, "200 OK", "1", "text "}, []any{resp.StatusCode, resp.Status, resp.Header.Get("x-a"), body})
	resp, body = roundTrip(t, rt, "mem://host/missing")
	assert.Equal(t, []any{404, "404 Not Found", "text "}, []any{resp.StatusCode, resp.Status, body})
	resp, body = roundTrip(t, rt, "mem://host/empty")
	assert.Equal(t, []any{200, ""}, []any{resp.StatusCode, body})
	client := &http.Client{Transport: rt}
	resp, err := client.Post("mem://host/", "text/plain", strings.NewReader("sent"))
	require.NoError(t, err)
	all, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, "text sent", string(all))
	_, err = client.Get("mem://host/broken")
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	_, err = client.Get("other://host/")
	assert.ErrorIs(t, err, netreply.ProtocolUnknownError)
}

// TestRoundTripperReadAhead: no more than ReadBufferSize of a body is kept for a reader that
// has stopped.
func TestRoundTripperReadAhead(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write(make([]byte, 4<<20))
	}))
	replies := make(chan *netreply.Reply, 3)
	m := newManager(t, netreply.Config{OnSignal: func(r *netreply.Reply, e netreply.Event) {
		if _, ok := e.(netreply.MetaDataChanged); ok {
			replies <- r
		}
	}})
	for size, want := range map[int64]int64{0: 64 << 10, 1000: 1000, 128 << 10: 128 << 10} {
		rt := m.RoundTripper(netreply.RoundTripperOptions{Request: &netreply.Request{ReadBufferSize: size}})
		resp, err := (&http.Client{Transport: rt}).Get(s.URL)
		require.NoError(t, err)
		r := <-replies
		require.Eventually(t, func() bool { return r.BytesAvailable() == want }, 10*time.Second, time.Millisecond)
		n, err := io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		assert.Equal(t, int64(4<<20), n)
		resp.Body.Close()
		assert.Equal(t, want, r.ReadBufferSize())
	}
}

// TestRoundTripperContentLength: a body in memory that is not as long as Request.ContentLength
// says is not sent.
func TestRoundTripperContentLength(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") }))
	m := newManager(t, netreply.Config{})
	client := &http.Client{Transport: m.RoundTripper(netreply.RoundTripperOptions{})}
	for _, length := range []int64{1, 3, 5} {
		req, err := http.NewRequest("POST", s.URL, strings.NewReader("text"))
		require.NoError(t, err)
		req.ContentLength = length
		_, err = client.Do(req)
		assert.ErrorContains(t, err, "Content-Length", "%d", length)
	}
}
