package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"

	"github.com/netreply/netreply/internal/httpauth"
)

// negotiate begins a negotiation; false means that the negotiator has no credentials.
func (d *Dialog) negotiate(ctx context.Context, n Negotiator) (Step, bool) {
	negotiation, err := n.Start(ctx, d.Host)
	if err != nil {
		d.failed = append(d.failed, n)
		return Step{}, false
	}
	d.scheme, d.credentials, d.answer = n.Scheme(), nil, nil
	s := d.begin(negotiation, n)
	d.negotiator = n
	return s, true
}

// begin starts a negotiation. Its requests use one connection, which belongs to owner from
// then on.
func (d *Dialog) begin(n Negotiation, owner any) Step {
	d.endNegotiation()
	d.negotiation, d.negotiator, d.starting, d.legs = n, nil, true, 0
	d.owner = owner
	return d.next(nil)
}

// next sends the answer of the negotiation to a token.
func (d *Dialog) next(token []byte) Step {
	out, err := d.negotiation.Next(token)
	if err != nil {
		return d.fail(err)
	}
	return d.send(d.scheme + " " + base64.StdEncoding.EncodeToString(out))
}

// nextLeg continues a negotiation. false means that the peer has refused it.
func (d *Dialog) nextLeg(header http.Header) (Step, bool) {
	for _, c := range httpauth.Parse(header[d.Role.Challenge]) {
		if !c.Is(d.scheme) || c.Token == "" || d.legs == maxLegs {
			continue
		}
		token, err := base64.StdEncoding.DecodeString(c.Token)
		if err != nil {
			return d.fail(ErrBadToken), true
		}
		d.legs++
		return d.next(token), true
	}
	if d.negotiator != nil {
		d.failed = append(d.failed, d.negotiator)
	}
	d.endNegotiation()
	d.owner = nil
	return Step{}, false
}

// lastToken passes the token of a successful response to the negotiation.
func (d *Dialog) lastToken(header http.Header) error {
	for _, c := range httpauth.Parse(header[d.Role.Challenge]) {
		if token, err := base64.StdEncoding.DecodeString(c.Token); c.Is(d.scheme) && err == nil && len(token) > 0 {
			if _, err := d.negotiation.Next(token); err != nil {
				return &Error{d.Role, err}
			}
		}
	}
	if d.negotiator != nil && d.Origin != "" {
		d.space = d.Spaces.space(spaceKey{originKey{d.Origin, d.User}, ""})
	}
	return nil
}

func (d *Dialog) endNegotiation() {
	if d.negotiation != nil {
		d.negotiation.Close()
		d.negotiation = nil
	}
}

// ntlm is the Negotiation of NTLM.
type ntlm struct {
	credentials *Credentials
	answered    bool
}

func (n *ntlm) Next(token []byte) ([]byte, error) {
	if token == nil {
		return httpauth.NTLMStart()
	}
	if n.answered {
		return nil, errors.New("ntlm: a challenge follows the last message")
	}
	n.answered = true
	return httpauth.NTLMAnswer(token, n.credentials.User, n.credentials.Password)
}

func (n *ntlm) Close() error { return nil }
