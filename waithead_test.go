package netreply_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// TestWaitHead: it returns after redirects and before the body, with the final values of
// the getters.
func TestWaitHead(t *testing.T) {
	for _, waiter := range []string{"early", "late"} {
		t.Run(waiter, func(t *testing.T) {
			body := make(chan struct{})
			eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/old" {
					http.Redirect(w, r, "/new", http.StatusSeeOther)
					return
				}
				w.Header().Set("X-Path", r.URL.Path)
				w.Header().Set("Content-Length", "4")
				w.WriteHeader(http.StatusNotFound)
				w.(http.Flusher).Flush()
				<-body
				io.WriteString(w, "none")
			}, netreply.Config{}, func(t *testing.T, s *fixture) {
				body = make(chan struct{})
				r := s.m.Post(t.Context(), s.request("/old"), netreply.StringBody("x"))
				if waiter == "late" {
					for range r.Events(deadline(t)) {
						if r.StatusCode() == http.StatusNotFound {
							break
						}
					}
				}
				require.NoError(t, r.WaitHead(deadline(t)))
				assert.True(t, r.IsRunning())
				assert.Equal(t, http.StatusNotFound, r.StatusCode())
				assert.Equal(t, "/new", r.RawHeader("X-Path"))
				assert.Equal(t, "/new", r.URL().Path)
				assert.Equal(t, "GET", r.Method())
				assert.EqualValues(t, 4, r.ContentLength())
				assert.NotNil(t, r.RemoteAddr())
				assert.Zero(t, r.BytesAvailable())
				assert.NoError(t, r.Err())
				close(body)
				got, err := r.ReadAll()
				assert.ErrorIs(t, err, netreply.ContentNotFoundError)
				assert.Equal(t, "none", string(got))
				assert.NoError(t, r.WaitHead(deadline(t)), "there was one")
			})
		})
	}
}

// TestWaitHeadAfterQuestions: it waits during questions about a redirect and a password.
func TestWaitHeadAfterQuestions(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/old" {
			http.Redirect(w, r, "/new", http.StatusFound)
			return
		}
		if _, _, ok := r.BasicAuth(); !ok {
			w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}, netreply.Config{RedirectPolicy: netreply.UserVerifiedRedirectPolicy, Ask: netreply.AskAuthentication}, func(t *testing.T, s *fixture) {
		for _, deny := range []bool{true, false} {
			r := s.m.Get(t.Context(), s.request("/old"))
			head := make(chan error, 1)
			go func() { head <- r.WaitHead(deadline(t)) }()
			pending := func(at string) {
				select {
				case err := <-head:
					t.Errorf("%s: it has not waited: %v", at, err)
				default:
				}
			}
			q := <-r.Redirected()
			pending("redirect")
			if deny {
				q.Deny()
				assert.ErrorIs(t, <-head, netreply.OperationCanceledError)
				continue
			}
			q.Allow()
			a := <-r.AuthenticationRequired()
			pending("password")
			a.SetCredentials("user", "pass")
			assert.NoError(t, <-head)
			assert.Equal(t, http.StatusOK, r.StatusCode())
			assert.NoError(t, r.Wait(deadline(t)))
		}
	})
}

// TestWaitHeadFails: with the error of a reply that ends before the head, or with the cause
// of its own context.
func TestWaitHeadFails(t *testing.T) {
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		req, ok := c.Head()
		switch {
		case !ok:
		case req.URL.Path == "/close":
			c.Say("HTTP/1.1 103 Early Hints\r\n\r\n")
		case req.URL.Path == "/loop":
			c.Say("HTTP/1.1 302 X\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n")
		default:
			io.Copy(io.Discard, c.R)
		}
	})
	cause := errors.New("the window was closed")
	for _, row := range []struct {
		path string
		end  func(*netreply.Reply, context.CancelCauseFunc)
		want error
	}{
		{"/close", func(*netreply.Reply, context.CancelCauseFunc) {}, netreply.RemoteHostClosedError},
		{"/loop", func(*netreply.Reply, context.CancelCauseFunc) {}, netreply.TooManyRedirectsError},
		{"/", func(r *netreply.Reply, _ context.CancelCauseFunc) { r.Abort() }, netreply.OperationCanceledError},
		{"/", func(r *netreply.Reply, _ context.CancelCauseFunc) { r.Close() }, netreply.OperationCanceledError},
		{"/", func(_ *netreply.Reply, cancel context.CancelCauseFunc) { cancel(cause) }, cause},
	} {
		m := newManager(t, netreply.Config{})
		ctx, cancel := context.WithCancelCause(t.Context())
		req := newRequest(t, s.URL()+row.path)
		req.MaxRedirects = 1
		r := m.Get(ctx, req)
		<-r.RequestSent()
		head := make(chan error, 1)
		go func() { head <- r.WaitHead(deadline(t)) }()
		row.end(r, cancel)
		err := <-head
		assert.ErrorIs(t, err, row.want, row.path)
		var e *netreply.Error
		assert.ErrorAs(t, err, &e)
		assert.Equal(t, r.WaitHead(deadline(t)), r.Err(), "and again")
		cancel(nil)
	}

	r := newManager(t, netreply.Config{}).Get(t.Context(), newRequest(t, s.URL()))
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	assert.Equal(t, cause, r.WaitHead(ctx))
	assert.NoError(t, r.Err(), "not of the reply")
	r.Abort()
	assert.ErrorIs(t, r.WaitHead(ctx), netreply.OperationCanceledError, "the reply's error takes precedence")

	var zero netreply.Reply
	assert.ErrorIs(t, zero.WaitHead(t.Context()), netreply.ProtocolInvalidOperationError)
}

// TestWaitHeadInsideOnSignal: it does not wait inside OnSignal, and succeeds from
// MetaDataChanged on.
func TestWaitHeadInsideOnSignal(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/old" {
			http.Redirect(w, r, "/new", http.StatusFound)
		}
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		req := s.request("/old")
		var early, heads int
		req.OnSignal = func(r *netreply.Reply, e netreply.Event) {
			err := r.WaitHead(context.Background())
			if head, ok := e.(netreply.MetaDataChanged); ok && head.StatusCode == http.StatusOK || heads > 0 {
				heads++
				assert.NoError(t, err, signalName(e))
				return
			}
			early++
			assert.ErrorIs(t, err, netreply.ErrInsideOnSignal, signalName(e))
			assert.ErrorIs(t, err, netreply.ProtocolInvalidOperationError)
		}
		r := s.m.Fetch(t.Context(), "GET", req, nil)
		require.NoError(t, r.Err())
		assert.GreaterOrEqual(t, early, 4, "two requests, a head, a redirect")
		assert.Equal(t, 3, heads, "a head, progress, the end")
	})
}

// TestReplyContext: it has the values of the caller's context, and ends with that and with
// the reply.
func TestReplyContext(t *testing.T) {
	type key struct{}
	hold := make(chan struct{})
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		if r.URL.Path == "/end" {
			<-hold
		} else {
			<-r.Context().Done()
		}
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		hold = make(chan struct{})
		cause := errors.New("the window was closed")
		for name, row := range map[string]struct {
			end  func(*netreply.Reply, context.CancelCauseFunc)
			want error // its cause
		}{
			"context": {func(_ *netreply.Reply, cancel context.CancelCauseFunc) { cancel(cause) }, cause},
			"Abort":   {func(r *netreply.Reply, _ context.CancelCauseFunc) { r.Abort() }, nil},
			"Close":   {func(r *netreply.Reply, _ context.CancelCauseFunc) { r.Close() }, nil},
			"end":     {func(*netreply.Reply, context.CancelCauseFunc) { close(hold) }, nil},
		} {
			caller, cancel := context.WithCancelCause(context.WithValue(t.Context(), key{}, "value"))
			r := s.m.Get(caller, s.request("/"+name))
			ctx := r.Context()
			assert.Equal(t, "value", ctx.Value(key{}))
			require.NoError(t, r.WaitHead(deadline(t)))
			assert.NoError(t, ctx.Err(), name)
			row.end(r, cancel)
			select {
			case <-ctx.Done():
			case <-deadline(t).Done():
				t.Fatal(name, ": it does not end")
			}
			if row.want != nil {
				assert.Equal(t, row.want, context.Cause(ctx))
			}
			assert.ErrorIs(t, ctx.Err(), context.Canceled)
			r.Wait(deadline(t))
			cancel(nil)
		}
	})
	var zero netreply.Reply
	assert.Error(t, zero.Context().Err())
	assert.ErrorIs(t, context.Cause(zero.Context()), netreply.ProtocolInvalidOperationError)
}

// TestReadAvailable: the available bytes, without waiting.
func TestReadAvailable(t *testing.T) {
	more := make(chan struct{})
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		for _, s := range []string{"", "one ", "two ", "three"} {
			io.WriteString(w, s)
			w.(http.Flusher).Flush()
			<-more
		}
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		more = make(chan struct{})
		r := s.m.Get(t.Context(), s.request("/"))
		assert.Nil(t, r.ReadAvailable(), "no bytes were received")
		got := ""
		for range r.MetaDataChanged() {
			break
		}
		for _, want := range []string{"one ", "two ", "three"} {
			assert.Nil(t, r.ReadAvailable())
			more <- struct{}{}
			for part := ""; part != want; {
				<-r.ReadyRead()
				part += string(r.ReadAvailable())
				require.Equal(t, want[:len(part)], part)
			}
			got += want
		}
		more <- struct{}{}
		require.NoError(t, r.Wait(deadline(t)))
		assert.Equal(t, "one two three", got)
		assert.Nil(t, r.ReadAvailable())
	})
	assert.Nil(t, new(netreply.Reply).ReadAvailable())
}

// TestReadAvailableInsideOnSignal: it returns all available bytes, which allows further
// ones to be received, and nothing after Close.
func TestReadAvailableInsideOnSignal(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		for range 100 {
			io.WriteString(w, "0123456789")
		}
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		for _, limit := range []int64{0, 7} {
			req := s.request("/")
			req.ReadBufferSize = limit
			var got []byte
			told := make(chan struct{})
			req.OnSignal = func(r *netreply.Reply, e netreply.Event) {
				got = append(got, r.ReadAvailable()...)
				if _, ok := e.(netreply.Finished); ok {
					close(told)
				}
			}
			r := s.m.Get(t.Context(), req)
			require.ErrorIs(t, r.Wait(deadline(t)), netreply.ContentNotFoundError)
			<-told
			assert.Len(t, got, 1000)

			req.OnSignal = nil
			req.ReadBufferSize = 0
			r = s.m.Get(t.Context(), req)
			require.Error(t, r.Wait(deadline(t)))
			assert.EqualValues(t, 1000, r.BytesAvailable())
			r.Close()
			assert.Nil(t, r.ReadAvailable())
			_, err := r.Read(make([]byte, 1))
			assert.ErrorIs(t, err, netreply.ContentNotFoundError, "D7: Err, where there is one")
		}
	})
}
