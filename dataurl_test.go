package netreply_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// TestDataURL: the reply of a data: URL is like any other: it runs when Get returns, has a
// head and a body, and the usual signals (rules F2, S85).
func TestDataURL(t *testing.T) {
	m := newManager(t, netreply.Config{})
	inHead := make(chan struct{})
	req := newRequest(t, "data:text/x-test;charset=utf-8;base64,aGVsbG8=")
	req.OnSignal = func(r *netreply.Reply, e netreply.Event) {
		if _, head := e.(netreply.MetaDataChanged); head {
			<-inHead
		}
	}
	r := m.Get(t.Context(), req)
	assert.True(t, r.IsRunning())
	close(inHead)
	body, err := r.ReadAll()
	require.NoError(t, err)
	assert.Equal(t, "hello", string(body))
	assert.Equal(t, []string{"head", "ready", "down", "finished"}, signalNames(t, r))
	contentType, _ := netreply.ContentTypeHeader.Get(r.Headers())
	assert.Equal(t, "text/x-test;charset=utf-8", contentType)
	assert.EqualValues(t, 5, r.ContentLength())
	_, ok := netreply.HTTPStatusCode.Of(r)
	assert.False(t, ok, "a data: URL has no status")
	assert.Equal(t, req.URL, r.URL())

	r = m.Fetch(t.Context(), "GET", newRequest(t, "data:,fetched"), nil)
	assert.True(t, r.IsFinished())
	assert.Equal(t, "fetched", string(r.ReadAvailable()))

	text, err := m.Get(t.Context(), newRequest(t, "data:;charset=iso-8859-1,%FC")).Text()
	require.NoError(t, err)
	assert.Equal(t, "ü", text, "the type may be left out, and the charset be there")

	r = m.Get(t.Context(), newRequest(t, "data:,"))
	require.NoError(t, r.Wait(t.Context()))
	assert.Equal(t, []string{"head", "down", "finished"}, signalNames(t, r))
	assert.EqualValues(t, 0, r.ContentLength())
}

// TestDataURLHead: HEAD has the head of GET, and no body (S85, D1).
func TestDataURLHead(t *testing.T) {
	m := newManager(t, netreply.Config{})
	r := m.Head(t.Context(), newRequest(t, "data:,hello"))
	body, err := r.ReadAll()
	require.NoError(t, err)
	assert.Empty(t, body)
	assert.EqualValues(t, 5, r.ContentLength())
	for e := range r.Events(deadline(t)) {
		if p, ok := e.(netreply.DownloadProgress); ok {
			assert.Equal(t, netreply.Progress{}, p.Progress)
		}
	}
}

// TestDataURLRefused: a host makes a data: URL malformed, and methods other than GET and HEAD
// do not exist (rules F3, F8). No file is created for a PUT (D36).
func TestDataURLRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	m := newManager(t, netreply.Config{})
	r := m.Get(t.Context(), newRequest(t, "data://text/plain,hi"))
	assert.ErrorIs(t, r.Wait(t.Context()), netreply.ProtocolFailure)
	assert.Equal(t, "Invalid URI: data://text/plain,hi", r.ErrorString())
	assert.Equal(t, []string{"ProtocolFailure", "down", "finished"}, signalNames(t, r))

	for _, verb := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "get-it"} {
		r := m.Send(t.Context(), verb, newRequest(t, "data:,hi"), netreply.StringBody("x"))
		assert.ErrorIs(t, r.Wait(t.Context()), netreply.ProtocolUnknownError, verb)
		assert.Equal(t, `Protocol "data" is unknown`, r.ErrorString())
		var field *netreply.FieldError
		require.ErrorAs(t, r.Err(), &field)
		assert.Equal(t, "verb", field.Field)
	}
	assert.NoFileExists(t, ",hi")
}

// TestDataURLLimits: the read buffer limit and MaxBodySize hold, and an abort throws away
// what is unread (rules B5, S60).
func TestDataURLLimits(t *testing.T) {
	m := newManager(t, netreply.Config{})
	want := bytes.Repeat([]byte("0123456789"), 10_000)
	long := "data:;base64," + base64.StdEncoding.EncodeToString(want)

	req := newRequest(t, long)
	req.ReadBufferSize = 1000
	var most mostBytes
	req.OnSignal = most.see
	r := m.Get(t.Context(), req)
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(want, got))
	require.NoError(t, r.Wait(t.Context()))
	assert.Positive(t, most.Load())
	assert.LessOrEqual(t, most.Load(), int64(1000))

	r = m.Get(t.Context(), req)
	require.NoError(t, r.WaitHead(t.Context()))
	r.Abort()
	assert.ErrorIs(t, r.Err(), netreply.OperationCanceledError)
	assert.Zero(t, r.BytesAvailable())

	req.ReadBufferSize, req.MaxBodySize = 0, int64(len(want))
	require.NoError(t, m.Get(t.Context(), req).Wait(t.Context()))
	req.MaxBodySize--
	r = m.Get(t.Context(), req)
	assert.ErrorIs(t, r.Wait(t.Context()), netreply.UnknownContentError)
	var size *netreply.SizeLimitError
	assert.ErrorAs(t, r.Err(), &size)
}

// mostBytes is the most that a reply held unread at its signals.
type mostBytes struct{ atomic.Int64 }

func (m *mostBytes) see(r *netreply.Reply, _ netreply.Event) {
	m.Store(max(m.Load(), r.BytesAvailable()))
}

// TestSupportedSchemes: the schemes of HTTP, the built-in ones and those of Backends, each
// once (rule F1).
func TestSupportedSchemes(t *testing.T) {
	none := netreply.BackendFunc(func(*netreply.BackendRequest, netreply.ReplyWriter) error { return nil })
	list := func(c netreply.Config) string { return strings.Join(newManager(t, c).SupportedSchemes(), " ") }
	const http = "http https local+http unix+http"
	assert.Equal(t, "data file "+http, list(netreply.Config{}))
	assert.Equal(t, "data file "+http+" zip", list(netreply.Config{Backends: map[string]netreply.Backend{"zip": none, "data": none, "file": none}}))
	assert.Equal(t, "data "+http, list(netreply.Config{Guard: &netreply.AddressGuard{}}))
	assert.Equal(t, "data "+http, list(netreply.Config{FileAccess: netreply.NoFileAccess}))
	assert.Equal(t, "data file "+http, list(netreply.Config{Guard: &netreply.AddressGuard{}, FileAccess: netreply.ReadOnlyFileAccess}))
	assert.Equal(t, "data file "+http, list(netreply.Config{FileAccess: netreply.NoFileAccess, Backends: map[string]netreply.Backend{"file": none}}))
}

// TestNoRedirectToData: neither a server nor a Backend leads to a data: or file: URL (rules
// E20, F11).
func TestNoRedirectToData(t *testing.T) {
	const from = "moving"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", r.URL.Query().Get("to"))
		w.WriteHeader(http.StatusFound)
	}))
	defer s.Close()
	moving := netreply.BackendFunc(func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
		return w.Redirect(q.URL.Query().Get("to"), http.StatusFound)
	})
	m := newManager(t, netreply.Config{Backends: map[string]netreply.Backend{from: moving}})
	for _, start := range []string{s.URL + "/", from + "://host/"} {
		for _, to := range []string{"data:,x", "file:///etc/passwd", "file:", "FILE://localhost/etc/passwd"} {
			for _, policy := range []netreply.RedirectPolicy{netreply.NoLessSafeRedirectPolicy, netreply.UserVerifiedRedirectPolicy} {
				req := newRequest(t, start+"?to="+to)
				req.RedirectPolicy = policy
				req.OnSignal = func(_ *netreply.Reply, e netreply.Event) {
					if moved, ok := e.(netreply.Redirected); ok {
						t.Errorf("%s: asked about %s", start, to)
						moved.Allow()
					}
				}
				r := m.Get(t.Context(), req)
				assert.ErrorIs(t, r.Wait(t.Context()), netreply.ProtocolUnknownError, "%s to %s", start, to)
				assert.Equal(t, req.URL, r.URL())
				assert.Zero(t, r.BytesAvailable())
			}
		}
	}
}
