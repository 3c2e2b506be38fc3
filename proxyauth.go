package netreply

// ProxyAuthenticator is the question for a user name and a password that a proxy asks.
// The reply waits for the answer where the Request or the Manager has an Answer or
// AskProxyAuthentication; the credentials of the Proxy value have been tried before. URL
// is that of the request; Scheme is SOCKS5, or what an HTTP proxy wants.
type ProxyAuthenticator struct {
	Proxy *Proxy // a copy, without credentials
	*Authenticator
}

// question is what a embeds, nil for a nil pointer.
func (a *ProxyAuthenticator) question() *Authenticator {
	if a == nil {
		return nil
	}
	return a.Authenticator
}

// Options are the parameters of the proxy's challenge; see Authenticator.Options.
func (a *ProxyAuthenticator) Options() map[string]string { return a.question().Options() }

// SetCredentials answers; see Authenticator.SetCredentials.
func (a *ProxyAuthenticator) SetCredentials(user, password string) bool {
	return a.question().SetCredentials(user, password)
}

// Cancel gives up: the reply fails with ProxyAuthenticationRequiredError. See
// Authenticator.Cancel.
func (a *ProxyAuthenticator) Cancel() bool { return a.question().Cancel() }
