package interop

import (
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/summerwind/h2spec/config"
	"github.com/summerwind/h2spec/generic"
	"github.com/summerwind/h2spec/hpack"
	"github.com/summerwind/h2spec/http2"
	"github.com/summerwind/h2spec/spec"

	"github.com/netreply/netreply/httpserver"
)

// TestH2Spec: on a Server and behind Responders HTTP/2 is what it is with net/http alone; no
// case of h2spec fails that passes there.
func TestH2Spec(t *testing.T) {
	if testing.Short() {
		t.Skip("h2spec waits for what should not come")
	}
	body := []byte(strings.Repeat("hello ", 100))
	bare := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Write(body)
	})
	data := func(r *http.Request, w *httpserver.Responder) {
		io.Copy(io.Discard, r.Body)
		w.WriteData(body, "text/plain")
	}
	chunks := func(r *http.Request, w *httpserver.Responder) {
		io.Copy(io.Discard, r.Body)
		w.WriteBeginChunked("text/plain")
		w.WriteChunk(body)
		w.WriteEndChunked(nil)
	}
	s, err := httpserver.NewServer(httpserver.Config{HTTP2Cleartext: true, ErrorLog: quiet})
	require.NoError(t, err)
	s.Handle("/", data)
	s.AfterRequest(func(_ *http.Request, p *httpserver.Response) { p.Headers.Set("X-Hook", "1") })
	accepted := failures(t, serveCleartext(t, bare))
	for name, addr := range map[string]string{
		"Server": serveServer(t, s), "HandlerFunc": serveCleartext(t, httpserver.HandlerFunc(chunks)),
	} {
		failed := failures(t, addr)
		for range 3 { // the end of a connection can overtake what was said before it
			maps.DeleteFunc(failed, func(id, _ string) bool { return accepted[id] != "" })
			if len(failed) > 0 {
				failed = failures(t, addr, slices.Collect(maps.Keys(failed))...)
			}
		}
		assert.Empty(t, failed, name)
	}
}

// serveCleartext serves a handler of net/http over HTTP/2 by prior knowledge.
func serveCleartext(t *testing.T, h http.Handler) string {
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = quiet
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func serveServer(t *testing.T, s *httpserver.Server) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		assert.ErrorIs(t, <-served, http.ErrServerClosed)
	})
	return l.Addr().String()
}

// quiet takes what net/http has to say of clients like these.
var quiet = log.New(io.Discard, "", 0)

// failures are the cases of h2spec that a server fails, of all or of some: what they are
// about by their ids.
func failures(t *testing.T, addr string, ids ...string) map[string]string {
	a, err := net.ResolveTCPAddr("tcp", addr)
	require.NoError(t, err)
	stdout := os.Stdout
	nowhere, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer nowhere.Close()
	os.Stdout = nowhere // h2spec talks
	defer func() { os.Stdout = stdout }()
	// net/http closes a connection a second after it has said why.
	c := &config.Config{Host: "127.0.0.1", Port: a.Port, Path: "/", Timeout: 1500 * time.Millisecond, MaxHeaderLen: 4000, Strict: true, Sections: ids}
	failed, ran := map[string]string{}, 0
	for _, group := range []*spec.TestGroup{generic.Spec(), http2.Spec(), hpack.Spec()} {
		group.Test(c)
		ran += group.PassedCount + group.FailedCount
		collect(group, failed)
	}
	if len(ids) == 0 {
		require.Greater(t, ran, 140, "h2spec has run")
	} else {
		require.Equal(t, len(ids), ran, "h2spec has run again")
	}
	return failed
}

func collect(g *spec.TestGroup, failed map[string]string) {
	for i, c := range append(g.Tests, g.StrictTests...) {
		if c.Result != nil && c.Result.Failed {
			failed[fmt.Sprintf("%s/%d", g.ID(), i+1)] = c.Desc
		}
	}
	for _, sub := range g.Groups {
		collect(sub, failed)
	}
}
