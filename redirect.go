package netreply

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// RedirectPolicy says which redirects are followed.
type RedirectPolicy int

const (
	// DefaultRedirectPolicy is the Manager's policy, and for the Manager
	// NoLessSafeRedirectPolicy.
	DefaultRedirectPolicy RedirectPolicy = iota
	// ManualRedirectPolicy follows none: the 3xx is the response, and
	// RedirectionTarget tells where it points to (rule R2).
	ManualRedirectPolicy
	// NoLessSafeRedirectPolicy follows all but those from https to http (rule R4).
	NoLessSafeRedirectPolicy
	// SameOriginRedirectPolicy follows those with the same scheme, host and port
	// (rule R5).
	SameOriginRedirectPolicy
	// UserVerifiedRedirectPolicy asks for each: the reply waits for Redirect.Allow
	// or Redirect.Deny (rule R6).
	UserVerifiedRedirectPolicy
)

// Redirect is one redirect. Under UserVerifiedRedirectPolicy it is a decision
// that the reply waits for, until its context ends; under the other policies it
// has been allowed already. Its methods may be called from any goroutine.
type Redirect struct {
	URL        *url.URL // where to, absolute
	From       *url.URL // the URL that answered
	StatusCode int      // of the redirect
	Method     string   // that the next request would have

	decision
	allowed bool
}

// Allow lets the reply follow. It returns false when the decision had been
// taken.
func (d *Redirect) Allow() bool { return d.settle(func() { d.allowed = true }) }

// Deny fails the reply with OperationCanceledError; RedirectionTarget is set. It
// returns false when the decision had been taken.
func (d *Redirect) Deny() bool { return d.settle(func() {}) }

// permitted waits for the answer; the end of the context is a refusal.
func (d *Redirect) permitted(ctx context.Context) bool {
	if !d.wait(ctx) {
		d.Deny()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.allowed
}

// redirectPlan is what a response makes of a request.
type redirectPlan struct {
	is     bool     // a redirect that the policy looks at
	target *url.URL // where to; as written when nothing is followed
	code   NetworkError
	text   string
	method string
	body   bool // the body is sent again
	origin bool // same scheme, host and port
}

// isRedirect lists the codes that are followed (rule R10).
func isRedirect(status int) bool {
	switch status {
	case 301, 302, 303, 305, 307, 308:
		return true
	}
	return false
}

// planRedirect decides about one response, by the order of rule R12. left is how
// many redirects may still be followed, and upgrade what the URL of a host becomes
// that is known to want TLS.
func planRedirect(status int, location string, from *url.URL, method string, policy RedirectPolicy, left int, upgrade func(*url.URL) *url.URL) redirectPlan {
	if !isRedirect(status) {
		return redirectPlan{}
	}
	ref, err := parseURL(location)
	if policy == ManualRedirectPolicy {
		if status == http.StatusUseProxy {
			return redirectPlan{}
		}
		if err != nil {
			ref = &url.URL{}
		}
		return redirectPlan{target: ref}
	}
	p := redirectPlan{is: true, method: method, body: true}
	if err != nil || location == "" {
		p.code, p.text = ProtocolUnknownError, "Unknown protocol specified"
		return p
	}
	p.target = from.ResolveReference(ref)
	if p.target.Path == "" && p.target.Opaque == "" {
		p.target.Path = "/"
	}
	written := p.target
	p.target = upgrade(p.target)
	p.origin = sameOrigin(from, p.target)
	if status != http.StatusTemporaryRedirect && status != http.StatusPermanentRedirect {
		// rule R13: net/http and Qt agree, though the Fetch standard is milder
		if method != http.MethodHead {
			p.method = http.MethodGet
		}
	}
	if p.method == http.MethodGet || p.method == http.MethodHead {
		p.body = method == p.method && (status == 307 || status == 308)
	}
	switch {
	case left <= 0:
		p.code, p.text = TooManyRedirectsError, "Too many redirects"
	case p.target.Scheme != "http" && p.target.Scheme != "https" && !(isLocal(from.Scheme) && p.origin):
		// local sockets are nobody's to point to
		p.code, p.text = ProtocolUnknownError, "Unknown protocol specified"
	case policy == SameOriginRedirectPolicy && !literallySameOrigin(from, written),
		policy == NoLessSafeRedirectPolicy && from.Scheme == "https" && p.target.Scheme == "http",
		policy == NoLessSafeRedirectPolicy && isLocal(from.Scheme) && !p.origin:
		p.code, p.text = InsecureRedirectError, "Insecure redirect"
	}
	return p
}

// literallySameOrigin compares the ports as they are written (rule R5).
func literallySameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && a.Port() == b.Port()
}

// sameOrigin compares the origins (RFC 6454), which decides who sees
// credentials.
func sameOrigin(a, b *url.URL) bool {
	x, errA := address(a)
	y, errB := address(b)
	return a.Scheme == b.Scheme && errA == nil && errB == nil && x == y
}

// nextHeaders are the headers of the next hop (rules R14, R16 and D11). secret names
// further fields that are the origin's only.
func nextHeaders(h Headers, secret []string, p redirectPlan) Headers {
	if !p.origin {
		for _, list := range [...][]string{secretFields[:], {"Www-Authenticate", "Host"}, secret} {
			for _, name := range list {
				h.Del(name)
			}
		}
	}
	if !p.body {
		h.Del("Content-Length")
		h.Del("Content-Type")
	}
	return h
}

// drainLimit is how much of a redirect's body is read so that its connection
// can be used again.
const drainLimit = 256 << 10

// redirectLayer follows redirects. Every hop goes through all layers below, and
// every head it sees is shown by the reply.
type redirectLayer struct{ next http.RoundTripper }

func (l redirectLayer) RoundTrip(req *http.Request) (*http.Response, error) {
	r := replyOf(req.Context())
	for left := r.req.maxRedirects(); ; left-- {
		resp, err := l.next.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		if req, err = r.answered(req.Method, resp, left); req == nil || err != nil {
			return resp, err
		}
	}
}

// answered shows a response head and makes the next request if it is a redirect to
// be followed. It is apart from RoundTrip to keep the stack of the calls below that
// one small.
func (r *Reply) answered(method string, resp *http.Response, left int) (*http.Request, error) {
	from := r.URL() // with the user that a relative target keeps (rule R18)
	plan := planRedirect(resp.StatusCode, resp.Header.Get("Location"), from, method, r.req.RedirectPolicy, left, r.m.upgrade)
	refused := plan.target
	if plan.is && plan.code == NoError {
		refused = nil
	}
	r.setHead(resp, refused)
	r.emit(sigMetaData, int64(resp.StatusCode), 0, nil)
	if !plan.is {
		return nil, nil
	}
	if err := drain(resp.Body); err != nil {
		r.refuse(plan.target)
		return nil, err
	}
	if plan.code != NoError {
		return nil, &Error{Code: plan.code, Phase: PhaseHeaders, Text: plan.text, Err: errors.New(strings.ToLower(plan.text))}
	}
	if plan.body && r.upload != nil && !r.payload.rewindable {
		r.refuse(plan.target)
		return nil, notAgain(errNotRewindable)
	}
	return r.follow(resp.StatusCode, from, plan)
}

// drain reads what is left of a body, within reason, and closes it.
func drain(body io.ReadCloser) error {
	defer body.Close()
	_, err := io.CopyN(io.Discard, body, drainLimit)
	if err == io.EOF {
		err = nil
	}
	return err
}

// follow announces a redirect, waits for the decision where there is one to be
// taken, and makes the request of the next hop.
func (r *Reply) follow(status int, from *url.URL, plan redirectPlan) (*http.Request, error) {
	d := &Redirect{URL: plan.target, From: from, StatusCode: status, Method: plan.method}
	if r.req.RedirectPolicy == UserVerifiedRedirectPolicy {
		d.until(r.ctx)
		r.setURL(plan.target)
		r.emit(sigRedirected, 0, 0, d)
		r.clock.pause()
		permitted := d.permitted(r.ctx)
		r.clock.resume()
		if !permitted || r.ctx.Err() != nil {
			r.setURL(from)
			r.refuse(plan.target)
			if r.ctx.Err() != nil {
				return nil, context.Cause(r.ctx)
			}
			return nil, &Error{Code: OperationCanceledError, Phase: PhaseHeaders, Text: "Redirect denied", Err: errors.New("redirect denied")}
		}
		r.hop(plan.target, plan.method)
	} else {
		d.Allow()
		r.hop(plan.target, plan.method)
		r.emit(sigRedirected, 0, 0, d)
	}
	if r.ctx.Err() != nil { // rule D6: nothing is sent after an abort
		return nil, context.Cause(r.ctx)
	}
	r.headers = nextHeaders(r.headers, r.req.SecretHeaders, plan)
	if !plan.body {
		r.dropBody()
	}
	return r.newRequest(plan.method, plan.target)
}

// refuse keeps where a redirect pointed to that was not followed (D10).
func (r *Reply) refuse(target *url.URL) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state == running {
		r.head.target = target
	}
}

func (r *Reply) setURL(u *url.URL) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.url = u
}
