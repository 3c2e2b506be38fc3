package docs_test

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/netreplytest"
)

// The tests of testing.md, word for word.

func TestGreeting(t *testing.T) {
	s := netreplytest.NewServer(t, netreplytest.HTTPS)
	s.Handle("GET /greeting", netreplytest.Answer{netreplytest.Body("hello")})

	m, err := netreply.NewManager(s.Config())
	require.NoError(t, err)
	defer m.Close()
	body, err := m.Get(t.Context(), s.Request("/greeting")).ReadAll()
	require.NoError(t, err)
	assert.Equal(t, "hello", string(body))
	assert.Equal(t, "GET", s.Requests()[0].Method)
}

func TestSilentServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := netreplytest.NewServer(t, netreplytest.HTTP)
		s.Handle("/", netreplytest.Answer{netreplytest.Body("hel"), netreplytest.Stall()})
		req := s.Request("/")
		req.TransferTimeout = 10 * time.Minute

		start := time.Now()
		body, err := s.Manager().Get(t.Context(), req).ReadAll()
		assert.ErrorIs(t, err, netreply.TimeoutError)
		assert.Equal(t, "hel", string(body))
		assert.Equal(t, 10*time.Minute, time.Since(start))
	})
}

func TestFailures(t *testing.T) {
	for _, code := range []netreply.NetworkError{
		netreply.ConnectionRefusedError, netreply.HostNotFoundError, netreply.SslHandshakeFailedError,
		netreply.RemoteHostClosedError, netreply.ProxyConnectionRefusedError, netreply.ServiceUnavailableError,
	} {
		s := netreplytest.NewServer(t, netreplytest.HTTPS)
		s.Fail(netreplytest.Fail(code))
		err := s.Manager().Get(t.Context(), s.Request("/")).Wait(t.Context())
		assert.ErrorIs(t, err, code)
	}
}

func TestTriesAgain(t *testing.T) {
	s := netreplytest.NewServer(t, netreplytest.HTTP2)
	s.Next(netreplytest.Refuse(), netreplytest.Answer{netreplytest.Body("half"), netreplytest.Reset()}, netreplytest.Answer{netreplytest.Body("whole")})

	var body []byte
	for attempt := 1; ; attempt++ {
		var err error
		if body, err = s.Manager().Get(t.Context(), s.Request("/")).ReadAll(); err == nil {
			assert.Equal(t, 3, attempt)
			break
		}
	}
	assert.Equal(t, "whole", string(body))
}

func TestProxyLogin(t *testing.T) {
	s := netreplytest.NewServer(t, netreplytest.HTTPS)
	s.Handle("/", netreplytest.Answer{netreplytest.Body("inside")})
	s.Proxy().RequireLogin("gopher", "burrow")

	c := s.Config() // after Proxy, and so with it
	c.Proxy.User, c.Proxy.Password = "gopher", "burrow"
	m, err := netreply.NewManager(c)
	require.NoError(t, err)
	defer m.Close()
	body, err := m.Get(t.Context(), s.Request("/")).ReadAll()
	require.NoError(t, err)
	assert.Equal(t, "inside", string(body))
	assert.Equal(t, "CONNECT", s.Proxy().Requests()[0].Method)
}

func TestPartialDownload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := netreplytest.Reply(t,
			netreplytest.Header("Content-Type", "text/plain"), netreplytest.Body("hel"),
			netreplytest.After(2*time.Second), netreplytest.Body("lo"), netreplytest.Fail(netreply.RemoteHostClosedError))

		body, err := r.ReadAll() // the code under test
		assert.ErrorIs(t, err, netreply.RemoteHostClosedError)
		assert.Equal(t, "hello", string(body))
	})
}

func TestLoginWindow(t *testing.T) {
	r := netreplytest.Reply(t,
		netreplytest.Signal(netreply.AuthenticationRequired{Authenticator: &netreply.Authenticator{Realm: "private"}}),
		netreplytest.Body("inside"))

	question := <-r.AuthenticationRequired() // the code under test
	assert.Equal(t, "private", question.Realm)
	question.SetCredentials("gopher", "burrow")
	body, err := r.ReadAll()
	require.NoError(t, err)
	assert.Equal(t, "inside", string(body))
}

func TestOffline(t *testing.T) {
	answer := netreplytest.Answer{netreplytest.Status(404), netreplytest.Body("no such page")}
	m, err := netreply.NewManager(netreply.Config{Backends: map[string]netreply.Backend{"http": answer, "https": answer}})
	require.NoError(t, err)
	defer m.Close()
	req, err := netreply.NewRequest("https://www.example.org/page")
	require.NoError(t, err)
	assert.ErrorIs(t, m.Get(t.Context(), req).Wait(t.Context()), netreply.ContentNotFoundError)
}

func TestOtherClient(t *testing.T) {
	s := netreplytest.NewServer(t, netreplytest.HTTPS)
	s.Next(netreplytest.Answer{netreplytest.Body("hello")}, netreplytest.Truncate(3))
	client := &http.Client{Transport: s.Manager().RoundTripper(netreply.RoundTripperOptions{})}

	for _, want := range []error{nil, netreply.RemoteHostClosedError} { // the code under test
		resp, err := client.Get(s.URL("/greeting"))
		require.NoError(t, err)
		_, err = io.ReadAll(resp.Body)
		assert.ErrorIs(t, err, want)
		resp.Body.Close()
	}
}

func TestBackend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := netreply.BackendFunc(func(q *netreply.BackendRequest, w netreply.ReplyWriter) error { // the code under test
			io.WriteString(w, "half")
			<-q.Context().Done()
			return q.Context().Err()
		})
		m, err := netreply.NewManager(netreply.Config{
			TransferTimeout: 10 * time.Minute,
			Backends:        map[string]netreply.Backend{"slow": slow},
		})
		require.NoError(t, err)
		defer m.Close()
		req, err := netreply.NewRequest("slow:anything")
		require.NoError(t, err)
		r := m.Get(t.Context(), req)
		netreplytest.Record(r).Match(t, "MetaDataChanged ReadyRead ErrorOccurred(TimeoutError) DownloadProgress Finished")
	})
}

func TestSignals(t *testing.T) {
	s := netreplytest.NewServer(t, netreplytest.HTTP)
	s.Handle("/", netreplytest.Answer{netreplytest.Status(404), netreplytest.Body("none")})
	r := s.Manager().Get(t.Context(), s.Request("/"))
	netreplytest.Record(r).Match(t, `SocketStartedConnecting RequestSent MetaDataChanged(404)
		ReadyRead|DownloadProgress* ErrorOccurred(ContentNotFoundError) DownloadProgress Finished`)
}

func TestEachArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := netreplytest.NewServer(t, netreplytest.HTTP)
		s.Handle("/", netreplytest.Answer{netreplytest.Body("hello "), netreplytest.After(time.Second), netreplytest.Body("world")})
		var signals netreplytest.Recorder
		req := s.Request("/")
		req.OnSignal = signals.OnSignal
		require.NoError(t, s.Manager().Get(t.Context(), req).Wait(t.Context()))
		signals.Match(t, "... MetaDataChanged(200) ReadyRead ReadyRead DownloadProgress(11/11)+ Finished")
	})
}
