package cacherules

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"
)

// VaryKey stands for what a stored response depends on in the request that it answered: the
// fields that Vary names, who sent it, and what was verified of the peer. Values cannot be
// read from it; its last bit tells whether there is more than fields. The zero VaryKey is for
// nothing of that.
type VaryKey [sha256.Size]byte

// bound reports whether the request was bound.
func (k *VaryKey) bound() bool { return k[len(k)-1]&1 != 0 }

// parseVary returns the canonical names in Vary, sorted, without duplicates; star reports
// whether one of them is "*".
func parseVary(values []string) (names []string, star bool) {
	for _, v := range values {
		for name := range strings.SplitSeq(v, ",") {
			switch name = strings.Trim(name, " \t"); name {
			case "":
			case "*":
				star = true
			default:
				names = append(names, textproto.CanonicalMIMEHeaderKey(name))
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), star
}

// maxVary is how many names Vary may have. Each is looked up for each request.
const maxVary = 100

// selecting returns the canonical names of the request fields that have selected a response, sorted:
// those in its Vary and, if it has a content coding, Accept-Encoding, which servers forget to name.
// star reports that it answers no other request.
func selecting(fields fieldValues) (names []string, star bool) {
	names, star = parseVary(fields.Values("Vary"))
	if len(fields.Values("Content-Encoding")) > 0 {
		if i, found := slices.BinarySearch(names, "Accept-Encoding"); !found {
			names = slices.Insert(names, i, "Accept-Encoding")
		}
	}
	return names, star || len(names) > maxVary
}

// key returns the VaryKey of a request for the names in a Vary field. Requests with equal
// keys select the same response (RFC 9111, section 4.1); those of different users never do
// (D24).
func (r *Request) key(vary []string) VaryKey {
	if len(vary) == 0 && !r.bound() {
		return VaryKey{}
	}
	return r.hash(vary)
}

// hash is a function of its own because its buffer takes stack.
//
//go:noinline
func (r *Request) hash(vary []string) VaryKey {
	var space [512]byte
	b := space[:0]
	if r.Trust != "" {
		b = appendPart(append(b, 't'), r.Trust)
	}
	switch {
	case r.User != "":
		b = appendPart(append(b, 'u'), r.User)
	default:
		for _, v := range r.authorization {
			b = appendPart(append(b, 'a'), v)
		}
	}
	for _, name := range vary {
		b = appendPart(append(b, 'n'), name)
		values := r.values(name)
		if values == nil {
			continue // an absent field is not an empty one
		}
		b = append(b, 'v', 0, 0, 0, 0)
		start := len(b)
		b = appendNormalised(b, name, values)
		binary.BigEndian.PutUint32(b[start-4:], uint32(len(b)-start))
	}
	k := VaryKey(sha256.Sum256(b))
	k[len(k)-1] &^= 1
	if r.bound() {
		k[len(k)-1] |= 1
	}
	return k
}

// bound reports whether the response depends on more than fields that Vary names.
func (r *Request) bound() bool { return r.User != "" || r.Trust != "" || len(r.authorization) > 0 }

func appendPart(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

// singleFields are fields whose value is no list, or where nothing may be changed: they are
// compared as they are.
var singleFields = map[string]bool{
	"Authorization": true, "Cookie": true, "Date": true, "From": true, "Host": true, "If-Modified-Since": true, "If-Range": true,
	"If-Unmodified-Since": true, "Origin": true, "Referer": true, "User-Agent": true,
}

// appendNormalised appends the values of a field in a form that is the same for values with
// the same meaning: fields of one name are joined, blanks around commas and empty members go.
func appendNormalised(b []byte, name string, values []string) []byte {
	switch {
	case singleFields[name]:
		for _, v := range values {
			b = append(append(b, strings.Trim(v, " \t")...), '\n')
		}
	case name == "Accept", name == "Accept-Charset", name == "Accept-Encoding", name == "Accept-Language":
		b = appendPreferences(b, name, values)
	default:
		for _, v := range values {
			for m := range members(v) {
				b = append(append(b, m...), ',')
			}
		}
	}
	return b
}

// members yields the members of a list that are not empty, with blanks around them removed.
// Commas in quotes do not separate.
func members(v string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for rest, more := v, true; more; {
			var m string
			m, rest, more = cutOutsideQuotes(rest, ',')
			if m = strings.Trim(m, " \t"); m != "" && !yield(m) {
				return
			}
		}
	}
}

func cutOutsideQuotes(s string, separator byte) (before, after string, found bool) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == separator && !quoted:
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

// preference is a member of an Accept field.
type preference struct {
	text   string // without weight, and without blanks around its parameters
	weight int    // in thousandths
}

// appendPreferences appends the members of an Accept field by descending weight (RFC 9110,
// section 12.4.2), and those of the same weight by name: their order has no meaning (section
// 12.5.4). A weight of 1 is the same as none.
func appendPreferences(b []byte, name string, values []string) []byte {
	fold := name != "Accept" // types have parameters in which case may matter
	var space [16]preference
	list := space[:0]
	for _, v := range values {
		for m := range members(v) {
			if fold {
				m = strings.ToLower(m)
			}
			list = append(list, newPreference(m))
		}
	}
	slices.SortFunc(list, func(a, c preference) int {
		return cmp.Or(cmp.Compare(c.weight, a.weight), strings.Compare(a.text, c.text))
	})
	for _, p := range list {
		b = append(append(b, p.text...), ';')
		b = append(strconv.AppendInt(b, int64(p.weight), 10), ',')
	}
	return b
}

func newPreference(m string) preference {
	p := preference{text: m, weight: 1000}
	if !strings.Contains(m, ";") {
		return p
	}
	var text []byte
	for rest, more := m, true; more; {
		var part string
		part, rest, more = cutOutsideQuotes(rest, ';')
		part = strings.Trim(part, " \t")
		if weight, ok := parseWeight(part); ok {
			p.weight = weight
			continue
		}
		if text != nil {
			text = append(text, ';')
		}
		text = append(text, part...)
	}
	p.text = string(text)
	return p
}

// parseWeight parses a parameter q, in thousandths.
func parseWeight(s string) (weight int, ok bool) {
	if len(s) < 3 || len(s) > 7 || s[0]|0x20 != 'q' || s[1] != '=' || s[2] != '0' && s[2] != '1' || len(s) > 3 && s[3] != '.' {
		return 0, false
	}
	weight = int(s[2]-'0') * 1000
	for i, unit := 4, 100; i < len(s); i, unit = i+1, unit/10 {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		weight += int(s[i]-'0') * unit
	}
	return weight, weight <= 1000
}

// Miss is why there is no stored response for a request.
type Miss uint8

const (
	NoMiss   Miss = iota
	URIMiss       // nothing is stored for its URI
	VaryMiss      // what is stored is for other requests
)

// Select returns the stored response for a request among those for its URI, nil if there is
// none: the most recent one that matches by Vary (RFC 9111, section 4.1).
func Select(r *Request, variants []*Stored) (*Stored, Miss) {
	if len(variants) == 0 {
		return nil, URIMiss
	}
	var found *Stored
	keys := requestKeys{r: r}
	for _, s := range variants {
		if keys.match(s) && (found == nil || moreRecent(s, found)) {
			found = s
		}
	}
	if found == nil {
		return nil, VaryMiss
	}
	return found, NoMiss
}

// requestKeys makes the keys of a request for stored responses, of which most have the same
// Vary.
type requestKeys struct {
	r     *Request
	vary  []string // the names that key is for
	key   VaryKey
	known bool
}

// match reports whether the request selects a stored response.
func (k *requestKeys) match(s *Stored) bool {
	if s.varyAny {
		return false
	}
	if !k.known || !slices.Equal(k.vary, s.vary) {
		k.vary, k.key, k.known = s.vary, k.r.key(s.vary), true
	}
	return s.Vary == k.key
}

// moreRecent compares by Date, and by arrival for equal ones. A Date behind the arrival is wrong,
// and must not hide all that arrives until then.
func moreRecent(a, b *Stored) bool {
	if c := a.madeAt().Compare(b.madeAt()); c != 0 {
		return c > 0
	}
	if c := a.Response.Compare(b.Response); c != 0 {
		return c > 0
	}
	return a.date.After(b.date)
}

func (s *Stored) madeAt() time.Time {
	if s.date.After(s.Response) {
		return s.Response.Truncate(time.Second) // as in a Date
	}
	return s.date
}
