// Package cacheentry writes the metadata of a stored response as bytes, and reads it.
//
// The form is a version, the fields of cacherules.Record in a fixed order, and a checksum.
// Numbers are varints, texts have their length before them. Reading accepts exactly what
// writing makes, and takes no more memory than the bytes justify.
package cacheentry

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"time"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/internal/cacherules"
)

// version is the first byte. Entries of other versions are not read.
const version = 1

// MaxSize is the largest size of metadata in bytes.
const MaxSize = 4 << 20

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)

	// ErrDamaged is the error of bytes that Append has not made.
	ErrDamaged = errors.New("damaged metadata of a cache entry")
)

// Append appends the metadata of a response to a request for url, which must not have a
// password.
func Append(b []byte, url string, r *cacherules.Record) []byte {
	start := len(b)
	b = append(slices.Grow(b, sizeOf(url, r)), version)
	b = appendText(b, url)
	b = appendTime(appendTime(b, r.Request), r.Response)
	b = binary.AppendUvarint(b, uint64(r.Status))
	b = appendText(b, r.Reason)
	b = appendFields(appendFields(b, r.Fields), r.Trailer)
	b = binary.AppendVarint(b, r.Length)
	b = binary.AppendUvarint(b, uint64(len(r.Have)))
	for _, s := range r.Have {
		b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(s.Start)), uint64(s.Len()))
	}
	b = append(b, r.Vary[:]...)
	invalid := byte(0)
	if r.Invalid {
		invalid = 1
	}
	b = append(b, invalid)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// sizeOf is how many bytes Append takes, or more for texts of usual length.
func sizeOf(url string, r *cacherules.Record) int {
	n := 128 + len(r.Vary) + len(url) + len(r.Reason) + 20*len(r.Have)
	for _, h := range [...]*headers.Headers{&r.Fields, &r.Trailer} {
		for name, value := range h.All() {
			n += len(name) + len(value) + 4
		}
	}
	return n
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendTime(b []byte, t time.Time) []byte {
	return binary.AppendUvarint(binary.AppendVarint(b, t.Unix()), uint64(t.Nanosecond()))
}

func appendFields(b []byte, h headers.Headers) []byte {
	b = binary.AppendUvarint(b, uint64(h.Len()))
	for name, value := range h.All() {
		b = appendText(appendText(b, name), value)
	}
	return b
}

// Parse reads what Append has made. The texts of the Record are those of one copy of b.
func Parse(b []byte) (url string, r cacherules.Record, err error) {
	const sum = 4
	if len(b) <= sum || len(b) > MaxSize || b[0] != version ||
		binary.BigEndian.Uint32(b[len(b)-sum:]) != crc32.Checksum(b[:len(b)-sum], castagnoli) {
		return "", r, ErrDamaged
	}
	p := parser{rest: string(b[1 : len(b)-sum])}
	url = p.text()
	r.Request, r.Response = p.time(), p.time()
	r.Status = int(p.number(999))
	r.Reason = p.text()
	r.Fields, r.Trailer = p.fields(), p.fields()
	r.Length = p.signed()
	r.Have = p.spans(r.Length)
	copy(r.Vary[:], p.bytes(len(r.Vary)))
	r.Invalid = p.bytes(1) == "\x01"
	if p.bad || p.rest != "" || r.Length < -1 || r.Status < 100 || string(b) != string(Append(nil, url, &r)) {
		return "", cacherules.Record{}, ErrDamaged
	}
	return url, r, nil
}

// parser reads from the front of rest. After a failure bad is set, and all values are zero.
type parser struct {
	rest string
	bad  bool
}

func (p *parser) bytes(n int) string {
	if p.bad || n < 0 || n > len(p.rest) {
		p.bad = true
		return ""
	}
	s := p.rest[:n]
	p.rest = p.rest[n:]
	return s
}

// number reads a number up to most.
func (p *parser) number(most uint64) uint64 {
	v := uint64(0)
	for i := range min(len(p.rest), binary.MaxVarintLen64) {
		c := p.rest[i]
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			p.rest = p.rest[i+1:]
			if v > most {
				p.bad = true
				return 0
			}
			return v
		}
	}
	p.bad = true
	return 0
}

func (p *parser) signed() int64 {
	v := p.number(1<<64 - 1)
	return int64(v>>1) ^ -int64(v&1)
}

func (p *parser) text() string { return p.bytes(int(p.number(MaxSize))) }

func (p *parser) time() time.Time {
	sec := p.signed()
	return time.Unix(sec, int64(p.number(1e9-1)))
}

func (p *parser) fields() headers.Headers {
	n := int(p.number(uint64(len(p.rest) / 2))) // each takes two bytes at least
	if p.bad || n == 0 {
		return headers.Headers{}
	}
	list := make([]headers.Field, 0, n)
	for range n {
		name := p.text()
		list = append(list, headers.Field{Name: name, Value: p.text()})
	}
	return headers.FromFields(list)
}

// spans reads the spans of a body of length bytes, -1 if unknown: in order, not empty and not
// touching.
func (p *parser) spans(length int64) cacherules.Spans {
	const most = 1<<63 - 1
	n := int(p.number(cacherules.MaxSpans))
	if p.bad || n == 0 {
		return nil
	}
	list := make(cacherules.Spans, 0, n)
	end := int64(-1)
	for range n {
		s := cacherules.Span{Start: int64(p.number(most))}
		n := int64(p.number(most))
		if s.Start <= end || n <= 0 || s.Start > most-n || length >= 0 && s.Start+n > length {
			p.bad = true
			return nil
		}
		s.End = s.Start + n
		end = s.End
		list = append(list, s)
	}
	return list
}
