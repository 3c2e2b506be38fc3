package netreply_test

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// TestRedirectIsCopy: a program may change the URLs that it is given, to log them without a
// password for instance. The reply goes where the server has said.
func TestRedirectIsCopy(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/there?a=b", http.StatusFound)
		}
		io.WriteString(w, r.URL.String())
	}))
	spoil := func(d *netreply.Redirect) { *d.URL, *d.From = url.URL{Host: "changed"}, url.URL{Host: "changed"} }
	for _, policy := range []netreply.RedirectPolicy{netreply.NoLessSafeRedirectPolicy, netreply.UserVerifiedRedirectPolicy} {
		m := newManager(t, netreply.Config{})
		req := newRequest(t, s.URL)
		req.RedirectPolicy = policy
		req.OnSignal = func(_ *netreply.Reply, e netreply.Event) {
			if d, ok := e.(netreply.Redirected); ok {
				spoil(d.Redirect)
				d.Allow()
			}
		}
		r := m.Get(t.Context(), req)
		body, err := r.ReadAll()
		require.NoError(t, err)
		assert.Equal(t, "/there?a=b", string(body))
		assert.Equal(t, s.URL+"/there?a=b", r.URL().String())
	}
	for name, refuse := range map[string]func(d *netreply.Redirect){
		"Deny":  func(d *netreply.Redirect) { d.Deny() },
		"Abort": func(d *netreply.Redirect) { d.Reply().Abort() },
	} {
		m := newManager(t, netreply.Config{})
		req := newRequest(t, s.URL+"/")
		req.RedirectPolicy = netreply.UserVerifiedRedirectPolicy
		req.Answer = func(_ context.Context, q netreply.Question) {
			d := q.(*netreply.Redirect)
			spoil(d)
			refuse(d)
		}
		r := m.Get(t.Context(), req)
		require.ErrorIs(t, r.Wait(deadline(t)), netreply.OperationCanceledError)
		assert.Equal(t, s.URL+"/", r.URL().String(), name)
		for range 2 {
			target, ok := netreply.RedirectionTarget.Of(r)
			require.True(t, ok)
			assert.Equal(t, s.URL+"/there?a=b", target.String(), name)
			*target = url.URL{}
		}
	}
}

// TestProxyOfQuestionIsCopy: what a program changes of the Proxy of a question changes nothing
// for later requests.
func TestProxyOfQuestionIsCopy(t *testing.T) {
	origin, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	px := testserver.NewProxy(t, origin.Listener.Addr().String(), &tls.Config{Certificates: []tls.Certificate{selfSigned(t, "127.0.0.1")}})
	px.RequireLogin("user", "pass")
	p := proxyAt(netreply.HTTPSProxy, px.Addr)
	p.SSLConfiguration = &netreply.SSLConfiguration{PeerVerifyMode: netreply.VerifyNone}
	asked := 0
	m := newManager(t, netreply.Config{Proxy: p, Answer: func(_ context.Context, q netreply.Question) {
		a := q.(*netreply.ProxyAuthenticator)
		a.Proxy.SSLConfiguration.PeerVerifyMode = netreply.VerifyPeer
		asked++
		a.SetCredentials("user", "pass")
	}})
	for range 2 {
		require.NoError(t, m.Get(t.Context(), newRequest(t, origin.URL)).Wait(deadline(t)))
		m.ClearAccessCache()
	}
	assert.Equal(t, 2, asked)
}
