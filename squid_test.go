package netreply_test

import (
	"crypto/md5"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// squid starts a Squid with the given directives; AUTH stands for the directory of its
// helpers and DIR for that of the test.
func squid(t *testing.T, directives string) string {
	dir := t.TempDir()
	addr, _ := freeAddr(t)
	conf := fmt.Sprintf("http_port %s\npid_filename %s/pid\naccess_log none\ncache_log %s/cache.log\ncache deny all\nshutdown_lifetime 0 seconds\n"+
		"workers 1\nmax_filedescriptors 1024\ncoredump_dir %s\npinger_enable off\nnetdb_filename none\n", addr, dir, dir, dir)
	conf += strings.NewReplacer("AUTH", "/usr/lib/squid", "DIR", dir).Replace(directives)
	require.NoError(t, os.WriteFile(dir+"/conf", []byte(conf), 0o644))
	// output of htpasswd -m for the password secret
	require.NoError(t, os.WriteFile(dir+"/basic", []byte("user:$apr1$saltsalt$LrttParrLPdxvgutaSXWJ0\n"), 0o644))
	require.NoError(t, os.WriteFile(dir+"/digest", fmt.Appendf(nil, "user:the proxy:%x\n", md5.Sum([]byte("user:the proxy:secret"))), 0o644))
	if os.Getuid() == 0 { // it drops its privileges, and must still be able to access its files
		require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
		if proxy, err := user.Lookup("proxy"); err == nil {
			uid, _ := strconv.Atoi(proxy.Uid)
			require.NoError(t, os.Chown(dir, uid, -1))
		}
	}
	startProgram(t, os.Kill, "squid", addr, "-N", "-f", dir+"/conf")
	t.Cleanup(func() {
		if log, _ := os.ReadFile(dir + "/cache.log"); t.Failed() {
			t.Logf("%s", log)
		}
	})
	return addr
}

// TestSquid: with each authentication scheme.
func TestSquid(t *testing.T) {
	for name, c := range map[string]struct {
		directives   string
		user, scheme string
	}{
		"open":   {"http_access allow all\n", "", ""},
		"basic":  {"auth_param basic program AUTH/basic_ncsa_auth DIR/basic\nauth_param basic realm the proxy\n", "user", "Basic"},
		"digest": {"auth_param digest program AUTH/digest_file_auth -c DIR/digest\nauth_param digest realm the proxy\n", "user", "Digest"},
	} {
		t.Run(name, func(t *testing.T) {
			directives := c.directives
			if c.user != "" {
				directives += "acl known proxy_auth REQUIRED\nhttp_access allow known\nhttp_access deny all\n"
			}
			addr := squid(t, directives)
			for _, kind := range testserver.Kinds {
				s, cfg := testserver.NewOrigin(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
				ssl := &netreply.SSLConfiguration{TLS: cfg}
				post := func(m *netreply.Manager) *netreply.Reply {
					req := newRequest(t, s.URL)
					if kind == testserver.H2C {
						req.HTTP = netreply.HTTP2Direct
					}
					r := m.Post(t.Context(), req, netreply.BytesBody([]byte("hello")))
					r.Wait(deadline(t))
					return r
				}
				known := proxyAt(netreply.HTTPProxy, addr)
				known.User, known.Password = c.user, "secret"
				if c.user == "" {
					known.Password = ""
				}
				m := newManager(t, netreply.Config{Proxy: known, SSLConfiguration: ssl})
				for range 4 {
					r := post(m)
					require.NoError(t, r.Err(), kind)
					got, _ := r.ReadAll()
					require.Equal(t, "hello", string(got))
				}
				m.ClearConnectionCache()
				require.NoError(t, post(m).Err(), kind)
				if c.user == "" {
					continue
				}
				asked := 0
				m = newManager(t, netreply.Config{Proxy: proxyAt(netreply.HTTPProxy, addr), SSLConfiguration: ssl, OnSignal: func(_ *netreply.Reply, e netreply.Event) {
					if q, ok := e.(netreply.ProxyAuthenticationRequired); ok {
						asked++
						assert.Equal(t, c.scheme, q.Scheme)
						q.SetCredentials(c.user, "secret")
					}
				}})
				for range 3 {
					require.NoError(t, post(m).Err(), kind)
					m.ClearConnectionCache()
				}
				assert.Equal(t, 1, asked)
				known.Password = "wrong"
				m = newManager(t, netreply.Config{Proxy: known, SSLConfiguration: ssl})
				require.ErrorIs(t, post(m).Err(), netreply.ProxyAuthenticationRequiredError)
			}
		})
	}
}

// TestSquidRefuses: the errors for targets and requests that Squid refuses.
func TestSquidRefuses(t *testing.T) {
	addr := squid(t, "acl evil dstdomain evil.test\nhttp_access deny evil\nhttp_access allow all\nconnect_timeout 1 second\n")
	_, port, _ := net.SplitHostPort(testserver.Refusing(t))
	m := newManager(t, netreply.Config{Proxy: proxyAt(netreply.HTTPProxy, addr)})
	for u, code := range map[string]netreply.NetworkError{
		"https://evil.test/":              netreply.UnknownProxyError,
		"http://evil.test/":               netreply.ContentAccessDenied, // here the response of the proxy is final
		"https://127.0.0.1:" + port + "/": netreply.ConnectionRefusedError,
	} {
		r := m.Get(t.Context(), newRequest(t, u))
		require.ErrorIs(t, r.Wait(deadline(t)), code, u)
		if strings.HasPrefix(u, "https") {
			require.NotNil(t, r.ProxyResponse(), u)
			assert.Contains(t, string(r.ProxyResponse().Body), "<html", "Squid's explanation")
			assert.True(t, r.ProxyResponse().Headers.Has("X-Squid-Error"))
		}
	}
}

// TestMicrosocks: a real SOCKS5 server, with a password and without.
func TestMicrosocks(t *testing.T) {
	s, cfg := testserver.NewOrigin(t, testserver.H2, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }))
	_, closed, _ := net.SplitHostPort(testserver.Refusing(t))
	for _, password := range []string{"", "secret"} {
		addr, port := freeAddr(t)
		args := []string{"-i", "127.0.0.1", "-p", port}
		p := proxyAt(netreply.Socks5Proxy, addr)
		if password != "" {
			args = append(args, "-u", "user", "-P", password)
			p.User, p.Password = "user", password
		}
		startProgram(t, os.Kill, "microsocks", addr, args...)
		m := newManager(t, netreply.Config{Proxy: p, SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}})
		for _, host := range []string{"127.0.0.1", "localhost"} {
			req := newRequest(t, strings.Replace(s.URL, "127.0.0.1", host, 1))
			req.SSLConfiguration = &netreply.SSLConfiguration{TLS: cfg, PeerVerifyName: "example.com"}
			got, err := m.Get(t.Context(), req).ReadAll()
			require.NoError(t, err)
			assert.Equal(t, "HTTP/2.0", string(got))
		}
		require.ErrorIs(t, m.Get(t.Context(), newRequest(t, "http://127.0.0.1:"+closed+"/")).Wait(deadline(t)), netreply.ConnectionRefusedError)
		if password == "" {
			continue
		}
		p.Password = "wrong"
		req := newRequest(t, s.URL)
		req.Proxy = p
		require.ErrorIs(t, m.Get(t.Context(), req).Wait(deadline(t)), netreply.ProxyAuthenticationRequiredError)
	}
}
