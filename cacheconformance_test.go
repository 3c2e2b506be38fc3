package netreply_test

import (
	"fmt"
	"strings"
	"testing"
)

// The cases here go through RFC 9111 section by section: what a private cache must do, and what it
// may do and this one does. TestCacheCases has those of this project's own rules.

// cacheGroup is the cases about one subject, by name.
type cacheGroup map[string][]cacheStep

// reused is a GET whose response, with these fields, answers the next one.
func reused(fields string) []cacheStep {
	return []cacheStep{{"", "200 " + fields, "net"}, {"", "", "hit =0 200"}}
}

// notReused is a GET whose response, with these fields, does not answer the next one.
func notReused(fields string) []cacheStep {
	return []cacheStep{{"", "200 " + fields, "net"}, {"", "200", "net 200"}}
}

// asked is a GET for what is stored with the fields stored, by a request with the fields request.
func asked(stored, request, say, want string) []cacheStep {
	return []cacheStep{{"", "200 " + stored, "net"}, {request, say, want}}
}

const (
	freshFields  = "Cache-Control: max-age=100000|Expires: {100000}|Last-Modified: {0}|Date: {0}"
	staleFields  = "Expires: {-5000}|Last-Modified: {-100000}|Date: {0}"
	passedFields = "Cache-Control: max-age=2|Age: 5|Template: 1"
)

// freshness: RFC 9111, section 4.2.
func freshnessCases() cacheGroup {
	g := cacheGroup{
		"nothing said":                     notReused(""),
		"max-age":                          reused("Cache-Control: max-age=3600"),
		"max-age has passed":               notReused(passedFields),
		"max-age=0":                        notReused("Cache-Control: max-age=0"),
		"max-age of 2^31-1":                reused("Cache-Control: max-age=2147483647"),
		"max-age of 2^31":                  reused("Cache-Control: max-age=2147483648"),
		"max-age of 2^31+1":                reused("Cache-Control: max-age=2147483649"),
		"max-age of 2^63":                  reused("Cache-Control: max-age=9223372036854775808"),
		"max-age beyond all numbers":       reused("Cache-Control: max-age=" + strings.Repeat("9", 400)),
		"max-age, and more Age":            notReused("Date: {0}|Cache-Control: max-age=3600|Age: 7200"),
		"max-age, and an old Date":         notReused("Date: {-7200}|Cache-Control: max-age=3600"),
		"max-age, and a Date to come":      reused("Date: {7200}|Cache-Control: max-age=3600"),
		"max-age, and no Date":             reused("Date: none|Cache-Control: max-age=3600"),
		"max-age, and Expires passed":      reused("Cache-Control: max-age=3600|Expires: {-7200}|Date: {0}"),
		"max-age, and an invalid Expires":  reused("Cache-Control: max-age=3600|Expires: 0|Date: {0}"),
		"max-age=0, and Expires to come":   notReused("Cache-Control: max-age=0|Expires: {3600}|Date: {0}"),
		"a max-age below 0":                notReused("Cache-Control: max-age=-3600"),
		"a max-age below 0, and Expires":   notReused("Cache-Control: max-age=-3600|Expires: {3600}|Date: {0}"),
		"an unknown directive":             reused("Cache-Control: foobar, max-age=3600"),
		"mixed case":                       reused("Cache-Control: MaX-aGe=3600"),
		"s-maxage, longer":                 notReused("Cache-Control: s-maxage=3600, max-age=1|Age: 3"),
		"s-maxage, longer, in a field":     notReused("Cache-Control: s-maxage=3600|Cache-Control: max-age=1|Age: 3"),
		"s-maxage, shorter":                reused("Cache-Control: s-maxage=1, max-age=3600|Age: 3"),
		"only s-maxage":                    notReused("Cache-Control: s-maxage=3600"),
		"Expires":                          reused("Expires: {2592000}|Date: {0}"),
		"Expires has passed":               notReused("Expires: {-2592000}|Date: {0}"),
		"Expires is now":                   notReused("Expires: {0}|Date: {0}"),
		"Expires before Date":              notReused("Expires: {300}|Date: {400}"),
		"Expires, and a Date that is none": reused("Date: foo|Expires: {1000}"),
		"Expires, and no Date":             reused("Date: none|Expires: {1000}"),
		"Expires, Age and a slow Date":     notReused("Date: {-10}|Expires: {10}|Age: 25"),
		"Expires, Age and a fast Date":     notReused("Date: {10}|Expires: {20}|Age: 15"),
		"Expires, less Age":                reused("Date: {0}|Expires: {100}|Age: 50"),
		"public is no lifetime":            notReused("Cache-Control: public"),
		"private is no lifetime":           notReused("Cache-Control: private"),
		"private with one":                 reused("Cache-Control: private, max-age=3600"),
		"private of a field":               reused(`Cache-Control: private="a", max-age=3600|A: 1`),
	}
	for name, c := range map[string]struct {
		fields string
		fresh  bool
	}{
		"32 bits":             {"Tue, 19 Jan 2038 14:14:08 GMT", true},
		"centuries":           {"Sun, 21 Nov 2286 04:46:39 GMT", true},
		"the last year":       {"Fri, 31 Dec 9999 23:59:59 GMT", true},
		"RFC 850":             {"Thursday, 18-Aug-50 02:01:18 GMT", true},
		"asctime":             {"Thu Aug  8 02:01:18 2050", true},
		"case of the day":     {"THU, 18 Aug 2050 02:01:18 GMT", true},
		"case of the month":   {"Thu, 18 AUG 2050 02:01:18 GMT", true},
		"case of the zone":    {"Thu, 18 Aug 2050 02:01:18 gMT", true},
		"UTC":                 {"Thu, 18 Aug 2050 02:01:18 UTC", false},
		"another zone":        {"Thu, 18 Aug 2050 02:01:18 AEST", false},
		"an offset":           {"Thu, 18 Aug 2050 02:01:18 +0000", false},
		"no zone":             {"Thu, 18 Aug 2050 02:01:18", false},
		"2 digits of a year":  {"Thu, 18 Aug 50 02:01:18 GMT", false},
		"no comma":            {"Thu 18 Aug 2050 02:01:18 GMT", false},
		"several blanks":      {"Thu, 18  Aug  2050 02:01:18 GMT", false},
		"dashes":              {"Thu, 18-Aug-2050 02:01:18 GMT", false},
		"dots":                {"Thu, 18 Aug 2050 02.01.18 GMT", false},
		"1 digit of an hour":  {"Thu, 18 Aug 2050 2:01:18 GMT", false},
		"no such day":         {"Thu, 31 Feb 2050 02:01:18 GMT", false},
		"no such hour":        {"Thu, 18 Aug 2050 24:01:18 GMT", false},
		"two invalid ones":    {"Thu, 18 Aug 2050 2:01:18 GMT|Expires: Thu, 18 Aug 2050 2:01:19 GMT", false},
		"an invalid one more": {"0|Expires: Thu, 18 Aug 2050 02:01:18 GMT", false},
		"empty":               {"", false},
		"-1":                  {"-1", false},
	} {
		steps := notReused
		if c.fresh {
			steps = reused
		}
		g["Expires, "+name] = steps("Date: {0}|Expires: " + c.fields)
	}
	for name, c := range map[string]struct {
		age   string
		fresh bool
	}{
		"no number":             {"abc", true},
		"below 0":               {"-7200", true},
		"a fraction":            {"7200.0", true},
		"empty":                 {"", true},
		"2^31-1":                {"2147483647", false},
		"2^31":                  {"2147483648", false},
		"2^31+1":                {"2147483649", false},
		"2^64":                  {"18446744073709551616", false},
		"old, then 0":           {"7200, 0", false},
		"0, then old":           {"0, 7200", true},
		"old, then a line of 0": {"7200|Age: 0", false},
		"0, then an old line":   {"0|Age: 7200", true},
		"0 twice":               {"0, 0", true},
		"0 in two lines":        {"0|Age: 0", true},
		"less in two lines":     {"1800|Age: 1800", true},
	} {
		steps := notReused
		if c.fresh {
			steps = reused
		}
		g["Age, "+name] = steps("Date: {0}|Cache-Control: max-age=3600|Age: " + c.age)
	}
	for name, c := range map[string]struct {
		fields string
		fresh  bool
	}{
		"two, the first is longer":          {"max-age=1800, max-age=1|Age: 3", true},
		"two lines, the first is longer":    {"max-age=1800|Cache-Control: max-age=1|Age: 3", true},
		"two, the first is shorter":         {"max-age=1, max-age=1800|Age: 3", false},
		"two lines, the first is shorter":   {"max-age=1|Cache-Control: max-age=1800|Age: 3", false},
		"in quotes":                         {`max-age="3600"`, true},
		"in the quotes of another":          {`extension="max-age=3600", max-age=1|Age: 3`, false},
		"in the quotes of a later one":      {`max-age=1, extension="max-age=3600"|Age: 3`, false},
		"in quotes with an escape":          {`extension="\"max-age=3600", max-age=1|Age: 3`, false},
		"after a quote that is not closed":  {`extension="a, max-age=3600`, false},
		"a blank before =":                  {"max-age =3600", false},
		"a blank after =":                   {"max-age= 3600", false},
		"zeros in front":                    {"max-age=003600", true},
		"single quotes":                     {"max-age='3600'", false},
		"a fraction of 0":                   {"max-age=3600.0", false},
		"a fraction":                        {"max-age=3600.5", false},
		"a letter in front":                 {"max-age=a3600", false},
		"a letter behind":                   {"max-age=3600a", false},
		"a sign":                            {"max-age=+3600", false},
		"no value":                          {"max-age", false},
		"an empty value":                    {"max-age=", false},
		"a semicolon in place of the comma": {"foo; max-age=3600", false},
		"empty members":                     {",, max-age=3600,,", true},
		"tabs":                              {"foo\t,\tmax-age=3600\t", true},
		"the name as a part of another":     {"x-max-age=3600", false},
	} {
		steps := notReused
		if c.fresh {
			steps = reused
		}
		g["max-age, "+name] = steps("Cache-Control: " + c.fields)
	}
	return g
}

// statusCases: RFC 9111, section 3, and RFC 9110, section 15.1.
func statusCases() cacheGroup {
	g := cacheGroup{
		"must-understand, unknown status":             {{"", "599 Cache-Control: max-age=3600, no-store, must-understand", "net"}, {"", "200", "net 200"}},
		"must-understand, known status":               reused("Cache-Control: max-age=3600, no-store, must-understand"),
		"must-understand does not replace freshness":  notReused("Cache-Control: no-store, must-understand"),
		"must-understand, unknown, without no-store":  {{"", "299 Cache-Control: max-age=3600, must-understand", "net"}, {"", "200", "net 200"}},
		"unknown status, public and heuristic":        {{"", "299 Cache-Control: public|Last-Modified: {-3000}|Date: {0}", "net"}, {"", "", "hit =0 299"}},
		"unknown status, heuristic":                   {{"", "299 Last-Modified: {-3000}|Date: {0}", "net"}, {"", "299", "net 299"}},
		"a server error does not bring back an error": {{"", "503 " + staleFields, "net"}, {"", "503", "net 503"}},
		"a server error, and a stale redirect":        {{"", "302 Location: /x|" + staleFields, "net"}, {"", "503", "stale =0 302"}},
	}
	for _, status := range []int{200, 201, 202, 203, 204, 205, 226, 299, 300, 301, 302, 303, 307, 308, 400, 402, 403, 404, 405, 406, 409, 410, 414, 451, 499, 500, 501, 502, 503, 504, 505, 599} {
		g[fmt.Sprintf("%d, fresh", status)] = []cacheStep{{"", fmt.Sprintf("%d %s", status, freshFields), "net"}, {"", "", fmt.Sprintf("hit =0 %d", status)}}
		g[fmt.Sprintf("%d, stale", status)] = []cacheStep{{"", fmt.Sprintf("%d %s", status, staleFields), "net"}, {"", "200", "net 200"}}
	}
	for _, status := range []int{401, 407, 408, 412, 416, 417, 421, 425, 426, 428, 429, 431, 511} {
		g[fmt.Sprintf("%d is for its request", status)] = []cacheStep{{"", fmt.Sprintf("%d %s", status, freshFields), "net"}, {"", "200", "net 200"}}
	}
	heuristic := "Last-Modified: {-86400}|Date: {0}"
	for _, status := range []int{200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501} {
		g[fmt.Sprintf("%d, heuristic", status)] = []cacheStep{{"", fmt.Sprintf("%d %s", status, heuristic), "net"}, {"", "", fmt.Sprintf("hit =0 %d", status)}}
	}
	for _, status := range []int{201, 202, 302, 303, 307, 400, 403, 500, 502, 503, 504, 599} {
		g[fmt.Sprintf("%d, not heuristic", status)] = []cacheStep{{"", fmt.Sprintf("%d %s", status, heuristic), "net"}, {"", fmt.Sprintf("%d", status), fmt.Sprintf("net %d", status)}}
	}
	g["599, public and heuristic"] = []cacheStep{{"", "599 Cache-Control: public|" + heuristic, "net"}, {"", "", "hit =0 599"}}
	for _, age := range []int{300, 600, 1200, 1800, 3600, 43200, 86400} {
		g[fmt.Sprintf("heuristic, modified %d s ago", age)] = reused(fmt.Sprintf("Last-Modified: {-%d}|Date: {0}", age))
	}
	g["heuristic, modified 5 s ago, and 3 s old"] = notReused("Last-Modified: {-5}|Date: {0}|Age: 3")
	g["heuristic, modified now"] = notReused("Last-Modified: {0}|Date: {0}")
	g["heuristic, modified later"] = notReused("Last-Modified: {1000}|Date: {0}")
	g["heuristic, an attachment"] = reused("Last-Modified: {-100000}|Date: {0}|Content-Disposition: attachment; filename=example.txt")
	g["heuristic, and Pragma of the response"] = reused("Last-Modified: {-10000}|Pragma: no-cache")
	return g
}

// responseCases: the directives of responses, RFC 9111, section 5.2.2.
func responseCases() cacheGroup {
	return cacheGroup{
		"no-store":                                  notReused("Cache-Control: no-store"),
		"no-store, mixed case":                      notReused("Cache-Control: No-StOrE"),
		"no-store, and freshness":                   notReused("Cache-Control: max-age=10000, no-store|Expires: {10000}|Date: {0}"),
		"no-store, and a validator":                 {{"", `200 Cache-Control: no-store|ETag: "a"`, "net"}, {"", "200", "net - >If-None-Match"}},
		"no-store, with an argument":                notReused(`Cache-Control: no-store="a", max-age=3600`),
		"no-store, in a second line":                notReused("Cache-Control: max-age=3600|Cache-Control: no-store"),
		"no-cache, and freshness":                   notReused("Cache-Control: max-age=10000, no-cache|Expires: {10000}|Date: {0}"),
		"no-cache, mixed case":                      notReused("Cache-Control: max-age=10000, No-CaChE|Expires: {10000}|Date: {0}"),
		"no-cache, validated":                       {{"", `200 Cache-Control: no-cache|ETag: "abcd"`, "net"}, {"", `200 ETag: "abcd"`, `valid =0 >If-None-Match:"abcd"`}},
		"no-cache and freshness, validated":         {{"", `200 Cache-Control: max-age=10000, no-cache|Expires: {10000}|Date: {0}|ETag: "abcd"`, "net"}, {"", `200 ETag: "abcd"`, `valid =0 >If-None-Match:"abcd"`}},
		"no-cache of a field":                       {{"", `200 Cache-Control: no-cache="a"|A: 1|B: 2|Cache-Control: max-age=3600|Date: {0}`, "net"}, {"", "", "hit =0 -A +B:2"}},
		"no-cache of two fields":                    {{"", `200 Cache-Control: no-cache="a, b"|A: 1|B: 2|C: 3|Cache-Control: max-age=3600|Date: {0}`, "net"}, {"", "", "hit =0 -A -B +C:3"}},
		"no-cache of a field, validated":            {{"", `200 Cache-Control: no-cache="a", max-age=1|Age: 3|A: 1|ETag: "a"`, "net"}, {"", `304 ETag: "a"`, "valid =0 +A:1"}},
		"must-revalidate, fresh":                    reused(`Cache-Control: max-age=10000, must-revalidate|ETag: "abcd"`),
		"must-revalidate, stale":                    {{"", `200 Cache-Control: max-age=60, must-revalidate|ETag: "abcd"`, "net"}, {"", "", "hit =0"}, {"Cache-Control: min-fresh=100", `200 ETag: "abcd"`, `valid =0 >If-None-Match:"abcd"`}},
		"must-revalidate, and a server error":       {{"", `200 Cache-Control: max-age=2, must-revalidate|Age: 5`, "net"}, {"", "503", "net 503"}},
		"must-revalidate, and a broken connection":  {{"", `200 Cache-Control: max-age=2, must-revalidate, stale-if-error=60|Age: 5`, "net"}, {"", "break", "failed"}},
		"no-cache, and a broken connection":         {{"", `200 Cache-Control: max-age=2, no-cache, stale-if-error=60|Age: 5`, "net"}, {"", "break", "failed"}},
		"no-cache, and a server error":              {{"", `200 Cache-Control: max-age=2, no-cache|Age: 5`, "net"}, {"", "503", "net 503"}},
		"proxy-revalidate is for shared caches":     {{"", "200 Cache-Control: max-age=2, proxy-revalidate, stale-if-error=60|Age: 5", "net"}, {"", "503", "stale =0 200"}},
		"immutable, fresh, reloaded":                asked(`Cache-Control: max-age=10000, immutable|ETag: "abcd"`, "Cache-Control: max-age=0", "", "hit =0"),
		"immutable, stale, reloaded":                asked(`Cache-Control: max-age=2, immutable|Age: 5|ETag: "abcd"`, "Cache-Control: max-age=0", `200 ETag: "abcd"`, `valid =0 >If-None-Match:"abcd" >Cache-Control:max-age=0`),
		"immutable, fresh, no-cache":                asked(`Cache-Control: max-age=10000, immutable|ETag: "abcd"`, "Cache-Control: no-cache", `200 ETag: "abcd"`, `valid =0`),
		"immutable, heuristic, reloaded":            asked(`Cache-Control: immutable|Last-Modified: {-100000}|Date: {0}`, "Cache-Control: max-age=0", `200 Last-Modified: {-100000}`, `valid =0`),
		"CDN-Cache-Control":                         notReused("CDN-Cache-Control: max-age=3600"),
		"CDN-Cache-Control, no-store":               reused("Cache-Control: max-age=3600|CDN-Cache-Control: no-store"),
		"CDN-Cache-Control, shorter":                reused("Cache-Control: max-age=3600|CDN-Cache-Control: max-age=1|Age: 3"),
		"CDN-Cache-Control, longer":                 notReused("Cache-Control: max-age=1|CDN-Cache-Control: max-age=3600|Age: 3"),
		"CDN-Cache-Control is a field as any other": {{"", "200 Cache-Control: max-age=3600|CDN-Cache-Control: foo", "net +CDN-Cache-Control:foo"}, {"", "", "hit =0 +CDN-Cache-Control:foo"}},
		"Surrogate-Control":                         notReused("Surrogate-Control: max-age=3600"),
		"Surrogate-Control, no-store":               reused("Cache-Control: max-age=3600|Surrogate-Control: no-store"),
		"Pragma":                                    reused("Cache-Control: max-age=3600|Pragma: no-cache"),
		"Pragma, unknown":                           reused("Cache-Control: max-age=3600|Pragma: unrecognised-extension"),
	}
}

// requestCases: the directives of requests, RFC 9111, section 5.2.1.
func requestCases() cacheGroup {
	return cacheGroup{
		"max-age=0":                             asked(freshFields, "Cache-Control: max-age=0", "200", "net"),
		"max-age=1":                             asked(freshFields+"|Age: 3", "Cache-Control: max-age=1", "200", "net"),
		"max-age, Age":                          asked("Cache-Control: max-age=3600|Age: 1800", "Cache-Control: max-age=600", "200", "net"),
		"max-age, enough":                       asked("Cache-Control: max-age=3600|Age: 300", "Cache-Control: max-age=600", "", "hit =0"),
		"max-age, invalid":                      asked("Cache-Control: max-age=3600|Age: 300", "Cache-Control: max-age=a", "200", "net"),
		"max-stale":                             asked("Cache-Control: max-age=1|Age: 4", "Cache-Control: max-stale=1000", "", "hit =0"),
		"max-stale, Age":                        asked("Cache-Control: max-age=1500|Age: 2000", "Cache-Control: max-stale=1000", "", "hit =0"),
		"max-stale, without a limit":            asked("Cache-Control: max-age=1500|Age: 200000", "Cache-Control: max-stale", "", "hit =0"),
		"max-stale, too stale":                  asked("Cache-Control: max-age=1500|Age: 3000", "Cache-Control: max-stale=1000", "200", "net"),
		"max-stale, must-revalidate":            asked("Cache-Control: max-age=1500, must-revalidate|Age: 2000", "Cache-Control: max-stale=1000", "200", "net"),
		"max-stale, no-cache":                   asked("Cache-Control: max-age=1500, no-cache|Age: 2000", "Cache-Control: max-stale=1000", "200", "net"),
		"max-stale and max-age":                 asked("Cache-Control: max-age=10|Age: 50", "Cache-Control: max-stale, max-age=20", "200", "net"),
		"min-fresh":                             asked("Cache-Control: max-age=1500", "Cache-Control: min-fresh=2000", "200", "net"),
		"min-fresh, Age":                        asked("Cache-Control: max-age=1500|Age: 1000", "Cache-Control: min-fresh=1000", "200", "net"),
		"min-fresh, enough":                     asked("Cache-Control: max-age=1500", "Cache-Control: min-fresh=1000", "", "hit =0"),
		"no-cache":                              asked("Cache-Control: max-age=3600", "Cache-Control: no-cache", "200", "net"),
		"no-cache, Last-Modified":               asked("Cache-Control: max-age=3600|Last-Modified: {-10000}|Date: {0}", "Cache-Control: no-cache", "200 Last-Modified: {-10000}", "valid =0 >If-Modified-Since"),
		"no-cache, ETag":                        asked(`Cache-Control: max-age=3600|ETag: "abc"`, "Cache-Control: no-cache", `200 ETag: "abc"`, `valid =0 >If-None-Match:"abc" >Cache-Control:no-cache`),
		"no-store":                              asked("Cache-Control: max-age=3600", "Cache-Control: no-store", "200", "net"),
		"no-store leaves what is stored":        {{"", "200 Cache-Control: max-age=3600", "net"}, {"Cache-Control: no-store", "200 Cache-Control: max-age=3600", "net"}, {"", "", "hit =0"}},
		"only-if-cached, nothing stored":        {{"Cache-Control: only-if-cached", "", "hit 504 @"}},
		"only-if-cached, stale":                 asked(staleFields, "Cache-Control: only-if-cached", "", "hit 504 @"),
		"only-if-cached, fresh":                 asked(freshFields, "Cache-Control: only-if-cached", "", "hit =0 200"),
		"only-if-cached, max-stale":             asked("Cache-Control: max-age=1|Age: 50", "Cache-Control: only-if-cached, max-stale", "", "hit =0 200"),
		"only-if-cached, stale-while-":          asked("Cache-Control: max-age=1, stale-while-revalidate=100|Age: 50", "Cache-Control: only-if-cached", "", "hit 504"),
		"only-if-cached, another method":        {{"POST Cache-Control: only-if-cached", "200", "net"}},
		"stale-if-error":                        {{"", "200 Cache-Control: max-age=1|Age: 3", "net"}, {"Cache-Control: stale-if-error=60", "break", "stale =0 200"}},
		"stale-if-error, too stale":             {{"", "200 Cache-Control: max-age=1|Age: 300", "net"}, {"Cache-Control: stale-if-error=60", "503", "net 503"}},
		"an unknown directive":                  asked(freshFields, "Cache-Control: nothing-to-see-here", "", "hit =0"),
		"Pragma: no-cache":                      asked("Cache-Control: max-age=3600", "Pragma: no-cache", "200", "net"),
		"Pragma: no-cache, and Cache-Control":   asked("Cache-Control: max-age=3600", "Pragma: no-cache|Cache-Control: foo", "", "hit =0"),
		"Pragma, unknown":                       asked("Cache-Control: max-age=3600", "Pragma: unrecognised-extension", "", "hit =0"),
		"Cache-Control of a request is sent on": {{"Cache-Control: max-age=5, foo", "200", "net >Cache-Control:max-age=5,_foo"}},
	}
}

// varyCases: RFC 9111, section 4.1.
func varyCases() cacheGroup {
	of := func(names string) string {
		return "200 Cache-Control: max-age=5000|Last-Modified: {-3000}|Date: {0}|Vary: " + names
	}
	three := "Foo: 1|Bar: abc|Baz: 789"
	g := cacheGroup{
		"match":                     {{"Foo: 1", of("Foo"), "net"}, {"Foo: 1", "", "hit =0"}},
		"other value":               {{"Foo: 1", of("Foo"), "net"}, {"Foo: 2", "200", "net"}},
		"absent before":             {{"", of("Foo"), "net"}, {"Foo: 1", "200", "net"}},
		"absent now":                {{"Foo: 1", of("Foo"), "net"}, {"", "200", "net"}},
		"absent before, empty now":  {{"", of("Foo"), "net"}, {"Foo:", "200", "net"}},
		"two variants":              {{"Foo: 1", of("Foo"), "net"}, {"Foo: 2", of("Foo"), "net"}, {"Foo: 1", "", "hit =0"}, {"Foo: 2", "", "hit =1"}},
		"other fields":              {{"Foo: 1|Other: 2", of("Foo"), "net"}, {"Foo: 1|Other: 3", "", "hit =0"}},
		"two, match":                {{"Foo: 1|Bar: abc", of("Foo, Bar"), "net"}, {"Bar: abc|Foo: 1", "", "hit =0"}},
		"two, first differs":        {{"Foo: 1|Bar: abc", of("Foo, Bar"), "net"}, {"Foo: 2|Bar: abc", "200", "net"}},
		"two, absent":               {{"Foo: 1|Bar: abc", of("Foo, Bar"), "net"}, {"", "200", "net"}},
		"two lines":                 {{"Foo: 1|Bar: abc", of("Foo|Vary: Bar"), "net"}, {"Foo: 1|Bar: abd", "200", "net"}},
		"three, match":              {{three, of("Foo, Bar, Baz"), "net"}, {three, "", "hit =0"}},
		"three, first differs":      {{three, of("Foo, Bar, Baz"), "net"}, {"Foo: 2|Bar: abc|Baz: 789", "200", "net"}},
		"three, another order":      {{three, of("Foo, Bar, Baz"), "net"}, {"Foo: 1|Baz: 789|Bar: abcde", "200", "net"}},
		"three, absent twice":       {{"Foo: 1|Baz: 789", of("Foo, Bar, Baz"), "net"}, {"Foo: 1|Baz: 789", "", "hit =0"}},
		"names in another case":     {{"Foo: 1", of("fOO"), "net"}, {"Foo: 1", "", "hit =0"}},
		"empty":                     {{"Foo: 1", of(", ,"), "net"}, {"Foo: 2", "", "hit =0"}},
		"fields joined":             {{"Foo: 1, 2", of("Foo"), "net"}, {"Foo: 1|Foo: 2", "", "hit =0"}},
		"blanks":                    {{"Foo: 1,2", of("Foo"), "net"}, {"Foo:  1, 2 ", "", "hit =0"}},
		"languages, order":          {{"Accept-Language: en, de", of("Accept-Language"), "net"}, {"Accept-Language: de, en", "", "hit =0"}},
		"languages, case":           {{"Accept-Language: en, de", of("Accept-Language"), "net"}, {"Accept-Language: eN, De", "", "hit =0"}},
		"languages, blanks":         {{"Accept-Language: en, de", of("Accept-Language"), "net"}, {"Accept-Language:  en ,   de", "", "hit =0"}},
		"languages, weights":        {{"Accept-Language: en, de;q=0.5", of("Accept-Language"), "net"}, {"Accept-Language: de;q=0.5, en;q=1", "", "hit =0"}, {"Accept-Language: de, en;q=0.5", "200", "net"}},
		"languages, another choice": {{"Accept-Language: en, de", of("Accept-Language|Content-Language: de"), "net"}, {"Accept-Language: fr;q=0.5, de;q=1.0", "200", "net"}},
		"the newest one that fits":  {{"Foo: 1", of("Foo"), "net"}, {"Foo: 1|Cache-Control: no-cache", "200 Cache-Control: max-age=60|Vary: Bar", "net"}, {"Foo: 1", "", "hit =1"}},
		"Authorization counts":      {{"Authorization: FOO", "200 " + freshFields, "net"}, {"", "200", "net"}, {"Authorization: FOO", "", "hit =0"}},
		"Authorization and public":  {{"Authorization: FOO", "200 Cache-Control: max-age=3600, public", "net"}, {"", "200", "net"}},
		"Cookie does not count":     {{"", "200 " + freshFields, "net"}, {"Cookie: a=b", "", "hit =0"}},
	}
	for _, names := range []string{"*", "*, *", "*|Vary: *", ", *", "|Vary: *", "*, Foo", "Foo, *", "Foo|Vary: *"} {
		g["star: "+strings.ReplaceAll(names, "|Vary:", " and")] = []cacheStep{{"Foo: 1|Baz: 789", of(names), "net"}, {"Foo: 1|Baz: 789", "200", "net"}}
	}
	return g
}

// storedFields are the fields that a cache stores, with two values. A 304 replaces them, unless
// kept.
var storedFields = []struct {
	name, a, b string
	kept       bool
}{
	{"Test-Header", "a", "b", false}, {"X-Test-Header", "a", "b", false}, {"Content-Foo", "a", "b", false}, {"X-Content-Foo", "a", "b", false},
	{"Cache-Control", "max-age=1", "max-age=3600", false},
	{"Content-Encoding", "a", "b", true}, {"Content-Range", "a", "b", true}, {"Content-Location", "/foo", "/bar", false},
	{"Content-MD5", "rL0Y20zC+Fzt72VPzMSk2A==", "N7UdGUp1E+RbVvZSTy1R8g==", false},
	{"Content-Security-Policy", "default-src 'self'", "default-src 'self' cdn.example.com", false},
	{"Content-Type", "text/plain", "text/plain;charset=utf-8", false}, {"Clear-Site-Data", "cache", "cookies", false},
	{"Expires", "Fri, 01 Jan 2038 01:01:01 GMT", "Mon, 11 Jan 2038 11:11:11 GMT", false}, {"Public-Key-Pins", "a", "b", false},
	{"Set-Cookie", "a=b", "a=c", false}, {"Set-Cookie2", "a=b", "a=c", false}, {"X-Frame-Options", "deny", "sameorigin", false},
	{"X-XSS-Protection", "1", "1; mode=block", false}, {"Strict-Transport-Security", "max-age=0", "max-age=1", false}, {"WWW-Authenticate", "Basic", "Digest", false},
}

// fieldCases: RFC 9111, sections 3.1 and 3.2.
func fieldCases() cacheGroup {
	g := cacheGroup{
		"Connection":                    {{"", "200 " + freshFields + "|Connection: a, b|A: 1|B: 2|C: 3", "net"}, {"", "", "hit =0 -Connection -A -B +C:3"}},
		"Connection, two lines":         {{"", "200 " + freshFields + "|Connection: a|Connection: B|A: 1|B: 2|C: 3", "net"}, {"", "", "hit =0 -A -B +C:3"}},
		"Connection: close":             {{"", "200 " + freshFields + "|Connection: close|Close: 1", "net"}, {"", "", "hit =0 -Connection +Close:1"}},
		"ETag":                          {{"", `200 ETag: "ghijkl"|Cache-Control: max-age=3600`, "net"}, {"", "", `hit =0 +ETag:"ghijkl"`}},
		"Content-Length":                {{"", "200 Cache-Control: max-age=3600|Body: 0123456789", "net"}, {"", "", "hit =0 +Content-Length:10"}},
		"the same field in two lines":   {{"", "200 " + freshFields + "|A: 1|A: 2", "net"}, {"", "", "hit =0 +A:1,2"}},
		"an empty field":                {{"", "200 " + freshFields + "|A:", "net"}, {"", "", "hit =0 +A:"}},
		"a 304 without a field":         {{"", "200 Cache-Control: max-age=2|Age: 5|Last-Modified: {-9000}|Test-Header: a", "net"}, {"", "200 Last-Modified: {-9000}", "valid =0 +Test-Header:a >If-Modified-Since"}},
		"a 304 keeps Content-Length":    {{"", `200 Cache-Control: max-age=2|Age: 5|ETag: "a"|Body: 01234`, "net"}, {"", `200 Cache-Control: max-age=60|ETag: "a"|Content-Length: 10`, "valid =0 +Content-Length:5"}, {"", "", "hit =0 +Content-Length:5"}},
		"a 304 with another type":       {{"", `200 Cache-Control: max-age=2|Age: 5|ETag: "a"|Content-Type: text/plain`, "net"}, {"", `200 ETag: "a"|Content-Type: text/html`, "valid =0 +Content-Type:text/plain"}},
		"a 304 with a field of a hop":   {{"", `200 Cache-Control: max-age=2|Age: 5|ETag: "a"|A: 1`, "net"}, {"", `200 Cache-Control: max-age=60|ETag: "a"|Connection: a|A: 2`, "valid =0 +A:1"}, {"", "", "hit +A:1"}},
		"a 304 forbids further storing": {{"", `200 Cache-Control: max-age=2|Age: 5|ETag: "a"`, "net"}, {"", `200 Cache-Control: no-store|ETag: "a"`, "valid =0"}, {"", "200", "net - >If-None-Match"}},
		"a 304 makes it fresh again":    {{"", `200 Cache-Control: max-age=60|Age: 100|ETag: "a"`, "net"}, {"", `200 ETag: "a"|Cache-Control: max-age=60`, "valid =0 +Age:0"}, {"", "", "hit =0 +Age:0"}},
		"a 304 of another cache":        {{"", `200 Cache-Control: max-age=60|Age: 100|ETag: "a"`, "net"}, {"", `200 ETag: "a"|Cache-Control: max-age=60|Age: 70`, "valid =0"}, {"", `200 ETag: "a"`, "valid =0"}},
	}
	for _, name := range []string{"Keep-Alive", "Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization", "Proxy-Connection", "TE", "Upgrade", "Connection"} {
		g["not stored: "+name] = []cacheStep{{"", "200 Date: {0}|" + name + ": abcd|Cache-Control: max-age=3600", "net"}, {"", "", "hit =0 -" + name}}
	}
	for _, f := range storedFields {
		life := "|Cache-Control: max-age=3600"
		if f.name == "Cache-Control" {
			life = ""
		}
		shown := strings.ReplaceAll(f.b, " ", "_")
		g["stored: "+f.name] = []cacheStep{{"", "200 Date: {0}|" + f.name + ": " + f.b + life, "net"}, {"", "", "hit =0 +" + f.name + ":" + shown}}
		old := strings.ReplaceAll(life, "3600", "1")
		if f.kept {
			shown = strings.ReplaceAll(f.a, " ", "_")
		}
		g["updated: "+f.name] = []cacheStep{
			{"", `200 Age: 3|ETag: "e"|` + f.name + ": " + f.a + old, "net"},
			{"", `200 Age: 0|ETag: "e"|` + f.name + ": " + f.b + life, "valid =0 +" + f.name + ":" + shown + ` >If-None-Match:"e"`},
			{"", "", "hit =0 +" + f.name + ":" + shown},
		}
	}
	return g
}

// offerCases: RFC 9111, section 4.1, where the entity-tags of variants for other requests are sent.
func offerCases() cacheGroup {
	of := func(fields string) string { return "200 Cache-Control: max-age=100|" + fields }
	a, b := of(`Vary: Foo|ETag: "a"|A: 1`), of(`Vary: Foo|ETag: "b"`)
	return cacheGroup{
		"one, and it is the right one": {{"Foo: 1", a, "net"}, {"Foo: 2", `304 ETag: "a"|B: 2`, `valid =0 200 +A:1 +B:2 +Content-Length:6 >If-None-Match:"a" >Foo:2`},
			{"Foo: 2", "", "hit =0 +B:2"}, {"Foo: 1", "", "hit =0 -B"}},
		"one, and it is not":            {{"Foo: 1", a, "net"}, {"Foo: 2", b, `net =1 >If-None-Match:"a"`}, {"Foo: 2", "", "hit =1"}, {"Foo: 1", "", "hit =0"}},
		"several":                       {{"Foo: 1", a, "net"}, {"Foo: 2", b, "net"}, {"Foo: 3", `304 ETag: "b"`, `valid =1 >If-None-Match:"a",_"b"`}, {"Foo: 3", "", "hit =1"}},
		"several, none of them":         {{"Foo: 1", a, "net"}, {"Foo: 2", b, "net"}, {"Foo: 3", of(`Vary: Foo|ETag: "c"`), `net =2`}, {"Foo: 4", `304 ETag: "c"`, `valid =2 >If-None-Match:"a",_"b",_"c"`}},
		"weak":                          {{"Foo: 1", of(`Vary: Foo|ETag: W/"a"`), "net"}, {"Foo: 2", `304 ETag: W/"a"`, `valid =0 >If-None-Match:W/"a"`}},
		"weak and strong":               {{"Foo: 1", of(`Vary: Foo|ETag: W/"a"`), "net"}, {"Foo: 2", `304 ETag: "a"`, `net 200 - >If-None-Match`}},
		"a 304 that does not say which": {{"Foo: 1", a, "net"}, {"Foo: 2", "304 X: 1", `net 200 - >If-None-Match`}},
		"a 304 about another one":       {{"Foo: 1", a, "net"}, {"Foo: 2", `304 ETag: "z"`, `net 200 - >If-None-Match`}},
		"a 304 with another Vary":       {{"Foo: 1", a, "net"}, {"Foo: 2|Bar: 1", `304 ETag: "a"|Vary: Bar`, "valid =0"}, {"Bar: 1", "", "hit =0"}},
		"a 304 with no-store":           {{"Foo: 1", a, "net"}, {"Foo: 2", `304 ETag: "a"|Cache-Control: no-store`, "net 200 - >If-None-Match"}},
		"stale":                         {{"Foo: 1", `200 Cache-Control: max-age=1|Age: 5|Vary: Foo|ETag: "a"`, "net"}, {"Foo: 2", `304 ETag: "a"|Cache-Control: max-age=60|Age: 0`, "valid =0"}, {"Foo: 2", "", "hit =0"}},
		"an error":                      {{"Foo: 1", a, "net"}, {"Foo: 2", "503", "net 503"}},
		"a broken connection":           {{"Foo: 1", a, "net"}, {"Foo: 2", "break", "failed"}},
		"Vary: *":                       {{"Foo: 1", of(`Vary: *|ETag: "a"`), "net"}, {"Foo: 2", "200", "net - >If-None-Match"}},
		"no ETag":                       {{"Foo: 1", of(`Vary: Foo|Last-Modified: {-9000}`), "net"}, {"Foo: 2", "200", "net - >If-None-Match - >If-Modified-Since"}},
		"an invalid ETag":               {{"Foo: 1", of(`Vary: Foo|ETag: a`), "net"}, {"Foo: 2", "200", "net - >If-None-Match"}},
		"an error that is stored":       {{"Foo: 1", `404 Cache-Control: max-age=9|Vary: Foo|ETag: "a"`, "net"}, {"Foo: 2", "200", "net - >If-None-Match"}},
		"a part":                        {{"Foo: 1|Range: bytes=0-1", `206 Cache-Control: max-age=9|Vary: Foo|ETag: "a"|Content-Range: bytes 0-1/4|Body: ab`, "net"}, {"Foo: 2", "200", "net - >If-None-Match"}},
		"a cookie of its own":           {{"Foo: 1", of(`Vary: Foo|ETag: "a"|Set-Cookie: a=b`), "net"}, {"Foo: 2", "200", "net - >If-None-Match"}},
		"a negotiated coding":           {{"Accept-Encoding: x", of(`Vary: Accept-Encoding|Content-Encoding: x|ETag: "a"`), "net"}, {"Accept-Encoding: y", "200", "net - >If-None-Match"}},
		"no coding, though negotiated":  {{"Accept-Encoding: x", of(`Vary: Accept-Encoding|ETag: "a"`), "net"}, {"Accept-Encoding: y", `304 ETag: "a"`, "valid =0"}},
		"credentials":                   {{"Foo: 1", a, "net"}, {"Foo: 2|Authorization: x", "200", "net - >If-None-Match"}},
		"stored for credentials":        {{"Foo: 1|Authorization: x", a, "net"}, {"Foo: 2", "200", "net - >If-None-Match"}},
		"a range":                       {{"Foo: 1", a, "net"}, {"Foo: 2|Range: bytes=0-1", "200", "net - >If-None-Match"}},
		"conditions of the program":     {{"Foo: 1", a, "net"}, {`Foo: 2|If-None-Match: "x"`, `304 ETag: "x"`, `net 304 >If-None-Match:"x"`}},
		"no-store of the request":       {{"Foo: 1", a, "net"}, {"Foo: 2|Cache-Control: no-store", "200", "net - >If-None-Match"}},
		"HEAD":                          {{"Foo: 1", a, "net"}, {"HEAD Foo: 2", "200", "net - >If-None-Match"}},
		"an empty body":                 {{"Foo: 1", of(`Vary: Foo|ETag: "a"|Body: `), "net"}, {"Foo: 2", `304 ETag: "a"`, "valid @ 200"}, {"Foo: 2", "", "hit @"}},
	}
}

// searchCases: No-Vary-Search.
func searchCases() cacheGroup {
	of := func(rule string) string { return "200 Cache-Control: max-age=100|No-Vary-Search: " + rule }
	utm := of(`params=("utm")`)
	return cacheGroup{
		"a parameter":              {{"/?a=1&utm=2", utm, "net"}, {"/?a=1&utm=3", "", "hit =0 200"}, {"/?utm=9&a=1", "", "hit =0"}, {"/?a=1", "", "hit =0"}, {"/?a=2&utm=2", "200", "net"}},
		"order":                    {{"/?a=1&b=2", of("key-order"), "net"}, {"/?b=2&a=1", "", "hit =0"}, {"/?a=1&b=3", "200", "net"}},
		"all parameters":           {{"/?a", of("params"), "net"}, {"/?b=1", "", "hit =0"}, {"/", "", "hit =0"}},
		"all but one":              {{"/?a=1&b", of(`params, except=("a")`), "net"}, {"/?a=1", "", "hit =0"}, {"/?a=2", "200", "net"}},
		"another path":             {{"/x?utm=1", utm, "net"}, {"/y?utm=2", "200", "net"}},
		"an invalid rule":          {{"/?utm=1", of("params=utm"), "net"}, {"/?utm=2", "200", "net"}},
		"no rule":                  {{"/?utm=1", utm, "net"}, {"/?utm=1 Cache-Control: no-cache", "200 Cache-Control: max-age=100", "net"}, {"/?utm=2", "200", "net"}},
		"another rule":             {{"/?utm=1&b=1", utm, "net"}, {"/?utm=1&b=1 Cache-Control: no-cache", of(`params=("b")`), "net"}, {"/?utm=2&b=1", "200", "net"}, {"/?utm=1&b=2", "", "hit =1"}},
		"Vary counts, too":         {{"/?utm=1 Foo: 1", utm + "|Vary: Foo", "net"}, {"/?utm=2 Foo: 2", "200 Cache-Control: no-store", "net"}, {"/?utm=2 Foo: 1", "", "hit =0"}},
		"validated":                {{"/?utm=1", `200 Cache-Control: max-age=90|Age: 100|ETag: "a"|No-Vary-Search: params=("utm")`, "net"}, {"/?utm=2", `304 ETag: "a"|Age: 0`, `valid =0 >If-None-Match:"a"`}, {"/?utm=1", "", "hit =0"}, {"/?utm=3", "", "hit =0"}},
		"replaced":                 {{"/?utm=1", `200 Cache-Control: max-age=90|Age: 100|ETag: "a"|No-Vary-Search: params=("utm")`, "net"}, {"/?utm=2", utm, `net >If-None-Match:"a"`}, {"/?utm=2", "", "hit =1"}, {"/?utm=3", "", "hit =1"}},
		"not to be stored":         {{"/?utm=1", utm, "net"}, {"/?utm=2 Cache-Control: no-cache", "200 Cache-Control: no-store", "net"}, {"/?utm=1", "200", "net"}},
		"POST":                     {{"/?utm=1", utm, "net"}, {"POST /?utm=2", "200", "net"}, {"/?utm=1", "200", "net"}},
		"POST to another":          {{"/?utm=1", utm, "net"}, {"POST /?utm=2&a", "200", "net"}, {"/?utm=1", "", "hit =0"}},
		"Location":                 {{"/?utm=1", utm, "net"}, {"POST /x", "201 Location: /?utm=2", "net"}, {"/?utm=1", "200", "net"}},
		"HEAD":                     {{"/?utm=1", utm, "net"}, {"HEAD /?utm=2", "", "hit 200"}},
		"HEAD, gone":               {{"/?utm=1", utm, "net"}, {"HEAD /?utm=2 Cache-Control: no-cache", "410", "net 410"}, {"/?utm=1", "200", "net"}},
		"a range":                  {{"/?utm=1", utm + "|Body: 0123456789", "net"}, {"/?utm=2 Range: bytes=2-3", "", "hit 206 @23"}},
		"a part is completed":      {{"/?utm=1 Range: bytes=0-4", `206 Cache-Control: max-age=90|ETag: "a"|No-Vary-Search: params|Content-Range: bytes 0-4/10|Body: 01234`, "net 206"}, {"/?utm=2", `206 ETag: "a"|Content-Range: bytes 5-9/10|Body: 56789`, "valid 200 @0123456789 >Range:bytes=5-"}, {"/?utm=2", "", "hit @0123456789"}, {"/?utm=3", "", "hit @0123456789"}},
		"the field is one to keep": {{"/?utm=1", utm, `net +No-Vary-Search:params=("utm")`}, {"/?utm=2", "", `hit +No-Vary-Search:params=("utm")`}},
	}
}

// validationCases: RFC 9111, section 4.3.
func validationCases() cacheGroup {
	tagged := func(etag string) string { return freshFields + "|ETag: " + etag }
	g := cacheGroup{
		"ETag is sent":                 {{"", "200 " + passedFields + `|ETag: "abcdef"`, "net"}, {"", `200 ETag: "abcdef"`, `valid =0 >If-None-Match:"abcdef"`}},
		"a weak ETag is sent":          {{"", "200 " + passedFields + `|ETag: W/"abcdef"`, "net"}, {"", `200 ETag: W/"abcdef"`, `valid =0 >If-None-Match:W/"abcdef"`}},
		"an ETag without quotes, too":  {{"", "200 " + passedFields + `|ETag: abcdef`, "net"}, {"", `200 ETag: abcdef`, `valid =0 >If-None-Match:abcdef`}},
		"both validators are sent":     {{"", "200 " + passedFields + `|ETag: "a"|Last-Modified: {-9000}`, "net"}, {"", `200 ETag: "a"`, `valid =0 >If-None-Match:"a" >If-Modified-Since`}},
		"fields of Vary are sent":      {{"Abc: 123", `200 Expires: {1}|Age: 5|Date: {0}|ETag: "abcdef"|Vary: Abc`, "net"}, {"Abc: 123", `200 ETag: "abcdef"`, `valid =0 >Abc:123`}},
		"an invalid Last-Modified":     {{"", "200 " + passedFields + "|Last-Modified: yesterday", "net"}, {"", "200", "net - >If-Modified-Since"}},
		"no validator":                 {{"", "200 " + passedFields, "net"}, {"", "200", "net - >If-None-Match - >If-Modified-Since"}},
		"a 304 with a weak comparison": {{"", "200 " + passedFields + `|ETag: W/"a"|Last-Modified: {-9000}`, "net"}, {"", `304 ETag: W/"a"`, `valid =0`}},

		"nothing stored":                            {{`If-None-Match: "abcdef"`, `200`, `net >If-None-Match:"abcdef"`}},
		"nothing stored, without quotes":            {{"If-None-Match: abcdef", "200", "net >If-None-Match:abcdef"}},
		"If-None-Match":                             asked(tagged(`"abcdef"`), `If-None-Match: "abcdef"`, "", `hit 304 @ +ETag:"abcdef"`),
		"If-None-Match, another one":                asked(tagged(`"abcdef"`), `If-None-Match: "x"`, "", `hit =0 200`),
		"If-None-Match, weak":                       asked(tagged(`W/"abcdef"`), `If-None-Match: W/"abcdef"`, "", "hit 304"),
		"If-None-Match, weak and strong":            asked(tagged(`"abcdef"`), `If-None-Match: W/"abcdef"`, "", "hit 304"),
		"If-None-Match, strong and weak":            asked(tagged(`W/"abcdef"`), `If-None-Match: "abcdef"`, "", "hit 304"),
		"If-None-Match, first":                      asked(tagged(`"abcdef"`), `If-None-Match: "abcdef", "1234", "5678"`, "", "hit 304"),
		"If-None-Match, second":                     asked(tagged(`"abcdef"`), `If-None-Match: "1234", "abcdef", "5678"`, "", "hit 304"),
		"If-None-Match, last":                       asked(tagged(`"abcdef"`), `If-None-Match: "1234", "5678", "abcdef"`, "", "hit 304"),
		"If-None-Match, in a second line":           asked(tagged(`"abcdef"`), `If-None-Match: "1234"|If-None-Match: "abcdef"`, "", "hit 304"),
		"If-None-Match, a comma in a tag":           asked(tagged(`"a,b"`), `If-None-Match: "1234","a,b"`, "", "hit 304"),
		"If-None-Match, part of a tag":              asked(tagged(`"a"`), `If-None-Match: "a,b"`, "", "hit =0 200"),
		"If-None-Match, star":                       asked(tagged(`"a"`), `If-None-Match: *`, "", "hit 304"),
		"If-None-Match, star, no ETag":              asked(freshFields, `If-None-Match: *`, "", "hit 304"),
		"If-None-Match, no ETag stored":             asked(freshFields, `If-None-Match: "a"`, "", "hit =0 200"),
		"If-None-Match, obs-text":                   asked(tagged(`"abcdefü"`), `If-None-Match: "abcdefü"`, "", `hit 304 +ETag:"abcdefü"`),
		"If-None-Match, both without quotes":        asked(tagged("abcdef"), `If-None-Match: abcdef`, "", "hit 304"),
		"If-None-Match, without quotes":             asked(tagged(`"abcdef"`), `If-None-Match: abcdef`, "", "hit =0 200"),
		"If-None-Match, w/":                         asked(tagged(`w/"abcdef"`), `If-None-Match: w/"abcdef"`, "", "hit 304"),
		"If-None-Match before If-Modified-Since":    asked(`Cache-Control: max-age=100000|Date: {0}|Last-Modified: {-5000}|ETag: "abcdef"`, `If-None-Match: "abcdef"|If-Modified-Since: {-9000}`, "", "hit 304"),
		"If-None-Match alone decides":               asked(`Cache-Control: max-age=100000|Date: {0}|Last-Modified: {-5000}|ETag: "abcdef"`, `If-None-Match: "x"|If-Modified-Since: {-1}`, "", "hit =0 200"),
		"If-None-Match, stale":                      asked(staleFields+`|ETag: "a"`, `If-None-Match: "a"`, `304 ETag: "a"`, `net 304 >If-None-Match:"a"`),
		"If-None-Match, stale, and then fresh":      {{"", "200 " + passedFields + `|ETag: "a"`, "net"}, {`If-None-Match: "a"`, `304 ETag: "a"|Cache-Control: max-age=60|Age: 0`, "net 304"}, {"", "", "hit =0 200"}},
		"If-None-Match, stale and changed":          {{"", "200 " + passedFields + `|ETag: "a"`, "net"}, {`If-None-Match: "b"`, `200 ETag: "c"|Cache-Control: max-age=60`, "net 200"}, {"", "", "hit =1 200"}},
		"If-None-Match with HEAD":                   asked(tagged(`"a"`), `HEAD If-None-Match: "a"`, "", `hit 304`),
		"If-None-Match and an error that is stored": {{"", "404 " + tagged(`"a"`), "net"}, {`If-None-Match: "a"`, "", "hit =0 404"}},
		"If-Modified-Since, the same":               asked("Cache-Control: max-age=100000|Last-Modified: {-3000}|Date: {0}", "If-Modified-Since: {-3000}", "", "hit 304 @"),
		"If-Modified-Since, later":                  asked("Cache-Control: max-age=100000|Last-Modified: {-3000}|Date: {0}", "If-Modified-Since: {-2000}", "", "hit 304"),
		"If-Modified-Since, before":                 asked("Cache-Control: max-age=100000|Last-Modified: {-3000}|Date: {0}", "If-Modified-Since: {-4000}", "", "hit =0 200"),
		"If-Modified-Since, no Last-Modified":       asked("Cache-Control: max-age=100000|Date: {-500}", "If-Modified-Since: {-100}", "", "hit 304"),
		"If-Modified-Since, before Date":            asked("Cache-Control: max-age=100000|Date: {0}", "If-Modified-Since: {-3000}", "", "hit =0 200"),
		"If-Modified-Since, RFC 850":                asked("Cache-Control: max-age=100000|Last-Modified: Sat, 01 Jan 2022 10:00:00 GMT|Date: {0}", "If-Modified-Since: Saturday, 01-Jan-22 10:00:00 GMT", "", "hit 304"),
		"If-Modified-Since, asctime":                asked("Cache-Control: max-age=100000|Last-Modified: Sat, 01 Jan 2022 10:00:00 GMT|Date: {0}", "If-Modified-Since: Sat Jan  1 10:00:00 2022", "", "hit 304"),
		"If-Modified-Since, invalid":                asked("Cache-Control: max-age=100000|Last-Modified: {-3000}|Date: {0}", "If-Modified-Since: now", "", "hit =0 200"),
		"If-Modified-Since, stale":                  asked("Cache-Control: max-age=2|Age: 5|Last-Modified: {-3000}|Date: {0}", "If-Modified-Since: {-3000}", "200 Last-Modified: {-3000}", "net 304 >If-Modified-Since"),
		"If-Match is for the server":                asked(tagged(`"a"`), `If-Match: "a"`, "200", `net >If-Match:"a"`),
		"If-Unmodified-Since is for the server":     asked(freshFields, "If-Unmodified-Since: {0}", "200", "net >If-Unmodified-Since"),
		"a 304 has no fields of a body":             asked(tagged(`"a"`)+"|Content-Language: en|Content-Encoding: x|Content-Location: /x|Vary: A|Content-Security-Policy: default-src 'self'", `If-None-Match: "a"`, "", "hit 304 -Content-Length -Content-Type -Content-Language -Content-Encoding +Content-Location:/x +Vary:A +Cache-Control:max-age=100000 +Content-Security-Policy:default-src_'self'"),
	}
	return g
}

// staleCases: RFC 9111, section 4.2.4, and RFC 5861.
func staleCases() cacheGroup {
	return cacheGroup{
		"a broken connection":                    {{"", "200 " + passedFields, "net"}, {"", "break", "failed"}},
		"a server error":                         {{"", "200 " + passedFields, "net"}, {"", "503", "stale =0 200"}},
		"stale-if-error, a broken connection":    {{"", "200 Cache-Control: max-age=2, stale-if-error=60|Age: 5", "net"}, {"", "break", "stale =0 200"}},
		"stale-if-error, a server error":         {{"", "200 Cache-Control: max-age=2, stale-if-error=60|Age: 5", "net"}, {"", "500", "stale =0 200"}},
		"stale-if-error, and a validator":        {{"", `200 Cache-Control: max-age=2, stale-if-error=60|Age: 5|ETag: "a"`, "net"}, {"", "502", `stale =0 200 >If-None-Match:"a"`}},
		"stale-if-error, an error of the client": {{"", "200 Cache-Control: max-age=2, stale-if-error=60|Age: 5", "net"}, {"", "404", "net 404"}},
		"stale-if-error, too stale":              {{"", "200 Cache-Control: max-age=0, stale-if-error=1|Age: 5", "net"}, {"", "500", "net 500"}},
		"stale-if-error, too stale and broken":   {{"", "200 Cache-Control: max-age=0, stale-if-error=1|Age: 5", "net"}, {"", "break", "failed"}},
		"stale-if-error does not bring no-cache": {{"", "200 Cache-Control: no-cache, stale-if-error=60", "net"}, {"", "500", "net 500"}},
		"stale-while-revalidate has passed":      {{"", `200 Cache-Control: max-age=1, stale-while-revalidate=4|Age: 6|ETag: "abc"`, "net"}, {"", `200 Cache-Control: no-cache|ETag: "def"`, `net =1 >If-None-Match:"abc"`}},
		"no Warning":                             {{"", "200 " + passedFields, "net"}, {"", "503", "stale =0 200 -Warning"}},
	}
}

// invalidationCases: RFC 9111, section 4.4.
func invalidationCases() cacheGroup {
	g := cacheGroup{
		"Location of another origin":        {{"/a", "200 " + freshFields, "net"}, {"POST /b", "201 Location: http://other.test/a", "net"}, {"/a", "", "hit =0"}},
		"Location of a failed request":      {{"/a", "200 " + freshFields, "net"}, {"POST /b", "500 Location: /a", "net"}, {"/a", "", "hit =0"}},
		"Location that is no URL":           {{"/a", "200 " + freshFields, "net"}, {"POST /a", "201 Location: http://[", "net"}, {"/a", "200", "net"}},
		"a redirected POST":                 {{"/a", "200 " + freshFields, "net"}, {"POST /a", "303 Location: /b", "net"}, {"/a", "200", "net"}},
		"another URL":                       {{"/a", "200 " + freshFields, "net"}, {"POST /b", "200", "net"}, {"/a", "", "hit =0"}},
		"another query":                     {{"/a?1", "200 " + freshFields, "net"}, {"POST /a?2", "200", "net"}, {"/a?1", "", "hit =0"}},
		"all variants":                      {{"A: 1", "200 Vary: A|" + freshFields, "net"}, {"A: 2", "200 Vary: A|" + freshFields, "net"}, {"POST A: 1", "200", "net"}, {"A: 2", "200", "net"}},
		"a GET with Location does not":      {{"/a", "200 " + freshFields, "net"}, {"/b", "201 Location: /a", "net"}, {"/a", "", "hit =0"}},
		"an only-if-cached POST is a POST":  {{"", "200 " + freshFields, "net"}, {"POST Cache-Control: only-if-cached", "200", "net"}, {"", "200", "net"}},
		"a no-store POST invalidates, too":  {{"", "200 " + freshFields, "net"}, {"POST Cache-Control: no-store", "200", "net"}, {"", "200", "net"}},
		"a broken POST does not invalidate": {{"", "200 " + freshFields, "net"}, {"POST", "break", "failed"}, {"", "", "hit =0"}},
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "FOO"} {
		g[method] = []cacheStep{{"", "200 " + freshFields, "net"}, {method, "200", "net"}, {"", "200", "net"}}
		g[method+", failed"] = []cacheStep{{"", "200 " + freshFields, "net"}, {method, "500", "net 500"}, {"", "", "hit =0"}}
		g[method+", refused"] = []cacheStep{{"", "200 " + freshFields, "net"}, {method, "403", "net 403"}, {"", "", "hit =0"}}
		g[method+", Location"] = []cacheStep{{"/a/b", "200 " + freshFields, "net"}, {method + " /a", "200 Location: /a/b", "net"}, {"/a/b", "200", "net"}}
		g[method+", Content-Location"] = []cacheStep{{"/a/b", "200 " + freshFields, "net"}, {method + " /a/", "200 Content-Location: b", "net"}, {"/a/b", "200", "net"}}
	}
	for _, method := range []string{"HEAD", "OPTIONS", "TRACE", "PROPFIND", "QUERY"} {
		g[method+" is safe"] = []cacheStep{{"", "200 " + freshFields, "net"}, {method + " Cache-Control: no-cache", "204", "net 204"}, {"", "", "hit =0"}}
	}
	return g
}

// partCases: RFC 9111, sections 3.3 and 3.4, and RFC 9110, section 14.
func partCases() cacheGroup {
	whole := "Cache-Control: max-age=3600|A: 1|Body: 0123456789A"
	part := "206 Cache-Control: max-age=3600|Content-Range: bytes 5-9/10|Body: 56789"
	g := cacheGroup{
		"a part again":                     {{"Range: bytes=-5", part, "net 206 >Range:bytes=-5"}, {"Range: bytes=-5", "", "hit 206 @56789 +Content-Range:bytes_5-9/10"}},
		"first bytes of the whole":         asked(whole, "Range: bytes=0-1", "", "hit 206 @01 +A:1"),
		"last bytes of the whole":          asked(whole, "Range: bytes=1-", "", "hit 206 @123456789A"),
		"suffix of the whole":              asked(whole, "Range: bytes=-1", "", "hit 206 @A"),
		"suffix longer than the whole":     asked(whole, "Range: bytes=-99", "", "hit 206 @0123456789A"),
		"end beyond the whole":             asked(whole, "Range: bytes=9-99", "", "hit 206 @9A +Content-Range:bytes_9-10/11"),
		"all of the whole":                 asked(whole, "Range: bytes=0-", "", "hit 206 @0123456789A"),
		"beyond the whole":                 asked(whole, "Range: bytes=11-", "", "hit 416 @ +Content-Range:bytes_*/11"),
		"a suffix of nothing":              asked(whole, "Range: bytes=-0", "", "hit 416 @"),
		"an invalid range":                 asked(whole, "Range: bytes=5-2", "", "hit =0 200"),
		"no range at all":                  asked(whole, "Range: foo", "", "hit =0 200"),
		"another unit":                     asked(whole, "Range: lines=1-2", "200", "net"),
		"two ranges":                       asked(whole, "Range: bytes=0-1,3-4", "200", "net"),
		"a range of HEAD":                  asked(whole, "HEAD Range: bytes=0-1", "", "hit 200"),
		"a range of an error":              {{"", "404 Cache-Control: max-age=3600|Body: abc", "net"}, {"Range: bytes=0-1", "", "hit 404 @abc"}},
		"a smaller part":                   {{"Range: bytes=-5", part, "net 206"}, {"Range: bytes=6-8", "", "hit 206 @678"}},
		"a smaller part without an end":    {{"Range: bytes=-5", part, "net 206"}, {"Range: bytes=6-", "", "hit 206 @6789"}},
		"a smaller part, suffix":           {{"Range: bytes=-5", part, "net 206"}, {"Range: bytes=-1", "", "hit 206 @9"}},
		"more than the part":               {{"Range: bytes=-5", part, "net 206"}, {"Range: bytes=4-6", "206 Content-Range: bytes 4-6/10|Body: 456", "net 206"}},
		"a part is not the whole":          {{"Range: bytes=-5", part, "net 206"}, {"", "200 Body: 0123456789", "net 200"}},
		"a part is not for HEAD of all":    {{"Range: bytes=-5", part, "net 206"}, {"HEAD", "", "hit 200 +Content-Length:10"}},
		"a part of another length":         {{"Range: bytes=-5", "206 Cache-Control: max-age=3600|Content-Range: bytes 4-9/10|Body: 01234", "net 206"}, {"Range: bytes=-5", "206 Content-Range: bytes 5-9/10|Body: 56789", "net 206"}},
		"a part without Content-Range":     {{"Range: bytes=-5", "206 Cache-Control: max-age=3600|Body: 01234", "net 206"}, {"Range: bytes=-5", "206 Body: 56789", "net 206"}},
		"several parts in one":             {{"Range: bytes=0-1,3-4", "206 Cache-Control: max-age=3600|Content-Type: multipart/byteranges; boundary=x|Body: --x--", "net 206"}, {"Range: bytes=0-1", "206 Body: 01", "net 206"}},
		"a part with no-store":             {{"Range: bytes=-5", "206 Cache-Control: no-store|Content-Range: bytes 5-9/10|Body: 56789", "net 206"}, {"Range: bytes=-5", "206 Content-Range: bytes 5-9/10|Body: 56789", "net 206"}},
		"a part, completed":                {{"Range: bytes=0-4", `206 Cache-Control: max-age=3600|ETag: "a"|Content-Range: bytes 0-4/10|A: 1|B: 1|Body: 01234`, "net 206"}, {"", `206 Cache-Control: max-age=3600|ETag: "a"|Content-Range: bytes 5-9/10|A: 2|Body: 56789`, `valid 200 @0123456789 +A:2 +B:1 >Range:bytes=5- >If-Range:"a"`}},
		"a part, completed by date":        {{"Range: bytes=0-4", `206 Cache-Control: max-age=3600|Last-Modified: {-9000}|Date: {0}|Content-Range: bytes 0-4/10|Body: 01234`, "net 206"}, {"", `206 Last-Modified: {-9000}|Date: {0}|Content-Range: bytes 5-9/10|Body: 56789`, `valid 200 @0123456789 >Range:bytes=5- >If-Range`}},
		"a part with a weak ETag":          {{"Range: bytes=0-4", `206 Cache-Control: max-age=3600|ETag: W/"a"|Content-Range: bytes 0-4/10|Body: 01234`, "net 206"}, {"", "200 Body: 0123456789", "net - >Range"}},
		"If-Range, the same":               asked(whole+`|ETag: "a"`, `Range: bytes=0-1|If-Range: "a"`, "", "hit 206 @01"),
		"If-Range, another":                asked(whole+`|ETag: "a"`, `Range: bytes=0-1|If-Range: "b"`, "", "hit 200 @0123456789A"),
		"If-Range, weak":                   asked(whole+`|ETag: W/"a"`, `Range: bytes=0-1|If-Range: W/"a"`, "", "hit 200 @0123456789A"),
		"If-Range, a date":                 asked(whole+`|Last-Modified: {-9000}|Date: {0}`, `Range: bytes=0-1|If-Range: {-9000}`, "", "hit 206 @01"),
		"If-Range, a later date":           asked(whole+`|Last-Modified: {-9000}|Date: {0}`, `Range: bytes=0-1|If-Range: {-8000}`, "", "hit 200 @0123456789A"),
		"If-None-Match before Range":       asked(whole+`|ETag: "a"`, `Range: bytes=0-1|If-None-Match: "a"`, "", "hit 304 @"),
		"a stale whole, validated":         {{"", `200 Cache-Control: max-age=1|Age: 5|ETag: "a"|Body: 0123456789`, "net"}, {"Range: bytes=2-4", `304 ETag: "a"|Cache-Control: max-age=60`, `valid 206 @234 >If-None-Match:"a"`}},
		"a stale whole, and a new part":    {{"", `200 Cache-Control: max-age=1|Age: 5|ETag: "a"|Body: 0123456789`, "net"}, {"Range: bytes=2-4", `206 ETag: "b"|Content-Range: bytes 2-4/10|Body: cde`, `net 206 @cde`}},
		"broken off":                       {{"", "cut 200 Cache-Control: max-age=3600|Body: 0123456789", "cut"}, {"", "200 Body: 0123456789", "net - >Range"}},
		"broken off, and completed":        {{"", `cut 200 Cache-Control: max-age=3600|ETag: "a"|Body: 01234`, "cut"}, {"", `206 ETag: "a"|Content-Range: bytes 5-9/10|Body: 56789`, `valid 200 @0123456789 >Range:bytes=5- >If-Range:"a"`}, {"", "", "hit 200 @0123456789"}},
		"broken off, and ranges of it":     {{"", `cut 200 Cache-Control: max-age=3600|ETag: "a"|Body: 01234`, "cut"}, {"Range: bytes=1-3", "", "hit 206 @123 +Content-Range:bytes_1-3/10"}, {"Range: bytes=4-6", `206 ETag: "a"|Content-Range: bytes 4-6/10|Body: 456`, "net 206"}},
		"broken off, never completed":      {{"", `cut 200 Cache-Control: max-age=3600|ETag: "a"|Body: 01234`, "cut"}, {"", `200 ETag: "b"|Cache-Control: max-age=60|Body: abc`, "net 200 @abc >Range:bytes=5-"}, {"", "", "hit @abc"}},
		"a whole in place of a part asked": {{"Range: bytes=2-4", "200 Cache-Control: max-age=3600|Body: 0123456789", "net 200"}, {"", "", "hit =0 200"}, {"Range: bytes=2-4", "", "hit 206 @234"}},
	}
	return g
}

// methodCases: RFC 9110, section 9.
func methodCases() cacheGroup {
	return cacheGroup{
		"POST is sent":                        {{"", "200 " + freshFields, "net"}, {"POST", "200", "net"}, {"POST", "200", "net"}},
		"POST is not stored":                  {{"POST", "200 " + freshFields, "net"}, {"", "200", "net"}},
		"POST with its Content-Location":      {{"POST /a", "200 Cache-Control: max-age=3600|Content-Location: /a", "net"}, {"/a", "", "hit =0 200"}},
		"POST with that of another":           {{"POST /a", "200 Cache-Control: max-age=3600|Content-Location: /b", "net"}, {"/a", "200", "net"}, {"/b", "200", "net"}},
		"POST without freshness":              {{"POST /a", "200 Last-Modified: {-9000}|Date: {0}|Content-Location: /a", "net"}, {"/a", "200", "net"}},
		"POST with no-store":                  {{"POST /a", "200 Cache-Control: max-age=3600, no-store|Content-Location: /a", "net"}, {"/a", "200", "net"}},
		"POST, broken off":                    {{"POST /a", "cut 200 Cache-Control: max-age=3600|Content-Location: /a", "cut"}, {"/a", "200", "net"}},
		"POST, failed":                        {{"POST /a", "500 Cache-Control: max-age=3600|Content-Location: /a", "net"}, {"/a", "200", "net"}},
		"POST, and then another POST":         {{"POST /a", "200 Cache-Control: max-age=3600|Content-Location: /a", "net"}, {"POST /a", "200", "net"}, {"/a", "200", "net"}},
		"POST takes the place of what was":    {{"/a", "200 Cache-Control: max-age=3600", "net"}, {"POST /a", "200 Cache-Control: max-age=3600|Content-Location: /a", "net"}, {"/a", "", "hit =1 200"}},
		"POST is not answered by itself":      {{"POST /a", "200 Cache-Control: max-age=3600|Content-Location: /a", "net"}, {"POST /a", "200", "net"}},
		"PATCH with its Content-Location":     {{"PATCH /a", "200 Cache-Control: private, max-age=1000|Content-Location: /a", "net"}, {"/a", "", "hit =0 200"}},
		"PUT with its Content-Location":       {{"PUT /a", "200 Cache-Control: max-age=3600|Content-Location: /a", "net"}, {"/a", "200", "net"}},
		"HEAD, nothing stored":                {{"HEAD", "200 " + freshFields, "net"}, {"HEAD", "200 " + freshFields, "net"}, {"", "200", "net"}},
		"HEAD, fresh":                         {{"", "200 " + freshFields + "|A: 1", "net"}, {"HEAD", "", "hit @ +A:1"}},
		"HEAD, stale":                         {{"", "200 " + passedFields, "net"}, {"HEAD", "=", "net"}},
		"HEAD keeps what it does not have":    {{"", "200 " + passedFields, "net"}, {"HEAD", "= Cache-Control: max-age=1000|Age: 0", "net"}, {"", "", "hit =0 +Template:1"}},
		"HEAD updates":                        {{"", "200 " + passedFields, "net"}, {"HEAD", "= Template: 2|Cache-Control: max-age=1000|Age: 0", "net"}, {"", "", "hit =0 +Template:2"}},
		"HEAD, gone":                          {{"", "200 " + freshFields, "net"}, {"HEAD Cache-Control: no-cache", "410 Cache-Control: max-age=1000", "net 410"}, {"", "200", "net"}},
		"HEAD, 404":                           {{"", "200 " + freshFields, "net"}, {"HEAD Cache-Control: no-cache", "404", "net 404"}, {"", "200", "net"}},
		"HEAD, a server error":                {{"", "200 " + freshFields, "net"}, {"HEAD Cache-Control: no-cache", "500", "net 500"}, {"", "", "hit =0"}},
		"OPTIONS is not answered from a GET":  {{"", "200 " + freshFields, "net"}, {"OPTIONS", "204", "net 204"}},
		"a GET with another method's fields":  {{"", "200 " + freshFields + "|Allow: GET", "net"}, {"", "", "hit =0 +Allow:GET"}},
		"methods have cases":                  {{"", "200 " + freshFields, "net"}, {"get", "200", "net"}},
		"the same URL is the same key":        {{"/?test=1", "200 " + freshFields, "net"}, {"/?test=1", "", "hit =0"}},
		"another query is another key":        {{"/?test=1", "200 " + freshFields, "net"}, {"/?test=2", "200", "net"}},
		"an empty query is another key":       {{"/?", "200 " + freshFields, "net"}, {"/", "200", "net"}},
		"another order is another key":        {{"/?a&b", "200 " + freshFields, "net"}, {"/?b&a", "200", "net"}},
		"a fragment is no part of the key":    {{"/a#b", "200 " + freshFields, "net"}, {"/a#c", "", "hit =0"}},
		"percent-encoding is none, either":    {{"/%7ea", "200 " + freshFields, "net"}, {"/~a", "", "hit =0"}},
		"paths have cases":                    {{"/a", "200 " + freshFields, "net"}, {"/A", "200", "net"}},
		"Age is generated":                    {{"", "200 Cache-Control: max-age=600|Date: {-100}", "net -Age"}, {"", "", "hit =0 +Age:100"}},
		"Age goes on, Expires":                {{"", "200 Expires: {2592000}|Date: {0}|Age: 30", "net"}, {"", "", "hit =0 +Age:30"}},
		"Age goes on, max-age":                {{"", "200 " + freshFields + "|Age: 30", "net +Age:30"}, {"", "", "hit =0 +Age:30"}},
		"Date stays":                          {{"", "200 " + freshFields, "net"}, {"", "", "hit =0 =Date"}},
		"Date stays, Expires":                 {{"", "200 Expires: {2592000}|Date: {-100}", "net"}, {"", "", "hit =0 =Date =Expires"}},
		"a response without Date stays so":    {{"", "200 Cache-Control: max-age=60|Date: none", "net -Date"}, {"", "", "hit =0 -Date"}},
		"an attachment":                       {{"", "200 " + freshFields + "|Content-Disposition: attachment; filename=example.txt", "net"}, {"", "", "hit =0"}},
		"Set-Cookie":                          {{"", "200 " + freshFields + "|Set-Cookie: a=b", "net"}, {"", "", "hit =0 +Set-Cookie:a=b"}},
		"a request with Cookie":               {{"", "200 " + freshFields, "net"}, {"Cookie: a=b", "", "hit =0"}},
		"newer no-store, the older one stays": {{"", "200 " + freshFields, "net"}, {"Cache-Control: no-store", "200 Cache-Control: no-store", "net"}, {"", "", "hit =0"}},
		"a newer no-store takes it away":      {{"", "200 " + freshFields, "net"}, {"Cache-Control: no-cache", "200 Cache-Control: no-store", "net"}, {"", "200", "net"}},
	}
}

// TestCacheConformance: what RFC 9111 says about sequences of requests, through a RoundTripper.
func TestCacheConformance(t *testing.T) {
	for group, cases := range map[string]cacheGroup{
		"freshness": freshnessCases(), "status": statusCases(), "response": responseCases(), "request": requestCases(), "vary": varyCases(), "offer": offerCases(), "search": searchCases(), "fields": fieldCases(),
		"validation": validationCases(), "stale": staleCases(), "invalidation": invalidationCases(), "parts": partCases(), "method": methodCases(),
	} {
		for name, steps := range cases {
			t.Run(group+"/"+name, func(t *testing.T) {
				t.Parallel()
				newCacheCase(t, steps).play()
			})
		}
	}
}

// TestCacheConformanceH2: the same over HTTP/2, where fields come in no order.
func TestCacheConformanceH2(t *testing.T) {
	for group, cases := range map[string]cacheGroup{
		"status": statusCases(), "response": responseCases(), "vary": varyCases(), "validation": validationCases(), "stale": staleCases(),
		"invalidation": invalidationCases(), "parts": partCases(), "method": methodCases(),
	} {
		for name, steps := range cases {
			t.Run(group+"/"+name, func(t *testing.T) {
				t.Parallel()
				newCacheCaseH2(t, steps).play()
			})
		}
	}
}
