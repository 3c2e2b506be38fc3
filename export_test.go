package netreply

import "context"

// Prepare makes a reply. run is what its goroutine does, and gives its error.
func (m *Manager) Prepare(verb string, req *Request) (run func() error) {
	r := m.newReply(context.Background(), verb, req, nil)
	return func() error {
		r.run()
		return r.Err()
	}
}
