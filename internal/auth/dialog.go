package auth

import (
	"context"
	"hash"
	"net/http"
	"net/url"
	"strings"

	"github.com/netreply/netreply/internal/httpauth"
	"github.com/netreply/netreply/internal/httpurl"
)

// MaxRounds is the number of challenges with which a request fails.
const MaxRounds = 32

// Further limits for what a server can cause.
const (
	maxLegs      = 8 // challenges in one negotiation
	maxUnchecked = 3 // credentials of one request that the server did not check
)

// Setup describes a request and what is known before it is sent. It does not change while
// its Dialog is in use.
type Setup struct {
	Spaces *Spaces
	Role   *Role
	// Origin identifies the peer, for servers in the form of httpurl.Origin. If it is "",
	// no challenge is answered.
	Origin string
	Host   string // host name of the peer, for negotiators
	Tunnel bool   // the peer is a proxy that opens a tunnel

	Method string
	URL    *url.URL // without user information
	Target string   // the request target

	// User is the user in the URL, for servers.
	User string
	// Own are the credentials in the URL, or of the proxy; nil for none. HasPassword
	// reports that they have a password. Foreign reports that the URL was not set by the
	// program: its credentials are not used for requests without a user.
	Own                  *Credentials
	HasPassword, Foreign bool
	// Bearer reports that the request has a bearer token.
	Bearer      bool
	Stored      []Stored
	Negotiators []Negotiator
	// Waits reports that the request waits for the answer to a question. Of several
	// requests that need the same answer only one asks then.
	Waits bool
}

// Dialog is the authentication of one request, made from its Setup. It is not safe for
// concurrent use. It begins with Before or, if a request without credentials was answered
// already, with Challenged; it ends with Close.
type Dialog struct {
	Setup

	// State of the last request sent.
	space       *space
	credentials *Credentials
	scheme      string
	strength    httpauth.Strength
	digest      *httpauth.Digest // the challenge that was answered, for the count-th time
	count       uint32
	body        hash.Hash // hash of the request body, for auth-int
	answer      *httpauth.Answer
	token       string // bearer token
	owner       any

	rounds      int
	ownTried    bool // Setup.Own was tried
	ownReplaced bool // the program has given others instead
	stored      int  // how many of Setup.Stored were considered
	refreshed   bool // the bearer token was fetched again
	unchecked   int  // how often the server did not check the credentials

	negotiation Negotiation // in progress
	negotiator  Negotiator  // of negotiation; nil for NTLM
	starting    bool        // negotiation starts with the next request
	legs        int
	failed      []Negotiator

	open question // the question without an answer
}

// Sent returns the user and password in the last request, nil for none.
func (d *Dialog) Sent() *Credentials { return d.credentials }

// question is a challenge for which credentials are searched.
type question struct {
	challenge challenge
	space     *space
	tried     *Credentials // refused credentials; nil for none
	asking    bool         // other requests may wait for the answer
}

// Before adds known credentials to the first request. Its Step is Send, FetchToken or
// HashBody.
func (d *Dialog) Before() Step {
	if d.Bearer {
		return d.fetchToken()
	}
	f := d.Spaces.find(originKey{d.Origin, d.User}, d.URL)
	switch {
	case d.Tunnel:
		if d.space, d.credentials = f.space, f.credentials; f.space == nil {
			d.credentials, d.ownTried = d.Own, d.Own != nil
		}
		return d.send("")
	case f.space == nil:
		return d.send("")
	case d.HasPassword && d.Role == Server && !d.Own.same(f.credentials):
		return d.send("") // rule U5: credentials in the URL take precedence over stored ones
	}
	d.space, d.credentials, d.scheme = f.space, f.credentials, f.scheme
	switch f.scheme {
	case "Basic":
		d.strength = httpauth.ClearText
		return d.send(httpauth.Basic(d.credentials.User, d.credentials.Password))
	case "Digest":
		return d.authorize(nil)
	}
	d.owner = f.owner // the connection is authenticated, not the request
	return d.sendWithout()
}

// Challenged processes a response with the status Role.Status. perConnection reports
// whether its connection can be authenticated: only on HTTP/1 (rule U12), and only once.
func (d *Dialog) Challenged(ctx context.Context, header http.Header, perConnection bool) Step {
	if d.rounds++; d.rounds == MaxRounds {
		return d.fail(ErrTooManyRounds)
	}
	if d.negotiation != nil {
		if s, ok := d.nextLeg(header); ok {
			return s
		}
	}
	if d.Bearer {
		if d.refreshed { // a bearer token is final, like an Authorization field
			return d.step(GiveUp)
		}
		d.refreshed = true
		return d.fetchToken()
	}
	c := d.choose(header, perConnection)
	for c.negotiator != nil {
		if s, ok := d.negotiate(ctx, c.negotiator); ok {
			return s
		}
		c = d.choose(header, perConnection) // the next weaker scheme
	}
	if c.Scheme == "" || d.Origin == "" {
		return d.step(GiveUp)
	}
	s := d.Spaces.space(spaceKey{originKey{d.Origin, d.User}, c.Realm()})
	tried := d.credentials
	if d.space != nil && d.space.key.realm != s.key.realm {
		tried = nil // they were for another realm
	}
	if tried != nil && d.unchecked < maxUnchecked {
		switch {
		case c.strength() != d.strength: // a different scheme: the server did not check them
			d.unchecked++
			if d.ownCredentials().same(tried) {
				d.ownTried = false
			}
			tried = nil
		case c.digest != nil && c.digest.Stale && d.Spaces.mayUse(d.Origin, tried, c.strength()): // rule U11
			d.unchecked++
			d.space, d.credentials = s, tried
			return d.sendFor(c)
		}
	}
	d.Spaces.refused(s, tried)
	d.open = question{challenge: c, space: s, tried: tried}
	return d.search()
}

// Offered returns the question that a challenge would cause, for requests that report it
// without using an answer (rule A12). It returns false if no scheme is supported.
func (d *Dialog) Offered(header http.Header, perConnection bool) (Question, bool) {
	d.open = question{challenge: d.choose(header, perConnection)}
	return d.question(), d.open.challenge.Scheme != ""
}

// ownCredentials returns Setup.Own, nil after the program has given other credentials.
func (d *Dialog) ownCredentials() *Credentials {
	if d.ownReplaced {
		return nil
	}
	return d.Own
}

func (d *Dialog) hasPassword() bool { return d.HasPassword && !d.ownReplaced }

// OwnReplaced reports that the program has given other credentials instead of the URL's,
// which must not be used any more.
func (d *Dialog) OwnReplaced() bool { return d.ownReplaced }

// usable reports whether credentials can answer the open question: they were not tried, and
// may be sent with the scheme of the challenge.
func (d *Dialog) usable(c *Credentials) bool {
	return c != nil && !c.same(d.open.tried) && d.Spaces.mayUse(d.Origin, c, d.open.challenge.strength())
}

// search returns the next step for the open question: credentials that were not tried yet,
// in the order of rule U5, or a question to the program.
func (d *Dialog) search() Step {
	s := d.open.space
	if d.hasPassword() && !d.ownTried {
		d.ownTried = true
		if d.usable(d.Own) {
			if known := d.Spaces.knownOther(s, nil); known.same(d.Own) {
				return d.sendFound(known) // this pointer owns the existing connections
			}
			return d.sendFound(d.Own)
		}
	}
	alone := d.hasPassword() && d.Role == Server
	if !alone { // otherwise a stored password would hide that the URL's is wrong
		if known := d.Spaces.knownOther(s, d.open.tried); d.usable(known) {
			return d.sendFound(known)
		}
		if c := d.fromStored(); c != nil {
			return d.sendFound(c)
		}
	}
	if own := d.ownCredentials(); own != nil && !d.ownTried { // a user name without a password
		d.ownTried = true
		if d.usable(own) {
			return d.sendFound(own)
		}
	}
	if d.Waits && !alone {
		return d.join()
	}
	return d.ask()
}

// fromStored returns the next of Setup.Stored that fits; nil for none.
func (d *Dialog) fromStored() *Credentials {
	for d.stored < len(d.Stored) {
		k := &d.Stored[d.stored]
		d.stored++
		if k.fits(d.open.space.key, d.open.challenge.Scheme) && d.usable(k.Credentials) {
			d.Spaces.setKnown(d.open.space, k.Credentials)
			return k.Credentials
		}
	}
	return nil
}

// join asks the program, or waits for another request that is asking.
func (d *Dialog) join() Step {
	known, until := d.Spaces.join(d.open.space, d.open.tried, d.open.challenge.strength())
	switch {
	case known != nil:
		return d.sendFound(known)
	case until != nil:
		s := d.step(Wait)
		s.Until = until
		return s
	}
	d.open.asking = true
	return d.ask()
}

func (d *Dialog) ask() Step {
	s := d.step(Ask)
	s.Question = d.question()
	return s
}

func (d *Dialog) question() Question {
	c := d.open.challenge
	q := Question{Realm: c.Realm(), Scheme: c.Scheme, User: d.User, PreviousFailed: d.open.tried != nil, Options: c.Params}
	if d.open.tried != nil {
		q.User = d.open.tried.User
	}
	return q
}

// Waited continues after Wait.
func (d *Dialog) Waited() Step {
	if d.Spaces.cancelled(d.open.space) {
		return d.step(GiveUp)
	}
	return d.join()
}

// Answered continues after Ask. c is nil for no credentials; decided reports that this is
// the decision of the program.
func (d *Dialog) Answered(c *Credentials, decided bool) Step {
	q := &d.open
	if c.same(q.tried) {
		c = nil // rule U6
	}
	if c != nil { // for the scheme in the question
		d.Spaces.permit(d.Origin, c, q.challenge.strength())
	}
	switch {
	case q.asking:
		d.stopAsking(c, decided && c == nil)
	case c != nil:
		d.Spaces.setKnown(q.space, c)
		d.ownReplaced = d.ownReplaced || d.HasPassword && d.Role == Server
	}
	if c == nil {
		return d.step(GiveUp)
	}
	return d.sendFound(c)
}

func (d *Dialog) stopAsking(c *Credentials, refused bool) {
	d.open.asking = false
	d.Spaces.answered(d.open.space, c, refused)
}

// sendFound answers the open question with credentials.
func (d *Dialog) sendFound(c *Credentials) Step {
	d.space, d.credentials = d.open.space, c
	return d.sendFor(d.open.challenge)
}

// sendFor answers a challenge with d.credentials.
func (d *Dialog) sendFor(c challenge) Step {
	d.scheme, d.strength, d.answer = c.Scheme, c.strength(), nil
	switch {
	case d.Tunnel:
		return d.send("")
	case c.Scheme == "Basic":
		return d.send(httpauth.Basic(d.credentials.User, d.credentials.Password))
	case c.Scheme == "Digest":
		return d.authorize(c.digest)
	}
	return d.begin(&ntlm{credentials: d.credentials}, d.credentials)
}

func (d *Dialog) fetchToken() Step {
	s := d.step(FetchToken)
	s.Refused = d.token
	return s
}

// Token continues after FetchToken.
func (d *Dialog) Token(token string) Step {
	d.token = token
	return d.send("Bearer " + token)
}

// CannotResend reports that the body of the request cannot be sent again. The credentials
// are stored unverified, so that the next request can send them at once.
func (d *Dialog) CannotResend() {
	if d.space != nil && d.credentials != nil && d.negotiation == nil {
		d.accept(nil)
	}
}

// Accepted processes a response with another status than Role.Status. If the Proof is not
// nil, the response body must be written to it, and be checked at its end. The error is an
// *Error.
func (d *Dialog) Accepted(status int, header http.Header) (*Proof, error) {
	if d.Role == Server && status == Proxy.Status {
		return nil, nil // the response is from a proxy
	}
	if d.negotiation != nil {
		if err := d.lastToken(header); err != nil {
			return nil, err
		}
	}
	if d.space == nil || d.credentials == nil && d.negotiator == nil {
		return nil, nil
	}
	d.accept(d.owner)
	if d.answer == nil {
		return nil, nil
	}
	return d.proof(header)
}

// accept stores the credentials that were sent.
func (d *Dialog) accept(owner any) {
	d.Spaces.accepted(d.space, d.credentials, d.scheme, owner, d.protectedPaths, !d.Foreign)
}

// protectedPaths lists the path prefixes of the request's protection space: for Digest those of its
// domain parameter, or the whole server (RFC 7616, section 3.3), otherwise the directory of
// the URL (RFC 7617, section 2.2).
func (d *Dialog) protectedPaths(digest *httpauth.Digest) []string {
	path := d.URL.EscapedPath()
	switch {
	case d.Role == Proxy:
		return []string{""}
	case digest == nil:
		return []string{path[:strings.LastIndexByte(path, '/')+1]}
	case len(digest.Domain) == 0:
		return []string{""}
	}
	var paths []string
	for _, text := range digest.Domain {
		ref, err := d.URL.Parse(text)
		if err != nil {
			continue
		}
		if at, ok := httpurl.Origin(ref); ok && at == d.Origin { // paths of other servers are ignored
			paths = append(paths, ref.EscapedPath())
		}
	}
	return append(paths, path)
}

// Close ends the dialog in any state.
func (d *Dialog) Close() {
	d.endNegotiation()
	if d.open.asking {
		d.stopAsking(nil, false)
	}
}

// step makes a step of a kind, with the connection to use.
func (d *Dialog) step(k Kind) Step {
	s := Step{Kind: k, Owner: d.owner}
	switch {
	case d.negotiation == nil:
	case d.starting:
		s.Session = NewConnection
	default:
		s.Session = SameConnection
	}
	return s
}

func (d *Dialog) send(line string) Step {
	s := d.step(Send)
	s.Line = line
	if d.starting = false; d.Tunnel {
		s.Credentials = d.credentials
	}
	return s
}

// sendWithout sends the request without credentials.
func (d *Dialog) sendWithout() Step {
	d.space, d.credentials = nil, nil
	return d.send("")
}

func (d *Dialog) fail(err error) Step {
	s := d.step(Fail)
	s.Err = &Error{d.Role, err}
	return s
}
