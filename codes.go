package netreply

// statusError maps a status code (rule E3); NoError from 100 to 399. Statuses below 100 are
// server errors (rule E6, RFC 9110, section 15).
func statusError(status int) NetworkError {
	switch status {
	case 400, 418:
		return ProtocolInvalidOperationError
	case 401:
		return AuthenticationRequiredError
	case 403:
		return ContentAccessDenied
	case 404:
		return ContentNotFoundError
	case 405:
		return ContentOperationNotPermittedError
	case 407:
		return ProxyAuthenticationRequiredError
	case 409:
		return ContentConflictError
	case 410:
		return ContentGoneError
	case 500:
		return InternalServerError
	case 501:
		return OperationNotImplementedError
	case 503:
		return ServiceUnavailableError
	}
	switch {
	case status >= 500, 0 < status && status < 100:
		return UnknownServerError
	case status >= 400:
		return UnknownContentError
	}
	return NoError
}

// h2Error maps an HTTP/2 error code (rule E30).
func h2Error(code uint32) NetworkError {
	switch code {
	case 2: // INTERNAL_ERROR
		return InternalServerError
	case 4: // SETTINGS_TIMEOUT
		return TimeoutError
	case 10: // CONNECT_ERROR
		return UnknownNetworkError
	case 11: // ENHANCE_YOUR_CALM
		return UnknownServerError
	case 12: // INADEQUATE_SECURITY
		return ContentAccessDenied
	}
	return ProtocolFailure
}
