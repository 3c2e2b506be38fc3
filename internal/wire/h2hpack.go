package wire

import (
	"errors"
	"math"
	"strings"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2/hpack"
)

// hpackScan decodes header blocks (RFC 7541) for the checks of their fields, and stores
// only what these need: a kind of name, and a number or flaw of the value. So it does not
// allocate, and its dynamic table is small, whatever the peer adds to it.
type hpackScan struct {
	table   []hpackEntry // the dynamic table from start on, newest last
	start   int
	size    uint32 // of the table, as defined in RFC 7541, section 4.1
	limit   uint32 // set by the peer, at most hpackTable
	scratch textScratch
}

// hpackTable is the maximum size of the dynamic table: net/http uses the default.
const hpackTable = 4096

// hpackEntry is the stored part of a field.
type hpackEntry struct {
	name  hpackName
	value hpackValue
}

// size is the size of a field (RFC 7541, section 4.1).
func (e hpackEntry) size() uint32 {
	return uint32(min(uint64(e.name.length)+uint64(e.value.length)+32, math.MaxUint32))
}

// hpackName is a field name.
type hpackName struct {
	kind   nameKind
	length uint32
}

type nameKind uint8

const (
	otherName nameKind = iota
	statusName
	lengthName  // content-length
	hopName     // connection-specific: RFC 9113, section 8.2.2
	pseudoName  // pseudo-header field that is invalid in responses
	invalidName // upper case, or not a token
	emptyName   // empty
)

// hpackValue is a field value.
type hpackValue struct {
	kind   valueKind
	length uint32
	number int64 // of statusName and lengthName, below 0 if invalid
}

type valueKind uint8

const (
	plainValue   valueKind = iota
	blankValue             // leading or trailing whitespace
	controlValue           // contains a control character
)

var errHPACK = errors.New("invalid header block")

// scan calls yield for each field of a complete block.
func (s *hpackScan) scan(block []byte, yield func(hpackEntry)) error {
	for len(block) > 0 {
		e, indexed, rest, err := s.field(block)
		if err != nil {
			return err
		}
		block = rest
		if indexed {
			yield(e)
		}
	}
	return nil
}

// field decodes one representation (RFC 7541, section 6). isField is false for a change of
// the table size.
func (s *hpackScan) field(p []byte) (e hpackEntry, isField bool, rest []byte, err error) {
	switch b := p[0]; {
	case b&0x80 != 0: // indexed
		i, rest, err := hpackInt(p, 7)
		if err != nil {
			return e, false, nil, err
		}
		e, ok := s.at(i)
		if !ok {
			return e, false, nil, errHPACK
		}
		return e, true, rest, nil
	case b&0xe0 == 0x20: // size update
		n, rest, err := hpackInt(p, 5)
		if err != nil || n > hpackTable {
			return e, false, nil, errHPACK
		}
		s.limit = uint32(n)
		s.evict()
		return e, false, rest, nil
	case b&0x40 != 0:
		e, rest, err = s.literal(p, 6)
		if err == nil {
			s.add(e)
		}
		return e, true, rest, err
	default: // without indexing, or never indexed
		e, rest, err = s.literal(p, 4)
		return e, true, rest, err
	}
}

// literal decodes a literal field; the index of its name has a prefix of n bits.
func (s *hpackScan) literal(p []byte, n uint) (e hpackEntry, rest []byte, err error) {
	i, p, err := hpackInt(p, n)
	if err != nil {
		return e, nil, err
	}
	if i > 0 {
		known, ok := s.at(i)
		if !ok {
			return e, nil, errHPACK
		}
		e.name = known.name
	} else {
		text, rest, err := s.text(p)
		if err != nil {
			return e, nil, err
		}
		e.name, p = nameOf(text), rest
	}
	text, rest, err := s.text(p)
	if err != nil {
		return e, nil, err
	}
	e.value = valueOf(text, e.name.kind)
	return e, rest, nil
}

// at returns an entry of the static or dynamic table (RFC 7541, section 2.3.3).
func (s *hpackScan) at(i uint64) (hpackEntry, bool) {
	if i == 0 {
		return hpackEntry{}, false
	}
	if i <= uint64(len(hpackStatic)) {
		return hpackStatic[i-1], true
	}
	i -= uint64(len(hpackStatic))
	if i > uint64(len(s.table)-s.start) {
		return hpackEntry{}, false
	}
	return s.table[uint64(len(s.table))-i], true
}

func (s *hpackScan) add(e hpackEntry) {
	if s.start > hpackTable/32 { // amortised: one move for as many additions as the table can hold
		s.table = s.table[:copy(s.table, s.table[s.start:])]
		s.start = 0
	}
	s.table = append(s.table, e)
	s.size += e.size()
	s.evict()
}

// evict removes the oldest entries until the size is within the limit. An entry larger than
// the limit empties the table (RFC 7541, section 4.4).
func (s *hpackScan) evict() {
	for s.size > s.limit {
		s.size -= s.table[s.start].size()
		s.start++
	}
}

// text decodes a string, which is valid until the next call.
func (s *hpackScan) text(p []byte) (text, rest []byte, err error) {
	if len(p) == 0 {
		return nil, nil, errHPACK
	}
	huffman := p[0]&0x80 != 0
	n, p, err := hpackInt(p, 7)
	if err != nil || n > uint64(len(p)) {
		return nil, nil, errHPACK
	}
	text, rest = p[:n], p[n:]
	if !huffman {
		return text, rest, nil
	}
	s.scratch = s.scratch[:0]
	if _, err := hpack.HuffmanDecode(&s.scratch, text); err != nil {
		return nil, nil, errHPACK
	}
	return s.scratch, rest, nil
}

// textScratch is a buffer for Huffman decoding.
type textScratch []byte

func (t *textScratch) Write(p []byte) (int, error) {
	*t = append(*t, p...)
	return len(p), nil
}

// trim frees a large buffer.
func (t *textScratch) trim() {
	if cap(*t) > 4<<10 {
		*t = nil
	}
}

// hpackInt decodes an integer with a prefix of n bits (RFC 7541, section 5.1).
func hpackInt(p []byte, n uint) (i uint64, rest []byte, err error) {
	if len(p) == 0 {
		return 0, nil, errHPACK
	}
	mask := uint64(1)<<n - 1
	i = uint64(p[0]) & mask
	p = p[1:]
	if i < mask {
		return i, p, nil
	}
	for shift := uint(0); shift < 63 && len(p) > 0; shift += 7 {
		b := p[0]
		p = p[1:]
		i += uint64(b&0x7f) << shift
		if b&0x80 == 0 {
			return i, p, nil
		}
	}
	return 0, nil, errHPACK
}

func nameOf(text []byte) hpackName {
	name := hpackName{length: uint32(len(text))}
	if len(text) == 0 {
		name.kind = emptyName
		return name
	}
	if text[0] == ':' {
		name.kind = pseudoName
		if string(text) == ":status" {
			name.kind = statusName
		}
		return name
	}
	for _, b := range text {
		if 'A' <= b && b <= 'Z' || b >= 0x80 || !httpguts.IsTokenRune(rune(b)) {
			name.kind = invalidName
			return name
		}
	}
	switch string(text) {
	case "content-length":
		name.kind = lengthName
	case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
		name.kind = hopName
	}
	return name
}

func valueOf(text []byte, kind nameKind) hpackValue {
	v := hpackValue{length: uint32(len(text))}
	for _, b := range text {
		if b < ' ' && b != '\t' || b == 0x7f {
			v.kind = controlValue
			return v
		}
	}
	if n := len(text); n > 0 && (blank(text[0]) || blank(text[n-1])) {
		v.kind = blankValue
	}
	switch kind {
	case statusName:
		v.number = -1
		if len(text) == 3 {
			v.number = decimal(text)
		}
	case lengthName:
		v.number = decimal(text)
	}
	return v
}

func blank(b byte) bool { return b == ' ' || b == '\t' }

// decimal parses a number that consists of digits only; -1 if it is invalid or too large.
func decimal(text []byte) int64 {
	if len(text) == 0 {
		return -1
	}
	n := int64(0)
	for _, b := range text {
		if !digit(b) || n > (math.MaxInt64-int64(b-'0'))/10 {
			return -1
		}
		n = n*10 + int64(b-'0')
	}
	return n
}

// hpackStatic is the static table (RFC 7541, appendix A).
var hpackStatic = staticTable()

func staticTable() (t [61]hpackEntry) {
	const fields = ":authority|:method GET|:method POST|:path /|:path /index.html|:scheme http|:scheme https|" +
		":status 200|:status 204|:status 206|:status 304|:status 400|:status 404|:status 500|" +
		"accept-charset|accept-encoding gzip, deflate|accept-language|accept-ranges|accept|access-control-allow-origin|" +
		"age|allow|authorization|cache-control|content-disposition|content-encoding|content-language|content-length|" +
		"content-location|content-range|content-type|cookie|date|etag|expect|expires|from|host|if-match|if-modified-since|" +
		"if-none-match|if-range|if-unmodified-since|last-modified|link|location|max-forwards|proxy-authenticate|" +
		"proxy-authorization|range|referer|refresh|retry-after|server|set-cookie|strict-transport-security|" +
		"transfer-encoding|user-agent|vary|via|www-authenticate"
	i := 0
	for field := range strings.SplitSeq(fields, "|") {
		name, value, _ := strings.Cut(field, " ")
		t[i].name = nameOf([]byte(name))
		t[i].value = valueOf([]byte(value), t[i].name.kind)
		i++
	}
	return t
}
