package netreply

import (
	"context"
	"net/url"
	"time"
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

// afterHSTS learns from responses that came over TLS without any error (rule K4).
func afterHSTS(h *hop) (again bool) {
	if h.err != nil || h.req.URL.Scheme != "https" {
		return false
	}
	if values := h.resp.Header["Strict-Transport-Security"]; len(values) > 0 {
		// without a chain to a root nobody has verified who says so
		if state := h.exchange.Conn.TLS; state != nil && len(state.VerifiedChains) > 0 {
			h.m.cfg.HSTS.Learn(h.req.URL.Hostname(), values)
		}
	}
	return false
}
