package cacherules

import (
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"

	"github.com/netreply/netreply/headers"
)

// Refusal is why a response is not stored, as a token.
type Refusal string

const (
	Stores            Refusal = "" // it is stored
	OtherMethod       Refusal = "method"
	RequestNoStore    Refusal = "request-no-store"
	ResponseNoStore   Refusal = "no-store"
	OtherStatus       Refusal = "status"         // one that must not be stored
	NotUnderstood     Refusal = "not-understood" // an unknown status with must-understand
	VariesByAll       Refusal = "vary"           // Vary: *
	NotCacheable      Refusal = "not-cacheable"  // neither explicit freshness nor a status for heuristics
	UnknownPart       Refusal = "content-range"  // a 206 of several parts, or of unknown ones
	NothingToContinue Refusal = "incomplete"     // the rest could never be added
)

// Storable reports whether a private cache may store a response to GET (RFC 9111, section 3).
func Storable(r *Request, status int, h http.Header) Refusal {
	if r.Method != http.MethodGet {
		return OtherMethod // a response to HEAD updates what is stored instead
	}
	return storable(r, status, h)
}

// StorableChange reports whether the response to a request that has changed something at u may
// be stored, as the response to GET from now on: one to POST or PATCH that says so by its
// Content-Location, and how long it is fresh (RFC 9110, section 9.3.3, and RFC 5789, section 2).
func StorableChange(r *Request, u *url.URL, status int, h http.Header) Refusal {
	if r.Method != http.MethodPost && r.Method != http.MethodPatch {
		return OtherMethod
	}
	if status != http.StatusOK {
		return OtherStatus
	}
	location := h["Content-Location"]
	if len(location) != 1 || parseResponseDirectives(h["Cache-Control"]).maxAge == absent && len(h["Expires"]) == 0 {
		return NotCacheable
	}
	target, err := u.Parse(strings.Trim(location[0], " \t"))
	if err != nil || Key(target, "", "") != Key(u, "", "") {
		return NotCacheable
	}
	return storable(r, status, h)
}

// storable is Storable for any method.
func storable(r *Request, status int, h http.Header) Refusal {
	if r.noStore {
		return RequestNoStore
	}
	if neverStored(status) {
		return OtherStatus
	}
	d := parseResponseDirectives(h["Cache-Control"])
	understood := http.StatusText(status) != ""
	switch {
	case d.mustUnderstand && !understood:
		return NotUnderstood
	case d.noStore && !d.mustUnderstand: // section 5.2.2.3
		return ResponseNoStore
	}
	if _, star := selecting(h); star {
		return VariesByAll
	}
	if status == http.StatusPartialContent {
		if _, _, ok := parseContentRange(h["Content-Range"]); !ok {
			return UnknownPart
		}
	}
	if d.maxAge != absent || d.public || d.private || len(h["Expires"]) > 0 || heuristicallyCacheable(status) {
		return Stores
	}
	return NotCacheable
}

// neverStored reports whether responses of a status are only for the request that got them:
// they are about its connection, its moment, its conditions or its credentials, or their
// definition says so (RFC 6585, RFC 8470).
func neverStored(status int) bool {
	switch status {
	case 304, 401, 407, 408, 412, 416, 417, 421, 425, 426, 428, 429, 431, 511:
		return true
	}
	return status < 200 || status > 599
}

// notStored are the fields that belong to a connection or a proxy (RFC 9111, section 3.1).
var notStored = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Authenticate": true, "Proxy-Authentication-Info": true, "Proxy-Authorization": true,
	"Proxy-Connection": true, "Te": true, "Transfer-Encoding": true, "Upgrade": true,
}

// connectionFields are the canonical names that Connection fields list, nil for none.
func connectionFields(values []string) map[string]bool {
	var names map[string]bool
	for _, v := range values {
		for name := range strings.SplitSeq(v, ",") {
			name = textproto.CanonicalMIMEHeaderKey(strings.Trim(name, " \t"))
			switch name {
			case "", "Close":
				continue
			}
			if names == nil {
				names = map[string]bool{}
			}
			names[name] = true
		}
	}
	return names
}

// NewRecord makes the Record of a response that is Storable, for all of its body. offset is
// where that begins in the whole body: 0, but for a 206.
func NewRecord(r *Request, status int, fields headers.Headers, length int64, t Times) (rec Record, offset int64) {
	rec = Record{Times: t, Status: status, Length: length}
	part, total, partial := Span{}, int64(0), false
	if status == http.StatusPartialContent {
		part, total, partial = parseContentRange(fields.Values("Content-Range"))
	}
	rec.Fields = storedFields(fields, partial, total)
	if partial {
		rec.Status, rec.Length = http.StatusOK, total
		if part.Len() != total {
			rec.Have = Spans{part}
		}
	}
	vary, _ := selecting(fields)
	rec.Vary = r.key(vary)
	return rec, part.Start
}

// storedFields are the fields that are stored. Those of a part become those of the whole
// body, whose length is -1 if unknown.
func storedFields(fields headers.Headers, partial bool, length int64) headers.Headers {
	named := connectionFields(fields.Values("Connection"))
	list := make([]headers.Field, 0, fields.Len())
	for name, value := range fields.All() {
		key := textproto.CanonicalMIMEHeaderKey(name)
		if notStored[key] || named[key] {
			continue
		}
		if partial && key == "Content-Range" {
			continue
		}
		if partial && key == "Content-Length" {
			if length < 0 {
				continue
			}
			value = strconv.FormatInt(length, 10)
		}
		list = append(list, headers.Field{Name: name, Value: value})
	}
	return headers.FromFields(list)
}

// Truncated returns the record for a body that has ended after received bytes, which is less
// than was to come (RFC 9111, section 3.3). It is refused if the rest could never be added.
func (s *Stored) Truncated(offset, received int64) (Record, Refusal) {
	rec := s.Record
	if rec.Status != http.StatusOK || received <= 0 || s.strongValidator() == "" {
		return Record{}, NothingToContinue
	}
	if end := offset + received; s.Length >= 0 && (end > s.Length || end == s.Length && offset == 0) {
		return Record{}, NothingToContinue // a range that begins behind the end cannot be asked for
	}
	rec.Have = Spans{{offset, offset + received}}
	return rec, Stores
}
