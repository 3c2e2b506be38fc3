package netreply_test

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// TestCacheTime: what becomes of a response while time passes (RFC 9111, section 4.2). Each
// request is made 3 s after the one before.
func TestCacheTime(t *testing.T) {
	for name, c := range map[string]struct {
		fields  http.Header // of the first response; those of all others have max-age=0
		request http.Header
		sent    []bool   // whether the server gets the second request, the third …
		ages    []string // of the responses from then on
		status  int      // of all but the first, 0 for 304 or 200
	}{
		"max-age":                     {http.Header{"Cache-Control": {"max-age=5"}}, nil, []bool{false, true}, []string{"3", ""}, 0},
		"max-age, exactly":            {http.Header{"Cache-Control": {"max-age=6"}}, nil, []bool{false, true}, []string{"3", ""}, 0},
		"Age goes on":                 {http.Header{"Cache-Control": {"max-age=600"}, "Age": {"30"}}, nil, []bool{false, false}, []string{"33", "36"}, 0},
		"Age goes on, Expires":        {http.Header{"Expires": {"Fri, 31 Dec 2100 00:00:00 GMT"}, "Age": {"30"}}, nil, []bool{false, false}, []string{"33", "36"}, 0},
		"Age of a slow clock":         {http.Header{"Cache-Control": {"max-age=600"}, "Date": {"Fri, 31 Dec 1999 23:55:00 GMT"}}, nil, []bool{false, false}, []string{"303", "306"}, 0},
		"heuristic":                   {http.Header{"Last-Modified": {"Fri, 31 Dec 1999 23:59:10 GMT"}}, nil, []bool{false, true}, []string{"3", "0"}, 0},
		"max-age of the request":      {http.Header{"Cache-Control": {"max-age=600"}}, http.Header{"Cache-Control": {"max-age=4"}}, []bool{false, true}, []string{"3", ""}, 0},
		"min-fresh":                   {http.Header{"Cache-Control": {"max-age=10"}}, http.Header{"Cache-Control": {"min-fresh=5"}}, []bool{false, true}, []string{"3", ""}, 0},
		"max-stale":                   {http.Header{"Cache-Control": {"max-age=1"}}, http.Header{"Cache-Control": {"max-stale=4"}}, []bool{false, true}, []string{"3", ""}, 0},
		"stale-if-error":              {http.Header{"Cache-Control": {"max-age=1, stale-if-error=4"}}, nil, []bool{true, true}, []string{"3", ""}, 500},
		"must-revalidate":             {http.Header{"Cache-Control": {"max-age=4, must-revalidate"}, "ETag": {`"a"`}}, nil, []bool{false, true}, []string{"3", "0"}, 0},
		"immutable":                   {http.Header{"Cache-Control": {"max-age=4, immutable"}, "ETag": {`"a"`}}, http.Header{"Cache-Control": {"max-age=0"}}, []bool{false, true}, []string{"3", "0"}, 0},
		"only-if-cached":              {http.Header{"Cache-Control": {"max-age=4"}}, http.Header{"Cache-Control": {"only-if-cached"}}, []bool{false, false}, []string{"3", ""}, 0},
		"stale-while-revalidate ends": {http.Header{"Cache-Control": {"max-age=1, stale-while-revalidate=4"}, "ETag": {`"x"`}}, nil, []bool{true, true}, []string{"3", ""}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				s, m := cachedServer(t, func(w http.ResponseWriter, r *http.Request) {
					n++
					switch {
					case n == 1:
						for name, values := range c.fields {
							w.Header()[name] = values
						}
						fmt.Fprint(w, n)
					case c.status != 0:
						w.WriteHeader(c.status)
					case r.Header.Get("If-None-Match") == `"a"` || r.Header.Get("If-Modified-Since") != "":
						w.WriteHeader(304)
					default:
						w.Header().Set("Cache-Control", "no-cache")
						w.Header().Set("ETag", strconv.Quote(strconv.Itoa(n)))
						fmt.Fprint(w, n)
					}
				})
				client := &http.Client{Transport: m.RoundTripper(netreply.RoundTripperOptions{})}
				get := func(fields http.Header) *http.Response {
					r, err := http.NewRequest("GET", s.Request("/").URL.String(), nil)
					require.NoError(t, err)
					for name, values := range fields {
						r.Header[name] = values
					}
					resp, err := client.Do(r)
					bodyOf(t, resp, err)
					return resp
				}
				get(nil)
				for i := range c.sent {
					time.Sleep(3 * time.Second)
					before := n
					resp := get(c.request)
					synctest.Wait()
					assert.Equal(t, c.sent[i], n > before, "request %d", i+1)
					assert.Equal(t, c.ages[i], resp.Header.Get("Age"), "request %d", i+1)
				}
			})
		})
	}
}
