package netreply_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/netreply/netreply"
)

// TestMethodCase: a standard method can be written in any case; others are sent as written (RFC
// 9110, section 9.1).
func TestMethodCase(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Method", r.Method)
		io.Copy(w, r.Body)
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		for _, c := range []struct {
			verb, want string
			operation  netreply.Operation
		}{
			{"get", "GET", netreply.GetOperation}, {"Head", "HEAD", netreply.HeadOperation}, {"post", "POST", netreply.PostOperation},
			{"pUT", "PUT", netreply.PutOperation}, {"delete", "DELETE", netreply.DeleteOperation}, {"patch", "PATCH", netreply.CustomOperation},
			{"options", "OPTIONS", netreply.CustomOperation}, {"purge", "purge", netreply.CustomOperation}, {"Trace2", "Trace2", netreply.CustomOperation},
		} {
			for _, send := range []func() *netreply.Reply{
				func() *netreply.Reply { return s.m.Send(t.Context(), c.verb, s.request("/"), nil) },
				func() *netreply.Reply { return s.m.Fetch(t.Context(), c.verb, s.request("/"), nil) },
			} {
				r := send()
				assert.Equal(t, c.operation, r.Operation(), c.verb)
				assert.Equal(t, c.want, r.Method())
				assert.Empty(t, readBody(t, r))
				assert.Equal(t, c.want, r.RawHeader("X-Method"))
			}
		}
	})
	r := newManager(t, netreply.Config{}).Send(t.Context(), "po\u017ft", newRequest(t, "http://127.0.0.1:1/"), nil)
	assert.ErrorIs(t, r.Wait(deadline(t)), netreply.ProtocolInvalidOperationError, "no letter of ASCII")
}
