package netreply

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"

	"github.com/netreply/netreply/internal/httpauth"
	"github.com/netreply/netreply/internal/wire"
)

// Negotiator speaks an authentication scheme that needs neither user nor password
// from us, Negotiate with Kerberos for instance (RFC 4559). It may be used from
// several goroutines at once.
type Negotiator interface {
	// Scheme is the name of the scheme, such as "Negotiate".
	Scheme() string
	// Start begins to authenticate one connection to a host. An error means that
	// there is nothing to authenticate with: the next weaker scheme is tried.
	Start(ctx context.Context, host string) (Negotiation, error)
}

// Negotiation authenticates one connection. It is used by one goroutine.
type Negotiation interface {
	// Next returns the token to send, for what the server has sent: nil at first.
	// The server's last token comes too, with its answer, if it has one; what Next
	// returns then is not sent. An error fails the reply.
	Next(token []byte) ([]byte, error)
	// Close ends it. It is called once.
	Close() error
}

// negotiator is one that the program plugged in; its address stands for it.
type negotiator struct{ Negotiator }

func (m *Manager) negotiator(scheme string) *negotiator {
	for _, n := range m.negotiators {
		if (httpauth.Challenge{Scheme: scheme}).Is(n.Scheme()) {
			return n
		}
	}
	return nil
}

// negotiate begins with a negotiator; nil means that there is nothing to begin
// with.
func (a *attempt) negotiate(n *negotiator) (*http.Request, error) {
	negotiation, err := n.Start(a.t.ctx, a.host())
	if err != nil {
		a.fail(n)
		return nil, nil
	}
	a.scheme, a.creds, a.digest = n.Scheme(), nil, nil
	req, err := a.begin(negotiation, n)
	a.negotiator = n
	return req, err
}

// host is the name of who asks.
func (a *attempt) host() string {
	if a.proxy != nil {
		return a.proxy.proxy.Host
	}
	return a.url.Hostname()
}

func (a *attempt) fail(n *negotiator) {
	if a.failed == nil {
		a.failed = map[*negotiator]bool{}
	}
	a.failed[n] = true
}

// begin starts a negotiation: its exchanges stay on one connection, which is
// owner's from then on.
func (a *attempt) begin(n Negotiation, owner any) (*http.Request, error) {
	a.end()
	a.negotiation, a.negotiator, a.legs = n, nil, 0
	a.session = &wire.Session{Hold: true}
	a.h.session, a.h.owner = a.session, owner
	return a.next(nil)
}

// next sends the negotiation's answer to a token.
func (a *attempt) next(token []byte) (*http.Request, error) {
	out, err := a.negotiation.Next(token)
	if err != nil {
		return nil, a.failure(err)
	}
	return a.again(a.scheme + " " + base64.StdEncoding.EncodeToString(out))
}

// leg goes on with a negotiation. nil means that the server has refused.
func (a *attempt) leg(resp *http.Response) (*http.Request, error) {
	for _, c := range httpauth.Parse(resp.Header[a.terms().challenge]) {
		if !c.Is(a.scheme) || c.Token == "" || a.legs == maxLegs {
			continue
		}
		token, err := base64.StdEncoding.DecodeString(c.Token)
		if err != nil {
			return nil, a.failure(errors.New("the server's token is not base64"))
		}
		a.legs++
		return a.next(token)
	}
	if a.negotiator != nil {
		a.fail(a.negotiator)
	}
	a.end()
	a.h.owner = nil
	return nil, nil
}

// end closes a negotiation. The connection goes back to those of its owner.
func (a *attempt) end() {
	if a.negotiation != nil {
		a.negotiation.Close()
		a.negotiation = nil
	}
	if s := a.session; s != nil { // another one is not ours to end
		a.m.wire.Release(s)
		a.session, a.h.session = nil, nil
	}
}

// ntlm is the Negotiation of NTLM.
type ntlm struct {
	creds    *credentials
	answered bool
}

func (n *ntlm) Next(token []byte) ([]byte, error) {
	if token == nil {
		return httpauth.NTLMStart()
	}
	if n.answered {
		return nil, errors.New("ntlm: the server goes on asking")
	}
	n.answered = true
	return httpauth.NTLMAnswer(token, n.creds.user, n.creds.password)
}

func (n *ntlm) Close() error { return nil }
