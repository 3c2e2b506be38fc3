package netreply

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/netreply/netreply/internal/flow"
)

func (w *replyWriter) SetAttribute(a AttributeKey, value any) error {
	const method = "SetAttribute"
	last := beforeHead
	if isNil(a) {
		return &UsageError{method, "a nil attribute"}
	}
	if a.isUser() {
		last = inBody
	}
	if err := w.lock(method, last); err != nil {
		return err
	}
	defer w.mu.Unlock()
	if reason := a.setIn(&w.attributes, value); reason != "" {
		return &UsageError{method, a.String() + ": " + reason}
	}
	w.r.setUserAttributes(w.attributes.user)
	return nil
}

// setUserAttributes makes user attributes visible.
func (r *Reply) setUserAttributes(set map[any]any) {
	if len(set) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state == running {
		r.more().attributes = maps.Clone(set)
	}
}

func (w *replyWriter) SetHeader(k HeaderKey, value any) error {
	const method = "SetHeader"
	if isNil(k) {
		return &UsageError{method, "a nil header"}
	}
	if err := w.lock(method, beforeHead); err != nil {
		return err
	}
	defer w.mu.Unlock()
	var h Headers
	if reason := k.setIn(&h, value); reason != "" {
		return &UsageError{method, reason}
	}
	for name, value := range h.All() {
		if err := w.setField(method, name, value); err != nil {
			return err
		}
	}
	return nil
}

func (w *replyWriter) SetRawHeader(name, value string) error {
	const method = "SetRawHeader"
	if err := w.lock(method, beforeHead); err != nil {
		return err
	}
	defer w.mu.Unlock()
	return w.setField(method, name, value)
}

func (w *replyWriter) SetHeaders(h Headers) error {
	const method = "SetHeaders"
	if err := w.lock(method, beforeHead); err != nil {
		return err
	}
	defer w.mu.Unlock()
	length, err := checkFields(h)
	if err != nil {
		return &UsageError{method, err.Error()}
	}
	w.fields, w.head.length = h.Clone(), length
	return nil
}

// setField replaces a header field, or removes it if the value is empty. The caller holds the
// lock.
func (w *replyWriter) setField(method, name, value string) error {
	length, err := checkFields(NewHeaders(name, value))
	if value != "" && err != nil {
		return &UsageError{method, err.Error()}
	}
	if strings.EqualFold(name, "Content-Length") {
		w.head.length = length
	}
	if value == "" {
		w.fields.Del(name)
	} else {
		w.fields.Set(name, value)
	}
	return nil
}

// checkFields returns the Content-Length of h, -1 for none, or what is invalid in h.
func checkFields(h Headers) (length int64, err error) {
	if err := validateHeaders(h); err != nil {
		return -1, errors.Unwrap(err)
	}
	if !h.Has("Content-Length") {
		return -1, nil
	}
	n, ok := ContentLengthHeader.Get(h)
	if !ok || n < 0 {
		return -1, &FieldError{Field: "value of header Content-Length", Reason: "not a decimal number"}
	}
	return n, nil
}

func (w *replyWriter) SetTrailers(h Headers) error {
	const method = "SetTrailers"
	if err := w.lock(method, inBody); err != nil {
		return err
	}
	defer w.mu.Unlock()
	if err := validateHeaders(h); err != nil {
		return &UsageError{method, errors.Unwrap(err).Error()}
	}
	t := h.Clone()
	w.trailers = &t
	return nil
}

func (w *replyWriter) SetOperation(o Operation) error {
	const method = "SetOperation"
	if err := w.lock(method, inBody); err != nil {
		return err
	}
	defer w.mu.Unlock()
	name := methodOf(o)
	if o == CustomOperation && operationOf(w.request.Method) == CustomOperation {
		name = w.request.Method
	}
	if name == "" {
		return &UsageError{method, "the operation " + o.String() + " has no method"}
	}
	r := w.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state == running {
		r.method = name
	}
	return nil
}

func (w *replyWriter) SetRequest(q *Request) error {
	const method = "SetRequest"
	if q == nil {
		return &UsageError{method, "a nil Request"}
	}
	if err := w.lock(method, inBody); err != nil {
		return err
	}
	defer w.mu.Unlock()
	r := w.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state == running {
		r.more().request = q.Clone()
	}
	return nil
}

func (w *replyWriter) SetURL(u *url.URL) error {
	const method = "SetURL"
	if u == nil {
		return &UsageError{method, "a nil URL"}
	}
	if err := w.lock(method, inBody); err != nil {
		return err
	}
	defer w.mu.Unlock()
	to := *u
	w.r.setURL(&to)
	return nil
}

func (w *replyWriter) MetaDataChanged() error {
	if err := w.lock("MetaDataChanged", beforeHead); err != nil {
		return err
	}
	w.stage = inBody
	w.showHead()
	if err := w.oversized(); err != nil {
		return w.fail(err)
	}
	(*watch)(w.r).Enter(flow.Body)
	w.beginRate()
	w.handOver()
	return nil
}

// handOver gives the head to a RoundTripper that waits for it.
func (w *replyWriter) handOver() {
	t := w.r.takenBy()
	if t == nil {
		return
	}
	w.mu.Lock()
	resp := w.head.response()
	w.mu.Unlock()
	t.take(resp, nil)
}

// showHead makes the head visible, unless it is. The caller holds the lock; showHead releases
// it.
func (w *replyWriter) showHead() {
	if w.shown {
		w.mu.Unlock()
		return
	}
	w.shown = true
	if w.headTimer != nil {
		w.headTimer.Stop()
	}
	h := w.finalHead()
	secure := w.attributes.secure
	w.mu.Unlock()
	r := w.r
	if secure != nil {
		r.mu.Lock()
		if r.state == running {
			r.secure = *secure
		}
		r.mu.Unlock()
	}
	r.showHead(&h)
}

// finalHead completes the head. The caller holds the lock.
func (w *replyWriter) finalHead() head {
	h, set := &w.head, &w.attributes
	h.status = uint16(set.status)
	h.setTarget(set.target)
	if h.status != 0 {
		h.raw = "HTTP/1.1 " + strconv.Itoa(set.status) + " " + set.reason
	}
	if set.originalLength != nil {
		if h.decoded = *set.originalLength >= 0; h.decoded {
			h.more().encoded = *set.originalLength
		}
	}
	if set.http2 != nil {
		h.http, h.http2 = true, *set.http2
	}
	empty := h.status == http.StatusNoContent || h.status == http.StatusNotModified
	h.noBody = empty || w.method == http.MethodHead
	if empty && w.method != http.MethodHead {
		h.length = 0
	}
	fields := w.fields
	if h.decoded {
		fields.Del("Content-Length")
		h.length = -1
	}
	h.setFields(fields)
	return *h
}

// oversized is an error if the Content-Length exceeds Request.MaxBodySize.
func (w *replyWriter) oversized() error {
	w.mu.Lock()
	length, noBody := w.head.length, w.head.noBody
	w.mu.Unlock()
	if limit := int64(w.r.req.MaxBodySize); limit > 0 && length > limit && !noBody {
		return &SizeLimitError{bodySize, limit, length}
	}
	return nil
}

// beginRate starts to measure Request.MinRate.
func (w *replyWriter) beginRate() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stage == inBody || w.stage == beforeHead {
		w.rate.Begin()
	}
}
