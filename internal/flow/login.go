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

// The login step answers 401 responses with known credentials or with those that the
// program gives (rules U1 to U12). It is below the redirect step, so that every hop has its
// own dialog, and above the cookies step, since a 401 may set cookies. Package auth
// decides; this step executes.
func beforeLogin(h *Hop) error {
	h.login, h.owner, h.authRetry = nil, nil, false
	h.ownCredentials = len(h.req.Header[auth.Server.Credentials]) > 0
	q := &h.t.Request
	if h.ownCredentials || q.NoLogin || !q.Bearer && !h.e.spaces.Proven() {
		return nil // no credentials are known, as for nearly every request
	}
	h.login = newServerLogin(h)
	return h.login.before()
}

func afterLogin(h *Hop) (again bool) {
	if h.login == nil {
		if h.err != nil || h.ownCredentials || h.resp.StatusCode != auth.Server.Status {
			return false
		}
		h.login = newServerLogin(h)
		if h.t.NoLogin {
			h.login.report()
			return false
		}
	}
	return h.login.after()
}

// login is the authentication of one hop to a server or to a proxy.
type login struct {
	auth.Dialog
	h     *Hop
	proxy *proxied // the proxy that asks, nil for the server

	session    *wire.Session // begun by this login
	outerOwner any           // Hop.owner as set by the steps above
	bodyHashed bool          // the request body was read for Digest authentication
}

// newServerLogin begins the dialog with the server of a hop. The user information of the
// request's URL is used for its whole origin (rule R18), elsewhere that of the hop's URL.
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
	if s.User = user.Username(); s.User != "" && !h.t.urlPasswordReplaced {
		password, ok := user.Password()
		s.Own, s.HasPassword = &auth.Credentials{User: s.User, Password: password}, ok
	}
	return &login{Dialog: auth.Dialog{Setup: s}, h: h}
}

// before adds known credentials to the request.
func (l *login) before() error {
	s, err := l.execute(l.Before(), nil)
	switch {
	case err == nil && l.bodyHashed: // the body was read: make a new request
		l.h.req, err = l.newRequest(s)
	case err == nil && s.Line != "":
		l.h.req.Header[l.Role.Credentials] = []string{s.Line}
	}
	if err != nil {
		l.close()
	}
	return err
}

// after processes a response, and makes the next request if there is a challenge and an
// answer to it. The clock is paused: negotiators are the program's, and draining an answered
// response does not count as the peer's silence.
func (l *login) after() (again bool) {
	h := l.h
	h.t.Clock.Pause()
	defer h.t.Clock.Resume()
	defer func() {
		if !again {
			l.close()
		}
	}()
	if h.err != nil {
		return false
	}
	if h.answered() && l.proxy == nil {
		return false // nothing stored is about credentials
	}
	if h.resp.StatusCode != l.Role.Status {
		if err := l.accepted(h.resp); err != nil {
			h.spoil()
			h.fail(err)
		}
		return false
	}
	s, err := l.execute(l.Challenged(h.t.ctx, h.resp.Header, l.perConnection()), h.resp)
	if err == nil && s.Kind == auth.GiveUp {
		return false
	}
	var req *http.Request
	if err == nil {
		req, err = l.newRequest(s)
	}
	l.drain(s.Session)
	if err != nil {
		h.fail(err)
		return false
	}
	h.req, h.authRetry = req, true
	return true
}

// perConnection reports whether the connection of the response can be authenticated (NTLM,
// Negotiate): only on HTTP/1, and only once.
func (l *login) perConnection() bool {
	return l.h.resp.ProtoMajor == 1 && (l.h.session == nil || l.h.session == l.session)
}

// legDrainTime is how long draining the response to one leg of a negotiation may take: its
// connection must be kept.
const legDrainTime = 5 * time.Second

// drain drains an answered response.
func (l *login) drain(s auth.Session) {
	if s == auth.SameConnection {
		drainWithin(l.h.resp, legDrainTime)
		return
	}
	drain(l.h.resp)
}

// newRequest makes the request of the hop again, with the body from its beginning.
func (l *login) newRequest(s auth.Step) (*http.Request, error) {
	h := l.h
	req, err := h.t.newRequest(h.req.Method, h.req.URL)
	if err != nil {
		l.CannotResend()
		return nil, err
	}
	if l.proxy != nil { // keep the fields that the steps above have set
		req.Header = maps.Clone(h.req.Header)
		delete(req.Header, l.Role.Credentials)
	}
	if s.Line != "" {
		req.Header[l.Role.Credentials] = []string{s.Line}
	}
	return req, nil
}

// execute executes steps of the dialog up to one that sends or gives up. Meanwhile the
// clock is paused: a token or an answer of the program may take any time (rule N32). resp
// is the response that is answered, nil for none.
func (l *login) execute(s auth.Step, resp *http.Response) (auth.Step, error) {
	t := l.h.t
	t.Clock.Pause()
	defer t.Clock.Resume()
	for {
		l.selectConnection(s)
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
			token, err := t.watcher.Tokens().Token(t.ctx, s.Refused)
			if err != nil && t.ctx.Err() == nil {
				return s, &auth.Error{Role: l.Role, Err: fmt.Errorf("getting a token for Request.Bearer: %w", err)}
			}
			s = l.Token(token)
		case auth.HashBody:
			if err := t.hashBody(s.Body); err != nil && t.ctx.Err() == nil {
				return s, &Error{Kind: BodyDigest, Err: err}
			}
			l.bodyHashed = true
			s = l.Hashed()
		}
		if t.ctx.Err() != nil {
			return s, context.Cause(t.ctx)
		}
	}
}

// selectConnection selects the connection for the next exchange as a step requires.
func (l *login) selectConnection(s auth.Step) {
	h := l.h
	if s.Session != auth.SameConnection {
		l.release()
	}
	if s.Session == auth.NewConnection {
		l.session = &wire.Session{Hold: true}
		h.session = l.session
	}
	if h.owner = s.Owner; h.owner == nil {
		h.owner = l.outerOwner
	}
}

// release returns the connection of a negotiation to the pool, for its owner.
func (l *login) release() {
	if l.session != nil { // a session of another login stays
		l.h.e.cfg.Wire.Release(l.session)
		l.session, l.h.session = nil, nil
	}
}

// close ends the dialog.
func (l *login) close() {
	l.Close()
	l.release()
	l.h.owner = l.outerOwner
}

// accepted processes a response that is not a challenge.
func (l *login) accepted(resp *http.Response) error {
	proof, err := l.Accepted(resp.StatusCode, resp.Header)
	if err != nil || proof == nil {
		return err
	}
	if resp.Body == http.NoBody || resp.StatusCode == http.StatusSwitchingProtocols {
		return proof.Check()
	}
	resp.Body = &proofBody{resp.Body, proof, l.h, l.proxy}
	return nil
}

// proofBody checks the server's or proxy's proof of the password over a response body
// (Digest rspauth with auth-int).
type proofBody struct {
	io.ReadCloser
	proof *auth.Proof
	h     *Hop
	proxy *proxied
}

func (b *proofBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.proof.Write(p[:n])
	if err == io.EOF {
		if bad := b.proof.Check(); bad != nil {
			err = bad
			if b.proxy != nil {
				err = b.proxy.failure(bad)
			} else {
				b.h.spoil()
			}
		}
	}
	return n, err
}

// ask asks the program.
func (l *login) ask(q auth.Question) auth.Step {
	l.h.goAlone()
	s := l.Answered(l.h.t.watcher.Password(l.question(q)))
	l.h.t.urlPasswordReplaced = l.h.t.urlPasswordReplaced || l.OwnReplaced()
	return s
}

// report reports the challenge of the response without using an answer (rule A12).
func (l *login) report() {
	offered, ok := l.Offered(l.h.resp.Header, l.perConnection())
	if !ok {
		return
	}
	q := l.question(offered)
	q.ReportOnly = true
	l.h.t.watcher.Password(q)
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
