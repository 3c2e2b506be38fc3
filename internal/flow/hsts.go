package flow

// afterHSTS stores policies from responses over TLS without certificate flaws (rule K4).
func afterHSTS(h *Hop) (again bool) {
	if h.e.cfg.HSTS == nil || h.err != nil || h.req.URL.Scheme != "https" {
		return false
	}
	if values := h.networkFields()["Strict-Transport-Security"]; len(values) > 0 {
		// without a verified chain the server is not authenticated
		if state := h.exchange.Conn.TLS; state != nil && len(state.VerifiedChains) > 0 {
			h.e.cfg.HSTS.Learn(h.req.URL.Hostname(), values)
		}
	}
	return false
}
