package netreply_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(memoryURL); url != "" {
		os.Exit(memoryClient(url))
	}
	if spec := os.Getenv(stackChild); spec != "" {
		os.Exit(stackClient(spec))
	}
	if spec := os.Getenv(smallStackChild); spec != "" {
		os.Exit(smallStackClient(spec))
	}
	goleak.VerifyTestMain(testserver.Lingering{M: m})
}

func newManager(t testing.TB, c netreply.Config) *netreply.Manager {
	t.Helper()
	m, err := netreply.NewManager(c)
	require.NoError(t, err)
	t.Cleanup(func() { m.Close() })
	return m
}

func newRequest(t testing.TB, url string) *netreply.Request {
	t.Helper()
	req, err := netreply.NewRequest(url)
	require.NoError(t, err)
	return req
}

// fixture is a server of some kind and a Manager that trusts it.
type fixture struct {
	*httptest.Server
	m    *netreply.Manager
	kind testserver.Kind
	cfg  *tls.Config // trusts the server
	t    testing.TB
}

func (s *fixture) request(path string) *netreply.Request {
	req := newRequest(s.t, s.URL+path)
	if s.kind == testserver.H2C {
		req.HTTP = netreply.HTTP2Direct
	}
	return req
}

// eachProtocol runs a test against a handler over every protocol.
func eachProtocol(t *testing.T, h http.HandlerFunc, c netreply.Config, f func(*testing.T, *fixture)) {
	for _, kind := range testserver.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			s, cfg := testserver.NewOrigin(t, kind, h)
			c.SSLConfiguration = &netreply.SSLConfiguration{TLS: cfg}
			f(t, &fixture{Server: s, m: newManager(t, c), kind: kind, cfg: cfg, t: t})
		})
	}
}

// discardLog is for servers whose errors are expected.
var discardLog = log.New(io.Discard, "", 0)

// dialTo dials one address for all names.
func dialTo(addr string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
}

// deadline bounds a test that waits.
func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// signalNames lists the signals of a reply in order.
func signalNames(t testing.TB, r *netreply.Reply) []string {
	var list []string
	for e := range r.Events(deadline(t)) {
		list = append(list, signalName(e))
	}
	return list
}

func signalName(e netreply.Event) string {
	switch e := e.(type) {
	case netreply.SocketStartedConnecting:
		return "connecting"
	case netreply.Encrypted:
		return "encrypted"
	case netreply.SSLErrorsOccurred:
		return "flaws"
	case netreply.PreSharedKeyAuthenticationRequired:
		return "key"
	case netreply.RequestSent:
		return "sent"
	case netreply.UploadProgress:
		return "up"
	case netreply.InformationalReceived:
		return "informational"
	case netreply.MetaDataChanged:
		return "head"
	case netreply.AuthenticationRequired:
		return "question"
	case netreply.ProxyAuthenticationRequired:
		return "proxy question"
	case netreply.Redirected:
		return "redirected"
	case netreply.ReadyRead:
		return "ready"
	case netreply.DownloadProgress:
		return "down"
	case netreply.ErrorOccurred:
		return e.Code.String()
	case netreply.Finished:
		return "finished"
	}
	return "?"
}

// startProgram starts an installed server, waits until it listens, and stops it with a
// signal at the end of the test.
func startProgram(t *testing.T, stop os.Signal, name, addr string, args ...string) {
	bin, err := exec.LookPath(name)
	if err != nil {
		if bin, err = exec.LookPath("/usr/sbin/" + name); err != nil {
			t.Skipf("no %s on this machine (Debian: %s)", name, name)
		}
	}
	var out bytes.Buffer
	cmd := exec.Command(bin, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Signal(stop)
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s: %s", name, out.Bytes())
		}
	})
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	}, 20*time.Second, 20*time.Millisecond, "%s does not start", name)
}

func freeAddr(t *testing.T) (addr, port string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	_, port, err = net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	return l.Addr().String(), port
}
