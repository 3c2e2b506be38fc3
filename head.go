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
	status int // 0 for a Backend's head without one
	// fields is made from raw, the bytes of an HTTP/1 head, or from mapped, when Headers is
	// first called.
	raw     string
	mapped  http.Header
	fields  *Headers
	length  int64 // of the body, -1 if unknown
	encoded int64 // length before decoding, -1 if unknown
	decoded bool  // the body is delivered decoded
	noBody  bool  // the response has no body
	final   bool  // no other head follows
	http2   bool
	http    bool // HTTP2WasUsed is set
	seen    bool // there was a head
	target  *url.URL
}

// reason is the reason phrase of the status line; HTTP/2 has none.
func (h *head) reason() string {
	line, _, _ := strings.Cut(h.raw, "\n")
	_, status, _ := strings.Cut(strings.TrimRight(line, "\r"), " ")
	_, reason, _ := strings.Cut(strings.TrimLeft(status, " "), " ")
	return reason
}

// list parses the fields of the head.
func (h *head) list() *Headers {
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
	return &list
}

// response makes a response of the head that a Backend has written.
func (h *head) response() *http.Response {
	resp := &http.Response{StatusCode: h.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h.fields.HTTP(), ContentLength: h.length}
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
