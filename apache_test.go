package netreply_test

import (
	"crypto/md5"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// apache starts an Apache with the given directives and returns its URL. The test is
// skipped if Apache is not installed.
func apache(t *testing.T, dir, directives string) string {
	addr, _ := freeAddr(t)
	conf := "ServerName 127.0.0.1\nListen " + addr + "\nServerRoot " + dir + "\nPidFile " + dir + "/pid\nErrorLog " + dir + "/error.log\n" +
		"DocumentRoot " + dir + "/www\nStartServers 1\n"
	for _, m := range []string{"mpm_event", "authn_core", "authz_core", "authn_file", "authz_user", "auth_basic", "auth_digest", "deflate", "filter", "mime"} {
		conf += fmt.Sprintf("LoadModule %s_module /usr/lib/apache2/modules/mod_%s.so\n", m, m)
	}
	if os.Getuid() == 0 {
		conf += "User www-data\nGroup www-data\n"
	}
	conf += "TypesConfig /etc/mime.types\n" + directives
	if _, err := os.Stat("/etc/mime.types"); err != nil {
		require.NoError(t, os.WriteFile(dir+"/mime.types", []byte("text/plain txt\n"), 0o644))
		conf = strings.Replace(conf, "/etc/mime.types", dir+"/mime.types", 1)
	}
	require.NoError(t, os.WriteFile(dir+"/conf", []byte(conf), 0o644))
	t.Cleanup(func() {
		if log, _ := os.ReadFile(dir + "/error.log"); t.Failed() {
			t.Logf("%s", log)
		}
	})
	startProgram(t, os.Interrupt, "apache2", addr, "-f", dir+"/conf", "-DFOREGROUND")
	return "http://" + addr
}

// TestApache: Basic, Digest and gzip with Apache.
func TestApache(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	require.NoError(t, os.Chmod(dir, 0o755))
	text := strings.Repeat("a page behind a password\n", 2000)
	for _, area := range []string{"basic", "digest"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "www", area, "sub"), 0o755))
		for _, f := range []string{"page.txt", "sub/page.txt"} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "www", area, f), []byte(text), 0o644))
		}
	}
	out, err := exec.Command("openssl", "passwd", "-apr1", "pass").Output()
	if err != nil {
		t.Skip("no openssl on this machine")
	}
	require.NoError(t, os.WriteFile(dir+"/basic", []byte("user:"+string(out)), 0o644))
	require.NoError(t, os.WriteFile(dir+"/digest", fmt.Appendf(nil, "user:the realm:%x\n", md5.Sum([]byte("user:the realm:pass"))), 0o644))
	base := apache(t, dir, fmt.Sprintf(`AddOutputFilterByType DEFLATE text/plain
<Location /basic>
	AuthType Basic
	AuthName "basic realm"
	AuthUserFile %[1]s/basic
	Require valid-user
</Location>
<Location /digest>
	AuthType Digest
	AuthName "the realm"
	AuthDigestDomain /digest
	AuthDigestProvider file
	AuthUserFile %[1]s/digest
	AuthDigestNonceLifetime 1
	Require valid-user
</Location>
`, dir))
	for _, area := range []string{"basic", "digest"} {
		t.Run(area, func(t *testing.T) {
			asked := 0
			m := newManager(t, netreply.Config{OnSignal: answering(func(q *netreply.Authenticator) {
				asked++
				if q.PreviousFailed {
					q.SetCredentials("user", "pass")
				} else {
					q.SetCredentials("user", "wrong")
				}
			})})
			for _, path := range []string{"/page.txt", "/sub/page.txt", "/page.txt?q=%20x"} {
				r := m.Get(t.Context(), newRequest(t, base+"/"+area+path))
				assert.Equal(t, text, readBody(t, r), path)
				assert.Equal(t, "gzip", r.RawHeader("Content-Encoding"))
				assert.Less(t, r.WireBytes(), int64(len(text)))
			}
			assert.Equal(t, 2, asked)
			// A nonce expires after a second, and each response has the next one.
			for range 20 {
				r := m.Get(t.Context(), newRequest(t, base+"/"+area+"/page.txt"))
				require.NoError(t, r.Wait(deadline(t)))
				assert.Equal(t, 1, strings.Count(strings.Join(signalNames(t, r), " "), "sent"))
			}
			assert.Equal(t, 2, asked)
			req := newRequest(t, base+"/"+area+"/page.txt")
			req.URL.User = url.UserPassword("user", "nonsense")
			strict := newManager(t, netreply.Config{})
			r := strict.Get(t.Context(), req)
			require.ErrorIs(t, r.Wait(deadline(t)), netreply.AuthenticationRequiredError)
			assert.Equal(t, http.StatusUnauthorized, r.StatusCode())
		})
	}
}
