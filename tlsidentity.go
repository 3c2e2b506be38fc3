package netreply

// identifies reports whether the configuration can prove who the client is.
func (p *profiles) identifies() bool {
	return len(p.config.Certificates) > 0 || p.config.GetClientCertificate != nil || p.from.PSK != nil
}

// withoutIdentity is the same without that, and with sessions of its own: a session
// carries the identity it was made with.
func (p *profiles) withoutIdentity() *profiles {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.anonymous == nil {
		from := *p.from
		from.Certificates, from.ClientCertificate, from.PSK = nil, nil, nil
		cfg := p.config.Clone()
		cfg.Certificates, cfg.GetClientCertificate = nil, nil
		n := &profiles{from: &from, config: cfg, pool: newSessions(nil)}
		cfg.ClientSessionCache = n.pool
		n.strict = n.profile(cfg)
		n.strict.Accept = p.strict.Accept
		p.anonymous = n
	}
	return p.anonymous
}
