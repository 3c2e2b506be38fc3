package netreplytest

import (
	"io"
	"net/http"
	"slices"
	"sync"
)

// Request is a request that a Server or a Proxy has received.
type Request struct {
	Method string
	Host   string // the Host field, or :authority
	Target string // the request target: path and query, a whole URL at a Proxy
	Proto  string // "HTTP/1.1", "HTTP/2.0", or "SOCKS5" at a Proxy
	Header http.Header
	// Body is what was read of the body. An Answer reads all of it, unless it is Early.
	Body []byte
}

// record is a request that was received.
type record struct {
	mu sync.Mutex
	Request
}

// seen are copies of the requests so far.
func (e *endpoint) seen() []Request {
	e.mu.Lock()
	list := slices.Clone(e.requests)
	e.mu.Unlock()
	requests := make([]Request, len(list))
	for i, rec := range list {
		rec.mu.Lock()
		requests[i] = rec.Request
		requests[i].Header = rec.Header.Clone()
		requests[i].Body = slices.Clone(rec.Body)
		rec.mu.Unlock()
	}
	return requests
}

// recordedBody is the body of a request; what is read of it is recorded.
type recordedBody struct {
	io.ReadCloser
	rec *record
}

func (b *recordedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.rec.mu.Lock()
	b.rec.Body = append(b.rec.Body, p[:n]...)
	b.rec.mu.Unlock()
	return n, err
}
