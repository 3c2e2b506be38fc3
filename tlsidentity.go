package netreply

// identifies reports whether the configuration can authenticate the client.
func (p *profiles) identifies() bool {
	return len(p.config.Certificates) > 0 || p.config.GetClientCertificate != nil || p.from.PSK != nil
}

// withoutIdentity returns the profiles without client authentication, and with sessions of
// their own, because a session carries the identity of its first handshake.
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
		n.makeStrict(p.strict.Accept != nil)
		p.anonymous = n
	}
	return p.anonymous
}
