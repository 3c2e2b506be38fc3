// Package oserr classifies errors of operating systems by their meaning for a connection.
package oserr

// Kind is the meaning of an error for a connection.
type Kind int

const (
	Other       Kind = iota
	Reset            // ended by the peer or the network
	Refused          // nothing listens on the port
	Unreachable      // the network is down, or there is no route to the peer
	NoAddress        // no local address is available
	TimedOut         // the system's time limit was exceeded
)

// Is reports whether err is, or wraps, an error of the operating system of kind k.
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

// winsock are the error codes of Windows Sockets. The constants of package syscall with the
// names of POSIX are invented values on Windows, which the system never reports.
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
