package netreply_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// TestClientTrace: the hooks of a trace in the context of a request are called for
// connection, request and response of each hop.
func TestClientTrace(t *testing.T) {
	wrote := make(chan struct{}, 1) // so that the response is not reported first
	s, cfg := testserver.NewOrigin(t, testserver.H2, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-wrote
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/there", http.StatusFound)
			return
		}
		io.WriteString(w, "text")
	}))
	var mu sync.Mutex
	var told []string
	add := func(s string) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, s)
	}
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		GetConn: func(string) { add("GetConn") },
		GotConn: func(i httptrace.GotConnInfo) {
			if i.Reused {
				add("GotConn, reused")
			} else {
				add("GotConn")
			}
		},
		ConnectStart:         func(string, string) { add("ConnectStart") },
		ConnectDone:          func(string, string, error) { add("ConnectDone") },
		TLSHandshakeStart:    func() { add("TLSHandshakeStart") },
		TLSHandshakeDone:     func(tls.ConnectionState, error) { add("TLSHandshakeDone") },
		WroteRequest:         func(httptrace.WroteRequestInfo) { add("WroteRequest"); wrote <- struct{}{} },
		GotFirstResponseByte: func() { add("GotFirstResponseByte") },
	})
	m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{RootCAs: cfg.RootCAs}})
	body, err := m.Get(ctx, newRequest(t, s.URL)).ReadAll()
	require.NoError(t, err)
	assert.Equal(t, "text", string(body))
	mu.Lock()
	defer mu.Unlock()
	assert.Equal(t, []string{"GetConn", "ConnectStart", "ConnectDone", "TLSHandshakeStart", "TLSHandshakeDone", "GotConn", "WroteRequest", "GotFirstResponseByte",
		"GetConn", "GotConn, reused", "WroteRequest", "GotFirstResponseByte"}, told)
}
