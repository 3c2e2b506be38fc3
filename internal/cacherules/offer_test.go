package cacherules_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	. "github.com/netreply/netreply/internal/cacherules"
)

// TestOffer: which entity-tags of other variants are sent (RFC 9111, section 4.1).
func TestOffer(t *testing.T) {
	of := func(lines ...string) *Stored { return respond(get("Foo: 1"), 200, append(lines, "Vary: Foo")...) }
	a, b := of(`ETag: "a"`, "Date: {1s}"), of(`ETag: W/"b"`)
	assert.Equal(t, `"a", W/"b"`, Offer(get("Foo: 2"), []*Stored{a, b, of(`ETag: "a"`)}), "each one once")
	assert.Empty(t, Offer(get("Foo: 2"), nil))

	as := func(r *Request, user, trust string) *Request {
		r.User, r.Trust = user, trust
		return r
	}
	for name, r := range map[string]*Request{
		"method": request("HEAD"), "no-store": get("Cache-Control: no-store"), "range": get("Range: bytes=0-1"), "own": get(`If-None-Match: "x"`),
		"own date": get("If-Modified-Since: {0s}"), "own If-Match": get(`If-Match: "x"`), "credentials": get("Authorization: x"),
		"user": as(get(), "u", ""), "trust": as(get(), "", "t"), "network": with(AlwaysNetwork, get()), "cache": with(AlwaysCache, get()),
	} {
		assert.Empty(t, Offer(r, []*Stored{a}), name)
	}
	assert.NotEmpty(t, Offer(with(PreferCache, get("Cache-Control: no-cache")), []*Stored{a}))

	part := a.Record
	part.Have = Spans{{0, 5}}
	for name, s := range map[string]*Stored{
		"no ETag": of(), "no entity-tag": of("ETag: a"), "too long": of(`ETag: "` + strings.Repeat("a", 127) + `"`), "another status": respond(get(), 203, `ETag: "a"`, "Vary: Foo"),
		"a part": NewStored(part), "credentials": respond(get("Authorization: x"), 200, `ETag: "a"`, "Vary: Foo"), "user": respond(as(get(), "u", ""), 200, `ETag: "a"`, "Vary: Foo"),
		"trust": respond(as(get(), "", "t"), 200, `ETag: "a"`, "Vary: Foo"), "cookie": of(`ETag: "a"`, "set-cookie: a=b"), "all": respond(get(), 200, `ETag: "a"`, "Vary: *"),
		"coding": of(`ETag: "a"`, "content-encoding: gzip"),
	} {
		assert.Empty(t, Offer(get("Foo: 2"), []*Stored{s}), name)
		assert.Nil(t, SelectOffered([]*Stored{s}, header("ETag: "+s.Fields.Get("ETag"))), name)
	}
	var many []*Stored
	for i := range 20 {
		many = append(many, of(fmt.Sprintf(`ETag: "%d"`, i)))
	}
	assert.Equal(t, 8, strings.Count(Offer(get("Foo: 2"), many), `"`)/2)

	newer := of(`ETag: "a"`, "Date: {2s}")
	assert.Same(t, newer, SelectOffered([]*Stored{a, newer, b}, header(`ETag: "a"`)))
	assert.Same(t, b, SelectOffered([]*Stored{a, newer, b}, header(`ETag: W/"b"`)))
	for _, line := range []string{`ETag: W/"a"`, `ETag: "b"`, `ETag: "c"`, "ETag:", "X: y"} {
		assert.Nil(t, SelectOffered([]*Stored{a, newer, b, of()}, header(line)), line)
	}
}
