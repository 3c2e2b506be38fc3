package netreply

import (
	"context"

	"github.com/netreply/netreply/internal/wire"
)

// PrepareReply makes a reply, and returns the function of its goroutine.
func PrepareReply(m *Manager, verb string, req *Request) (r *Reply, run func()) {
	r = m.newReply(context.Background(), verb, req, nil)
	return r, r.run
}

// OwnHTTP1 reports that HTTP/1 connections are those of package wire, not of net/http.
var OwnHTTP1 = wire.DefaultConn.Own()
