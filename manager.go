package netreply

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/netreply/netreply/internal/flow"
	"github.com/netreply/netreply/internal/wire"
)

// Version is the version of this package, as the default User-Agent tells it.
const Version = "0.1.0"

// Manager sends requests. It owns the connections, which all its requests
// share. It is safe for concurrent use; programs need one, and close it.
type Manager struct {
	cfg      Config
	wire     *wire.Transport
	flow     *flow.Engine // nil in a Manager that NewManager has not made
	profiles *profileTable

	hub hub

	mu     sync.Mutex
	closed bool
	first  *Reply        // those whose goroutine has not ended
	none   chan struct{} // made by Close, closed when there are none
}

// NewManager makes a Manager. A Config that cannot be used is refused with an
// error that joins a *FieldError for each bad field.
func NewManager(c Config) (*Manager, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	dialer := newDialer(&c)
	m := &Manager{cfg: c, wire: newWire(&c, dialer)}
	m.flow = newEngine(&c, dialer, m.wire)
	m.profiles = newProfileTable(c.SSLConfiguration, m.wire.CloseIdleOf)
	m.cfg.Credentials = nil // those have pointers, where package fmt does not look by itself
	return m, nil
}

// Get fetches. Like all verbs it returns at once, and never nil: a request that
// cannot be sent gives a reply that fails. The context covers the whole
// transfer, the body included: its cancellation is an Abort, its deadline a
// TimeoutError.
func (m *Manager) Get(ctx context.Context, req *Request) *Reply {
	return m.Send(ctx, http.MethodGet, req, nil)
}

// Head fetches the head only.
func (m *Manager) Head(ctx context.Context, req *Request) *Reply {
	return m.Send(ctx, http.MethodHead, req, nil)
}

// Post sends a body.
func (m *Manager) Post(ctx context.Context, req *Request, body Body) *Reply {
	return m.Send(ctx, http.MethodPost, req, body)
}

// Put sends a body to be stored.
func (m *Manager) Put(ctx context.Context, req *Request, body Body) *Reply {
	return m.Send(ctx, http.MethodPut, req, body)
}

// Patch sends a body that describes a change.
func (m *Manager) Patch(ctx context.Context, req *Request, body Body) *Reply {
	return m.Send(ctx, http.MethodPatch, req, body)
}

// Delete asks for removal.
func (m *Manager) Delete(ctx context.Context, req *Request) *Reply {
	return m.Send(ctx, http.MethodDelete, req, nil)
}

// Send sends any verb, with a body or, when it is nil, without one. "get" is GET, and
// so with the other verbs that a Manager has; all else goes out as it is spelled.
func (m *Manager) Send(ctx context.Context, verb string, req *Request, body Body) *Reply {
	r := m.newReply(ctx, verb, req, body)
	go r.run()
	return r
}

// Fetch is Send that returns when the reply has finished, which costs less than
// waiting for it: the transfer runs on the calling goroutine. The body is
// buffered whole, whatever ReadBufferSize says; ReadAll returns it without
// waiting.
func (m *Manager) Fetch(ctx context.Context, verb string, req *Request, body Body) *Reply {
	r := m.newReply(ctx, verb, req, body)
	r.pipe.SetLimit(0)
	r.run()
	return r
}

// newReply makes a reply and enters it in the list of those that run.
func (m *Manager) newReply(ctx context.Context, verb string, req *Request, body Body) *Reply {
	if m == nil {
		m = new(Manager) // which fails the reply
	}
	r := &Reply{m: m, method: canonicalMethod(verb), body: body, started: now()}
	if req != nil {
		req.copyTo(&r.req)
	}
	q := &r.req
	m.cfg.complete(q)
	if q.TransferTimeout > 0 || q.MinRate > 0 {
		r.clock = flow.NewClock(q.TransferTimeout, func() { r.stop(transferTimeout(q.TransferTimeout)) })
	}
	if q.MinRate > 0 {
		r.rate = flow.NewRateGuard(q.MinRate, r.clock, r.moved, func() { r.stop(minRate(q.MinRate)) })
	}
	r.pipe.Init((*watch)(r), max(0, q.ReadBufferSize))
	r.head.length = -1
	m.takeSSLConfiguration(r)
	if q.URL != nil && m.flow != nil {
		q.URL = m.flow.Upgrade(q.URL)
	}
	if q.URL != nil {
		r.url = q.URL
		r.secure = q.URL.Scheme == "https"
	}
	if ctx == nil {
		ctx = context.Background()
	}
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed { // nobody waits for it
		r.cancel(errManagerClosed)
		return r
	}
	r.listed = true
	r.next = m.first
	if m.first != nil {
		m.first.prev = r
	}
	m.first = r
	r.watch(ctx)
	return r
}

// remove takes a reply out of the list; its goroutine ends.
func (m *Manager) remove(r *Reply) {
	if !r.listed {
		return
	}
	m.mu.Lock()
	if r.prev != nil {
		r.prev.next = r.next
	} else {
		m.first = r.next
	}
	if r.next != nil {
		r.next.prev = r.prev
	}
	r.prev, r.next = nil, nil
	if m.first == nil && m.none != nil {
		close(m.none)
		m.none = nil
	}
	m.mu.Unlock()
}

// checkAllowed refuses what the Manager does not let through.
func (m *Manager) checkAllowed(q *Request) error {
	if q.Background && m.cfg.ForbidBackground {
		return localError(BackgroundRequestNotAllowedError, "Background request not allowed",
			&FieldError{Field: "Request.Background", Reason: "the Manager forbids background requests"})
	}
	return nil
}

// ClearConnectionCache closes the connections that carry nothing at the moment;
// transfers go on (rule N13, D32).
func (m *Manager) ClearConnectionCache() {
	if m.flow == nil { // not made by NewManager
		return
	}
	m.wire.CloseIdle()
	m.flow.CloseParked()
}

// ClearAccessCache forgets the passwords that servers and proxies have accepted or that
// were given for them, and closes the connections that carry nothing (rule U8).
func (m *Manager) ClearAccessCache() {
	if m.flow != nil {
		m.flow.ForgetLogins()
	}
	m.ClearConnectionCache()
}

// CookieJar is the jar that the Manager's requests use: that of its Config, or the
// *cookies.Jar it made itself.
func (m *Manager) CookieJar() http.CookieJar { return m.cfg.CookieJar }

// SupportedSchemes lists the URL schemes a request may have.
func (m *Manager) SupportedSchemes() []string {
	return []string{"http", "https", "unix+http", "local+http"}
}

// How long Close waits for what it has aborted: first for transfers that end their
// exchanges in good order, then for those that only the end of their connection frees.
const (
	closeGrace = 250 * time.Millisecond
	closeLimit = time.Second
)

// Close aborts what runs and closes the connections, those that carry something too.
// Requests that are sent afterwards fail with OperationCanceledError. It waits until
// everything that the Manager has started has ended, but never longer than about three seconds: a
// callback or a body source of the program's that does not return keeps its goroutine, and
// so does a Config.DialContext that ignores its context, or a connection of it whose Close does
// not return. Inside OnSignal and Answer it does not wait for
// replies. What Config.HSTS has learned is written to its file, for one more second at most.
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
	none := m.none
	if none == nil {
		none = make(chan struct{})
		if m.none = none; m.first == nil {
			close(none)
			m.none = nil
		}
	}
	m.mu.Unlock()
	for _, r := range replies {
		r.abort(errManagerClosed)
	}
	waits := !calledBack() // else for itself
	if waits {
		ended(none, closeGrace)
	}
	if m.wire != nil {
		m.wire.Close()
	}
	if waits {
		ended(none, closeLimit)
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

// flushPolicies writes what was learned. The store is the program's, which closes it; its
// Err tells what could not be written.
func (m *Manager) flushPolicies() {
	if m.cfg.HSTS == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushWait)
	defer cancel()
	m.cfg.HSTS.Flush(ctx)
}

// ended waits for c to be closed, for a time.
func ended(c <-chan struct{}, limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-c:
	case <-timer.C:
	}
}

// takeSSLConfiguration gives a reply its request's configuration as it is now. One that
// cannot be used leaves it without profiles, see Reply.validate.
func (m *Manager) takeSSLConfiguration(r *Reply) {
	c := r.req.SSLConfiguration
	if m.profiles != nil {
		r.encryption.profiles, _ = m.profiles.of(c, "")
	}
	switch {
	case c == nil:
	case r.encryption.profiles == nil:
		r.req.SSLConfiguration = c.Clone()
	default:
		r.req.SSLConfiguration = &r.encryption.profiles.from.SSLConfiguration
	}
}

// requiresTLS tells that a host is known to want TLS without any flaw (rules T6 and K10).
func (m *Manager) requiresTLS(host string) bool { return m.cfg.HSTS != nil && m.cfg.HSTS.Known(host) }
