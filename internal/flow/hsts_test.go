package flow_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/hsts"
	"github.com/netreply/netreply/internal/auth"
	"github.com/netreply/netreply/internal/certs"
	"github.com/netreply/netreply/internal/flow"
	"github.com/netreply/netreply/internal/testserver"
	"github.com/netreply/netreply/internal/wire"
)

// acceptAll is a profile that accepts every certificate.
func acceptAll(cfg *tls.Config) *wire.Profile {
	return &wire.Profile{Config: cfg, Accept: func(*certs.Failure) bool { return true }}
}

// TestHSTSLearns: policies are learned from every response over TLS with a verified
// certificate (rule K4), except from a 401 that is answered.
func TestHSTSLearns(t *testing.T) {
	answer := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/elsewhere" && (r.URL.Path != "/login" || r.Header.Get("Authorization") == "") {
			w.Header().Set("Strict-Transport-Security", "max-age=100")
		}
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		case "/login":
			if r.Header.Get("Authorization") == "" {
				w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
				w.WriteHeader(http.StatusUnauthorized)
			}
		case "/error":
			w.WriteHeader(http.StatusInternalServerError)
		}
		io.WriteString(w, "body")
	}
	good := &auth.Credentials{User: "u", Password: "p"}
	for name, row := range map[string]struct {
		kind    testserver.Kind
		url     string
		profile func(*tls.Config) *wire.Profile // nil for a strict one
		answer  *auth.Credentials
		accepts bool // the program accepts certificates
		learns  bool
	}{
		"https":                        {kind: testserver.TLS, url: "https://example.com/", learns: true},
		"h2":                           {kind: testserver.H2, url: "https://example.com/", learns: true},
		"an error":                     {kind: testserver.TLS, url: "https://example.com/error", learns: true},
		"a redirect":                   {kind: testserver.TLS, url: "https://example.com/redirect", learns: true},
		"a 401 without an answer":      {kind: testserver.TLS, url: "https://example.com/login", learns: true},
		"a 401 that is answered":       {kind: testserver.TLS, url: "https://example.com/login", answer: good},
		"http":                         {kind: testserver.Plain, url: "http://example.com/"},
		"an address":                   {kind: testserver.TLS, url: "https://127.0.0.1/"},
		"flaws that settings accept":   {kind: testserver.TLS, url: "https://wrong.example/", profile: acceptAll},
		"flaws that a program accepts": {kind: testserver.TLS, url: "https://wrong.example/", accepts: true},
		"nothing verified": {kind: testserver.TLS, url: "https://example.com/",
			profile: func(cfg *tls.Config) *wire.Profile {
				return &wire.Profile{Config: &tls.Config{InsecureSkipVerify: true}}
			}},
	} {
		t.Run(name, func(t *testing.T) {
			s, cfg := testserver.NewOrigin(t, row.kind, http.HandlerFunc(answer))
			store := hsts.NewStore()
			c := newClient(t, cfg, s.Listener.Addr().String(), func(c *flow.Config) { c.HSTS = store })
			w := &watcher{
				password:    func(*flow.PasswordQuestion) *auth.Credentials { return row.answer },
				certificate: func(*certs.Failure, bool) *wire.Profile { return nil },
			}
			if row.profile != nil {
				w.profile = row.profile(cfg)
			}
			if row.accepts {
				w.certificate = func(*certs.Failure, bool) *wire.Profile { return acceptAll(cfg) }
			}
			q := get(row.url)
			q.AsksPassword = true
			r := c.ok(w, q)
			assert.Contains(t, r.body, "body")
			assert.Equal(t, row.learns, store.Known(q.URL.Hostname()))
			assert.False(t, store.Known("127.0.0.1"))
		})
	}
}

// TestHSTSRedirect: a redirect to a host with a policy is reported and followed with https.
func TestHSTSRedirect(t *testing.T) {
	s, cfg := testserver.NewOrigin(t, testserver.TLS, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/a" {
			http.Redirect(w, r, "http://example.com/b", http.StatusFound)
			return
		}
		fmt.Fprint(w, r.TLS != nil)
	}))
	store := hsts.NewStore()
	store.Learn("example.com", []string{"max-age=100"})
	c := newClient(t, cfg, s.Listener.Addr().String(), func(c *flow.Config) { c.HSTS = store })
	q := get("http://example.com/a")
	q.URL = c.engine.Upgrade(q.URL)
	require.Equal(t, "https://example.com/a", q.URL.String())
	r := c.ok(new(watcher), q)
	assert.Equal(t, "true", r.body)
	assert.Equal(t, []string{"redirect 302 GET https://example.com/a -> https://example.com/b"}, r.told("redirect"))

	without := newClient(t, cfg, s.Listener.Addr().String())
	q = get("http://example.com/a")
	assert.Same(t, q.URL, without.engine.Upgrade(q.URL))
}
