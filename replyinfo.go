package netreply

import (
	"errors"
	"net"
	"slices"
	"strings"

	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/httpurl"
)

// ErrorString is Qt's text for Err, empty if Err is nil.
func (r *Reply) ErrorString() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var e *Error
	if errors.As(r.errLocked(), &e) {
		return e.Text
	}
	return ""
}

// IsFinished reports whether the reply has finished. It is true from the last
// DownloadProgress on (rule S3).
func (r *Reply) IsFinished() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state == finished || r.m == nil
}

// IsRunning is the opposite of IsFinished.
func (r *Reply) IsRunning() bool { return !r.IsFinished() }

// Request is a copy of the request as it was sent, with the Manager's defaults filled in.
func (r *Reply) Request() *Request {
	r.mu.Lock()
	q := r.req // a copy, since another request may take its place
	if r.extra != nil && r.extra.request != nil {
		q = *r.extra.request
	}
	r.mu.Unlock()
	return q.Clone() // what it refers to is not changed
}

// Manager is the Manager that sent the request.
func (r *Reply) Manager() *Manager {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.m
}

// Operation is the kind of the last hop's request; a redirect may change it.
func (r *Reply) Operation() Operation { return operationOf(r.Method()) }

// Method is the method of the last hop's request.
func (r *Reply) Method() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.method
}

// StatusCode is the status of the last response head, 0 before the first.
func (r *Reply) StatusCode() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return int(r.head.status)
}

// ContentLength is the length of the body according to the head, -1 if unknown.
func (r *Reply) ContentLength() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.head.seen {
		return -1
	}
	return r.head.length
}

// Headers are the fields of the last response head, for HTTP/1 with the order and spelling
// of the message (rule H20).
func (r *Reply) Headers() Headers {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.head.list()
}

// Trailers are the trailer fields (RFC 9110, section 6.5); they are available once the
// reply is finished.
func (r *Reply) Trailers() Headers {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.extra == nil || r.extra.trailers == nil {
		return Headers{}
	}
	return r.extra.trailers.Clone()
}

// HasRawHeader reports whether the response has a field of that name.
func (r *Reply) HasRawHeader(name string) bool { return r.Headers().Has(name) }

// RawHeader joins the values of a field (rule H25).
func (r *Reply) RawHeader(name string) string { return r.Headers().Joined(name) }

// RawHeaderList returns each field name once, in the order of the last occurrences (rule
// H26).
func (r *Reply) RawHeaderList() []string {
	merged := r.Headers().Merged()
	names := make([]string, 0, len(merged))
	for _, f := range merged {
		names = append(names, f.Name)
	}
	return names
}

// RawHeaderPairs returns each field name once with its joined values.
func (r *Reply) RawHeaderPairs() [][2]string {
	merged := r.Headers().Merged()
	pairs := make([][2]string, 0, len(merged))
	for _, f := range merged {
		pairs = append(pairs, [2]string{f.Name, f.Value})
	}
	return pairs
}

// LocalAddr is the local address of the connection of the last hop; nil before there was
// one.
func (r *Reply) LocalAddr() net.Addr {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.addrs == nil {
		return nil
	}
	return r.addrs.Local
}

// RemoteAddr is the remote address of the connection of the last hop, which with a proxy is
// the address of the proxy; nil before there was one.
func (r *Reply) RemoteAddr() net.Addr {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.addrs == nil {
		return nil
	}
	return r.addrs.Remote
}

// ProxyResponse is the response of a proxy to CONNECT, if the reply failed because of it;
// otherwise nil. It comes from the proxy, not from the target.
func (r *Reply) ProxyResponse() *ProxyResponse {
	var e *dial.ProxyError
	if !errors.As(r.Err(), &e) || e.Response == nil {
		return nil
	}
	_, reason, _ := strings.Cut(e.Response.Status, " ")
	return &ProxyResponse{e.Response.StatusCode, reason, headersFrom(e.Response.Header, false), slices.Clone(e.Body)}
}

// SSLConfiguration is the TLS configuration and state of the reply (rule T10).
func (r *Reply) SSLConfiguration() SSLState {
	if of := r.backendSSLState(); of != nil {
		return of()
	}
	r.mu.Lock()
	of, origin, given := encryption{profiles: r.encryption.profiles}, r.req.URL, r.req.SSLConfiguration
	state, u, m := r.tls, r.url, r.m
	r.mu.Unlock()
	if of.profiles == nil { // not made by NewManager, or an invalid configuration
		return SSLState{Configuration: given}
	}
	s := SSLState{Configuration: of.profiles.from.Clone()}
	if state != nil {
		s.ConnectionState = *state
		s.addr, _ = httpurl.Address(u)
		s.profiles = of.forHop(m.flow.SameOrigin(origin, u))
	}
	return s
}

// backendSSLState is the Backend's function for SSLConfiguration, nil for none.
func (r *Reply) backendSSLState() func() SSLState {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.extra == nil {
		return nil
	}
	return r.extra.sslState
}
