package netreply

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// memoryLimit is the largest body that goes out in one piece with its head,
// without being watched on its way.
const memoryLimit = 16 << 10

// newRequest makes the request of one sending, with the body from its
// beginning.
func (r *Reply) newRequest(method string, u *url.URL) (*http.Request, error) {
	req := (&http.Request{
		Method: method, URL: u, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: toMap(r.headers), Host: r.headers.Get("Host"),
	}).WithContext(r.wctx)
	if u.Fragment != "" || u.User != nil || strings.Contains(u.Path, "/.") {
		bare := *u.ResolveReference(u) // without dot segments (rule H38)
		bare.Fragment, bare.RawFragment, bare.User = "", "", nil
		req.URL = &bare
	}
	if _, ok := req.Header["User-Agent"]; !ok {
		req.Header["User-Agent"] = r.m.userAgent
	}
	if r.decode {
		req.Header["Accept-Encoding"] = acceptEncoding
	}
	if r.upload != nil {
		r.upload.Close()
		r.upload = nil
	}
	p := r.payload
	r.memorySent = 0
	if p == nil {
		return req, nil
	}
	if p.mime != "" && !r.headers.Has("Content-Type") {
		req.Header["Content-Type"] = []string{p.mime}
		req.Header["Mime-Version"] = []string{"1.0"}
	}
	limit, err := p.limit(r.headers)
	if err != nil {
		return nil, err
	}
	req.ContentLength = limit
	if limit == 0 {
		req.Body = http.NoBody
		return req, nil
	}
	if p.memory != nil && limit <= memoryLimit {
		r.memorySent = limit
		req.Body = io.NopCloser(bytes.NewReader(p.memory[:limit]))
		return req, nil
	}
	meter := &uploadMeter{reply: r, total: limit}
	r.mu.Lock()
	r.meter = meter
	r.mu.Unlock()
	r.upload, err = newUpload(r.ctx, p, limit, meter)
	if err != nil {
		if errors.Is(err, errNotRewindable) {
			return nil, notAgain(err)
		}
		return nil, bodyFailure("opening the body", err)
	}
	req.Body = r.upload
	return req, nil
}

// notAgain is rule E23.
func notAgain(err error) *Error {
	return &Error{Code: ContentReSendError, Phase: PhaseSend, Text: "The body cannot be sent again", Err: err}
}

func (r *Reply) dropBody() {
	if r.upload != nil {
		r.upload.Close()
		r.upload = nil
	}
	r.payload = nil
	r.mu.Lock()
	r.attached, r.meter = false, nil
	r.mu.Unlock()
}

// setHead shows a response head. target is where it points to when that will not
// be followed.
func (r *Reply) setHead(x *exchange, resp *http.Response, target *url.URL) {
	h := head{status: resp.StatusCode, length: resp.ContentLength, http2: resp.ProtoMajor == 2, target: target}
	h.noBody = resp.Request.Method == http.MethodHead || resp.StatusCode == 101 || resp.StatusCode == 204 || resp.StatusCode == 304
	if codings, _ := r.codings(resp); len(codings) > 0 {
		h.decoded, h.encoded, h.length = true, h.length, -1
	}
	if h.raw = x.Head; h.raw == "" {
		h.mapped = resp.Header
	} else {
		_, h.reason, _ = strings.Cut(resp.Status, " ")
	}
	r.mu.Lock()
	if r.state == running {
		r.head = h
	}
	r.mu.Unlock()
}

// hop moves the reply to another URL. Of the last response only the status stays
// readable until the next one comes (rules R22 and R23).
func (r *Reply) hop(u *url.URL, method string) {
	r.mu.Lock()
	r.hops++
	r.url, r.method = u, method
	r.encrypted = u.Scheme == "https"
	r.head.target, r.head.length, r.head.noBody = nil, -1, false
	r.head.decoded, r.head.encoded = false, -1
	r.head.raw, r.head.mapped, r.head.headers = "", nil, Headers{}
	r.throttle.start(time.Since(r.started))
	r.mu.Unlock()
	r.clock.touch()
}
