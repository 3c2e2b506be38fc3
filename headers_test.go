package netreply_test

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/cookies"
	"github.com/netreply/netreply/internal/testserver"
)

func TestHeaders(t *testing.T) {
	h := netreply.NewHeaders("A", "1", "b", "2", "a", "3")
	assert.Equal(t, 3, h.Len())
	assert.Equal(t, "1", h.Get("a"))
	assert.Equal(t, []string{"1", "3"}, h.Values("A"))
	assert.True(t, h.Has("B"))
	c := h.Clone()
	h.Set("A", "4")
	assert.Equal(t, []string{"b=2", "A=4"}, flat(h), "rule H21: at the end")
	assert.Equal(t, []string{"A=1", "b=2", "a=3"}, flat(c), "a clone is its own")
	shared := c
	c.Del("a")
	assert.Equal(t, []string{"b=2"}, flat(c))
	assert.Equal(t, []string{"A=1", "b=2", "a=3"}, flat(shared), "a copy sees no Del")
	c.Add("x", "1")
	d := c
	c.Add("y", "1")
	d.Add("z", "1")
	assert.Equal(t, []string{"b=2", "x=1", "y=1"}, flat(c))
	assert.Equal(t, []string{"b=2", "x=1", "z=1"}, flat(d))
	var none netreply.Headers
	assert.Empty(t, none.Get("x"))
	odd := []string{"odd"}
	assert.Panics(t, func() { netreply.NewHeaders(odd...) })
	for range h.All() {
		break
	}
}

func flat(h netreply.Headers) (list []string) {
	for name, value := range h.All() {
		list = append(list, name+"="+value)
	}
	return list
}

// TestRawHeaders: rules H20 and H24 to H28, with the bytes of a response.
func TestRawHeaders(t *testing.T) {
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		c.Head()
		c.Say("HTTP/1.1 200 OK\r\nx-A: 1\r\nLocation: /1\r\nSet-Cookie: a=b, c\r\nX-a: 2\r\nEmpty:\r\nset-cookie: d=e\r\nlocation: /2\r\nEmpty: x\r\nContent-Length: 3\r\ncontent-length: 3\r\n\r\nabc")
	})
	m := newManager(t, netreply.Config{})
	r := m.Get(t.Context(), newRequest(t, s.URL()))
	body, err := r.ReadAll()
	require.NoError(t, err)
	assert.Equal(t, "abc", string(body))
	assert.Equal(t, [][2]string{{"X-a", "1, 2"}, {"set-cookie", "a=b, c\nd=e"}, {"location", "/2"}, {"Empty", "x"}, {"content-length", "3, 3"}}, r.RawHeaderPairs())
	assert.Equal(t, []string{"X-a", "set-cookie", "location", "Empty", "content-length"}, r.RawHeaderList())
	assert.Equal(t, "x-A=1", flat(r.Headers())[0], "Headers are as they came")
	n, ok := netreply.ContentLengthHeader.Get(r.Headers())
	assert.True(t, ok)
	assert.EqualValues(t, 3, n)
	assert.True(t, r.HasRawHeader("EMPTY"))
	assert.False(t, r.HasRawHeader("none"))
}

// TestKnownHeaders: rules H1 to H10, parsing and formatting.
func TestKnownHeaders(t *testing.T) {
	date := time.Date(2007, 11, 1, 18, 8, 30, 0, time.UTC)
	for raw, want := range map[string]time.Time{
		"Thu, 01 Nov 2007 18:08:30 GMT": date, "Wed, 01 Nov 2007 18:08:30 GMT": date, "Thu, 1 Nov 2007 18:08:30 +0000": date,
		"Thursday, 01-Nov-07 18:08:30 GMT": date, "Thu Nov  1 18:08:30 2007": date, "yesterday": {}, "": {}, "2007-11-01": {},
	} {
		got, ok := netreply.LastModifiedHeader.Get(netreply.NewHeaders("Last-Modified", raw))
		assert.Equal(t, !want.IsZero(), ok, raw)
		assert.Equal(t, want, got, raw)
	}
	for raw, want := range map[string]int64{"3": 3, " 3 ": 3, "-3": -3, "3x": -99, "": -99} {
		got, ok := netreply.ContentLengthHeader.Get(netreply.NewHeaders("Content-Length", raw))
		assert.Equal(t, want != -99, ok, raw)
		if ok {
			assert.Equal(t, want, got)
		}
	}
	for raw, want := range map[string]bool{`"x"`: true, `W/"x"`: true, ` "x" `: true, "x": false, `"x`: false, `"`: false} {
		_, ok := netreply.ETagHeader.Get(netreply.NewHeaders("ETag", raw))
		assert.Equal(t, want, ok, raw)
	}
	tags := netreply.NewHeaders("If-Match", `"a", W/"b",c, "d"`, "If-None-Match", `"a", W/"b"`)
	got, _ := netreply.IfMatchHeader.Get(tags)
	assert.Equal(t, []string{`"a"`, `"d"`}, got)
	got, _ = netreply.IfNoneMatchHeader.Get(tags)
	assert.Equal(t, []string{`"a"`, `W/"b"`}, got)
	got, _ = netreply.IfMatchHeader.Get(netreply.NewHeaders("If-Match", "*"))
	assert.Equal(t, []string{"*"}, got)
	_, ok := netreply.LocationHeader.Get(netreply.NewHeaders("Location", "/relative"))
	assert.False(t, ok, "rule H3")
	_, ok = netreply.UserAgentHeader.Get(netreply.Headers{})
	assert.False(t, ok)

	var h netreply.Headers
	u, _ := url.Parse("http://x/ä")
	assert.True(t, netreply.LocationHeader.Set(&h, u))
	assert.True(t, netreply.IfModifiedSinceHeader.Set(&h, date.In(time.FixedZone("x", 3600))))
	assert.True(t, netreply.ContentLengthHeader.Set(&h, 0))
	assert.True(t, netreply.CookieHeader.Set(&h, []cookies.Cookie{{Name: "a", Value: "b"}, {Name: "c", Value: "d"}}))
	assert.True(t, netreply.SetCookieHeader.Set(&h, []cookies.Cookie{{Name: "a", Value: "b", Path: "/"}}))
	assert.True(t, netreply.IfMatchHeader.Set(&h, []string{`"a"`, `"b"`}))
	assert.False(t, netreply.ServerHeader.Set(&h, ""), "rule H22")
	assert.False(t, netreply.LocationHeader.Set(&h, nil))
	assert.Equal(t, []string{"Location=http://x/%C3%A4", "If-Modified-Since=Thu, 01 Nov 2007 18:08:30 GMT", "Content-Length=0", "Cookie=a=b; c=d",
		"Set-Cookie=a=b; path=/", `If-Match="a", "b"`}, flat(h))
	sent, ok := netreply.CookieHeader.Get(h)
	assert.True(t, ok)
	assert.Len(t, sent, 2)
	_, ok = netreply.CookieHeader.Get(netreply.NewHeaders("Cookie", "nonsense"))
	assert.False(t, ok)
	set, ok := netreply.SetCookieHeader.Get(netreply.NewHeaders("Set-Cookie", "a=b", "Set-Cookie", "bad", "Set-Cookie", "c=d"))
	assert.True(t, ok)
	assert.Len(t, set, 2)
}

// TestSentHeaders: the fields that are sent, in net/http's order.
func TestSentHeaders(t *testing.T) {
	got := make(chan http.Header, 1)
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) { got <- r.Header }, netreply.Config{UserAgent: "mine/1"}, func(t *testing.T, s *fixture) {
		req := s.request("/#fragment")
		req.Headers = netreply.NewHeaders("x-b", "1", "X-A", "2", "X-A", "3", "transfer-encoding", "chunked", "user-agent", "")
		require.NoError(t, s.m.Get(t.Context(), req).Wait(t.Context()))
		h := <-got
		assert.Equal(t, []string{"2", "3"}, h["X-A"])
		assert.Equal(t, []string{"1"}, h["X-B"])
		assert.Empty(t, h.Get("User-Agent"), "an empty one is none")
		for name := range h {
			assert.True(t, slices.Contains([]string{"X-A", "X-B", "User-Agent", "Accept-Encoding"}, name), name)
		}
		require.NoError(t, s.m.Get(t.Context(), s.request("/")).Wait(t.Context()))
		assert.Equal(t, "mine/1", (<-got).Get("User-Agent"))
	})
}

// TestTargets: the request target made from a URL (rule H38), and the URL that is shown.
func TestTargets(t *testing.T) {
	got := make(chan string, 1)
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got <- r.RequestURI + " " + r.Host }))
	m := newManager(t, netreply.Config{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, s.Listener.Addr().String())
	}})
	for url, want := range map[string][2]string{
		"http://x":                      {"/ x", "http://x"},
		"http://x/a/./b/../c":           {"/a/c x", "http://x/a/./b/../c"},
		"HTTP://EXAMPLE.org:80/A?b#c":   {"/A?b example.org:80", "http://example.org:80/A?b#c"},
		"http://user:pw@x/":             {"/ x", "http://user:pw@x/"},
		"http://x/%zz?ö=%&a b":          {"/%25zz?%C3%B6=%25&a%20b x", "http://x/%25zz?%C3%B6=%25&a%20b"},
		"http://bücher.invalid/ü":       {"/%C3%BC xn--bcher-kva.invalid", "http://xn--bcher-kva.invalid/%C3%BC"},
		"http://x/a%2Fb/%7Ec?a+b=c%20d": {"/a%2Fb/%7Ec?a+b=c%20d x", "http://x/a%2Fb/%7Ec?a+b=c%20d"},
	} {
		r := m.Get(t.Context(), newRequest(t, url))
		require.NoError(t, r.Wait(t.Context()), url)
		assert.Equal(t, want[0], <-got)
		assert.Equal(t, want[1], r.URL().String())
	}
}

// TestHopByHopFields: fields about an HTTP/1 connection do no harm over HTTP/2.
func TestHopByHopFields(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {}, netreply.Config{}, func(t *testing.T, s *fixture) {
		req := s.request("/")
		req.Headers = netreply.NewHeaders("Connection", "keep-alive, x", "keep-alive", "1", "proxy-connection", "x")
		require.NoError(t, s.m.Get(t.Context(), req).Wait(t.Context()))
	})
}

// TestRequestCopied: changes to a Request after it was sent have no effect (rule A42).
func TestRequestCopied(t *testing.T) {
	key := netreply.NewUserAttribute[int]("n")
	got := make(chan string, 1)
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got <- r.URL.Path + r.Header.Get("A") }))
	m := newManager(t, netreply.Config{})
	req := newRequest(t, s.URL+"/a")
	req.Headers.Set("A", "1")
	key.Set(req, 1)
	r := m.Get(t.Context(), req)
	req.URL.Path = "/b"
	req.Headers.Set("A", "2")
	key.Set(req, 2)
	require.NoError(t, r.Wait(t.Context()))
	assert.Equal(t, "/a1", <-got)
	n, ok := key.Of(r.Request())
	assert.True(t, ok)
	assert.Equal(t, 1, n)
	key.Clear(req)
	_, ok = key.Of(req)
	assert.False(t, ok)
	assert.Equal(t, netreply.NoLessSafeRedirectPolicy, r.Request().RedirectPolicy, "with the Manager's defaults")
}
