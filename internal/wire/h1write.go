package wire

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/netreply/netreply/headers"
)

// inlineLimit is the largest body in memory that is sent together with the head: any system
// takes that much at once.
const inlineLimit = 16 << 10

// requestFraming is how the body of a request is delimited.
type requestFraming struct {
	length  int64 // of a body of known length; -1 for bytes up to the end of a CONNECT's body
	chunked bool
	trailer []string // names of the announced trailers, in canonical form
}

// framingOf decides how the body of req is delimited, as net/http does.
func framingOf(req *http.Request) (f requestFraming, err error) {
	switch {
	case req.Body == nil || req.Body == http.NoBody:
	case req.ContentLength > 0:
		f.length = req.ContentLength
	case req.Method == http.MethodConnect:
		f.length = -1
	default:
		f.chunked = true
	}
	if !f.chunked {
		return f, nil
	}
	for name := range req.Trailer {
		name = textproto.CanonicalMIMEHeaderKey(name)
		switch name {
		case "Transfer-Encoding", "Trailer", "Content-Length":
			return f, fmt.Errorf("invalid trailer %q", name)
		}
		f.trailer = append(f.trailer, name)
	}
	slices.Sort(f.trailer)
	return f, nil
}

// sendsLength reports whether the request has a Content-Length: many servers expect one for
// these methods, even without a body (RFC 9110, section 8.6).
func (f *requestFraming) sendsLength(method string) bool {
	return f.length > 0 || !f.chunked && (method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch)
}

// noFraming is that of a request without a body.
var noFraming requestFraming

// check returns an error for a request that cannot be sent: a name, value or method
// that would change the meaning of the bytes around it. It notes the names of the fields.
func (w *headWriter) check(req *http.Request) error {
	switch {
	case req.URL == nil:
		return errors.New("request without a URL")
	case req.Method != "" && !httpguts.ValidHeaderFieldName(req.Method): // both are tokens
		return fmt.Errorf("invalid method %.40q", req.Method)
	case req.Host == "" && req.URL.Host == "":
		return errors.New("request without a host")
	case req.ContentLength != 0 && req.Body == nil:
		return errors.New("request with a length and without a body")
	}
	for name, values := range req.Header {
		if err := checkField("header field", name, values); err != nil {
			return err
		}
		w.names = append(w.names, name)
	}
	if len(req.Trailer) > 0 {
		return checkTrailer(req.Trailer)
	}
	return nil
}

func checkTrailer(fields http.Header) error {
	for name, values := range fields {
		if err := checkField("trailer", name, values); err != nil {
			return err
		}
	}
	return nil
}

// checkField and badValue are not inlined, to keep the stack small.
//
//go:noinline
func checkField(what, name string, values []string) error {
	if !httpguts.ValidHeaderFieldName(name) {
		return fmt.Errorf("invalid name of a %s: %.40q", what, name)
	}
	for _, v := range values {
		if !httpguts.ValidHeaderFieldValue(v) {
			return badValue(what, name)
		}
	}
	return nil
}

// badValue is an error without the value, which may be a secret.
//
//go:noinline
func badValue(what, name string) error {
	return fmt.Errorf("invalid value of the %s %.40q", what, name)
}

// hostOf returns the value of the Host field. It is not inlined, to keep the stack below start
// small.
//
//go:noinline
func hostOf(req *http.Request) (string, error) {
	host := req.Host
	if host == "" {
		host = req.URL.Host
	}
	host, err := httpguts.PunycodeHostPort(host)
	if err != nil {
		return "", err
	}
	if !httpguts.ValidHostHeader(host) {
		return "", nil // an empty one is valid
	}
	return withoutZone(host), nil
}

// withoutZone removes the zone of an IPv6 address, which has a meaning only on this machine
// (RFC 6874, section 1).
func withoutZone(host string) string {
	if !strings.HasPrefix(host, "[") {
		return host
	}
	end := strings.LastIndexByte(host, ']')
	if end < 0 {
		return host
	}
	if zone := strings.LastIndexByte(host[:end], '%'); zone >= 0 {
		return host[:zone] + host[end:]
	}
	return host
}

// targetOf returns the request target (RFC 9112, section 3.2).
func targetOf(req *http.Request, host string) (string, error) {
	target := req.URL.RequestURI()
	if req.Method == http.MethodConnect && req.URL.Path == "" {
		target = cmp.Or(req.URL.Opaque, host)
	}
	for i := range len(target) {
		if target[i] <= ' ' || target[i] == 0x7f {
			return "", errors.New("space or control character in the URL")
		}
	}
	return target, nil
}

// defaultUserAgent is sent by requests without a User-Agent, as by net/http.
const defaultUserAgent = "Go-http-client/1.1"

// headWriter writes request heads.
type headWriter struct {
	out   []byte
	names []string       // of the fields
	next  map[string]int // how many values of a name were written, for names in the order of the caller
	trace *httptrace.ClientTrace
}

// reset ends the use for a request. What was written may be secret, and is overwritten by the
// next one.
func (w *headWriter) reset() {
	w.trace = nil
	clear(w.names)
	w.names = w.names[:0]
	clear(w.next)
	if cap(w.out) > 2*inlineLimit {
		w.out = nil
	}
	w.out = w.out[:0]
}

// fields writes the values of a field.
func (w *headWriter) fields(name string, values []string) {
	for _, v := range values {
		w.line(name, textproto.TrimString(v))
	}
	if w.trace != nil {
		w.wrote(name, values)
	}
}

// field writes a field with one value.
func (w *headWriter) field(name, value string) {
	w.line(name, textproto.TrimString(value))
	if w.trace != nil {
		w.wrote(name, []string{value})
	}
}

// line writes a field. It is not inlined, to keep the stack of its callers small.
//
//go:noinline
func (w *headWriter) line(name, value string) {
	w.out = append(w.out, name...)
	w.out = append(w.out, ": "...)
	w.out = append(w.out, value...)
	w.out = append(w.out, "\r\n"...)
}

// wrote calls the hook for a field, with a trace.
//
//go:noinline
func (w *headWriter) wrote(name string, values []string) {
	if w.trace.WroteHeaderField == nil {
		return
	}
	trimmed := make([]string, len(values))
	for i, v := range values {
		trimmed[i] = textproto.TrimString(v)
	}
	w.trace.WroteHeaderField(name, trimmed)
}

// write writes the head of req. order, if not nil, has fields in the order and spelling in
// which they are sent; of their values those in req count. The other fields follow in the
// order of net/http.
func (w *headWriter) write(req *http.Request, f *requestFraming, order *headers.Headers, trace *httptrace.ClientTrace) error {
	if err := w.check(req); err != nil {
		return err
	}
	w.trace = trace
	if err := w.start(req); err != nil {
		return err
	}
	if order != nil && order.Len() > 0 {
		w.ordered(req.Header, order)
	}
	if agents, ok := req.Header["User-Agent"]; !ok {
		w.field("User-Agent", defaultUserAgent)
	} else if len(agents) > 0 && agents[0] != "" && w.next["User-Agent"] == 0 {
		w.field("User-Agent", agents[0])
	}
	if req.Close && !httpguts.HeaderValuesContainsToken(req.Header["Connection"], "close") {
		w.field("Connection", "close")
	}
	w.framing(req.Method, f)
	w.rest(req.Header)
	w.out = append(w.out, "\r\n"...)
	if trace != nil && trace.WroteHeaders != nil {
		trace.WroteHeaders()
	}
	return nil
}

// start writes the request line and the Host field. It and requestLine are not inlined, to keep the
// stack of write small.
//
//go:noinline
func (w *headWriter) start(req *http.Request) error {
	host, err := hostOf(req)
	if err != nil {
		return err
	}
	target, err := targetOf(req, host)
	if err != nil {
		return err
	}
	w.requestLine(cmp.Or(req.Method, http.MethodGet), target)
	w.field("Host", host)
	return nil
}

// requestLine writes the request line.
//
//go:noinline
func (w *headWriter) requestLine(method, target string) {
	w.out = append(w.out, method...)
	w.out = append(w.out, ' ')
	w.out = append(w.out, target...)
	w.out = append(w.out, " HTTP/1.1\r\n"...)
}

// framing writes the fields about the body.
func (w *headWriter) framing(method string, f *requestFraming) {
	if f.sendsLength(method) {
		w.field("Content-Length", strconv.FormatInt(f.length, 10))
	} else if f.chunked {
		w.field("Transfer-Encoding", "chunked")
	}
	if len(f.trailer) > 0 {
		w.line("Trailer", strings.Join(f.trailer, ","))
		if w.trace != nil {
			w.wrote("Trailer", f.trailer)
		}
	}
}

// owned reports whether a field is written by write itself. Those that delimit the request
// must not be sent twice, whatever their spelling.
func owned(name string) bool {
	switch len(name) {
	case len("Host"):
		return strings.EqualFold(name, "Host")
	case len("Trailer"):
		return strings.EqualFold(name, "Trailer")
	case len("User-Agent"):
		return name == "User-Agent"
	case len("Content-Length"):
		return strings.EqualFold(name, "Content-Length")
	case len("Transfer-Encoding"):
		return strings.EqualFold(name, "Transfer-Encoding")
	}
	return false
}

// rest writes the fields that were not written yet, sorted by name.
func (w *headWriter) rest(fields http.Header) {
	w.sort()
	for _, name := range w.names {
		if !owned(name) && w.next[name] == 0 {
			w.fields(name, fields[name])
		}
	}
}

// sort sorts the names of the fields. Few names are sorted by insertion, which takes little stack.
func (w *headWriter) sort() {
	if len(w.names) > 8 {
		slices.Sort(w.names)
		return
	}
	for i := range w.names {
		for ; i > 0 && w.names[i] < w.names[i-1]; i-- {
			w.names[i], w.names[i-1] = w.names[i-1], w.names[i]
		}
	}
}

// ordered writes the fields that the caller has listed, in its order and spelling. A field
// whose number of values was changed since is written at its first place.
func (w *headWriter) ordered(fields http.Header, order *headers.Headers) {
	key := func(name string) string { // in fields
		if _, ok := fields[name]; ok {
			return name
		}
		return textproto.CanonicalMIMEHeaderKey(name)
	}
	if w.next == nil {
		w.next = map[string]int{}
	}
	for name := range order.All() {
		w.next[key(name)]--
	}
	for name := range order.All() {
		key := key(name)
		values := fields[key]
		switch n := w.next[key]; {
		case len(values) == 0, key == "User-Agent" && values[0] == "", key != "User-Agent" && owned(key):
			w.next[key] = 0
		case n > 0 && n > len(values): // all were written at the first place
		case n > 0:
			w.field(name, values[n-1])
			w.next[key] = n + 1
		case -n == len(values):
			w.field(name, values[0])
			w.next[key] = 2
		default:
			w.fields(name, values)
			w.next[key] = len(values) + 1
		}
	}
}
