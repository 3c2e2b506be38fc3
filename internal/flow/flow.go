// Package flow carries out one HTTP request: it sends it, follows redirects, answers
// authentication challenges, handles cookies, chooses proxies, and repeats requests where
// that is safe. A Transfer is one request. It reports to a Watcher, which also takes the
// decisions that only the program can take. An Engine holds what transfers share.
package flow

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/netreply/netreply/hsts"
	"github.com/netreply/netreply/httpcache"
	"github.com/netreply/netreply/internal/auth"
	"github.com/netreply/netreply/internal/coding"
	"github.com/netreply/netreply/internal/httpurl"
	"github.com/netreply/netreply/internal/wire"
)

// step is one part of the processing of a request. before runs on the way down to the
// connection and may change the request. If it sets Hop.resp, that is the response, and the
// steps below are left out. After an error or with a response it must have cleaned up itself,
// since only the steps above see them. after runs on the way up, with a response or an
// error in the Hop. If it returns true, it has put another request into the Hop, which is
// sent through all steps below it. Either may be nil.
type step struct {
	name   string
	before func(*Hop) error
	after  func(*Hop) (again bool)
}

// newSteps lists the steps, outermost first, each with the reason for its position.
func newSteps() []step {
	return []step{
		{"decode", nil, afterDecode},             // only the final response; the steps below see encoded bodies
		{"redirect", nil, afterRedirect},         // every hop runs through all steps below
		{"hsts", nil, afterHSTS},                 // learns policies from every hop, but not from a 401 that is answered
		{"login", beforeLogin, afterLogin},       // a new dialog for every hop; does not see a proxy's 407
		{"cookies", beforeCookies, afterCookies}, // for every request to the server, also those answered with 401
		{"cache", beforeCache, afterCache},       // sees requests as they are sent, and encoded bodies; what is stored needs no proxy
		{"proxy", beforeProxy, afterProxy},       // chooses the proxy of a hop, and answers its challenges
		{"retry", beforeRetry, afterRetry},       // below proxy: a broken connection is not a reason for the next proxy (rule D33)
		{"send", send, nil},                      // sends the request on a connection
	}
}

// Config is the configuration of an Engine. It must not be changed after NewEngine.
type Config struct {
	Wire      *wire.Transport
	UserAgent string          // for requests that have none; "" for none
	Jar       http.CookieJar  // nil for none
	HSTS      *hsts.Store     // nil for none
	Cache     httpcache.Store // nil for none
	// Trust keeps what is stored apart from that of Engines with other rules about whom they
	// may talk to, which share the store; see cacherules.Request.
	Trust string
	// Resolves reports that host names are resolved by the system's resolver, not by
	// Config.DialContext of the program.
	Resolves bool
	// CheckTarget, if not nil, returns an error for hosts that must not be requested from a
	// forwarding proxy.
	CheckTarget func(ctx context.Context, host string) error
	// NextProxy reports whether the next proxy of the list is tried after a *ProxyFailure.
	NextProxy   func(error) bool
	HeadTimeout time.Duration // 0 for none
	Decoding    coding.Limits // without Threshold, see Request.DecodeThreshold
	Stored      []auth.Stored
	Negotiators []auth.Negotiator
}

// Engine makes transfers. It is safe for concurrent use.
type Engine struct {
	cfg       Config
	userAgent []string
	steps     []step
	jar       lineJar // nil for none
	cache     *cache  // nil for none
	spaces    auth.Spaces
	routes    routes
	http11    http11Origins
	spares    sync.Pool // *Transfer, of Recycle
}

// NewEngine makes an Engine.
func NewEngine(cfg Config) *Engine {
	e := &Engine{cfg: cfg, steps: newSteps(), userAgent: []string{cfg.UserAgent}}
	e.routes.dropped = cfg.Wire.CloseIdleVia
	if cfg.Jar != nil {
		e.jar = newLineJar(cfg.Jar)
	}
	if cfg.Cache != nil {
		e.cache = newCache(cfg.Cache)
	}
	return e
}

// Upgrade returns the https URL for a URL of a host with an HSTS policy, and u otherwise
// (rule K2).
func (e *Engine) Upgrade(u *url.URL) *url.URL {
	if e.cfg.HSTS == nil {
		return u
	}
	return e.cfg.HSTS.Upgrade(u)
}

// SameOrigin reports whether u has the origin of first, before or after its upgrade by
// HSTS.
func (e *Engine) SameOrigin(first, u *url.URL) bool {
	return httpurl.KeepsCredentials(first, u) || httpurl.KeepsCredentials(e.Upgrade(first), u)
}

// ForgetLogins forgets the credentials that servers and proxies have accepted or that the
// program has given for them, and closes the connections to proxies that wait for
// credentials.
func (e *Engine) ForgetLogins() {
	e.spaces.Clear()
	e.routes.clear()
}

// CloseParked closes the connections to proxies that wait for credentials.
func (e *Engine) CloseParked() { e.routes.closeParked() }

// Close is the last ForgetLogins. It also ends what the cache does in the background, and waits
// for that. Transfers must have ended.
func (e *Engine) Close() {
	e.routes.close()
	if e.cache != nil {
		e.cache.close()
	}
}

// Hop is one request of a transfer, and its response. All data that one step passes to
// another is here. Requests are made by Transfer.newRequest for one exchange: a step may
// change their headers.
type Hop struct {
	t *Transfer
	e *Engine

	req  *http.Request
	resp *http.Response // nil if err is set
	err  error

	exchange  *exchange // the last exchange
	redirects int16     // redirects that may still be followed

	// Of retry.
	repeats  int8
	fresh    bool // the next exchange needs a new connection
	repeated bool // the next exchange is a repetition

	// Of login.
	ownCredentials bool   // the request has its own Authorization field (rule U4)
	authRetry      bool   // the request answers a 401 or 407
	login          *login // nil without a challenge and known credentials
	session        *wire.Session
	owner          any // identity for which the connection is authenticated

	refusal error // of retry: error code with which the server refused a request that may be repeated

	cached *cached // of cache; nil without one

	// Of proxy.
	choice  *proxyChoice // nil if the request has no proxies
	proxied *proxied     // the proxy in use, nil for none
}

// run runs a Hop through the steps until none of them has another request.
func (h *Hop) run(steps []step) (*http.Response, error) {
	i := 0
	for {
		for ; i < len(steps); i++ {
			if before := steps[i].before; before != nil {
				if h.err = before(h); h.err != nil || h.resp != nil {
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
		i += 2 // the step below the one that returned true
		h.resp, h.err = nil, nil
	}
}

// fail closes the response and sets an error.
func (h *Hop) fail(err error) {
	if h.resp != nil {
		h.resp.Body.Close()
	}
	h.resp, h.err = nil, err
}
