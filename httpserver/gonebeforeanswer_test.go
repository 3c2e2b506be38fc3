package httpserver_test

import (
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpserver"
)

// A client that goes before the first item is no 500 of the program's: the Summary says that
// it has gone.
func TestClientGoneBeforeFirstItem(t *testing.T) {
	summaries := make(chan httpserver.Summary, 1)
	server, err := httpserver.NewServer(httpserver.Config{})
	require.NoError(t, err)
	begun := make(chan struct{})
	server.Handle("GET /p", func(_ *http.Request, w *httpserver.Responder) {
		err := httpserver.WriteJSONLines(w, func(yield func(int, error) bool) {
			close(begun)
			<-w.Context().Done()
		})
		if err != nil && !w.Responded() {
			w.WriteError(err)
		}
	})
	server.Finished(func(_ *http.Request, sum httpserver.Summary) { summaries <- sum })
	c, err := net.Dial("tcp", serve(t, server))
	require.NoError(t, err)
	_, err = io.WriteString(c, h1("GET"))
	require.NoError(t, err)
	<-begun
	c.Close()
	require.ErrorIs(t, (<-summaries).Err, httpserver.ErrClientGone)
}
