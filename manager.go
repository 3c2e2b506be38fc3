package netreply

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/netreply/netreply/internal/flow"
	"github.com/netreply/netreply/internal/wire"
)

// Version is the version of this package; the default User-Agent contains it.
const Version = "0.1.0"

// Manager sends requests and owns the connections, which all its requests share. It is safe
// for concurrent use. A program usually needs one, and closes it at the end.
type Manager struct {
	cfg      Config
	wire     *wire.Transport
	flow     *flow.Engine // nil in a Manager not made by NewManager
	profiles *profileTable
	servers  map[string]server // by scheme; not changed after NewManager

	hub hub

	mu       sync.Mutex
	closed   bool
	first    *Reply        // list of the replies whose goroutine has not ended
	allEnded chan struct{} // made by Close, closed when the list is empty
}

// Get sends a GET request. Like all verbs it returns at once, and never nil: for a request
// that cannot be sent it returns a Reply that fails. The context covers the whole transfer,
// the body included: its cancellation has the effect of Abort, its deadline fails the reply
// with TimeoutError.
func (m *Manager) Get(ctx context.Context, req *Request) *Reply {
	return m.Send(ctx, http.MethodGet, req, nil)
}

// Head sends a HEAD request: the response has no body.
func (m *Manager) Head(ctx context.Context, req *Request) *Reply {
	return m.Send(ctx, http.MethodHead, req, nil)
}

// Post sends a POST request with a body.
func (m *Manager) Post(ctx context.Context, req *Request, body Body) *Reply {
	return m.Send(ctx, http.MethodPost, req, body)
}

// Put sends a PUT request with a body.
func (m *Manager) Put(ctx context.Context, req *Request, body Body) *Reply {
	return m.Send(ctx, http.MethodPut, req, body)
}

// Patch sends a PATCH request with a body.
func (m *Manager) Patch(ctx context.Context, req *Request, body Body) *Reply {
	return m.Send(ctx, http.MethodPatch, req, body)
}

// Delete sends a DELETE request.
func (m *Manager) Delete(ctx context.Context, req *Request) *Reply {
	return m.Send(ctx, http.MethodDelete, req, nil)
}

// Send sends a request with any verb. A nil body means none. The verbs that Manager has
// methods for, and OPTIONS, are recognised in any case ("get" is GET); all others are sent
// as they are spelled.
func (m *Manager) Send(ctx context.Context, verb string, req *Request, body Body) *Reply {
	r := m.newReply(ctx, verb, req, body)
	go r.run()
	return r
}

// Fetch is Send on the calling goroutine: it returns when the reply has finished, which costs
// less than Send and Wait. The whole body is buffered, whatever ReadBufferSize says; ReadAll
// returns it without waiting. Questions must be answered by Answer or inside OnSignal: the
// program gets the channels of the reply only after the end, so that a question under Ask or
// UserVerifiedRedirectPolicy alone waits until ctx ends.
func (m *Manager) Fetch(ctx context.Context, verb string, req *Request, body Body) *Reply {
	r := m.newReply(ctx, verb, req, body)
	r.pipe.SetLimit(0)
	r.run()
	r.settle()
	return r
}

// newReply makes a reply and adds it to the Manager's list.
func (m *Manager) newReply(ctx context.Context, verb string, req *Request, body Body) *Reply {
	if m == nil {
		m = new(Manager) // which fails the reply
	}
	r := new(Reply)
	r.ctx = &r.own
	r.pipe.Init((*watch)(r), 0)
	m.begin(ctx, r, verb, req, body)
	return r
}

// begin makes r, which has a context and a pipe and nothing else, the reply to a request, and adds
// it to the Manager's list.
func (m *Manager) begin(ctx context.Context, r *Reply, verb string, req *Request, body Body) {
	if ctx == nil {
		ctx = context.Background()
	}
	r.mu.Lock() // others may have r, if it is used again
	r.m = m
	r.method, r.started = canonicalMethod(verb), now()
	if body != nil {
		r.more().body = body
	}
	if req != nil {
		req.copyTo(&r.req)
	}
	q := &r.req
	m.cfg.complete(q)
	r.pipe.SetLimit(max(0, q.ReadBufferSize))
	r.head.length = -1
	r.ctx.Init(ctx)
	u := r.useLocked()
	r.mu.Unlock()
	if limit := q.TransferTimeout; limit > 0 || q.MinRate > 0 {
		r.clock = flow.NewClock(limit, func() { u.stop(transferTimeout(limit)) })
	}
	m.takeSSLConfiguration(r)
	to := q.URL
	if to != nil && m.flow != nil {
		to = m.flow.Upgrade(to)
	}
	r.begun(to)
	if m.enter(r) {
		r.watchContext(ctx)
	} else {
		r.ctx.Cancel(errManagerClosed)
	}
}

// enter adds a reply to the list. After Close it does not: Close does not wait for that reply.
func (m *Manager) enter(r *Reply) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	r.next = m.first
	if m.first != nil {
		m.first.prev = r
	}
	m.first = r
	return true
}

// remove takes a reply out of the list when its goroutine ends.
func (m *Manager) remove(r *Reply) {
	m.mu.Lock()
	switch {
	case r.prev != nil:
		r.prev.next = r.next
	case m.first == r:
		m.first = r.next
	default: // a Manager that is closed lists no reply
		m.mu.Unlock()
		return
	}
	if r.next != nil {
		r.next.prev = r.prev
	}
	r.prev, r.next = nil, nil
	if m.first == nil && m.allEnded != nil {
		close(m.allEnded)
		m.allEnded = nil
	}
	m.mu.Unlock()
}

// checkAllowed returns an error for a request that the Manager's Config forbids.
func (m *Manager) checkAllowed(q *Request) error {
	if q.Background && m.cfg.ForbidBackground {
		return localError(BackgroundRequestNotAllowedError, "Background request not allowed",
			&FieldError{Field: "Request.Background", Reason: "the Manager forbids background requests"})
	}
	return nil
}

// ClearConnectionCache closes the idle connections. Running transfers are not affected
// (rule N13, D32).
func (m *Manager) ClearConnectionCache() {
	if m.flow == nil { // not made by NewManager
		return
	}
	m.wire.CloseIdle()
	m.flow.CloseParked()
}

// ClearAccessCache forgets the credentials that servers and proxies have accepted or that
// the program has given for them, and closes the idle connections (rule U8).
func (m *Manager) ClearAccessCache() {
	if m.flow != nil {
		m.flow.ForgetLogins()
	}
	m.ClearConnectionCache()
}

// CookieJar is the jar that the Manager's requests use: Config.CookieJar, or the
// *cookies.Jar that NewManager made.
func (m *Manager) CookieJar() http.CookieJar { return m.cfg.CookieJar }

// How long Close waits for the replies that it has aborted: closeGrace before it closes the
// connections in use, closeLimit after that.
const (
	closeGrace = 250 * time.Millisecond
	closeLimit = time.Second
)

// Close aborts all replies and closes all connections, those in use too. Requests sent
// afterwards fail with OperationCanceledError.
//
// Close waits until everything that the Manager has started has ended, but never longer
// than about three seconds: a callback or body source of the program that does not return
// keeps its goroutine, and so do a Config.DialContext that ignores its context and a
// connection of it whose Close does not return. Inside OnSignal and Answer Close does not
// wait for replies. Policies that Config.HSTS has learned are written to its file, which
// takes at most one more second.
//
// Close may be called several times, and returns nil.
func (m *Manager) Close() error {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	m.closed = true
	var replies []*Reply
	for r := m.first; r != nil; r = r.next {
		replies = append(replies, r)
	}
	none := m.allEnded
	if none == nil {
		none = make(chan struct{})
		if m.allEnded = none; m.first == nil {
			close(none)
			m.allEnded = nil
		}
	}
	m.mu.Unlock()
	for _, r := range replies {
		r.abort(errManagerClosed)
	}
	waits := !calledBack() // its own reply could not end
	if waits {
		waitClosed(none, closeGrace)
	}
	if m.wire != nil {
		m.wire.Close()
	}
	if waits {
		waitClosed(none, closeLimit)
	}
	if m.flow != nil {
		m.flow.Close()
	}
	m.hub.close()
	m.flushPolicies()
	return nil
}

// flushWait bounds how long Manager.Close waits for the file of Config.HSTS.
const flushWait = time.Second

// flushPolicies writes the learned HSTS policies to the store's file. The program closes
// the store; Store.Err tells what could not be written.
func (m *Manager) flushPolicies() {
	if m.cfg.HSTS == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushWait)
	defer cancel()
	m.cfg.HSTS.Flush(ctx)
}

// waitClosed waits until c is closed, at most for limit.
func waitClosed(c <-chan struct{}, limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-c:
	case <-timer.C:
	}
}

// takeSSLConfiguration resolves the request's configuration to profiles and stores a copy.
// For a configuration that cannot be used it leaves profiles nil; Reply.validate then
// reports the error.
func (m *Manager) takeSSLConfiguration(r *Reply) {
	c := r.req.SSLConfiguration
	var made *profiles
	if m.profiles != nil {
		made, _ = m.profiles.of(c, "")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.encryption.profiles = made
	switch {
	case c == nil:
	case r.encryption.profiles == nil:
		r.req.SSLConfiguration = c.Clone()
	default:
		r.req.SSLConfiguration = &r.encryption.profiles.from.SSLConfiguration
	}
}

// requiresTLS reports whether host has an HSTS policy, so that no certificate flaw may be
// ignored (rules T6 and K10).
func (m *Manager) requiresTLS(host string) bool { return m.cfg.HSTS != nil && m.cfg.HSTS.Known(host) }
