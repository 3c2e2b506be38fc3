package netreply

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/internal/wire"
)

// head is the content of the last response head.
type head struct {
	// The fields are made from raw, the bytes of an HTTP/1 head, or from mapped, when Headers is
	// first called.
	raw     string
	mapped  http.Header
	length  int64     // of the body, -1 if unknown
	rare    *rareHead // nil without any of it
	status  uint16    // 0 for a Backend's head without one
	decoded bool      // the body is delivered decoded
	noBody  bool      // the response has no body
	final   bool      // no other head follows
	http2   bool
	http    bool // HTTP2WasUsed is set
	seen    bool // there was a head
}

// rareHead is what few heads have, and the fields that Headers has made.
type rareHead struct {
	fields  Headers
	listed  bool     // fields is set
	target  *url.URL // of a redirect that was not followed
	encoded int64    // length before decoding, -1 if unknown; of a body that is delivered decoded
}

// more returns h.rare, which it makes.
func (h *head) more() *rareHead {
	if h.rare == nil {
		h.rare = new(rareHead)
	}
	return h.rare
}

// target is that of a redirect that was not followed, nil for none.
func (h *head) target() *url.URL {
	if h.rare == nil {
		return nil
	}
	return h.rare.target
}

// setTarget sets what target returns.
func (h *head) setTarget(u *url.URL) {
	if u != nil || h.rare != nil {
		h.more().target = u
	}
}

// decode says that the body is delivered decoded, and had a length before, -1 if that is unknown.
func (h *head) decode(encoded int64) { h.decoded, h.length, h.more().encoded = true, -1, encoded }

// list returns the fields.
func (h *head) list() Headers {
	x := h.more()
	if !x.listed {
		h.setFields(h.parse())
	}
	return x.fields // a shallow copy: changing a Headers copies its fields
}

func (h *head) setFields(list Headers) { h.more().fields, h.rare.listed = list, true }

// reason is the reason phrase of the status line; HTTP/2 has none.
func (h *head) reason() string {
	line, _, _ := strings.Cut(h.raw, "\n")
	_, status, _ := strings.Cut(strings.TrimRight(line, "\r"), " ")
	_, reason, _ := strings.Cut(strings.TrimLeft(status, " "), " ")
	return reason
}

// parse makes the fields of the head.
func (h *head) parse() Headers {
	var list Headers
	if h.raw != "" {
		_, fields := wire.ParseHead(h.raw)
		list = headers.FromFields(fields)
	} else {
		list = headersFrom(h.mapped, h.http2)
	}
	if h.decoded { // rule Z4
		list.Del("Content-Length")
	}
	return list
}

// response makes a response of the head that a Backend has written.
func (h *head) response() *http.Response {
	resp := &http.Response{StatusCode: int(h.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h.list().HTTP(), ContentLength: h.length}
	if resp.StatusCode == 0 {
		resp.StatusCode = http.StatusOK
	}
	reason := h.reason()
	if reason == "" {
		reason = http.StatusText(resp.StatusCode)
	}
	resp.Status = strconv.Itoa(resp.StatusCode) + " " + reason
	if h.noBody {
		resp.Body = http.NoBody
	}
	return resp
}
