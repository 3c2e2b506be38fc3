package netreply

import (
	"context"
	"net"
	"net/http"
)

// Upgraded returns the connection on which the server speaks another protocol after a 101
// response (RFC 9110, section 7.8), a WebSocket for instance. The request must have asked
// for it by the fields Connection: Upgrade and Upgrade; it is then sent over HTTP/1.1. Like
// ReadAll, Upgraded waits. For any other response it returns an error, and the reply is as
// usual.
//
// The connection is the program's, which closes it. The reply finishes with the head of the
// response: its context, TransferTimeout and Config.ConnectionsPerHost do not concern the
// connection any more. Abort and Close of the reply, and Manager.Close, close it as well.
//
// It begins with the bytes that arrived together with the head. Its methods are those of the
// TLS or TCP connection; CloseWrite() error is one more. Upgraded may be called again, and
// returns the same connection.
func (r *Reply) Upgraded() (net.Conn, error) {
	if err := r.WaitHead(context.Background()); err != nil {
		return nil, err
	}
	if r.StatusCode() == http.StatusSwitchingProtocols {
		if err := r.Wait(context.Background()); err != nil {
			return nil, err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.extra != nil && r.extra.upgraded != nil {
			return r.extra.upgraded, nil
		}
	}
	return nil, localError(ProtocolInvalidOperationError, "Not upgraded", &FieldError{Field: "Upgraded",
		Reason: "the server has not switched protocols: that takes a request with Connection: Upgrade and Upgrade over HTTP/1.1, and a 101 response"})
}
