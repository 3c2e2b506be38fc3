package cacherules_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	. "github.com/netreply/netreply/internal/cacherules"
)

// TestUpdate: which fields a 304 replaces.
func TestUpdate(t *testing.T) {
	later := Times{Request: start.Add(hour), Response: start.Add(hour + second)}
	s := ok("Date: {0s}", "Cache-Control: max-age=1", "ETag: \"a\"", "Content-Type: text/plain", "Content-Length: 1000", "Content-Encoding: gzip",
		"X-Same: 1", "x-two: 1", "X-Two: 2", "Content-Foo: 1", "Expires: {1s}", "Set-Cookie: a=1")
	rec := s.Update(get(), list("Date: {3600s}", "Cache-Control: max-age=100", "ETag: \"a\"", "Content-Type: text/plain; charset=utf-8", "Content-Length: 0",
		"Content-Encoding: br", "Content-Range: bytes 0-0/1", "X-Two: 3", "X-New: 4", "X-New: 5", "Content-Foo: 2", "Set-Cookie: b=2",
		"Connection: X-Hop", "X-Hop: 1", "Keep-Alive: timeout=5", "Transfer-Encoding: chunked", "Proxy-Authenticate: Basic"), later)
	want := list("Content-Length: 1000", "Content-Encoding: gzip", "X-Same: 1", "Expires: {1s}", "Date: {3600s}", "Cache-Control: max-age=100", "ETag: \"a\"",
		"Content-Type: text/plain; charset=utf-8", "X-Two: 3", "X-New: 4", "X-New: 5", "Content-Foo: 2", "Set-Cookie: b=2")
	assert.True(t, want.Equal(rec.Fields), rec.Fields)
	assert.Equal(t, later, rec.Times)
	assert.Equal(t, 200, rec.Status)
	updated := NewStored(rec)
	assert.True(t, updated.Keep())
	assert.Equal(t, Use, decide(get(), updated, hour+99*second).Action)
	assert.Equal(t, Validate, decide(get(), s, hour).Action, "the original is as it was")
	assert.Equal(t, "text/plain", s.Fields.Get("Content-Type"))

	rec = s.Update(get(), list("Content-Type: text/html"), later)
	assert.Equal(t, "text/plain", rec.Fields.Get("Content-Type"), "another type is a mistake")
	rec = ok("X: y").Update(get(), list("Content-Type: text/html"), later)
	assert.False(t, rec.Fields.Has("Content-Type"))

	assert.False(t, NewStored(s.Update(get(), list("Cache-Control: no-store"), later)).Keep())
	assert.False(t, NewStored(s.Update(get(), list("Vary: *"), later)).Keep())

	// Age is that of the update, even if it has none
	old := ok("Cache-Control: max-age=100", "Age: 90", "Date: {0s}")
	assert.EqualValues(t, 10, decide(get(), old, 0).TTL/second)
	assert.EqualValues(t, 99, decide(get(), NewStored(old.Update(get(), list("Date: {3600s}", "Age: 0"), later)), hour+second).TTL/second)
	aged := ok("Cache-Control: max-age=100", "Age: 90")
	assert.EqualValues(t, 99, decide(get(), NewStored(aged.Update(get(), list("X: y"), later)), hour+second).TTL/second)

	vary := respond(get("Foo: 1"), 200, "Vary: Foo")
	rec = vary.Update(get("Foo: 1", "Bar: 2"), list("Vary: Bar"), later)
	found, _ := Select(get("Bar: 2"), []*Stored{NewStored(rec)})
	assert.NotNil(t, found, "a new Vary makes a new key")
}

// TestSelectUpdated: which stored responses a 304 is about (RFC 9111, section 4.3.4).
func TestSelectUpdated(t *testing.T) {
	a := ok(`ETag: "a"`, "Date: {1s}", "Last-Modified: {-100s}")
	a2 := ok(`ETag: "a"`, "Date: {2s}")
	b := ok(`ETag: "b"`, "Date: {3s}")
	w := ok(`ETag: W/"w"`, "Date: {1s}")
	w2 := ok(`ETag: W/"w"`, "Date: {2s}")
	old := ok("Last-Modified: {-100s}", "Date: {1s}")
	none := ok("Date: {1s}")
	elsewhere := respond(get("Foo: 1"), 200, "Vary: Foo", `ETag: "a"`)

	for name, c := range map[string]struct {
		stored []*Stored
		lines  []string
		want   []*Stored
	}{
		"strong":                        {[]*Stored{a, b}, []string{`ETag: "a"`}, []*Stored{a}},
		"strong, all":                   {[]*Stored{a, b, a2}, []string{`ETag: "a"`}, []*Stored{a, a2}},
		"strong, unknown":               {[]*Stored{a, b}, []string{`ETag: "c"`}, nil},
		"strong, unknown, only one":     {[]*Stored{a}, []string{`ETag: "c"`}, nil},
		"strong, not weak":              {[]*Stored{w}, []string{`ETag: "w"`}, nil},
		"strong, though date differs":   {[]*Stored{a}, []string{`ETag: "a"`, "Last-Modified: {-1s}"}, []*Stored{a}},
		"weak":                          {[]*Stored{w, w2, b}, []string{`ETag: W/"w"`}, []*Stored{w2}},
		"weak, for strong":              {[]*Stored{a}, []string{`ETag: W/"a"`}, []*Stored{a}},
		"weak, unknown":                 {[]*Stored{a}, []string{`ETag: W/"x"`}, nil},
		"date":                          {[]*Stored{old}, []string{"Last-Modified: {-100s}"}, []*Stored{old}},
		"other date":                    {[]*Stored{old}, []string{"Last-Modified: {-99s}"}, nil},
		"date of one with ETag":         {[]*Stored{a}, []string{"Last-Modified: {-100s}"}, []*Stored{a}},
		"nothing told":                  {[]*Stored{a}, nil, []*Stored{a}},
		"nothing told, nothing stored":  {[]*Stored{none}, nil, []*Stored{none}},
		"nothing told, two":             {[]*Stored{a, b}, nil, nil},
		"another variant":               {[]*Stored{elsewhere}, []string{`ETag: "a"`}, nil},
		"nothing told, another variant": {[]*Stored{a, elsewhere}, nil, []*Stored{a}},
		"no variants":                   {nil, []string{`ETag: "a"`}, nil},
	} {
		assert.Equal(t, c.want, SelectUpdated(get(), c.stored, header(c.lines...), at0), name)
	}
}

// TestUpdateByHead: what a response to HEAD does to the one to GET (RFC 9111, section 4.3.5).
func TestUpdateByHead(t *testing.T) {
	s := ok(`ETag: "a"`, "Last-Modified: {-100s}", "Content-Length: 1000", "Cache-Control: max-age=100")
	for name, c := range map[string]struct {
		status           int
		lines            []string
		changed, invalid bool
	}{
		"same":               {200, []string{`ETag: "a"`, "Last-Modified: {-100s}", "Content-Length: 1000"}, true, false},
		"says nothing":       {200, nil, true, false},
		"other ETag":         {200, []string{`ETag: "b"`}, true, true},
		"other date":         {200, []string{"Last-Modified: {-99s}"}, true, true},
		"other length":       {200, []string{`ETag: "a"`, "Content-Length: 999"}, true, true},
		"length is no such":  {200, []string{"Content-Length: x"}, true, true},
		"gone":               {410, nil, true, true},
		"not found":          {404, nil, true, true},
		"server error":       {500, []string{`ETag: "b"`}, false, false},
		"redirect":           {302, []string{`ETag: "b"`}, false, false},
		"weak tag of it":     {200, []string{`ETag: W/"a"`}, true, false},
		"other tag and date": {200, []string{`ETag: "b"`, "Last-Modified: {-100s}"}, true, true},
	} {
		rec, changed := s.UpdateByHead(request("HEAD"), c.status, list(append(c.lines, "X: y")...), at0)
		assert.Equal(t, c.changed, changed, name)
		assert.Equal(t, c.invalid, rec.Invalid, name)
		assert.Equal(t, c.changed && !c.invalid, rec.Fields.Has("X"), name)
	}
	_, changed := ok().UpdateByHead(request("HEAD"), 200, list(`ETag: "a"`), at0)
	assert.True(t, changed, "a validator that was not there before is another representation")
}
