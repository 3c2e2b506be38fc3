package netreply

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"time"

	"github.com/netreply/netreply/internal/httpauth"
	"github.com/netreply/netreply/internal/wire"
)

// Bounds of what a server can make a reply do.
const (
	maxAuthRounds = 32 // sendings of one hop
	maxLegs       = 8  // of one negotiation
	maxQuestions  = 64 // that one reply asks
	maxUnseen     = 3  // answers of one hop that were to another challenge
)

// The login step answers 401: with what the Manager knows, or with what it asks for
// (rules U1 to U12). It stands below the redirects, so that every hop is a matter of
// its own, and above the cookies, which a 401 may set.
func beforeLogin(h *hop) (err error) {
	h.dialog, h.owner, h.authRetry = nil, nil, false
	h.ownWord = len(h.req.Header["Authorization"]) > 0
	q := h.t.q
	if h.ownWord || q.AuthenticationReuse == Manual || q.Bearer == nil && h.m.auth.proven.Load() == 0 {
		return nil // nothing is known that could be sent: the way of nearly every request
	}
	h.dialog = &attempt{h: h, m: h.m, t: h.t, url: h.req.URL, last: h.req}
	h.dialog.nameUser()
	if h.req, err = h.dialog.beforehand(h.req); err != nil {
		h.dialog.end()
	}
	return err
}

func afterLogin(h *hop) (again bool) {
	a := h.dialog
	if a == nil {
		if h.err != nil || h.ownWord || h.resp.StatusCode != http.StatusUnauthorized {
			return false
		}
		a = &attempt{h: h, m: h.m, t: h.t, url: h.req.URL, last: h.req}
		if h.t.q.AuthenticationReuse == Manual {
			if err := a.show(h.resp); err != nil {
				h.fail(err)
			}
			return false
		}
		a.nameUser()
		h.dialog = a
	}
	return a.after()
}

// after takes what a sending has brought, and makes the next request if the server asks and
// somebody has an answer.
func (a *attempt) after() (again bool) {
	h := a.h
	defer func() {
		if !again {
			a.end()
		}
	}()
	if h.err != nil {
		return false
	}
	if h.resp.StatusCode != a.terms().status {
		if err := a.passed(h.resp); err != nil {
			h.fail(err)
		}
		return false
	}
	req, err := a.challenged(h.resp)
	if req == nil && err == nil {
		return false
	}
	a.discard(h.resp)
	if a.rounds++; err == nil && a.rounds == maxAuthRounds {
		err = a.failure(fmt.Errorf("%d requests were answered with a challenge", maxAuthRounds))
	}
	if err != nil {
		h.fail(err)
		return false
	}
	h.req = req
	return true
}

// legMoment is how long the body of a leg may take: its connection is the one that is
// being authenticated.
const legMoment = 5 * time.Second

// discard ends a response that is answered. The time that takes is not the peer's
// silence.
func (a *attempt) discard(resp *http.Response) {
	a.t.clock.Pause()
	defer a.t.clock.Resume()
	if a.legs > 0 {
		discardWithin(resp, legMoment)
		return
	}
	discard(resp)
}

// attempt is what one hop has tried.
type attempt struct {
	h      *hop
	m      *Manager
	t      *transfer
	rounds int      // sendings that were answered with a challenge
	url    *url.URL // without user information
	user   string   // that the URL names
	// urlUser is the user information that counts for the URL; foreign tells that it
	// came with a redirect.
	urlUser *url.Userinfo
	foreign bool
	// proxy is whose questions are answered, nil for those of the server; then last is the
	// request of which the next try is a copy.
	proxy *proxied
	last  *http.Request

	// What the last sending carried.
	space    *space
	creds    *credentials
	scheme   string
	strength httpauth.Strength
	digest   *httpauth.Answer
	token    string // bearer

	ownTried  bool // the credentials of the URL, or of the proxy
	stored    int  // of Config.Credentials, how many were looked at
	refreshed bool // the bearer token
	unseen    int  // credentials that the server cannot have looked at

	session     *wire.Session // that was begun for it
	negotiation Negotiation   // that goes on
	negotiator  *negotiator
	legs        int
	failed      map[*negotiator]bool
}

// beforehand adds what is known to be wanted.
func (a *attempt) beforehand(req *http.Request) (*http.Request, error) {
	field := a.terms().credentials
	if a.bearer() {
		if err := a.takeToken(); err != nil {
			return nil, err
		}
		req.Header["Authorization"] = []string{"Bearer " + a.token}
		return req, nil
	}
	cache := &a.m.auth
	var s *space
	if at, ok := a.place(); ok {
		s = cache.find(at, req.URL.EscapedPath(), a.user)
	}
	if s == nil {
		return req, nil
	}
	if own, whole := a.own(); whole && a.proxy == nil && !own.same(s.known) {
		return req, nil // rule U5: the caller's word is tried before, and against, what is remembered
	}
	switch a.space, a.creds, a.scheme = s.self, s.known, s.scheme; s.scheme {
	case "Basic":
		a.strength = httpauth.ClearText
		req.Header[field] = []string{httpauth.Basic(a.creds.user, a.creds.password)}
	case "Digest":
		if s.digest.NeedsBody() { // which is being opened
			return a.send(challenge{Challenge: httpauth.Challenge{Scheme: s.scheme}})
		}
		line, err := a.authorize(req.Method, nil)
		if err != nil {
			return nil, err
		}
		if line == "" {
			a.space, a.creds = nil, nil
			break
		}
		req.Header[field] = []string{line}
	default: // the connection is what is authenticated
		if s.owner != nil {
			a.h.owner = s.owner
		}
		a.space, a.creds = nil, nil
	}
	return req, nil
}

// bearer tells whether the request carries a token of its own: to the origin it
// was made for and no other.
func (a *attempt) bearer() bool {
	if a.t.q.Bearer == nil || a.proxy != nil {
		return false
	}
	return a.m.sameOrigin(a.t.q, a.url)
}

// takeToken gets a token that is not the last one, which was refused if there was
// one. Whoever gets a new one may take his time (rule N32).
func (a *attempt) takeToken() error {
	a.t.clock.Pause()
	defer a.t.clock.Resume()
	token, err := a.t.q.Bearer.Token(a.t.ctx, a.token)
	switch {
	case a.t.ctx.Err() != nil:
		return context.Cause(a.t.ctx)
	case err != nil:
		return a.failure(fmt.Errorf("getting a token for Request.Bearer: %w", err))
	}
	a.token = token
	return nil
}

// show asks without using the answer (rule A12).
func (a *attempt) show(resp *http.Response) error {
	c := a.choose(resp)
	if c.Scheme == "" {
		return nil
	}
	q := a.question(c, nil)
	q.told = true
	a.t.w.Password(q)
	if a.t.ctx.Err() != nil {
		return context.Cause(a.t.ctx)
	}
	return nil
}

// send makes the request with a.creds, as the challenge wants it.
func (a *attempt) send(c challenge) (*http.Request, error) {
	a.scheme, a.strength, a.digest = c.Scheme, c.strength(), nil
	switch c.Scheme {
	case "Basic":
		return a.again(httpauth.Basic(a.creds.user, a.creds.password))
	case "Digest":
		line, err := a.authorize(a.t.method, c.digest)
		if err != nil {
			return nil, err
		}
		return a.again(line)
	}
	return a.begin(&ntlm{creds: a.creds}, a.creds)
}

// again makes the request of the hop once more, from the beginning of its body.
func (a *attempt) again(line string) (*http.Request, error) {
	a.h.authRetry = true
	req, err := a.t.newRequest(a.t.method, a.t.url)
	if err == nil && a.proxy != nil { // the layers above have had their say
		req.Header = maps.Clone(a.last.Header)
	}
	if err != nil {
		if a.creds != nil && a.negotiation == nil {
			// The server has asked for them here, and the next try has no other way to
			// bring its body than to send them at once.
			a.m.auth.accepted(a.space, a.creds, a.scheme, nil, a.url, !a.foreign)
		}
		return nil, err
	}
	if line == "" {
		a.space, a.creds = nil, nil
	} else {
		req.Header[a.terms().credentials] = []string{line}
	}
	return req, nil
}

// passed takes note that the server had nothing to ask.
func (a *attempt) passed(resp *http.Response) error {
	cache := &a.m.auth
	if a.negotiation != nil {
		for _, c := range httpauth.Parse(resp.Header[a.terms().challenge]) {
			if token, err := base64.StdEncoding.DecodeString(c.Token); c.Is(a.scheme) && err == nil && len(token) > 0 {
				if _, err := a.negotiation.Next(token); err != nil {
					return a.failure(err)
				}
			}
		}
		if at, ok := a.place(); ok && a.negotiator != nil {
			a.space = cache.at(spaceKey{at, "", a.user})
		}
	}
	if a.space == nil || a.creds == nil && a.negotiator == nil {
		return nil
	}
	cache.accepted(a.space, a.creds, a.scheme, a.h.owner, a.url, !a.foreign)
	if a.digest == nil {
		return nil
	}
	info, ok := httpauth.ParseInfo(resp.Header[a.terms().info])
	if !ok {
		return nil
	}
	if info.NextNonce != "" {
		cache.nextNonce(a.space, info.NextNonce)
	}
	h := a.digest.Hash(info)
	if h == nil || resp.Body == http.NoBody {
		return a.proved(info, h)
	}
	resp.Body = &provingBody{resp.Body, h, func() error { return a.proved(info, h) }}
	return nil
}
