package netreply_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/hsts"
	"github.com/netreply/netreply/internal/testserver"
)

// TestHSTS: a policy received over TLS applies to http URLs of its host before a connection is
// opened, in redirects too.
func TestHSTS(t *testing.T) {
	secure, cfg := testserver.NewOrigin(t, testserver.TLS, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/learn":
			w.Header().Set("Strict-Transport-Security", "max-age=100")
		case "/forget":
			w.Header().Set("Strict-Transport-Security", "max-age=0")
		case "/down":
			w.Header().Set("Location", "http://example.com/end")
			w.WriteHeader(302)
			return
		case "/401":
			w.Header().Set("Strict-Transport-Security", "max-age=100")
			w.WriteHeader(401)
			return
		}
		io.WriteString(w, "secure "+r.Host)
	}))
	plain, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=100")
		io.WriteString(w, "plain")
	}))
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		to := plain.Listener.Addr()
		if _, port, _ := net.SplitHostPort(addr); port == "443" {
			to = secure.Listener.Addr()
		}
		return new(net.Dialer).DialContext(ctx, network, to.String())
	}
	store := hsts.NewStore()
	m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}, DialContext: dial, HSTS: store})
	get := func(url string) *netreply.Reply { return m.Get(t.Context(), newRequest(t, url)) }

	assert.Equal(t, "plain", readBody(t, get("http://example.com/")), "nothing is learned over http")
	assert.Equal(t, "plain", readBody(t, get("http://example.com/")))
	require.ErrorIs(t, get("https://example.com/down").Wait(deadline(t)), netreply.InsecureRedirectError)
	require.NoError(t, get("https://example.com/learn").Wait(deadline(t)))
	r := get("http://example.com:80/x#f")
	assert.Equal(t, "secure example.com:443", readBody(t, r))
	assert.Equal(t, "https://example.com:443/x#f", r.URL().String())
	assert.Equal(t, "https://example.com:443/x#f", r.Request().URL.String())
	assert.NotContains(t, signalNames(t, r), "redirected", "rule K2")
	encrypted, _ := netreply.ConnectionEncrypted.Of(r)
	assert.True(t, encrypted)
	r = get("https://example.com/down")
	assert.Equal(t, "secure example.com", readBody(t, r), "a target that is upgraded is no downgrade")
	assert.Equal(t, "https://example.com/end", (<-r.Redirected()).URL.String())
	require.NoError(t, get("https://example.com/forget").Wait(deadline(t)))
	assert.Equal(t, "plain", readBody(t, get("http://example.com/")))
	require.Error(t, get("https://example.com/401").Wait(deadline(t)))
	assert.True(t, store.Known("example.com"), "an error is a response, too")
	store.Clear()

	// an unverified server has no effect, nor does any without a store
	lenient := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: &tls.Config{InsecureSkipVerify: true}}, DialContext: dial, HSTS: store})
	require.NoError(t, lenient.Get(t.Context(), newRequest(t, "https://example.com/learn")).Wait(deadline(t)))
	assert.False(t, store.Known("example.com"))
	off := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}, DialContext: dial})
	require.NoError(t, off.Get(t.Context(), newRequest(t, "https://example.com/learn")).Wait(deadline(t)))
	assert.Equal(t, "plain", readBody(t, off.Get(t.Context(), newRequest(t, "http://example.com/"))))
}
