package netreply

// ProxyAuthenticator is the question for a user name and a password that a proxy asks.
// The reply waits for the answer where the Request or the Manager has
// AskProxyAuthentication; the credentials of the Proxy value have been tried before. URL
// is that of the request; Scheme is SOCKS5, or what an HTTP proxy wants.
type ProxyAuthenticator struct {
	Proxy *Proxy // a copy, without credentials
	*Authenticator
}
