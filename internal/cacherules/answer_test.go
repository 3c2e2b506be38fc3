package cacherules_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/netreply/netreply/headers"
	. "github.com/netreply/netreply/internal/cacherules"
)

// TestPreconditions: 304 from a fresh response (RFC 9111, section 4.3.2).
func TestPreconditions(t *testing.T) {
	of := func(lines ...string) []string { return lines }
	strong := of(`ETag: "a"`, "Last-Modified: {-100s}")
	weak := of(`ETag: W/"a"`)
	for name, c := range map[string]struct {
		request, response []string
		want              int
	}{
		"none":                      {nil, strong, 200},
		"same":                      {of(`If-None-Match: "a"`), strong, 304},
		"other":                     {of(`If-None-Match: "b"`), strong, 200},
		"first":                     {of(`If-None-Match: "a", "b"`), strong, 304},
		"last":                      {of(`If-None-Match: "b" ,"c","a"`), strong, 304},
		"in another field":          {of(`If-None-Match: "b"`, `If-None-Match: "a"`), strong, 304},
		"weak for strong":           {of(`If-None-Match: W/"a"`), strong, 304},
		"strong for weak":           {of(`If-None-Match: "a"`), weak, 304},
		"weak":                      {of(`If-None-Match: W/"a"`), weak, 304},
		"small w":                   {of(`If-None-Match: w/"a"`), weak, 200},
		"no slash":                  {of(`If-None-Match: W"a"`), weak, 200},
		"backslash":                 {of(`If-None-Match: W\"a"`), weak, 200},
		"without quotes":            {of(`If-None-Match: a`), strong, 200},
		"both without quotes":       {of(`If-None-Match: a`), of(`ETag: a`), 304},
		"quotes for none":           {of(`If-None-Match: "a"`), of(`ETag: a`), 200},
		"star":                      {of(`If-None-Match: *`), strong, 304},
		"star without ETag":         {of(`If-None-Match: *`), nil, 304},
		"comma in it":               {of(`If-None-Match: "b,a"`), strong, 200},
		"same with comma":           {of(`If-None-Match: "x", "a,b"`), of(`ETag: "a,b"`), 304},
		"empty":                     {of(`If-None-Match:`), of(`ETag:`), 200},
		"case":                      {of(`If-None-Match: "A"`), strong, 200},
		"no ETag":                   {of(`If-None-Match: "a"`), nil, 200},
		"ETag before date":          {of(`If-None-Match: "b"`, "If-Modified-Since: {0s}"), strong, 200},
		"date not needed":           {of(`If-None-Match: "a"`, "If-Modified-Since: {-999s}"), strong, 304},
		"date":                      {of("If-Modified-Since: {-100s}"), strong, 304},
		"later date":                {of("If-Modified-Since: {-50s}"), strong, 304},
		"earlier date":              {of("If-Modified-Since: {-101s}"), strong, 200},
		"date in another form":      {of("If-Modified-Since: Tuesday, 06-May-31 07:06:29 GMT"), strong, 304},
		"no date":                   {of("If-Modified-Since: now"), strong, 200},
		"two dates":                 {of("If-Modified-Since: {0s}", "If-Modified-Since: {0s}"), strong, 200},
		"Date for no Last-Modified": {of("If-Modified-Since: {0s}"), of("Date: {0s}"), 304},
		"Date is later":             {of("If-Modified-Since: {-1s}"), of("Date: {0s}"), 200},
	} {
		s := ok(append(c.response, "Cache-Control: max-age=100")...)
		for _, method := range []string{"GET", "HEAD"} {
			d := decide(request(method, c.request...), s, second)
			assert.Equal(t, Use, d.Action, name)
			assert.Equal(t, c.want, d.Answer.Status, name)
			if c.want == 304 || method == "HEAD" {
				assert.Zero(t, d.Answer.Body, name)
			}
		}
	}
	// conditions are about success only
	assert.Equal(t, 404, decide(get("If-None-Match: *"), respond(get(), 404, "Cache-Control: max-age=1"), 0).Answer.Status)
	assert.Equal(t, 301, decide(get("If-None-Match: *"), respond(get(), 301, "Cache-Control: max-age=1"), 0).Answer.Status)
	assert.Equal(t, 304, decide(get("If-None-Match: *", "Range: bytes=0-0"), ok("Cache-Control: max-age=1"), 0).Answer.Status, "before a range")
}

// TestRanges: parts of a stored body of 1000 bytes.
func TestRanges(t *testing.T) {
	whole := Span{0, 1000}
	const etag, modified = `ETag: "a"`, "Last-Modified: {-100s}"
	for name, c := range map[string]struct {
		lines  []string
		status int
		body   Span
	}{
		"first":              {[]string{"Range: bytes=0-0"}, 206, Span{0, 1}},
		"middle":             {[]string{"Range: bytes=10-19"}, 206, Span{10, 20}},
		"to the end":         {[]string{"Range: bytes=990-"}, 206, Span{990, 1000}},
		"the last":           {[]string{"Range: bytes=-10"}, 206, Span{990, 1000}},
		"more than all":      {[]string{"Range: bytes=-2000"}, 206, whole},
		"beyond the end":     {[]string{"Range: bytes=990-2000"}, 206, Span{990, 1000}},
		"far beyond":         {[]string{"Range: bytes=990-99999999999999999999"}, 206, Span{990, 1000}},
		"unit in capitals":   {[]string{"Range: BYTES=0-0"}, 206, Span{0, 1}},
		"behind the end":     {[]string{"Range: bytes=1000-"}, 416, Span{}},
		"far behind":         {[]string{"Range: bytes=99999999999999999999-"}, 416, Span{}},
		"nothing":            {[]string{"Range: bytes=-0"}, 416, Span{}},
		"backwards":          {[]string{"Range: bytes=9-8"}, 200, whole},
		"no numbers":         {[]string{"Range: bytes=a-b"}, 200, whole},
		"no dash":            {[]string{"Range: bytes=5"}, 200, whole},
		"no unit":            {[]string{"Range: 0-5"}, 200, whole},
		"only a dash":        {[]string{"Range: bytes=-"}, 200, whole},
		"three numbers":      {[]string{"Range: bytes=1-2-3"}, 200, whole},
		"If-Range":           {[]string{"Range: bytes=0-0", `If-Range: "a"`}, 206, Span{0, 1}},
		"If-Range other":     {[]string{"Range: bytes=0-0", `If-Range: "b"`}, 200, whole},
		"If-Range weak":      {[]string{"Range: bytes=0-0", `If-Range: W/"a"`}, 200, whole},
		"If-Range date":      {[]string{"Range: bytes=0-0", `If-Range: {-100s}`}, 206, Span{0, 1}},
		"If-Range later":     {[]string{"Range: bytes=0-0", `If-Range: {-99s}`}, 200, whole},
		"If-Range junk":      {[]string{"Range: bytes=0-0", `If-Range: a`}, 200, whole},
		"If-Range twice":     {[]string{"Range: bytes=0-0", `If-Range: "a"`, `If-Range: "a"`}, 200, whole},
		"If-Range, 416 gone": {[]string{"Range: bytes=1000-", `If-Range: "b"`}, 200, whole},
		"without Range":      {[]string{`If-Range: "b"`}, 200, whole},
	} {
		d := decide(get(c.lines...), ok("Date: {0s}", "Cache-Control: max-age=100", etag, modified), second)
		assert.Equal(t, Use, d.Action, name)
		assert.Equal(t, Answer{c.status, c.body}, d.Answer, name)
	}
	d := decide(get("Range: bytes=0-0", `If-Range: {-100s}`), ok("Cache-Control: max-age=100", modified), 0)
	assert.Equal(t, 200, d.Answer.Status, "without Date, Last-Modified is weak")
	d = decide(get("Range: bytes=0-0", `If-Range: {0s}`), ok("Cache-Control: max-age=100", "Date: {0s}", "Last-Modified: {0s}"), 0)
	assert.Equal(t, 200, d.Answer.Status, "modified in the second of Date")
	d = decide(get("Range: bytes=0-0"), respond(get(), 404, "Cache-Control: max-age=100"), 0)
	assert.Equal(t, Answer{404, whole}, d.Answer, "a range of a 404")

	rec := ok("Cache-Control: max-age=100").Record
	rec.Length = -1
	growing := NewStored(rec)
	assert.Equal(t, Answer{200, Span{0, -1}}, decide(get(), growing, 0).Answer)
	for _, r := range []string{"bytes=0-5", "bytes=5-", "bytes=-5"} {
		assert.Equal(t, ForwardPartial, decide(get("Range: "+r), growing, 0).Forward, "it is not known whether it will exist")
	}
	rec.Length = 0
	empty := NewStored(rec)
	assert.Equal(t, 416, decide(get("Range: bytes=0-"), empty, 0).Answer.Status)
	assert.Equal(t, 416, decide(get("Range: bytes=-1"), empty, 0).Answer.Status)
}

// TestFields: what an answer tells.
func TestFields(t *testing.T) {
	s := ok("Date: {0s}", "content-type: text/plain", "Content-Length: 1000", "ETag: \"a\"", "Age: 5", `Cache-Control: max-age=100, no-cache="x-user"`,
		"X-User: joe", "Set-Cookie: a=1", "Content-Location: /b", "Vary: Foo")
	rest := []string{"Date: {0s}", "content-type: text/plain", "ETag: \"a\"", `Cache-Control: max-age=100, no-cache="x-user"`, "Set-Cookie: a=1", "Content-Location: /b", "Vary: Foo"}
	for name, c := range map[string]struct {
		a         Answer
		validated bool
		want      headers.Headers
	}{
		"all": {Answer{200, Span{0, 1000}}, false, list("Date: {0s}", "content-type: text/plain", "Content-Length: 1000", "ETag: \"a\"",
			`Cache-Control: max-age=100, no-cache="x-user"`, "Set-Cookie: a=1", "Content-Location: /b", "Vary: Foo", "Age: 15")},
		"validated": {Answer{200, Span{0, 1000}}, true, list("Date: {0s}", "content-type: text/plain", "Content-Length: 1000", "ETag: \"a\"",
			`Cache-Control: max-age=100, no-cache="x-user"`, "X-User: joe", "Set-Cookie: a=1", "Content-Location: /b", "Vary: Foo", "Age: 15")},
		"part": {Answer{206, Span{10, 20}}, false, list(append(rest, "Age: 15", "Content-Range: bytes 10-19/1000", "Content-Length: 10")...)},
		"not modified": {Answer{304, Span{}}, false, list("Date: {0s}", "ETag: \"a\"", `Cache-Control: max-age=100, no-cache="x-user"`,
			"Set-Cookie: a=1", "Content-Location: /b", "Vary: Foo", "Age: 15")},
		"no such part": {Answer{416, Span{}}, false, list("Date: {0s}", `Cache-Control: max-age=100, no-cache="x-user"`, "Set-Cookie: a=1", "Vary: Foo",
			"Age: 15", "Content-Range: bytes */1000", "Content-Length: 0")},
	} {
		got := c.a.Fields(s, c.validated, start.Add(10*second))
		assert.True(t, c.want.Equal(got), "%s: %v", name, got)
	}

	for _, cc := range []string{"no-cache=X-USER", `no-cache="x-other, x-user"`, `no-cache="x-other", no-cache="x-user"`} {
		s := ok("Cache-Control: max-age=100, "+cc, "x-user: joe", "X: y", "x-User: jim")
		fields := Answer{Status: 200}.Fields(s, false, start)
		assert.False(t, fields.Has("X-User"), cc)
		assert.True(t, fields.Has("X"), cc)
	}
}
