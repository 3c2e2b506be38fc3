//go:build unix

package httpserver_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestCertFileOverlap: while one handshake waits for the files of a certificate others go on
// with the last one, and what it has read does not take the place of what is there later.
func TestCertFileOverlap(t *testing.T) {
	certFile, keyFile, _, served := certServer(t)
	dir := t.TempDir()
	old, oldKey := filepath.Join(dir, "old.pem"), filepath.Join(dir, "oldkey.pem")
	certify(t, "old.example", old, oldKey)
	key, err := os.ReadFile(oldKey)
	require.NoError(t, err)
	pipe := filepath.Join(dir, "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	require.NoError(t, os.Rename(old, certFile))
	require.NoError(t, os.Rename(pipe, keyFile))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for served() != "old.example" {
		}
	}()
	w, err := os.OpenFile(keyFile, os.O_WRONLY, 0) // returns when a handshake reads it
	require.NoError(t, err)
	newCert, newKey := filepath.Join(dir, "new.pem"), filepath.Join(dir, "newkey.pem")
	certify(t, "two.example", newCert, newKey)
	require.NoError(t, os.Rename(newCert, certFile))
	require.NoError(t, os.Rename(newKey, keyFile))
	for end := time.Now().Add(1200 * time.Millisecond); time.Now().Before(end); { // longer than files are not looked at
		assert.Equal(t, "one.example", served())
	}
	_, err = w.Write(key)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	<-done
	eventually(t, func() bool { return served() == "two.example" }, "what is there is served at last")
}
