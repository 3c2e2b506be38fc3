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

	mu     sync.Mutex
	now    *tls.Certificate
	looked time.Time // when the files were looked at
	seen   [2]version
}

// version tells a file from the one that was there before.
type version struct {
	modified time.Time
	size     int64
}

// lookAgain is how long files are not looked at again.
const lookAgain = time.Second

// loadCertificate loads a certificate. complain is told when it cannot be loaded anew.
func loadCertificate(certFile, keyFile string, complain func(error)) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, complain: complain, looked: time.Now()}
	c.seen = c.versions()
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("httpserver: Config.CertFile, Config.KeyFile: %w", err)
	}
	c.now = &pair
	return c, nil
}

// versions are those of both files; of one that is not there the zero value.
func (c *certificate) versions() (v [2]version) {
	for i, name := range [2]string{c.certFile, c.keyFile} {
		if st, err := os.Stat(name); err == nil {
			v[i] = version{st.ModTime(), st.Size()}
		}
	}
	return v
}

// get is tls.Config.GetCertificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	look := time.Since(c.looked) >= lookAgain
	if look {
		c.looked = time.Now() // other handshakes go on with the last one meanwhile
	}
	c.mu.Unlock()
	if look {
		c.reload()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now, nil
}

// reload loads the files if they have changed. Files that do not fit together, because one
// of them is still to come, are looked at again when that has happened.
func (c *certificate) reload() {
	versions := c.versions()
	c.mu.Lock()
	changed := versions != c.seen
	c.seen = versions
	c.mu.Unlock()
	if !changed {
		return
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		c.complain(fmt.Errorf("the certificate cannot be loaded anew, the last one stays: %w", err))
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = &pair
}

// complain logs what has no request.
func (c *Config) complain(err error) {
	switch {
	case c.Logger != nil:
		c.Logger.Error("httpserver", "error", err)
	case c.ErrorLog != nil:
		c.ErrorLog.Printf("httpserver: %v", err)
	default:
		log.Printf("httpserver: %v", err)
	}
}
