package httpserver_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpserver"
)

// certServer serves TLS with a certificate for one.example from files, and returns a function
// that tells the name in the one that is served.
func certServer(t *testing.T) (certFile, keyFile string, logged func() string, served func() string) {
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certify(t, "one.example", certFile, keyFile)
	var mu sync.Mutex
	var records bytes.Buffer
	log := slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return records.Write(p)
	}), nil))
	addr := listen(t, newServer(t, httpserver.Config{CertFile: certFile, KeyFile: keyFile, Logger: log}))
	logged = func() string {
		mu.Lock()
		defer mu.Unlock()
		return records.String()
	}
	return certFile, keyFile, logged, func() string {
		c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
		require.NoError(t, err)
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].DNSNames[0]
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

var _ io.Writer = writerFunc(nil)

func eventually(t *testing.T, f func() bool, what string) {
	require.Eventually(t, f, 20*time.Second, 10*time.Millisecond, what)
}

// TestCertFileRecord: what is logged of a certificate that cannot be loaded names the files,
// and comes once, however often that is tried.
func TestCertFileRecord(t *testing.T) {
	certFile, keyFile, logged, served := certServer(t)
	require.NoError(t, os.WriteFile(keyFile, []byte("nonsense"), 0o600))
	eventually(t, func() bool { return served() == "one.example" && logged() != "" }, "it is tried")
	first := logged()
	for _, want := range []string{"level=ERROR", "certFile=" + certFile, "keyFile=" + keyFile, "key input"} {
		assert.Contains(t, first, want)
	}
	require.NoError(t, os.Remove(keyFile))
	eventually(t, func() bool { return served() == "one.example" && logged() != first }, "another failure is told, too")
	assert.Contains(t, logged()[len(first):], keyFile)
	certify(t, "two.example", certFile, keyFile)
	second := logged()
	eventually(t, func() bool { return served() == "two.example" }, "it is loaded at last")
	assert.LessOrEqual(t, len(logged())-len(second), len(first)+200, "at most the moment between both files is told")
}

// TestCertFileReplaced: a file that is another one is seen, be its time and size the same.
func TestCertFileReplaced(t *testing.T) {
	certFile, keyFile, _, served := certServer(t)
	st, err := os.Stat(certFile)
	require.NoError(t, err)
	dir := t.TempDir()
	newCert, newKey := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for size := int64(-1); size != st.Size(); { // signatures differ in length
		certify(t, "two.example", newCert, newKey)
		made, err := os.Stat(newCert)
		require.NoError(t, err)
		size = made.Size()
	}
	keySt, err := os.Stat(keyFile)
	require.NoError(t, err)
	require.NoError(t, os.Chtimes(newCert, time.Time{}, st.ModTime()))
	require.NoError(t, os.Chtimes(newKey, time.Time{}, keySt.ModTime()))
	require.NoError(t, os.Rename(newKey, keyFile))
	require.NoError(t, os.Rename(newCert, certFile))
	eventually(t, func() bool { return served() == "two.example" }, "it is loaded")
}

// TestCertFileLoggerPanics: a Logger that panics costs one handshake.
func TestCertFileLoggerPanics(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certify(t, "one.example", certFile, keyFile)
	panicked := make(chan struct{}, 1)
	log := slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		if bytes.Contains(p, []byte("certificate not loaded")) {
			panicked <- struct{}{}
			panic("no space left")
		}
		return len(p), nil
	}), nil))
	addr := listen(t, newServer(t, httpserver.Config{CertFile: certFile, KeyFile: keyFile, Logger: log}))
	serves := func(name string) bool {
		c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			return false
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].DNSNames[0] == name
	}
	assert.True(t, serves("one.example"))
	require.NoError(t, os.WriteFile(keyFile, []byte("nonsense"), 0o600))
	eventually(t, func() bool { serves("one.example"); return len(panicked) > 0 }, "it is tried")
	assert.True(t, serves("one.example"))
	certify(t, "two.example", certFile, keyFile)
	eventually(t, func() bool { return serves("two.example") }, "it is loaded")
}
