package cacherules

import (
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/netreply/netreply/headers"
)

// SelectUpdated returns the stored responses that a 304 is about, among the variants for
// its URI (RFC 9111, section 4.3.4): those with its strong validator, else the most recent
// one with its weak validator, else the only one that the request could select. If there is
// none, what is stored must not be used to answer the request.
func SelectUpdated(r *Request, variants []*Stored, h http.Header, t Times) []*Stored {
	p := newPolicy(http.StatusNotModified, h, t)
	var candidates, same []*Stored
	keys := requestKeys{r: r}
	for _, s := range variants {
		if keys.match(s) {
			candidates = append(candidates, s)
		}
	}
	if isStrong(p.etag) {
		for _, s := range candidates {
			if s.etag == p.etag {
				same = append(same, s)
			}
		}
		return same
	}
	var found *Stored
	for _, s := range candidates {
		switch {
		case p.etag == "" && p.modified == "" && r.conditional() && !r.asksAbout(s, t.Response):
			continue // it is about what the program has
		case p.etag != "" && !sameWeak(p.etag, s.etag),
			p.etag == "" && p.modified != "" && !s.modifiedTime.Equal(p.modifiedTime):
			continue
		case p.etag == "" && p.modified == "" && len(candidates) > 1:
			continue // servers do leave out the validators that they have found unchanged; but whose?
		case found == nil || moreRecent(s, found):
			found = s
		}
	}
	if found == nil {
		return nil
	}
	return []*Stored{found}
}

// asksAbout reports whether the request's own preconditions are about a stored response, and no
// other.
func (r *Request) asksAbout(s *Stored, now time.Time) bool {
	switch {
	case len(r.ifMatch)+len(r.ifUnmodifiedSince) > 0:
		return false
	case len(r.ifNoneMatch) == 1:
		return s.etag != "" && sameWeak(strings.Trim(r.ifNoneMatch[0], " \t"), s.etag)
	case len(r.ifNoneMatch) == 0 && len(r.ifModifiedSince) == 1:
		since, ok := parseDate(r.ifModifiedSince[0], now)
		return ok && s.modified != "" && since.Equal(s.modifiedTime)
	}
	return false
}

// Update returns the record of a stored response after a 304 (RFC 9111, section 3.2). It is
// not kept if it is not Storable any more.
func (s *Stored) Update(r *Request, fields headers.Headers, t Times) Record {
	rec := s.Record
	rec.Times, rec.Invalid = t, false
	rec.Fields = merge(s.Fields, fields)
	vary, _ := selecting(rec.Fields)
	rec.Vary = r.key(vary)
	return rec
}

// Keep reports whether an updated response may stay in the store.
func (s *Stored) Keep() bool { return (!s.noStore || s.mustUnderstand) && !s.varyAny }

// UpdateByHead returns the record of a stored response after a response to HEAD with a final
// status, and whether it has changed (RFC 9111, section 4.3.5): it is updated if both agree
// about validators and length, and must be validated if not.
func (s *Stored) UpdateByHead(r *Request, status int, fields headers.Headers, t Times) (rec Record, changed bool) {
	switch status {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusGone:
		return s.invalidated(), true
	default:
		return s.Record, false
	}
	p := newPolicy(status, fields, t)
	length := fields.Get("Content-Length")
	if p.etag != "" && !sameWeak(p.etag, s.etag) ||
		p.modified != "" && !p.modifiedTime.Equal(s.modifiedTime) ||
		length != "" && s.Length >= 0 && strings.TrimSpace(length) != strconv.FormatInt(s.Length, 10) {
		return s.invalidated(), true
	}
	return s.Update(r, fields, t), true
}

func (s *Stored) invalidated() Record {
	rec := s.Record
	rec.Invalid = true
	return rec
}

// Combine returns the record of a stored response and a 206 with more of the same body, as if all
// of that had arrived (RFC 9111, section 3.4). It reports false if both may not be combined: then
// the 206 replaces what is stored. h are the fields as a map.
func (s *Stored) Combine(r *Request, h http.Header, fields headers.Headers, t Times) (rec Record, ok bool) {
	part, total, ok := parseContentRange(h["Content-Range"])
	p := newPolicy(http.StatusPartialContent, h, t)
	if !ok || s.Status != http.StatusOK || !s.sameRepresentation(&p) || s.Length >= 0 && total >= 0 && s.Length != total {
		return Record{}, false
	}
	rec = s.Update(r, fields, t)
	rec.Length = max(s.Length, total)
	if !s.Complete() {
		if rec.Have, ok = s.Have.Add(part); !ok {
			return Record{}, false
		}
		last := rec.Have[len(rec.Have)-1]
		if rec.Length >= 0 && last.End > rec.Length {
			return Record{}, false
		}
		if len(rec.Have) == 1 && last.Start == 0 && last.End == rec.Length {
			rec.Have = nil
		}
	}
	return rec, true
}

// merge replaces stored fields by those of an update (RFC 9111, section 3.2), except those
// that describe the stored bytes, which the update has none of. An Age is how old one message
// was, and that of the update counts even if it has none.
func merge(stored, update headers.Headers) headers.Headers {
	named := connectionFields(update.Values("Connection"))
	replaced := map[string]bool{"Age": true}
	typ := mediaType(stored.Get("Content-Type"))
	added := make([]headers.Field, 0, stored.Len()+update.Len())
	for name, value := range update.All() {
		key := textproto.CanonicalMIMEHeaderKey(name)
		if notStored[key] || named[key] || !updates(key, value, typ) {
			continue
		}
		replaced[key] = true
		added = append(added, headers.Field{Name: name, Value: value})
	}
	fields := make([]headers.Field, 0, stored.Len()+len(added))
	for name, value := range stored.All() {
		if !replaced[textproto.CanonicalMIMEHeaderKey(name)] {
			fields = append(fields, headers.Field{Name: name, Value: value})
		}
	}
	return headers.FromFields(append(fields, added...))
}

// updates reports whether a field of an update replaces the stored one. A Content-Type does
// if only its parameters differ: a 304 with another type comes from servers that set it on
// everything (rule M30).
func updates(key, value, typ string) bool {
	switch key {
	case "Content-Length", "Content-Encoding", "Content-Range":
		return false
	case "Content-Type":
		return typ != "" && mediaType(value) == typ
	}
	return true
}

// mediaType is the type in a Content-Type, "" if there is none.
func mediaType(contentType string) string {
	typ, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.Trim(typ, " \t"))
}

// Fields returns the header fields to answer with. validated means that the response was
// validated for this request: then fields that need that are part of it (RFC 9111, section
// 5.2.2.4), and Age is from then.
func (a Answer) Fields(s *Stored, validated bool, now time.Time) headers.Headers {
	list := make([]headers.Field, 0, s.Fields.Len()+2)
	i := -1
	for name, value := range s.Fields.All() {
		i++
		if s.names[i] == "Age" || !validated && s.withheld != nil && s.withheld[i] || a.leavesOut(s.names[i]) {
			continue
		}
		list = append(list, headers.Field{Name: name, Value: value})
	}
	list = append(list, headers.Field{Name: "Age", Value: strconv.FormatInt(min(int64(s.age(now)/time.Second), maxSeconds), 10)})
	switch a.Status {
	case http.StatusPartialContent:
		list = append(list,
			headers.Field{Name: "Content-Range", Value: contentRange(a.Body, s.Length)},
			headers.Field{Name: "Content-Length", Value: strconv.FormatInt(a.Body.Len(), 10)})
	case http.StatusRequestedRangeNotSatisfiable:
		list = append(list,
			headers.Field{Name: "Content-Range", Value: "bytes */" + strconv.FormatInt(s.Length, 10)},
			headers.Field{Name: "Content-Length", Value: "0"})
	}
	return headers.FromFields(list)
}

// leavesOut reports whether a field of the whole response is not one of the answer.
func (a Answer) leavesOut(key string) bool {
	switch a.Status {
	case http.StatusPartialContent:
		return key == "Content-Length"
	case http.StatusRequestedRangeNotSatisfiable:
		return strings.HasPrefix(key, "Content-") || key == "Etag" || key == "Last-Modified"
	case http.StatusNotModified: // RFC 9110, section 15.4.5: what describes the body is left out
		switch key {
		case "Content-Encoding", "Content-Language", "Content-Length", "Content-Md5", "Content-Range", "Content-Type":
			return true
		}
	}
	return false
}
