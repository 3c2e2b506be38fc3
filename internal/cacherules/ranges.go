package cacherules

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// Span is the bytes of a body from Start to before End.
type Span struct{ Start, End int64 }

// Len is the number of bytes.
func (s Span) Len() int64 { return s.End - s.Start }

// MaxSpans is how many separate spans of a body may be stored.
const MaxSpans = 64

// Spans is a set of bytes: its spans are in order, not empty, and do not touch.
type Spans []Span

// Add returns the set with one more span; false if it would be more than MaxSpans. The
// original is not changed.
func (s Spans) Add(add Span) (Spans, bool) {
	if add.Len() <= 0 {
		return s, true
	}
	i := 0
	for i < len(s) && s[i].End < add.Start {
		i++
	}
	j := i
	for ; j < len(s) && s[j].Start <= add.End; j++ {
		add.Start, add.End = min(add.Start, s[j].Start), max(add.End, s[j].End)
	}
	all := make(Spans, 0, len(s)-(j-i)+1)
	all = append(append(append(all, s[:i]...), add), s[j:]...)
	return all, len(all) <= MaxSpans
}

// Contains reports whether all bytes of a span are in the set.
func (s Spans) Contains(c Span) bool {
	return slices.ContainsFunc(s, func(x Span) bool { return x.Start <= c.Start && c.End <= x.End })
}

// rangeKind is what a Range field asks for.
type rangeKind uint8

const (
	wholeBody    rangeKind = iota // there is no Range, or it is invalid
	oneRange                      // Span of the body
	unsatisfied                   // nothing of it exists
	unknownRange                  // several ranges, another unit, or it depends on a length that is unknown
)

// parseRange parses the values of a Range field (RFC 9110, section 14.1.2) for a body of
// length bytes, -1 if unknown.
func parseRange(values []string, length int64) (Span, rangeKind) {
	if len(values) == 0 {
		return Span{}, wholeBody
	}
	unit, set, ok := strings.Cut(values[0], "=")
	if len(values) > 1 || ok && !strings.EqualFold(strings.Trim(unit, " \t"), "bytes") || strings.Contains(set, ",") {
		return Span{}, unknownRange
	}
	first, last, hasDash := strings.Cut(strings.Trim(set, " \t"), "-")
	if !ok || !hasDash {
		return Span{}, wholeBody
	}
	if first == "" {
		n, ok := parsePosition(last)
		switch {
		case !ok:
			return Span{}, wholeBody
		case length < 0:
			return Span{}, unknownRange
		case n == 0 || length == 0:
			return Span{}, unsatisfied
		}
		return Span{max(0, length-n), length}, oneRange
	}
	start, ok := parsePosition(first)
	if !ok {
		return Span{}, wholeBody
	}
	end := int64(math.MaxInt64)
	if last != "" {
		if end, ok = parsePosition(last); !ok || end < start {
			return Span{}, wholeBody
		}
		end = min(end, math.MaxInt64-1) + 1
	}
	switch {
	case length >= 0 && start >= length:
		return Span{}, unsatisfied
	case length >= 0:
		return Span{start, min(end, length)}, oneRange
	case last == "":
		return Span{}, unknownRange
	}
	return Span{start, end}, oneRange
}

// parsePosition parses a number of bytes; larger numbers than an int64 has count as its
// largest.
func parsePosition(s string) (int64, bool) {
	if s == "" {
		return 0, false
	}
	n := int64(0)
	for i := range len(s) {
		c := s[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		if n > (math.MaxInt64-9)/10 {
			n = math.MaxInt64
			continue
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// parseContentRange parses the Content-Range of a 206 response (RFC 9110, section 14.4);
// length is -1 if it is not told.
func parseContentRange(values []string) (part Span, length int64, ok bool) {
	if len(values) != 1 {
		return Span{}, 0, false
	}
	unit, rest, _ := strings.Cut(strings.Trim(values[0], " \t"), " ")
	span, total, hasTotal := strings.Cut(rest, "/")
	first, last, _ := strings.Cut(span, "-")
	start, okStart := parsePosition(first)
	end, okEnd := parsePosition(last)
	if !strings.EqualFold(unit, "bytes") || !hasTotal || !okStart || !okEnd || end < start || end == math.MaxInt64 {
		return Span{}, 0, false
	}
	if total == "*" {
		return Span{start, end + 1}, -1, true
	}
	length, ok = parsePosition(total)
	if !ok || length <= end || length == math.MaxInt64 {
		return Span{}, 0, false
	}
	return Span{start, end + 1}, length, true
}

// contentRange is the value of a Content-Range field.
func contentRange(part Span, length int64) string {
	b := append(make([]byte, 0, 64), "bytes "...)
	b = append(strconv.AppendInt(b, part.Start, 10), '-')
	b = append(strconv.AppendInt(b, part.End-1, 10), '/')
	if length < 0 {
		return string(append(b, '*'))
	}
	return string(strconv.AppendInt(b, length, 10))
}
