package flow

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/netreply/netreply/internal/wire"
)

// h2HTTP11Required is the HTTP/2 error code with which a server requires HTTP/1.1 for a
// request that it has not processed (RFC 9113, section 7).
const h2HTTP11Required = 13

// requiresHTTP11 reports whether a request failed with that code.
func requiresHTTP11(err error) bool {
	var we *wire.Error
	return errors.As(err, &we) && (we.Fault == wire.Reset || we.Fault == wire.GoAway) && we.Code == h2HTTP11Required
}

// maxHTTP11Origins bounds the size of http11Origins.
const maxHTTP11Origins = 1000

// http11Origins are the servers that have required HTTP/1.1 (rule E30); HTTP/2 is not
// offered to them again.
type http11Origins struct {
	any atomic.Bool // avoids the lock in the usual case of an empty set

	mu      sync.Mutex
	origins map[http11Origin]struct{}
}

// protocol returns the protocol for a server, given that of the request.
func (e *Engine) protocol(wish wire.Protocol, scheme, addr string) wire.Protocol {
	if wish == wire.Negotiate && e.http11.has(scheme, addr) {
		return wire.HTTP1
	}
	return wish
}

type http11Origin struct{ scheme, addr string }

func (o *http11Origins) add(scheme, addr string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	origin := http11Origin{scheme, addr}
	if _, known := o.origins[origin]; known {
		return
	}
	if o.origins == nil {
		o.origins = map[http11Origin]struct{}{}
	}
	if len(o.origins) >= maxHTTP11Origins {
		for old := range o.origins {
			delete(o.origins, old)
			break
		}
	}
	o.origins[origin] = struct{}{}
	o.any.Store(true)
}

func (o *http11Origins) has(scheme, addr string) bool {
	if !o.any.Load() {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	_, ok := o.origins[http11Origin{scheme, addr}]
	return ok
}
