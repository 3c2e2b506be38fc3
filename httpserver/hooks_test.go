package httpserver_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpserver"
)

// TestAfterRequest: hooks see every answer once, and its fields are theirs to change.
func TestAfterRequest(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/1.0"} {
		for _, middleware := range []bool{false, true} {
			s := newServer(t, httpserver.Config{MaxBodySize: 10, MaxURLSize: 90, MaxHeaderFieldSize: 100, ErrorLog: quiet()})
			routes(s)
			if middleware {
				s.Use(named("a"), func(h http.Handler) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(around{w}, r) })
				})
			}
			var seen []httpserver.StatusCode
			s.AfterRequest(func(r *http.Request, p *httpserver.Response) {
				seen = append(seen, p.Status)
				p.Headers.Add("X-Frame-Options", "DENY")
				p.Headers.Add("ETag", `"x"`)
				p.Headers.Set("Content-Length", "77")
				p.Headers.Set("Transfer-Encoding", "x")
				p.Headers.Add("Broken", "a\r\nb: c")
				if p.Body != nil {
					p.Body = append(p.Body, '!')
				}
			})
			s.AfterRequest(func(_ *http.Request, p *httpserver.Response) {
				p.Headers.Del("Content-Length")
				p.Headers.Del("Transfer-Encoding")
				p.Headers.Del("Broken")
				p.Headers.Add("Set-Cookie", "a=b")
				p.Headers.Add("Set-Cookie", "c=d")
			})
			addr := listen(t, s)
			for _, c := range answers {
				seen = nil
				request := c.request + " " + proto + "\r\nHost: x\r\nConnection: close\r\n"
				switch c.status {
				case httpserver.PayloadTooLarge:
					request += "Content-Length: 11\r\n"
				case httpserver.RequestHeaderFieldsTooLarge:
					request += "X: " + strings.Repeat("x", 100) + "\r\n"
				}
				got := raw(t, addr, request+"\r\n")
				name := fmt.Sprintf("%.20q, %s, middleware %v", c.request, proto, middleware)
				assert.Contains(t, got, fmt.Sprintf("%s %d ", proto, c.status), name)
				for _, want := range []string{"X-Frame-Options: DENY\r\n", "ETag: \"x\"\r\n", "Set-Cookie: a=b\r\nSet-Cookie: c=d\r\n"} {
					assert.Equal(t, 1, strings.Count(got, want), "%s: %s in %q", name, want, got)
				}
				assert.NotContains(t, got, ": 77\r\n", name)
				assert.NotContains(t, got, "Transfer-Encoding: x", name)
				assert.Equal(t, []httpserver.StatusCode{c.status}, seen, name)
				if c.request == "GET /response" {
					assert.True(t, strings.HasSuffix(got, "text!"), name)
				}
			}
		}
	}
}

// TestAfterRequestHTTP2: the same there.
func TestAfterRequestHTTP2(t *testing.T) {
	for path, h := range map[string]func(*httpserver.Server){
		"a route": func(s *httpserver.Server) {
			s.Handle("/", func(_ *http.Request, w *httpserver.Responder) { w.WriteStatus() })
		},
		"no route": func(*httpserver.Server) {},
		"no handler": func(s *httpserver.Server) {
			s.HandleHTTP("/", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		},
		"trailers": func(s *httpserver.Server) {
			s.HandleHTTP("/", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set(http.TrailerPrefix+"X-Sum", "1")
				io.WriteString(w, "x")
			}))
		},
	} {
		s := newServer(t, httpserver.Config{HTTP2Cleartext: true})
		h(s)
		s.AfterRequest(func(_ *http.Request, p *httpserver.Response) { p.Headers.Add("ETag", "x") })
		got := frames(t, listen(t, s), "GET")
		assert.Equal(t, 1, strings.Count(got, " etag=x"), "%s: %s", path, got)
		assert.True(t, strings.HasSuffix(got, "END"), path)
		assert.Equal(t, path == "trailers", strings.Contains(got, "HEADERS x-sum=1\nEND"), path)
	}
}

// TestAfterRequestStatus: a hook can change the status to one of the same kind.
func TestAfterRequestStatus(t *testing.T) {
	var to httpserver.StatusCode
	s := newServer(t, httpserver.Config{})
	routes(s)
	s.AfterRequest(func(_ *http.Request, p *httpserver.Response) { p.Status = to })
	addr := listen(t, s)
	for _, path := range []string{"/data", "/http", "/599", "/http/empty", "/source"} {
		for _, to = range []httpserver.StatusCode{httpserver.Created, httpserver.NoContent, httpserver.Processing, 2000} {
			got := raw(t, addr, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			assert.Equal(t, to == httpserver.Created, strings.HasPrefix(got, "HTTP/1.1 201 "), "%s, %d: %q", path, to, got)
			assert.NotContains(t, got, " 204 ")
		}
	}
}

// TestAfterRequestFaults: what a hook does wrong is told, and breaks no message.
func TestAfterRequestFaults(t *testing.T) {
	for name, c := range map[string]struct {
		hook   func(*httpserver.Response)
		status string
		want   any
	}{
		"panic":         {func(*httpserver.Response) { panic("boom") }, "500", new(*httpserver.PanicError)},
		"invalid value": {func(p *httpserver.Response) { p.Headers.Add("X-A", "a\r\nX-B: c") }, "", new(*httpserver.HeaderError)},
		"invalid name":  {func(p *httpserver.Response) { p.Headers.Add("X A", "b") }, "", new(*httpserver.HeaderError)},
		"framing": {func(p *httpserver.Response) {
			p.Headers.Set("Content-Length", "77")
			p.Headers.Set("Transfer-Encoding", "chunked")
			p.Headers.Set("Trailer", "X-A")
		}, "", nil},
	} {
		s := newServer(t, httpserver.Config{ErrorLog: quiet()})
		routes(s)
		s.AfterRequest(func(_ *http.Request, p *httpserver.Response) { c.hook(p) })
		told := make(chan httpserver.Summary, 1)
		s.Finished(func(_ *http.Request, sum httpserver.Summary) { told <- sum })
		addr := listen(t, s)
		for path, status := range map[string]string{"/response": "202", "/data": "200", "/source": "200", "/content": "200", "/http": "200", "/missing": "404", "/lost": "500"} {
			name := name + ", " + path
			got := raw(t, addr, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(got)), nil)
			require.NoError(t, err, name)
			_, err = io.Copy(io.Discard, resp.Body)
			assert.NoError(t, err, name)
			assert.Empty(t, resp.Header["X-B"], name)
			if c.status != "" {
				status = c.status
			}
			sum := within(t, told, "it is told")
			if path == "/response" && strings.HasPrefix(name, "invalid") { // is refused, and Route answers 500
				assert.Equal(t, 500, resp.StatusCode, name)
				continue
			}
			assert.Equal(t, status, resp.Status[:3], name)
			switch {
			case c.want == nil && path == "/lost":
				assert.Equal(t, httpserver.ErrNoAnswer, sum.Err, name)
			case c.want == nil:
				assert.NoError(t, sum.Err, name)
			default:
				assert.ErrorAs(t, sum.Err, c.want, name)
			}
		}
	}
}
