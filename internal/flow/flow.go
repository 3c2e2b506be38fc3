// Package flow does for one request what is to be done over HTTP: it sends, follows
// redirects, answers challenges, carries cookies, chooses proxies, and repeats what broke in
// a way that allows it. A Transfer is one request; what happens to it is told to a Watcher,
// which is also asked what only the program can know. An Engine holds what transfers have in
// common. The package knows nothing of how either is shown.
package flow

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/netreply/netreply/hsts"
	"github.com/netreply/netreply/internal/auth"
	"github.com/netreply/netreply/internal/coding"
	"github.com/netreply/netreply/internal/httpurl"
	"github.com/netreply/netreply/internal/wire"
)

// step is one part of what is done for a request over HTTP. before runs on the way down to
// the connection and may change the request; its error goes to the steps above only, and it
// has cleaned up after itself. after runs on the way up, with a response or an error in the
// Hop. If it returns true, the Hop has a request to be sent in the place of what came, and
// everything below the step runs again. Either may be nil.
type step struct {
	name   string
	before func(*Hop) error
	after  func(*Hop) (again bool)
}

// newSteps lists the steps, outermost first, each with the reason for its place.
func newSteps() []step {
	return []step{
		{"decode", nil, afterDecode},             // the final response alone: all below see bodies as they were sent
		{"redirect", nil, afterRedirect},         // every hop passes everything below
		{"hsts", nil, afterHSTS},                 // learns from every hop, but not from a 401 that is answered
		{"login", beforeLogin, afterLogin},       // asks anew for every hop, and does not see a proxy's 407
		{"cookies", beforeCookies, afterCookies}, // go with every sending to the server, and come with a 401 too
		{"proxy", beforeProxy, afterProxy},       // chooses the way of a hop, and answers what is asked on it
		{"retry", beforeRetry, afterRetry},       // what broke on a way says nothing about the way (rule D33)
		{"send", send, nil},                      // hands the request to the wire
	}
}

// Config is what the transfers of an Engine have in common. It is not changed once in use.
type Config struct {
	Wire      *wire.Transport
	UserAgent string         // of requests that have none; "" for none
	Jar       http.CookieJar // nil for none
	HSTS      *hsts.Store    // nil for none
	// Resolves tells that names are looked up by the resolvers of this system.
	Resolves bool
	// CheckTarget, when not nil, refuses hosts that a forwarding proxy must not be asked for.
	CheckTarget func(ctx context.Context, host string) error
	// NextProxy tells of a *ProxyFailure whether the next one of the list is to be tried.
	NextProxy   func(error) bool
	HeadTimeout time.Duration // 0 for none
	Decoding    coding.Limits // but for the Threshold
	Stored      []auth.Stored
	Negotiators []auth.Negotiator
}

// Engine makes transfers, which may run at the same time.
type Engine struct {
	cfg       Config
	userAgent []string
	steps     []step
	jar       lineJar // nil for none
	spaces    auth.Spaces
	routes    routes
	http11    http11Origins
}

// NewEngine makes an Engine.
func NewEngine(cfg Config) *Engine {
	e := &Engine{cfg: cfg, steps: newSteps(), userAgent: []string{cfg.UserAgent}}
	if cfg.Jar != nil {
		e.jar = newLineJar(cfg.Jar)
	}
	return e
}

// Upgrade gives the URL to use instead of u: for a host that is known to want TLS
// the one of https, before anything is connected (rule K2).
func (e *Engine) Upgrade(u *url.URL) *url.URL {
	if e.cfg.HSTS == nil {
		return u
	}
	return e.cfg.HSTS.Upgrade(u)
}

// SameOrigin tells whether u is of the origin of first, or what HSTS has made of that since.
func (e *Engine) SameOrigin(first, u *url.URL) bool {
	return httpurl.KeepsCredentials(first, u) || httpurl.KeepsCredentials(e.Upgrade(first), u)
}

// ForgetLogins forgets the passwords that servers and proxies have accepted or that were
// given for them, with the connections of proxies that wait for one.
func (e *Engine) ForgetLogins() {
	e.spaces.Clear()
	e.routes.clear()
}

// CloseParked ends the connections of proxies on which credentials are waited for.
func (e *Engine) CloseParked() { e.routes.closeParked() }

// Close is ForgetLogins for good. Transfers must have ended.
func (e *Engine) Close() { e.routes.close() }

// Hop is one request of a transfer on its way down to the connection, and what came back.
// Everything that one step tells another stands here. The requests are made by
// Transfer.newRequest for one sending: a step may change their headers.
type Hop struct {
	t *Transfer
	e *Engine

	req  *http.Request
	resp *http.Response // nil with err
	err  error

	exchange  *exchange // of the last sending
	redirects int       // that may still be followed

	// Of login.
	login     *login // nil where nothing was asked or known
	ownWord   bool   // the request has its own Authorization field (rule U4)
	authRetry bool   // the sending answers a 401 or 407
	session   *wire.Session
	owner     any // whom the connection is authenticated for

	// Of proxy.
	proxies []*Proxy    // that may still be tried; the first of them is
	header  http.Header // of the request, before a proxy has changed it
	proxied *proxied    // the proxy on the way, nil for none

	// Of retry.
	repeats  int
	fresh    bool  // the next sending wants a new connection
	repeated bool  // and is not the first of this hop
	refusal  error // with a code, by the server, to what could be sent again
}

// run takes a Hop down all steps and up again, until none of them wants more.
func (h *Hop) run(steps []step) (*http.Response, error) {
	i := 0
	for {
		for ; i < len(steps); i++ {
			if before := steps[i].before; before != nil {
				if h.err = before(h); h.err != nil {
					break
				}
			}
		}
		again := false
		for i--; i >= 0 && !again; i-- {
			if after := steps[i].after; after != nil {
				again = after(h)
			}
		}
		if !again {
			return h.resp, h.err
		}
		i += 2 // below the step that wants it
		h.resp, h.err = nil, nil
	}
}

// fail gives the response up for an error.
func (h *Hop) fail(err error) {
	if h.resp != nil {
		h.resp.Body.Close()
	}
	h.resp, h.err = nil, err
}
