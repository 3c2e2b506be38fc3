package cacherules_test

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/netreply/netreply/headers"
	. "github.com/netreply/netreply/internal/cacherules"
)

func withCacheControl(v string) *Stored {
	fields := headers.New("Cache-Control", v)
	rec, _ := NewRecord(get(), 200, fields, 1, at0)
	return NewStored(rec)
}

var (
	maxAgePiece  = regexp.MustCompile(`(?i)^max-age([^-0-9a-z!#$%&'*+.^_|~` + "`" + `]|$)`)
	maxAgeNumber = regexp.MustCompile(`(?i)^max-age=([0-9]+)$`)
	noStorePiece = regexp.MustCompile(`(?i)^no-store([^-0-9a-z!#$%&'*+.^_|~` + "`" + `]|$)`)
)

// FuzzCacheControl: without quotes, a field is what is between its commas; a quoted text
// means nothing, whatever it is; and nothing before it hides a no-store.
func FuzzCacheControl(f *testing.F) {
	for _, s := range []string{"max-age=3600", "no-store", `x="max-age=1, no-store"`, `x="`, `max-age="5", a=b;c, no-cache="x"`, "max-age=1,max-age=2", "=,;max-age", `"\`, "MAX-AGE=99999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, v string) {
		if !strings.Contains(v, `"`) {
			ttl, noStore, found := int64(0), false, false
			for piece := range strings.SplitSeq(v, ",") {
				piece = strings.Trim(piece, " \t")
				noStore = noStore || noStorePiece.MatchString(piece)
				if !found && maxAgePiece.MatchString(piece) {
					found = true
					if m := maxAgeNumber.FindStringSubmatch(piece); m != nil {
						n, err := strconv.ParseInt(m[1], 10, 64)
						if err != nil || n > 1<<31 {
							n = 1 << 31
						}
						ttl = n
					}
				}
			}
			d := Decide(get(), withCacheControl(v), NoMiss, start)
			assert.EqualValues(t, ttl, d.TTL/time.Second, "%q", v)
			stores := Storable(get(), 200, http.Header{"Cache-Control": {v}})
			if !strings.Contains(strings.ToLower(v), "must-understand") {
				assert.Equal(t, noStore, stores == ResponseNoStore, "%q", v)
			}
		}
		quoted := `max-age=5, x="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v) + `", y`
		assert.Equal(t, 5*time.Second, Decide(get(), withCacheControl(quoted), NoMiss, start).TTL, "%q", quoted)
		assert.Equal(t, Stores, Storable(get(), 200, http.Header{"Cache-Control": {quoted}}), "%q", quoted)

		hidden := http.Header{"Cache-Control": {v + ", no-store"}}
		if !strings.Contains(strings.ToLower(v), "must-understand") {
			assert.Equal(t, ResponseNoStore, Storable(get(), 200, hidden), "%q", v)
		}
		r := NewRequest("GET", hidden, PreferNetwork, "")
		assert.Equal(t, RequestNoStore, Storable(&r, 200, http.Header{}), "%q", v)
	})
}

// FuzzVaryKey: equal keys mean that values are the same but for what may be normalised, and
// different spellings of one list have equal keys.
func FuzzVaryKey(f *testing.F) {
	f.Add("a, b", "a,b")
	f.Add("en;q=0.5, de", "de,en;q=0.50")
	f.Add(`"a, b"`, `"a,b"`)
	f.Add("", " ")
	f.Add("a;q=1", "a")
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, name := range []string{"Foo", "Cookie", "Accept-Language", "Accept"} {
			key := func(values ...string) VaryKey {
				r := NewRequest("GET", http.Header{name: values}, PreferNetwork, "")
				rec, _ := NewRecord(&r, 200, headers.New("Vary", name), 1, at0)
				return rec.Vary
			}
			assert.Equal(t, key(a), key(" "+a+"\t"), name)
			assert.NotEqual(t, key(a), key(), "%s: absent", name)
			if name != "Cookie" && !strings.Contains(a+b, `"`) {
				assert.Equal(t, key(a+","+b), key(a, b), name)
				assert.Equal(t, key(a+","+b), key(strings.ReplaceAll(a+","+b, ",", " ,\t")), name)
			}
			if key(a) == key(b) {
				assert.Equal(t, essence(name, a), essence(name, b), "%s: %q and %q", name, a, b)
			}
		}
	})
}

// essence is less than what a key must tell apart.
func essence(name, v string) string {
	switch name {
	case "Cookie":
		return strings.Trim(v, " \t")
	case "Foo":
		return strings.NewReplacer(" ", "", "\t", "", ",", "").Replace(v)
	}
	letters := []byte{} // their order may differ, and so may weights
	for _, c := range []byte(strings.ToLower(v)) {
		if 'a' <= c && c <= 'z' && c != 'q' {
			letters = append(letters, c)
		}
	}
	slices.Sort(letters)
	return string(letters)
}

// dice makes numbers of the bytes of a fuzz input; when they are used up, all are 0.
type dice []byte

func (d *dice) of(values ...int) int {
	if len(*d) == 0 {
		return values[0]
	}
	v := values[int((*d)[0])%len(values)]
	*d = (*d)[1:]
	return v
}

func (d *dice) flag() bool { return d.of(0, 0, 0, 1) == 1 }

func (d *dice) word(words ...string) string { return words[d.of(0, 1, 2)%len(words)] }

func newExchange(d dice) *exchange {
	x := &exchange{noise: byte(d.of(0, 1, 2, 4, 5, 8, 9, 16, 20, 24, 32, 48, 64, 128, 255))}
	x.method = []string{"GET", "HEAD", "POST"}[d.of(0, 0, 0, 0, 0, 1, 2)]
	x.load = LoadControl(d.of(1, 1, 1, 0, 2, 3))
	x.sMaxAge = d.of(-1, 0, 1, 10, 100, 1000)
	x.now = int64(d.of(0, 500, 999, 1000, 9999, 10000, 10001, 50000, 99999, 100000, 100001, 500000, -5000))
	x.arrived = int64(d.of(0, 0, 100, 999, 1000, 5000))
	x.now += x.arrived
	x.maxAge, x.minFresh, x.maxStale = d.of(-1, -1, -1, 0, 1, 10, 100), d.of(-1, -1, -1, 0, 1, 10, 100), d.of(-1, -1, -1, -2, 0, 10, 100)
	x.noCache, x.noStore, x.pragma, x.offline = d.flag(), d.flag(), d.flag(), d.flag()
	x.sStaleWhile = d.of(-1, -1, 0, 10, 1000)
	x.sNoCache, x.sMust, x.sImmutable, x.sPublic = d.flag(), d.flag(), d.flag(), d.flag()
	x.sExpires, x.sAge, x.sDate, x.sModified = d.of(-1, 0, 1, 10, 100), d.of(-1, 0, 5, 99, 100, 1<<31), d.of(0, 1, -5, -100, 100), d.of(-1, 0, 100, 10000)
	x.status = d.of(200, 200, 404, 302, 299)
	x.foo, x.sFoo, x.user, x.sUser = d.word("", "1", "2"), d.word("", "1", "2"), d.word("", "Basic a", "Basic b"), d.word("", "Basic a", "Basic b")
	x.varies = d.of(0, 0, 1, 2)
	x.invalid, x.ifMatch = d.flag(), d.flag()
	x.tag = d.word("", `"a"`, `"b"`)
	x.first = d.of(-1, -1, 0, 10, 50, 100)
	x.last = x.first + d.of(0, 9, 200)
	x.have = d.of(100, 100, 20, 60)
	x.sNoStore, x.sMustUnderstand = d.flag(), d.flag()
	return x
}

// FuzzDecide: what section 4 of RFC 9111 forbids to use is not used, judged by a second set
// of rules; what is fresh is used; and an answer has only bytes that are stored.
func FuzzDecide(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0, 4, 3})
	f.Add([]byte{5, 0, 4, 3, 9, 0, 0, 0, 3})
	f.Add([]byte{9, 0, 5, 1, 3, 2, 0, 0, 3, 0, 0, 0, 0, 4, 0, 0, 0, 0, 2, 2, 2, 2})
	f.Fuzz(func(t *testing.T, input []byte) { checkExchange(t, newExchange(input)) })
}

// TestDecideAgainstNaive is FuzzDecide for some fixed inputs.
func TestDecideAgainstNaive(t *testing.T) {
	used := 0
	for seed := range uint64(20000) {
		input := make([]byte, 50)
		for i := range input { // a small generator: the inputs must be the same each time
			seed = seed*6364136223846793005 + 1442695040888963407
			input[i] = byte(seed >> 56)
			if i > 5 && seed>>40&3 != 0 { // mostly absent, or nothing is ever used
				input[i] = 0
			}
		}
		if checkExchange(t, newExchange(input)) {
			used++
		}
	}
	assert.Greater(t, used, 2000)
}

func checkExchange(t *testing.T, x *exchange) (used bool) {
	request, stored, response := x.text()
	r := NewRequest(x.method, header(request...), x.load, "")
	from := NewRequest("GET", header(stored...), PreferNetwork, "")
	times := Times{Request: start, Response: start.Add(time.Duration(x.arrived) * time.Millisecond)}
	now := start.Add(time.Duration(x.now) * time.Millisecond)
	explain := func() string {
		return strings.Join(append(append(append([]string{"", x.method + " " + x.load.String()}, request...), "stored:"), response...), "\n\t")
	}

	if Storable(&r, x.status, header(response...)) == Stores && !x.mayBeStored() {
		t.Errorf("stored: %s", explain())
	}
	rec, _ := NewRecord(&from, x.status, list(response...), 100, times)
	rec.Invalid = x.invalid
	if x.have < 100 {
		rec.Have = Spans{{0, int64(x.have)}}
	}
	s, miss := Select(&r, []*Stored{NewStored(rec)})
	d := Decide(&r, s, miss, now)

	may, why := x.mayBeUsed()
	if d.Action == Use && !may {
		t.Errorf("used in spite of %s: %s", why, explain())
	}
	offline := (x.offline || x.load == AlwaysCache) && x.method != "POST"
	plain := x.maxAge < 0 && x.minFresh < 0 && x.maxStale == -1 && !x.noStore && x.have == 100 && // these may be read more strictly
		!(offline && x.sStaleWhile >= 0) && !(x.method == "HEAD" && x.load == AlwaysCache)
	if plain && may && d.Action != Use {
		t.Errorf("not used: %s", explain())
	}
	if offline && d.Action != Use && d.Action != GatewayTimeout || !offline && d.Action == GatewayTimeout {
		t.Errorf("action %d: %s", d.Action, explain())
	}
	if (d.Forward == "") != (d.Action == Use || d.Action == GatewayTimeout) {
		t.Errorf("forward %q: %s", d.Forward, explain())
	}
	if d.Action == Validate && d.Conditions == (Conditions{}) {
		t.Errorf("validates nothing: %s", explain())
	}
	if d.Action == Use {
		x.checkAnswer(t, d.Answer, explain)
	}
	return d.Action == Use
}

// checkAnswer: the bytes of an answer are stored, and those that were asked for.
func (x *exchange) checkAnswer(t *testing.T, a Answer, explain func() string) {
	success := x.status == 200 || x.status == 299
	switch {
	case a.Status == 304:
		if x.tag != `"a"` || !success {
			t.Errorf("not modified: %s", explain())
		}
	case x.tag == `"a"` && success:
		t.Errorf("not 304: %s", explain())
	case x.method == "HEAD":
		if a.Body != (Span{}) || a.Status != x.status {
			t.Errorf("HEAD answered with %v: %s", a, explain())
		}
	case x.status == 200 && x.first >= 100:
		if a.Status != 416 {
			t.Errorf("416 expected: %s", explain())
		}
	case x.status == 200 && x.first >= 0:
		if a.Status != 206 || a.Body != (Span{int64(x.first), int64(min(x.last+1, 100))}) || a.Body.End > int64(x.have) {
			t.Errorf("wrong part %v: %s", a, explain())
		}
	default:
		if a.Status != x.status || a.Body != (Span{0, 100}) || x.have < 100 {
			t.Errorf("wrong body %v: %s", a, explain())
		}
	}
}
