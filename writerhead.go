package netreply

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"

	"github.com/netreply/netreply/internal/flow"
)

// AttributeKey is an Attribute or a UserAttribute, as a key of SetAttribute.
type AttributeKey interface {
	// String is the name of the attribute.
	String() string
	setBy(w *replyWriter, value any) (reason string)
}

// SetAttribute sets an attribute of the reply: one of HTTPStatusCode, HTTPReasonPhrase,
// RedirectionTarget, ConnectionEncrypted, OriginalContentLength, HTTP2WasUsed, or a
// UserAttribute, for which UserAttribute.OfReply returns it. The value must have the type of
// the attribute. Without HTTPStatusCode the reply has no status. A status from 400 on fails
// the reply with the code that it has in HTTP, after the body.
func (w ReplyWriter) SetAttribute(a AttributeKey, value any) error {
	const method = "SetAttribute"
	last := beforeHead
	if isNil(a) {
		return &UsageError{method, "a nil attribute"}
	}
	if _, user := a.(interface{ ofRequest() }); user {
		last = inBody
	}
	if err := w.w.lock(method, last); err != nil {
		return err
	}
	defer w.w.mu.Unlock()
	if reason := a.setBy(w.w, value); reason != "" {
		return &UsageError{method, a.String() + ": " + reason}
	}
	return nil
}

// setStatus sets HTTPStatusCode. Interim statuses have a signal of their own.
func (w *replyWriter) setStatus(code int) (reason string) {
	if code < 200 || code > 999 {
		return strconv.Itoa(code) + " is not the status of a final response"
	}
	w.status = code
	return ""
}

func (w *replyWriter) setReason(phrase string) (reason string) {
	if strings.IndexFunc(phrase, unicode.IsControl) >= 0 {
		return "a reason phrase has no control characters"
	}
	w.reason = phrase
	return ""
}

func (w *replyWriter) setTarget(target *url.URL) (reason string) {
	if target == nil {
		return "a nil URL"
	}
	to := *target // a copy: the program may change it
	w.head.target = &to
	return ""
}

// HeaderKey is a KnownHeader, as a key of SetHeader.
type HeaderKey interface {
	setIn(h *Headers, value any) (reason string)
}

// SetHeader sets a header field to a typed value, such as ContentLengthHeader to an int64. The
// value must have the type of the field.
func (w ReplyWriter) SetHeader(k HeaderKey, value any) error {
	const method = "SetHeader"
	if isNil(k) {
		return &UsageError{method, "a nil header"}
	}
	if err := w.w.lock(method, beforeHead); err != nil {
		return err
	}
	defer w.w.mu.Unlock()
	var h Headers
	if reason := k.setIn(&h, value); reason != "" {
		return &UsageError{method, reason}
	}
	for name, value := range h.All() {
		if err := w.w.setField(method, name, value); err != nil {
			return err
		}
	}
	return nil
}

// SetRawHeader sets a header field to a text. An empty value removes the field (rule H22).
func (w ReplyWriter) SetRawHeader(name, value string) error {
	const method = "SetRawHeader"
	if err := w.w.lock(method, beforeHead); err != nil {
		return err
	}
	defer w.w.mu.Unlock()
	return w.w.setField(method, name, value)
}

// SetHeaders replaces all header fields.
func (w ReplyWriter) SetHeaders(h Headers) error {
	const method = "SetHeaders"
	if err := w.w.lock(method, beforeHead); err != nil {
		return err
	}
	defer w.w.mu.Unlock()
	length, err := checkFields(h)
	if err != nil {
		return &UsageError{method, err.Error()}
	}
	w.w.fields, w.w.head.length = h.Clone(), length
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

// SetTrailers sets the trailer fields of the reply, until its end.
func (w ReplyWriter) SetTrailers(h Headers) error {
	const method = "SetTrailers"
	if err := w.w.lock(method, inBody); err != nil {
		return err
	}
	defer w.w.mu.Unlock()
	if err := validateHeaders(h); err != nil {
		return &UsageError{method, errors.Unwrap(err).Error()}
	}
	t := h.Clone()
	w.w.trailers = &t
	return nil
}

// SetOperation sets what Reply.Operation and Reply.Method return. CustomOperation is possible
// only for a request whose method is a custom one.
func (w ReplyWriter) SetOperation(o Operation) error {
	const method = "SetOperation"
	if err := w.w.lock(method, inBody); err != nil {
		return err
	}
	defer w.w.mu.Unlock()
	name := methodOf(o)
	if o == CustomOperation && operationOf(w.w.request.Method) == CustomOperation {
		name = w.w.request.Method
	}
	if name == "" {
		return &UsageError{method, "the operation " + o.String() + " has no method"}
	}
	r := w.w.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state == running {
		r.method = name
	}
	return nil
}

// methodOf is the method of an operation, "" for those that have none.
func methodOf(o Operation) string {
	switch o {
	case HeadOperation:
		return http.MethodHead
	case GetOperation:
		return http.MethodGet
	case PutOperation:
		return http.MethodPut
	case PostOperation:
		return http.MethodPost
	case DeleteOperation:
		return http.MethodDelete
	case UnknownOperation, CustomOperation:
	}
	return ""
}

// SetRequest sets what Reply.Request returns, to a copy. It does not change what is sent.
func (w ReplyWriter) SetRequest(q *Request) error {
	const method = "SetRequest"
	if q == nil {
		return &UsageError{method, "a nil Request"}
	}
	if err := w.w.lock(method, inBody); err != nil {
		return err
	}
	defer w.w.mu.Unlock()
	r := w.w.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state == running {
		r.more().request = q.Clone()
	}
	return nil
}

// SetURL sets what Reply.URL returns, to a copy.
func (w ReplyWriter) SetURL(u *url.URL) error {
	const method = "SetURL"
	if u == nil {
		return &UsageError{method, "a nil URL"}
	}
	if err := w.w.lock(method, inBody); err != nil {
		return err
	}
	defer w.w.mu.Unlock()
	to := *u
	w.w.r.setURL(&to)
	return nil
}

// MetaDataChanged makes the head visible and emits the signal of that name (rule S44). Write
// calls it if it was not called before.
func (w ReplyWriter) MetaDataChanged() error { return w.w.MetaDataChanged() }

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
	if w.r.handover == nil {
		return
	}
	w.mu.Lock()
	resp := w.head.response()
	w.mu.Unlock()
	w.r.deliver(resp)
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
	secure := w.secure
	w.mu.Unlock()
	r := w.r
	if secure != nil {
		r.mu.Lock()
		if r.state == running {
			r.secure = *secure
		}
		r.mu.Unlock()
	}
	r.showHead(h)
}

// finalHead completes the head. The caller holds the lock.
func (w *replyWriter) finalHead() head {
	h := &w.head
	h.status = w.status
	if h.status != 0 {
		h.raw = "HTTP/1.1 " + strconv.Itoa(h.status) + " " + w.reason
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
	h.fields = &fields
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
