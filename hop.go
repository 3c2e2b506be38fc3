package netreply

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/netreply/netreply/internal/flow"
)

// memoryLimit is the largest body that goes out in one piece with its head,
// without being watched on its way.
const memoryLimit = 16 << 10

// newRequest makes the request of one sending, with the body from its
// beginning.
func (t *transfer) newRequest(method string, u *url.URL) (*http.Request, error) {
	req := (&http.Request{
		Method: method, URL: u, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: toMap(t.headers), Host: t.headers.Get("Host"),
	}).WithContext(t.wctx)
	if u.Fragment != "" || u.User != nil || strings.Contains(u.Path, "/.") {
		bare := *u.ResolveReference(u) // without dot segments (rule H38)
		bare.Fragment, bare.RawFragment, bare.User = "", "", nil
		req.URL = &bare
	}
	if _, ok := req.Header["User-Agent"]; !ok {
		req.Header["User-Agent"] = t.m.userAgent
	}
	if t.decode {
		req.Header["Accept-Encoding"] = acceptEncoding
	}
	if t.upload != nil {
		t.upload.Close()
		t.upload = nil
	}
	p := t.payload
	t.memorySent = 0
	if p == nil {
		return req, nil
	}
	if p.MIME != "" && !t.headers.Has("Content-Type") {
		req.Header["Content-Type"] = []string{p.MIME}
		req.Header["Mime-Version"] = []string{"1.0"}
	}
	limit := p.Size
	req.ContentLength = limit
	if limit == 0 {
		req.Body = http.NoBody
		return req, nil
	}
	if p.Memory != nil && limit <= memoryLimit {
		t.memorySent = limit
		req.Body = io.NopCloser(bytes.NewReader(p.Memory[:limit]))
		return req, nil
	}
	meter := flow.NewMeter(t.w, t.clock, limit)
	t.w.Uploads(&meter.Count)
	var err error
	t.upload, err = flow.NewUpload(t.ctx, p, meter)
	if err != nil {
		if errors.Is(err, flow.ErrNotRewindable) {
			return nil, notAgain(err)
		}
		return nil, bodyFailure("opening the body", err)
	}
	req.Body = t.upload
	return req, nil
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

// notAgain is rule E23.
func notAgain(err error) *Error {
	return &Error{Code: ContentReSendError, Phase: PhaseSend, Text: "The body cannot be sent again", Err: err}
}

func (t *transfer) dropBody() {
	if t.upload != nil {
		t.upload.Close()
		t.upload = nil
	}
	t.payload = nil
	t.w.Uploads(nil)
}
