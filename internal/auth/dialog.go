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

// MaxRounds bounds the challenges to one request: the last of them fails it.
const MaxRounds = 32

// Further bounds of what a server can make a request do.
const (
	maxLegs   = 8 // of one negotiation
	maxUnseen = 3 // answers to one request that were to another challenge
)

// Setup is what is known of a request before anything is sent. Nothing of it changes while
// its Dialog lasts.
type Setup struct {
	Spaces *Spaces
	Role   *Role
	// Origin names who asks: for servers as httpurl.Origin does. Without one no challenge is
	// answered.
	Origin string
	Host   string // the name of who asks, for negotiators
	Tunnel bool   // who asks is a proxy that opens a tunnel

	Method string
	URL    *url.URL // without user information
	Target string   // as it stands in the request line

	// User is whom the URL names, for servers.
	User string
	// Own are the credentials that came with the URL, or with the proxy; nil for none.
	// HasPassword tells that there is one among them. Foreign tells that the URL is not
	// the program's word: what is in it is of no use for requests that name no user.
	Own                  *Credentials
	HasPassword, Foreign bool
	// Bearer tells that the request has a bearer token of its own.
	Bearer      bool
	Stored      []Stored
	Negotiators []Negotiator
	// Waits tells that a question is waited for. Then only one of several requests that
	// want the same answer asks.
	Waits bool
}

// Dialog is what one request has tried. It is made of its Setup, and for one goroutine. It
// begins with Before or, if a request without credentials was answered already, with
// Challenged; it ends with Close.
type Dialog struct {
	Setup

	// What the last sending carried.
	space       *space
	credentials *Credentials
	scheme      string
	strength    httpauth.Strength
	digest      *httpauth.Digest // that was answered, for the count-th time
	count       uint32
	body        hash.Hash // of the request, where the digest covers it
	answer      *httpauth.Answer
	token       string // bearer
	owner       any

	rounds      int
	ownTried    bool // the credentials of the URL, or of the proxy
	ownReplaced bool // the program has answered in their place
	stored      int  // of Setup.Stored, how many were looked at
	refreshed   bool // the bearer token
	unseen      int  // credentials that the server cannot have looked at

	negotiation Negotiation // that goes on
	negotiator  Negotiator  // whose it is; nil for NTLM
	begins      bool        // with the next sending
	legs        int
	failed      []Negotiator

	open question // that waits for an answer
}

// question is a challenge that credentials are looked for.
type question struct {
	challenge challenge
	space     *space
	tried     *Credentials // that were refused; nil for none
	asking    bool         // others wait for the answer
}

// Before adds what is known to be wanted. Its Step is Send, FetchToken or HashBody.
func (d *Dialog) Before() Step {
	if d.Bearer {
		return d.fetchToken()
	}
	f := d.Spaces.find(place{d.Origin, d.User}, d.URL)
	switch {
	case d.Tunnel:
		if d.space, d.credentials = f.space, f.credentials; f.space == nil {
			d.credentials, d.ownTried = d.Own, d.Own != nil
		}
		return d.send("")
	case f.space == nil:
		return d.send("")
	case d.HasPassword && d.Role == Server && !d.Own.same(f.credentials):
		return d.send("") // rule U5: the caller's word is tried before, and against, what is remembered
	}
	d.space, d.credentials, d.scheme = f.space, f.credentials, f.scheme
	switch f.scheme {
	case "Basic":
		d.strength = httpauth.ClearText
		return d.send(httpauth.Basic(d.credentials.User, d.credentials.Password))
	case "Digest":
		return d.authorize(nil)
	}
	d.owner = f.owner // the connection is what is authenticated
	return d.sendNothing()
}

// Challenged takes a response with the status Role.Status. perConnection tells whether its
// connection can be authenticated: on HTTP/1 alone (rule U12), and once.
func (d *Dialog) Challenged(ctx context.Context, header http.Header, perConnection bool) Step {
	if d.rounds++; d.rounds == MaxRounds {
		return d.fail(ErrTooManyRounds)
	}
	if d.negotiation != nil {
		if s, ok := d.leg(header); ok {
			return s
		}
	}
	if d.Bearer {
		if d.refreshed { // the caller's own word, as an Authorization field is
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
	s := d.Spaces.at(spaceKey{place{d.Origin, d.User}, c.Realm()})
	tried := d.credentials
	if d.space != nil && d.space.key.realm != s.key.realm {
		tried = nil // they were for something else
	}
	if tried != nil && d.unseen < maxUnseen {
		switch {
		case c.strength() != d.strength: // who asks for something else has not looked at them
			d.unseen++
			if d.own().same(tried) {
				d.ownTried = false
			}
			tried = nil
		case c.digest != nil && c.digest.Stale && d.Spaces.claim(d.Origin, tried, c.strength()): // rule U11
			d.unseen++
			d.space, d.credentials = s, tried
			return d.sendFor(c)
		}
	}
	d.Spaces.refused(s, tried)
	d.open = question{challenge: c, space: s, tried: tried}
	return d.search()
}

// Offered is the question that a challenge would be, for who asks without using the answer
// (rule A12); false when no scheme is known.
func (d *Dialog) Offered(header http.Header, perConnection bool) (Question, bool) {
	d.open = question{challenge: d.choose(header, perConnection)}
	return d.question(), d.open.challenge.Scheme != ""
}

// own are the credentials that came with the URL or the proxy, as long as they count.
func (d *Dialog) own() *Credentials {
	if d.ownReplaced {
		return nil
	}
	return d.Own
}

func (d *Dialog) hasPassword() bool { return d.HasPassword && !d.ownReplaced }

// OwnReplaced tells that the program has answered in the place of the URL's password, which
// does not count any more then.
func (d *Dialog) OwnReplaced() bool { return d.ownReplaced }

// usable tells whether credentials are an answer to the open question: they were not tried,
// and were given for a scheme no stronger than the one that is asked for.
func (d *Dialog) usable(c *Credentials) bool {
	return c != nil && !c.same(d.open.tried) && d.Spaces.claim(d.Origin, c, d.open.challenge.strength())
}

// search finds an answer that was not tried yet, in the order of rule U5.
func (d *Dialog) search() Step {
	s := d.open.space
	if d.hasPassword() && !d.ownTried {
		d.ownTried = true
		if d.usable(d.Own) {
			if known := d.Spaces.given(s, nil); known.same(d.Own) {
				return d.sendFound(known) // whose connections there are
			}
			return d.sendFound(d.Own)
		}
	}
	alone := d.hasPassword() && d.Role == Server
	if !alone { // a password that is remembered must not make the caller's look right
		if known := d.Spaces.given(s, d.open.tried); d.usable(known) {
			return d.sendFound(known)
		}
		if c := d.fromStored(); c != nil {
			return d.sendFound(c)
		}
	}
	if own := d.own(); own != nil && !d.ownTried { // a user without a password
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

// fromStored finds the next one of Setup.Stored that fits.
func (d *Dialog) fromStored() *Credentials {
	for d.stored < len(d.Stored) {
		k := &d.Stored[d.stored]
		d.stored++
		if k.fits(d.open.space.key, d.open.challenge.Scheme) && d.usable(k.Credentials) {
			d.Spaces.offer(d.open.space, k.Credentials)
			return k.Credentials
		}
	}
	return nil
}

// join asks, or waits for another request that does.
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

// Waited follows Wait.
func (d *Dialog) Waited() Step {
	if d.Spaces.cancelled(d.open.space) {
		return d.step(GiveUp)
	}
	return d.join()
}

// Answered follows Ask. c is nil for no answer; decided tells that this is the program's
// decision, and not that nobody was waited for.
func (d *Dialog) Answered(c *Credentials, decided bool) Step {
	q := &d.open
	if c.same(q.tried) {
		c = nil // rule U6
	}
	if c != nil { // for this scheme, which the question has named
		d.Spaces.give(d.Origin, c, q.challenge.strength())
	}
	switch {
	case q.asking:
		d.stopAsking(c, decided && c == nil)
	case c != nil:
		d.Spaces.offer(q.space, c)
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

// sendFound sends credentials for the open question.
func (d *Dialog) sendFound(c *Credentials) Step {
	d.space, d.credentials = d.open.space, c
	return d.sendFor(d.open.challenge)
}

// sendFor sends the credentials as a challenge wants them.
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

// Token follows FetchToken.
func (d *Dialog) Token(token string) Step {
	d.token = token
	return d.send("Bearer " + token)
}

// CannotResend is called when the request cannot be sent once more, for its body: the credentials
// are kept without a proof, for the next request to send at once, which has no other way.
func (d *Dialog) CannotResend() {
	if d.space != nil && d.credentials != nil && d.negotiation == nil {
		d.accept(nil)
	}
}

// Passed takes a response with another status than Role.Status. What it returns, if it is
// not nil, is what the response body has to be written to, and be checked at its end. The
// error is an *Error.
func (d *Dialog) Passed(status int, header http.Header) (*Proof, error) {
	if d.Role == Server && status == Proxy.Status {
		return nil, nil // the server has not seen the request
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

// accept keeps the credentials that were sent.
func (d *Dialog) accept(owner any) {
	d.Spaces.accepted(d.space, d.credentials, d.scheme, owner, d.reach, !d.Foreign)
}

// reach lists the paths that the space of the request covers: for Digest what its domain
// says, or all of the server (RFC 7616, section 3.3), for the others the folder of the URL
// (RFC 7617, section 2.2).
func (d *Dialog) reach(digest *httpauth.Digest) []string {
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
		if at, ok := httpurl.Origin(ref); ok && at == d.Origin { // another server asks for itself
			paths = append(paths, ref.EscapedPath())
		}
	}
	return append(paths, path)
}

// Close ends the dialog, wherever it stands.
func (d *Dialog) Close() {
	d.endNegotiation()
	if d.open.asking {
		d.stopAsking(nil, false)
	}
}

// step makes a step of a kind.
func (d *Dialog) step(k Kind) Step {
	s := Step{Kind: k, Owner: d.owner}
	switch {
	case d.negotiation == nil:
	case d.begins:
		s.Session = NewConnection
	default:
		s.Session = SameConnection
	}
	return s
}

func (d *Dialog) send(line string) Step {
	s := d.step(Send)
	s.Line = line
	if d.begins = false; d.Tunnel {
		s.Credentials = d.credentials
	}
	return s
}

// sendNothing sends without credentials.
func (d *Dialog) sendNothing() Step {
	d.space, d.credentials = nil, nil
	return d.send("")
}

func (d *Dialog) fail(err error) Step {
	s := d.step(Fail)
	s.Err = &Error{d.Role, err}
	return s
}
