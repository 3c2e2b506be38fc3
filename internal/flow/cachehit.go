package flow

import (
	"context"
	"io"
	"math"
	"net/http"
	"net/textproto"
	"strconv"
	"time"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/httpcache"
	"github.com/netreply/netreply/internal/cacherules"
)

// CacheOutcome is what a Manager with a cache knows about a response.
type CacheOutcome struct {
	Status    cacherules.Status
	Made      bool            // the head is from the store
	FromStore bool            // the whole response is
	Sent      bool            // the request was sent
	Quiet     bool            // rule S38b
	Fields    headers.Headers // of a head that is Made
	// Local is how many bytes at the beginning of the body do not come from the network, as far
	// as the head tells; see Watcher.Local.
	Local int64
}

// outcome is nil without a cache. It is valid until the next request.
func (h *Hop) outcome() *CacheOutcome {
	c := h.cached
	if c == nil {
		return nil
	}
	o := &c.outcome
	o.Status, o.Made = c.status, c.answered
	o.FromStore, o.Sent = c.answered && !c.combined && !c.made, !c.answered || c.network != nil
	if o.FromStore {
		c.local = math.MaxInt64
	}
	o.Local = c.local
	if c.answered {
		o.Fields, o.Quiet = c.fields, h.t.Load == cacherules.AlwaysCache
	}
	return o
}

// answered reports whether the response is from the store.
func (h *Hop) answered() bool { return h.err == nil && h.cached != nil && h.cached.answered }

// networkFields are the fields of the response that was received, nil for none.
func (h *Hop) networkFields() http.Header {
	if h.answered() {
		return h.cached.network
	}
	return h.resp.Header
}

// answer answers from the store with the selected response. It reports false, with the
// response unchanged, if the body cannot be opened.
func (h *Hop) answer(a cacherules.Answer, validated bool, now time.Time) bool {
	c := h.cached
	s := c.selected.stored
	resp := h.madeResponse(a.Status, a.Fields(s, validated, now), 0)
	switch {
	case c.request.Method == http.MethodHead:
		resp.ContentLength = s.Length
	case a.Status == http.StatusNotModified, a.Body == cacherules.Span{}:
	default:
		body := h.openStored(h.t.ctx, c.selected.source, s, a.Body)
		if body == nil {
			return false
		}
		body.hop, body.req, body.stored = h, h.req, s
		if resp.ContentLength = body.left; body.left > 0 {
			resp.Body = body
		} else {
			body.Close()
		}
		if a.Status != http.StatusPartialContent && s.Trailer.Len() > 0 {
			resp.Trailer = mapOf(s.Trailer)
		}
	}
	h.useStored(resp, s, now)
	return true
}

// useStored makes resp, which is from the store, the response of the hop.
func (h *Hop) useStored(resp *http.Response, s *cacherules.Stored, now time.Time) {
	c := h.cached
	if h.resp != nil {
		c.network = h.resp.Header
	}
	c.answered = true
	c.status.TTL, c.status.HasTTL = s.TTL(now), true
	if resp.StatusCode == s.Status && s.Reason != "" {
		resp.Status = strconv.Itoa(s.Status) + " " + s.Reason
	}
	h.resp, h.err = resp, nil
}

// openStored opens a part of the body of a stored response, nil if that is not possible. The
// end of part is -1 for the end of the body. ctx ends its reading.
func (h *Hop) openStored(ctx context.Context, source httpcache.Entry, s *cacherules.Stored, part cacherules.Span) *storedBody {
	t := h.t
	t.Clock.Pause()
	defer t.Clock.Resume()
	b, err := source.Open(ctx)
	if err != nil {
		return nil
	}
	base, size := int64(0), s.Length
	if len(s.Have) > 0 {
		base, size = s.Have[0].Start, s.Have[0].Len()
	}
	if part.End < 0 {
		part.End = b.Size()
	}
	if size >= 0 && b.Size() != size || part.Start < base || part.End-base > b.Size() {
		b.Close()
		return nil
	}
	return &storedBody{body: b, ctx: ctx, clock: t.Clock, base: base, at: part.Start - base, left: part.Len()}
}

// storedBody reads a part of a stored body.
type storedBody struct {
	body     httpcache.Body
	ctx      context.Context
	clock    *Clock
	base     int64 // where body begins in the whole body
	at, left int64
	told     int64 // how much was read

	// If the store loses what is to be read, hop fetches the rest of stored, the response to req;
	// nil if what is behind it is received already.
	hop    *Hop
	req    *http.Request
	stored *cacherules.Stored
	rest   *rest
}

func (b *storedBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	if b.ctx.Err() != nil {
		return 0, context.Cause(b.ctx)
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	if b.rest != nil {
		n, err := b.rest.Read(p)
		return b.count(n, err)
	}
	b.clock.Pause()
	n, err := b.body.ReadAt(p, b.at)
	b.clock.Resume()
	n, err = b.count(n, err)
	if n > 0 || err == nil || err == io.EOF {
		if err != io.EOF {
			err = nil // the next Read finds it again, without bytes
		}
		return n, err
	}
	lost := &broken{req: b.req, stored: b.stored, at: b.base + b.at, end: b.base + b.at + b.left, told: b.told, before: b.body, err: err}
	if b.hop == nil {
		return 0, lost.failure(errNoRest)
	}
	if b.rest, err = b.hop.fetchRest(lost); err != nil {
		return 0, err
	}
	return b.Read(p)
}

// count records what Read returns.
func (b *storedBody) count(n int, err error) (int, error) {
	b.at += int64(n)
	b.told += int64(n)
	b.left -= int64(n)
	switch {
	case b.left == 0:
		err = io.EOF
	case err == io.EOF || n == 0 && err == nil:
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Close also ends the request for the rest.
func (b *storedBody) Close() error {
	if b.rest != nil {
		b.rest.Close()
	}
	return b.body.Close()
}

// madeResponse makes a response that does not come from the network.
func (h *Hop) madeResponse(status int, fields headers.Headers, length int64) *http.Response {
	h.t.watcher.Enter(Body)
	h.cached.fields = fields
	text := "200 OK"
	if status != http.StatusOK {
		text = strconv.Itoa(status) + " " + http.StatusText(status)
	}
	return &http.Response{Status: text, StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: mapOf(fields), ContentLength: length, Body: http.NoBody, Request: h.req}
}

// mapOf makes the map of fields, with one array for all values of different names.
func mapOf(fields headers.Headers) http.Header {
	m := make(http.Header, fields.Len())
	values := make([]string, 0, fields.Len())
	for name, value := range fields.All() {
		name = textproto.CanonicalMIMEHeaderKey(name)
		if have, more := m[name]; more {
			m[name] = append(have, value)
			continue
		}
		values = append(values, value)
		m[name] = values[len(values)-1:]
		m[name] = m[name][:1:1]
	}
	return m
}
