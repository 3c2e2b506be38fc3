package cacherules_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"

	. "github.com/netreply/netreply/internal/cacherules"
)

// TestVary: whether a response to the first request answers the second.
func TestVary(t *testing.T) {
	of := func(lines ...string) []string { return lines }
	for name, c := range map[string]struct {
		vary          string
		first, second []string
		want          bool
	}{
		"no Vary":                     {"", of("Foo: 1"), of("Foo: 2"), true},
		"empty":                       {",, ", of("Foo: 1"), of("Foo: 2"), true},
		"same":                        {"Foo", of("Foo: 1"), of("Foo: 1", "Bar: 2"), true},
		"different":                   {"Foo", of("Foo: 1"), of("Foo: 2"), false},
		"case of the name":            {"fOO", of("foo: 1"), of("FOO: 1"), true},
		"case of the value":           {"Foo", of("Foo: a"), of("Foo: A"), false},
		"absent, then there":          {"Foo", nil, of("Foo: 1"), false},
		"there, then absent":          {"Foo", of("Foo: 1"), nil, false},
		"absent, then empty":          {"Foo", nil, of("Foo:"), false},
		"absent twice":                {"Foo", nil, nil, true},
		"two names":                   {"Foo, Bar", of("Foo: 1", "Bar: 2"), of("Bar: 2", "Foo: 1"), true},
		"second of two":               {"Foo, Bar", of("Foo: 1", "Bar: 2"), of("Foo: 1", "Bar: 3"), false},
		"values swapped":              {"Foo, Bar", of("Foo: 1", "Bar: 2"), of("Foo: 2", "Bar: 1"), false},
		"moved to another name":       {"Foo, Bar", of("Foo: 1"), of("Bar: 1"), false},
		"star":                        {"*", nil, nil, false},
		"star with others":            {"Foo, *", of("Foo: 1"), of("Foo: 1"), false},
		"star first":                  {"*, Foo", of("Foo: 1"), of("Foo: 1"), false},
		"blanks around commas":        {"Foo", of("Foo: 1,2"), of("Foo: 1 ,\t2"), true},
		"blanks inside":               {"Foo", of("Foo: 1 2"), of("Foo: 1  2"), false},
		"two fields":                  {"Foo", of("Foo: 1, 2"), of("Foo: 1", "Foo: 2"), true},
		"order of a list":             {"Foo", of("Foo: 1, 2"), of("Foo: 2, 1"), false},
		"empty members":               {"Foo", of("Foo: 1,,2"), of("Foo: 1, 2,"), true},
		"comma in quotes":             {"Foo", of(`Foo: "1,2"`), of(`Foo: "1, 2"`), false},
		"members joined":              {"Foo", of(`Foo: 12`), of(`Foo: 1, 2`), false},
		"languages, case":             {"Accept-Language", of("Accept-Language: EN-us"), of("Accept-Language: en-US"), true},
		"languages, blanks":           {"Accept-Language", of("Accept-Language: en;q=0.5,de"), of("Accept-Language: de, en ; q=0.5"), true},
		"languages, weights":          {"Accept-Language", of("Accept-Language: en;q=0.5, de;q=0.7"), of("Accept-Language: de;q=0.70, en;q=0.500"), true},
		"languages, weight of 1":      {"Accept-Language", of("Accept-Language: en;q=1.0, de;q=0.7"), of("Accept-Language: en, de;q=0.7"), true},
		"languages, other weights":    {"Accept-Language", of("Accept-Language: en;q=0.5, de;q=0.7"), of("Accept-Language: en;q=0.7, de;q=0.5"), false},
		"languages, order":            {"Accept-Language", of("Accept-Language: en, de"), of("Accept-Language: de, en"), true},
		"languages, order and weight": {"Accept-Language", of("Accept-Language: en, en-us;q=1, de;q=0.1"), of("Accept-Language: de ; q=0.1, en-us, en;q=1.0"), true},
		"types, other parameters":     {"Accept", of("Accept: a/b;c=1;q=0.5"), of("Accept: a/b;c=2;q=0.5"), false},
		"types, another weight":       {"Accept", of("Accept: a/b;c=1;q=0.5"), of("Accept: a/b;c=1;q=0.4"), false},
		"encodings":                   {"Accept-Encoding", of("Accept-Encoding: gzip, br;q=0"), of("Accept-Encoding: GZIP,br;q=0.0"), true},
		"encodings, different":        {"Accept-Encoding", of("Accept-Encoding: gzip"), of("Accept-Encoding: br"), false},
		"types, case of parameters":   {"Accept", of("Accept: text/html;level=A"), of("Accept: text/html;level=a"), false},
		"types, blanks":               {"Accept", of("Accept: text/html; level=1, a/b;q=0.1"), of("Accept: a/b;q=0.1,text/html;level=1"), true},
		"another Accept field":        {"Accept-Foo", of("Accept-Foo: A"), of("Accept-Foo: a"), false},
		"user agents are not changed": {"User-Agent", of("User-Agent: a (b,c)"), of("User-Agent: a (b, c)"), false},
		"cookies are not changed":     {"Cookie", of("Cookie: a=1,b"), of("Cookie: a=1, b"), false},
		"cookies":                     {"Cookie", of("Cookie: a=1"), of("Cookie: a=1"), true},
		"other cookies":               {"Cookie", of("Cookie: a=1"), of("Cookie: a=2"), false},
		"two fields of one Vary name": {"User-Agent", of("User-Agent: a", "User-Agent: b"), of("User-Agent: a"), false},
		"credentials":                 {"", of("Authorization: Basic a"), of("Authorization: Basic a"), true},
		"other credentials":           {"", of("Authorization: Basic a"), of("Authorization: Basic b"), false},
		"no credentials":              {"", of("Authorization: Basic a"), nil, false},
		"credentials, then":           {"", nil, of("Authorization: Basic a"), false},
	} {
		t.Run(name, func(t *testing.T) {
			s := respond(get(c.first...), 200, "Cache-Control: max-age=9", "Vary: "+c.vary)
			found, miss := Select(get(c.second...), []*Stored{s})
			if c.want {
				assert.Same(t, s, found)
				assert.Equal(t, NoMiss, miss)
			} else {
				assert.Nil(t, found)
				assert.Equal(t, VaryMiss, miss)
			}
		})
	}
	two := respond(get("Foo: 1", "Bar: 1"), 200, "Vary: Foo", "Vary: Bar")
	found, _ := Select(get("Foo: 1", "Bar: 2"), []*Stored{two})
	assert.Nil(t, found, "Vary in two fields")
	assert.Equal(t, VariesByAll, Storable(get(), 200, http.Header{"Vary": {"Foo", "*"}}))
}

// TestSingleFields: values that are no lists are compared as they are, and lists are not.
func TestSingleFields(t *testing.T) {
	for name, single := range map[string]bool{
		"Authorization": true, "Cookie": true, "Date": true, "From": true, "Host": true, "If-Modified-Since": true, "If-Range": true,
		"If-Unmodified-Since": true, "Origin": true, "Referer": true, "User-Agent": true,
		"Foo": false, "Accept": false, "Accept-Charset": false, "Accept-Encoding": false, "Accept-Language": false, "Prefer": false,
	} {
		s := respond(get(name+": a,b"), 200, "Vary: "+name)
		found, _ := Select(get(name+": a, b"), []*Stored{s})
		assert.Equal(t, !single, found != nil, name)
	}
	// what looks like a weight and is none
	for _, other := range []string{"a;x=1", "a;q-1", "a;q=2", "a;q=1.5", "a;q=0.5555", "a;q=", "a;q=x", "a;q=0x5", "a;q=1.x"} {
		found, _ := Select(get("Accept: "+other), []*Stored{respond(get("Accept: a"), 200, "Vary: Accept")})
		assert.Nil(t, found, other)
	}
}

// TestOddNames: a program may spell the names of its fields as it likes.
func TestOddNames(t *testing.T) {
	odd := NewRequest("GET", http.Header{"fOO": {"1"}, "cache-CONTROL": {"no-store"}, "authorization": {"Basic a"}}, PreferNetwork, "")
	same := get("Foo: 1", "Authorization: Basic a")
	found, _ := Select(same, []*Stored{respond(&odd, 200, "Vary: Foo")})
	assert.NotNil(t, found)
	assert.Equal(t, RequestNoStore, Storable(&odd, 200, header("Cache-Control: max-age=1")))
	both := NewRequest("GET", http.Header{"Cache-Control": {"max-age=9"}, "cache-control": {"no-store"}}, PreferNetwork, "")
	assert.Equal(t, RequestNoStore, Storable(&both, 200, header("Cache-Control: max-age=1")))
}

// TestUsers: with a user, the Authorization field does not count, which differs each time.
func TestUsers(t *testing.T) {
	as := func(user, authorization string) *Request {
		r := NewRequest("GET", header("Authorization: "+authorization), PreferNetwork, user)
		return &r
	}
	stored := []*Stored{respond(as("digest:joe", "Digest nc=1"), 200)}
	found, _ := Select(as("digest:joe", "Digest nc=2"), stored)
	assert.NotNil(t, found)
	for _, r := range []*Request{as("digest:jim", "Digest nc=1"), as("", "Digest nc=1"), as("", "digest:joe"), get()} {
		found, miss := Select(r, stored)
		assert.Nil(t, found)
		assert.Equal(t, VaryMiss, miss)
	}
}

// TestSelect: among several variants, the most recent one that matches.
func TestSelect(t *testing.T) {
	_, miss := Select(get(), nil)
	assert.Equal(t, URIMiss, miss)

	a := respond(get("Foo: a"), 200, "Vary: Foo", "Date: {1s}")
	b := respond(get("Foo: b"), 200, "Vary: Foo", "Date: {2s}")
	other := respond(get("Bar: x"), 200, "Vary: Bar", "Date: {3s}")
	all := []*Stored{a, b, other}
	for _, c := range []struct {
		lines []string
		want  *Stored
	}{
		{[]string{"Foo: a"}, a},
		{[]string{"Foo: b"}, b},
		{[]string{"Foo: c"}, nil},
		{[]string{"Foo: a", "Bar: x"}, other},
		{nil, nil},
	} {
		found, _ := Select(get(c.lines...), all)
		assert.Same(t, c.want, found, c.lines)
	}
	plain := respond(get(), 200, "Date: {0s}")
	found, _ := Select(get("Foo: a"), append(all, plain))
	assert.Same(t, a, found, "older than what names its field")
	newer := respond(get(), 200, "Date: {9s}")
	found, _ = Select(get("Foo: a"), append(all, newer))
	assert.Same(t, newer, found)
	rec := a.Record
	rec.Response = rec.Response.Add(second)
	later := NewStored(rec)
	found, _ = Select(get("Foo: a"), []*Stored{later, a})
	assert.Same(t, later, found, "same Date: the last one to arrive")
}

// TestVaryKeyHidesValues: keys are stored, and credentials must not be.
func TestVaryKeyHidesValues(t *testing.T) {
	s := respond(get("Cookie: secret", "Authorization: Basic secret"), 200, "Vary: Cookie")
	assert.NotContains(t, string(s.Vary[:]), "secret")
	assert.NotEqual(t, VaryKey{}, s.Vary)
	assert.Equal(t, VaryKey{}, respond(get("Cookie: secret"), 200).Vary)
}
