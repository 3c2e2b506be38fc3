package netreply_test

import (
	"context"
	"crypto/tls"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/hsts"
)

// flaws are two certificate flaws.
func flaws(t *testing.T) []netreply.SSLError {
	cert := selfSigned(t, "example.org").Leaf
	require.NotNil(t, cert)
	return []netreply.SSLError{{Code: netreply.SSLSelfSignedCertificate, Certificate: cert}, {Code: netreply.SSLCertificateExpired, Certificate: cert}}
}

// TestBackendIgnoreSSLErrors: a Backend is told before Serve which flaws the Request ignores, and
// after a question which the program does.
func TestBackendIgnoreSSLErrors(t *testing.T) {
	list := flaws(t)
	all := []netreply.SSLError{}
	for name, c := range map[string]struct {
		req  netreply.Request
		want [][]netreply.SSLError
	}{
		"none": {netreply.Request{}, nil},
		"list": {netreply.Request{IgnoreSSLErrors: list}, [][]netreply.SSLError{list}},
		"one":  {netreply.Request{IgnoreSSLErrors: list[:1]}, [][]netreply.SSLError{list[:1]}},
		"all":  {netreply.Request{IgnoreAllSSLErrors: true}, [][]netreply.SSLError{all}},
		"asked": {netreply.Request{Answer: func(_ context.Context, q netreply.Question) { q.(*netreply.SSLErrors).Ignore() }},
			[][]netreply.SSLError{list}},
		"one and asked": {netreply.Request{IgnoreSSLErrors: list[:1], Answer: func(_ context.Context, q netreply.Question) { yes(q) }},
			[][]netreply.SSLError{list[:1], list}},
	} {
		t.Run(name, func(t *testing.T) {
			var told [][]netreply.SSLError
			m := fullManager(t, fullBackend{
				BackendFunc: func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
					return w.SSLErrors(&netreply.SSLErrors{Host: "example.org", Errors: list})
				},
				ignore: func(_ *netreply.BackendRequest, flaws []netreply.SSLError) {
					if flaws == nil {
						flaws = all
					}
					told = append(told, flaws)
				},
			})
			req := c.req
			req.URL = &url.URL{Scheme: "test", Opaque: "x"}
			r := m.Get(deadline(t), &req)
			err := r.Wait(deadline(t))
			assert.Equal(t, c.want, told)
			q := <-r.SSLErrors()
			require.NotNil(t, q, "flaws are reported in any case")
			assert.Equal(t, list, q.Errors)
			assert.Equal(t, name == "list" || name == "all", q.Ignored)
			if name == "none" || name == "one" {
				require.ErrorIs(t, err, netreply.SslHandshakeFailedError)
				var bad *netreply.CertificateError
				require.ErrorAs(t, err, &bad)
				assert.Equal(t, list, bad.Errors)
				assert.ErrorContains(t, err, "self-signed")
				return
			}
			assert.NoError(t, err)
		})
	}
}

// TestBackendFinalFlaws: no flaw of a host with an HSTS policy is ignored.
func TestBackendFinalFlaws(t *testing.T) {
	store := hsts.NewStore()
	store.Learn("example.org", []string{"max-age=1000"})
	cfg := netreply.Config{HSTS: store}
	m := backendManager(t, cfg, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
		return w.SSLErrors(&netreply.SSLErrors{Host: "example.org", Errors: flaws(t)})
	})
	req := newRequest(t, "test:x")
	req.IgnoreAllSSLErrors = true
	req.OnSignal = func(_ *netreply.Reply, e netreply.Event) {
		if e, ok := e.(netreply.SSLErrorsOccurred); ok {
			assert.True(t, e.Final)
			assert.False(t, e.Ignore())
		}
	}
	assert.ErrorIs(t, m.Get(deadline(t), req).Wait(deadline(t)), netreply.SslHandshakeFailedError)
}

// TestBackendSetSSLConfiguration: a Backend gets a copy of the Request's configuration, or of the
// Manager's, before Serve.
func TestBackendSetSSLConfiguration(t *testing.T) {
	var got *netreply.SSLConfiguration
	m := newManager(t, netreply.Config{
		SSLConfiguration: &netreply.SSLConfiguration{PeerVerifyName: "of.manager"},
		Backends: map[string]netreply.Backend{"test": fullBackend{
			BackendFunc: func(*netreply.BackendRequest, netreply.ReplyWriter) error {
				got.PeerVerifyName += " at Serve"
				return nil
			},
			set: func(q *netreply.BackendRequest, c *netreply.SSLConfiguration) {
				assert.Equal(t, "test:x", q.URL.String())
				got = c
			},
		}},
	})
	req := newRequest(t, "test:x")
	for range 2 { // it is a copy
		require.NoError(t, m.Get(deadline(t), req).Wait(deadline(t)))
		assert.Equal(t, "of.manager at Serve", got.PeerVerifyName)
	}
	req.SSLConfiguration = &netreply.SSLConfiguration{PeerVerifyName: "of.request"}
	require.NoError(t, m.Get(deadline(t), req).Wait(deadline(t)))
	assert.Equal(t, "of.request at Serve", got.PeerVerifyName)
	assert.Equal(t, "of.request", req.SSLConfiguration.PeerVerifyName)
}

// TestBackendSSLConfiguration: Reply.SSLConfiguration is what the Backend of the hop says.
func TestBackendSSLConfiguration(t *testing.T) {
	m := fullManager(t, fullBackend{
		BackendFunc: func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
			if q.URL.Opaque == "x" {
				return w.Redirect("test:y", 302)
			}
			return nil
		},
		state: func(q *netreply.BackendRequest) netreply.SSLState {
			return netreply.SSLState{ConnectionState: tls.ConnectionState{ServerName: q.URL.String()}}
		},
	})
	r := m.Get(deadline(t), newRequest(t, "test:x"))
	require.NoError(t, r.Wait(deadline(t)))
	assert.Equal(t, "test:y", r.SSLConfiguration().ServerName)
}

// TestBackendQuestions: the questions of a Backend are those of HTTP: they are answered by
// Answer, by a channel, or inside OnSignal, and have the safe answer otherwise.
func TestBackendQuestions(t *testing.T) {
	proxy := &netreply.Proxy{Type: netreply.HTTPProxy, Host: "proxy", Port: 1, User: "u", Password: "secret"}
	kinds := map[string]struct {
		kind netreply.QuestionKinds
		code netreply.NetworkError
		ask  func(netreply.ReplyWriter) (string, string, error)
		want string
	}{
		"authentication": {netreply.AskAuthentication, netreply.AuthenticationRequiredError, func(w netreply.ReplyWriter) (string, string, error) {
			return w.AuthenticationRequired(&netreply.Authenticator{Realm: "here"})
		}, "gopher burrow"},
		"proxy": {netreply.AskProxyAuthentication, netreply.ProxyAuthenticationRequiredError, func(w netreply.ReplyWriter) (string, string, error) {
			return w.ProxyAuthenticationRequired(&netreply.ProxyAuthenticator{Proxy: proxy, Authenticator: &netreply.Authenticator{Realm: "here"}})
		}, "user pass"},
		"key": {netreply.AskPreSharedKey, netreply.SslHandshakeFailedError, func(w netreply.ReplyWriter) (string, string, error) {
			id, key, err := w.PreSharedKeyAuthenticationRequired(&netreply.PreSharedKeyAuthenticator{IdentityHint: []byte("hint")})
			return string(id), string(key), err
		}, "me key"},
	}
	for name, k := range kinds {
		for _, way := range []string{"Answer", "Ask", "OnSignal", "nobody", "declined", "aborted"} {
			t.Run(name+"/"+way, func(t *testing.T) {
				var got string
				var asked error
				m := backendManager(t, netreply.Config{}, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
					user, password, err := k.ask(w)
					got, asked = user+" "+password, err
					return err
				})
				req := newRequest(t, "test://me:mine@host/x")
				switch way {
				case "Answer":
					req.Answer = func(_ context.Context, q netreply.Question) { assert.True(t, yes(q)) }
				case "declined":
					req.Answer = func(context.Context, netreply.Question) {}
				case "Ask", "aborted":
					req.Ask = k.kind
				case "OnSignal":
					req.OnSignal = func(_ *netreply.Reply, e netreply.Event) { answerEvent(e) }
				}
				r := m.Get(deadline(t), req)
				switch way {
				case "Ask":
					q := <-r.Questions()
					if p, ok := q.(*netreply.ProxyAuthenticator); ok {
						assert.Empty(t, p.Proxy.Password)
						assert.Equal(t, "secret", proxy.Password)
						assert.Equal(t, "test://host/x", p.URL.String())
					}
					assert.True(t, yes(q))
					assert.False(t, yes(q), "the first answer counts")
				case "aborted":
					<-r.Questions()
					r.Abort()
				}
				err := r.Wait(deadline(t))
				m.Close()
				switch way {
				case "nobody", "declined":
					assert.ErrorIs(t, err, k.code)
				case "aborted":
					assert.ErrorIs(t, err, netreply.OperationCanceledError)
					assert.ErrorIs(t, asked, netreply.OperationCanceledError)
				default:
					assert.NoError(t, err)
					assert.Equal(t, k.want, got)
				}
			})
		}
	}
}

// answerEvent answers the question of an event.
func answerEvent(e netreply.Event) {
	switch e := e.(type) {
	case netreply.AuthenticationRequired:
		yes(e.Authenticator)
	case netreply.ProxyAuthenticationRequired:
		yes(e.ProxyAuthenticator)
	case netreply.PreSharedKeyAuthenticationRequired:
		yes(e.PreSharedKeyAuthenticator)
	}
}
