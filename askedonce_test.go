package netreply_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// TestNoSecondQuestionAfterTickets: bytes that a server sends after its handshake, such as
// TLS 1.3 session tickets, do not make a connection unusable that has waited for an answer:
// it is used, and the question is not repeated.
func TestNoSecondQuestionAfterTickets(t *testing.T) {
	for _, kind := range []testserver.Kind{testserver.TLS, testserver.H2} {
		t.Run(string(kind), func(t *testing.T) {
			s, _ := testserver.NewOrigin(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }))
			for range 50 {
				m := newManager(t, netreply.Config{Ask: netreply.AskSSLErrors, SSLConfiguration: &netreply.SSLConfiguration{TLS: &tls.Config{}}})
				r := m.Post(t.Context(), newRequest(t, s.URL), netreply.StringBody("x"))
				asked := 0
				for q := range r.SSLErrors() {
					asked++
					require.True(t, q.Ignore())
				}
				require.NoError(t, r.Wait(deadline(t)))
				require.Equal(t, 1, asked)
				require.NoError(t, m.Close())
			}
		})
	}
}
