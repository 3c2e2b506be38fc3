package wire

import (
	"bytes"
	"net/http"
	"net/textproto"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/netreply/netreply/headers"
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
type Field = headers.Field

// head gives the bytes of the final head. ok is false when they do not agree with
// what net/http made of them: then the two are out of step.
func (t *headTap) head(resp *http.Response) (head string, ok bool) {
	if !t.done {
		return "", false
	}
	head = string(t.buf[t.start:])
	status, lines := cutHead(head)
	// net/http lets blanks pass that no status line has, and a code that is none
	return head, status == resp.Status && resp.StatusCode != 0 && agrees(lines, resp.Header)
}

// cutHead gives the status and the header lines of a head.
func cutHead(head string) (status, lines string) {
	line, lines, _ := strings.Cut(head, "\n")
	_, status, _ = strings.Cut(strings.TrimRight(line, "\r"), " ")
	return status, lines
}

// cutLine gives the next field and the lines behind it. more is false at the end
// of the head; fold says that value continues the field before (obs-fold, RFC
// 9112, section 5.2).
func cutLine(lines string) (name, value, rest string, fold, more bool) {
	line, rest, _ := strings.Cut(lines, "\n")
	line = strings.TrimRight(line, "\r")
	if line == "" {
		return "", "", "", false, false
	}
	if line[0] == ' ' || line[0] == '\t' {
		return "", textproto.TrimString(line), rest, true, true
	}
	name, value, _ = strings.Cut(line, ":")
	return name, textproto.TrimString(value), rest, false, true
}

// ParseHead splits a head that Exchange.Head gave into reason phrase and
// fields.
func ParseHead(head string) (reason string, list []Field) {
	status, lines := cutHead(head)
	_, reason, _ = strings.Cut(status, " ")
	list = make([]Field, 0, strings.Count(lines, "\n"))
	for {
		name, value, rest, fold, more := cutLine(lines)
		if !more {
			return reason, list
		}
		if n := len(list); fold && n > 0 {
			list[n-1].Value = textproto.TrimString(list[n-1].Value + " " + value)
		} else if !fold {
			list = append(list, Field{Name: name, Value: value})
		}
		lines = rest
	}
}

// agrees tells whether every field stands in h, in the same order within a name,
// as far as that can be seen without building a list: folded fields are trusted.
// The names that net/http takes out or rewrites are left out.
func agrees(lines string, h http.Header) bool {
	all := lines
	for {
		name, value, rest, fold, more := cutLine(lines)
		if !more {
			return true
		}
		lines = rest
		if fold {
			continue
		}
		if _, _, _, folded, _ := cutLine(rest); folded {
			continue
		}
		if !httpguts.ValidHeaderFieldName(name) {
			return false // net/http lets blanks pass in names, too
		}
		key := textproto.CanonicalMIMEHeaderKey(name)
		switch key {
		case "Trailer", "Transfer-Encoding", "Content-Length", "Connection":
			continue
		}
		vs := h[key]
		nth := 0
		if len(vs) > 1 {
			nth = countBefore(all, len(all)-len(rest), name)
		}
		if nth >= len(vs) || vs[nth] != value {
			return false
		}
	}
}

// countBefore counts the fields called name in front of the last one of
// all[:end].
func countBefore(all string, end int, name string) int {
	n := -1
	for lines := all[:end]; ; {
		other, _, rest, fold, more := cutLine(lines)
		if !more {
			return n
		}
		if !fold && len(other) == len(name) && strings.EqualFold(other, name) {
			n++
		}
		lines = rest
	}
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
