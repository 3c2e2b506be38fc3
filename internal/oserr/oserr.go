// Package oserr tells the errors of operating systems apart by what they mean for a
// connection.
package oserr

// Kind is what an error of the operating system says about a connection.
type Kind int

const (
	Other       Kind = iota
	Reset            // the peer, or something in between, has ended it
	Refused          // nobody listens there
	Unreachable      // the network is down, or there is no way to the other one
	NoAddress        // there is no local address to connect from
	TimedOut         // the system has waited long enough
)

// Is tells whether err is, or wraps somewhere, an error of the operating system of that
// kind.
func Is(err error, k Kind) bool {
	if err == nil {
		return false
	}
	if kindOf(err) == k {
		return true
	}
	switch w := err.(type) {
	case interface{ Unwrap() error }:
		return Is(w.Unwrap(), k)
	case interface{ Unwrap() []error }:
		for _, e := range w.Unwrap() {
			if Is(e, k) {
				return true
			}
		}
	}
	return false
}

// winsock are the error codes of Windows Sockets. The constants of package syscall with
// the names of POSIX are numbers of Go's own there, which the system never reports.
var winsock = map[uintptr]Kind{
	10049: NoAddress,   // WSAEADDRNOTAVAIL
	10050: Unreachable, // WSAENETDOWN
	10051: Unreachable, // WSAENETUNREACH
	10052: Reset,       // WSAENETRESET
	10053: Reset,       // WSAECONNABORTED
	10054: Reset,       // WSAECONNRESET
	10058: Reset,       // WSAESHUTDOWN
	10060: TimedOut,    // WSAETIMEDOUT
	10061: Refused,     // WSAECONNREFUSED
}
