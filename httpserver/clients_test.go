package httpserver_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpserver"
)

// TestRateLimitCounts: a request that is refused for another reason counts, too.
func TestRateLimitCounts(t *testing.T) {
	for name, c := range map[string]struct {
		r    func() *http.Request
		want int
	}{
		"414": {func() *http.Request { return httptest.NewRequest("GET", "/"+strings.Repeat("x", 100), nil) }, 414},
		"431": {func() *http.Request {
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set("X", strings.Repeat("x", 100))
			return r
		}, 431},
		"413": {func() *http.Request {
			return httptest.NewRequest("POST", "/", strings.NewReader(strings.Repeat("x", 100)))
		}, 413},
	} {
		s := newServer(t, httpserver.Config{RateLimit: 2, MaxURLSize: 50, MaxHeaderFieldSize: 50, MaxBodySize: 50})
		s.Handle("/", func(_ *http.Request, w *httpserver.Responder) { w.WriteStatus() })
		var got []int
		for range 3 {
			w := httptest.NewRecorder()
			s.ServeHTTP(w, c.r())
			got = append(got, w.Code)
		}
		assert.Equal(t, []int{c.want, c.want, 429}, got, name)
	}
}

// TestRateLimitAddresses: who a client is when something around the Server has written its
// address, with or without a port.
func TestRateLimitAddresses(t *testing.T) {
	s := newServer(t, httpserver.Config{RateLimit: 1})
	s.Handle("/", func(_ *http.Request, w *httpserver.Responder) { w.WriteStatus() })
	for _, c := range []struct {
		remote string
		want   int
	}{
		{"192.0.2.1:1", 200}, {"192.0.2.1", 429}, {"192.0.2.1:2", 429}, {"::ffff:192.0.2.1", 429}, {"[::ffff:192.0.2.1]:5", 429},
		{"2001:db8::1", 200}, {"[2001:db8::2]:1", 429}, {"2001:db8::3%eth0", 429}, {"2001:db8:0:1::", 200},
		{"@", 200}, {"@", 200}, {"", 200}, {"pipe", 200},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.remote
		s.ServeHTTP(w, r)
		assert.Equal(t, c.want, w.Code, c.remote)
	}
}

// moving is a connection whose address is another one once something was read, as behind a
// proxy that tells of its client at the beginning of the connection.
type moving struct {
	net.Conn
	moved *atomic.Bool
	_     []int // so that it cannot be compared
}

func (m moving) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	m.moved.Store(n > 0 || m.moved.Load())
	return n, err
}

func (m moving) RemoteAddr() net.Addr {
	if m.moved.Load() {
		return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}
	}
	return m.Conn.RemoteAddr()
}

type movingListener struct{ net.Listener }

func (l movingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return moving{Conn: c, moved: new(atomic.Bool)}, nil
}

// TestConnectionsThatMove: what a connection counted for when it came it counts for no longer
// when it goes, whatever its address is then.
func TestConnectionsThatMove(t *testing.T) {
	cert := filepath.Join(t.TempDir(), "cert.pem")
	certify(t, "one.example", cert, cert+".key")
	for name, c := range map[string]httpserver.Config{
		"per host": {MaxConnectionsPerHost: 2}, "all": {MaxConnections: 2}, "TLS": {MaxConnectionsPerHost: 2, CertFile: cert, KeyFile: cert + ".key"},
	} {
		s := newServer(t, c)
		s.Handle("/", func(_ *http.Request, w *httpserver.Responder) {
			w.WriteStatus()
		})
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		served := make(chan error, 1)
		go func() { served <- s.Serve(movingListener{l}) }()
		ask := func() (net.Conn, error) {
			conn := send(t, l.Addr().String(), "")
			if c.CertFile != "" {
				conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
			}
			if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				return conn, err
			}
			_, err := http.ReadResponse(bufio.NewReader(conn), nil)
			return conn, err
		}
		for i := range 5 {
			var all []net.Conn
			for range 2 {
				var conn net.Conn
				require.Eventually(t, func() bool { conn, err = ask(); return err == nil }, 20*time.Second, time.Millisecond, "%s: round %d", name, i)
				all = append(all, conn)
			}
			_, err := ask()
			assert.Error(t, err, fmt.Sprint(name, i))
			for _, conn := range all {
				conn.Close()
			}
		}
		s.Close()
		<-served
	}
}
