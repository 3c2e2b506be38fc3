package netreply

import (
	"net"
	"net/http"
	"net/url"

	"github.com/netreply/netreply/internal/flow"
)

// server carries out the requests for one URL scheme: HTTP, or a Backend. Every Reply comes
// about through one.
type server interface {
	// check returns an error for a reply whose request cannot be sent.
	check(*Reply) error
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

// serverOf returns the server for the request of a reply.
func (m *Manager) serverOf(r *Reply) (server, error) {
	scheme := r.req.URL.Scheme
	s := m.servers[scheme]
	if s == nil {
		return nil, localError(ProtocolUnknownError, `Protocol "`+scheme+`" is unknown`, unknownScheme(scheme))
	}
	return s, s.check(r)
}

// counts are the signals of a reply that backends have emitted, of the kinds that do not
// conflate: the channels are that large.
type counts struct{ connecting, encrypted, sent, interims, questions int }

// taker gets the response instead of the program: it is a request of a RoundTripper.
type taker interface {
	// adjust sets what only a RoundTripper has.
	adjust(*flow.Request)
	// take gets the final head and, after a 101 response, the connection.
	take(*http.Response, net.Conn)
}

// takenBy is the taker of the response, nil for none.
func (r *Reply) takenBy() taker {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.extra == nil {
		return nil
	}
	return r.extra.taker
}
