package cacherules_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/netreply/netreply/internal/cacherules"
)

const (
	second = time.Second
	hour   = time.Hour
	day    = 24 * time.Hour
)

// TestLifetime: how long a response is fresh on arrival, in seconds; 0 and less is stale.
func TestLifetime(t *testing.T) {
	for name, c := range map[string]struct {
		lines []string
		ttl   int64
	}{
		"nothing":                     {[]string{"Date: {0s}"}, 0},
		"max-age":                     {[]string{"Cache-Control: max-age=3600"}, 3600},
		"zero":                        {[]string{"Cache-Control: max-age=0"}, 0},
		"case":                        {[]string{"cache-control: mAx-AgE=3600"}, 3600},
		"quoted":                      {[]string{`Cache-Control: max-age="3600"`}, 3600},
		"quoted with escape":          {[]string{`Cache-Control: max-age="\3600"`}, 3600},
		"apostrophes":                 {[]string{`Cache-Control: max-age='3600'`}, 0},
		"decimal":                     {[]string{`Cache-Control: max-age=3600.5`}, 0},
		"negative":                    {[]string{`Cache-Control: max-age=-3600`}, 0},
		"leading zeros":               {[]string{`Cache-Control: max-age=003600`}, 3600},
		"no number":                   {[]string{`Cache-Control: max-age=1h`}, 0},
		"no argument":                 {[]string{`Cache-Control: max-age`}, 0},
		"empty argument":              {[]string{`Cache-Control: max-age=`}, 0},
		"blank before the number":     {[]string{`Cache-Control: max-age= 3600`}, 0},
		"blank before the sign":       {[]string{`Cache-Control: max-age =3600`}, 0},
		"text behind":                 {[]string{`Cache-Control: max-age=3600 s`}, 0},
		"semicolon":                   {[]string{`Cache-Control: max-age=3600; public`}, 0},
		"2^31":                        {[]string{`Cache-Control: max-age=2147483648`}, 1 << 31},
		"2^31 and more":               {[]string{`Cache-Control: max-age=2147483649`}, 1 << 31},
		"larger than an int64":        {[]string{`Cache-Control: max-age=99999999999999999999999`}, 1 << 31},
		"among others":                {[]string{`Cache-Control: public, x, y=1, z="a,b", max-age=3600, w`}, 3600},
		"empty members":               {[]string{`Cache-Control: , ,,max-age=3600,`}, 3600},
		"several fields":              {[]string{`Cache-Control: public`, `Cache-Control: max-age=3600`}, 3600},
		"inside a quoted string":      {[]string{`Cache-Control: x="max-age=3600"`}, 0},
		"quoted string before":        {[]string{`Cache-Control: x="max-age=1, y", max-age=3600`}, 3600},
		"quoted string with quote":    {[]string{`Cache-Control: x="\", max-age=1, \"", max-age=3600`}, 3600},
		"behind an unclosed quote":    {[]string{`Cache-Control: x="a, max-age=3600`}, 0},
		"quotes out of place":         {[]string{`Cache-Control: x "a, max-age=1", max-age=3600`}, 3600},
		"open quote out of place":     {[]string{`Cache-Control: x "a, max-age=3600`}, 0},
		"odd characters of names":     {[]string{`Cache-Control: !max-age=1, ~=2, max-age=3600`}, 3600},
		"unclosed quote in a field":   {[]string{`Cache-Control: x="a`, `Cache-Control: max-age=3600`}, 3600},
		"first of two":                {[]string{`Cache-Control: max-age=3600, max-age=1`}, 3600},
		"first of two fields":         {[]string{`Cache-Control: max-age=1`, `Cache-Control: max-age=3600`}, 1},
		"invalid first of two":        {[]string{`Cache-Control: max-age=x, max-age=3600`}, 0},
		"name is a part":              {[]string{`Cache-Control: xmax-age=3600, max-agex=3600`}, 0},
		"s-maxage is for others":      {[]string{`Cache-Control: s-maxage=3600`}, 0},
		"s-maxage beside max-age":     {[]string{`Cache-Control: s-maxage=1, max-age=3600`}, 3600},
		"of a content network":        {[]string{`CDN-Cache-Control: max-age=3600`, `Surrogate-Control: max-age=3600`}, 0},
		"network beside max-age":      {[]string{`CDN-Cache-Control: no-store`, `Cache-Control: max-age=3600`}, 3600},
		"Pragma of a response":        {[]string{`Pragma: no-cache`, `Cache-Control: max-age=3600`}, 3600},
		"Expires":                     {[]string{"Date: {0s}", "Expires: {3600s}"}, 3600},
		"Expires in the past":         {[]string{"Date: {0s}", "Expires: {-1s}"}, 0},
		"Expires at Date":             {[]string{"Date: {0s}", "Expires: {0s}"}, 0},
		"Expires without Date":        {[]string{"Expires: {3600s}"}, 3600},
		"Expires 0":                   {[]string{"Expires: 0"}, 0},
		"Expires empty":               {[]string{"Expires:"}, 0},
		"max-age before Expires":      {[]string{"Expires: {-3600s}", "Cache-Control: max-age=3600"}, 3600},
		"bad max-age before Expires":  {[]string{"Expires: {3600s}", "Cache-Control: max-age=x"}, 0},
		"first Expires of two":        {[]string{"Date: {0s}", "Expires: {-1s}", "Expires: {3600s}"}, 0},
		"Expires counts from Date":    {[]string{"Date: {-100s}", "Expires: {100s}"}, 100},
		"Age":                         {[]string{"Cache-Control: max-age=3600", "Age: 600"}, 3000},
		"Age above":                   {[]string{"Cache-Control: max-age=3600", "Age: 7200"}, -3600},
		"Age with Expires":            {[]string{"Date: {0s}", "Expires: {3600s}", "Age: 600"}, 3000},
		"Age no number":               {[]string{"Cache-Control: max-age=3600", "Age: x"}, 3600},
		"Age negative":                {[]string{"Cache-Control: max-age=3600", "Age: -7200"}, 3600},
		"Age decimal":                 {[]string{"Cache-Control: max-age=3600", "Age: 7200.0"}, 3600},
		"Age with letters":            {[]string{"Cache-Control: max-age=3600", "Age: 7200s"}, 3600},
		"Age with parameter":          {[]string{"Cache-Control: max-age=3600", "Age: 7200;a=1"}, 3600},
		"Age empty":                   {[]string{"Cache-Control: max-age=3600", "Age:"}, 3600},
		"Age first of a list":         {[]string{"Cache-Control: max-age=3600", "Age: 600, 7200"}, 3000},
		"Age old first":               {[]string{"Cache-Control: max-age=3600", "Age: 7200, 0"}, -3600},
		"Age first of two fields":     {[]string{"Cache-Control: max-age=3600", "Age: 7200", "Age: 0"}, -3600},
		"Age invalid first":           {[]string{"Cache-Control: max-age=3600", "Age: x", "Age: 7200"}, 3600},
		"Age 2^31":                    {[]string{"Cache-Control: max-age=2147483648", "Age: 2147483648"}, 0},
		"Age huge":                    {[]string{"Cache-Control: max-age=3600", "Age: 99999999999999999999"}, 3600 - 1<<31},
		"Date in the past":            {[]string{"Cache-Control: max-age=3600", "Date: {-600s}"}, 3000},
		"Date in the future":          {[]string{"Cache-Control: max-age=3600", "Date: {9999s}"}, 3600},
		"Date invalid":                {[]string{"Cache-Control: max-age=3600", "Date: yesterday"}, 3600},
		"Date and Age, not both":      {[]string{"Cache-Control: max-age=3600", "Date: {-600s}", "Age: 700"}, 2900},
		"a tenth":                     {[]string{"Date: {0s}", "Last-Modified: {-10h}"}, 3600},
		"a tenth without Date":        {[]string{"Last-Modified: {-10h}"}, 3600},
		"a tenth has an end":          {[]string{"Date: {0s}", "Last-Modified: {-87600h}"}, 7 * 86400},
		"modified in the future":      {[]string{"Date: {0s}", "Last-Modified: {10h}"}, 0},
		"modified never":              {[]string{"Date: {0s}", "Last-Modified: never"}, 0},
		"no tenth with max-age":       {[]string{"Last-Modified: {-1000h}", "Cache-Control: max-age=5"}, 5},
		"no tenth with bad max-age":   {[]string{"Last-Modified: {-1000h}", "Cache-Control: max-age=x"}, 0},
		"no tenth with bad Expires":   {[]string{"Last-Modified: {-1000h}", "Expires: -1"}, 0},
		"a tenth with s-maxage":       {[]string{"Last-Modified: {-10h}", "Cache-Control: s-maxage=5"}, 3600},
		"a tenth with private":        {[]string{"Last-Modified: {-10h}", "Cache-Control: private"}, 3600},
		"unknown directives":          {[]string{`Cache-Control: foo, bar=baz, max-age=3600, qux="a\"b"`}, 3600},
		"private with a list":         {[]string{`Cache-Control: private="set-cookie, x", max-age=3600`}, 3600},
		"max-age in a no-cache list":  {[]string{`Cache-Control: no-cache="max-age", max-age=3600`}, 3600},
		"lower bound of an old clock": {[]string{"Date: Thu, 01 Jan 1970 00:00:00 GMT", "Expires: Thu, 01 Jan 1970 01:00:00 GMT"}, 3600 - start.Unix()},
	} {
		t.Run(name, func(t *testing.T) {
			d := decide(get(), ok(c.lines...), 0)
			assert.EqualValues(t, c.ttl, d.TTL/second)
			assert.Equal(t, c.ttl <= 0, d.Stale)
			assert.Equal(t, c.ttl > 0, d.Action == cacherules.Use)
		})
	}
}

// TestDateForms: what is read as a date. Everything else in Expires is the past.
func TestDateForms(t *testing.T) {
	for s, valid := range map[string]bool{
		"Tue, 06 May 2031 08:08:09 GMT":       true,
		"Tuesday, 06-May-31 08:08:09 GMT":     true,
		"Tue May  6 08:08:09 2031":            true,
		"TUE, 06 MAY 2031 08:08:09 GMT":       true,
		"tue, 06 may 2031 08:08:09 gmt":       true,
		" Tue, 06 May 2031 08:08:09 GMT\t":    true,
		"Mon, 06 May 2031 08:08:09 GMT":       true, // the wrong day of the week
		"Tue, 06 May 2031 08:08:60 GMT":       true, // a leap second
		"Tue, 06 May 2031 08:08:09 UTC":       false,
		"Tue, 06 May 2031 08:08:09 CEST":      false,
		"Tue, 06 May 2031 08:08:09 +0000":     false,
		"Tue, 06 May 2031 08:08:09":           false,
		"Tue, 06 May 2031 08.08.09 GMT":       false,
		"Tue, 06 May 2031 8:08:09 GMT":        false,
		"Tue, 6 May 2031 08:08:09 GMT":        false,
		"Tue, 06 May 31 08:08:09 GMT":         false,
		"Tue 06 May 2031 08:08:09 GMT":        false,
		"Tue,06 May 2031 08:08:09 GMT":        false,
		"Tue,  06 May 2031 08:08:09 GMT":      false,
		"Tue, 06  May 2031 08:08:09 GMT":      false,
		"Tue, 06-May-2031 08:08:09 GMT":       false,
		"Xue, 06 May 2031 08:08:09 GMT":       false,
		"Tue, 06 Mai 2031 08:08:09 GMT":       false,
		"Tue, 31 Jun 2031 08:08:09 GMT":       false,
		"Tue, 00 May 2031 08:08:09 GMT":       false,
		"Tue, 06 May 2031 24:08:09 GMT":       false,
		"Tue, 06 May 2031 08:60:09 GMT":       false,
		"Tue, 06 May 2031 08:08:61 GMT":       false,
		"Tue, 06 May 2031 08:08:09 GMT x":     false,
		"Tue, 06 May 2031 08:08:09 GMT, x":    false,
		"Tuesday, 06-May-2031 08:08:09 GMT":   false,
		"Tue May 6 08:08:09 2031":             false,
		"Tue May  6 08:08:09 2031 GMT":        false,
		"2031-05-06T08:08:09Z":                false,
		"1935820089":                          false,
		"0":                                   false,
		"-1":                                  false,
		"":                                    false,
		"Tue, 06 May 2031 08:08:0":            false,
		strings.Repeat("Tue, 06 May ", 10000): false,
	} {
		d := decide(get(), ok("Date: {0s}", "Expires: "+s), 0)
		assert.Equal(t, valid, !d.Stale, "%.60q", s)
		if valid {
			assert.InDelta(t, 3600, d.TTL.Seconds(), 51, "%.60q", s)
		}
	}
	for month := time.January; month <= time.December; month++ {
		d := time.Date(2032, month, 28, 23, 59, 59, 0, time.UTC)
		assert.Equal(t, d.Sub(start), decide(get(), ok("Date: {0s}", "Expires: "+d.Format(http.TimeFormat)), 0).TTL)
	}
	// a year with two digits is in the past if it were more than 50 years ahead
	assert.False(t, decide(get(), ok("Date: {0s}", "Expires: Sunday, 06-Nov-81 08:49:37 GMT"), 0).Stale)
	assert.True(t, decide(get(), ok("Date: {0s}", "Expires: Sunday, 06-Nov-82 08:49:37 GMT"), 0).Stale)
}

// TestAge: the age grows with the time of the exchange and of storage.
func TestAge(t *testing.T) {
	aged := func(sent, arrived, now time.Duration, lines ...string) time.Duration {
		times := cacherules.Times{Request: start.Add(sent), Response: start.Add(arrived)}
		rec, _ := cacherules.NewRecord(get(), 200, list(lines...), 1, times)
		return cacherules.Decide(get(), cacherules.NewStored(rec), cacherules.NoMiss, start.Add(now)).Age
	}
	assert.Equal(t, 10*second, aged(0, 0, 10*second, "Date: {0s}"), "in the store")
	assert.Equal(t, 14*second, aged(0, 4*second, 14*second, "Date: {4s}"), "the exchange counts")
	assert.Equal(t, 114*second, aged(0, 4*second, 14*second, "Date: {4s}", "Age: 100"), "and is added to Age")
	assert.Equal(t, 110*second, aged(0, 4*second, 10*second, "Date: {-100s}", "Age: 50"), "the larger of Date and Age")
	assert.Equal(t, 10*second, aged(0, 0, 10*second, "Date: {1000s}"), "a clock that is ahead")
	assert.Equal(t, 10*second, aged(0, 0, 10*second), "no Date")
	assert.Equal(t, hour, aged(0, 0, -hour, "Date: {0s}"), "our clock was set back")
	assert.Equal(t, 5*second, aged(0, -5*second, -5*second, "Date: {0s}"), "during the exchange")
	assert.Equal(t, time.Duration(0), aged(0, 900*time.Millisecond, 900*time.Millisecond, "Date: {0s}")-900*time.Millisecond,
		"Date has whole seconds: its fraction does not count twice")
	assert.Equal(t, 2147483648*second+hour, aged(0, 0, hour, "Age: 2147483648"))
}

// TestAgeSaturates: times at both ends of what a time.Time has do not overflow into
// freshness.
func TestAgeSaturates(t *testing.T) {
	s := ok("Cache-Control: max-age=2147483648", "Age: 2147483648", "Date: Mon, 01 Jan 0001 00:00:00 GMT")
	for _, now := range []time.Time{{}, start, start.AddDate(5000, 0, 0), time.Unix(1<<62, 0), time.Unix(-1<<62, 0)} {
		d := cacherules.Decide(get(), s, cacherules.NoMiss, now)
		assert.GreaterOrEqual(t, d.Age, time.Duration(0))
		assert.True(t, d.Stale, now)
	}
}

// TestHeuristicStatus: without explicit freshness only some codes are reused; "public"
// allows it for all.
func TestHeuristicStatus(t *testing.T) {
	heuristic := map[int]bool{200: true, 203: true, 204: true, 300: true, 301: true, 308: true, 404: true, 405: true, 410: true, 414: true, 501: true}
	for _, status := range []int{200, 201, 202, 203, 204, 299, 300, 301, 302, 303, 307, 308, 400, 403, 404, 405, 410, 414, 499, 500, 501, 502, 503, 504, 599} {
		fields := []string{"Date: {0s}", "Last-Modified: {-100h}"}
		d := decide(get(), respond(get(), status, fields...), hour)
		assert.Equal(t, heuristic[status], d.Action == cacherules.Use, status)
		want := cacherules.NotCacheable
		if heuristic[status] {
			want = cacherules.Stores
		}
		assert.Equal(t, want, cacherules.Storable(get(), status, header(fields...)), status)

		fields = append(fields, "Cache-Control: public")
		assert.Equal(t, cacherules.Use, decide(get(), respond(get(), status, fields...), hour).Action, status)
		assert.Equal(t, cacherules.Stores, cacherules.Storable(get(), status, header(fields...)), status)

		fields = []string{"Cache-Control: max-age=10"}
		assert.Equal(t, cacherules.Use, decide(get(), respond(get(), status, fields...), second).Action, status)
		assert.Equal(t, cacherules.Stores, cacherules.Storable(get(), status, header(fields...)), status)
	}
	assert.Equal(t, cacherules.Stores, cacherules.Storable(get(), http.StatusOK, header()))
}

// TestExpires: what stores and programs are told about the end of freshness.
func TestExpires(t *testing.T) {
	for name, c := range map[string]struct {
		lines []string
		at    time.Duration
		known bool
		worth time.Duration
	}{
		"max-age":         {[]string{"Cache-Control: max-age=100"}, 100 * second, true, 0},
		"aged":            {[]string{"Cache-Control: max-age=100", "Age: 30"}, 70 * second, true, 0},
		"Expires":         {[]string{"Date: {-10s}", "Expires: {50s}"}, 50 * second, true, 0},
		"invalid":         {[]string{"Expires: x"}, 0, true, 0},
		"guess":           {[]string{"Date: {0s}", "Last-Modified: {-10h}"}, hour, false, 1<<63 - 1},
		"nothing":         {nil, 0, false, 0},
		"validator":       {[]string{`ETag: "a"`, "Cache-Control: max-age=1"}, second, true, 1<<63 - 1},
		"stale":           {[]string{"Cache-Control: max-age=1, stale-while-revalidate=5, stale-if-error=9"}, second, true, 9 * second},
		"must-revalidate": {[]string{"Cache-Control: max-age=1, must-revalidate, stale-if-error=9"}, second, true, 0},
	} {
		s := ok(c.lines...)
		at, known := s.Expires()
		assert.Equal(t, start.Add(c.at), at, name)
		assert.Equal(t, c.known, known, name)
		assert.Equal(t, c.worth, s.Worth(), name)
	}
	assert.Equal(t, start.Add(-10*hour), ok("Last-Modified: {-10h}").LastModified())
	assert.True(t, ok("Last-Modified: x").LastModified().IsZero())
}
