package flow

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"time"

	"github.com/netreply/netreply/internal/auth"
	"github.com/netreply/netreply/internal/httpurl"
	"github.com/netreply/netreply/internal/wire"
)

// The login step answers 401: with what the Manager knows, or with what it asks for
// (rules U1 to U12). It stands below the redirects, so that every hop is a matter of
// its own, and above the cookies, which a 401 may set. What is answered is decided in
// package auth; here it is carried out.
func beforeLogin(h *Hop) error {
	h.login, h.owner, h.authRetry = nil, nil, false
	h.ownWord = len(h.req.Header[auth.Server.Credentials]) > 0
	q := &h.t.Request
	if h.ownWord || q.NoLogin || !q.Bearer && !h.e.spaces.Proven() {
		return nil // nothing is known that could be sent: the way of nearly every request
	}
	h.login = newServerLogin(h)
	return h.login.before()
}

func afterLogin(h *Hop) (again bool) {
	if h.login == nil {
		if h.err != nil || h.ownWord || h.resp.StatusCode != auth.Server.Status {
			return false
		}
		h.login = newServerLogin(h)
		if h.t.NoLogin {
			h.login.tell()
			return false
		}
	}
	return h.login.after()
}

// login is the authentication of one hop, by a server or by a proxy.
type login struct {
	auth.Dialog
	h     *Hop
	proxy *proxied // whose questions are answered, nil for those of the server

	session *wire.Session // that was begun for it
	outer   any           // the owner of connections that steps above have set
	hashed  bool          // the request body has been read for its digest
}

// newServerLogin begins the dialog with the server of a hop. The user information that
// counts is that of the first URL for all of its origin (rule R18), else what stands in the
// URL of the hop.
func newServerLogin(h *Hop) *login {
	q, u := &h.t.Request, h.req.URL
	s := auth.Setup{Spaces: &h.e.spaces, Role: auth.Server, Host: u.Hostname(), Method: h.req.Method, URL: u, Target: u.RequestURI(),
		Bearer: q.Bearer && h.t.sameOrigin(u), Stored: h.e.cfg.Stored, Negotiators: h.e.cfg.Negotiators,
		Waits: q.AsksPassword}
	if httpurl.IsLocal(u.Scheme) {
		s.Origin = "socket " + q.LocalServerName
	} else if origin, ok := httpurl.Origin(u); ok {
		s.Origin = origin
	}
	user := h.t.url.User
	if first := q.URL.User; first != nil && h.t.sameOrigin(u) {
		user = first
	} else {
		s.Foreign = user != nil
	}
	if s.User = user.Username(); s.User != "" && !h.t.ownRefused {
		password, ok := user.Password()
		s.Own, s.HasPassword = &auth.Credentials{User: s.User, Password: password}, ok
	}
	return &login{Dialog: auth.Dialog{Setup: s}, h: h}
}

// before makes the request carry what is known to be wanted.
func (l *login) before() error {
	s, err := l.carryOut(l.Before(), nil)
	switch {
	case err == nil && l.hashed: // the body has been read
		l.h.req, err = l.again(s)
	case err == nil && s.Line != "":
		l.h.req.Header[l.Role.Credentials] = []string{s.Line}
	}
	if err != nil {
		l.close()
	}
	return err
}

// after takes what a sending has brought, and makes the next request if there is a challenge
// and an answer to it.
func (l *login) after() (again bool) {
	h := l.h
	defer func() {
		if !again {
			l.close()
		}
	}()
	if h.err != nil {
		return false
	}
	if h.resp.StatusCode != l.Role.Status {
		if err := l.passed(h.resp); err != nil {
			h.fail(err)
		}
		return false
	}
	s, err := l.carryOut(l.Challenged(h.t.ctx, h.resp.Header, l.perConnection()), h.resp)
	if err == nil && s.Kind == auth.GiveUp {
		return false
	}
	var req *http.Request
	if err == nil {
		req, err = l.again(s)
	}
	l.discard(s.Session)
	if err != nil {
		h.fail(err)
		return false
	}
	h.req, h.authRetry = req, true
	return true
}

// perConnection tells whether the connection of the response can be authenticated: on
// HTTP/1, and once.
func (l *login) perConnection() bool {
	return l.h.resp.ProtoMajor == 1 && (l.h.session == nil || l.h.session == l.session)
}

// legMoment is how long the body of a leg may take: its connection is the one that is
// being authenticated.
const legMoment = 5 * time.Second

// discard ends a response that is answered. The time that takes is not the peer's
// silence.
func (l *login) discard(s auth.Session) {
	l.h.t.Clock.Pause()
	defer l.h.t.Clock.Resume()
	if s == auth.SameConnection {
		discardWithin(l.h.resp, legMoment)
		return
	}
	discard(l.h.resp)
}

// again makes the request of the hop once more, from the beginning of its body.
func (l *login) again(s auth.Step) (*http.Request, error) {
	h := l.h
	req, err := h.t.newRequest(h.req.Method, h.req.URL)
	if err != nil {
		l.CannotResend()
		return nil, err
	}
	if l.proxy != nil { // the steps above have had their say
		req.Header = maps.Clone(h.req.Header)
		delete(req.Header, l.Role.Credentials)
	}
	if s.Line != "" {
		req.Header[l.Role.Credentials] = []string{s.Line}
	}
	return req, nil
}

// carryOut does what steps want before anything is sent, up to one that sends or gives up.
// Meanwhile the clock stands still: whoever gets a token or finds an answer may take his
// time (rule N32). resp is the response that is answered, nil for none.
func (l *login) carryOut(s auth.Step, resp *http.Response) (auth.Step, error) {
	t := l.h.t
	t.Clock.Pause()
	defer t.Clock.Resume()
	for {
		l.tie(s)
		if (s.Kind == auth.Ask || s.Kind == auth.Wait) && t.questions >= MaxQuestions {
			s = auth.Step{Kind: auth.GiveUp}
		}
		if (s.Kind == auth.Ask && l.Waits || s.Kind == auth.Wait) && resp != nil {
			bufferBody(resp)
			resp = nil
		}
		switch s.Kind {
		case auth.Send, auth.GiveUp:
			return s, nil
		case auth.Fail:
			return s, s.Err
		case auth.Ask:
			s = l.ask(s.Question)
		case auth.Wait:
			select {
			case <-s.Until:
				s = l.Waited()
			case <-t.ctx.Done():
			}
		case auth.FetchToken:
			token, err := t.w.Token(t.ctx, s.Refused)
			if err != nil && t.ctx.Err() == nil {
				return s, &auth.Error{Role: l.Role, Err: fmt.Errorf("getting a token for Request.Bearer: %w", err)}
			}
			s = l.Token(token)
		case auth.HashBody:
			if err := t.hashBody(s.Body); err != nil && t.ctx.Err() == nil {
				return s, &Error{Kind: BodyDigest, Err: err}
			}
			l.hashed = true
			s = l.Hashed()
		}
		if t.ctx.Err() != nil {
			return s, context.Cause(t.ctx)
		}
	}
}

// tie lets the next sending take the connection that a step wants.
func (l *login) tie(s auth.Step) {
	h := l.h
	if s.Session != auth.SameConnection {
		l.release()
	}
	if s.Session == auth.NewConnection {
		l.session = &wire.Session{Hold: true}
		h.session = l.session
	}
	if h.owner = s.Owner; h.owner == nil {
		h.owner = l.outer
	}
}

// release gives the connection of a negotiation back to those of its owner.
func (l *login) release() {
	if l.session != nil { // another one is not ours to end
		l.h.e.cfg.Wire.Release(l.session)
		l.session, l.h.session = nil, nil
	}
}

// close ends the dialog.
func (l *login) close() {
	l.Close()
	l.release()
	l.h.owner = l.outer
}

// passed takes note of a response that asks for nothing.
func (l *login) passed(resp *http.Response) error {
	proof, err := l.Passed(resp.StatusCode, resp.Header)
	if err != nil || proof == nil {
		return err
	}
	if resp.Body == http.NoBody {
		return proof.Check()
	}
	resp.Body = &provingBody{resp.Body, proof, l.proxy}
	return nil
}

// provingBody is a response body that its server, or the proxy, has signed with the
// password.
type provingBody struct {
	io.ReadCloser
	proof *auth.Proof
	proxy *proxied
}

func (b *provingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.proof.Write(p[:n])
	if err == io.EOF {
		if bad := b.proof.Check(); bad != nil {
			err = bad
			if b.proxy != nil {
				err = b.proxy.failure(bad)
			}
		}
	}
	return n, err
}

// ask asks the program.
func (l *login) ask(q auth.Question) auth.Step {
	s := l.Answered(l.h.t.w.Password(l.question(q)))
	l.h.t.ownRefused = l.h.t.ownRefused || l.OwnReplaced()
	return s
}

// tell tells of the question that the response is, without using an answer (rule A12).
func (l *login) tell() {
	offered, ok := l.Offered(l.h.resp.Header, l.perConnection())
	if !ok {
		return
	}
	q := l.question(offered)
	q.Told = true
	l.h.t.w.Password(q)
	if ctx := l.h.t.ctx; ctx.Err() != nil {
		l.h.fail(context.Cause(ctx))
	}
}

func (l *login) question(q auth.Question) *PasswordQuestion {
	l.h.t.questions++
	p := &PasswordQuestion{Question: q, URL: l.URL}
	if l.proxy != nil {
		p.Proxy = l.proxy.proxy
	}
	return p
}
