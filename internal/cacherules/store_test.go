package cacherules_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/headers"
	. "github.com/netreply/netreply/internal/cacherules"
)

// TestStorable: which responses are stored (RFC 9111, section 3).
func TestStorable(t *testing.T) {
	cc := func(directives string) []string { return []string{"Cache-Control: " + directives} }
	for name, c := range map[string]struct {
		request  *Request
		status   int
		response []string
		want     Refusal
	}{
		"plain":                       {get(), 200, nil, Stores},
		"HEAD":                        {request("HEAD"), 200, cc("max-age=9"), OtherMethod},
		"POST":                        {request("POST"), 200, cc("max-age=9, public"), OtherMethod},
		"no-store":                    {get(), 200, cc("max-age=9, no-store"), ResponseNoStore},
		"no-store in capitals":        {get(), 200, cc("No-Store"), ResponseNoStore},
		"no-store in another field":   {get(), 200, []string{"Cache-Control: max-age=9", "Cache-Control: no-store"}, ResponseNoStore},
		"no-store with argument":      {get(), 200, cc("no-store=1"), ResponseNoStore},
		"no-store with junk":          {get(), 200, cc("max-age=9, no-store x"), ResponseNoStore},
		"no-store behind junk":        {get(), 200, cc(`=, ;, "x", no-store`), ResponseNoStore},
		"no-store behind open quote":  {get(), 200, cc(`x="max-age=9, no-store`), ResponseNoStore},
		"no-store behind odd escape":  {get(), 200, cc(`x="\", no-store`), ResponseNoStore},
		"no-store in quotes":          {get(), 200, cc(`x="a, no-store"`), Stores},
		"no-store as a part":          {get(), 200, cc(`no-stored, xno-store`), Stores},
		"no-store as an argument":     {get(), 200, cc(`x=no-store`), Stores},
		"of a content network":        {get(), 200, []string{"CDN-Cache-Control: no-store"}, Stores},
		"request no-store":            {get("Cache-Control: No-Store"), 200, cc("max-age=9"), RequestNoStore},
		"request no-cache":            {get("Cache-Control: no-cache"), 200, cc("max-age=9"), Stores},
		"private":                     {get(), 200, cc("private, max-age=9"), Stores},
		"private, with fields":        {get(), 200, cc(`private="a", max-age=9`), Stores},
		"s-maxage of 0":               {get(), 200, cc(`s-maxage=0`), Stores},
		"Authorization":               {get("Authorization: Basic a"), 200, cc("max-age=9"), Stores},
		"Set-Cookie":                  {get(), 200, []string{"Set-Cookie: a=1"}, Stores},
		"no-cache":                    {get(), 200, cc("no-cache"), Stores},
		"expired":                     {get(), 200, []string{"Expires: 0"}, Stores},
		"must-understand, known":      {get(), 200, cc("no-store, must-understand, max-age=9"), Stores},
		"must-understand, unknown":    {get(), 299, cc("no-store, must-understand, max-age=9"), NotUnderstood},
		"must-understand alone":       {get(), 599, cc("must-understand, max-age=9"), NotUnderstood},
		"must-understand junk":        {get(), 200, cc("no-store, must-understand x"), ResponseNoStore},
		"302":                         {get(), 302, nil, NotCacheable},
		"302, private":                {get(), 302, cc("private"), Stores},
		"302, Expires":                {get(), 302, []string{"Expires: {1s}"}, Stores},
		"302, s-maxage":               {get(), 302, cc("s-maxage=9"), NotCacheable},
		"303, max-age":                {get(), 303, cc("max-age=9"), Stores},
		"500, max-age":                {get(), 500, cc("max-age=9"), Stores},
		"500":                         {get(), 500, nil, NotCacheable},
		"404":                         {get(), 404, nil, Stores},
		"unknown":                     {get(), 499, nil, NotCacheable},
		"unknown, max-age":            {get(), 499, cc("max-age=9"), Stores},
		"206":                         {get("Range: bytes=0-9"), 206, []string{"Content-Range: bytes 0-9/100"}, Stores},
		"206 of one byte":             {get("Range: bytes=5-5"), 206, []string{"Content-Range: bytes 5-5/100"}, Stores},
		"206, length unknown":         {get("Range: bytes=0-9"), 206, []string{"Content-Range: bytes 0-9/*"}, Stores},
		"206 of several":              {get("Range: bytes=0-9,20-29"), 206, []string{"Content-Type: multipart/byteranges; boundary=x"}, UnknownPart},
		"206 without length":          {get("Range: bytes=0-9"), 206, []string{"Content-Range: bytes 0-9"}, UnknownPart},
		"206 without start":           {get("Range: bytes=0-9"), 206, []string{"Content-Range: bytes -9/100"}, UnknownPart},
		"206 without end":             {get("Range: bytes=0-9"), 206, []string{"Content-Range: bytes 0-/100"}, UnknownPart},
		"206 of letters":              {get("Range: bytes=0-9"), 206, []string{"Content-Range: bytes a-b/c"}, UnknownPart},
		"206, length no number":       {get("Range: bytes=0-9"), 206, []string{"Content-Range: bytes 0-9/x"}, UnknownPart},
		"206 in lines":                {get("Range: bytes=0-9"), 206, []string{"Content-Range: lines 0-9/100"}, UnknownPart},
		"206 with two":                {get("Range: bytes=0-9"), 206, []string{"Content-Range: bytes 0-9/100", "Content-Range: bytes 0-9/100"}, UnknownPart},
		"206 beyond its length":       {get("Range: bytes=0-9"), 206, []string{"Content-Range: bytes 0-100/100"}, UnknownPart},
		"206 backwards":               {get("Range: bytes=0-9"), 206, []string{"Content-Range: bytes 9-8/100"}, UnknownPart},
		"206 unsatisfied":             {get("Range: bytes=0-9"), 206, []string{"Content-Range: bytes */100"}, UnknownPart},
		"206 too large":               {get("Range: bytes=0-9"), 206, []string{"Content-Range: bytes 0-99999999999999999999/*"}, UnknownPart},
		"206 without Content-Range":   {get("Range: bytes=0-9"), 206, nil, UnknownPart},
		"Vary by all":                 {get(), 200, []string{"Vary: *", "Cache-Control: max-age=9"}, VariesByAll},
		"Vary":                        {get(), 200, []string{"Vary: Foo"}, Stores},
		"a name like Cache-Control":   {get(), 200, []string{"X-Cache-Control: no-store"}, Stores},
		"early data":                  {get(), 425, cc("max-age=9"), OtherStatus},
		"a status below 200":          {get(), 101, cc("max-age=9"), OtherStatus},
		"a status above 599":          {get(), 600, cc("max-age=9"), OtherStatus},
		"conditions of one request":   {get(), 412, cc("max-age=9"), OtherStatus},
		"a range of one request":      {get(), 416, cc("max-age=9"), OtherStatus},
		"credentials of one request":  {get(), 401, cc("max-age=9"), OtherStatus},
		"proxy of one request":        {get(), 407, cc("max-age=9"), OtherStatus},
		"too many requests":           {get(), 429, cc("max-age=9"), OtherStatus},
		"a login of the network":      {get(), 511, cc("max-age=9"), OtherStatus},
		"not modified is no response": {get(), 304, cc("max-age=9"), OtherStatus},
	} {
		assert.Equal(t, c.want, Storable(c.request, c.status, header(c.response...)), name)
	}
}

// TestStoredFields: all but those of the connection (RFC 9111, section 3.1).
func TestStoredFields(t *testing.T) {
	s := ok("date: {0s}", "Connection: close, X-Hop", "x-hop: 1", "Keep-Alive: timeout=5", "Proxy-Authenticate: Basic", "Proxy-Authentication-Info: a", "Proxy-Authorization: Basic a",
		"Proxy-Connection: close", "TE: trailers", "Transfer-Encoding: chunked", "Upgrade: h2c", "X-Unknown: a", "X-Unknown: b", "Set-Cookie: a=1",
		"Content-Encoding: gzip", "Content-Length: 1000", "Trailer: X-Sum", "X-Empty:")
	want := list("date: {0s}", "X-Unknown: a", "X-Unknown: b", "Set-Cookie: a=1", "Content-Encoding: gzip", "Content-Length: 1000", "Trailer: X-Sum", "X-Empty:")
	assert.True(t, want.Equal(s.Fields), s.Fields)

	part, offset := NewRecord(get(), 206, list("Content-Range: bytes 10-19/1000", "Content-Length: 10", "ETag: \"a\""), 10, at0)
	assert.EqualValues(t, 10, offset)
	assert.Equal(t, 200, part.Status)
	assert.EqualValues(t, 1000, part.Length)
	assert.Equal(t, Spans{{10, 20}}, part.Have)
	assert.True(t, list("Content-Length: 1000", "ETag: \"a\"").Equal(part.Fields), part.Fields)

	part, _ = NewRecord(get(), 206, list("Content-Range: bytes 10-19/*", "Content-Length: 10"), 10, at0)
	assert.EqualValues(t, -1, part.Length)
	assert.Zero(t, part.Fields.Len())

	all, _ := NewRecord(get(), 206, list("Content-Range: bytes 0-9/10", "Content-Length: 10"), 10, at0)
	assert.True(t, all.Complete())
}

// TestManyFields: time is linear in the number of names in Connection and Vary.
func TestManyFields(t *testing.T) {
	names := make([]string, 100000)
	fields := make([]headers.Field, len(names))
	for i := range names {
		names[i] = "X-" + strings.Repeat("a", i%7) + string(rune('A'+i%26)) + strings.Repeat("b", i/26%11)
		fields[i] = headers.Field{Name: names[i], Value: "1"}
	}
	joined := strings.Join(names, ",")
	fields = append(fields, headers.Field{Name: "Connection", Value: joined}, headers.Field{Name: "Vary", Value: joined},
		headers.Field{Name: "Cache-Control", Value: `no-cache="` + joined + `"`})
	rec, _ := NewRecord(get(), 200, headers.FromFields(fields), 1, at0)
	assert.Equal(t, 2, rec.Fields.Len())
	s := NewStored(rec)
	assert.Equal(t, 3, Answer{Status: 200}.Fields(s, false, start).Len(), "with Age")
	_, miss := Select(get(), []*Stored{s})
	assert.Equal(t, VaryMiss, miss, "so many names are as a *")
	assert.Equal(t, VariesByAll, Storable(get(), 200, http.Header{"Vary": {joined}}))
}

// TestTruncated: what is kept of a body that broke off.
func TestTruncated(t *testing.T) {
	rec, why := ok(`ETag: "a"`).Truncated(0, 400)
	assert.Equal(t, Stores, why)
	assert.Equal(t, Spans{{0, 400}}, rec.Have)
	rec, why = ok(`Last-Modified: {-100s}`, "Date: {0s}").Truncated(0, 400)
	assert.Equal(t, Stores, why)
	assert.False(t, rec.Complete())

	for name, s := range map[string]*Stored{
		"no validator":   ok(),
		"weak":           ok(`ETag: W/"a"`),
		"weak date":      ok("Last-Modified: {-100s}"),
		"not the whole":  respond(get(), 404, `ETag: "a"`),
		"without quotes": ok(`ETag: a`),
	} {
		_, why := s.Truncated(0, 400)
		assert.Equal(t, NothingToContinue, why, name)
	}
	_, why = ok(`ETag: "a"`).Truncated(0, 0)
	assert.Equal(t, NothingToContinue, why)
}

// TestStorableChange: responses to POST and PATCH that answer GET from then on.
func TestStorableChange(t *testing.T) {
	u, err := url.Parse("http://a.test/x/y?z")
	require.NoError(t, err)
	for name, c := range map[string]struct {
		method string
		status int
		lines  []string
		want   Refusal
	}{
		"path":                 {"POST", 200, []string{"Cache-Control: max-age=9", "Content-Location: /x/y?z"}, Stores},
		"URL":                  {"POST", 200, []string{"Cache-Control: max-age=9", "Content-Location: HTTP://A.test:80/x/y?z#f"}, Stores},
		"relative":             {"POST", 200, []string{"Cache-Control: max-age=9", "Content-Location: y?z"}, Stores},
		"itself":               {"PATCH", 200, []string{"Cache-Control: max-age=9", "Content-Location:"}, Stores},
		"Expires":              {"POST", 200, []string{"Expires: {9s}", "Content-Location: y?z"}, Stores},
		"PUT":                  {"PUT", 200, []string{"Cache-Control: max-age=9", "Content-Location: y?z"}, OtherMethod},
		"GET":                  {"GET", 200, []string{"Cache-Control: max-age=9", "Content-Location: y?z"}, OtherMethod},
		"created":              {"POST", 201, []string{"Cache-Control: max-age=9", "Content-Location: y?z"}, OtherStatus},
		"another query":        {"POST", 200, []string{"Cache-Control: max-age=9", "Content-Location: y"}, NotCacheable},
		"another host":         {"POST", 200, []string{"Cache-Control: max-age=9", "Content-Location: http://b.test/x/y?z"}, NotCacheable},
		"another scheme":       {"POST", 200, []string{"Cache-Control: max-age=9", "Content-Location: https://a.test/x/y?z"}, NotCacheable},
		"no URL":               {"POST", 200, []string{"Cache-Control: max-age=9", "Content-Location: http://["}, NotCacheable},
		"two":                  {"POST", 200, []string{"Cache-Control: max-age=9", "Content-Location: y?z", "Content-Location: y?z"}, NotCacheable},
		"none":                 {"POST", 200, []string{"Cache-Control: max-age=9"}, NotCacheable},
		"no explicit lifetime": {"POST", 200, []string{"Cache-Control: public", "Last-Modified: {-9s}", "Content-Location: y?z"}, NotCacheable},
		"no-store":             {"POST", 200, []string{"Cache-Control: max-age=9, no-store", "Content-Location: y?z"}, ResponseNoStore},
		"Vary: *":              {"POST", 200, []string{"Cache-Control: max-age=9", "Vary: *", "Content-Location: y?z"}, VariesByAll},
	} {
		assert.Equal(t, c.want, StorableChange(request(c.method), u, c.status, header(c.lines...)), name)
	}
	assert.Equal(t, RequestNoStore, StorableChange(request("POST", "Cache-Control: no-store"), u, 200, header("Cache-Control: max-age=9", "Content-Location: y?z")))
}
