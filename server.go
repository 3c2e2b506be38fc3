package netreply

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/netreply/netreply/internal/flow"
	"github.com/netreply/netreply/internal/httpurl"
)

// server carries out the requests for one URL scheme: HTTP, or a Backend. Every Reply comes
// about through one.
type server interface {
	// check returns an error for a request that cannot be sent.
	check(*Request) error
	// serve carries out a request, up to the end of the response body or of the reply's
	// context. body is nil for none. on is nil for the request of the program, and set for
	// one that a Backend has redirected here.
	serve(r *Reply, body *flow.Payload, on *onward) error
}

// onward is what differs from the Request of the program on a hop to which a Backend has
// redirected the reply.
type onward struct {
	url      *url.URL
	method   string
	headers  Headers
	sendBody bool
	told     counts
}

// newServers lists the servers by scheme.
func newServers(c *Config) map[string]server {
	list := map[string]server{"http": httpServer{}, "https": httpServer{}, "unix+http": httpServer{}, "local+http": httpServer{}}
	for scheme, b := range c.builtInBackends() {
		list[scheme] = backendServer{b}
	}
	for scheme, b := range c.Backends {
		list[scheme] = backendServer{b}
	}
	return list
}

// SupportedSchemes lists the URL schemes that a request may have, in alphabetical order.
func (m *Manager) SupportedSchemes() []string {
	if m == nil || m.servers == nil { // not made by NewManager
		m = &Manager{servers: newServers(&Config{})}
	}
	list := make([]string, 0, len(m.servers))
	for scheme := range m.servers {
		list = append(list, scheme)
	}
	slices.Sort(list)
	return list
}

// serverOf returns the server for a request.
func (m *Manager) serverOf(q *Request) (server, error) {
	s := m.servers[q.URL.Scheme]
	if s == nil {
		return nil, localError(ProtocolUnknownError, `Protocol "`+q.URL.Scheme+`" is unknown`, unknownScheme(q.URL.Scheme))
	}
	return s, s.check(q)
}

// httpServer carries out requests over HTTP.
type httpServer struct{}

func (httpServer) check(q *Request) error {
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

// serve has few callees that are inlined, to keep the stack small below the calls of
// net/http.
func (httpServer) serve(r *Reply, body *flow.Payload, on *onward) error {
	r.transfer = r.newTransfer(body, on)
	resp, err := r.transfer.Begin()
	if err == nil {
		err = r.receive(resp)
	}
	r.transfer.Close()
	r.transfer = nil
	return err
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
		r.deliver(resp)
		err = r.transfer.Receive(resp, &r.pipe)
	}
	var trailers *Headers
	if len(resp.Trailer) > 0 {
		t := headersFrom(resp.Trailer, resp.ProtoMajor == 2)
		trailers = &t
	}
	return r.received(err, trailers, resp.Header)
}
