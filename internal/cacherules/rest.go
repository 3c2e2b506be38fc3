package cacherules

import (
	"net/http"
	"strconv"
)

// RestConditions are what asks for the bytes of a stored response's body from at to before end,
// -1 for its end. Without a strong validator they are empty: then only the whole body can be
// asked for.
func (s *Stored) RestConditions(at, end int64) Conditions {
	v := s.strongValidator()
	if v == "" {
		return Conditions{}
	}
	set := "bytes=" + strconv.FormatInt(at, 10) + "-"
	if end >= 0 {
		set += strconv.FormatInt(end-1, 10)
	}
	return Conditions{IfRange: v, Range: set}
}

// Rest reports whether a response to a request with RestConditions has the rest of the stored
// response's body: behind skip bytes of its own. length is that of its body, -1 if unknown. If it
// is not sure that both are of the same body, the skipped bytes have to be compared with the stored
// ones.
func (s *Stored) Rest(status int, h http.Header, length, at, end int64) (skip int64, sure, ok bool) {
	p := newPolicy(status, h, s.Times)
	same := s.sameRepresentation(&p)
	switch {
	case status == http.StatusPartialContent && s.strongValidator() != "":
		part, total, ok := parseContentRange(h["Content-Range"])
		reaches := part.End == end || end < 0 && (total < 0 || part.End == total)
		return 0, true, ok && same && part.Start == at && reaches && (s.Length < 0 || total < 0 || s.Length == total)
	case status != s.Status, s.Length >= 0 && length >= 0 && s.Length != length:
		return 0, false, false
	case same:
		return at, true, true
	}
	for _, name := range []string{"Etag", "Last-Modified", "Content-Type", "Content-Encoding"} {
		if h.Get(name) != s.Fields.Get(name) {
			return 0, false, false
		}
	}
	return at, false, s.Length < 0 || length >= 0
}
