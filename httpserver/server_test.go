package httpserver_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/httpserver"
)

// listen starts a server until the test ends.
func listen(t testing.TB, s *httpserver.Server) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		assert.ErrorIs(t, <-served, http.ErrServerClosed)
	})
	return l.Addr().String()
}

func newServer(t testing.TB, c httpserver.Config) *httpserver.Server {
	s, err := httpserver.NewServer(c)
	require.NoError(t, err)
	return s
}

// TestServeTwice: a Server answers on several listeners, and on none after Shutdown.
func TestServeTwice(t *testing.T) {
	s := newServer(t, httpserver.Config{})
	s.Route("/", func(*http.Request) *httpserver.Response { return httpserver.TextResponse("hello") })
	for range 2 {
		m, err := netreply.NewManager(netreply.Config{})
		require.NoError(t, err)
		defer m.Close()
		req, err := netreply.NewRequest("http://" + listen(t, s))
		require.NoError(t, err)
		body, err := m.Get(t.Context(), req).ReadAll()
		require.NoError(t, err)
		assert.Equal(t, "hello", string(body))
	}
	require.NoError(t, s.Shutdown(t.Context()))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	assert.ErrorIs(t, s.Serve(l), http.ErrServerClosed)
}

// TestServer: routes, hooks and what no route takes.
func TestServer(t *testing.T) {
	s := newServer(t, httpserver.Config{})
	shared := httpserver.TextResponse("shared")
	s.Route("GET /text/{name}", func(r *http.Request) *httpserver.Response {
		return httpserver.TextResponse("hello " + r.PathValue("name"))
	})
	s.Route("/nil", func(*http.Request) *httpserver.Response { return nil })
	s.Route("/bad", func(*http.Request) *httpserver.Response {
		return &httpserver.Response{Headers: headers.New("X", "a\r\nb")}
	})
	s.Route("/shared", func(*http.Request) *httpserver.Response { return shared })
	s.Handle("/write", func(_ *http.Request, w *httpserver.Responder) { w.WriteData([]byte("direct"), "text/plain") })
	s.AfterRequest(func(r *http.Request, p *httpserver.Response) { p.Headers.Add("X-Path", r.URL.Path) })
	s.AfterRequest(func(_ *http.Request, p *httpserver.Response) { p.Headers.Add("X-Path", "2") })
	addr := listen(t, s)
	get := func(path string) string {
		return raw(t, addr, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	}
	assert.Equal(t, "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nX-Path: /text/you\r\nX-Path: 2\r\nContent-Length: 9\r\nConnection: close\r\n\r\nhello you", get("/text/you"))
	assert.Contains(t, get("/nil"), "HTTP/1.1 404 Not Found\r\n")
	assert.Contains(t, get("/bad"), "HTTP/1.1 500 ")
	for range 2 {
		assert.Equal(t, 2, strings.Count(get("/shared"), "X-Path"), "hooks change a copy")
	}
	assert.Equal(t, 2, strings.Count(get("/write"), "X-Path"), "whatever answers")
	assert.Contains(t, get("/none"), "HTTP/1.1 404 ")
	assert.Contains(t, raw(t, addr, "POST /text/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), "HTTP/1.1 405 ")
	s.SetMissingHandler(func(r *http.Request, w *httpserver.Responder) {
		w.WriteData([]byte("no "+r.URL.Path), "text/plain", httpserver.NotFound)
	})
	assert.Contains(t, get("/none"), "\r\n\r\nno /none")
	assert.Contains(t, get("/text/x"), "hello x", "path values are there")
}

// TestServerLimits: Qt 6.11's, smaller.
func TestServerLimits(t *testing.T) {
	s := newServer(t, httpserver.Config{MaxBodySize: 10, MaxURLSize: 100, MaxHeaderSize: 200})
	s.Handle("/", func(r *http.Request, w *httpserver.Responder) {
		b, err := io.ReadAll(r.Body)
		if mbe := (*http.MaxBytesError)(nil); errors.As(err, &mbe) {
			w.WriteStatus(httpserver.PayloadTooLarge)
			return
		}
		w.WriteData(b, "text/plain")
	})
	addr := listen(t, s)
	for request, want := range map[string]string{
		"GET /" + strings.Repeat("x", 99) + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":                              "200",
		"GET /" + strings.Repeat("x", 100) + " HTTP/1.1\r\nHost: x\r\n\r\n":                                                  "414",
		"GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 200) + "\r\n\r\n":                                           "431",
		"GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 10_000) + "\r\n\r\n":                                        "431",
		"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 10\r\n\r\n0123456789":                            "200",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n0123456789a":                                                "413",
		"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n0123456789a\r\n0\r\n\r\n": "413",
	} {
		assert.Equal(t, want, raw(t, addr, request)[9:12], "%.60q", request)
	}
	for _, bad := range []httpserver.Config{{KeepAliveTimeout: -1}, {RateLimit: -1}, {MaxConnections: -1}, {MaxConnectionsPerHost: -1}, {MaxURLSize: 1 << 40}} {
		_, err := httpserver.NewServer(bad)
		require.Error(t, err)
	}
}

// TestServerRate: so many requests a second from one address, and others are not
// held back by it.
func TestServerRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, httpserver.Config{RateLimit: 5})
		s.Handle("/", func(_ *http.Request, w *httpserver.Responder) { w.WriteStatus() })
		from := func(addr string) int {
			w := httptest.NewRecorder()
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = addr
			s.ServeHTTP(w, r)
			return w.Code
		}
		for i := range 7 {
			want := 200
			if i >= 5 {
				want = 429
			}
			assert.Equal(t, want, from("192.0.2.1:1000"))
		}
		assert.Equal(t, 200, from("192.0.2.2:1000"))
		assert.Equal(t, 429, from("192.0.2.1:2000"), "the port does not matter")
		time.Sleep(time.Second)
		assert.Equal(t, 200, from("192.0.2.1:1000"))
		for i := range 11_000 {
			if code := from(fmt.Sprintf("[2001:db8:0:%x::1]:1", i)); code != 200 {
				t.Fatalf("network %d: %d, where the count of addresses is bounded", i, code)
			}
		}
		for i := range 6 {
			want := 200
			if i >= 5 {
				want = 429
			}
			assert.Equal(t, want, from(fmt.Sprintf("[2001:db8:1::%x]:1", i)), "addresses of one IPv6 network are one client's")
		}
	})
}

// TestServerShutdown: what is under way ends well.
func TestServerShutdown(t *testing.T) {
	s := newServer(t, httpserver.Config{})
	begun, release := make(chan struct{}), make(chan struct{})
	s.Handle("/", func(_ *http.Request, w *httpserver.Responder) {
		close(begun)
		<-release
		w.WriteData([]byte("whole"), "text/plain")
	})
	addr := listen(t, s)
	m, err := netreply.NewManager(netreply.Config{})
	require.NoError(t, err)
	defer m.Close()
	req, _ := netreply.NewRequest("http://" + addr)
	r := m.Get(t.Context(), req)
	<-begun
	down := make(chan error)
	go func() { down <- s.Shutdown(context.Background()) }()
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err != nil
	}, 10*time.Second, time.Millisecond)
	close(release)
	body, err := r.ReadAll()
	require.NoError(t, err)
	assert.Equal(t, "whole", string(body))
	require.NoError(t, <-down)
}

// TestServerProtocols: HTTP/2 with and without TLS, under the library's own client.
func TestServerProtocols(t *testing.T) {
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS()
	defer cert.Close()
	for _, c := range []struct {
		cfg  httpserver.Config
		url  string
		http netreply.HTTPVersion
		h2   bool
	}{
		{httpserver.Config{}, "http://", netreply.HTTPAny, false},
		{httpserver.Config{HTTP2Cleartext: true}, "http://", netreply.HTTP2Direct, true},
		{httpserver.Config{TLS: &tls.Config{Certificates: cert.TLS.Certificates}}, "https://", netreply.HTTPAny, true},
		{httpserver.Config{TLS: &tls.Config{Certificates: cert.TLS.Certificates}}, "https://", netreply.HTTP1Only, false},
	} {
		s := newServer(t, c.cfg)
		s.Route("/{$}", func(*http.Request) *httpserver.Response { return httpserver.TextResponse("x") })
		m, err := netreply.NewManager(netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: cert.Client().Transport.(*http.Transport).TLSClientConfig}})
		require.NoError(t, err)
		req, _ := netreply.NewRequest(c.url + listen(t, s))
		req.HTTP = c.http
		r := m.Get(t.Context(), req)
		_, err = r.ReadAll()
		require.NoError(t, err)
		h2, _ := netreply.HTTP2WasUsed.Of(r)
		assert.Equal(t, c.h2, h2)
		m.Close()
	}
}

// TestCurl: another client agrees.
func TestCurl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("no curl on this machine")
	}
	name := filepath.Join(t.TempDir(), "a.txt")
	require.NoError(t, os.WriteFile(name, []byte("0123456789"), 0o600))
	mux := http.NewServeMux()
	for path, f := range map[string]answer{
		"/chunked": func(_ *http.Request, s *httpserver.Responder) {
			s.WriteBeginChunked("text/plain")
			s.WriteChunk([]byte("one "))
			s.WriteEndChunked([]byte("two"))
		},
		"/trailers": func(_ *http.Request, s *httpserver.Responder) {
			s.WriteBeginChunkedWith(headers.New("Content-Type", "text/plain"), []string{"X-Sum"})
			s.WriteEndChunkedWith([]byte("body"), headers.New("X-Sum", "42"))
		},
		"/file": func(_ *http.Request, s *httpserver.Responder) {
			f, err := os.Open(name)
			if assert.NoError(t, err) {
				defer f.Close()
				s.WriteContent(name, time.Time{}, f, headers.Headers{})
			}
		},
		"/hints": func(_ *http.Request, s *httpserver.Responder) {
			s.WriteInformational(httpserver.EarlyHints, headers.New("Link", "</x>"))
			s.WriteJSON("done")
		},
	} {
		mux.Handle(path, httpserver.HandlerFunc(f))
	}
	addr := serve(t, mux)
	for _, v := range []string{"--http1.1", "--http2-prior-knowledge"} {
		run := func(path string, args ...string) string {
			out, err := exec.Command(curl, append(append([]string{"-sS", "--max-time", "20", v}, args...), "http://"+addr+path)...).CombinedOutput()
			require.NoError(t, err, "%s %s: %s", v, path, out)
			return strings.ToLower(string(out))
		}
		assert.Equal(t, "one two", run("/chunked"), v)
		assert.Contains(t, run("/trailers", "-i"), "x-sum: 42", v)
		assert.Contains(t, run("/trailers", "-i"), "body", v)
		head := run("/file", "-I")
		assert.Contains(t, head, "content-length: 10", v)
		assert.Contains(t, head, " 200", v)
		assert.Equal(t, "345", run("/file", "-r", "3-5"), v)
		hints := run("/hints", "-v")
		assert.Contains(t, hints, " 103", v)
		assert.Contains(t, hints, "link: </x>", v)
		assert.Contains(t, hints, `"done"`, v)
	}
}

// TestQt: a program with the QNetworkAccessManager that all this mirrors.
func TestQt(t *testing.T) {
	flags, err := exec.Command("pkg-config", "--cflags", "--libs", "Qt6Network").Output()
	if err != nil {
		t.Skip("no Qt 6 on this machine (Debian: qt6-base-dev, pkg-config, g++)")
	}
	bin := filepath.Join(t.TempDir(), "get")
	args := append([]string{"-std=c++17", "-fPIC", "-o", bin, "testdata/get.cpp"}, strings.Fields(string(flags))...)
	if out, err := exec.Command("g++", args...).CombinedOutput(); err != nil {
		t.Skipf("the Qt program does not build: %s", out)
	}
	for want, f := range map[string]answer{
		"0 200 text/plain onetwo": func(_ *http.Request, s *httpserver.Responder) {
			s.WriteBeginChunkedWith(headers.New("Content-Type", "text/plain"), []string{"X-Sum"})
			s.WriteChunk([]byte("one"))
			s.WriteEndChunkedWith([]byte("two"), headers.New("X-Sum", "1"))
		},
		`0 201 application/json {"a":1}`: func(_ *http.Request, s *httpserver.Responder) {
			s.WriteJSON(map[string]int{"a": 1}, httpserver.Created)
		},
		"203 404 application/x-empty ": func(_ *http.Request, s *httpserver.Responder) { s.WriteStatus(httpserver.NotFound) },
		"0 200 text/plain known": func(_ *http.Request, s *httpserver.Responder) {
			s.WriteReader(strings.NewReader("known"), "text/plain")
		},
		"299 408 text/plain; charset=utf-8 short and stout": func(_ *http.Request, s *httpserver.Responder) {
			s.SendResponse(httpserver.TextResponse("short and stout", httpserver.RequestTimeout))
		},
	} {
		addr := serve(t, httpserver.HandlerFunc(f))
		cmd := exec.Command(bin, "http://"+addr+"/")
		cmd.Env = append(os.Environ(), "QT_LOGGING_RULES=*=false")
		out, err := cmd.Output()
		require.NoError(t, err)
		assert.Equal(t, want, string(out))
	}
}
