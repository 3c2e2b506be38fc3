package netreply_test

import (
	"context"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// TestCallbackDoesNotReturn: a Fetch whose OnSignal panics or calls runtime.Goexit, at any
// signal, does not keep a connection: the next one to the same host gets one. The reply is
// finished.
func TestCallbackDoesNotReturn(t *testing.T) {
	ways := map[string]func(){"panic": func() { panic("OnSignal") }, "Goexit": runtime.Goexit}
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		switch _, _, known := r.BasicAuth(); {
		case r.URL.Path == "/":
			http.Redirect(w, r, "/there", http.StatusTemporaryRedirect)
		case known:
			w.WriteHeader(404)
			io.WriteString(w, "not here")
		default:
			w.Header().Set("WWW-Authenticate", `Basic realm="here"`)
			w.WriteHeader(401)
		}
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		for _, at := range []string{"connecting", "encrypted", "up", "sent", "head", "redirected", "question", "ready", "down",
			"ContentNotFoundError", "finished"} {
			if at == "encrypted" && s.kind != testserver.TLS && s.kind != testserver.H2 {
				continue
			}
			for name, way := range ways {
				m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: s.cfg}, ConnectionsPerHost: 1})
				for range 3 {
					var reply *netreply.Reply
					req := s.request("/")
					req.Answer = func(_ context.Context, q netreply.Question) { yes(q) }
					req.OnSignal = func(r *netreply.Reply, e netreply.Event) {
						if signalName(e) == at {
							reply = r
							way()
						}
					}
					over := make(chan struct{})
					go func() {
						defer close(over)
						defer func() { recover() }()
						m.Fetch(deadline(t), http.MethodPut, req, netreply.StringBody("some bytes"))
					}()
					<-over
					if assert.NotNil(t, reply, "%s at %s", name, at) {
						assert.True(t, reply.IsFinished(), "%s at %s", name, at)
						<-reply.Context().Done()
						m.ClearAccessCache()
					}
				}
				assert.ErrorIs(t, m.Fetch(deadline(t), http.MethodGet, s.request("/there"), nil).Err(), netreply.AuthenticationRequiredError,
					"%s at %s", name, at)
				m.Close()
			}
		}
	})
}

// TestUploadCallbackDoesNotReturn: a reply ends whose OnSignal calls runtime.Goexit where the
// request body is read, on whichever goroutine that is.
func TestUploadCallbackDoesNotReturn(t *testing.T) {
	large := strings.Repeat("0123456789", 30_000)
	bodies := map[string]func() netreply.Body{
		"memory": func() netreply.Body { return netreply.StringBody(large) },
		"reader": func() netreply.Body { return netreply.ReaderBody(strings.NewReader(large)) },
	}
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }, netreply.Config{}, func(t *testing.T, s *fixture) {
		for name, body := range bodies {
			for _, at := range []string{"up", "sent"} {
				req := s.request("/")
				req.OnSignal = func(_ *netreply.Reply, e netreply.Event) {
					if signalName(e) == at {
						runtime.Goexit()
					}
				}
				r := s.m.Post(t.Context(), req, body())
				assert.ErrorIs(t, r.Wait(deadline(t)), netreply.OperationCanceledError, "%s at %s", name, at)
			}
		}
	})
}
