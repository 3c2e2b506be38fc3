package netreply

import (
	"context"
	"net"
	"net/http"

	"github.com/netreply/netreply/internal/flow"
	"github.com/netreply/netreply/internal/httpurl"
)

// httpServer carries out requests over HTTP.
type httpServer struct{}

func (*httpServer) check(r *Reply) error {
	if r.req.Ask&^r.m.cfg.Ask&AskPreSharedKey != 0 && r.encryption.profiles.from.PSK == nil {
		return localError(ProtocolInvalidOperationError, "Invalid request", &FieldError{Field: "Request.SSLConfiguration.PSK", Reason: noPSK})
	}
	return checkHTTP(&r.req)
}

// checkHTTP returns an error for a URL that HTTP cannot reach.
func checkHTTP(q *Request) error {
	if scheme := q.URL.Scheme; httpurl.IsLocal(scheme) && q.LocalServerName == "" {
		return localError(ProtocolUnknownError, `Protocol "`+scheme+`" is unknown`,
			&FieldError{Field: "LocalServerName", Reason: required + ": the path of the socket for a URL with the scheme " + scheme})
	}
	if q.URL.Hostname() == "" {
		return localError(HostNotFoundError, "Host  not found", &FieldError{Field: "URL", Reason: "the host is missing"})
	}
	if bad := httpurl.Check(q.URL); bad != nil {
		return localError(ProtocolInvalidOperationError, "Invalid "+bad.Field, (*FieldError)(bad))
	}
	return nil
}

// serve is kept small, because its stack lies below the calls of net/http.
func (*httpServer) serve(r *Reply, body *flow.Payload, on *onward) error {
	r.transfer = r.newTransfer(body, on)
	resp, err := r.transfer.Begin()
	if err == nil {
		err = r.receive(resp)
	}
	r.transfer.Close()
	if err == nil {
		r.recycle()
	}
	r.transfer = nil
	return err
}

// recycle makes the memory of the transfer, whose response was received as a whole, that of another
// one, unless somebody else has it or its response.
func (r *Reply) recycle() {
	r.mu.Lock()
	x := r.extra
	kept := x != nil && (x.reuse != nil || x.taker != nil)
	r.mu.Unlock()
	if !kept {
		r.m.flow.Recycle(r.transfer)
	}
}

// receive copies the body to the pipe, and returns the error of the status, if it is one.
//
//go:noinline
func (r *Reply) receive(resp *http.Response) error {
	defer func() { resp.Body.Close() }() // limitBody may replace it
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return r.takeConnection(resp)
	}
	err := limitBody(resp, r.req.MaxBodySize)
	if err == nil {
		if t := r.takenBy(); t != nil {
			t.take(resp, nil)
		}
		err = r.transfer.Receive(resp, &r.pipe)
	}
	var trailers *Headers
	if len(resp.Trailer) > 0 {
		t := headersFrom(resp.Trailer, resp.ProtoMajor == 2)
		trailers = &t
	}
	return r.received(err, trailers, resp.Header)
}

// takeConnection keeps the connection of a 101 response for Upgraded and for a
// RoundTripper.
//
//go:noinline
func (r *Reply) takeConnection(resp *http.Response) error {
	conn := resp.Body.(net.Conn)
	r.mu.Lock()
	taken := r.state == running
	if taken {
		r.more().upgraded = conn
	}
	r.mu.Unlock()
	if !taken {
		return context.Cause(r.ctx)
	}
	if t := r.takenBy(); t != nil {
		t.take(resp, conn)
	}
	resp.Body = http.NoBody // it outlives the transfer
	return r.received(nil, nil, nil)
}
