package netreply

import (
	"net/url"

	"github.com/netreply/netreply/internal/flow"
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

// serverOf returns the server for a request.
func (m *Manager) serverOf(q *Request) (server, error) {
	s := m.servers[q.URL.Scheme]
	if s == nil {
		return nil, localError(ProtocolUnknownError, `Protocol "`+q.URL.Scheme+`" is unknown`, unknownScheme(q.URL.Scheme))
	}
	return s, s.check(q)
}

// counts are the signals of a reply that backends have emitted, of the kinds that do not
// conflate: the channels are that large.
type counts struct{ connecting, encrypted, sent, interims, questions int }
