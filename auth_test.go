package netreply_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
	"github.com/netreply/netreply/netreplytest"
)

// basicServer requires user:pass for the realm in the first path element, echoes the body,
// and counts its 401 responses.
type basicServer struct {
	refused atomic.Int64
	held    chan struct{} // if not nil, delays 401 responses
}

func (s *basicServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	realm, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	sent, _ := io.ReadAll(r.Body)
	if user, pass, ok := r.BasicAuth(); !ok || user != "user" || pass != "pass" {
		s.refused.Add(1)
		if s.held != nil {
			<-s.held
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Basic realm=%q, charset="UTF-8"`, realm))
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, "denied")
		return
	}
	if to := r.URL.Query().Get("to"); to != "" {
		http.Redirect(w, r, to, http.StatusTemporaryRedirect)
		return
	}
	fmt.Fprintf(w, "in%s", sent)
}

// answering answers every question with a function.
func answering(f func(*netreply.Authenticator)) func(*netreply.Reply, netreply.Event) {
	return func(_ *netreply.Reply, e netreply.Event) {
		if q, ok := e.(netreply.AuthenticationRequired); ok {
			f(q.Authenticator)
		}
	}
}

// TestAuthQuestion: the fields of the question, and every kind of answer.
func TestAuthQuestion(t *testing.T) {
	s := &basicServer{}
	eachProtocol(t, s.ServeHTTP, netreply.Config{}, func(t *testing.T, s *fixture) {
		req := s.request("/realm/x")
		req.Ask = netreply.AskAuthentication
		r := s.m.Get(t.Context(), req)
		q := <-r.AuthenticationRequired()
		assert.Equal(t, "realm", q.Realm)
		assert.Equal(t, "Basic", q.Scheme)
		assert.Equal(t, s.URL+"/realm/x", q.URL.String())
		assert.Equal(t, map[string]string{"realm": "realm", "charset": "UTF-8"}, q.Options())
		assert.False(t, q.PreviousFailed)
		assert.Empty(t, q.User)
		assert.Zero(t, r.StatusCode(), "nothing of the 401 is shown")
		require.True(t, q.SetCredentials("user", "wrong"))
		require.False(t, q.SetCredentials("user", "pass"), "the first answer counts")
		require.False(t, q.Cancel())
		q = <-r.AuthenticationRequired()
		assert.True(t, q.PreviousFailed)
		assert.Equal(t, "user", q.User)
		require.True(t, q.SetCredentials("user", "pass"))
		assert.Equal(t, "in", readBody(t, r))
		assert.Equal(t, "in", readBody(t, s.m.Get(t.Context(), s.request("/realm/y"))), "known from now on")
		s.m.ClearAccessCache()

		for _, answer := range []func(*netreply.Authenticator) bool{
			(*netreply.Authenticator).Cancel,
			func(q *netreply.Authenticator) bool {
				if q.PreviousFailed {
					return q.SetCredentials("user", "bad") // the same credentials: rule U6
				}
				return q.SetCredentials("user", "bad")
			},
		} {
			r = s.m.Get(t.Context(), req)
			go func() {
				for q := range r.AuthenticationRequired() {
					answer(q)
				}
			}()
			b, err := r.ReadAll()
			require.ErrorIs(t, err, netreply.AuthenticationRequiredError)
			assert.Equal(t, "denied", string(b))
			assert.Equal(t, 401, r.StatusCode())
			assert.Equal(t, "Host requires authentication", r.ErrorString())
			assert.True(t, r.HasRawHeader("WWW-Authenticate"))
		}
	})
}

// TestAuthSignals: rule S50, and S51 without an answer.
func TestAuthSignals(t *testing.T) {
	s := &basicServer{}
	eachProtocol(t, s.ServeHTTP, netreply.Config{}, func(t *testing.T, s *fixture) {
		r := s.m.Get(t.Context(), s.request("/r/"))
		list := strings.Join(signalNames(t, r), " ")
		assert.Regexp(t, "sent question head ready (down )?AuthenticationRequiredError down finished$", list)
		req := s.request("/r/")
		req.OnSignal = answering(func(q *netreply.Authenticator) { q.SetCredentials("user", "pass") })
		list = strings.Join(signalNames(t, s.m.Get(t.Context(), req)), " ")
		assert.Regexp(t, "sent question sent head ready (down )?finished$", strings.Replace(list, "down finished", "finished", 1))
	})
}

// TestAuthAnsweredByManager: a listener of the Manager can answer for all replies.
func TestAuthAnsweredByManager(t *testing.T) {
	s := &basicServer{}
	eachProtocol(t, s.ServeHTTP, netreply.Config{Ask: netreply.AskAuthentication}, func(t *testing.T, s *fixture) {
		ctx, cancel := context.WithCancel(t.Context())
		answered := make(chan struct{})
		events := s.m.Events(ctx)
		go func() {
			defer close(answered)
			for r, e := range events {
				if q, ok := e.(netreply.AuthenticationRequired); ok {
					assert.Equal(t, "/r/", r.URL().Path)
					q.SetCredentials("user", "pass")
				}
			}
		}()
		assert.Equal(t, "in", readBody(t, s.m.Get(t.Context(), s.request("/r/"))))
		cancel()
		<-answered
	})
}

// TestAuthContextEnds: the context ends while a question is unanswered.
func TestAuthContextEnds(t *testing.T) {
	s := &basicServer{}
	eachProtocol(t, s.ServeHTTP, netreply.Config{Ask: netreply.AskAuthentication}, func(t *testing.T, s *fixture) {
		ctx, cancel := context.WithCancel(t.Context())
		r := s.m.Get(ctx, s.request("/r/"))
		q := <-r.AuthenticationRequired()
		cancel()
		require.ErrorIs(t, r.Wait(deadline(t)), netreply.OperationCanceledError)
		require.False(t, q.SetCredentials("user", "pass"), "it is over")

		r = s.m.Get(t.Context(), s.request("/r/"))
		<-r.AuthenticationRequired()
		r.Abort()
		require.ErrorIs(t, r.Err(), netreply.OperationCanceledError)

		req := s.request("/r/")
		req.OnSignal = func(r *netreply.Reply, e netreply.Event) {
			if q, ok := e.(netreply.AuthenticationRequired); ok {
				q.SetCredentials("user", "pass")
				r.Abort()
			}
		}
		r = s.m.Get(t.Context(), req)
		require.ErrorIs(t, r.Wait(deadline(t)), netreply.OperationCanceledError)
		assert.Zero(t, r.StatusCode())
	})
}

// TestAuthAsksOnce: replies that need the same password wait for one answer.
func TestAuthAsksOnce(t *testing.T) {
	for _, cancel := range []bool{false, true} {
		const n = 6
		server := &basicServer{held: make(chan struct{})}
		var asked atomic.Int64
		var cfg netreply.Config
		cfg.Ask = netreply.AskAuthentication
		eachProtocol(t, server.ServeHTTP, cfg, func(t *testing.T, s *fixture) {
			asked.Store(0)
			server.refused.Store(0)
			var all []*netreply.Reply
			for i := range n {
				all = append(all, s.m.Get(t.Context(), s.request(fmt.Sprintf("/r/%d", i))))
			}
			for range n { // all get a 401 before one of them asks
				server.held <- struct{}{}
			}
			var wg sync.WaitGroup
			for _, r := range all {
				wg.Go(func() {
					for q := range r.AuthenticationRequired() {
						asked.Add(1)
						// the others wait, which is visible only by their result
						if cancel {
							q.Cancel()
						} else {
							q.SetCredentials("user", "pass")
						}
					}
				})
			}
			for _, r := range all {
				err := r.Wait(deadline(t))
				if cancel {
					assert.ErrorIs(t, err, netreply.AuthenticationRequiredError)
				} else {
					assert.NoError(t, err)
				}
			}
			wg.Wait()
			if !cancel {
				assert.EqualValues(t, 1, asked.Load())
			}
		})
	}
}

// TestAuthScope: accepted credentials are sent without a challenge inside their protection
// space, and nowhere else (D22, U9).
func TestAuthScope(t *testing.T) {
	server := &basicServer{}
	var asked atomic.Int64
	eachProtocol(t, server.ServeHTTP, netreply.Config{OnSignal: answering(func(q *netreply.Authenticator) {
		asked.Add(1)
		q.SetCredentials("user", "pass")
	})}, func(t *testing.T, s *fixture) {
		asked.Store(0)
		get := func(path string) int64 {
			server.refused.Store(0)
			assert.Equal(t, "in", readBody(t, s.m.Get(t.Context(), s.request(path))), path)
			return server.refused.Load()
		}
		assert.EqualValues(t, 1, get("/a/b/c"))
		assert.EqualValues(t, 0, get("/a/b/d"))
		assert.EqualValues(t, 0, get("/a/b/d/e"))
		assert.EqualValues(t, 1, get("/a/x"), "above: the server has to ask")
		assert.EqualValues(t, 0, get("/a/y"))
		assert.EqualValues(t, 1, asked.Load(), "the realm is the same")
		assert.EqualValues(t, 1, get("/other/x"))
		assert.EqualValues(t, 2, asked.Load(), "another realm is another question")
		s.m.ClearAccessCache()
		assert.EqualValues(t, 1, get("/a/b/c"))
		assert.EqualValues(t, 3, asked.Load())
	})
}

// TestAuthOrigin: no password is sent to another origin, after a redirect or with another
// request.
func TestAuthOrigin(t *testing.T) {
	var got []string
	var mu sync.Mutex
	thief := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		for {
			req, ok := c.Head()
			if !ok {
				return
			}
			mu.Lock()
			got = append(got, fmt.Sprint(req.Header))
			mu.Unlock()
			c.Say("HTTP/1.1 401 X\r\nWWW-Authenticate: Basic realm=\"r\"\r\nContent-Length: 0\r\n\r\n")
		}
	})
	s := &basicServer{}
	eachProtocol(t, s.ServeHTTP, netreply.Config{}, func(t *testing.T, s *fixture) {
		if s.kind == testserver.H2C { // the other origin has no HTTP/2
			return
		}
		origin := s.URL
		m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: s.cfg}, RedirectPolicy: netreply.UserVerifiedRedirectPolicy,
			Credentials: []netreply.Credential{{Origin: origin, User: "user", Password: "pass"}},
			OnSignal: func(_ *netreply.Reply, e netreply.Event) {
				if r, ok := e.(netreply.Redirected); ok {
					r.Allow()
				}
			}})
		req := s.request("/r/x?to=" + url.QueryEscape(thief.URL()+"/r/"))
		require.ErrorIs(t, m.Get(t.Context(), req).Wait(deadline(t)), netreply.AuthenticationRequiredError)
		req.Bearer = netreply.NewTokenSource(func(context.Context) (netreply.Token, error) { return netreply.Token{Value: "pass"}, nil })
		m.Get(t.Context(), req).Wait(deadline(t))
		assert.Equal(t, "in", readBody(t, m.Get(t.Context(), s.request("/r/"))))
		m.Get(t.Context(), newRequest(t, thief.URL()+"/r/")).Wait(deadline(t))
	})
	assert.NotEmpty(t, got)
	for _, head := range got {
		assert.NotContains(t, strings.ToLower(head), "authorization", head)
	}
}

// TestAuthURL: user and password of the URL are used (rules U3 and U5), and are not in
// errors and texts.
func TestAuthURL(t *testing.T) {
	s := &basicServer{}
	eachProtocol(t, s.ServeHTTP, netreply.Config{}, func(t *testing.T, s *fixture) {
		req := s.request("/r/")
		req.URL.User = url.UserPassword("user", "pass")
		r := s.m.Get(t.Context(), req)
		assert.Equal(t, "in", readBody(t, r))
		assert.NotContains(t, signalNames(t, r), "question")
		assert.Equal(t, "in", readBody(t, s.m.Get(t.Context(), s.request("/r/"))), "known for the realm from now on")

		req.URL.User = url.UserPassword("user", "secret-and-wrong")
		req.OnSignal = answering(func(q *netreply.Authenticator) {
			assert.Equal(t, "user", q.User)
			assert.NotContains(t, q.URL.String(), "secret")
		})
		m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: s.cfg}})
		err := m.Get(t.Context(), req).Wait(deadline(t))
		require.ErrorIs(t, err, netreply.AuthenticationRequiredError)
		assert.NotContains(t, err.Error(), "secret")

		req.URL.User = url.User("someone")
		req.OnSignal = answering(func(q *netreply.Authenticator) { q.SetCredentials("user", "pass") })
		assert.Equal(t, "in", readBody(t, m.Get(t.Context(), req)))
	})
}

// TestAuthManual: rule A12.
func TestAuthManual(t *testing.T) {
	server := &basicServer{}
	eachProtocol(t, server.ServeHTTP, netreply.Config{}, func(t *testing.T, s *fixture) {
		server.refused.Store(0)
		req := s.request("/r/")
		req.URL.User = url.UserPassword("user", "pass")
		req.AuthenticationReuse = netreply.LoadManual
		asked := 0
		req.OnSignal = answering(func(q *netreply.Authenticator) { asked++; q.SetCredentials("user", "pass") })
		b, err := s.m.Get(t.Context(), req).ReadAll()
		require.ErrorIs(t, err, netreply.AuthenticationRequiredError)
		assert.Equal(t, "denied", string(b))
		assert.Equal(t, 1, asked)
		assert.EqualValues(t, 1, server.refused.Load())
		require.ErrorIs(t, s.m.Get(t.Context(), s.request("/r/")).Wait(deadline(t)), netreply.AuthenticationRequiredError, "nothing was kept")
		req.Headers.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("user:pass")))
		assert.Equal(t, "in", readBody(t, s.m.Get(t.Context(), req)), "the caller's own is sent")
	})
}

// TestAuthStored: Config.Credentials, by origin and realm.
func TestAuthStored(t *testing.T) {
	s := &basicServer{}
	eachProtocol(t, s.ServeHTTP, netreply.Config{}, func(t *testing.T, s *fixture) {
		u, _ := url.Parse(s.URL)
		m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: s.cfg}, Credentials: []netreply.Credential{
			{Origin: "https://elsewhere.example", User: "user", Password: "pass"},
			{Origin: s.URL, Realm: "right", User: "user", Password: "wrong"},
			{Origin: strings.ToUpper(u.Scheme) + "://" + u.Host + "/", Realm: "right", User: "user", Password: "pass"},
		}})
		r := m.Get(t.Context(), s.request("/right/"))
		assert.Equal(t, "in", readBody(t, r))
		assert.NotContains(t, signalNames(t, r), "question")
		require.ErrorIs(t, m.Get(t.Context(), s.request("/left/")).Wait(deadline(t)), netreply.AuthenticationRequiredError)
	})
	for _, bad := range []string{"", "example.org", "ftp://x", "http://", "http://u:p@x", "http://x/path", "http://x?q"} {
		_, err := netreply.NewManager(netreply.Config{Credentials: []netreply.Credential{{Origin: bad, Password: "secret"}}})
		var fe *netreply.FieldError
		require.ErrorAs(t, err, &fe, bad)
		assert.NotContains(t, err.Error(), "secret")
	}
	_, err := netreply.NewManager(netreply.Config{Ask: 1 << 20, Negotiators: []netreply.Negotiator{nil}})
	require.ErrorContains(t, err, "Config.Ask")
	require.ErrorContains(t, err, "Config.Negotiators")
}

// TestAuthUpload: the body is sent again from its start, or the reply fails because it
// cannot be (rules S50 and E23).
func TestAuthUpload(t *testing.T) {
	s := &basicServer{}
	eachProtocol(t, s.ServeHTTP, netreply.Config{}, func(t *testing.T, s *fixture) {
		large := strings.Repeat("0123456789", 20_000)
		for name, b := range map[string]func() netreply.Body{
			"bytes":      func() netreply.Body { return netreply.StringBody(large) },
			"seeker":     func() netreply.Body { return netreply.ReaderBody(strings.NewReader(large)) },
			"sequential": func() netreply.Body { return netreply.ReaderBody(io.MultiReader(strings.NewReader(large))) },
			"source": func() netreply.Body {
				return netreply.SourceBody(-1, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(large)), nil })
			},
		} {
			req := s.request("/" + name + "/")
			req.OnSignal = answering(func(q *netreply.Authenticator) { q.SetCredentials("user", "pass") })
			assert.Equal(t, "in"+large, readBody(t, s.m.Post(t.Context(), req, b())), name)
		}
		req := s.request("/once/")
		req.DoNotBufferUploadData = true
		req.OnSignal = answering(func(q *netreply.Authenticator) { q.SetCredentials("user", "pass") })
		r := s.m.Post(t.Context(), req, netreply.ReaderBody(io.MultiReader(strings.NewReader("x"))))
		require.ErrorIs(t, r.Wait(deadline(t)), netreply.ContentReSendError)
		r = s.m.Post(t.Context(), req, netreply.ReaderBody(io.MultiReader(strings.NewReader("x"))))
		assert.Equal(t, "inx", readBody(t, r), "the answer was kept")
	})
}

// TestAuthQuestionStopsTimeout: the transfer timeout is stopped while a question is open (rule
// N32), and runs again afterwards.
func TestAuthQuestionStopsTimeout(t *testing.T) {
	for _, kind := range netreplytest.Kinds {
		synctest.Test(t, func(t *testing.T) {
			s := netreplytest.NewServer(t, kind)
			s.Handle("/", &basicServer{})
			cfg := netreply.Config{TransferTimeout: time.Second, Ask: netreply.AskAuthentication}
			s.Configure(&cfg)
			r := newManager(t, cfg).Get(t.Context(), s.Request("/r/"))
			q := <-r.AuthenticationRequired()
			time.Sleep(time.Hour)
			q.SetCredentials("user", "pass")
			assert.Equal(t, "in", readBody(t, r))
		})
	}
}

// TestAuthUnknown: rule S52.
func TestAuthUnknown(t *testing.T) {
	for _, field := range []string{"", "Unknown realm=x", "Digest realm=x, nonce=y, algorithm=SHA-1", "Digest realm=x", "NTLMx", "Negotiate"} {
		eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
			if field != "" {
				w.Header().Set("WWW-Authenticate", field)
			}
			w.WriteHeader(401)
			io.WriteString(w, "no")
		}, netreply.Config{Ask: netreply.AskAuthentication}, func(t *testing.T, s *fixture) {
			r := s.m.Get(t.Context(), s.request("/"))
			b, err := r.ReadAll()
			require.ErrorIs(t, err, netreply.AuthenticationRequiredError, field)
			assert.Equal(t, "no", string(b))
			assert.NotContains(t, signalNames(t, r), "question")
		})
	}
}

// TestAuthManyRealms: a server with another realm in every response fills the cache only up
// to its limit, and is still answered.
func TestAuthManyRealms(t *testing.T) {
	s := &basicServer{}
	eachProtocol(t, s.ServeHTTP, netreply.Config{Credentials: []netreply.Credential{}}, func(t *testing.T, s *fixture) {
		if s.kind != testserver.Plain {
			return
		}
		req := s.request("/")
		req.OnSignal = answering(func(q *netreply.Authenticator) { q.SetCredentials("user", "pass") })
		for i := range 1100 {
			req.URL.Path = fmt.Sprintf("/realm%d/", i)
			require.NoError(t, s.m.Get(t.Context(), req).Wait(deadline(t)))
		}
	})
}

// TestAuthRoundLimit: a server that refuses all credentials does not keep a reply running
// forever.
func TestAuthRoundLimit(t *testing.T) {
	var n atomic.Int64
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Digest realm="r%d", nonce="n", stale=true`, n.Add(1)))
		w.WriteHeader(401)
	}, netreply.Config{OnSignal: answering(func(q *netreply.Authenticator) { q.SetCredentials("u", fmt.Sprint(n.Load())) })}, func(t *testing.T, s *fixture) {
		n.Store(0)
		require.ErrorIs(t, s.m.Get(t.Context(), s.request("/")).Wait(deadline(t)), netreply.AuthenticationRequiredError)
		assert.LessOrEqual(t, n.Load(), int64(32))
	})
}

// TestAuthLarge401: the body of a 401 can be read completely, whatever its size.
func TestAuthLarge401(t *testing.T) {
	large := strings.Repeat("x", 1<<20)
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		if _, _, ok := r.BasicAuth(); ok {
			return
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
		w.WriteHeader(401)
		io.WriteString(w, large)
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		b, err := s.m.Get(t.Context(), s.request("/")).ReadAll()
		require.ErrorIs(t, err, netreply.AuthenticationRequiredError)
		require.Equal(t, large, string(b))
		req := s.request("/")
		req.URL.User = url.UserPassword("a", "b")
		assert.Equal(t, "", readBody(t, s.m.Get(t.Context(), req)))
	})
}
