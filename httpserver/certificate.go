package httpserver

import (
	"crypto/tls"
	"fmt"
	"log"
	"os"
	"sync"
	"time"
)

// certificate is a certificate that is kept in files.
type certificate struct {
	certFile, keyFile string
	complain          func(error)

	mu      sync.Mutex
	now     *tls.Certificate
	looked  time.Time // when the files were looked at
	looking bool      // one handshake looks at them; others go on with now

	// Of the handshake that looks.
	seen   [2]os.FileInfo // the files that were loaded, or tried
	failed string         // why they could not be, "" when they could
}

// lookAgain is how long files are not looked at again.
const lookAgain = time.Second

// loadCertificate loads a certificate. complain is told when it cannot be loaded anew.
func loadCertificate(certFile, keyFile string, complain func(error)) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, complain: complain, looked: time.Now()}
	c.seen = c.files()
	pair, err := c.load()
	if err != nil {
		return nil, fmt.Errorf("httpserver: Config.CertFile, Config.KeyFile: %w", err)
	}
	c.now = pair
	return c, nil
}

// files tells what is there, nil of a file that is not.
func (c *certificate) files() (found [2]os.FileInfo) {
	for i, name := range [2]string{c.certFile, c.keyFile} {
		if st, err := os.Stat(name); err == nil {
			found[i] = st
		}
	}
	return found
}

// unchanged tells whether a file is the same as before, with the same content as far as that
// can be seen from outside.
func unchanged(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size() && os.SameFile(a, b)
}

// load reads both files. The error names those that are to blame.
func (c *certificate) load() (*tls.Certificate, error) {
	cert, err := os.ReadFile(c.certFile)
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(c.keyFile)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", c.certFile, c.keyFile, err)
	}
	return &pair, nil
}

// get is tls.Config.GetCertificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	look := !c.looking && time.Since(c.looked) >= lookAgain
	c.looking = c.looking || look
	c.mu.Unlock()
	if look {
		c.look()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now, nil
}

// look takes what is new in the files.
func (c *certificate) look() {
	var pair *tls.Certificate
	defer func() { // also when a Logger panics
		c.mu.Lock()
		defer c.mu.Unlock()
		c.looking, c.looked = false, time.Now()
		if pair != nil {
			c.now = pair
		}
	}()
	pair = c.reload()
}

// reload loads the files if they have changed or could not be loaded the last time; nil if
// there is nothing new. A failure is told once.
func (c *certificate) reload() *tls.Certificate {
	files := c.files() // before they are read: what changes meanwhile is seen the next time
	if c.failed == "" && unchanged(files[0], c.seen[0]) && unchanged(files[1], c.seen[1]) {
		return nil
	}
	c.seen = files
	pair, err := c.load()
	if err == nil {
		c.failed = ""
		return pair
	}
	if c.failed != err.Error() {
		c.failed = err.Error()
		c.complain(fmt.Errorf("the certificate cannot be loaded anew, the last one stays: %w", err))
	}
	return nil
}

// complain logs an error of the certificate.
func (c *Config) complain(err error) {
	switch {
	case c.Logger != nil:
		c.Logger.Error("certificate not loaded", "certFile", c.CertFile, "keyFile", c.KeyFile, "error", err)
	case c.ErrorLog != nil:
		c.ErrorLog.Printf("httpserver: %v", err)
	default:
		log.Printf("httpserver: %v", err)
	}
}
