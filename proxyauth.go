package netreply

// ProxyAuthenticator is the question for a user name and a password for a proxy. The reply
// waits for the answer if Request.Answer, Config.Answer or AskProxyAuthentication is set.
// Proxy.User and Password have been tried before. URL is that of the request; Scheme is
// SOCKS5, or an HTTP scheme as for Authenticator.
type ProxyAuthenticator struct {
	Proxy *Proxy // a copy, without credentials
	*Authenticator
}

// question is the embedded Authenticator, nil for a nil pointer.
func (a *ProxyAuthenticator) question() *Authenticator {
	if a == nil {
		return nil
	}
	return a.Authenticator
}

// Options are the parameters of the proxy's challenge; see Authenticator.Options.
func (a *ProxyAuthenticator) Options() map[string]string { return a.question().Options() }

// SetCredentials answers the question; see Authenticator.SetCredentials.
func (a *ProxyAuthenticator) SetCredentials(user, password string) bool {
	return a.question().SetCredentials(user, password)
}

// Cancel sends no password: the reply fails with ProxyAuthenticationRequiredError. See
// Authenticator.Cancel.
func (a *ProxyAuthenticator) Cancel() bool { return a.question().Cancel() }
