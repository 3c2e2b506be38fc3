package httpserver_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpserver"
)

// A body that the client was asked for, and that is not read to its end, does not cost the
// client the answer: the connection ends in good order behind it, and is not reset.
func TestAnswerBeforeEndOfExpectedBody(t *testing.T) {
	refuse := func(r *http.Request, w *httpserver.Responder) {
		r.Body.Read(make([]byte, 1))
		w.WriteStatus(httpserver.Conflict)
	}
	server, err := httpserver.NewServer(httpserver.Config{})
	require.NoError(t, err)
	server.Handle("POST /", refuse)
	for name, h := range map[string]http.Handler{"Server": server, "HandlerFunc": httpserver.HandlerFunc(refuse)} {
		t.Run(name, func(t *testing.T) {
			got := raw(t, serve(t, h), "POST /p HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3000000\r\n\r\n"+strings.Repeat("x", 64<<10))
			require.Contains(t, got, "HTTP/1.1 100 Continue\r\n")
			require.Contains(t, got, "HTTP/1.1 409 Conflict\r\n")
		})
	}
}
