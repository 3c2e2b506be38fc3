package netreply_test

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/httpcache"
)

// cacheStep is a request of a case, what the server answers if it gets it, and what is to
// come of it.
type cacheStep struct {
	// do is the method, the path (both may be left out) and the request's fields.
	do string
	// say is the status and the fields of the response; {N} is the date in N seconds, and "Date:
	// none" leaves that field out. It is answered by 304 to a request with its validator. The body
	// is "body" and the number of the step, unless there is a field Body; a status of "=" is the
	// first step's response. "break" ends the connection; "cut" before the status ends it within
	// the body.
	say string
	// want is
	//	net     the server's answer
	//	hit     the store's, without a request
	//	valid   the store's, after a 304
	//	stale   the store's, after a request that failed or was answered by an error
	//	failed  none: the request fails
	//	cut     the server's, whose body breaks off
	// and then, separated by blanks, conditions:
	//	=N      the body is that of step N;  @TEXT: it is TEXT
	//	NNN     the status
	//	+A:b    the response has the field A with the value b, with _ for a blank;  -A: it has no
	//	        field A;  =A: it has the first step's field A
	//	>A:b    the server has received the field;  -: >A has not
	want string
}

var cacheCases = map[string][]cacheStep{
	// Freshness.
	"max-age":                        {{"", "200 Cache-Control: max-age=3600", "net"}, {"", "", "hit =0"}},
	"no freshness, no validator":     {{"", "200", "net"}, {"", "200", "net"}},
	"max-age=0":                      {{"", "200 Cache-Control: max-age=0", "net"}, {"", "200", "net"}},
	"max-age and Age":                {{"", "200 Cache-Control: max-age=3600|Age: 3599", "net"}, {"", "", "hit =0 +Age:3599"}},
	"Age beyond max-age":             {{"", "200 Cache-Control: max-age=3600|Age: 7200", "net"}, {"", "200", "net"}},
	"old Date":                       {{"", "200 Cache-Control: max-age=3600|Date: {-7200}", "net"}, {"", "200", "net"}},
	"Expires":                        {{"", "200 Expires: {3600}|Date: {0}", "net"}, {"", "", "hit =0"}},
	"Expires in the past":            {{"", "200 Expires: {-10}|Date: {0}", "net"}, {"", "200", "net"}},
	"Expires that is no date":        {{"", "200 Expires: 0|Last-Modified: {-1000000}|Date: {0}", "net"}, {"", "200 Last-Modified: {-1000000}", "valid =0 >If-Modified-Since"}},
	"max-age before Expires":         {{"", "200 Expires: {-10}|Date: {0}|Cache-Control: max-age=3600", "net"}, {"", "", "hit =0"}},
	"s-maxage is for shared caches":  {{"", "200 Cache-Control: s-maxage=3600", "net"}, {"", "200", "net"}},
	"max-age before s-maxage":        {{"", "200 Cache-Control: max-age=3600, s-maxage=1", "net"}, {"", "", "hit =0"}},
	"private":                        {{"", "200 Cache-Control: private, max-age=3600", "net"}, {"", "", "hit =0"}},
	"CDN-Cache-Control is not read":  {{"", "200 CDN-Cache-Control: max-age=3600", "net"}, {"", "200", "net"}},
	"Surrogate-Control is not read":  {{"", "200 Surrogate-Control: max-age=3600|Cache-Control: no-store", "net"}, {"", "200", "net"}},
	"heuristic":                      {{"", "200 Last-Modified: {-1000000}|Date: {0}", "net"}, {"", "", "hit =0"}},
	"no heuristic for 201":           {{"", "201 Last-Modified: {-1000000}|Date: {0}", "net"}, {"", "201", "net"}},
	"Pragma of a response":           {{"", "200 Cache-Control: max-age=3600|Pragma: no-cache", "net"}, {"", "", "hit =0"}},
	"quoted max-age":                 {{"", `200 Cache-Control: max-age="3600"`, "net"}, {"", "", "hit =0"}},
	"upper case":                     {{"", "200 Cache-Control: MAX-AGE=3600", "net"}, {"", "", "hit =0"}},
	"unknown directives":             {{"", "200 Cache-Control: foo=bar, max-age=3600, baz", "net"}, {"", "", "hit =0"}},
	"max-age in the words of others": {{"", `200 Cache-Control: ext="max-age=3600"`, "net"}, {"", "200", "net"}},

	// What is stored.
	"no-store":                     {{"", "200 Cache-Control: no-store, max-age=3600", "net"}, {"", "200", "net"}},
	"no-store of the request":      {{"Cache-Control: no-store", "200 Cache-Control: max-age=3600", "net"}, {"", "200", "net"}},
	"404 with max-age":             {{"", "404 Cache-Control: max-age=3600", "net"}, {"", "", "hit =0 404"}},
	"500 with max-age":             {{"", "500 Cache-Control: max-age=3600", "net"}, {"", "", "hit =0 500"}},
	"599 with max-age":             {{"", "599 Cache-Control: max-age=3600", "net"}, {"", "", "hit =0 599"}},
	"302 with max-age":             {{"", "302 Cache-Control: max-age=3600|Location: /x", "net"}, {"", "", "hit =0 302 +Location:/x"}},
	"302 without":                  {{"", "302 Location: /x", "net"}, {"", "302 Location: /x", "net 302"}},
	"204":                          {{"", "204 Cache-Control: max-age=3600", "net"}, {"", "", "hit 204"}},
	"an empty body":                {{"", "200 Cache-Control: max-age=3600|Body: ", "net"}, {"", "", "hit =0"}},
	"must-understand":              {{"", "200 Cache-Control: no-store, must-understand, max-age=3600", "net"}, {"", "", "hit =0"}},
	"must-understand, unknown":     {{"", "299 Cache-Control: must-understand, max-age=3600", "net"}, {"", "299", "net"}},
	"POST":                         {{"POST", "200 Cache-Control: max-age=3600", "net"}, {"POST", "200", "net"}, {"", "200", "net"}},
	"query":                        {{"/?a", "200 Cache-Control: max-age=3600", "net"}, {"/?b", "200", "net"}, {"/?a", "", "hit =0"}},
	"Set-Cookie":                   {{"", "200 Cache-Control: max-age=3600|Set-Cookie: a=b", "net"}, {"", "", "hit =0 +Set-Cookie:a=b"}},
	"Connection":                   {{"", "200 Cache-Control: max-age=3600|Connection: a, b|A: 1|C: 2", "net"}, {"", "", "hit =0 -A +C:2"}},
	"no-cache of a field":          {{"", `200 Cache-Control: max-age=3600, no-cache="a"|A: 1|B: 2`, "net"}, {"", "", "hit =0 -A +B:2"}},
	"the same field several times": {{"", "200 Cache-Control: max-age=3600|A: 1|A: 2", "net"}, {"", "", "hit =0 +A:1,2"}},

	// Credentials.
	"Authorization":            {{"Authorization: a", "200 Cache-Control: max-age=3600", "net"}, {"Authorization: a", "", "hit =0"}, {"Authorization: b", "200", "net"}, {"", "200", "net"}},
	"Digest credentials":       {{`Authorization: Digest username="u", realm="r", nonce="1"`, "200 Cache-Control: max-age=3600", "net"}, {`Authorization: Digest username="u", realm="r", nonce="1"`, "", "hit =0"}, {`Authorization: Digest username="u", realm="r", nonce="2"`, "200", "net"}},
	"a 401 is for its request": {{"", "401 Cache-Control: max-age=3600", "net"}, {"", "200", "net"}},

	// Vary.
	"Vary, same":             {{"A: 1", "200 Cache-Control: max-age=3600|Vary: A", "net"}, {"A: 1", "", "hit =0"}},
	"Vary, other":            {{"A: 1", "200 Cache-Control: max-age=3600|Vary: A", "net"}, {"A: 2", "200", "net"}},
	"Vary, absent":           {{"A: 1", "200 Cache-Control: max-age=3600|Vary: A", "net"}, {"", "200", "net"}},
	"Vary, several":          {{"A: 1|B: 2", "200 Cache-Control: max-age=3600|Vary: A, B", "net"}, {"A: 1|B: 2", "", "hit =0"}, {"A: 1|B: 3", "200", "net"}},
	"Vary, both kept":        {{"A: 1", "200 Cache-Control: max-age=3600|Vary: A", "net"}, {"A: 2", "200 Cache-Control: max-age=3600|Vary: A", "net"}, {"A: 1", "", "hit =0"}, {"A: 2", "", "hit =1"}},
	"Vary: *":                {{"", "200 Cache-Control: max-age=3600|Vary: *", "net"}, {"", "200", "net"}},
	"Vary on Cookie":         {{"Cookie: a=1", "200 Cache-Control: max-age=3600|Vary: Cookie", "net"}, {"Cookie: a=2", "200", "net"}},
	"Vary, another language": {{"Accept-Language: en, de", "200 Cache-Control: max-age=3600|Vary: Accept-Language", "net"}, {"Accept-Language: en,de", "", "hit =0"}, {"Accept-Language: de", "200", "net"}},

	// Directives of requests.
	"no-cache":                       {{"", "200 Cache-Control: max-age=3600", "net"}, {"Cache-Control: no-cache", "200 Cache-Control: max-age=3600", "net"}, {"", "", "hit =1"}},
	"Pragma: no-cache":               {{"", "200 Cache-Control: max-age=3600", "net"}, {"Pragma: no-cache", "200", "net"}},
	"max-age=0 of the request":       {{"", `200 Cache-Control: max-age=3600|ETag: "a"`, "net"}, {"Cache-Control: max-age=0", `200 ETag: "a"`, "valid =0"}},
	"max-age of the request":         {{"", "200 Cache-Control: max-age=3600|Age: 1800", "net"}, {"Cache-Control: max-age=600", "200", "net"}},
	"min-fresh":                      {{"", "200 Cache-Control: max-age=3600|Age: 3000", "net"}, {"Cache-Control: min-fresh=1000", "200", "net"}},
	"max-stale":                      {{"", "200 Cache-Control: max-age=600|Age: 900", "net"}, {"Cache-Control: max-stale=1000", "", "hit =0"}},
	"max-stale, too old":             {{"", "200 Cache-Control: max-age=600|Age: 3600", "net"}, {"Cache-Control: max-stale=1000", "200", "net"}},
	"max-stale and must-revalidate":  {{"", "200 Cache-Control: max-age=600, must-revalidate|Age: 900", "net"}, {"Cache-Control: max-stale=1000", "200", "net"}},
	"only-if-cached":                 {{"Cache-Control: only-if-cached", "", "hit 504"}},
	"only-if-cached, fresh":          {{"", "200 Cache-Control: max-age=3600", "net"}, {"Cache-Control: only-if-cached", "", "hit =0"}},
	"no-store does not use the rest": {{"", "200 Cache-Control: max-age=3600", "net"}, {"Cache-Control: no-store", "200", "net"}},

	// Validation.
	"ETag":                          {{"", `200 Cache-Control: max-age=1|Age: 9|ETag: "a"`, "net"}, {"", `200 ETag: "a"|Cache-Control: max-age=3600|X: 2`, `valid =0 >If-None-Match:"a" +X:2`}, {"", "", "hit =0 +X:2"}},
	"weak ETag":                     {{"", `200 ETag: W/"a"`, "net"}, {"", `200 ETag: W/"a"`, `valid =0 >If-None-Match:W/"a"`}},
	"ETag, changed":                 {{"", `200 ETag: "a"`, "net"}, {"", `200 ETag: "b"|Cache-Control: max-age=3600`, `net =1 >If-None-Match:"a"`}, {"", "", "hit =1"}},
	"Last-Modified":                 {{"", "200 Cache-Control: max-age=1|Age: 9|Last-Modified: {-3600}", "net"}, {"", "200 Last-Modified: {-3600}", "valid =0 >If-Modified-Since"}},
	"no-cache of the response":      {{"", `200 Cache-Control: no-cache, max-age=3600|ETag: "a"`, "net"}, {"", `200 ETag: "a"`, "valid =0"}, {"", `200 ETag: "a"`, "valid =0"}},
	"a 304 without validators":      {{"", `200 ETag: "a"|Cache-Control: no-cache`, "net"}, {"", "304 A: 1", "valid =0 +A:1"}},
	"a 304 for something else":      {{"", `200 ETag: "a"|Cache-Control: no-cache`, "net"}, {"", `304 ETag: "b"`, `net 200`}},
	"conditions of the program":     {{"", `200 ETag: "a"|Cache-Control: max-age=3600`, "net"}, {`If-None-Match: "a"`, "", "hit 304"}, {`If-None-Match: "b"`, "", "hit =0"}},
	"If-Modified-Since, fresh":      {{"", `200 Last-Modified: {-3600}|Cache-Control: max-age=3600`, "net"}, {`If-Modified-Since: {-3600}`, "", "hit 304"}, {`If-Modified-Since: {-7200}`, "", "hit =0"}},
	"conditions, nothing stored":    {{`If-None-Match: "a"`, `304 ETag: "a"`, "net 304"}},
	"If-Match goes to the server":   {{"", `200 ETag: "a"|Cache-Control: max-age=3600`, "net"}, {`If-Match: "a"`, "200", `net >If-Match:"a"`}},
	"a 304 leaves Content-Encoding": {{"", `200 ETag: "a"|Content-Encoding: x|Content-Type: text/plain|Cache-Control: no-cache`, "net"}, {"", `304 ETag: "a"|Content-Encoding: y|Content-Type: text/html`, "valid =0 +Content-Encoding:x +Content-Type:text/plain"}},
	"variants, one validated": {{"A: 1", `200 ETag: "a"|Cache-Control: no-cache|Vary: A`, "net"}, {"A: 2", `200 ETag: "b"|Cache-Control: no-cache|Vary: A`, "net"},
		{"A: 1", `200 ETag: "a"|Vary: A`, `valid =0 >If-None-Match:"a"`}, {"A: 2", `200 ETag: "b"|Vary: A`, `valid =1 >If-None-Match:"b"`}},

	// Stale responses.
	"a server error instead of a validation": {{"", `200 ETag: "a"|Cache-Control: max-age=1|Age: 9`, "net"}, {"", "503", "stale =0 200"}},
	"must-revalidate and a server error":     {{"", `200 ETag: "a"|Cache-Control: max-age=1, must-revalidate|Age: 9`, "net"}, {"", "503", "net 503"}},
	"stale-if-error, too old":                {{"", `200 ETag: "a"|Cache-Control: max-age=1, stale-if-error=10|Age: 90`, "net"}, {"", "503", "net 503"}},
	"a broken connection":                    {{"", `200 Cache-Control: max-age=1, stale-if-error=100|Age: 9`, "net"}, {"", "break", "stale =0"}},
	"an error does not remove":               {{"", `200 ETag: "a"|Cache-Control: no-cache`, "net"}, {"", "500", "net 500"}, {"", `200 ETag: "a"`, "valid =0"}},
	"a 404 does":                             {{"", `200 ETag: "a"|Cache-Control: no-cache`, "net"}, {"", "404 Cache-Control: no-store", "net 404"}, {"", "200", "net - >If-None-Match"}},

	// Invalidation.
	"POST invalidates":                {{"", "200 Cache-Control: max-age=3600", "net"}, {"POST", "200", "net"}, {"", "200", "net"}},
	"an unknown method, too":          {{"", "200 Cache-Control: max-age=3600", "net"}, {"FOO", "200", "net"}, {"", "200", "net"}},
	"a failed POST does not":          {{"", "200 Cache-Control: max-age=3600", "net"}, {"POST", "500", "net"}, {"", "", "hit =0"}},
	"OPTIONS does not":                {{"", "200 Cache-Control: max-age=3600", "net"}, {"OPTIONS", "200", "net"}, {"", "", "hit =0"}},
	"Location is invalidated":         {{"/a", "200 Cache-Control: max-age=3600", "net"}, {"POST /b", "201 Location: /a", "net"}, {"/a", "200", "net"}},
	"Content-Location is invalidated": {{"/a", "200 Cache-Control: max-age=3600", "net"}, {"PUT /b", "200 Content-Location: a", "net"}, {"/a", "200", "net"}},
	"of another origin not":           {{"/a", "200 Cache-Control: max-age=3600", "net"}, {"POST /b", "201 Location: http://a.test/a", "net"}, {"/a", "", "hit =0"}},

	// Parts.
	"a range of what is stored": {{"", "200 Cache-Control: max-age=3600|Body: 0123456789", "net"}, {"Range: bytes=2-4", "", "hit 206 @234 +Content-Range:bytes_2-4/10 +Content-Length:3"},
		{"Range: bytes=-3", "", "hit 206 @789"}, {"Range: bytes=8-", "", "hit 206 @89"}, {"Range: bytes=20-", "", "hit 416 @"}, {"Range: bytes=0-0,5-5", "200", "net"}},
	"If-Range":                    {{"", `200 Cache-Control: max-age=3600|ETag: "a"|Body: 0123456789`, "net"}, {`Range: bytes=2-4|If-Range: "a"`, "", "hit 206 @234"}, {`Range: bytes=2-4|If-Range: "b"`, "", "hit 200 @0123456789"}},
	"a stored part":               {{"Range: bytes=2-6", `206 Cache-Control: max-age=3600|ETag: "a"|Content-Range: bytes 2-6/10|Body: 23456`, "net 206"}, {"Range: bytes=3-4", "", "hit 206 @34 +Content-Range:bytes_3-4/10"}, {"Range: bytes=6-7", "200", "net"}},
	"a part is completed":         {{"Range: bytes=0-4", `206 Cache-Control: max-age=3600|ETag: "a"|Content-Range: bytes 0-4/10|Body: 01234`, "net 206"}, {"", `206 Cache-Control: max-age=3600|ETag: "a"|Content-Range: bytes 5-9/10|Body: 56789`, `valid 200 @0123456789 +Content-Length:10 -Content-Range >Range:bytes=5- >If-Range:"a"`}, {"", "", "hit 200 @0123456789"}},
	"a part is replaced":          {{"Range: bytes=0-4", `206 Cache-Control: max-age=3600|ETag: "a"|Content-Range: bytes 0-4/10|Body: 01234`, "net 206"}, {"", `200 Cache-Control: max-age=3600|ETag: "b"|Body: abc`, `net 200 >Range:bytes=5-`}, {"", "", "hit 200 @abc"}},
	"parts that touch":            {{"Range: bytes=0-4", `206 Cache-Control: max-age=3600|ETag: "a"|Content-Range: bytes 0-4/10|Body: 01234`, "net 206"}, {"Range: bytes=5-9", `206 Cache-Control: max-age=3600|ETag: "a"|Content-Range: bytes 5-9/10|Body: 56789`, "net 206"}, {"", "", "hit 200 @0123456789"}},
	"parts that overlap":          {{"Range: bytes=1-5", `206 Cache-Control: max-age=3600|ETag: "a"|Content-Range: bytes 1-5/10|Body: 12345`, "net 206"}, {"Range: bytes=3-7", `206 Cache-Control: max-age=3600|ETag: "a"|Content-Range: bytes 3-7/10|Body: 34567`, "net 206"}, {"Range: bytes=1-7", "", "hit 206 @1234567"}},
	"parts that do not touch":     {{"Range: bytes=0-4", `206 Cache-Control: max-age=3600|ETag: "a"|Content-Range: bytes 0-4/10|Body: 01234`, "net 206"}, {"Range: bytes=7-8", `206 Cache-Control: max-age=3600|ETag: "a"|Content-Range: bytes 7-8/10|Body: 78`, "net 206"}, {"Range: bytes=0-3", "", "hit 206 @0123"}},
	"parts of different bodies":   {{"Range: bytes=0-4", `206 Cache-Control: max-age=3600|ETag: "a"|Content-Range: bytes 0-4/10|Body: 01234`, "net 206"}, {"Range: bytes=5-9", `206 Cache-Control: max-age=3600|ETag: "b"|Content-Range: bytes 5-9/10|Body: 56789`, "net 206"}, {"Range: bytes=5-6", "", "hit 206 @56"}, {"", "200", "net"}},
	"the whole as a part":         {{"Range: bytes=0-", `206 Cache-Control: max-age=3600|Content-Range: bytes 0-9/10|Body: 0123456789`, "net 206"}, {"", "", "hit 200 @0123456789"}},
	"a part of what is stored":    {{"", `200 Cache-Control: max-age=3600|ETag: "a"|Body: 0123456789`, "net"}, {"Range: bytes=2-4|Cache-Control: no-cache", `206 ETag: "a"|Content-Range: bytes 2-4/10|X: 1|Body: 234`, "net 206"}, {"", "", "hit 200 @0123456789 +X:1"}},
	"a part that is useless":      {{"Range: bytes=0-4", `206 Cache-Control: max-age=3600|Content-Range: bytes 0-4/10|Body: 01234`, "net 206"}, {"", "200", "net - >Range"}},
	"another part than asked for": {{"Range: bytes=0-4", `206 Cache-Control: max-age=3600|ETag: "a"|Content-Range: bytes 0-4/10|Body: 01234`, "net 206"}, {"", `206 Cache-Control: max-age=3600|ETag: "a"|Content-Range: bytes 7-9/10|Body: 789`, `net 206 - >Range`}},

	// HEAD.
	"HEAD from GET":            {{"", "200 Cache-Control: max-age=3600|A: 1", "net"}, {"HEAD", "", "hit +A:1"}},
	"HEAD is not stored":       {{"HEAD", "200 Cache-Control: max-age=3600", "net"}, {"", "200", "net"}},
	"HEAD updates":             {{"", "200 Cache-Control: max-age=1|Age: 9", "net"}, {"HEAD", "= Cache-Control: max-age=3600|A: 1", "net"}, {"", "", "hit =0 +A:1"}},
	"HEAD validates":           {{"", `200 Cache-Control: max-age=1|Age: 9|ETag: "a"`, "net"}, {"HEAD", `= ETag: "a"|Cache-Control: max-age=3600|A: 1`, "valid 200"}, {"", "", "hit =0 +A:1"}},
	"HEAD with another ETag":   {{"", `200 Cache-Control: max-age=3600|ETag: "a"`, "net"}, {"HEAD Cache-Control: no-cache", `= ETag: "b"`, "net"}, {"", `200 ETag: "b"`, "net"}},
	"HEAD with another length": {{"", `200 Cache-Control: max-age=3600`, "net"}, {"HEAD Cache-Control: no-cache", `= Content-Length: 77`, "net"}, {"", `200`, "net"}},
}

// cacheCase plays a case.
type cacheCase struct {
	t      *testing.T
	steps  []cacheStep
	server *httptest.Server
	client http.Client
	began  time.Time

	mu       sync.Mutex
	at       int
	received http.Header // of the last request, nil for none
	bodies   []string
	first    http.Header // of the first response
}

func newCacheCase(t *testing.T, steps []cacheStep) *cacheCase {
	c := &cacheCase{t: t, steps: steps, began: time.Now()}
	c.server = httptest.NewServer(c)
	return c.start(netreply.Config{})
}

// newCacheCaseH2 makes a case whose server speaks HTTP/2.
func newCacheCaseH2(t *testing.T, steps []cacheStep) *cacheCase {
	c := &cacheCase{t: t, steps: steps, began: time.Now()}
	c.server = httptest.NewUnstartedServer(c)
	c.server.EnableHTTP2 = true
	c.server.StartTLS()
	roots := x509.NewCertPool()
	roots.AddCert(c.server.Certificate())
	return c.start(netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{RootCAs: roots}})
}

func (c *cacheCase) start(cfg netreply.Config) *cacheCase {
	c.t.Cleanup(c.server.Close)
	cfg.Cache = httpcache.New(httpcache.NewMemory(httpcache.Limits{}))
	m := newManager(c.t, cfg)
	c.client = http.Client{Transport: m.RoundTripper(netreply.RoundTripperOptions{}), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c
}

// date replaces {N}.
func (c *cacheCase) date(s string) string {
	for {
		before, rest, found := strings.Cut(s, "{")
		n, after, closed := strings.Cut(rest, "}")
		if !found || !closed {
			return s
		}
		seconds, err := strconv.Atoi(n)
		require.NoError(c.t, err)
		s = before + c.began.Add(time.Duration(seconds)*time.Second).UTC().Format(http.TimeFormat) + after
	}
}

// fields parses fields separated by "|".
func (c *cacheCase) fields(s string) http.Header {
	h := http.Header{}
	for _, line := range strings.Split(c.date(s), "|") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			h.Add(name, strings.TrimSpace(value))
		}
	}
	return h
}

func (c *cacheCase) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.received = r.Header
	say := c.steps[c.at].say
	if say == "break" || say == "" {
		panic(http.ErrAbortHandler)
	}
	say, cut := strings.CutPrefix(say, "cut ")
	statusText, fields, _ := strings.Cut(say, " ")
	status, _ := strconv.Atoi(statusText)
	body := fmt.Sprintf("body %d", c.at)
	if statusText == "=" { // what HEAD of the first response says
		status, body = 200, "body 0"
	}
	for name, values := range c.fields(fields) {
		if name == "Body" {
			body = values[0]
			continue
		}
		if name == "Date" && values[0] == "none" {
			values = nil
		}
		w.Header()[name] = values
	}
	tag, modified := w.Header().Get("ETag"), w.Header().Get("Last-Modified")
	if status == 200 && (tag != "" && r.Header.Get("If-None-Match") == tag || tag == "" && modified != "" && r.Header.Get("If-Modified-Since") == modified) {
		status = 304
	}
	if status == 304 {
		if r.Header.Get("If-None-Match") == "" && r.Header.Get("If-Modified-Since") == "" {
			status = 200
		}
	}
	for len(c.bodies) <= c.at {
		c.bodies = append(c.bodies, "")
	}
	if status == 204 {
		body = ""
	}
	c.bodies[c.at] = body
	if status == 304 && r.ProtoMajor == 1 { // as it is, with the fields that net/http removes
		conn, _, err := w.(http.Hijacker).Hijack()
		if assert.NoError(c.t, err) {
			var head bytes.Buffer
			w.Header().Write(&head)
			fmt.Fprintf(conn, "HTTP/1.1 304 Not Modified\r\n%s\r\n", &head)
			conn.Close()
		}
		return
	}
	if w.Header().Get("Content-Length") == "" && status != 204 && status != 304 {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	if cut {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)+5))
	}
	w.WriteHeader(status)
	if status != 204 && status != 304 && r.Method != "HEAD" {
		io.WriteString(w, body)
	}
	if cut {
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

// request makes the request of a step.
func (c *cacheCase) request(do string) *http.Request {
	method, path := "GET", "/"
	if m, rest, _ := strings.Cut(do, " "); m != "" && !strings.HasPrefix(m, "/") && !strings.Contains(m, ":") {
		method, do = m, rest
	}
	if strings.HasPrefix(do, "/") {
		path, do, _ = strings.Cut(do, " ")
	}
	r, err := http.NewRequest(method, c.server.URL+path, nil)
	require.NoError(c.t, err)
	r.Header = c.fields(do)
	return r
}

func (c *cacheCase) play() {
	for i, s := range c.steps {
		c.mu.Lock()
		c.at, c.received = i, nil
		c.mu.Unlock()
		resp, err := c.client.Do(c.request(s.do))
		if s.want == "failed" {
			require.Error(c.t, err, "step %d", i)
			continue
		}
		require.NoError(c.t, err, "step %d", i)
		if i == 0 {
			c.first = resp.Header
		}
		body, err := io.ReadAll(resp.Body)
		if strings.HasPrefix(s.want, "cut") {
			assert.Error(c.t, err, "step %d", i)
			err = nil
		}
		require.NoError(c.t, err, "step %d", i)
		resp.Body.Close()
		c.check(i, resp, string(body))
	}
}

func (c *cacheCase) check(i int, resp *http.Response, body string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	want := strings.Fields(c.steps[i].want)
	assert.Equal(c.t, want[0] != "hit", c.received != nil, "step %d: sent", i)
	if want[0] == "net" && resp.StatusCode != 304 && resp.Request.Method != "HEAD" && resp.StatusCode != 204 {
		assert.Equal(c.t, c.bodies[i], body, "step %d", i)
	}
	for k, w := range want[1:] {
		name, value, hasValue := strings.Cut(w[1:], ":")
		switch {
		case w[0] == '=' && (w[1] < '0' || w[1] > '9'):
			assert.Equal(c.t, c.first.Values(w[1:]), resp.Header.Values(w[1:]), "step %d: %s", i, w[1:])
		case w[0] == '=':
			n, _ := strconv.Atoi(w[1:])
			assert.Equal(c.t, c.bodies[n], body, "step %d", i)
		case w[0] == '@':
			assert.Equal(c.t, w[1:], body, "step %d", i)
		case w[0] == '+' && name == "Age" && hasValue: // some time may have passed
			least, _ := strconv.Atoi(value)
			age, err := strconv.Atoi(resp.Header.Get(name))
			assert.NoError(c.t, err, "step %d: %s", i, name)
			assert.GreaterOrEqual(c.t, age, least, "step %d: %s", i, name)
			assert.Less(c.t, age, least+100, "step %d: %s", i, name)
		case w[0] == '+' && !hasValue:
			assert.NotEmpty(c.t, resp.Header.Values(name), "step %d: %s", i, name)
		case w[0] == '+':
			assert.Equal(c.t, strings.ReplaceAll(value, "_", " "), strings.Join(resp.Header.Values(name), ","), "step %d: %s", i, name)
		case w == "-":
		case w[0] == '-':
			assert.Empty(c.t, resp.Header.Values(name), "step %d: %s", i, name)
		case w[0] == '>' && want[k] == "-":
			assert.Empty(c.t, c.received.Values(name), "step %d: %s", i, name)
		case w[0] == '>' && hasValue:
			assert.Equal(c.t, strings.ReplaceAll(value, "_", " "), c.received.Get(name), "step %d: %s", i, name)
		case w[0] == '>':
			assert.NotEmpty(c.t, c.received.Get(name), "step %d: %s", i, name)
		default:
			assert.Equal(c.t, w, strconv.Itoa(resp.StatusCode), "step %d: status", i)
		}
	}
}

// TestCacheCases: what the cache does with sequences of requests, through a RoundTripper.
func TestCacheCases(t *testing.T) {
	for name, steps := range cacheCases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			newCacheCase(t, steps).play()
		})
	}
}
