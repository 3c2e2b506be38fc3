package cacherules_test

import (
	"fmt"
	"strings"
	"testing"

	. "github.com/netreply/netreply/internal/cacherules"
)

// hit is an exchange as they are common.
func hit() (*Request, []*Stored) {
	r := get("Accept-Encoding: gzip, br", "User-Agent: x", "Accept: */*")
	s := respond(r, 200, "Date: {0s}", "Content-Type: text/html; charset=utf-8", "Content-Length: 1000", `ETag: "abc"`, "Last-Modified: {-1000h}",
		"Cache-Control: public, max-age=3600", "Vary: Accept-Encoding", "Server: y")
	return r, []*Stored{s}
}

// TestLongFields: time is linear in what a peer sends.
func TestLongFields(t *testing.T) {
	const n = 1 << 18
	for _, piece := range []string{",", `"`, `\`, `x="`, `x="a",`, `max-age=1,`, `no-cache="`, `a"b\`, "=", `="`, "x y,", `x="\"`, "1", ";"} {
		long := strings.Repeat(piece, n/len(piece))
		s := ok("Cache-Control: max-age=9, "+long, "Age: "+long, "Expires: "+long, "ETag: "+long, "Last-Modified: "+long)
		r := get("Cache-Control: "+long, "If-None-Match: "+long, "Range: "+long, "If-Range: "+long, "Accept: "+long, "Foo: "+long)
		decide(r, s, 0)
		respond(r, 200, "Vary: Foo, Accept")
		ParseSearchRule([]string{long}).Query(long)
		ClearsCache(parse(t, "https://a.test/"), header("Clear-Site-Data: "+long))
		Storable(r, 206, header("Content-Range: "+long, "Vary: "+long))
	}
}

func BenchmarkHit(b *testing.B) {
	r, variants := hit()
	now := start.Add(second)
	b.ReportAllocs()
	for b.Loop() {
		q := NewRequest("GET", r.Header, PreferNetwork, "")
		s, miss := Select(&q, variants)
		d := Decide(&q, s, miss, now)
		d.Answer.Fields(s, false, now)
	}
}

func BenchmarkStore(b *testing.B) {
	r, variants := hit()
	fields := variants[0].Fields
	b.ReportAllocs()
	for b.Loop() {
		rec, _ := NewRecord(r, 200, fields, 1000, at0)
		NewStored(rec)
	}
}

func BenchmarkKey(b *testing.B) {
	u := parse(b, "https://www.example.org/some/path/of/a/page.html?with=query&and=more")
	b.ReportAllocs()
	for b.Loop() {
		Key(u, "", "")
	}
}

// ExampleDecide shows in one table what the cache does with a response that was
// stored ten seconds ago.
func ExampleDecide() {
	names := map[Action]string{Fetch: "fetch", Use: "use", Validate: "validate"}
	for _, cc := range []string{"max-age=60", "max-age=5", "max-age=5, stale-while-revalidate=60", "no-cache"} {
		d := decide(get(), ok(`ETag: "a"`, "Cache-Control: "+cc), 10*second)
		fmt.Printf("%s: %s, refresh %t, ttl %v\n", cc, names[d.Action], d.Refresh, d.TTL)
	}
	// Output:
	// max-age=60: use, refresh false, ttl 50s
	// max-age=5: validate, refresh false, ttl -5s
	// max-age=5, stale-while-revalidate=60: use, refresh true, ttl -5s
	// no-cache: validate, refresh false, ttl -10s
}
