package netreplytest_test

import (
	"crypto/x509"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/netreplytest"
)

// TestReply: head, body, trailers, signals and failure of a Reply are those of its steps, at
// their times.
func TestReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := netreplytest.Reply(t,
			netreplytest.After(time.Second),
			netreplytest.Informational(103, "Link", "</a.css>"),
			netreplytest.Status(206), netreplytest.Header("Content-Type", "text/plain"), netreplytest.Header("X-A", "1"), netreplytest.Header("X-A", "2"),
			netreplytest.Body("hel"), netreplytest.After(2*time.Second), netreplytest.Slowly("lo there", 4, time.Second))
		require.NoError(t, r.WaitHead(t.Context()))
		assert.Equal(t, 206, r.StatusCode())
		assert.Equal(t, "text/plain", r.RawHeader("Content-Type"))
		assert.Equal(t, []string{"1", "2"}, r.Headers().Values("X-A"))
		assert.EqualValues(t, 11, r.ContentLength())
		assert.Equal(t, "https://server.example/", r.URL().String())
		b, err := r.ReadAll()
		require.NoError(t, err)
		assert.Equal(t, "hello there", string(b))
		rec := netreplytest.Record(r)
		rec.Match(t, `SocketStartedConnecting Encrypted RequestSent InformationalReceived(103) MetaDataChanged(206)
			ReadyRead|DownloadProgress+ DownloadProgress(11/11) Finished`)
		events := rec.Events()
		assert.Equal(t, 5*time.Second, events[len(events)-1].Elapsed())
	})
}

// TestReplyFails: a Reply fails by any code, after what stands before it.
func TestReplyFails(t *testing.T) {
	for _, code := range constants(t) {
		if code == netreply.NoError {
			continue
		}
		r := netreplytest.Reply(t, netreplytest.Fail(code))
		require.ErrorIs(t, r.Wait(t.Context()), code)

		r = netreplytest.Reply(t, netreplytest.Status(200), netreplytest.Body("hel"), netreplytest.Fail(code))
		b, err := r.ReadAll()
		require.ErrorIs(t, err, code)
		assert.Equal(t, "hel", string(b))
		assert.Equal(t, 200, r.StatusCode())
		netreplytest.Record(r).Match(t, "... MetaDataChanged(200) ... ErrorOccurred("+code.String()+") ... Finished")
	}
	for _, f := range faults {
		synctest.Test(t, func(t *testing.T) {
			m := backendManager(t, f.fault)
			req, err := netreply.NewRequest("http://server.example/")
			require.NoError(t, err)
			req.TransferTimeout = time.Minute
			r := m.Get(t.Context(), req)
			b, err := r.ReadAll()
			var e *netreply.Error
			require.ErrorAs(t, err, &e, "%v", f.fault)
			if want := f.fault.Code(); want != netreply.NoError {
				assert.Equal(t, want, e.Code, "%v", f.fault)
			}
			assert.Len(t, b, f.read, "%v", f.fault)
		})
	}
}

func backendManager(t *testing.T, b netreply.Backend) *netreply.Manager {
	m, err := netreply.NewManager(netreply.Config{Backends: map[string]netreply.Backend{"http": b, "https": b}})
	require.NoError(t, err)
	t.Cleanup(func() { m.Close() })
	return m
}

// TestBackend: an Answer answers every request of a Manager, without a server.
func TestBackend(t *testing.T) {
	m := backendManager(t, netreplytest.Answer{netreplytest.Status(404), netreplytest.Body("none"), netreplytest.Trailer("X-T", "t")})
	for range 2 {
		req, err := netreply.NewRequest("http://a.example/b")
		require.NoError(t, err)
		r := m.Post(t.Context(), req, netreply.StringBody("x"))
		b, err := r.ReadAll()
		require.ErrorIs(t, err, netreply.ContentNotFoundError)
		assert.Equal(t, "none", string(b))
		assert.Equal(t, "t", r.Trailers().Get("X-T"))
	}
	req, err := netreply.NewRequest("http://a.example/b")
	require.NoError(t, err)
	m = backendManager(t, netreplytest.Answer{netreplytest.Body("x"), netreplytest.Status(404)})
	require.ErrorContains(t, m.Get(t.Context(), req).Wait(t.Context()), "Status stands after Body")
}

// TestReplyRedirect: the steps after a Redirect are the answer of its target.
func TestReplyRedirect(t *testing.T) {
	r := netreplytest.Reply(t, netreplytest.Status(307), netreplytest.Redirect("/b"), netreplytest.Redirect("http://b.example/c?d"), netreplytest.Body("there"))
	b, err := r.ReadAll()
	require.Error(t, err, "from https to http")
	require.ErrorIs(t, err, netreply.InsecureRedirectError)
	assert.Empty(t, b)

	r = netreplytest.Reply(t, netreplytest.Status(307), netreplytest.Redirect("/b"), netreplytest.Redirect("https://b.example/c?d"), netreplytest.Body("there"))
	b, err = r.ReadAll()
	require.NoError(t, err)
	assert.Equal(t, "there", string(b))
	assert.Equal(t, "https://b.example/c?d", r.URL().String())
	netreplytest.Record(r).Match(t, "... MetaDataChanged(307) Redirected ... MetaDataChanged(302) Redirected ... MetaDataChanged(200) ... Finished")
}

// TestReplyQuestions: questions of a Reply wait for their answer, and decide what happens.
func TestReplyQuestions(t *testing.T) {
	cert := &x509.Certificate{Raw: []byte("x")}
	steps := func(e netreply.Event) []netreplytest.Step {
		return []netreplytest.Step{
			netreplytest.Signal(netreply.SocketStartedConnecting{}), netreplytest.Signal(e), netreplytest.Signal(netreply.RequestSent{}),
			netreplytest.Body("in"),
		}
	}
	ssl := netreply.SSLErrorsOccurred{SSLErrors: &netreply.SSLErrors{Errors: []netreply.SSLError{{Code: netreply.SSLCertificateExpired, Certificate: cert}}}}
	login := netreply.AuthenticationRequired{Authenticator: &netreply.Authenticator{Realm: "private", Scheme: "Basic"}}
	proxy := netreply.ProxyAuthenticationRequired{ProxyAuthenticator: &netreply.ProxyAuthenticator{
		Proxy: &netreply.Proxy{Type: netreply.HTTPProxy, Host: "p.example"}, Authenticator: &netreply.Authenticator{Realm: "proxy"}}}
	for _, c := range []struct {
		event netreply.Event
		code  netreply.NetworkError // of the answer no
	}{{ssl, netreply.SslHandshakeFailedError}, {login, netreply.AuthenticationRequiredError}, {proxy, netreply.ProxyAuthenticationRequiredError}} {
		for _, yes := range []bool{true, false} {
			r := netreplytest.Reply(t, steps(c.event)...)
			switch q := (<-r.Questions()).(type) {
			case *netreply.SSLErrors:
				assert.Equal(t, "server.example", q.Host)
				assert.True(t, yes && q.Ignore() || !yes && q.Reject())
			case *netreply.Authenticator:
				assert.Equal(t, "private", q.Realm)
				assert.True(t, yes && q.SetCredentials("u", "p") || !yes && q.Cancel())
			case *netreply.ProxyAuthenticator:
				assert.Equal(t, "p.example", q.Proxy.Host)
				assert.True(t, yes && q.SetCredentials("u", "p") || !yes && q.Cancel())
			default:
				t.Fatalf("%T", q)
			}
			b, err := r.ReadAll()
			if yes {
				require.NoError(t, err)
				assert.Equal(t, "in", string(b))
			} else {
				require.ErrorIs(t, err, c.code)
			}
		}
	}
}

// TestReplySignals: a Signal takes the place of those of a request that is sent at once.
func TestReplySignals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := netreplytest.Reply(t, netreplytest.After(time.Second), netreplytest.Signal(netreply.SocketStartedConnecting{}),
			netreplytest.Signal(netreply.DownloadProgress{Progress: netreply.Progress{Done: 1, Total: 3}}), netreplytest.After(time.Minute),
			netreplytest.Status(201), netreplytest.Signal(netreply.MetaDataChanged{}), netreplytest.After(time.Hour), netreplytest.Body("abc"))
		require.NoError(t, r.Wait(t.Context())) // of progress a late Recorder has the newest only
		netreplytest.Record(r).Match(t, "SocketStartedConnecting DownloadProgress(1/3) MetaDataChanged(201) ReadyRead DownloadProgress(3/3) Finished")
		at := []time.Duration{}
		for _, e := range netreplytest.Record(r).Events() {
			at = append(at, e.Elapsed())
		}
		end := time.Second + time.Minute + time.Hour
		assert.Equal(t, []time.Duration{time.Second, time.Second, time.Second + time.Minute, end, end, end}, at)
	})
}

// TestReplyMisuse: steps that cannot stand where they do fail the test.
func TestReplyMisuse(t *testing.T) {
	for want, steps := range map[string][]netreplytest.Step{
		"Signal cannot emit ReadyRead":                       {netreplytest.Signal(netreply.ReadyRead{})},
		"Signal cannot emit AuthenticationRequired":          {netreplytest.Signal(netreply.AuthenticationRequired{})},
		"Signal cannot emit nil":                             {netreplytest.Signal(nil)},
		"steps follow Refuse(), which ends the answer":       {netreplytest.Refuse(), netreplytest.Body("x")},
		"Redirect stands before or after parts of a body":    {netreplytest.Body("x"), netreplytest.Redirect("/")},
		"Status(100) is no status of a final response; Info": {netreplytest.Redirect("/"), netreplytest.Status(100)},
	} {
		spy := &spyTB{TB: t}
		spy.run(func() { netreplytest.Reply(spy, steps...) })
		assert.Contains(t, spy.fatal, want)
	}
}

// TestReplyAbandoned: a Reply that nobody reads or waits for ends with the test; goleak tells
// if it does not.
func TestReplyAbandoned(t *testing.T) {
	r := netreplytest.Reply(t, netreplytest.Body("x"), netreplytest.Stall())
	_, err := io.ReadFull(r, make([]byte, 1))
	require.NoError(t, err)
}
