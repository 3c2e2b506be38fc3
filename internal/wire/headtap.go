package wire

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"strings"
	"time"

	"github.com/netreply/netreply/headers"
)

// maxBlank is the maximum number of bytes of empty lines before a status line, or between
// two exchanges (RFC 9112, sections 2.2 and 9.2).
const maxBlank = 64

// headTap parses the response on an HTTP/1 connection incrementally, each byte once. It
// checks the lines of a head, stores the final head as it was sent (net/http only provides
// a map), and finds the end of the response, so that bytes after it are not treated as the
// next response.
type headTap struct {
	limit int // limit of the bytes of all heads of an exchange
	head  []byte
	line  int // start of the current line in head
	size  int // bytes of all heads so far
	blank int // bytes of empty lines so far
	cr    bool
	stage stage
	// fault is the error of the response.
	fault error
	// noReuse reports that the end of the response is ambiguous, or that the peer will
	// close the connection: it must not be reused.
	noReuse bool
	// stray reports that fault is in the first bytes, which are not the start of a head.
	stray bool

	isHEAD bool // the request is a HEAD
	pauses bool // at the end of an interim head, until nextHead
	// lenient accepts what other clients accept, and net/http does not; see detachedField and
	// equalLengths.
	lenient bool

	headFacts
	chunks chunkScanner
	left   int64 // bytes left of a body of known length
}

// headFacts are the parsed facts of one head.
type headFacts struct {
	status, minor      int // status 0: no status line yet
	framing            framing
	length             int64 // Content-Length, -1 if missing
	chunked            bool
	framingField       bool // the last line was Content-Length or Transfer-Encoding
	hasField           bool // there was a header line
	keepAlive          time.Duration
	limitsKeep, closes bool // keepAlive is set; Proxy-Connection: close
}

type stage uint8

const (
	inHead    stage = iota
	inInterim       // between the heads of an interim response and the next one
	inBody
	over
)

// reset prepares the tap for the next response.
func (t *headTap) reset(method string) {
	buf := t.head
	if cap(buf) > 16<<10 {
		buf = nil
	}
	*t = headTap{limit: t.limit, head: buf[:0], chunks: chunkScanner{trailer: t.chunks.trailer[:0]}, isHEAD: method == http.MethodHead}
	t.length = -1
}

// feed processes the bytes of one read. It moves those that are passed on to the front of
// p, and returns their number as kept: empty lines before a head are removed, because
// net/http does not skip them. used is the position of the end of the response or of an
// error; bytes after it do not belong to the response.
func (t *headTap) feed(p []byte) (kept, used int) {
	for used < len(p) && t.fault == nil && t.stage != over {
		rest := p[used:]
		if t.stage == inHead && len(t.head) == 0 {
			if n := t.skipBlank(rest); n > 0 || t.fault != nil {
				used += n
				continue
			}
		}
		n := t.take(rest)
		if kept != used {
			copy(p[kept:], rest[:n])
		}
		kept += n
		used += n
	}
	return kept, used
}

// skipBlank returns the number of bytes of empty lines at the start of p.
func (t *headTap) skipBlank(p []byte) (n int) {
	for n < len(p) && t.fault == nil {
		switch {
		case p[n] == '\n':
			t.cr = false
		case t.cr:
			t.fault = errors.New("bare CR before the status line")
			return n
		case p[n] == '\r':
			t.cr = true
		default:
			return n
		}
		n++
		if t.blank++; t.blank > maxBlank {
			t.fault = errors.New("too many empty lines before the status line")
		}
	}
	return n
}

// take processes bytes up to the end of a line of the head, or of the available part of the
// body.
func (t *headTap) take(p []byte) (n int) {
	switch {
	case t.stage == inHead:
		return t.takeLine(p)
	case t.framing == byLength:
		n = int(min(int64(len(p)), t.left))
		if t.left -= int64(n); t.left == 0 {
			t.stage = over
		}
	case t.framing == byChunks:
		n, t.fault = t.chunks.scan(p)
		if t.chunks.done() {
			t.stage = over
		}
	default:
		n = len(p)
	}
	return n
}

// takeLine processes bytes up to the end of a line of the head.
func (t *headTap) takeLine(p []byte) int {
	n := bytes.IndexByte(p, '\n') + 1
	whole := n > 0
	if !whole {
		n = len(p)
	}
	if t.size += n; t.size > t.limit {
		t.fault = errTooLarge(t.limit)
		return 0
	}
	t.head = append(t.head, p[:n]...)
	if t.status == 0 {
		t.checkStart()
	}
	if whole && t.fault == nil {
		line := cutEOL(t.head[t.line:])
		t.line = len(t.head)
		t.endLine(line)
	}
	return n
}

// The functions that make errors are not inlined, to keep the stack of their callers small.

//go:noinline
func errTooLarge(limit int) error { return fmt.Errorf("response head of more than %d bytes", limit) }

//go:noinline
func errNameByte(c byte) error { return fmt.Errorf("%q in the name of a header field", c) }

//go:noinline
func errValueByte(c byte, name []byte) error {
	if name == nil {
		name = []byte("a folded header field")
	}
	return fmt.Errorf("control character %#02x in the value of %.40s", c, name)
}

//go:noinline
func errReasonByte(c byte) error {
	return fmt.Errorf("control character %#02x in the reason phrase", c)
}

//go:noinline
func errStatusLine(line []byte) error {
	return fmt.Errorf("malformed status line: %q", line[:min(len(line), 40)])
}

// cutEOL removes the end of a line: CR LF, or LF alone (RFC 9112, section 2.2).
func cutEOL(line []byte) []byte {
	line = line[:len(line)-1]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line
}

// startForm is the form of the start of a status line; 0 stands for a digit.
const startForm = "HTTP/0.0 000"

// checkStart checks the available part of the status line, so that another protocol is
// detected by its first bytes.
func (t *headTap) checkStart() {
	for i := range min(len(t.head), len(startForm)) {
		if want, c := startForm[i], t.head[i]; want == '0' && !digit(c) || want != '0' && c != want {
			t.stray = i < len("HTTP/")
			t.fault = errStatusLine(t.head)
			return
		}
	}
}

// endLine processes a line of the head.
func (t *headTap) endLine(line []byte) {
	switch {
	case t.status == 0:
		t.statusLine(line)
	case len(line) == 0:
		t.endHead()
	case line[0] == ' ' || line[0] == '\t':
		switch {
		case !t.hasField:
			t.fault = errors.New("folded first header line")
		case t.framingField:
			t.fault = errors.New("folded Content-Length or Transfer-Encoding")
		default:
			t.checkValue(line, nil)
		}
	default:
		t.field(line)
	}
}

func (t *headTap) statusLine(line []byte) {
	if len(line) < len(startForm) || len(line) > len(startForm) && line[len(startForm)] != ' ' {
		t.fault = errStatusLine(line)
		return
	}
	for _, c := range line[len(startForm):] {
		if !textByte(c) {
			t.fault = errReasonByte(c)
			return
		}
	}
	if line[5] != '1' {
		t.fault = fmt.Errorf("%s on a connection of HTTP/1.1", line[:8])
		return
	}
	t.minor = int(line[7] - '0')
	t.status = int(line[9]-'0')*100 + int(line[10]-'0')*10 + int(line[11]-'0')
	if t.status == 0 {
		t.fault = errors.New("status code 000")
	}
}

// field processes a header line.
func (t *headTap) field(line []byte) {
	colon := bytes.IndexByte(line, ':')
	if colon < 0 {
		t.fault = errors.New("header line without a colon")
		return
	}
	name, value := line[:colon], line[colon+1:]
	if blank := bytes.TrimRight(name, " \t"); t.lenient && len(blank) < len(name) {
		t.detachedField(blank, value)
		return
	}
	if !t.beginField(name, value) {
		return
	}
	switch len(name) {
	case len("Keep-Alive"):
		if is(name, "Keep-Alive") {
			t.hint(value)
		}
	case len("Content-Length"):
		if is(name, "Content-Length") {
			t.contentLength(value)
		}
	case len("Proxy-Connection"):
		if is(name, "Proxy-Connection") && is(bytes.TrimSpace(value), "close") {
			t.closes = true
		}
	case len("Transfer-Encoding"):
		if is(name, "Transfer-Encoding") {
			t.transferEncoding(value)
		}
	}
}

// detachedField processes a header line with blanks between its name and the colon. Parsers
// disagree about its name (RFC 9112, section 5.1), so it is left out, unless it would
// delimit the body.
func (t *headTap) detachedField(name, value []byte) {
	if is(name, "Content-Length") || is(name, "Transfer-Encoding") {
		t.fault = fmt.Errorf("blank after the name of %s", name)
		return
	}
	t.beginField(name, value)
}

// beginField checks the name and the value of a field, which following lines may continue.
func (t *headTap) beginField(name, value []byte) (ok bool) {
	for _, c := range name {
		if !tokenByte[c] {
			t.fault = errNameByte(c)
			return false
		}
	}
	if len(name) == 0 {
		t.fault = errors.New("header field without a name")
		return false
	}
	t.hasField, t.framingField = true, false
	return t.checkValue(value, name)
}

// is reports whether b is s, which is ASCII, in any case.
func is(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i, c := range b {
		if d := s[i]; c != d && (c^d != 'a'-'A' || d|0x20 < 'a' || d|0x20 > 'z') {
			return false
		}
	}
	return true
}

// checkValue checks a value. For the continuation of a folded one name is nil.
func (t *headTap) checkValue(value, name []byte) bool {
	for _, c := range value {
		if !textByte(c) {
			t.fault = errValueByte(c, name)
			return false
		}
	}
	return true
}

func (t *headTap) contentLength(value []byte) {
	t.framingField = true
	n := decimal(bytes.Trim(value, " \t"))
	if n < 0 && t.lenient {
		n = equalLengths(value)
	}
	switch {
	case n < 0:
		t.fault = fmt.Errorf("malformed Content-Length: %.40q", bytes.Trim(value, " \t"))
	case t.length >= 0 && t.length != n:
		t.fault = fmt.Errorf("two different Content-Length fields: %d and %d", t.length, n)
	default:
		t.length = n
	}
}

// equalLengths parses a list of equal lengths, as intermediaries make it of repeated fields
// (RFC 9110, section 8.6); -1 for anything else.
func equalLengths(list []byte) int64 {
	n := int64(-1)
	for part := range bytes.SplitSeq(list, []byte(",")) {
		m := decimal(bytes.Trim(part, " \t"))
		if m < 0 || n >= 0 && m != n {
			return -1
		}
		n = m
	}
	return n
}

func (t *headTap) transferEncoding(value []byte) {
	t.framingField = true
	value = bytes.Trim(value, " \t")
	switch {
	case t.minor == 0:
		t.fault = errors.New("Transfer-Encoding in a response of HTTP/1.0")
	case t.chunked || !is(value, "chunked"):
		t.fault = fmt.Errorf("unsupported Transfer-Encoding: %.40q", value)
	default:
		t.chunked = true
	}
}

// hint parses a Keep-Alive field (RFC 2068, section 19.7.1, as servers use it).
func (t *headTap) hint(value []byte) {
	for part := range bytes.SplitSeq(value, []byte(",")) {
		name, number, _ := bytes.Cut(part, []byte("="))
		n := decimal(bytes.Trim(number, " \t"))
		if n < 0 {
			continue
		}
		switch name = bytes.Trim(name, " \t"); {
		case is(name, "timeout"):
			t.keepAlive, t.limitsKeep = time.Duration(min(n, 1<<31))*time.Second, true
		case is(name, "max") && n == 0:
			t.closes = true
		}
	}
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

// endHead decides what follows a head: another head after an interim response, which is any
// 1xx except 101 (RFC 9110, section 15.2), otherwise the body.
func (t *headTap) endHead() {
	bodiless := t.status/100 == 1 || t.status == 204 || t.status == 304
	if bodiless && (t.length >= 0 || t.chunked) {
		// a server that declares a body here may also send it
		t.noReuse = true
	}
	if t.length >= 0 && t.chunked || t.closes {
		t.noReuse = true // RFC 9112, section 6.1
	}
	if t.status < 100 {
		t.noReuse = true // it is no HTTP status
	}
	if t.status/100 == 1 && t.status != 101 {
		if t.pauses {
			t.stage = inInterim
		} else {
			t.nextHead()
		}
		return
	}
	t.stage = inBody
	switch {
	case t.status == 101:
		t.framing = tunnel
	case t.isHEAD || bodiless || t.length == 0 && !t.chunked:
		t.stage = over
	case t.chunked:
		t.framing = byChunks
	case t.length > 0:
		t.framing, t.left = byLength, t.length
	default:
		t.framing = byClose
	}
}

// nextHead prepares the tap for the head after an interim one.
func (t *headTap) nextHead() {
	t.stage, t.headFacts = inHead, headFacts{length: -1}
	t.head, t.line = t.head[:0], 0
}

// feedHead processes the next bytes of a head, and returns how many of p belong to it: all,
// if it does not end in p.
func (t *headTap) feedHead(p []byte) (used int) {
	for used < len(p) && t.fault == nil && t.stage == inHead {
		rest := p[used:]
		if len(t.head) == 0 {
			if n := t.skipBlank(rest); n > 0 || t.fault != nil {
				used += n
				continue
			}
		}
		used += t.takeLine(rest)
	}
	return used
}

// Field is one header line.
type Field = headers.Field

// final returns the final head. ok is false if net/http has parsed the response
// differently.
func (t *headTap) final(resp *http.Response) (head string, ok bool) {
	if t.stage == inHead {
		return "", false
	}
	head = string(t.head)
	status, _ := cutHead(head)
	return head, status == resp.Status && t.status == resp.StatusCode && t.framed(resp)
}

// framed reports whether net/http delimits the body in the same way.
func (t *headTap) framed(resp *http.Response) bool {
	switch t.framing {
	case byLength:
		return resp.ContentLength == t.length
	case byChunks:
		return resp.ContentLength == -1 && len(resp.TransferEncoding) == 1
	case byClose:
		return resp.ContentLength == -1 && len(resp.TransferEncoding) == 0
	case tunnel:
		return true
	}
	return resp.Body == http.NoBody
}

// cutHead splits a head into status and header lines.
func cutHead(head string) (status, lines string) {
	line, lines, _ := strings.Cut(head, "\n")
	_, status, _ = strings.Cut(strings.TrimSuffix(line, "\r"), " ")
	return status, lines
}

// ParseHead parses Exchange.Head into reason phrase and fields.
func ParseHead(head string) (reason string, list []Field) {
	status, lines := cutHead(head)
	_, reason, _ = strings.Cut(status, " ")
	list = make([]Field, 0, strings.Count(lines, "\n"))
	for lines != "" {
		var f Field
		if f, lines = cutField(lines); f.Name != "" {
			list = append(list, f)
		}
	}
	return reason, list
}

// cutField splits the lines of a head into the first field and the lines after it. The field
// has no name if it is the end of the head, or is left out; see detachedField.
func cutField(lines string) (f Field, rest string) {
	line, rest, _ := strings.Cut(lines, "\n")
	line = strings.TrimSuffix(line, "\r")
	if line == "" {
		return f, ""
	}
	f.Name, f.Value, _ = strings.Cut(line, ":")
	f.Value = textproto.TrimString(f.Value)
	if folded(rest) {
		f.Value, rest = unfold(f.Value, rest)
	}
	if strings.HasSuffix(f.Name, " ") || strings.HasSuffix(f.Name, "\t") {
		f.Name = ""
	}
	return f, rest
}

// folded reports whether the next line continues the previous value (obs-fold, RFC 9112,
// section 5.2).
func folded(lines string) bool { return lines != "" && (lines[0] == ' ' || lines[0] == '\t') }

// unfold joins a value with its continuation lines, and returns the lines after those.
func unfold(value, lines string) (whole, rest string) {
	var all strings.Builder
	all.WriteString(value)
	for folded(lines) {
		var line string
		line, lines, _ = strings.Cut(lines, "\n")
		all.WriteByte(' ')
		all.WriteString(textproto.TrimString(line))
	}
	return textproto.TrimString(all.String()), lines
}
