package wire

import (
	"bytes"
	"net/http"
	"net/textproto"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// headTap keeps the bytes of response heads as they come off an HTTP/1
// connection, since net/http gives back a map, without order and spelling.
type headTap struct {
	buf    []byte
	start  int // where the current block of header lines begins
	line   int // where the current line begins
	limit  int
	done   bool // the final head is complete
	closed bool // too large: nothing more is kept
}

// reset prepares the tap for the next response.
func (t *headTap) reset() {
	if cap(t.buf) > 16<<10 {
		t.buf = nil
	}
	t.buf, t.start, t.line, t.done, t.closed = t.buf[:0], 0, 0, false, false
}

// feed takes the bytes of one read, up to the end of the final head.
func (t *headTap) feed(p []byte) {
	for len(p) > 0 && !t.done && !t.closed {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			t.keep(p)
			return
		}
		t.keep(p[:i+1])
		p = p[i+1:]
		line := t.buf[t.line:]
		t.line = len(t.buf)
		if len(line) > 2 || len(line) == 2 && line[0] != '\r' {
			continue
		}
		// an empty line ends a block; the parser skips none before the status line
		if interim(t.buf[t.start:]) {
			t.start = len(t.buf)
			continue
		}
		t.done = true
	}
}

func (t *headTap) keep(p []byte) {
	if len(t.buf)+len(p) > t.limit {
		t.closed = true
		return
	}
	t.buf = append(t.buf, p...)
}

// interim tells whether a head is one of 1xx that another head follows
// (RFC 9110, section 15.2); 101 ends the exchange.
func interim(head []byte) bool {
	if !bytes.HasPrefix(head, []byte("HTTP/1.")) {
		return false
	}
	_, rest, ok := bytes.Cut(head, []byte(" "))
	return ok && len(rest) >= 3 && rest[0] == '1' && string(rest[:3]) != "101" && digit(rest[1]) && digit(rest[2])
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

// Field is one header line.
type Field struct{ Name, Value string }

// fields parses the final head. ok is false when it does not agree with what
// net/http made of the same bytes: then the two are out of step.
func (t *headTap) fields(resp *http.Response) (reason string, list []Field, ok bool) {
	if !t.done {
		return "", nil, false
	}
	head := string(t.buf[t.start:])
	line, rest, _ := strings.Cut(head, "\n")
	line = strings.TrimRight(line, "\r")
	_, status, _ := strings.Cut(line, " ")
	if status != resp.Status { // net/http lets blanks pass that no status line has
		return "", nil, false
	}
	_, reason, _ = strings.Cut(resp.Status, " ")
	list = make([]Field, 0, strings.Count(rest, "\n"))
	for rest != "" {
		line, rest, _ = strings.Cut(rest, "\n")
		line = strings.TrimRight(line, "\r")
		if line == "" {
			break
		}
		if line[0] == ' ' || line[0] == '\t' { // obs-fold, RFC 9112 section 5.2
			if len(list) == 0 {
				return "", nil, false
			}
			f := &list[len(list)-1]
			f.Value = textproto.TrimString(f.Value + " " + textproto.TrimString(line))
			continue
		}
		name, value, colon := strings.Cut(line, ":")
		if !colon {
			return "", nil, false
		}
		list = append(list, Field{name, textproto.TrimString(value)})
	}
	return reason, list, agrees(list, resp.Header)
}

// agrees tells whether every field stands in h, in the same order within a
// name. The names that net/http takes out or rewrites are left out.
func agrees(list []Field, h http.Header) bool {
	for i, f := range list {
		key := textproto.CanonicalMIMEHeaderKey(f.Name)
		switch key {
		case "Trailer", "Transfer-Encoding", "Content-Length", "Connection":
			continue
		}
		nth := 0
		for _, g := range list[:i] {
			if len(g.Name) == len(f.Name) && strings.EqualFold(g.Name, f.Name) {
				nth++
			}
		}
		vs := h[key]
		if nth >= len(vs) || vs[nth] != f.Value {
			return false
		}
	}
	return true
}

// headFault tells whether the bytes of an unfinished head are already wrong,
// so that the end of the connection is not what is to blame.
func headFault(raw []byte) bool {
	first := true
	for {
		line, rest, complete := bytes.Cut(raw, []byte("\n"))
		if first && wrongStart(line, complete) {
			return true
		}
		if !complete {
			return false
		}
		line = bytes.TrimRight(line, "\r")
		switch {
		case first:
			if _, _, ok := http.ParseHTTPVersion(string(firstWord(line))); !ok || !statusCode(line) {
				return true
			}
		case len(line) == 0:
			return true // a whole head that was refused
		case line[0] == ' ' || line[0] == '\t':
		default:
			name, _, ok := bytes.Cut(line, []byte(":"))
			if !ok || !httpguts.ValidHeaderFieldName(string(name)) {
				return true
			}
		}
		first = false
		raw = rest
	}
}

func wrongStart(line []byte, complete bool) bool {
	const start = "HTTP/"
	if len(line) < len(start) {
		return complete || string(line) != start[:len(line)]
	}
	return string(line[:len(start)]) != start
}

func firstWord(line []byte) []byte {
	w, _, _ := bytes.Cut(line, []byte(" "))
	return w
}

func statusCode(line []byte) bool {
	_, rest, ok := bytes.Cut(line, []byte(" "))
	code, _, _ := bytes.Cut(bytes.TrimLeft(rest, " "), []byte(" "))
	return ok && len(code) == 3 && digit(code[0]) && digit(code[1]) && digit(code[2])
}
