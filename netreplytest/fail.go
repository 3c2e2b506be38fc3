package netreplytest

import (
	"fmt"
	"net/http"
	"sync"

	"github.com/netreply/netreply"
)

// local has the codes that no peer can cause, with the reason.
var local = map[netreply.NetworkError]string{
	netreply.OperationCanceledError:           "the program aborts, closes, or ends the context",
	netreply.BackgroundRequestNotAllowedError: "Config.ForbidBackground refuses the request before it is sent",
}

// Fail is a fault that results in a NetworkError, for each that a peer can cause: it is made
// for Server.Fail, which with a Manager of Server.Config is all that a test needs. What it
// does is what Fail(code).String() says, and where it can stand too follows from that; a code
// of a status is an Answer with that status. These need more than a plain GET:
//
//   - SslHandshakeFailedError and InsecureRedirectError need a Server with TLS.
//   - ContentReSendError needs a request with a body that can be read only once:
//     netreply.ReaderBody, with Request.DoNotBufferUploadData.
//   - The codes of a proxy except ProxyAuthenticationRequiredError make the Server have a
//     Proxy; Config has to be called afterwards.
//
// OperationCanceledError and BackgroundRequestNotAllowedError can be used in a Backend and a
// Reply only, where every code can: no peer causes them. NoError is no fault, see Fault.
func Fail(code netreply.NetworkError) Fault {
	f, ok := failures()[code]
	switch {
	case code == netreply.NoError:
		return Fault{}
	case local[code] != "":
		f = Fault{at: localOnly}
		f.name = "Fail(" + code.String() + ")"
	case !ok:
		f = Fault{at: localOnly, name: "Fail(" + code.String() + ")"}
	}
	f.code = code
	return f
}

// answers makes the fault of a code from steps of an answer.
func answers(code netreply.NetworkError, does string, steps ...Step) Fault {
	return Fault{name: "Fail(" + code.String() + "), " + does, at: inAnswer, steps: steps}
}

// status makes the fault of a code that is that of a status.
func status(code netreply.NetworkError, n int, more ...Step) Fault {
	return answers(code, fmt.Sprintf("status %d", n), append([]Step{Status(n)}, more...)...)
}

// proxied makes the fault of a code from what the proxy does.
func proxied(code netreply.NetworkError, f Fault) Fault {
	return Fault{name: "Fail(" + code.String() + "), at the proxy " + f.name, at: atProxy, proxied: &f}
}

// failures has the fault of every code that a peer can cause.
var failures = sync.OnceValue(func() map[netreply.NetworkError]Fault {
	insecure := answers(netreply.InsecureRedirectError, "a redirect from https to http", Status(http.StatusFound), Header("Location", "http://"+Host+"/"))
	insecure.needs, insecure.needed = Kind.tls, "TLS"
	again := answers(netreply.ContentReSendError, "a redirect that repeats the body",
		bodyNeededStep{}, Status(http.StatusTemporaryRedirect), selfStep{})
	return map[netreply.NetworkError]Fault{
		netreply.ConnectionRefusedError:       Refuse(),
		netreply.RemoteHostClosedError:        Close(),
		netreply.HostNotFoundError:            HostNotFound(),
		netreply.TimeoutError:                 ConnectTimeout(),
		netreply.SslHandshakeFailedError:      RefuseHandshake(),
		netreply.TemporaryNetworkFailureError: Unreachable(),
		netreply.NetworkSessionFailedError:    NoAddress(),
		netreply.TooManyRedirectsError:        RedirectLoop(),
		netreply.InsecureRedirectError:        insecure,
		netreply.UnknownNetworkError:          ForbidConnecting(),

		netreply.ProxyConnectionRefusedError: proxied(netreply.ProxyConnectionRefusedError, Refuse()),
		netreply.ProxyConnectionClosedError:  proxied(netreply.ProxyConnectionClosedError, Close()),
		netreply.ProxyNotFoundError:          proxied(netreply.ProxyNotFoundError, HostNotFound()),
		netreply.ProxyTimeoutError:           proxied(netreply.ProxyTimeoutError, ConnectTimeout()),
		netreply.UnknownProxyError:           proxied(netreply.UnknownProxyError, Garbage()),
		netreply.ProxyAuthenticationRequiredError: status(netreply.ProxyAuthenticationRequiredError, http.StatusProxyAuthRequired,
			Header("Proxy-Authenticate", `Basic realm="netreplytest"`)),

		netreply.ContentAccessDenied:               status(netreply.ContentAccessDenied, http.StatusForbidden),
		netreply.ContentOperationNotPermittedError: status(netreply.ContentOperationNotPermittedError, http.StatusMethodNotAllowed),
		netreply.ContentNotFoundError:              status(netreply.ContentNotFoundError, http.StatusNotFound),
		netreply.AuthenticationRequiredError: status(netreply.AuthenticationRequiredError, http.StatusUnauthorized,
			Header("WWW-Authenticate", `Basic realm="netreplytest"`)),
		netreply.ContentReSendError:   again,
		netreply.ContentConflictError: status(netreply.ContentConflictError, http.StatusConflict),
		netreply.ContentGoneError:     status(netreply.ContentGoneError, http.StatusGone),
		netreply.UnknownContentError:  status(netreply.UnknownContentError, http.StatusUnprocessableEntity),

		netreply.ProtocolUnknownError: answers(netreply.ProtocolUnknownError, "a redirect to a scheme that is not HTTP",
			Status(http.StatusFound), Header("Location", "gopher://"+Host+"/")),
		netreply.ProtocolInvalidOperationError: status(netreply.ProtocolInvalidOperationError, http.StatusBadRequest),
		netreply.ProtocolFailure:               Garbage(),

		netreply.InternalServerError:          status(netreply.InternalServerError, http.StatusInternalServerError),
		netreply.OperationNotImplementedError: status(netreply.OperationNotImplementedError, http.StatusNotImplemented),
		netreply.ServiceUnavailableError:      status(netreply.ServiceUnavailableError, http.StatusServiceUnavailable),
		netreply.UnknownServerError:           status(netreply.UnknownServerError, http.StatusInsufficientStorage),
	}
})
