package httpserver_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/netreply/netreply/httpserver"
)

// A client of HTTP/2 that takes any number of bytes by its windows, and reads none of them from
// its connection, is cut after StallTimeout.
func TestDeafHTTP2(t *testing.T) {
	summaries := make(chan httpserver.Summary, 1)
	server, err := httpserver.NewServer(httpserver.Config{HTTP2Cleartext: true, StallTimeout: 200 * time.Millisecond})
	require.NoError(t, err)
	server.Finished(func(_ *http.Request, sum httpserver.Summary) { summaries <- sum })
	server.Handle("GET /p", func(_ *http.Request, w *httpserver.Responder) {
		w.WriteReader(bottomless{}, "text/plain")
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	defer func() {
		server.Close()
		<-served
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	io.WriteString(c, http2.ClientPreface)
	f := http2.NewFramer(c, c)
	require.NoError(t, f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30}))
	require.NoError(t, f.WriteWindowUpdate(0, 1<<30))
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	for _, kv := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "x"}, {":path", "/p"}} {
		e.WriteField(hpack.HeaderField{Name: kv[0], Value: kv[1]})
	}
	require.NoError(t, f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true}))
	select {
	case sum := <-summaries:
		require.ErrorIs(t, sum.Err, httpserver.ErrClientGone)
	case <-time.After(time.Minute):
		t.Fatal("the handler still writes")
	}
}

type bottomless struct{}

func (bottomless) Read(p []byte) (int, error) { return len(p), nil }
