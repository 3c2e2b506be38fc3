package netreply

import (
	"context"
	"net/http"

	"github.com/netreply/netreply/internal/httpauth"
	"github.com/netreply/netreply/internal/httpurl"
)

// terms are the words of RFC 9110, section 11, for servers or for proxies.
type terms struct {
	status                       int
	challenge, credentials, info string
	question                     Questions
}

var serverTerms = terms{http.StatusUnauthorized, "Www-Authenticate", "Authorization", "Authentication-Info", AskAuthentication}
var proxyTerms = terms{http.StatusProxyAuthRequired, "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Authentication-Info", AskProxyAuthentication}

func (a *attempt) terms() *terms {
	if a.proxy != nil {
		return &proxyTerms
	}
	return &serverTerms
}

// place names who asks.
func (a *attempt) place() (string, bool) {
	if a.proxy != nil {
		return a.proxy.key(), true
	}
	if httpurl.IsLocal(a.url.Scheme) {
		return "socket " + a.t.q.LocalServerName, true
	}
	return httpurl.Origin(a.url)
}

// failure fails a reply for its authentication.
func (a *attempt) failure(err error) error {
	if a.proxy != nil {
		return &Error{Code: ProxyAuthenticationRequiredError, Phase: PhaseProxy, Text: "Proxy requires authentication",
			Err: &ProxyError{a.proxy.proxy.String(), err}}
	}
	return &Error{Code: AuthenticationRequiredError, Phase: PhaseHeaders, Text: "Host requires authentication", Err: err}
}

// challenge is the one of a response that is answered.
type challenge struct {
	httpauth.Challenge
	digest     *httpauth.Digest
	negotiator *negotiator
}

func (c challenge) strength() httpauth.Strength { return httpauth.StrengthOf(c.Scheme, c.digest) }

// choose takes the strongest challenge (rule U1): what the program plugged in, Digest
// by its algorithm, NTLM, Basic. What authenticates connections does not work on
// HTTP/2 (rule U12).
func (a *attempt) choose(resp *http.Response) challenge {
	var best challenge
	rank := 0
	for _, c := range httpauth.Parse(resp.Header[a.terms().challenge]) {
		if len(c.Realm()) > httpauth.MaxValue {
			continue // it would be kept, for as many realms as the server likes
		}
		this, n := challenge{Challenge: c}, 0
		// a connection can be authenticated once
		switch h1 := resp.ProtoMajor == 1 && (a.proxy == nil || a.h.session == nil); {
		case h1 && !a.tunnels() && a.m.negotiator(c.Scheme) != nil && !a.failed[a.m.negotiator(c.Scheme)]:
			this.negotiator, n = a.m.negotiator(c.Scheme), 10_000
		case c.Is("Digest"):
			this.Scheme = "Digest"
			if d, err := httpauth.NewDigest(c); err == nil {
				this.digest, n = d, 100+d.Strength()
			}
		case h1 && c.Is("NTLM"):
			this.Scheme, n = "NTLM", 50
		case c.Is("Basic"):
			this.Scheme, n = "Basic", 1
		}
		if n > rank {
			best, rank = this, n
		}
	}
	return best
}

// challenged makes the next request of a 401, or nil when that is the response.
func (a *attempt) challenged(resp *http.Response) (*http.Request, error) {
	if a.negotiation != nil {
		if again, err := a.leg(resp); again != nil || err != nil {
			return again, err
		}
	}
	if a.bearer() {
		if a.refreshed { // the caller's own word, as an Authorization field is
			return nil, nil
		}
		a.refreshed = true
		if err := a.takeToken(); err != nil {
			return nil, err
		}
		return a.again("Bearer " + a.token)
	}
	c := a.choose(resp)
	switch {
	case c.Scheme == "":
		return nil, nil
	case c.negotiator != nil:
		again, err := a.negotiate(c.negotiator)
		if again != nil || err != nil {
			return again, err
		}
		return a.challenged(resp) // with the next weaker scheme
	}
	at, ok := a.place()
	if !ok {
		return nil, nil
	}
	cache := &a.m.auth
	s := cache.at(spaceKey{at, c.Realm(), a.user})
	tried := a.creds
	if a.space != nil && a.space != s && a.space.key.realm != s.key.realm {
		tried = nil // they were for something else
	}
	if tried != nil && a.unseen < maxUnseen {
		switch {
		case c.strength() != a.strength: // who asks for something else has not looked at them
			a.unseen++
			if own, _ := a.own(); own.same(tried) {
				a.ownTried = false
			}
			tried = nil
		case c.digest != nil && c.digest.Stale && cache.claim(at, tried, c.strength()): // rule U11
			a.unseen++
			a.space, a.creds = s, tried
			return a.send(c)
		}
	}
	cache.refused(s, tried)
	creds := a.credentials(c, s, tried, resp)
	if a.t.ctx.Err() != nil {
		return nil, context.Cause(a.t.ctx)
	}
	if creds == nil {
		return nil, nil
	}
	a.space, a.creds = s, creds
	return a.send(c)
}

// credentials finds an answer that was not tried yet, in the order of rule U5, and that
// was given for a scheme no stronger than the one that is asked for. resp is the
// response that asks, nil where dial has it.
func (a *attempt) credentials(c challenge, s *space, tried *credentials, resp *http.Response) *credentials {
	cache := &a.m.auth
	usable := func(k *credentials) bool {
		return k != nil && !k.same(tried) && cache.claim(s.key.origin, k, c.strength())
	}
	own, whole := a.own()
	if whole && !a.ownTried {
		a.ownTried = true
		if usable(own) {
			if known := cache.given(s, nil); known.same(own) {
				return known
			}
			return own
		}
	}
	// a password that is remembered must not make the caller's look right
	if !whole || a.proxy != nil {
		if known := cache.given(s, tried); usable(known) {
			return known
		}
		if k := a.fromConfig(c, s, usable); k != nil {
			return k
		}
	}
	if own != nil && !a.ownTried { // a user without a password
		a.ownTried = true
		if usable(own) {
			return own
		}
	}
	if a.t.questions >= maxQuestions {
		return nil
	}
	waits := a.t.q.Ask&a.terms().question != 0
	if waits {
		if resp != nil {
			hold(resp)
		}
		a.t.clock.Pause()
		defer a.t.clock.Resume()
	}
	if waits && (!whole || a.proxy != nil) {
		return cache.ask(a.t.ctx, s, tried, c.strength(), func() (*credentials, bool) { return a.ask(c, s, tried) })
	}
	answer, _ := a.ask(c, s, tried)
	if answer != nil {
		cache.offer(s, answer)
		a.t.ownRefused = a.t.ownRefused || whole
	}
	return answer
}

// fromConfig finds the next one of Config.Credentials that fits.
func (a *attempt) fromConfig(c challenge, s *space, usable func(*credentials) bool) *credentials {
	for ; a.proxy == nil && a.stored < len(a.m.credentials); a.stored++ {
		if k := &a.m.credentials[a.stored]; k.fits(s.key, c.Scheme) && usable(k.credentials) {
			a.stored++
			a.m.auth.offer(s, k.credentials)
			return k.credentials
		}
	}
	return nil
}

// nameUser finds the user information that counts: that of the first URL for all of its
// origin (rule R18), else what stands in the URL of the hop.
func (a *attempt) nameUser() {
	a.urlUser = a.t.url.User
	if first := a.t.q.URL; first.User != nil && a.m.sameOrigin(a.t.q, a.url) {
		a.urlUser = first.User
	} else {
		a.foreign = a.urlUser != nil
	}
	if a.urlUser != nil {
		a.user = a.urlUser.Username()
	}
}

// own are the credentials that came with the URL, or with the proxy; nil for none. whole
// tells that there is a password among them.
func (a *attempt) own() (_ *credentials, whole bool) {
	if a.proxy != nil {
		return a.proxy.own()
	}
	if a.user == "" || a.t.ownRefused {
		return nil, false
	}
	password, whole := a.urlUser.Password()
	return &credentials{a.user, password}, whole
}

func (a *attempt) question(c challenge, tried *credentials) *passwordQuestion {
	q := &passwordQuestion{url: a.url, realm: c.Realm(), scheme: c.Scheme, user: a.user, previousFailed: tried != nil, options: c.Params}
	if a.proxy != nil {
		q.proxy = a.proxy.proxy
	}
	if tried != nil {
		q.user = tried.user
	}
	return q
}

// ask asks the program.
func (a *attempt) ask(c challenge, s *space, tried *credentials) (answer *credentials, refused bool) {
	a.t.questions++
	answer, answered := a.t.w.Password(a.question(c, tried))
	if answer.same(tried) {
		answer = nil
	}
	if answer != nil { // for this scheme, which the question has named
		a.m.auth.give(s.key.origin, answer, c.strength())
	}
	return answer, answered && answer == nil
}
