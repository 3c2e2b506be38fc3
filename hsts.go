package netreply

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/netreply/netreply/hsts"
)

// upgrade gives the URL to use instead of u: for a host that is known to want TLS
// the one of https, before anything is connected (rule K2).
func (m *Manager) upgrade(u *url.URL) *url.URL {
	if m.cfg.HSTS == nil {
		return u
	}
	return m.cfg.HSTS.Upgrade(u)
}

// flushWait bounds how long Manager.Close waits for the file of Config.HSTS.
const flushWait = time.Second

// flushPolicies writes what was learned. The store is the program's, which closes it; its
// Err tells what could not be written.
func (m *Manager) flushPolicies() {
	if m.cfg.HSTS == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushWait)
	defer cancel()
	m.cfg.HSTS.Flush(ctx)
}

// hstsLayer learns from responses that came over TLS without any error (rule K4).
type hstsLayer struct {
	next  http.RoundTripper
	store *hsts.Store
}

func (l hstsLayer) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := l.next.RoundTrip(req)
	if err != nil || req.URL.Scheme != "https" {
		return resp, err
	}
	if values := resp.Header["Strict-Transport-Security"]; len(values) > 0 {
		// without a chain to a root nobody has verified who says so
		if state := replyOf(req.Context()).SSLConfiguration(); len(state.VerifiedChains) > 0 {
			l.store.Learn(req.URL.Hostname(), values)
		}
	}
	return resp, nil
}
