package wire

import (
	"net"
	"os"
)

// errQuiet is the error of a Read that would have to wait. It is temporary, so that
// crypto/tls does not keep it, and continues with the next Read.
var errQuiet net.Error = quietError{}

type quietError struct{}

func (quietError) Error() string   { return "nothing has arrived" }
func (quietError) Timeout() bool   { return true }
func (quietError) Temporary() bool { return true }
func (quietError) Unwrap() error   { return os.ErrDeadlineExceeded }

// idle reports whether an idle connection is as it was: nothing has arrived on it and it
// was not closed. stream is the socket, or TLS on it. Under TLS only crypto/tls can tell: a
// session ticket in the socket is not for HTTP, and the peer's close_notify may already
// have been taken out of it.
func (s *socket) idle(stream net.Conn) bool {
	if stream == s.Conn {
		return !s.pending()
	}
	s.quiet.Store(true)
	n, err := stream.Read(s.scratch[:])
	s.quiet.Store(false)
	return n == 0 && err == error(errQuiet) && !s.refused.Load()
}
