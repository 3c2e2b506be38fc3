package httpserver

//lint:file-ignore ST1003 the names are those of QHttpServerResponder::StatusCode

import (
	"net/http"
	"strconv"
)

// StatusCode is a status of a response, with Qt's names (Qt:
// QHttpServerResponder::StatusCode).
type StatusCode int

// The statuses.
const (
	Continue           StatusCode = 100
	SwitchingProtocols StatusCode = 101
	Processing         StatusCode = 102
	EarlyHints         StatusCode = 103 // not in Qt's list; see Responder.WriteInformational

	Ok                          StatusCode = 200
	Created                     StatusCode = 201
	Accepted                    StatusCode = 202
	NonAuthoritativeInformation StatusCode = 203
	NoContent                   StatusCode = 204
	ResetContent                StatusCode = 205
	PartialContent              StatusCode = 206
	MultiStatus                 StatusCode = 207
	AlreadyReported             StatusCode = 208
	IMUsed                      StatusCode = 226

	MultipleChoices   StatusCode = 300
	MovedPermanently  StatusCode = 301
	Found             StatusCode = 302
	SeeOther          StatusCode = 303
	NotModified       StatusCode = 304
	UseProxy          StatusCode = 305
	TemporaryRedirect StatusCode = 307
	PermanentRedirect StatusCode = 308

	BadRequest                  StatusCode = 400
	Unauthorized                StatusCode = 401
	PaymentRequired             StatusCode = 402
	Forbidden                   StatusCode = 403
	NotFound                    StatusCode = 404
	MethodNotAllowed            StatusCode = 405
	NotAcceptable               StatusCode = 406
	ProxyAuthenticationRequired StatusCode = 407
	RequestTimeout              StatusCode = 408
	Conflict                    StatusCode = 409
	Gone                        StatusCode = 410
	LengthRequired              StatusCode = 411
	PreconditionFailed          StatusCode = 412
	PayloadTooLarge             StatusCode = 413
	UriTooLong                  StatusCode = 414
	UnsupportedMediaType        StatusCode = 415
	RequestRangeNotSatisfiable  StatusCode = 416
	ExpectationFailed           StatusCode = 417
	ImATeapot                   StatusCode = 418
	MisdirectedRequest          StatusCode = 421
	UnprocessableEntity         StatusCode = 422
	Locked                      StatusCode = 423
	FailedDependency            StatusCode = 424
	UpgradeRequired             StatusCode = 426
	PreconditionRequired        StatusCode = 428
	TooManyRequests             StatusCode = 429
	RequestHeaderFieldsTooLarge StatusCode = 431
	UnavailableForLegalReasons  StatusCode = 451

	InternalServerError           StatusCode = 500
	NotImplemented                StatusCode = 501
	BadGateway                    StatusCode = 502
	ServiceUnavailable            StatusCode = 503
	GatewayTimeout                StatusCode = 504
	HttpVersionNotSupported       StatusCode = 505
	VariantAlsoNegotiates         StatusCode = 506
	InsufficientStorage           StatusCode = 507
	LoopDetected                  StatusCode = 508
	NotExtended                   StatusCode = 510
	NetworkAuthenticationRequired StatusCode = 511
	NetworkConnectTimeoutError    StatusCode = 599 // Qt's; not registered
)

// String is the number and the reason phrase, as "404 Not Found"; the number alone for a
// code without a phrase.
func (s StatusCode) String() string {
	number := strconv.Itoa(int(s))
	if phrase := s.phrase(); phrase != "" {
		return number + " " + phrase
	}
	return number
}

// phrase is the reason phrase, "" for a code without one.
func (s StatusCode) phrase() string {
	if s == NetworkConnectTimeoutError {
		return "Network Connect Timeout Error"
	}
	return http.StatusText(int(s))
}

// final tells whether a response can end with the code: net/http writes three
// digits, and those below 200 are interim.
func (s StatusCode) final() bool { return s >= 200 && s <= 999 }

// hasBody tells whether a response of the code can have content (RFC 9110, sections
// 15.3.5, 15.3.6 and 15.4.5).
func (s StatusCode) hasBody() bool { return s != NoContent && s != ResetContent && s != NotModified }
