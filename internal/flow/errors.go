package flow

// Kind says what has ended a transfer, where that is neither the wire nor the context.
type Kind uint8

const (
	BadAddress     Kind = iota + 1 // the host of a URL cannot be written as an address
	Unresolvable                   // a name that no resolver knows; see httpurl.Unresolvable
	NotResent                      // the body had to be sent again and could not be (rule E23)
	BodySource                     // the source of the body failed to open
	BodyDigest                     // the body could not be read for a digest that covers it
	RedirectDenied                 // by the program
)

// Error is a failure that a step has found itself. The other types of errors of this package
// are *wire.Error, *httpurl.Refusal, *auth.Error, *ProxyFailure, *coding.Error and what a
// Watcher gives.
type Error struct {
	Kind Kind
	Host string // of BadAddress and Unresolvable
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }
