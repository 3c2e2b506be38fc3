package netreply_test

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// TestProxyAnswerKeepsURLPassword: other credentials for the proxy do not affect those in
// the URL, which are sent to the server.
func TestProxyAnswerKeepsURLPassword(t *testing.T) {
	px := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		for {
			req, ok := c.Head()
			switch {
			case !ok:
				return
			case req.Header.Get("Proxy-Authorization") != basicField("a", "b"):
				c.Say("HTTP/1.1 407 P\r\nProxy-Authenticate: Basic realm=\"p\"\r\nContent-Length: 0\r\n\r\n")
			case req.Header.Get("Authorization") != basicField("user", "pass"):
				c.Say("HTTP/1.1 401 S\r\nWWW-Authenticate: Basic realm=\"s\"\r\nContent-Length: 0\r\n\r\n")
			default:
				c.Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nin")
			}
		}
	})
	p := proxyAt(netreply.HTTPProxy, px.Addr)
	p.User, p.Password = "a", "wrong"
	m := newManager(t, netreply.Config{Proxy: p, OnSignal: func(_ *netreply.Reply, e netreply.Event) {
		if q, ok := e.(netreply.ProxyAuthenticationRequired); ok {
			q.SetCredentials("a", "b")
		}
	}})
	r := m.Get(t.Context(), newRequest(t, "http://user:pass@origin.test/"))
	assert.Equal(t, "in", readBody(t, r))
	assert.NotContains(t, signalNames(t, r), "question")
}

// TestManualQuestionNamesUser: a question that is only reported has the user of the URL,
// too (rule A12).
func TestManualQuestionNamesUser(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.Plain, &basicServer{})
	m := newManager(t, netreply.Config{})
	req := newRequest(t, s.URL+"/r/")
	req.URL.User = url.User("someone")
	req.AuthenticationReuse = netreply.LoadManual
	var users []string
	req.OnSignal = answering(func(q *netreply.Authenticator) { users = append(users, q.User) })
	require.ErrorIs(t, m.Get(t.Context(), req).Wait(deadline(t)), netreply.AuthenticationRequiredError)
	assert.Equal(t, []string{"someone"}, users)
}

// TestTooManyRounds: the errors of a failed authentication, for server and proxy.
func TestTooManyRounds(t *testing.T) {
	for _, proxied := range []bool{false, true} {
		var n atomic.Int64
		peer := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			for {
				if _, ok := c.Head(); !ok {
					return
				}
				realm := n.Add(1)
				if proxied {
					c.Say(fmt.Sprintf("HTTP/1.1 407 P\r\nProxy-Authenticate: Basic realm=\"%d\"\r\nContent-Length: 0\r\n\r\n", realm))
				} else {
					c.Say(fmt.Sprintf("HTTP/1.1 401 S\r\nWWW-Authenticate: Basic realm=\"%d\"\r\nContent-Length: 0\r\n\r\n", realm))
				}
			}
		})
		cfg := netreply.Config{OnSignal: func(_ *netreply.Reply, e netreply.Event) {
			switch q := e.(type) {
			case netreply.AuthenticationRequired:
				q.SetCredentials("u", "secret")
			case netreply.ProxyAuthenticationRequired:
				q.SetCredentials("u", "secret")
			}
		}}
		target := peer.URL()
		if proxied {
			cfg.Proxy, target = proxyAt(netreply.HTTPProxy, peer.Addr), "http://origin.test/"
		}
		r := newManager(t, cfg).Get(t.Context(), newRequest(t, target))
		err := r.Wait(deadline(t))
		require.ErrorContains(t, err, "too many authentication rounds")
		assert.NotContains(t, err.Error(), "secret")
		var e *netreply.Error
		require.ErrorAs(t, err, &e)
		if proxied {
			assert.Equal(t, netreply.ProxyAuthenticationRequiredError, e.Code)
			assert.Equal(t, netreply.PhaseProxy, e.Phase)
			assert.Equal(t, "Proxy requires authentication", r.ErrorString())
			var pe *netreply.ProxyError
			require.ErrorAs(t, err, &pe)
		} else {
			assert.Equal(t, netreply.AuthenticationRequiredError, e.Code)
			assert.Equal(t, netreply.PhaseHeaders, e.Phase)
			assert.Equal(t, "Host requires authentication", r.ErrorString())
		}
		assert.EqualValues(t, 32, n.Load())
	}
}

// TestTokenOfAnotherRequest: a failed fetch of a token for another request fails this one,
// too, with that error as its cause.
func TestTokenOfAnotherRequest(t *testing.T) {
	m := newManager(t, netreply.Config{})
	req := newRequest(t, "http://127.0.0.1:1/")
	req.Bearer = netreply.NewTokenSource(func(ctx context.Context) (netreply.Token, error) {
		_, err := m.Get(ctx, newRequest(t, "http://"+testserver.Refusing(t)+"/")).ReadAll()
		return netreply.Token{}, err
	})
	err := m.Get(t.Context(), req).Wait(deadline(t))
	var e *netreply.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, netreply.AuthenticationRequiredError, e.Code)
	require.ErrorIs(t, e.Err, netreply.ConnectionRefusedError)
	assert.Equal(t, "http://127.0.0.1:1/", e.URL)
}

// TestProxyDigestProof: the rspauth of a proxy must prove that it knows the password.
func TestProxyDigestProof(t *testing.T) {
	px := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		for {
			req, ok := c.Head()
			switch {
			case !ok:
				return
			case req.Header.Get("Proxy-Authorization") == "":
				c.Say("HTTP/1.1 407 P\r\nProxy-Authenticate: Digest realm=p, nonce=n, qop=auth-int\r\nContent-Length: 0\r\n\r\n")
			default:
				c.Say("HTTP/1.1 200 OK\r\nProxy-Authentication-Info: rspauth=\"00\", qop=auth-int\r\nContent-Length: 2\r\n\r\nin")
			}
		}
	})
	p := proxyAt(netreply.HTTPProxy, px.Addr)
	p.User, p.Password = "a", "b"
	m := newManager(t, netreply.Config{Proxy: p})
	err := m.Get(t.Context(), newRequest(t, "http://origin.test/")).Wait(deadline(t))
	require.ErrorIs(t, err, netreply.ProxyAuthenticationRequiredError)
	assert.ErrorContains(t, err, "proved")
	var pe *netreply.ProxyError
	require.ErrorAs(t, err, &pe)
}

// TestDigestOfBodyBeforehand: for a known challenge with auth-int the body is hashed first,
// and then sent completely.
func TestDigestOfBodyBeforehand(t *testing.T) {
	server := &digestServer{challenge: "qop=auth-int", user: "u"}
	s, _ := testserver.NewOrigin(t, testserver.Plain, server)
	m := newManager(t, netreply.Config{})
	large := bytes.Repeat([]byte("0123456789"), 20_000)
	for range 2 {
		req := newRequest(t, s.URL)
		req.URL.User = url.UserPassword("u", "pass")
		got, err := m.Post(t.Context(), req, netreply.ReaderBody(bytes.NewReader(large))).ReadAll()
		require.NoError(t, err)
		require.Equal(t, large, got)
	}
	assert.Equal(t, []string{"none", "ok", "ok"}, server.log)
}
