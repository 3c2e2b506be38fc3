package flow

import (
	"net/url"
	"time"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/internal/httpurl"
	"github.com/netreply/netreply/internal/wire"
)

// Request is what a transfer is to do. Nothing of it changes while that lasts.
type Request struct {
	Method  string
	URL     *url.URL // with its user information
	Headers headers.Headers
	Payload *Payload // nil for none

	HTTP            wire.Protocol
	Redirects       httpurl.Policy
	MaxRedirects    int
	Priority        wire.Priority
	IdleTimeout     time.Duration // of the connection afterwards; see wire.Exchange
	LocalServerName string        // of the schemes of local sockets
	SecretHeaders   []string      // fields that belong to one origin
	DecodeThreshold int64         // see coding.Limits

	// Idempotent: it may be carried out twice without harm, whatever its method.
	Idempotent bool
	// Proxied: there may be a proxy; see Watcher.Proxies.
	Proxied bool
	// Bearer: it carries a bearer token; see Watcher.Token.
	Bearer bool
	// NoLogin: challenges are told of and not answered.
	NoLogin bool
	// NoSendCookies and NoSaveCookies leave the jar alone.
	NoSendCookies, NoSaveCookies bool
	// AsksPassword and AsksProxyPassword tell that questions for one are waited for.
	AsksPassword, AsksProxyPassword bool
}
