package netreply_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// TestMistakesAreExplained: the error for a mistake names the field, and a valid value.
func TestMistakesAreExplained(t *testing.T) {
	m := newManager(t, netreply.Config{})
	request := func(f func(*netreply.Request)) error {
		req := newRequest(t, "http://127.0.0.1:1/")
		f(req)
		return m.Fetch(t.Context(), "GET", req, nil).Err()
	}
	send := func(verb string, body netreply.Body) error {
		return m.Fetch(t.Context(), verb, newRequest(t, "http://127.0.0.1:1/"), body).Err()
	}
	config := func(c netreply.Config) error { _, err := netreply.NewManager(c); return err }
	credential := func(c ...netreply.Credential) error { return config(netreply.Config{Credentials: c}) }
	tls := func(c *netreply.SSLConfiguration) error { return config(netreply.Config{SSLConfiguration: c}) }

	for name, c := range map[string]struct {
		err         error
		field, want string
	}{
		"no scheme":     {request(func(q *netreply.Request) { q.URL = &url.URL{Path: "example.org"} }), "URL", "https://"},
		"other scheme":  {request(func(q *netreply.Request) { q.URL.Scheme = "ftp" }), "scheme of the URL", "SupportedSchemes"},
		"policy":        {request(func(q *netreply.Request) { q.RedirectPolicy = 9 }), "RedirectPolicy", "type RedirectPolicy"},
		"priority":      {request(func(q *netreply.Request) { q.Priority = 9 }), "Priority", "type Priority"},
		"version":       {request(func(q *netreply.Request) { q.HTTP = 9 }), "HTTP", "type HTTPVersion"},
		"load control":  {request(func(q *netreply.Request) { q.CookieLoadControl = 9 }), "CookieLoadControl", "type LoadControl"},
		"question":      {request(func(q *netreply.Request) { q.Ask = 1 << 9 }), "Ask", "type QuestionKinds"},
		"Host":          {request(func(q *netreply.Request) { q.Headers.Set("Host", "a/b") }), "value of header Host", "name or an address"},
		"no verb":       {send("", nil), "verb", "required"},
		"verb":          {send("GE T", nil), "verb", "without spaces"},
		"nil reader":    {send("POST", netreply.ReaderBody(nil)), "body", "a nil io.Reader"},
		"boundary":      {send("POST", &netreply.Multipart{Boundary: "ä"}), "boundary", "1 to 70"},
		"host and port": {m.ConnectToHost(t.Context(), "127.0.0.1:80", 0), "host", "without scheme and port"},
		"host as URL":   {m.ConnectToHost(t.Context(), "http://127.0.0.1", 0), "host", "without scheme and port"},

		"Config's policy":   {config(netreply.Config{RedirectPolicy: 9}), "Config.RedirectPolicy", "type RedirectPolicy"},
		"Config's question": {config(netreply.Config{Ask: 1 << 9}), "Config.Ask", "type QuestionKinds"},
		"negative time":     {config(netreply.Config{TransferTimeout: -time.Second}), "Config.TransferTimeout", "0 means no limit"},
		"negative size":     {config(netreply.Config{MaxBodySize: -1}), "Config.MaxBodySize", "0 means no limit"},
		"negative count":    {config(netreply.Config{ConnectionsPerHost: -1}), "Config.ConnectionsPerHost", "0 means 6"},
		"second origin":     {credential(netreply.Credential{Origin: "http://a.test"}, netreply.Credential{Origin: "a.test"}), "Config.Credentials[1].Origin", "https://"},
		"password's scheme": {credential(netreply.Credential{Origin: "http://a.test", Schemes: []string{"x"}}), "Config.Credentials[0].Schemes", "Digest"},
		"proxy's type":      {config(netreply.Config{Proxy: &netreply.Proxy{Type: 9}}), "Config.Proxy", "type ProxyType"},
		"TLS":               {tls(&netreply.SSLConfiguration{MinProtocol: 13}), "Config.SSLConfiguration.MinProtocol", "tls.VersionTLS12"},
		"mode":              {tls(&netreply.SSLConfiguration{PeerVerifyMode: 9}), "Config.SSLConfiguration.PeerVerifyMode", "type PeerVerifyMode"},
		"cipher":            {tls(&netreply.SSLConfiguration{Ciphers: []uint16{1}}), "Config.SSLConfiguration.Ciphers", "tls.CipherSuites"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Error(t, c.err)
			requireField(t, c.err, c.field)
			assert.ErrorContains(t, c.err, c.want)
		})
	}
}
