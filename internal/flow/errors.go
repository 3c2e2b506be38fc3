package flow

// Kind is the kind of an Error.
type Kind uint8

const (
	BadAddress     Kind = iota + 1 // the URL has no valid host and port
	Unresolvable                   // a name that is never resolvable; see httpurl.Unresolvable
	NotResent                      // the body has to be sent again, which is not possible (rule E23)
	BodySource                     // the source of the body failed to open
	BodyDigest                     // the body could not be read for Digest authentication
	RedirectDenied                 // by the program
	NotCached                      // nothing is stored, and the network must not be used (rule S40)
	StoreFailed                    // the store has lost a part of a body
)

// Error is a failure that a step has detected. Other errors of this package are
// *wire.Error, *httpurl.Refusal, *auth.Error, *ProxyFailure, *coding.Error and those of a
// Watcher.
type Error struct {
	Kind Kind
	Host string // of BadAddress and Unresolvable; the URL of NotCached
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }
