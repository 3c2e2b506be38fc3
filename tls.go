package netreply

import "crypto/tls"

// sessionCacheSize is the number of TLS sessions a Manager keeps for
// resumption.
const sessionCacheSize = 128

// profile makes the Manager's TLS configuration out of the caller's: a copy,
// with a session cache of its own, so that no identity travels by a session
// ticket.
func profile(c *tls.Config) *tls.Config {
	if c == nil {
		c = &tls.Config{}
	}
	c = c.Clone()
	if c.ClientSessionCache == nil {
		c.ClientSessionCache = tls.NewLRUClientSessionCache(sessionCacheSize)
	}
	return c
}

// TLS is the state of the encrypted connection that carried the last hop: peer
// certificates, version, cipher, ALPN, resumption. It is nil for http and
// before the handshake. It must not be changed.
func (r *Reply) TLS() *tls.ConnectionState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tls
}
