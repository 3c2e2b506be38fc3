package flow

// afterHSTS learns from responses that came over TLS without any error (rule K4).
func afterHSTS(h *Hop) (again bool) {
	if h.e.cfg.HSTS == nil || h.err != nil || h.req.URL.Scheme != "https" {
		return false
	}
	if values := h.resp.Header["Strict-Transport-Security"]; len(values) > 0 {
		// without a chain to a root nobody has verified who says so
		if state := h.exchange.Conn.TLS; state != nil && len(state.VerifiedChains) > 0 {
			h.e.cfg.HSTS.Learn(h.req.URL.Hostname(), values)
		}
	}
	return false
}
