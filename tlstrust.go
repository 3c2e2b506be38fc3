package netreply

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// What the cache has of a server was received under some configuration: which certificates
// were trusted, and who the client was. It answers only requests whose configuration says the
// same.

// trust is the value of wire.Profile.Trust for cfg, which was made from c. It is the same in all
// processes, unless a function or an interface of the program decides: what was received with
// that is for requests with the same profile. leniency describes the flaws that are accepted.
func (c *sslSnapshot) trust(cfg *tls.Config, leniency string) string {
	t := trustHash{sha256.New()}
	t.add(leniency, cfg.InsecureSkipVerify, cfg.ServerName, cfg.MinVersion, cfg.MaxVersion, cfg.CipherSuites, c.PeerVerifyDepth)
	own := cfg.GetClientCertificate != nil || c.PSK != nil || cfg.VerifyPeerCertificate != nil || cfg.Time != nil ||
		cfg.EncryptedClientHelloRejectionVerify != nil || c.TLS != nil && c.TLS.VerifyConnection != nil
	for _, pin := range slices.SortedFunc(slices.Values(c.Pins), func(a, b PublicKeyPin) int { return strings.Compare(string(a[:]), string(b[:])) }) {
		t.add("pin", pin)
	}
	for _, certificate := range cfg.Certificates {
		t.add("client", certificate.Certificate)
	}
	roots := c.roots.content
	if roots == nil {
		roots = c.tlsRoots.content
	}
	if roots != nil {
		content, ok := poolContent(roots)
		t.add("roots", content)
		own = own || !ok
	}
	for _, ca := range c.AddedCAs {
		t.add("root", ca.Raw)
	}
	switch {
	case own:
		return rand.Text()
	case t.sum() == usualTrust:
		return ""
	}
	return t.sum()
}

// usualTrust is the digest for the zero SSLConfiguration.
var usualTrust = func() string {
	t, usual := trustHash{sha256.New()}, &tls.Config{}
	t.add("", false, "", usual.MinVersion, usual.MaxVersion, usual.CipherSuites, 0)
	return t.sum()
}()

// flawsText describes a set of ignored flaws; nil means all.
func flawsText(flaws []SSLError) string {
	if flaws == nil {
		return "all"
	}
	t := trustHash{sha256.New()}
	for _, f := range flaws {
		var raw []byte
		if f.Certificate != nil {
			raw = f.Certificate.Raw
		}
		t.add(int(f.Code), raw)
	}
	return t.sum()
}

// poolContent describes the certificates of a pool. crypto/x509 has no method that lists them,
// so it reads unexported fields; if those have changed, or if a certificate has constraints,
// which cannot be compared, it reports false.
func poolContent(p *x509.CertPool) (content string, ok bool) {
	sums, system := reflect.ValueOf(p).Elem().FieldByName("haveSum"), reflect.ValueOf(p).Elem().FieldByName("systemPool")
	if sums.Kind() != reflect.Map || sums.Type().Key().Kind() != reflect.Array || sums.Type().Key().Elem().Kind() != reflect.Uint8 ||
		system.Kind() != reflect.Bool || constrained(p) {
		return "", false
	}
	var list []string
	for _, key := range sums.MapKeys() {
		sum := make([]byte, key.Len())
		for i := range sum {
			sum[i] = byte(key.Index(i).Uint())
		}
		list = append(list, string(sum))
	}
	slices.Sort(list)
	return fmt.Sprintf("%v %x", system.Bool(), list), true
}
