package netreply

import "context"

// PrepareReply makes a reply, and returns the function of its goroutine.
func PrepareReply(m *Manager, verb string, req *Request) (r *Reply, run func()) {
	r = m.newReply(context.Background(), verb, req, nil)
	return r, r.run
}
