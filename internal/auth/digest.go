package auth

import (
	"hash"
	"net/http"

	"github.com/netreply/netreply/internal/httpauth"
)

// authorize answers a Digest challenge; nil means the last one of the space. It sends the
// request without credentials if they may not be used for that challenge.
func (d *Dialog) authorize(digest *httpauth.Digest) Step {
	if d.digest, d.count = d.Spaces.use(d.space, digest, d.credentials); d.digest == nil {
		return d.sendWithout()
	}
	d.strength = httpauth.StrengthOf("Digest", d.digest)
	if !d.digest.NeedsBody() {
		return d.sendDigest(nil)
	}
	d.body = d.digest.NewHash()
	s := d.step(HashBody)
	s.Body = d.body
	return s
}

// Hashed continues after HashBody.
func (d *Dialog) Hashed() Step { return d.sendDigest(d.body) }

func (d *Dialog) sendDigest(body hash.Hash) Step {
	var line string
	line, d.answer = d.digest.Authorize(d.credentials.User, d.credentials.Password, d.Method, d.Target, d.count, body)
	return d.send(line)
}

// proof processes the Authentication-Info field, with which the server may prove that it
// knows the password (RFC 7616, section 3.5).
func (d *Dialog) proof(header http.Header) (*Proof, error) {
	info, ok := httpauth.ParseInfo(header[d.Role.Info])
	if !ok {
		return nil, nil
	}
	if info.NextNonce != "" {
		d.Spaces.nextNonce(d.space, info.NextNonce)
	}
	p := &Proof{d.Role, d.answer, info, d.answer.Hash(info)}
	if p.body == nil {
		return nil, p.Check()
	}
	return p, nil
}

// Proof checks the server's proof of the password over a response body.
type Proof struct {
	role   *Role
	answer *httpauth.Answer
	info   httpauth.Info
	body   hash.Hash
}

// Write adds a part of the body.
func (p *Proof) Write(b []byte) (int, error) { return p.body.Write(b) }

// Check checks the proof at the end of the body. The error is an *Error.
func (p *Proof) Check() error {
	if p.answer.Verify(p.info, p.body) {
		return nil
	}
	return &Error{p.role, ErrUnproven}
}
