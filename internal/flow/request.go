package flow

import (
	"net/url"
	"time"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/internal/cacherules"
	"github.com/netreply/netreply/internal/httpurl"
	"github.com/netreply/netreply/internal/wire"
)

// Request describes a transfer. It does not change while the transfer is running, but for
// Headers and Payload, which are those of the next request.
type Request struct {
	Method  string
	URL     *url.URL // with its user information
	Headers headers.Headers
	Payload *Payload // nil for none

	HTTP            wire.Protocol
	MaxRedirects    int
	IdleTimeout     time.Duration // of the connection; see wire.Exchange
	LocalServerName string        // for the schemes of local sockets
	SecretHeaders   []string      // fields that are not sent to other origins
	DecodeThreshold int64         // see coding.Limits
	Partition       string        // whose responses of the cache may be used

	Redirects httpurl.Policy
	Priority  wire.Priority
	// Idempotent: the request may be processed twice without harm, whatever its method.
	Idempotent bool
	// Proxied: Watcher.Proxies may return proxies.
	Proxied bool
	// Bearer: the request carries a bearer token; see Watcher.Tokens.
	Bearer bool
	// NoLogin: challenges are reported and not answered.
	NoLogin bool
	// Verbatim: dot segments stay in the path, and a 417 response is final. NoDecoding:
	// content codings are neither asked for nor decoded. Close: the connection is closed
	// after the response, and HTTP/1 says so.
	Verbatim, NoDecoding, Close bool
	// NoSendCookies: no cookies of the jar are sent. NoSaveCookies: no cookies are stored.
	NoSendCookies, NoSaveCookies bool
	// NoSaveCache: the cache does not store the response. Load says what of the cache may
	// answer the request.
	NoSaveCache bool
	Load        cacherules.LoadControl
	// AsksPassword and AsksProxyPassword: the transfer waits for the answers to questions
	// for passwords.
	AsksPassword, AsksProxyPassword bool
}
