package netreply

import (
	"errors"
	"hash"
	"io"

	"github.com/netreply/netreply/internal/flow"
	"github.com/netreply/netreply/internal/httpauth"
)

// authorize answers a Digest challenge, or with nil the last one that was answered in
// the space. "" means that the credentials were not given for that.
func (a *attempt) authorize(method string, d *httpauth.Digest) (line string, err error) {
	d, count := a.m.auth.use(a.space, d, a.creds)
	if d == nil {
		return "", nil
	}
	a.strength = httpauth.StrengthOf("Digest", d)
	uri := a.url.RequestURI()
	if a.proxy != nil { // as it stands in the request line
		uri = a.proxy.target(a.last).URL.RequestURI()
	}
	var body hash.Hash
	if d.NeedsBody() {
		body = d.NewHash()
		if err := a.t.hashBody(body); err != nil {
			return "", &Error{Code: ContentReSendError, Phase: PhaseSend, Text: "The body cannot be read for its digest", Err: err}
		}
	}
	line, a.digest = d.Authorize(a.creds.user, a.creds.password, method, uri, count, body)
	return line, nil
}

// hashBody writes the request body to w, for a digest that covers it.
func (t *transfer) hashBody(w io.Writer) error {
	p := t.payload
	if p == nil {
		return nil
	}
	if !p.Rewindable {
		return flow.ErrNotRewindable
	}
	if t.upload != nil { // it may be reading still
		t.upload.Close()
		t.upload = nil
	}
	limit := p.Size
	src, err := p.Open()
	if err != nil {
		return err
	}
	if c, ok := src.(io.Closer); ok && p.Owned {
		defer c.Close()
	}
	if limit < 0 {
		_, err = io.Copy(w, src)
	} else if _, err = io.CopyN(w, src, limit); err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// proved checks that the server knows the password, too.
func (a *attempt) proved(info httpauth.Info, h hash.Hash) error {
	if a.digest.Verify(info, h) {
		return nil
	}
	return a.failure(errors.New("the server has not proved that it knows the password"))
}

// provingBody is a response body that its server has signed with the password.
type provingBody struct {
	io.ReadCloser
	h      hash.Hash
	proved func() error
}

func (b *provingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.h.Write(p[:n])
	if err == io.EOF {
		if bad := b.proved(); bad != nil {
			err = bad
		}
	}
	return n, err
}
