package netreply

import (
	"fmt"

	"github.com/netreply/netreply/internal/auth"
	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/flow"
	"github.com/netreply/netreply/internal/wire"
)

// proxyError maps a failure of a proxy (D9), also of one that forwards.
func proxyError(failure *flow.ProxyFailure) *Error {
	name := failure.Proxy.Name
	e := &Error{Phase: PhaseProxy, Sent: failure.Sent}
	switch cause := failure.Err.(type) {
	case *auth.Error:
		e.Code, e.Err = ProxyAuthenticationRequiredError, &ProxyError{name, cause.Err}
	case *dial.ProxyError:
		e.Code = proxyCode(cause)
		e.Err = &ProxyError{name, cause}
		if ce, ok := certificateError(cause); ok {
			e.Err = &ProxyError{name, fmt.Errorf("proxy %s: %w", cause.Proxy, ce)}
		}
		e.Attempts = attempts(cause)
	case *wire.Error: // failed while forwarding
		e.Code, e.Err = ProxyConnectionClosedError, &ProxyError{name, cause.Err}
		if cause.Fault == wire.Malformed {
			e.Code = UnknownProxyError
		}
	}
	e.Text = proxyText(e, failure)
	return e
}

// nextProxy reports whether the next proxy may be tried: a proxy was unreachable or closed
// the connection before anything was sent.
func nextProxy(err error) bool {
	failure, ok := err.(*flow.ProxyFailure)
	if !ok || failure.Sent > 0 {
		return false
	}
	switch proxyError(failure).Code {
	case ProxyConnectionRefusedError, ProxyConnectionClosedError, ProxyNotFoundError, ProxyTimeoutError:
		return true
	}
	return false
}

// proxyCode maps the failure of a proxy (D9).
func proxyCode(pe *dial.ProxyError) NetworkError {
	switch pe.Fault {
	case dial.ProxyClosed:
		return ProxyConnectionClosedError
	case dial.ProxyAuthRequired, dial.ProxyNoMethod:
		return ProxyAuthenticationRequiredError
	case dial.TargetNotFound:
		return HostNotFoundError
	case dial.TargetRefused:
		return ConnectionRefusedError
	case dial.ProxyUnreachable:
		we := wire.DialError(pe.Err)
		switch wireCode(we) {
		case ConnectionRefusedError:
			return ProxyConnectionRefusedError
		case HostNotFoundError:
			return ProxyNotFoundError
		case TimeoutError:
			return ProxyTimeoutError
		case RemoteHostClosedError:
			return ProxyConnectionClosedError
		}
	case dial.ProxyRefused, dial.ProxyMalformed:
	}
	return UnknownProxyError
}

func proxyText(e *Error, failure *flow.ProxyFailure) string {
	switch e.Code {
	case ProxyConnectionRefusedError:
		return "Proxy connection refused"
	case ProxyConnectionClosedError:
		return "Proxy connection closed prematurely"
	case ProxyNotFoundError:
		return "Proxy host " + failure.Proxy.Host + " not found"
	case ProxyTimeoutError:
		return "Proxy connection timed out"
	case ProxyAuthenticationRequiredError:
		return "Proxy requires authentication"
	case HostNotFoundError:
		return "Host " + failure.Host + " not found"
	case ConnectionRefusedError:
		return "Connection refused"
	}
	return e.Err.Error()
}
