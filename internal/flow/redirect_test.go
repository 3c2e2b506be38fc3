package flow_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/internal/auth"
	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/flow"
	"github.com/netreply/netreply/internal/httpurl"
	"github.com/netreply/netreply/internal/testserver"
)

// TestRedirectFollowed: for every hop its head and then the redirect are reported.
func TestRedirectFollowed(t *testing.T) {
	eachKind(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/a":
			http.Redirect(w, r, "/b", http.StatusFound)
		case "/b":
			http.Redirect(w, r, "/c?q", http.StatusTemporaryRedirect)
		default:
			io.WriteString(w, r.RequestURI)
		}
	}, func(t *testing.T, s *server) {
		r := s.ok(new(watcher), s.get("/a#part"))
		assert.Equal(t, "/c?q", r.body)
		assert.Equal(t, []string{
			"sent", "head 302", "redirect 302 GET " + s.URL + "/a#part -> " + s.URL + "/b#part",
			"sent", "head 307", "redirect 307 GET " + s.URL + "/b#part -> " + s.URL + "/c?q#part",
			"sent", "head 200 final",
		}, r.told("sent", "head", "redirect"))
		assert.Len(t, r.told("connecting"), 1, "the connection is used again")
		for _, h := range r.heads {
			assert.Nil(t, h.Target)
		}
	})
}

// TestRedirectDenied: after a denied redirect nothing is sent.
func TestRedirectDenied(t *testing.T) {
	eachKind(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/b", http.StatusFound)
	}, func(t *testing.T, s *server) {
		w := &watcher{redirect: func(_ *flow.Redirection, meanwhile func()) bool { meanwhile(); return false }}
		r := s.do(w, s.get("/a"))
		var e *flow.Error
		require.ErrorAs(t, r.err, &e)
		assert.Equal(t, flow.RedirectDenied, e.Kind)
		assert.Nil(t, r.resp)
		assert.Len(t, r.told("sent"), 1)
	})
}

// TestRedirectAborted: after the end of the context nothing is sent, whatever the answer
// (rule D6), and the error is its cause.
func TestRedirectAborted(t *testing.T) {
	s := newServer(t, testserver.Plain, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/b", http.StatusFound) })
	aborted := errors.New("aborted")
	ctx, cancel := context.WithCancelCause(t.Context())
	w := &watcher{redirect: func(_ *flow.Redirection, meanwhile func()) bool { meanwhile(); cancel(aborted); return true }}
	r := s.doIn(ctx, w, s.get("/a"), nil)
	assert.Equal(t, aborted, r.err)
	assert.Len(t, r.told("sent"), 1)
}

// TestRedirectRefused: the redirects that are refused, and their errors. The head has the
// target, the Watcher is not asked.
func TestRedirectRefused(t *testing.T) {
	s := newServer(t, testserver.TLS, func(w http.ResponseWriter, r *http.Request) {
		for _, l := range r.URL.Query()["to"] {
			w.Header().Add("Location", l)
		}
		w.WriteHeader(http.StatusMovedPermanently)
	})
	for name, row := range map[string]struct {
		to     []string
		policy httpurl.Policy
		left   int
		kind   httpurl.RefusalKind
		target string // of the head, "" for none
	}{
		"another scheme":    {[]string{"ftp://a/"}, httpurl.NoLessSafe, 5, httpurl.Unusable, "ftp://a/"},
		"no URL":            {[]string{"http://%zz/"}, httpurl.NoLessSafe, 5, httpurl.Unusable, ""},
		"empty":             {[]string{""}, httpurl.NoLessSafe, 5, httpurl.Unusable, ""},
		"a local socket":    {[]string{"unix+http://a/"}, httpurl.UserVerified, 5, httpurl.Unusable, "unix+http://a/"},
		"two":               {[]string{"/a", "/b"}, httpurl.NoLessSafe, 5, httpurl.Ambiguous, ""},
		"less safe":         {[]string{"http://a/"}, httpurl.NoLessSafe, 5, httpurl.LessSafe, "http://a/"},
		"another origin":    {[]string{"https://a/"}, httpurl.SameOrigin, 5, httpurl.OtherOrigin, "https://a/"},
		"none left":         {[]string{"https://a/"}, httpurl.NoLessSafe, 0, httpurl.TooMany, "https://a/"},
		"none left, of two": {[]string{"/a", "/b"}, httpurl.NoLessSafe, 0, httpurl.Ambiguous, ""},
	} {
		t.Run(name, func(t *testing.T) {
			q := s.get("/?" + url.Values{"to": row.to}.Encode())
			q.Redirects, q.MaxRedirects = row.policy, row.left
			r := s.do(new(watcher), q)
			var refusal *httpurl.Refusal
			require.ErrorAs(t, r.err, &refusal)
			assert.Equal(t, row.kind, refusal.Kind)
			assert.Nil(t, r.resp)
			assert.Equal(t, []string{"sent", "head 301"}, r.told("sent", "head", "redirect"))
			if target := r.heads[0].Target; row.target == "" {
				assert.Nil(t, target)
			} else {
				assert.Equal(t, row.target, target.String())
			}
		})
	}
}

// TestRedirectNotFollowed: 3xx responses that are final.
func TestRedirectNotFollowed(t *testing.T) {
	s := newServer(t, testserver.Plain, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/none" {
			w.Header().Set("Location", "b?c")
		}
		if r.URL.Path == "/305" {
			w.WriteHeader(http.StatusUseProxy)
		} else {
			w.WriteHeader(http.StatusFound)
		}
		io.WriteString(w, "body")
	})
	for path, row := range map[string]struct {
		policy httpurl.Policy
		target string
	}{"/manual": {httpurl.Manual, "b?c"}, "/305": {httpurl.NoLessSafe, ""}, "/none": {httpurl.NoLessSafe, ""}} {
		q := s.get(path)
		q.Redirects = row.policy
		r := s.ok(new(watcher), q)
		assert.Equal(t, "body", r.body)
		assert.Empty(t, r.told("redirect"))
		require.Len(t, r.heads, 1)
		assert.True(t, r.heads[0].Final)
		if row.target == "" {
			assert.Nil(t, r.heads[0].Target)
		} else {
			assert.Equal(t, row.target, r.heads[0].Target.String())
		}
	}
}

// TestRedirectLimit: MaxRedirects are followed, and one more is refused.
func TestRedirectLimit(t *testing.T) {
	s := newServer(t, testserver.Plain, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) })
	q := s.get("/")
	q.MaxRedirects = 3
	r := s.do(new(watcher), q)
	var refusal *httpurl.Refusal
	require.ErrorAs(t, r.err, &refusal)
	assert.Equal(t, httpurl.TooMany, refusal.Kind)
	assert.Len(t, r.told("redirect"), 3)
	assert.Len(t, r.told("head"), 4)
	assert.Empty(t, s.do(new(watcher), q).told("connecting"), "the connection is good still")
}

// TestRedirectBody: the body is sent again from its beginning if the method is kept; it is
// dropped, with the fields that describe it, if the method becomes GET (rule R13).
func TestRedirectBody(t *testing.T) {
	eachKind(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var code int
		if fmt.Sscanf(r.URL.Path, "/%d", &code); code != 0 {
			w.Header().Set("Location", "/")
			w.WriteHeader(code)
			return
		}
		fmt.Fprintf(w, "%s %s %s", r.Method, body, r.Header.Get("Content-Language"))
	}, func(t *testing.T, s *server) {
		for kind, payload := range map[string]*flow.Payload{"memory": inMemory("text"), "source": fromSource("text")} {
			for code, want := range map[int]string{303: "GET  ", 302: "GET  ", 301: "GET  ", 307: "POST text fr", 308: "POST text fr"} {
				q := s.request(http.MethodPost, fmt.Sprint("/", code), payload)
				q.Headers = headers.New("Content-Language", "fr")
				r := s.ok(new(watcher), q)
				assert.Equal(t, want, r.body, "%s, %d", kind, code)
				log := r.told("uploads", "no-upload", "redirect")
				for i, line := range log {
					log[i], _, _ = strings.Cut(line, " ")
				}
				wantLog := map[string]string{"memory": "redirect", "source": "uploads redirect uploads"}[kind]
				if want == "GET  " {
					wantLog = strings.TrimSuffix(wantLog, " uploads") + " no-upload"
				}
				assert.Equal(t, wantLog, strings.Join(log, " "), "%s, %d", kind, code)
			}
		}
	})
}

// TestRedirectNotRewindable: a redirect that needs a body which cannot be read again is
// refused; one that drops the body is followed.
func TestRedirectNotRewindable(t *testing.T) {
	eachKind(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		switch r.URL.Path {
		case "/307":
			http.Redirect(w, r, "/", http.StatusTemporaryRedirect)
		case "/303":
			http.Redirect(w, r, "/", http.StatusSeeOther)
		}
	}, func(t *testing.T, s *server) {
		r := s.do(new(watcher), s.request(http.MethodPost, "/307", onlyOnce("text")))
		var e *flow.Error
		require.ErrorAs(t, r.err, &e)
		assert.Equal(t, flow.NotResent, e.Kind)
		assert.ErrorIs(t, r.err, flow.ErrNotRewindable)
		assert.Equal(t, []string{"head 307", "refused " + s.URL + "/"}, r.told("head", "redirect", "refused"))
		r = s.ok(new(watcher), s.request(http.MethodPost, "/303", onlyOnce("text")))
		assert.Equal(t, http.StatusOK, r.resp.StatusCode)
	})
}

// TestRedirectSourceFails: the source of the body fails to open for the next hop.
func TestRedirectSourceFails(t *testing.T) {
	s := newServer(t, testserver.Plain, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/", http.StatusTemporaryRedirect)
	})
	p, opened := fromSource("text"), 0
	open := p.Open
	p.Open = func() (io.Reader, error) {
		if opened++; opened == 2 {
			return nil, io.ErrClosedPipe
		}
		return open()
	}
	r := s.do(new(watcher), s.request(http.MethodPost, "/", p))
	var e *flow.Error
	require.ErrorAs(t, r.err, &e)
	assert.Equal(t, flow.BodySource, e.Kind)
	assert.ErrorIs(t, r.err, io.ErrClosedPipe)
	assert.Nil(t, r.resp)
}

// TestRedirectDrained: the body of a redirect is drained after the report and before the
// wait for the program, so that its connection is free then; one without an end is closed.
func TestRedirectDrained(t *testing.T) {
	for _, endless := range []bool{false, true} {
		t.Run(fmt.Sprint("endless ", endless), func(t *testing.T) {
			free := make(chan struct{})
			eachKind(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/" {
					return
				}
				http.Redirect(w, r, "/", http.StatusFound)
				io.WriteString(w, strings.Repeat("unseen", 5000))
				if endless {
					w.(http.Flusher).Flush()
					<-r.Context().Done()
					free <- struct{}{}
				}
			}, func(t *testing.T, s *server) {
				w := &watcher{}
				w.redirect = func(_ *flow.Redirection, meanwhile func()) bool {
					meanwhile()
					if endless {
						<-free
					} else { // another transfer takes the connection
						assert.Empty(t, s.ok(new(watcher), s.get("/")).told("connecting"))
					}
					return true
				}
				r := s.ok(w, s.get("/a"))
				want := 1
				if endless && !s.http2() {
					want = 2
				}
				assert.Len(t, r.told("connecting"), want)
			})
		})
	}
}

// TestRedirectPausesClock: the decision may take any time.
func TestRedirectPausesClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newMemoryClient(t, func(c *testserver.Conn) {
			req, _, ok := c.Request()
			switch {
			case !ok:
			case req.URL.Path == "/":
				c.Say("HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n")
			default:
				time.Sleep(900 * time.Millisecond)
				c.Say("HTTP/1.1 204 No Content\r\n\r\n")
			}
		})
		defer c.close()
		w := &watcher{redirect: func(_ *flow.Redirection, meanwhile func()) bool { meanwhile(); time.Sleep(time.Hour); return true }}
		var expired atomic.Bool
		clock := flow.NewClock(time.Second, func() { expired.Store(true) })
		clock.Start()
		r := c.doIn(t.Context(), w, get("http://a/"), func(t *flow.Transfer) { t.Clock = clock })
		clock.Stop()
		require.NoError(t, r.err)
		assert.False(t, expired.Load())
	})
}

// newMemoryClient makes a client whose connections are served by a function in memory, for
// tests in fake time.
func newMemoryClient(t *testing.T, serve func(*testserver.Conn), change ...func(*flow.Config)) *client {
	d := &dial.Dialer{DialContext: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			serve(&testserver.Conn{Conn: far, R: bufio.NewReader(far)})
		}()
		return near, nil
	}}
	return newClientOf(t, d, nil, change...)
}

// TestRedirectOtherOrigin: secret fields are not sent to another origin (rule D11), and the
// user information of the first URL is used for its origin only (rule R18).
func TestRedirectOtherOrigin(t *testing.T) {
	show := func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusFound)
			return
		}
		if r.URL.Path == "/login" && r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, r.Header.Get("Authorization"), ",", r.Header.Get("X-Key"), ",", r.Header.Get("X-Any"))
	}
	here, there := newServer(t, testserver.Plain, show), newServer(t, testserver.Plain, show)
	q := here.get("/?to=" + there.URL + "/")
	q.Headers = headers.New("Authorization", "mine", "x-key", "1", "X-Any", "2")
	q.SecretHeaders = []string{"X-Key"}
	assert.Equal(t, ",,2", here.ok(new(watcher), q).body)
	q.URL.RawQuery = "to=" + here.URL + "/"
	assert.Equal(t, "mine,1,2", here.ok(new(watcher), q).body)

	user := strings.Replace(here.URL, "//", "//u:p@", 1)
	basic := "Basic dTpw,,"
	assert.Equal(t, basic, here.ok(new(watcher), get(user+"/?to="+here.URL+"/login")).body)
	r := here.ok(&watcher{password: func(*flow.PasswordQuestion) *auth.Credentials { return nil }}, get(user+"/?to="+there.URL+"/login"))
	assert.Equal(t, http.StatusUnauthorized, r.resp.StatusCode)
	assert.Equal(t, []string{`password Basic "r"`}, r.told("password"))
}
