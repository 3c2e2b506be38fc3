package netreply

import "github.com/netreply/netreply/internal/flow"

// backendServer carries out requests by a Backend.
type backendServer struct{ b Backend }

func (s backendServer) check(*Reply) error { return nil }

func (s backendServer) serve(r *Reply, body *flow.Payload, on *onward) error {
	for {
		next, err := newReplyWriter(r, s.b, body, on).serve()
		if next == nil || err != nil {
			return err
		}
		if on = next; !on.sendBody {
			body = nil
		}
		to := r.m.servers[on.url.Scheme]
		b, ok := to.(backendServer)
		if !ok {
			return to.serve(r, body, on)
		}
		s = b
	}
}
