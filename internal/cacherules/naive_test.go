package cacherules_test

import (
	"fmt"
	"strings"

	. "github.com/netreply/netreply/internal/cacherules"
)

// exchange is a request, and a response that is stored, in plain numbers: seconds, and
// milliseconds for times, relative to start. naive judges it without any text, and
// exchange.text writes it as header fields, so that both can only agree about the meaning.
type exchange struct {
	method   string
	load     LoadControl
	maxAge   int // of the request; -1 for none
	minFresh int
	maxStale int // -2 for one without a limit
	noCache  bool
	noStore  bool
	pragma   bool
	offline  bool
	foo      string // what the response may depend on; "" for absent
	user     string
	ifMatch  bool
	tag      string // of If-None-Match; "" for none
	first    int    // of Range; -1 for none
	last     int

	status          int
	sMaxAge         int // max-age of the response
	sStaleWhile     int
	sNoCache        bool
	sNoStore        bool
	sMust           bool
	sMustUnderstand bool
	sPublic         bool
	sImmutable      bool
	sExpires        int // seconds from Date; -1 for none, 0 for an invalid one
	sAge            int // of the Age field; -1 for none
	sDate           int // seconds from start; 1 for none
	sModified       int // seconds before Date; -1 for none
	sFoo            string
	sUser           string
	varies          int // 0 by nothing, 1 by Foo, 2 by *
	invalid         bool
	have            int // bytes from the beginning, of 100

	arrived int64 // milliseconds after start
	now     int64
	noise   byte
}

// mayBeStored is section 3 of RFC 9111 for a private cache.
func (x *exchange) mayBeStored() bool {
	if x.method != "GET" || x.noStore {
		return false
	}
	if x.sNoStore && !x.sMustUnderstand {
		return false
	}
	return !(x.sMustUnderstand && x.status == 299)
}

// mayBeUsed is section 4 of RFC 9111, and section 5 where it restricts it: whether the
// stored response may be used without validation.
func (x *exchange) mayBeUsed() (may bool, why string) {
	if x.method != "GET" && x.method != "HEAD" {
		return false, "method"
	}
	if x.foo != x.sFoo && x.varies == 1 || x.varies == 2 {
		return false, "Vary"
	}
	if x.user != x.sUser {
		return false, "credentials"
	}
	if x.sNoCache || x.invalid {
		return false, "no-cache"
	}
	directives := x.maxAge >= 0 || x.minFresh >= 0 || x.maxStale != -1 || x.noCache || x.noStore || x.offline
	if x.noCache || x.pragma && !directives {
		return false, "request no-cache"
	}
	if x.load == AlwaysNetwork {
		return false, "load control"
	}
	if x.ifMatch {
		return false, "If-Match"
	}

	date := x.arrived // milliseconds
	if x.sDate != 1 {
		date = int64(x.sDate) * 1000
	}
	age := int64(0)
	if date < x.arrived {
		age = (x.arrived - date) / 1000 * 1000
	}
	told := x.arrived // the exchange has begun at start
	if x.sAge >= 0 {
		told += int64(x.sAge) * 1000
	}
	if told > age {
		age = told
	}
	if x.now >= x.arrived {
		age += x.now - x.arrived
	} else {
		age += x.arrived - x.now
	}

	life := int64(0)
	guess := false
	switch {
	case x.sMaxAge >= 0:
		life = int64(x.sMaxAge) * 1000
	case x.sExpires >= 0:
		// a date of whole seconds, against one that may have a fraction
		expires := int64(0)
		if x.sExpires > 0 {
			expires = int64(x.sExpires)*1000 + floor(date)
		}
		life = max(0, expires-date)
		if x.sExpires == 0 {
			life = 0
		}
	case x.sModified >= 0 && (x.sPublic || x.status == 200 || x.status == 404):
		guess = true
		life = (date - (floor(date) - int64(x.sModified)*1000)) / 10
	}
	fresh := life > age

	if x.maxAge == 0 && x.sImmutable && fresh && !guess {
		return true, ""
	}
	if x.maxAge >= 0 && age > int64(x.maxAge)*1000 || x.maxAge == 0 && age > 0 {
		return false, "request max-age"
	}
	if x.minFresh >= 0 && life-age < int64(x.minFresh)*1000 {
		return false, "min-fresh"
	}
	if fresh {
		return true, ""
	}
	if x.sMust {
		return false, "must-revalidate"
	}
	late := age - life
	switch {
	case x.maxStale == -2, x.maxStale >= 0 && late <= int64(x.maxStale)*1000:
		return true, ""
	case x.sStaleWhile >= 0 && late <= int64(x.sStaleWhile)*1000:
		return true, ""
	case x.load == PreferCache, x.load == AlwaysCache:
		return true, "" // the program permits it
	}
	return false, "stale"
}

func floor(ms int64) int64 {
	if ms < 0 {
		return -((-ms + 999) / 1000 * 1000)
	}
	return ms / 1000 * 1000
}

// text writes both sides as header fields, in ways that all mean the same.
func (x *exchange) text() (request, stored, response []string) {
	spell := func(s string) string {
		switch x.noise & 3 {
		case 1:
			return strings.ToUpper(s)
		case 2:
			return strings.ToUpper(s[:1]) + s[1:]
		}
		return s
	}
	list := func(name string, directives []string) (lines []string) {
		switch {
		case len(directives) == 0:
			return nil
		case x.noise&4 != 0:
			for _, d := range directives {
				lines = append(lines, name+": "+d)
			}
			return lines
		case x.noise&8 != 0:
			return []string{name + `: ,ext="no-store, no-cache \" max-age=99999", ` + strings.Join(directives, "\t ,, ")}
		}
		return []string{name + ": " + strings.Join(directives, ",")}
	}
	seconds := func(name string, n int) string {
		if x.noise&16 != 0 {
			return fmt.Sprintf(`%s="%d"`, spell(name), n)
		}
		return fmt.Sprintf("%s=%d", spell(name), n)
	}
	add := func(to *[]string, cond bool, s string) {
		if cond {
			*to = append(*to, s)
		}
	}

	var d []string
	add(&d, x.maxAge >= 0, seconds("max-age", x.maxAge))
	add(&d, x.minFresh >= 0, seconds("min-fresh", x.minFresh))
	add(&d, x.maxStale >= 0, seconds("max-stale", x.maxStale))
	add(&d, x.maxStale == -2, spell("max-stale"))
	add(&d, x.noCache, spell("no-cache"))
	add(&d, x.noStore, spell("no-store"))
	add(&d, x.offline, spell("only-if-cached"))
	request = list("Cache-Control", d)
	add(&request, x.pragma, "Pragma: no-cache")
	add(&request, x.foo != "", "Foo: "+x.foo)
	add(&request, x.user != "", "Authorization: "+x.user)
	add(&request, x.ifMatch, `If-Match: "a"`)
	add(&request, x.tag != "", `If-None-Match: "x", `+x.tag)
	add(&request, x.first >= 0, fmt.Sprintf("Range: bytes=%d-%d", x.first, x.last))

	add(&stored, x.sFoo != "", "Foo: "+x.sFoo)
	add(&stored, x.sUser != "", "Authorization: "+x.sUser)

	d = nil
	add(&d, x.sMaxAge >= 0, seconds("max-age", x.sMaxAge))
	add(&d, x.sMaxAge >= 0 && x.noise&32 != 0, seconds("max-age", 999999))
	add(&d, x.sStaleWhile >= 0, seconds("stale-while-revalidate", x.sStaleWhile))
	add(&d, x.sNoCache, spell("no-cache"))
	add(&d, x.sNoStore, spell("no-store"))
	add(&d, x.sMust, spell("must-revalidate"))
	add(&d, x.sMustUnderstand, spell("must-understand"))
	add(&d, x.sPublic, spell("public"))
	add(&d, x.sImmutable, spell("immutable"))
	response = list("Cache-Control", d)
	date := (x.arrived - mod(x.arrived)) / 1000
	if x.sDate != 1 {
		date = int64(x.sDate)
		response = append(response, fmt.Sprintf("Date: {%ds}", x.sDate))
	}
	add(&response, x.sExpires > 0, fmt.Sprintf("Expires: {%ds}", date+int64(x.sExpires)))
	add(&response, x.sExpires == 0, "Expires: 0")
	add(&response, x.sAge >= 0, fmt.Sprintf("Age: %d", x.sAge))
	add(&response, x.sAge >= 0 && x.noise&64 != 0, "Age: 0")
	add(&response, x.sModified >= 0, fmt.Sprintf("Last-Modified: {%ds}", date-int64(x.sModified)))
	add(&response, x.varies == 1, "Vary: "+spell("foo"))
	add(&response, x.varies == 2, "Vary: Bar, *")
	add(&response, x.noise&128 != 0, "Pragma: no-cache")
	return request, stored, append(response, `ETag: "a"`)
}

func mod(ms int64) int64 { return ms - floor(ms) }
