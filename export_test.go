package netreply

import "context"

// Prepare makes a reply, and gives what its goroutine runs.
func (m *Manager) Prepare(verb string, req *Request) (r *Reply, run func()) {
	r = m.newReply(context.Background(), verb, req, nil)
	return r, r.run
}
