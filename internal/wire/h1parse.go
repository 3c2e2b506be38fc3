package wire

import (
	"fmt"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// parse makes the response of a head that the tap has accepted, after parseFields. The result is
// that of http.ReadResponse, without a body; the values are parts of head.
func (t *headTap) parse(head string, req *http.Request, into *parsedHead) (*http.Response, error) {
	line, _, _ := strings.Cut(head, "\n")
	line = strings.TrimSuffix(line, "\r")
	resp := &into.response
	resp.Request, resp.Proto, resp.ProtoMajor, resp.ProtoMinor = req, line[:len("HTTP/1.1")], 1, t.minor
	resp.Status, resp.StatusCode = line[len("HTTP/1.1 "):], t.status
	h := resp.Header
	if hp := h["Pragma"]; len(hp) > 0 && hp[0] == "no-cache" {
		if _, ok := h["Cache-Control"]; !ok {
			h["Cache-Control"] = []string{"no-cache"}
		}
	}
	resp.Close = t.closing(h)
	delete(h, "Transfer-Encoding")
	if t.chunked {
		resp.TransferEncoding = []string{"chunked"}
	}
	t.setLength(resp)
	return resp, t.announceTrailers(resp)
}

// fieldBlock is for how many fields room is made at once: lines may be no fields, and fields
// have the same name, and a head must not cost many times its size.
const fieldBlock = 64

// parsedHead is the memory of a response and its fields. Before use nothing of the response is set.
type parsedHead struct {
	response http.Response
	fields   http.Header // empty, for the next response; nil for none
	values   []string    // likewise
}

// clear makes the memory that of another response: nothing of this one stays. Nobody may use its
// fields any more.
func (p *parsedHead) clear() {
	p.fields = p.response.Header
	if len(p.fields) > fieldBlock { // a map never gets smaller
		p.fields = nil
	}
	clear(p.fields)
	clear(p.values)
	p.response = http.Response{}
}

// parseFields sets the fields of the response to those of a head.
func (p *parsedHead) parseFields(head string) {
	_, lines, _ := strings.Cut(head, "\n")
	h, values := p.room(min(strings.Count(lines, "\n")-1, fieldBlock))
	p.response.Header = h
	for lines != "" {
		var f Field
		if f, lines = cutField(lines); f.Name == "" {
			continue
		}
		key := textproto.CanonicalMIMEHeaderKey(f.Name)
		if old := h[key]; old != nil {
			h[key] = append(old, f.Value)
			continue
		}
		if len(values) == 0 {
			values = make([]string, fieldBlock)
		}
		values[0] = f.Value
		h[key], values = values[:1:1], values[1:]
	}
}

// room returns memory for n fields. It is not inlined, to keep the stack of parseFields small.
//
//go:noinline
func (p *parsedHead) room(n int) (http.Header, []string) {
	h := p.fields
	if h == nil {
		h = make(http.Header, n)
	}
	if n > cap(p.values) {
		p.values = make([]string, n) // one allocation for many names with one value
	}
	return h, p.values[:n]
}

// closing reports whether the server closes the connection after the response. The
// Connection field with which it says so is removed.
func (t *headTap) closing(h http.Header) bool {
	options := h["Connection"]
	if len(options) == 0 {
		return t.minor == 0
	}
	closes := httpguts.HeaderValuesContainsToken(options, "close")
	if t.minor == 0 {
		return closes || !httpguts.HeaderValuesContainsToken(options, "keep-alive")
	}
	if closes {
		delete(h, "Connection")
	}
	return closes
}

// setLength sets the length of the body, and leaves at most one Content-Length.
func (t *headTap) setLength(resp *http.Response) {
	h := resp.Header
	if lengths := h["Content-Length"]; len(lengths) > 1 {
		h["Content-Length"] = lengths[:1:1]
	}
	if lengths := h["Content-Length"]; len(lengths) > 0 && strings.IndexByte(lengths[0], ',') >= 0 {
		h["Content-Length"] = []string{strconv.FormatInt(t.length, 10)}
	}
	switch {
	case t.isHEAD:
		resp.ContentLength = t.length
	case t.status/100 == 1, t.status == 204, t.status == 304:
	case t.chunked:
		delete(h, "Content-Length")
		resp.ContentLength = -1
	case t.length >= 0:
		resp.ContentLength = t.length
	default:
		resp.ContentLength, resp.Close = -1, true
	}
}

// announceTrailers makes the names in the Trailer field of a chunked response the keys of
// resp.Trailer.
func (t *headTap) announceTrailers(resp *http.Response) error {
	list, ok := resp.Header["Trailer"]
	if !ok || !t.chunked {
		return nil
	}
	delete(resp.Header, "Trailer")
	for _, names := range list {
		for name := range strings.SplitSeq(names, ",") {
			switch name = textproto.CanonicalMIMEHeaderKey(textproto.TrimString(name)); name {
			case "":
				continue
			case "Transfer-Encoding", "Trailer", "Content-Length":
				return fmt.Errorf("bad trailer %q", name)
			}
			if resp.Trailer == nil {
				resp.Trailer = http.Header{}
			}
			resp.Trailer[name] = nil
		}
	}
	return nil
}
