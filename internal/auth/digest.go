package auth

import (
	"hash"
	"net/http"

	"github.com/netreply/netreply/internal/httpauth"
)

// authorize answers a Digest challenge, or with nil the last one that was answered in the
// space; nothing is sent when the credentials were not given for that.
func (d *Dialog) authorize(digest *httpauth.Digest) Step {
	if d.digest, d.count = d.Spaces.use(d.space, digest, d.credentials); d.digest == nil {
		return d.sendNothing()
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

// Hashed follows HashBody.
func (d *Dialog) Hashed() Step { return d.sendDigest(d.body) }

func (d *Dialog) sendDigest(body hash.Hash) Step {
	var line string
	line, d.answer = d.digest.Authorize(d.credentials.User, d.credentials.Password, d.Method, d.Target, d.count, body)
	return d.send(line)
}

// proof reads what the server says of its knowledge of the password (RFC 7616, section 3.5).
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

// Proof is what a server has signed a response body with: the password.
type Proof struct {
	role   *Role
	answer *httpauth.Answer
	info   httpauth.Info
	body   hash.Hash
}

// Write takes a part of the body.
func (p *Proof) Write(b []byte) (int, error) { return p.body.Write(b) }

// Check tells at the end of the body whether the signature is right. The error is an *Error.
func (p *Proof) Check() error {
	if p.answer.Verify(p.info, p.body) {
		return nil
	}
	return &Error{p.role, ErrUnproven}
}
