package netreply_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// logged returns the JSON of log/slog for a value.
func logged(t *testing.T, v any) map[string]any {
	var b bytes.Buffer
	slog.New(slog.NewJSONHandler(&b, nil)).Info("m", "v", v)
	var line struct{ V map[string]any }
	require.NoError(t, json.Unmarshal(b.Bytes(), &line))
	return line.V
}

// TestLoggedValues: log/slog gets numbers as numbers, and strings without quotes.
func TestLoggedValues(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "no", http.StatusNotFound)
	}))
	r := newManager(t, netreply.Config{}).Fetch(t.Context(), "GET", newRequest(t, s.URL+"/x"), nil)
	require.Error(t, r.Err())
	assert.Equal(t, map[string]any{
		"Method": "GET", "URL": s.URL + "/x", "State": "finished", "StatusCode": 404.0, "Received": 3.0, "Err": r.Err().Error(),
	}, logged(t, r))

	req := newRequest(t, "http://host.test/")
	req.MaxRedirects, req.Background, req.TransferTimeout, req.LocalServerName = 3, true, time.Second, "a\nb"
	assert.Equal(t, map[string]any{
		"URL": "http://host.test/", "MaxRedirects": 3.0, "Background": true, "TransferTimeout": "1s", "LocalServerName": `a\nb`,
	}, logged(t, req))
	assert.Equal(t, `netreply.Request{URL: "http://host.test/", LocalServerName: "a\nb", Background: true, MaxRedirects: 3, TransferTimeout: 1s}`, fmt.Sprint(req))
}

// TestPrintRunning: a running reply is printed with phase and progress.
func TestPrintRunning(t *testing.T) {
	release := make(chan bool)
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "/x?q", http.StatusFound)
			return
		}
		w.Header().Set("Content-Length", "7")
		fmt.Fprint(w, "abc")
		w.(http.Flusher).Flush()
		<-release
		fmt.Fprint(w, "defg")
	}))
	r := newManager(t, netreply.Config{}).Get(t.Context(), newRequest(t, s.URL+"/moved"))
	b := make([]byte, 3)
	_, err := io.ReadFull(r, b)
	require.NoError(t, err)
	assert.Equal(t, `netreply.Reply{Method: "GET", URL: "`+s.URL+`/x?q", Redirects: 1, State: running, Phase: body, StatusCode: 200, Received: 3, ContentLength: 7}`,
		fmt.Sprint(r))
	assert.Equal(t, map[string]any{"Method": "GET", "URL": s.URL + "/x?q", "Redirects": 1.0, "State": "running", "Phase": "body", "StatusCode": 200.0,
		"Received": 3.0, "ContentLength": 7.0}, logged(t, r))
	close(release)
	require.NoError(t, r.Wait(deadline(t)))
	assert.Equal(t, `netreply.Reply{Method: "GET", URL: "`+s.URL+`/x?q", Redirects: 1, State: finished, StatusCode: 200, Received: 7}`, fmt.Sprint(r))
}

// TestPrintSSLErrors: the question is printed without its answer, which other goroutines
// may be writing.
func TestPrintSSLErrors(t *testing.T) {
	q := &netreply.SSLErrors{Host: "host.test", Errors: []netreply.SSLError{{Code: netreply.SSLCertificateExpired}}}
	done := make(chan bool)
	go func() { done <- q.Ignore() }()
	assert.Equal(t, `netreply.SSLErrors{Host: "host.test", Errors: ["The certificate has expired"], Chain: 0 of *x509.Certificate}`, fmt.Sprint(q))
	assert.True(t, <-done)
}
