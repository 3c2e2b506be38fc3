package netreply_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// pskByCertificate is a PSKDialer that asks for the key and then makes a handshake without
// verifying the certificate.
type pskByCertificate struct{}

func (pskByCertificate) Handshake(ctx context.Context, conn net.Conn, p netreply.PSKParameters) (net.Conn, tls.ConnectionState, error) {
	q := &netreply.PreSharedKeyAuthenticator{IdentityHint: []byte("hint"), MaximumIdentityLength: 10, MaximumPreSharedKeyLength: 10}
	if err := p.Ask(q); err != nil {
		return nil, tls.ConnectionState{}, err
	}
	c := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	err := c.HandshakeContext(ctx)
	return c, c.ConnectionState(), err
}

// questionSite is a site behind a proxy. A request for it causes every kind of question:
// for the password of the proxy, about an untrusted certificate or with psk for a key, for
// a password, and about a redirect. The body of the last response waits for end.
type questionSite struct {
	cfg netreply.Config
	req *netreply.Request
	end chan struct{}
}

const questionBody = "0123456789"

func newQuestionSite(t testing.TB, psk bool) *questionSite {
	s := &questionSite{end: make(chan struct{})}
	origin := testserver.NewRaw(t, &tls.Config{Certificates: []tls.Certificate{selfSigned(t, "127.0.0.1")}}, func(c *testserver.Conn) {
		for {
			req, ok := c.Head()
			if !ok {
				return
			}
			user, password, _ := req.BasicAuth()
			switch {
			case user+password != "gopherburrow":
				c.Say("HTTP/1.1 401 Who\r\nWWW-Authenticate: Basic realm=\"the site\"\r\nContent-Length: 0\r\n\r\n")
			case req.URL.Path == "/":
				c.Say("HTTP/1.1 302 There\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n")
			default:
				io.Copy(io.Discard, req.Body)
				c.Say("HTTP/1.1 103 Early\r\n\r\n")
				c.Say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + questionBody[:5])
				<-s.end
				c.Say(questionBody[5:])
			}
		}
	})
	proxy := testserver.NewProxy(t, origin.Addr, nil)
	proxy.RequireLogin("user", "pass")
	s.cfg.Proxy = proxyAt(netreply.HTTPProxy, proxy.Addr)
	s.cfg.SSLConfiguration = &netreply.SSLConfiguration{}
	if psk {
		s.cfg.SSLConfiguration.PSK = pskByCertificate{}
	}
	s.req = newRequest(t, "https://127.0.0.1:1/")
	s.req.RedirectPolicy = netreply.UserVerifiedRedirectPolicy
	return s
}

func (s *questionSite) finish() { close(s.end) }

// askAll waits for all kinds except pre-shared keys, which need a PSKDialer.
const askAll = netreply.AskProxyAuthentication | netreply.AskSSLErrors | netreply.AskAuthentication

// yes answers a question so that the reply continues.
func yes(q netreply.Question) bool {
	switch q := q.(type) {
	case *netreply.ProxyAuthenticator:
		return q.SetCredentials("user", "pass")
	case *netreply.SSLErrors:
		return q.Ignore()
	case *netreply.PreSharedKeyAuthenticator:
		return q.Set([]byte("me"), []byte("key"))
	case *netreply.Authenticator:
		return q.SetCredentials("gopher", "burrow")
	case *netreply.Redirect:
		return q.Allow()
	}
	return false
}

func kindOf(q netreply.Question) string { return reflect.TypeOf(q).Elem().Name() }

// kindsOf are the questions of a reply from questionSite, in order.
func kindsOf(psk bool) []string {
	if psk {
		return []string{"ProxyAuthenticator", "PreSharedKeyAuthenticator", "Authenticator", "Redirect"}
	}
	return []string{"ProxyAuthenticator", "SSLErrors", "Authenticator", "Redirect"}
}

func eachKeying(t *testing.T, f func(t *testing.T, psk bool, s *questionSite)) {
	for _, psk := range []bool{false, true} {
		t.Run(fmt.Sprint("psk=", psk), func(t *testing.T) { f(t, psk, newQuestionSite(t, psk)) })
	}
}

// TestAnswer: one function answers all kinds: that of the Request, or else of the Manager.
func TestAnswer(t *testing.T) {
	for _, ofManager := range []bool{false, true} {
		eachKeying(t, func(t *testing.T, psk bool, s *questionSite) {
			var kinds []string
			var asking *netreply.Reply
			answer := func(ctx context.Context, q netreply.Question) {
				assert.NoError(t, ctx.Err())
				asking = q.Reply()
				kinds = append(kinds, kindOf(q))
				assert.True(t, yes(q))
				assert.False(t, yes(q), "the first answer counts")
			}
			if ofManager {
				s.cfg.Answer = answer
			} else {
				s.cfg.Answer = func(context.Context, netreply.Question) { t.Error("the Request has its own") }
				s.req.Answer = answer
			}
			s.finish()
			r := newManager(t, s.cfg).Get(deadline(t), s.req)
			body, err := r.ReadAll()
			require.NoError(t, err)
			assert.Equal(t, questionBody, string(body))
			assert.Equal(t, kindsOf(psk), kinds)
			assert.Same(t, r, asking)
		})
	}
}

// TestQuestions: a loop over all kinds ends with the final head, although the body is not
// read.
func TestQuestions(t *testing.T) {
	eachKeying(t, func(t *testing.T, psk bool, s *questionSite) {
		s.req.Ask = askAll
		if psk {
			s.req.Ask |= netreply.AskPreSharedKey
		}
		r := newManager(t, s.cfg).Get(deadline(t), s.req)
		var kinds []string
		for q := range r.Questions() {
			kinds = append(kinds, kindOf(q))
			assert.Same(t, r, q.Reply())
			assert.True(t, yes(q))
		}
		assert.Equal(t, kindsOf(psk), kinds)
		assert.True(t, r.IsRunning())
		assert.Equal(t, 200, r.StatusCode())
		s.finish()
		body, err := r.ReadAll()
		require.NoError(t, err)
		assert.Equal(t, questionBody, string(body))

		kinds = nil
		for q := range r.Questions() { // the same channel
			kinds = append(kinds, kindOf(q))
		}
		assert.Empty(t, kinds)
	})
}

// TestQuestionChannels: a program with a loop for each kind, and one with a select.
func TestQuestionChannels(t *testing.T) {
	t.Run("range", func(t *testing.T) {
		eachKeying(t, func(t *testing.T, psk bool, s *questionSite) {
			s.req.Ask = askAll
			if psk {
				s.req.Ask |= netreply.AskPreSharedKey
			}
			r := newManager(t, s.cfg).Get(deadline(t), s.req)
			var all sync.WaitGroup
			var answered [5]int
			all.Go(func() { answered[0] = answerEach(r.ProxyAuthenticationRequired()) })
			all.Go(func() { answered[1] = answerEach(r.SSLErrors()) })
			all.Go(func() { answered[2] = answerEach(r.PreSharedKeyAuthenticationRequired()) })
			all.Go(func() { answered[3] = answerEach(r.AuthenticationRequired()) })
			all.Go(func() { answered[4] = answerEach(r.Redirected()) })
			all.Wait() // before the body was received
			if psk {
				assert.Equal(t, [5]int{1, 0, 1, 1, 1}, answered)
			} else {
				assert.Equal(t, [5]int{1, 1, 0, 1, 1}, answered)
			}
			s.finish()
			require.NoError(t, r.Wait(deadline(t)))
		})
	})
	t.Run("select", func(t *testing.T) {
		eachKeying(t, func(t *testing.T, psk bool, s *questionSite) {
			s.req.Ask = askAll
			if psk {
				s.req.Ask |= netreply.AskPreSharedKey
			}
			s.finish()
			r := newManager(t, s.cfg).Get(deadline(t), s.req)
			for running := true; running; {
				select { // a closed channel delivers nil, which accepts no answer
				case q := <-r.ProxyAuthenticationRequired():
					q.SetCredentials("user", "pass")
				case q := <-r.SSLErrors():
					q.Ignore()
				case q := <-r.PreSharedKeyAuthenticationRequired():
					q.Set([]byte("me"), []byte("key"))
				case q := <-r.AuthenticationRequired():
					q.SetCredentials("gopher", "burrow")
				case q := <-r.Redirected():
					q.Allow()
				case <-r.Finished():
					running = false
				}
			}
			require.NoError(t, r.Err())
		})
	})
}

// answerEach answers all questions of a channel, and returns how many answers were
// accepted.
func answerEach[Q netreply.Question](ch <-chan Q) (n int) {
	for q := range ch {
		if yes(q) {
			n++
		}
	}
	return n
}

// TestUnanswered: a question that is open when Answer returns gets the safe answer.
func TestUnanswered(t *testing.T) {
	eachKeying(t, func(t *testing.T, psk bool, s *questionSite) {
		s.finish()
		codes := []netreply.NetworkError{netreply.ProxyAuthenticationRequiredError, netreply.SslHandshakeFailedError,
			netreply.AuthenticationRequiredError, netreply.OperationCanceledError}
		for i, kind := range kindsOf(psk) {
			var left netreply.Question
			s.req.Answer = func(_ context.Context, q netreply.Question) {
				if kindOf(q) == kind {
					left = q
				} else {
					yes(q)
				}
			}
			m := newManager(t, s.cfg)
			require.ErrorIs(t, m.Get(deadline(t), s.req).Wait(deadline(t)), codes[i], kind)
			require.NotNil(t, left, kind)
			assert.False(t, yes(left), "%s: it is answered", kind)
			m.Close()
		}
	})
}

// TestAnswerNotNeeded: Answer is not called if the answer is known, if OnSignal has given
// it, or if the redirect policy has decided.
func TestAnswerNotNeeded(t *testing.T) {
	for name, know := range map[string]func(s *questionSite){
		"settings": func(s *questionSite) {
			s.cfg.Proxy.User, s.cfg.Proxy.Password = "user", "pass"
			s.cfg.Credentials = []netreply.Credential{{Origin: "https://127.0.0.1:1", User: "gopher", Password: "burrow"}}
			s.req.IgnoreAllSSLErrors = true
			s.req.RedirectPolicy = netreply.SameOriginRedirectPolicy
		},
		"OnSignal": func(s *questionSite) {
			s.req.OnSignal = func(_ *netreply.Reply, e netreply.Event) {
				switch e := e.(type) {
				case netreply.ProxyAuthenticationRequired:
					yes(e.ProxyAuthenticator)
				case netreply.SSLErrorsOccurred:
					yes(e.SSLErrors)
				case netreply.AuthenticationRequired:
					yes(e.Authenticator)
				case netreply.Redirected:
					yes(e.Redirect)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newQuestionSite(t, false)
			know(s)
			s.finish()
			s.req.Answer = func(_ context.Context, q netreply.Question) { t.Errorf("asked: %v", q) }
			r := newManager(t, s.cfg).Get(deadline(t), s.req)
			body, err := r.ReadAll()
			require.NoError(t, err)
			assert.Equal(t, questionBody, string(body))
			if name == "settings" {
				for q := range r.Questions() {
					t.Errorf("a question, not only news: %v", q)
				}
				n := 0
				for q := range r.Redirected() {
					n++
					assert.False(t, q.Deny())
					assert.Same(t, r, q.Reply())
				}
				for q := range r.SSLErrors() {
					n++
					assert.False(t, q.Reject())
					assert.Same(t, r, q.Reply())
				}
				assert.Equal(t, 2, n)
			}
		})
	}
}

// TestNotAsked: without Ask and Answer the reply does not wait; the signals are emitted.
func TestNotAsked(t *testing.T) {
	s := newQuestionSite(t, false)
	s.finish()
	r := newManager(t, s.cfg).Get(deadline(t), s.req)
	for q := range r.Questions() {
		t.Errorf("%v", q)
	}
	require.ErrorIs(t, r.Wait(deadline(t)), netreply.ProxyAuthenticationRequiredError)
	q := <-r.ProxyAuthenticationRequired()
	require.NotNil(t, q)
	assert.False(t, yes(q))
}

// TestAnswerOnce: of several replies that need the same password one asks. If Answer leaves
// its question open, the next one asks.
func TestAnswerOnce(t *testing.T) {
	const replies = 8
	for _, row := range []struct {
		answer func(*netreply.Authenticator)
		asked  int64
		err    error
	}{
		{func(q *netreply.Authenticator) { q.SetCredentials("u", "p") }, 1, nil},
		{func(*netreply.Authenticator) {}, replies, netreply.AuthenticationRequiredError},
	} {
		var refused sync.WaitGroup
		refused.Add(replies)
		s, _ := testserver.NewOrigin(t, testserver.H2C, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, _, ok := r.BasicAuth(); !ok {
				refused.Done()
				refused.Wait() // so that all need the password
				w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
				w.WriteHeader(http.StatusUnauthorized)
			}
		}))
		var asked atomic.Int64
		m := newManager(t, netreply.Config{Answer: func(_ context.Context, q netreply.Question) {
			asked.Add(1)
			row.answer(q.(*netreply.Authenticator))
		}})
		req := newRequest(t, s.URL)
		req.HTTP = netreply.HTTP2Direct
		var list []*netreply.Reply
		for range replies {
			list = append(list, m.Get(deadline(t), req))
		}
		for _, r := range list {
			assert.ErrorIs(t, r.Wait(deadline(t)), row.err)
		}
		assert.Equal(t, row.asked, asked.Load())
	}
}

// TestAnswerByChannel: an answer by a channel while Answer runs is the first one.
func TestAnswerByChannel(t *testing.T) {
	s := newQuestionSite(t, false)
	s.finish()
	var r *netreply.Reply
	started := make(chan struct{})
	s.req.Answer = func(_ context.Context, q netreply.Question) {
		<-started
		assert.True(t, yes(<-r.Questions()))
		assert.False(t, yes(q))
	}
	r = newManager(t, s.cfg).Get(deadline(t), s.req)
	close(started)
	require.NoError(t, r.Wait(deadline(t)))
}

// TestAbortWhileAnswering: the reply ends without waiting for Answer, whose context ends
// with it; the question accepts no answer any more.
func TestAbortWhileAnswering(t *testing.T) {
	eachKeying(t, func(t *testing.T, psk bool, s *questionSite) {
		s.finish()
		for _, kind := range kindsOf(psk) {
			inside, returned := make(chan struct{}), make(chan struct{})
			s.req.Answer = func(ctx context.Context, q netreply.Question) {
				if kindOf(q) != kind {
					yes(q)
					return
				}
				close(inside)
				<-ctx.Done()
				assert.False(t, yes(q), kind)
				close(returned)
			}
			m := newManager(t, s.cfg)
			r := m.Get(deadline(t), s.req)
			<-inside
			r.Abort()
			assert.True(t, r.IsFinished())
			require.ErrorIs(t, r.Err(), netreply.OperationCanceledError)
			<-returned
			m.Close()
		}
	})
}

// TestWaitInsideAnswer: methods that wait do not hang inside Answer, for any question
// (point 10).
func TestWaitInsideAnswer(t *testing.T) {
	eachKeying(t, func(t *testing.T, psk bool, s *questionSite) {
		s.finish()
		for way, wait := range waits {
			var kinds []string
			m := newManager(t, s.cfg)
			s.req.Answer = func(_ context.Context, q netreply.Question) {
				kinds = append(kinds, kindOf(q))
				r := q.Reply()
				got, err := wait(r)
				assert.ErrorIs(t, err, netreply.ErrInsideOnSignal, way)
				assert.Empty(t, got)
				last := ""
				for e := range r.Events(context.Background()) {
					last = signalName(e)
				}
				assert.NotEqual(t, "finished", last)
				for range m.Events(context.Background()) {
				}
				for range m.Finished(context.Background()) {
				}
				assert.NoError(t, r.Err())
				yes(q)
			}
			r := m.Get(deadline(t), s.req)
			require.NoError(t, r.Wait(deadline(t)), way)
			assert.Equal(t, kindsOf(psk), kinds, way)
			m.Close()
		}
	})
}

// TestWaitInsideEveryOnSignal: the same inside OnSignal at every kind of signal.
func TestWaitInsideEveryOnSignal(t *testing.T) {
	for way, wait := range waits {
		kinds := map[string]bool{}
		eachKeying(t, func(t *testing.T, psk bool, s *questionSite) {
			s.finish()
			m := newManager(t, s.cfg)
			s.req.EmitAllUploadProgress = true
			s.req.OnSignal = func(r *netreply.Reply, e netreply.Event) {
				kinds[signalName(e)] = true
				if _, err := wait(r); r.IsRunning() && r.Err() == nil {
					assert.ErrorIs(t, err, netreply.ErrInsideOnSignal, "%s at %v", way, e)
				}
				switch e := e.(type) {
				case netreply.ProxyAuthenticationRequired:
					yes(e.ProxyAuthenticator)
				case netreply.SSLErrorsOccurred:
					yes(e.SSLErrors)
				case netreply.PreSharedKeyAuthenticationRequired:
					yes(e.PreSharedKeyAuthenticator)
				case netreply.AuthenticationRequired:
					yes(e.Authenticator)
				case netreply.Redirected:
					yes(e.Redirect)
				case netreply.DownloadProgress:
					r.Abort()
				case netreply.ReadyRead:
					if psk {
						r.Abort() // the remaining calls are made from here
					}
				}
			}
			r := m.Put(deadline(t), s.req, netreply.StringBody("x"))
			r.Wait(deadline(t))
			for range r.Finished() {
			}
			m.Close() // waits for the last call
		})
		assert.Len(t, kinds, 15, "%v", kinds)
	}
}

// TestWaitInsideOnSignalOfAbort: the same if OnSignal is called on the goroutine of an
// Abort.
func TestWaitInsideOnSignalOfAbort(t *testing.T) {
	s := newQuestionSite(t, false)
	for way, wait := range waits {
		m := newManager(t, s.cfg)
		inside := make(chan struct{})
		s.req.Answer = func(ctx context.Context, _ netreply.Question) { // the transfer is blocked here, not in OnSignal
			close(inside)
			<-ctx.Done()
		}
		var told []string
		s.req.OnSignal = func(r *netreply.Reply, e netreply.Event) {
			if told = append(told, signalName(e)); r.Err() != nil {
				_, err := wait(r)
				assert.ErrorIs(t, err, netreply.OperationCanceledError, way)
			}
		}
		r := m.Get(deadline(t), s.req)
		<-inside
		r.Abort()
		assert.Equal(t, []string{"OperationCanceledError", "down", "finished"}, told[len(told)-3:], way)
		m.Close()
	}
}

// TestCloseInsideAnswer: Manager and Reply can be closed inside Answer.
func TestCloseInsideAnswer(t *testing.T) {
	for name, end := range map[string]func(*netreply.Reply){
		"Close":         func(r *netreply.Reply) { r.Close() },
		"Abort":         func(r *netreply.Reply) { r.Abort() },
		"Manager.Close": func(r *netreply.Reply) { r.Manager().Close() },
	} {
		eachKeying(t, func(t *testing.T, psk bool, s *questionSite) {
			s.finish()
			for _, kind := range kindsOf(psk) {
				m := newManager(t, s.cfg)
				s.req.Answer = func(_ context.Context, q netreply.Question) {
					if kindOf(q) == kind {
						end(q.Reply())
						assert.True(t, q.Reply().IsFinished(), name)
					}
					yes(q)
				}
				require.ErrorIs(t, m.Get(deadline(t), s.req).Wait(deadline(t)), netreply.OperationCanceledError, name)
				m.Close()
			}
		})
	}
}

// TestManagerEventsInsideOnSignal: Manager.Events ends where it would wait.
func TestManagerEventsInsideOnSignal(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "body") }))
	m := newManager(t, netreply.Config{})
	req := newRequest(t, s.URL)
	calls := 0
	req.OnSignal = func(*netreply.Reply, netreply.Event) {
		calls++
		for range m.Events(context.Background()) {
		}
		for range m.Finished(context.Background()) {
		}
	}
	_, err := m.Get(t.Context(), req).ReadAll()
	require.NoError(t, err)
	m.Close() // waits for the last call
	assert.Positive(t, calls)
}

// TestAnswerPausesTimeout: the transfer timeout is paused while Answer runs.
func TestAnswerPausesTimeout(t *testing.T) {
	serve := func(c net.Conn, r *bufio.Reader) {
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if req.URL.Path == "/" {
				io.WriteString(c, "HTTP/1.1 302 There\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n")
			} else {
				io.WriteString(c, "HTTP/1.1 204 OK\r\n\r\n")
			}
		}
	}
	bubble(t, netreply.Config{TransferTimeout: time.Second, RedirectPolicy: netreply.UserVerifiedRedirectPolicy}, serve, func(t *testing.T, m *netreply.Manager) {
		req := get(t, "/")
		req.Answer = func(_ context.Context, q netreply.Question) {
			<-time.After(time.Hour)
			yes(q)
		}
		require.NoError(t, m.Get(context.Background(), req).Wait(context.Background()))
	})
}

// TestRedirectLoops: the simplest loops over redirects end, ten thousand times.
func TestRedirectLoops(t *testing.T) {
	times := 10_000
	if raceEnabled || testing.Short() {
		times = 500
	}
	body := strings.Repeat("x", 64)
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		for {
			req, ok := c.Head()
			if !ok {
				return
			}
			if req.URL.Path == "/" {
				c.Say("HTTP/1.1 302 There\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n")
			} else {
				c.Say("HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n" + body)
			}
		}
	})
	// the transfer ends only after the body was read
	m := newManager(t, netreply.Config{RedirectPolicy: netreply.UserVerifiedRedirectPolicy, ReadBufferSize: 16})
	req := newRequest(t, s.URL())
	ctx := context.Background()
	each := func(t *testing.T, loop func(*netreply.Reply) string) {
		for range times {
			r := m.Get(ctx, req)
			if got := loop(r); got != body || r.Err() != nil {
				t.Fatalf("%q, %v", got, r.Err())
			}
		}
	}
	t.Run("range", func(t *testing.T) {
		each(t, func(r *netreply.Reply) string {
			for q := range r.Redirected() {
				q.Allow()
			}
			got, _ := r.ReadAll()
			return string(got)
		})
	})
	t.Run("select", func(t *testing.T) {
		each(t, func(r *netreply.Reply) string {
			var got []byte
			for {
				select {
				case q := <-r.Redirected():
					q.Allow()
				case <-r.ReadyRead():
					got = append(got, r.ReadAvailable()...)
				case <-r.Finished():
					return string(append(got, r.ReadAvailable()...))
				}
			}
		})
	})
	t.Run("select with ok", func(t *testing.T) {
		each(t, func(r *netreply.Reply) string {
			redirected := r.Redirected()
			for redirected != nil {
				select {
				case q, ok := <-redirected:
					if !ok {
						redirected = nil
					} else if !q.Allow() {
						return "not allowed"
					}
				case <-r.Finished():
					return "finished early"
				}
			}
			got, _ := r.ReadAll()
			return string(got)
		})
	})
}
