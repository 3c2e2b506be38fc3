package flow_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/internal/auth"
	"github.com/netreply/netreply/internal/flow"
	"github.com/netreply/netreply/internal/testserver"
)

var (
	right = &auth.Credentials{User: "u", Password: "p"}
	wrong = &auth.Credentials{User: "u", Password: "w"}
)

const rightLine = "Basic dTpw"

// answers returns the answers in turn, and none after the last.
func answers(list ...*auth.Credentials) func(*flow.PasswordQuestion) *auth.Credentials {
	return func(*flow.PasswordQuestion) (c *auth.Credentials) {
		if len(list) > 0 {
			c, list = list[0], list[1:]
		}
		return c
	}
}

// askBasic requires the credentials right with Basic, and returns the request body.
func askBasic(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if r.Header.Get("Authorization") == rightLine {
		fmt.Fprintf(w, "in %s", body)
		return
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
	w.WriteHeader(http.StatusUnauthorized)
	io.WriteString(w, strings.Repeat("who? ", 5000))
}

var challenged = strings.Repeat("who? ", 5000)

// TestLogin: a 401 is answered with the credentials of the Watcher, and accepted
// credentials are sent without a challenge from then on.
func TestLogin(t *testing.T) {
	eachKind(t, askBasic, func(t *testing.T, s *server) {
		q := s.request(http.MethodPost, "/", inMemory("text"))
		q.AsksPassword = true
		r := s.ok(&watcher{password: answers(wrong, right)}, q)
		assert.Equal(t, "in text", r.body)
		assert.Equal(t, []string{"sent", `password Basic "r"`, "sent", `password Basic "r", again`, "sent", "head 200 final"},
			r.told("sent", "password", "head"))
		assert.Len(t, r.told("connecting"), 1, "the connection is free while the program thinks")

		r = s.ok(new(watcher), s.get("/"))
		assert.Equal(t, "in ", r.body)
		assert.Equal(t, []string{"sent", "head 200 final"}, r.told("sent", "password", "head"))
		s.engine.ForgetLogins()
		assert.Equal(t, challenged, s.ok(new(watcher), s.get("/")).body)
	})
}

// TestLoginFreesConnection: the connection of a challenge is free during the question; its
// end is not reported.
func TestLoginFreesConnection(t *testing.T) {
	for _, ends := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			connection := "Connection: keep-alive\r\n"
			if ends {
				connection = "Connection: close\r\n"
			}
			c := newMemoryClient(t, func(c *testserver.Conn) {
				for {
					req, _, ok := c.Request()
					switch {
					case !ok:
						return
					case req.URL.Path == "/other" || req.Header.Get("Authorization") == rightLine:
						c.Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nin")
					default:
						c.Say(fmt.Sprintf("HTTP/1.1 401 Who\r\nWWW-Authenticate: Basic realm=r\r\n%sContent-Length: %d\r\n\r\n%s", connection, len(challenged), challenged))
						if ends {
							return
						}
					}
				}
			})
			defer c.close()
			w := &watcher{}
			w.password = func(q *flow.PasswordQuestion) *auth.Credentials {
				assert.Equal(t, "http://a/?b", q.URL.String(), "without user and fragment")
				if !ends {
					synctest.Wait()
					assert.Empty(t, c.doIn(t.Context(), new(watcher), get("http://a/other"), nil).told("connecting"))
				}
				return right
			}
			q := get("http://user@a/?b#c")
			q.AsksPassword = true
			r := c.doIn(t.Context(), w, q, nil)
			require.NoError(t, r.err)
			assert.Equal(t, "in", r.body)
			assert.Len(t, r.told("password"), 1)
			assert.Len(t, r.told("connecting"), 1)
		})
	}
}

// TestLoginGivenUp: without an answer, and with one that was refused before, the 401 is the
// final response, with its body.
func TestLoginGivenUp(t *testing.T) {
	eachKind(t, askBasic, func(t *testing.T, s *server) {
		for name, row := range map[string]struct {
			answers []*auth.Credentials
			log     []string
		}{
			"no answer":       {nil, []string{`password Basic "r"`}},
			"the same answer": {[]*auth.Credentials{wrong, wrong}, []string{`password Basic "r"`, `password Basic "r", again`}},
		} {
			for _, waits := range []bool{true, false} {
				q := s.get("/")
				q.AsksPassword = waits
				r := s.ok(&watcher{password: answers(row.answers...)}, q)
				assert.Equal(t, http.StatusUnauthorized, r.resp.StatusCode)
				assert.Equal(t, challenged, r.body, name)
				assert.Equal(t, row.log, r.told("password"), name)
				assert.Len(t, r.heads, 1)
			}
		}
	})
}

// TestLoginReported: with NoLogin the question is only reported (rule A12); an
// Authorization field of the program is neither asked about nor replaced (rule U4).
func TestLoginReported(t *testing.T) {
	s := newServer(t, testserver.Plain, askBasic)
	q := s.get("/")
	q.NoLogin = true
	q.URL.User = get("http://u:p@a/").URL.User
	r := s.ok(&watcher{password: answers(right)}, q)
	assert.Equal(t, challenged, r.body)
	assert.Equal(t, []string{`password Basic "r", told`}, r.told("password"))

	q = s.get("/")
	q.AsksPassword = true
	q.Headers = headers.New("authorization", "Mine")
	r = s.ok(&watcher{password: answers(right)}, q)
	assert.Equal(t, challenged, r.body)
	assert.Empty(t, r.told("password"))

	q.Headers.Set("Authorization", rightLine)
	assert.Equal(t, "in ", s.ok(new(watcher), q).body)
}

// TestLoginAborted: after an abort during a question or a report, nothing is sent.
func TestLoginAborted(t *testing.T) {
	s := newServer(t, testserver.Plain, askBasic)
	for _, told := range []bool{true, false} {
		aborted := errors.New("aborted")
		ctx, cancel := context.WithCancelCause(t.Context())
		w := &watcher{password: func(*flow.PasswordQuestion) *auth.Credentials { cancel(aborted); return right }}
		q := s.get("/")
		q.AsksPassword, q.NoLogin = !told, told
		r := s.doIn(ctx, w, q, nil)
		assert.Equal(t, aborted, r.err)
		assert.Nil(t, r.resp)
		assert.Len(t, r.told("sent"), 1)
	}
}

// TestLoginOfURL: user information of the URL is used without a question.
func TestLoginOfURL(t *testing.T) {
	s := newServer(t, testserver.Plain, askBasic)
	q := s.get("/")
	q.URL.User = get("http://u:p@a/").URL.User
	r := s.ok(new(watcher), q)
	assert.Equal(t, "in ", r.body)
	assert.Empty(t, r.told("password"))
}

// TestLoginStored: stored credentials are used without a question.
func TestLoginStored(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(askBasic))
	c := newClient(t, nil, "", func(c *flow.Config) { c.Stored = []auth.Stored{{Origin: s.URL, Credentials: right}} })
	r := c.ok(new(watcher), get(s.URL+"/"))
	assert.Equal(t, "in ", r.body)
	assert.Empty(t, r.told("password"))
}

// TestLoginRounds: a server that refuses all credentials fails the transfer.
func TestLoginRounds(t *testing.T) {
	var n atomic.Int64
	s := newServer(t, testserver.Plain, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf("Basic realm=%d", n.Add(1)))
		w.WriteHeader(http.StatusUnauthorized)
	})
	q := s.get("/")
	q.AsksPassword = true
	r := s.do(&watcher{password: func(q *flow.PasswordQuestion) *auth.Credentials { return &auth.Credentials{User: q.Realm} }}, q)
	var e *auth.Error
	require.ErrorAs(t, r.err, &e)
	assert.ErrorIs(t, e, auth.ErrTooManyRounds)
	assert.Same(t, auth.Server, e.Role)
	assert.Nil(t, r.resp)
	assert.EqualValues(t, auth.MaxRounds, n.Load())
}

// TestLoginQuestions: at most MaxQuestions are asked for all hops together.
func TestLoginQuestions(t *testing.T) {
	s := newServer(t, testserver.Plain, func(w http.ResponseWriter, r *http.Request) {
		if user, _, _ := r.BasicAuth(); user != r.URL.RawQuery {
			w.Header().Set("WWW-Authenticate", "Basic realm="+r.URL.RawQuery)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		http.Redirect(w, r, "/?x"+r.URL.RawQuery, http.StatusFound)
	})
	q := s.get("/?x")
	q.AsksPassword, q.MaxRedirects = true, 100
	r := s.ok(&watcher{password: func(q *flow.PasswordQuestion) *auth.Credentials { return &auth.Credentials{User: q.Realm} }}, q)
	assert.Equal(t, http.StatusUnauthorized, r.resp.StatusCode)
	assert.Len(t, r.told("password"), flow.MaxQuestions)
}

// TestLoginNotResent: a body that cannot be sent again fails the transfer, but the answer
// is used for the next one.
func TestLoginNotResent(t *testing.T) {
	eachKind(t, askBasic, func(t *testing.T, s *server) {
		q := s.request(http.MethodPost, "/", onlyOnce("text"))
		q.AsksPassword = true
		r := s.do(&watcher{password: answers(right)}, q)
		var e *flow.Error
		require.ErrorAs(t, r.err, &e)
		assert.Equal(t, flow.NotResent, e.Kind)
		assert.Nil(t, r.resp)
		assert.Equal(t, "in text", s.ok(new(watcher), s.request(http.MethodPost, "/", onlyOnce("text"))).body)
	})
}

// TestLoginTakesTurns: of several transfers that need the same answer one asks, and the
// others wait for it.
func TestLoginTakesTurns(t *testing.T) {
	const transfers = 5
	var challenges sync.WaitGroup
	challenges.Add(transfers)
	s := newServer(t, testserver.Plain, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			challenges.Done()
		}
		askBasic(w, r)
	})
	var asked atomic.Int64
	done := make(chan result)
	for range transfers {
		go func() {
			q := s.get("/")
			q.AsksPassword = true
			done <- s.do(&watcher{password: func(*flow.PasswordQuestion) *auth.Credentials {
				asked.Add(1)
				challenges.Wait()
				return right
			}}, q)
		}()
	}
	for range transfers {
		r := <-done
		require.NoError(t, r.err)
		assert.Equal(t, "in ", r.body)
	}
	assert.EqualValues(t, 1, asked.Load())
}

// TestLoginPausesClock: an answer or a token may take any time.
func TestLoginPausesClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newMemoryClient(t, func(c *testserver.Conn) {
			for {
				req, _, ok := c.Request()
				switch {
				case !ok:
					return
				case req.Header.Get("Authorization") != "":
					c.Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nin")
				default:
					c.Say("HTTP/1.1 401 Who\r\nWWW-Authenticate: Basic realm=r\r\nContent-Length: 0\r\n\r\n")
				}
			}
		})
		defer c.close()
		var expired atomic.Bool
		for _, bearer := range []bool{false, true} {
			w := &watcher{
				password: func(*flow.PasswordQuestion) *auth.Credentials { time.Sleep(time.Hour); return right },
				token:    func(string) (string, error) { time.Sleep(time.Hour); return "one", nil },
			}
			clock := flow.NewClock(time.Second, func() { expired.Store(true) })
			clock.Start()
			q := get("http://a/")
			q.AsksPassword, q.Bearer = true, bearer
			r := c.doIn(t.Context(), w, q, func(t *flow.Transfer) { t.Clock = clock })
			clock.Stop()
			require.NoError(t, r.err)
			assert.Equal(t, "in", r.body)
			assert.Len(t, r.told("password", "token"), 1)
		}
		assert.False(t, expired.Load())
	})
}

// TestBearer: a token is sent without a challenge, and another one, once, if it is refused.
// It is sent to its origin only.
func TestBearer(t *testing.T) {
	ask := func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusFound)
			return
		}
		if line := r.Header.Get("Authorization"); r.URL.Path == "/show" || line == "Bearer two" {
			io.WriteString(w, "in "+line)
			return
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="r", Basic realm="r"`)
		w.WriteHeader(http.StatusUnauthorized)
	}
	s, other := newServer(t, testserver.Plain, ask), newServer(t, testserver.Plain, ask)
	do := func(path string, tokens ...string) result {
		q := s.get(path)
		q.Bearer, q.AsksPassword = true, true
		return s.do(&watcher{password: answers(right), token: func(string) (token string, err error) {
			if len(tokens) == 0 {
				return "", errors.New("no more")
			}
			token, tokens = tokens[0], tokens[1:]
			return token, nil
		}}, q)
	}
	r := do("/", "one", "two")
	require.NoError(t, r.err)
	assert.Equal(t, "in Bearer two", r.body)
	assert.Equal(t, []string{`token not ""`, `token not "one"`}, r.told("token", "password"))

	r = do("/", "one", "three")
	require.NoError(t, r.err)
	assert.Equal(t, http.StatusUnauthorized, r.resp.StatusCode)
	assert.Empty(t, r.told("password"), "a bearer token is final")

	for _, tokens := range [][]string{nil, {"one"}} {
		r = do("/", tokens...)
		var e *auth.Error
		require.ErrorAs(t, r.err, &e)
		assert.Same(t, auth.Server, e.Role)
		assert.Len(t, r.told("sent"), len(tokens))
	}

	r = do("/?to="+other.URL+"/show", "two")
	require.NoError(t, r.err)
	assert.Equal(t, "in ", r.body)
	assert.Len(t, r.told("token"), 1)
	r = do("/?to=/show", "two", "two")
	require.NoError(t, r.err)
	assert.Equal(t, "in Bearer two", r.body)
}

// askDigestOfBody requires the password p with Digest and qop=auth-int.
func askDigestOfBody(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if line := r.Header.Get("Authorization"); strings.Contains(line, "qop=auth-int") {
		if r.URL.Path == "/last" {
			w.Header().Set("Connection", "close")
		}
		w.Write(body)
		return
	}
	w.Header().Set("WWW-Authenticate", `Digest realm="r", nonce="n", qop="auth-int"`)
	w.WriteHeader(http.StatusUnauthorized)
}

// TestLoginHashesBody: for auth-int the body is read before it is sent from its beginning;
// one that cannot be read twice fails the transfer.
func TestLoginHashesBody(t *testing.T) {
	for name, body := range map[string]func(string) *flow.Payload{"memory": inMemory, "source": fromSource} {
		t.Run(name, func(t *testing.T) {
			eachKind(t, askDigestOfBody, func(t *testing.T, s *server) {
				q := s.request(http.MethodPost, "/", body("text"))
				q.AsksPassword = true
				assert.Equal(t, "text", s.ok(&watcher{password: answers(right)}, q).body)
				r := s.ok(new(watcher), s.request(http.MethodPost, "/last", body("more text")))
				assert.Equal(t, "more text", r.body)
				assert.Len(t, r.told("sent"), 1, "unasked")
				if !s.http2() { // the connection was closed
					r = s.ok(new(watcher), s.request(http.MethodPost, "/", body("text")))
					assert.Equal(t, "text", r.body)
					assert.Len(t, r.told("sent"), 1)
					assert.Len(t, r.told("connecting"), 1, "it is the first sending of this transfer")
				}

				r = s.do(new(watcher), s.request(http.MethodPost, "/", onlyOnce("text")))
				var e *flow.Error
				require.ErrorAs(t, r.err, &e)
				assert.Equal(t, flow.BodyDigest, e.Kind)
				assert.ErrorIs(t, r.err, flow.ErrNotRewindable)
				assert.Empty(t, r.told("sent"))
			})
		})
	}
}

// TestLoginHashesAfterRead: if a Read of the source is running when a 401 arrives, the
// source is read for the digest after that Read has returned.
func TestLoginHashesAfterRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newSlowSource()
		c := newMemoryClient(t, func(c *testserver.Conn) {
			req, ok := c.Head()
			switch {
			case !ok:
			case strings.Contains(req.Header.Get("Authorization"), "auth-int"):
				body, _ := io.ReadAll(req.Body)
				c.Say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
			default:
				<-source.begun
				c.Say("HTTP/1.1 401 Who\r\nConnection: close\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth-int\"\r\nContent-Length: 0\r\n\r\n")
			}
		})
		defer c.close()
		q := request(http.MethodPost, "http://a/", &flow.Payload{Size: 4, Rewindable: true, Blocks: true, Open: source.open})
		q.AsksPassword = true
		done := make(chan result, 1)
		w := &watcher{password: answers(right)}
		go func() { done <- c.do(w, q) }()
		synctest.Wait()
		assert.Len(t, w.told("password"), 1)
		assert.EqualValues(t, 1, source.opened.Load())
		close(source.free)
		r := <-done
		require.NoError(t, r.err)
		assert.Equal(t, "text", r.body)
		assert.EqualValues(t, 3, source.opened.Load())
		assert.False(t, source.clash.Load(), "opened while it was read")
	})
}

// TestLoginHashingAborted: a source that blocks while it is read for a digest does not
// block the transfer.
func TestLoginHashingAborted(t *testing.T) {
	s := newServer(t, testserver.Plain, askDigestOfBody)
	source := newSlowSource()
	defer close(source.free)
	aborted := errors.New("aborted")
	ctx, cancel := context.WithCancelCause(t.Context())
	q := s.request(http.MethodPost, "/", &flow.Payload{Size: 4, Rewindable: true, Blocks: true, Owned: true, Open: func() (io.Reader, error) {
		src, err := source.open()
		if source.opened.Load() == 1 {
			return strings.NewReader("text"), err
		}
		return readerFunc(func(p []byte) (int, error) { cancel(aborted); return src.Read(p) }), err
	}})
	q.AsksPassword = true
	r := s.doIn(ctx, &watcher{password: answers(right)}, q, nil)
	assert.Equal(t, aborted, r.err)
	assert.EqualValues(t, 2, source.opened.Load())
}

// slowSource is a source of "text" for one reader at a time, whose Reads wait for free.
type slowSource struct {
	free            chan struct{}
	begun           chan struct{} // closed by the first Read
	once            sync.Once
	opened, reading atomic.Int64
	clash           atomic.Bool
}

func newSlowSource() *slowSource {
	return &slowSource{free: make(chan struct{}), begun: make(chan struct{})}
}

func (s *slowSource) open() (io.Reader, error) {
	s.opened.Add(1)
	if s.reading.Load() > 0 {
		s.clash.Store(true)
	}
	text := strings.NewReader("text")
	return readerFunc(func(p []byte) (int, error) {
		s.reading.Add(1)
		defer s.reading.Add(-1)
		s.once.Do(func() { close(s.begun) })
		<-s.free
		return text.Read(p)
	}), nil
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestLoginOfConnection: NTLM uses one connection, whose requests need no credentials
// afterwards.
func TestLoginOfConnection(t *testing.T) {
	var mu sync.Mutex
	var told []string
	s, _ := testserver.NewConnOrigin(t, testserver.Plain, testserver.NTLMHandler(func(line string) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, line)
	}))
	c := newClient(t, nil, "")
	q := request(http.MethodPost, s.URL, inMemory(" text"))
	q.AsksPassword = true
	r := c.ok(&watcher{password: answers(&auth.Credentials{User: `DOM\u`, Password: "p"})}, q)
	assert.Equal(t, `DOM\u text`, r.body)
	assert.Len(t, r.told("sent"), 3)
	assert.Equal(t, []string{"asked"}, told)

	r = c.ok(new(watcher), get(s.URL))
	assert.Equal(t, `DOM\u`, r.body)
	assert.Equal(t, []string{"carrier reused"}, r.told("carrier"))
}

// TestLoginProof: a wrong proof of the server fails the transfer, at the end of the body if
// the proof covers it.
func TestLoginProof(t *testing.T) {
	for qop, late := range map[string]bool{"auth": false, "auth-int": true} {
		s := newServer(t, testserver.Plain, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "" {
				w.Header().Set("WWW-Authenticate", `Digest realm="r", nonce="n", qop="`+qop+`"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			w.Header().Set("Authentication-Info", `rspauth="00000000000000000000000000000000", qop=`+qop)
			io.WriteString(w, "body")
		})
		q := s.get("/")
		q.AsksPassword = true
		r := s.do(&watcher{password: answers(right)}, q)
		require.ErrorIs(t, r.err, auth.ErrUnproven)
		assert.Equal(t, late, r.resp != nil)
		if late {
			assert.Equal(t, "body", r.body)
		}
	}
}
