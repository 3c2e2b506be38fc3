package cacherules_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	. "github.com/netreply/netreply/internal/cacherules"
)

// case of TestDecide: one request, against one stored response, some time after its arrival.
type decision struct {
	request  []string
	response []string
	after    time.Duration
	load     LoadControl
	action   Action
	forward  Forward
	refresh  bool
}

// TestDecide: directives of requests and responses, validators and load controls.
func TestDecide(t *testing.T) {
	const (
		fresh   = "Cache-Control: max-age=100"
		etag    = `ETag: "a"`
		changed = "Last-Modified: {-1s}"
	)
	net, prefer, only := AlwaysNetwork, PreferCache, AlwaysCache
	of := func(lines ...string) []string { return lines }
	cc := func(directives string) []string { return []string{"Cache-Control: " + directives} }

	for name, c := range map[string]decision{
		"fresh":                   {nil, of(fresh), 99 * second, 1, Use, "", false},
		"at its end":              {nil, of(fresh, etag), 100 * second, 1, Validate, ForwardStale, false},
		"stale, modified":         {nil, of(fresh, changed), day, 1, Validate, ForwardStale, false},
		"stale, nothing to ask":   {nil, of(fresh), day, 1, Fetch, ForwardStale, false},
		"explicitly zero":         {nil, of("Cache-Control: max-age=0", etag), 0, 1, Validate, ForwardStale, false},
		"never fresh":             {nil, of(etag), 0, 1, Validate, ForwardStale, false},
		"no-cache":                {nil, of(fresh+", no-cache", etag), 0, 1, Validate, ForwardStale, false},
		"no-cache in capitals":    {nil, of(fresh+", NO-CACHE", etag), 0, 1, Validate, ForwardStale, false},
		"no-cache with junk":      {nil, of(fresh+", no-cache junk", etag), 0, 1, Validate, ForwardStale, false},
		"no-cache=":               {nil, of(fresh+", no-cache=", etag), 0, 1, Validate, ForwardStale, false},
		"no-cache of one field":   {nil, of(fresh+", no-cache=a", etag), 0, 1, Use, "", false},
		"no-cache=a and junk":     {nil, of(fresh+", no-cache=a b", etag), 0, 1, Validate, ForwardStale, false},
		"no-cache of nothing":     {nil, of(fresh+`, no-cache=""`, etag), 0, 1, Validate, ForwardStale, false},
		"no-cache of no names":    {nil, of(fresh+`, no-cache="a b"`, etag), 0, 1, Validate, ForwardStale, false},
		"no-cache of fields":      {nil, of(fresh+`, no-cache="a, b"`, etag), 0, 1, Use, "", false},
		"both kinds of no-cache":  {nil, of(fresh+`, no-cache="a", no-cache`, etag), 0, 1, Validate, ForwardStale, false},
		"no-cache in quotes":      {nil, of(fresh + `, x="no-cache"`), 0, 1, Use, "", false},
		"no-cache, quote open":    {nil, of(fresh + `, x="y, no-cache`), 0, 1, Fetch, ForwardStale, false},
		"must-revalidate, fresh":  {nil, of(fresh + ", must-revalidate"), 0, 1, Use, "", false},
		"proxy-revalidate":        {cc("max-stale"), of(fresh + ", proxy-revalidate"), day, 1, Use, "", false},
		"s-maxage says nothing":   {cc("max-stale"), of(fresh + ", s-maxage=1"), day, 1, Use, "", false},
		"s-maxage and validation": {nil, of("Cache-Control: s-maxage=100", etag), 0, 1, Validate, ForwardStale, false},

		"request no-cache":               {cc("no-cache"), of(fresh, etag), 0, 1, Validate, ForwardRequest, false},
		"request no-cache, no validator": {cc("no-cache"), of(fresh), 0, 1, Fetch, ForwardRequest, false},
		"request no-cache, stale":        {cc("no-cache"), of(fresh, etag), day, 1, Validate, ForwardStale, false},
		"request Pragma":                 {of("Pragma: x, No-Cache"), of(fresh, etag), 0, 1, Validate, ForwardRequest, false},
		"request Pragma, other":          {of("Pragma: cache"), of(fresh, etag), 0, 1, Use, "", false},
		"request Pragma, Cache-Control":  {of("Pragma: no-cache", "Cache-Control: max-age=5"), of(fresh, etag), 0, 1, Use, "", false},
		"request no-store":               {cc("no-store"), of(fresh, etag), 0, 1, Fetch, ForwardRequest, false},
		"request max-age=0":              {cc("max-age=0"), of(fresh, etag), 0, 1, Validate, ForwardRequest, false},
		"request max-age":                {cc("max-age=10"), of(fresh, etag), 10 * second, 1, Use, "", false},
		"request max-age exceeded":       {cc("max-age=10"), of(fresh, etag), 11 * second, 1, Validate, ForwardRequest, false},
		"request max-age by Age":         {cc("max-age=10"), of(fresh, etag, "Age: 11"), 0, 1, Validate, ForwardRequest, false},
		"request max-age invalid":        {cc("max-age=x"), of(fresh, etag), 0, 1, Validate, ForwardRequest, false},
		"request max-age twice":          {cc("max-age=10, max-age=1000"), of(fresh, etag), 11 * second, 1, Validate, ForwardRequest, false},
		"request max-age, stale":         {cc("max-age=1000"), of(fresh, etag), 101 * second, 1, Validate, ForwardStale, false},
		"request min-fresh":              {cc("min-fresh=10"), of(fresh, etag), 90 * second, 1, Use, "", false},
		"request min-fresh missed":       {cc("min-fresh=10"), of(fresh, etag), 91 * second, 1, Validate, ForwardRequest, false},
		"request min-fresh by Age":       {cc("min-fresh=10"), of(fresh, etag, "Age: 91"), 0, 1, Validate, ForwardRequest, false},
		"request min-fresh invalid":      {cc("min-fresh"), of(fresh, etag), 0, 1, Validate, ForwardRequest, false},
		"request max-stale":              {cc("max-stale"), of(fresh, etag), day, 1, Use, "", false},
		"request max-stale, in time":     {cc("max-stale=10"), of(fresh, etag), 110 * second, 1, Use, "", false},
		"request max-stale, too late":    {cc("max-stale=10"), of(fresh, etag), 111 * second, 1, Validate, ForwardStale, false},
		"request max-stale quoted":       {cc(`max-stale="10"`), of(fresh, etag), 105 * second, 1, Use, "", false},
		"request max-stale invalid":      {cc("max-stale=x"), of(fresh, etag), 101 * second, 1, Validate, ForwardStale, false},
		"request max-stale with junk":    {cc("max-stale x"), of(fresh, etag), 101 * second, 1, Validate, ForwardStale, false},
		"request max-stale and max-age":  {cc("max-stale=10, max-age=105"), of(fresh, etag), 105 * second, 1, Use, "", false},
		"request max-age less":           {cc("max-stale=10, max-age=104"), of(fresh, etag), 105 * second, 1, Validate, ForwardStale, false},
		"max-stale, must-revalidate":     {cc("max-stale"), of(fresh+", must-revalidate", etag), day, 1, Validate, ForwardStale, false},
		"max-stale, no-cache":            {cc("max-stale"), of(fresh+", no-cache", etag), 0, 1, Validate, ForwardStale, false},
		"max-stale, mistaken must":       {cc("max-stale"), of(fresh+", must-revalidate=1", etag), day, 1, Validate, ForwardStale, false},
		"request unknown":                {cc("foo, bar=1"), of(fresh, etag), 0, 1, Use, "", false},
		"request directives by fields":   {of("Cache-Control: x", "Cache-Control: no-cache"), of(fresh, etag), 0, 1, Validate, ForwardRequest, false},

		"only-if-cached":                 {cc("only-if-cached"), of(fresh), 0, 1, Use, "", false},
		"only-if-cached, stale":          {cc("only-if-cached"), of(fresh, etag), day, 1, GatewayTimeout, "", false},
		"only-if-cached, max-stale":      {cc("only-if-cached, max-stale"), of(fresh, etag), day, 1, Use, "", false},
		"only-if-cached, no-cache":       {cc("only-if-cached, no-cache"), of(fresh, etag), 0, 1, GatewayTimeout, "", false},
		"only-if-cached and revalidated": {cc("only-if-cached"), of(fresh+", stale-while-revalidate=99", etag), 101 * second, 1, GatewayTimeout, "", false},

		"while revalidating":                {nil, of(fresh+", stale-while-revalidate=10", etag), 110 * second, 1, Use, "", true},
		"while revalidating, by Age":        {nil, of(fresh+", stale-while-revalidate=10", etag, "Age: 110"), 0, 1, Use, "", true},
		"while revalidating, no validator":  {nil, of(fresh + ", stale-while-revalidate=10"), 110 * second, 1, Use, "", true},
		"while revalidating, too late":      {nil, of(fresh+", stale-while-revalidate=10", etag), 111 * second, 1, Validate, ForwardStale, false},
		"while revalidating, fresh":         {nil, of(fresh+", stale-while-revalidate=10", etag), 0, 1, Use, "", false},
		"while revalidating, invalid":       {nil, of(fresh+", stale-while-revalidate=x", etag), 101 * second, 1, Validate, ForwardStale, false},
		"while revalidating, no argument":   {nil, of(fresh+", stale-while-revalidate", etag), 101 * second, 1, Validate, ForwardStale, false},
		"while revalidating, must":          {nil, of(fresh+", stale-while-revalidate=10, must-revalidate", etag), 101 * second, 1, Validate, ForwardStale, false},
		"while revalidating, no-cache":      {nil, of(fresh+", stale-while-revalidate=10, no-cache", etag), 0, 1, Validate, ForwardStale, false},
		"while revalidating, max-age":       {cc("max-age=1000"), of(fresh+", stale-while-revalidate=10", etag), 101 * second, 1, Validate, ForwardStale, false},
		"while revalidating, min-fresh":     {cc("min-fresh=1"), of(fresh+", stale-while-revalidate=10", etag), 101 * second, 1, Validate, ForwardStale, false},
		"while revalidating, request":       {cc("no-cache"), of(fresh+", stale-while-revalidate=10", etag), 101 * second, 1, Validate, ForwardStale, false},
		"while revalidating, max-stale":     {cc("max-stale=5"), of(fresh+", stale-while-revalidate=10", etag), 106 * second, 1, Validate, ForwardStale, false},
		"while revalidating from the start": {nil, of("Cache-Control: max-age=0, stale-while-revalidate=10", etag), second, 1, Use, "", true},

		"immutable, reload":       {cc("max-age=0"), of(fresh+", immutable", etag), 0, 1, Use, "", false},
		"immutable, forced":       {cc("no-cache"), of(fresh+", immutable", etag), 0, 1, Validate, ForwardRequest, false},
		"immutable, stale":        {cc("max-age=0"), of(fresh+", immutable", etag), day, 1, Validate, ForwardStale, false},
		"immutable, junk":         {cc("max-age=0"), of(fresh+", immutable x", etag), 0, 1, Validate, ForwardRequest, false},
		"immutable, only guessed": {cc("max-age=0"), of("Last-Modified: {-1000h}", "Cache-Control: immutable"), 0, 1, Validate, ForwardRequest, false},

		"network":               {nil, of(fresh, etag), 0, net, Fetch, ForwardBypass, false},
		"network, only cache":   {cc("only-if-cached"), of(fresh, etag), 0, net, GatewayTimeout, "", false},
		"cache, fresh":          {nil, of(fresh, etag), 0, prefer, Use, "", false},
		"cache, stale":          {nil, of(fresh, etag), day, prefer, Use, "", true},
		"cache, must":           {nil, of(fresh+", must-revalidate", etag), day, prefer, Validate, ForwardStale, false},
		"cache, no-cache":       {nil, of(fresh+", no-cache", etag), 0, prefer, Validate, ForwardStale, false},
		"cache, reload":         {cc("no-cache"), of(fresh, etag), day, prefer, Validate, ForwardStale, false},
		"cache, max-age":        {cc("max-age=1000"), of(fresh, etag), 101 * second, prefer, Validate, ForwardStale, false},
		"cache, only cached":    {cc("only-if-cached"), of(fresh, etag), day, prefer, Use, "", false},
		"offline, fresh":        {nil, of(fresh), 0, only, Use, "", false},
		"offline, stale":        {nil, of(fresh), 1000 * day, only, Use, "", false},
		"offline, never fresh":  {nil, of(), 0, only, Use, "", false},
		"offline, must":         {nil, of(fresh + ", must-revalidate"), 0, only, Use, "", false},
		"offline, must, stale":  {nil, of(fresh+", must-revalidate", etag), day, only, GatewayTimeout, "", false},
		"offline, no-cache":     {nil, of(fresh+", no-cache", etag), 0, only, GatewayTimeout, "", false},
		"offline, no-cache for": {nil, of(fresh + `, no-cache="a"`), 0, only, Use, "", false},
		"offline, forced":       {cc("no-cache"), of(fresh, etag), 0, only, GatewayTimeout, "", false},

		"If-Match":                     {of(`If-Match: "a"`), of(fresh, etag), 0, 1, Fetch, ForwardRequest, false},
		"If-Unmodified-Since":          {of(`If-Unmodified-Since: {0s}`), of(fresh, etag), 0, 1, Fetch, ForwardRequest, false},
		"If-Match by an odd name":      {of(`if-match: "a"`), of(fresh, etag), 0, 1, Fetch, ForwardRequest, false},
		"own condition, fresh":         {of(`If-None-Match: "b"`), of(fresh, etag), 0, 1, Use, "", false},
		"own condition, stale":         {of(`If-None-Match: "b"`), of(fresh, etag), day, 1, Fetch, ForwardStale, false},
		"own condition, reload":        {of(`If-None-Match: "a"`, "Cache-Control: no-cache"), of(fresh, etag), 0, 1, Fetch, ForwardRequest, false},
		"own date, stale":              {of(`If-Modified-Since: {0s}`), of(fresh, etag), day, 1, Fetch, ForwardStale, false},
		"several ranges":               {of("Range: bytes=0-1,4-5"), of(fresh, etag), 0, 1, Fetch, ForwardPartial, false},
		"another unit":                 {of("Range: lines=0-1"), of(fresh, etag), 0, 1, Fetch, ForwardPartial, false},
		"several ranges, stale":        {of("Range: bytes=0-1,4-5"), of(fresh, etag), day, 1, Fetch, ForwardStale, false},
		"several ranges while offline": {of("Range: bytes=0-1,4-5"), of(fresh, etag), 0, only, GatewayTimeout, "", false},
		"a range, stale":               {of("Range: bytes=0-1"), of(fresh, etag), day, 1, Validate, ForwardStale, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := decide(with(c.load, get(c.request...)), ok(c.response...), c.after)
			assert.Equal(t, c.action, d.Action, "action")
			assert.Equal(t, c.forward, d.Forward)
			assert.Equal(t, c.refresh, d.Refresh, "refresh")
			if d.Action == Use && !c.refresh {
				assert.Zero(t, d.Conditions)
			}
		})
	}
}

// TestMethods: only GET and HEAD are answered; HEAD from what GET has stored (D25), but not
// under AlwaysCache (rule M4).
func TestMethods(t *testing.T) {
	s := ok("Cache-Control: max-age=100")
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "FOO", "get"} {
		for load := AlwaysNetwork; load <= AlwaysCache; load++ {
			d := decide(with(load, request(method)), s, 0)
			assert.Equal(t, Fetch, d.Action, method)
			assert.Equal(t, ForwardMethod, d.Forward, method)
		}
	}
	d := decide(request("HEAD", "Range: bytes=0-1"), s, 0)
	assert.Equal(t, Use, d.Action)
	assert.Equal(t, Answer{Status: 200}, d.Answer, "no body, and no range either")
	assert.Equal(t, GatewayTimeout, decide(with(AlwaysCache, request("HEAD")), s, 0).Action)
}

// TestMisses: without a stored response.
func TestMisses(t *testing.T) {
	miss := func(r *Request, m Miss) (Action, Forward) {
		d := Decide(r, nil, m, start)
		return d.Action, d.Forward
	}
	for _, c := range []struct {
		r       *Request
		m       Miss
		action  Action
		forward Forward
	}{
		{get(), URIMiss, Fetch, ForwardURIMiss},
		{get(), VaryMiss, Fetch, ForwardVaryMiss},
		{request("HEAD"), URIMiss, Fetch, ForwardURIMiss},
		{request("POST"), URIMiss, Fetch, ForwardMethod},
		{with(AlwaysNetwork, get()), URIMiss, Fetch, ForwardBypass},
		{with(PreferCache, get()), URIMiss, Fetch, ForwardURIMiss},
		{with(AlwaysCache, get()), URIMiss, GatewayTimeout, ""},
		{with(AlwaysCache, get()), VaryMiss, GatewayTimeout, ""},
		{with(AlwaysCache, request("POST")), URIMiss, Fetch, ForwardMethod},
		{get("Cache-Control: only-if-cached"), URIMiss, GatewayTimeout, ""},
		{get("Cache-Control: Only-If-Cached, max-stale"), VaryMiss, GatewayTimeout, ""},
		{request("POST", "Cache-Control: only-if-cached"), URIMiss, Fetch, ForwardMethod},
	} {
		action, forward := miss(c.r, c.m)
		assert.Equal(t, c.action, action, c.r)
		assert.Equal(t, c.forward, forward, c.r)
	}
}

// TestConditions: what a validation asks.
func TestConditions(t *testing.T) {
	for name, c := range map[string]struct {
		lines []string
		want  Conditions
	}{
		"strong":         {[]string{`ETag: "a"`}, Conditions{IfNoneMatch: `"a"`}},
		"weak":           {[]string{`ETag: W/"a"`}, Conditions{IfNoneMatch: `W/"a"`}},
		"without quotes": {[]string{`ETag: a`}, Conditions{IfNoneMatch: `a`}},
		"modified":       {[]string{`Last-Modified: {-1s}`}, Conditions{IfModifiedSince: date(-second)}},
		"both":           {[]string{`ETag: "a"`, `Last-Modified: {-1s}`}, Conditions{IfNoneMatch: `"a"`, IfModifiedSince: date(-second)}},
		"as written":     {[]string{`Last-Modified: Tuesday, 06-May-31 07:08:08 GMT`}, Conditions{IfModifiedSince: "Tuesday, 06-May-31 07:08:08 GMT"}},
		"no date":        {[]string{`Last-Modified: soon`}, Conditions{}},
		"an empty ETag":  {[]string{`ETag:`}, Conditions{}},
	} {
		assert.Equal(t, c.want, decide(get(), ok(c.lines...), day).Conditions, name)
		// a response that is used while it is refreshed says what to ask then
		assert.Equal(t, c.want, decide(with(PreferCache, get()), ok(c.lines...), day).Conditions, name)
	}
}

// TestInvalid: nothing but a validation makes an invalid response usable again.
func TestInvalid(t *testing.T) {
	rec := ok("Cache-Control: max-age=100, stale-if-error=1000", `ETag: "a"`).Record
	rec.Invalid = true
	s := NewStored(rec)
	for load := PreferNetwork; load <= AlwaysCache; load++ {
		for _, line := range []string{"X: y", "Cache-Control: max-stale"} {
			d := decide(with(load, get(line)), s, 0)
			assert.NotEqual(t, Use, d.Action)
			assert.LessOrEqual(t, d.TTL, time.Duration(0))
			assert.False(t, UsableOnFailure(with(load, get(line)), s, 500, start))
		}
	}
	assert.Equal(t, Validate, decide(get(), s, 0).Action)
	s = NewStored(s.Update(get(), list(`ETag: "a"`), at0))
	assert.Equal(t, Use, decide(get(), s, 0).Action)
}

// TestUsableOnFailure: after a failed validation, 110 s after the response arrived.
func TestUsableOnFailure(t *testing.T) {
	for name, c := range map[string]struct {
		request, response string
		load              LoadControl
		status            int
		want              bool
	}{
		"server error":                  {"", "max-age=100", PreferNetwork, 500, true},
		"any server error":              {"", "max-age=100", PreferNetwork, 599, true},
		"bad gateway":                   {"", "max-age=100", PreferNetwork, 502, true},
		"broken connection":             {"", "max-age=100", PreferNetwork, 0, false},
		"broken connection, cache":      {"", "max-age=100", PreferCache, 0, true},
		"other error":                   {"", "max-age=100, stale-if-error=100", PreferNetwork, 404, false},
		"redirect":                      {"", "max-age=100, stale-if-error=100", PreferNetwork, 302, false},
		"must-revalidate":               {"", "max-age=100, must-revalidate", PreferNetwork, 500, false},
		"must-revalidate and limit":     {"", "max-age=100, must-revalidate, stale-if-error=100", PreferNetwork, 500, false},
		"no-cache":                      {"", "max-age=100, no-cache", PreferNetwork, 500, false},
		"stale-if-error":                {"", "max-age=100, stale-if-error=10", PreferNetwork, 500, true},
		"stale-if-error, connection":    {"", "max-age=100, stale-if-error=10", PreferNetwork, 0, true},
		"stale-if-error, too late":      {"", "max-age=100, stale-if-error=9", PreferNetwork, 500, false},
		"stale-if-error, late, cache":   {"", "max-age=100, stale-if-error=9", PreferCache, 0, false},
		"stale-if-error, invalid":       {"", "max-age=100, stale-if-error=x", PreferNetwork, 500, false},
		"request stale-if-error":        {"stale-if-error=10", "max-age=100", PreferNetwork, 0, true},
		"request stale-if-error, late":  {"stale-if-error=9", "max-age=100", PreferNetwork, 500, false},
		"request first":                 {"stale-if-error=9", "max-age=100, stale-if-error=10", PreferNetwork, 500, false},
		"request no-cache":              {"no-cache, stale-if-error=10", "max-age=100", PreferNetwork, 500, false},
		"request no-store":              {"no-store, stale-if-error=10", "max-age=100", PreferNetwork, 500, false},
		"request max-age":               {"max-age=10", "max-age=100, stale-if-error=10", PreferNetwork, 500, false},
		"request max-stale exceeded":    {"max-stale=5", "max-age=100", PreferNetwork, 500, false},
		"request max-age, but on error": {"max-age=10, stale-if-error=10", "max-age=100", PreferNetwork, 500, true},
		"always network":                {"", "max-age=100, stale-if-error=10", AlwaysNetwork, 500, false},
	} {
		r := get()
		if c.request != "" {
			r = get("Cache-Control: " + c.request)
		}
		got := UsableOnFailure(with(c.load, r), ok("Cache-Control: "+c.response, `ETag: "a"`), c.status, start.Add(110*second))
		assert.Equal(t, c.want, got, name)
	}
	for status, want := range map[int]bool{200: true, 302: true, 404: true, 500: false, 503: false, 599: false} {
		s := respond(get(), status, "Cache-Control: max-age=100, stale-if-error=10")
		assert.Equal(t, want, UsableOnFailure(get(), s, 500, start.Add(110*second)), "a server error, and %d stored", status)
		assert.True(t, UsableOnFailure(get(), s, 0, start.Add(110*second)), "no answer, and %d stored", status)
	}
	assert.False(t, UsableOnFailure(get("Range: bytes=0-1,3-4"), ok(), 500, start), "what is not stored as asked for")
}
