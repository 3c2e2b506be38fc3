package netreply_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/netreply/netreply"
)

// stateOf returns the values of all getters of a reply.
func stateOf(r *netreply.Reply) string {
	target, _ := netreply.RedirectionTarget.Of(r)
	encoded, _ := netreply.OriginalContentLength.Of(r)
	return fmt.Sprintln(r, r.URL(), r.Method(), r.StatusCode(), r.ContentLength(), r.Headers(), r.Trailers(), target, encoded,
		r.LocalAddr(), r.RemoteAddr(), r.ErrorString(), r.BytesAvailable(), r.WireBytes(), r.SSLConfiguration().HandshakeComplete)
}

// TestNothingChangesAfterFinished: after an Abort at any point, the transfer, which may
// still run for a short time, does not change the reply.
func TestNothingChangesAfterFinished(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		switch _, _, known := r.BasicAuth(); {
		case r.URL.Path == "/there":
			w.WriteHeader(103)
			w.Header().Set("Trailer", "X-End")
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			io.WriteString(z, strings.Repeat("body ", 10_000))
			z.Close()
			w.Header().Set("X-End", "end")
		case known:
			http.Redirect(w, r, "/there", http.StatusTemporaryRedirect)
		default:
			w.Header().Set("WWW-Authenticate", `Basic realm="here"`)
			w.WriteHeader(401)
		}
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		for _, policy := range []netreply.RedirectPolicy{netreply.NoLessSafeRedirectPolicy, netreply.UserVerifiedRedirectPolicy} {
			for after, whole := 0, false; !whole; after++ { // calls until the Abort
				m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: s.cfg},
					Credentials: []netreply.Credential{{Origin: s.URL, User: "gopher", Password: "burrow"}}})
				req := s.request("/")
				req.RedirectPolicy = policy
				calls, at, state := 0, "", ""
				finished := make(chan struct{})
				req.OnSignal = func(r *netreply.Reply, e netreply.Event) {
					if calls == after {
						at = signalName(e)
						r.Abort()
					}
					calls++
					switch e := e.(type) {
					case netreply.Redirected:
						e.Allow()
					case netreply.Finished:
						state = stateOf(r)
						close(finished)
					}
				}
				r := m.Post(t.Context(), req, netreply.StringBody(strings.Repeat("x", 40_000)))
				<-finished
				m.Close() // waits for the transfer
				assert.Equal(t, state, stateOf(r), "aborted at %s", at)
				whole = r.Err() == nil
			}
		}
	})
}
