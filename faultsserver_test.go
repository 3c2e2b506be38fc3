package netreply_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// faultExchange is a request that the tests with faults send.
type faultExchange struct {
	name, method, path string
	body               func() netreply.Body
}

var (
	faultUpload    = strings.Repeat("What goes up. ", 40)
	faultExchanges = []faultExchange{
		{"GET", "GET", "/length", nil},
		{"GET chunked", "GET", "/chunked", nil},
		{"POST", "POST", "/length", func() netreply.Body { return netreply.StringBody(faultUpload) }},
		{"POST chunked", "POST", "/chunked", func() netreply.Body {
			return netreply.SourceBody(-1, func() (io.ReadCloser, error) { return io.NopCloser(pieces(faultUpload)), nil })
		}},
	}
)

// pieces is a reader that returns a text in a few parts.
func pieces(text string) io.Reader {
	var parts []io.Reader
	for part := range slices.Chunk([]byte(text), 200) {
		parts = append(parts, strings.NewReader(string(part)))
	}
	return io.MultiReader(parts...)
}

// faultAnswer is the body of the answer to a request.
func faultAnswer(path, upload string) string {
	return strings.Repeat(fmt.Sprintf("%s %x\n", path, sha256.Sum256([]byte(upload))), 8)
}

// faultServer is a server of one kind, which counts by connection.
type faultServer struct {
	kind testserver.Kind
	addr string
	cfg  *netreply.SSLConfiguration
	mu   sync.Mutex
	here map[string]*faultClient // by its address
}

type faultClient struct {
	posts int
	gone  chan struct{}
}

func newFaultServer(t *testing.T, kind testserver.Kind) *faultServer {
	s := &faultServer{kind: kind, here: map[string]*faultClient{}}
	o, cfg := testserver.NewOriginWith(t, kind, http.HandlerFunc(s.answer), func(h *http.Server) {
		h.ErrorLog = discardLog
		h.ConnState = func(c net.Conn, state http.ConnState) {
			s.mu.Lock()
			defer s.mu.Unlock()
			switch addr := c.RemoteAddr().String(); state {
			case http.StateNew:
				s.here[addr] = &faultClient{gone: make(chan struct{})}
			case http.StateClosed:
				if c := s.here[addr]; c != nil {
					close(c.gone)
				}
			}
		}
	})
	s.addr, s.cfg = o.Listener.Addr().String(), &netreply.SSLConfiguration{TLS: cfg}
	return s
}

func (s *faultServer) answer(w http.ResponseWriter, r *http.Request) {
	if r.Method == "POST" {
		s.mu.Lock()
		if c := s.here[r.RemoteAddr]; c != nil { // otherwise the connection has ended meanwhile
			c.posts++
		}
		s.mu.Unlock()
	}
	upload, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	answer := faultAnswer(r.URL.Path, string(upload))
	if r.URL.Path != "/chunked" {
		w.Header().Set("Content-Length", fmt.Sprint(len(answer)))
		io.WriteString(w, answer)
		return
	}
	w.Header().Set("Trailer", "X-Sum")
	for part := range slices.Chunk([]byte(answer), 250) {
		w.Write(part)
		w.(http.Flusher).Flush()
	}
	w.Header().Set("X-Sum", fmt.Sprintf("%x", sha256.Sum256([]byte(answer))))
}

// forget waits until connections are closed, and returns the number of POSTs on them.
func (s *faultServer) forget(ctx context.Context, clients []string) (posts int, err error) {
	for _, addr := range clients {
		s.mu.Lock()
		c := s.here[addr]
		s.mu.Unlock()
		if c == nil { // it was closed before it was accepted
			continue
		}
		select {
		case <-c.gone:
		case <-ctx.Done():
			return 0, fmt.Errorf("the server still has a connection")
		}
		s.mu.Lock()
		posts += c.posts
		delete(s.here, addr)
		s.mu.Unlock()
	}
	return posts, nil
}

// countedConn reports when a client closes its connection.
type countedConn struct {
	*net.TCPConn
	close func()
}

func (c *countedConn) Close() error {
	c.close()
	return c.TCPConn.Close()
}
