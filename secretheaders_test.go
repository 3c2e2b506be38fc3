package netreply_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// TestSecretHeaders: the secret fields of Request and Manager are not sent to another
// origin, in any spelling (D11).
func TestSecretHeaders(t *testing.T) {
	got := make(chan http.Header, 4)
	seen := func(w http.ResponseWriter, r *http.Request) { got <- r.Header }
	other, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(seen))
	first, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/same" {
			seen(w, r)
			return
		}
		http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusTemporaryRedirect)
	}))
	m := newManager(t, netreply.Config{SecretHeaders: []string{"x-api-key"}})
	for _, c := range []struct {
		to   string
		keep bool
	}{{"/same", true}, {other.URL, false}} {
		req := newRequest(t, first.URL+"/?to="+c.to)
		req.SecretHeaders = []string{"X-Token"}
		req.Headers = netreply.NewHeaders("X-API-Key", "1", "x-token", "2", "X-Mine", "3")
		require.NoError(t, m.Get(t.Context(), req).Wait(deadline(t)))
		h := <-got
		assert.Equal(t, c.keep, h.Get("X-Api-Key") != "", "to %s", c.to)
		assert.Equal(t, c.keep, h.Get("X-Token") != "", "to %s", c.to)
		assert.Equal(t, "3", h.Get("X-Mine"))
	}
}

func TestSecretHeadersCopied(t *testing.T) {
	cfg := netreply.Config{SecretHeaders: []string{"A"}}
	m := newManager(t, cfg)
	cfg.SecretHeaders[0] = "changed"
	req := newRequest(t, "http://no.invalid/")
	req.SecretHeaders = []string{"B"}
	for range 2 { // neither request changes the Manager's list
		r := m.Get(t.Context(), req)
		req.SecretHeaders[0] = "C"
		assert.Equal(t, []string{"A", "B"}, r.Request().SecretHeaders)
		req.SecretHeaders[0] = "B"
		r.Abort()
	}
	c := req.Clone()
	c.SecretHeaders[0] = "D"
	assert.Equal(t, []string{"B"}, req.SecretHeaders)
}

func TestSecretHeadersInvalid(t *testing.T) {
	for _, name := range []string{"", "a b", "x:", "x\r\n"} {
		_, err := netreply.NewManager(netreply.Config{SecretHeaders: []string{name}})
		var field *netreply.FieldError
		require.ErrorAs(t, err, &field, "%q", name)
		assert.Equal(t, "Config.SecretHeaders", field.Field)
		req := newRequest(t, "http://no.invalid/")
		req.SecretHeaders = []string{name}
		err = newManager(t, netreply.Config{}).Get(t.Context(), req).Wait(deadline(t))
		require.ErrorIs(t, err, netreply.ProtocolInvalidOperationError)
		require.ErrorAs(t, err, &field)
		assert.Equal(t, "Request.SecretHeaders", field.Field)
	}
}
