package wire

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/testserver"
)

// ownHead is the head that this package writes.
func ownHead(req *http.Request, order *headers.Headers) (string, error) {
	f, err := framingOf(req)
	if err != nil {
		return "", err
	}
	var w headWriter
	err = w.write(req, &f, order, nil)
	return string(w.out), err
}

// FuzzRequestHead: the head of a request without an order is that of net/http.
func FuzzRequestHead(f *testing.F) {
	f.Add("GET", "http://a.example/b?c=d", "", "X-A", " b ", "Accept-Encoding", "gzip", int64(0), false)
	f.Add("POST", "http://[fe80::1%25eth0]:80/", "b.example", "x-lower", "", "User-Agent", "", int64(5), false)
	f.Add("PUT", "http://bücher.example", "", "Connection", "x", "User-Agent", "me", int64(-1), true)
	f.Add("", "http://a.example/%2F/../b", "c:9", "Expect", "100-continue", "Content-Length", "7", int64(0), true)
	f.Add("CONNECT", "http://a.example", "b:1", "A", "b", "C", "d", int64(-1), false)
	f.Add("CONNECT", "a.example:1", "", "A", "b", "C", "d", int64(5), false)
	f.Add("CONNECT", "http://a.example/b", "", "A", "b", "C", "d", int64(0), false)
	f.Fuzz(func(t *testing.T, method, rawURL, host, name1, value1, name2, value2 string, length int64, closes bool) {
		u, err := url.Parse(rawURL)
		if err != nil {
			return
		}
		for _, name := range []string{name1, name2} {
			if owned(name) && name != textproto.CanonicalMIMEHeaderKey(name) {
				return // net/http sends it in addition to its own
			}
		}
		make := func() *http.Request {
			req := &http.Request{Method: method, URL: u, Host: host, Header: http.Header{}, ContentLength: length, Close: closes}
			req.Header[name1] = append(req.Header[name1], value1)
			req.Header[name2] = append(req.Header[name2], value2)
			if length != 0 {
				req.Body = io.NopCloser(strings.NewReader(strings.Repeat("x", int(min(max(length, 1), 5)))))
			}
			return req.WithContext(context.Background())
		}
		got, err := ownHead(make(), nil)
		if err != nil {
			return // net/http checks elsewhere
		}
		var buf bytes.Buffer
		make().Write(&buf)
		want, _, _ := strings.Cut(buf.String(), "\r\n\r\n")
		require.Equal(t, want+"\r\n\r\n", got)
	})
}

// TestRequestHeadOrder: the fields of a request are sent in the order and spelling of the
// caller, with the values that they have at the end.
func TestRequestHeadOrder(t *testing.T) {
	for _, c := range []struct {
		name   string
		order  []string // names and values
		fields http.Header
		want   string
	}{
		{"order and spelling", []string{"z-Last", "1", "A-first", "2", "user-agent", "u", "accept", "3"},
			http.Header{"z-Last": {"1"}, "A-first": {"2"}, "User-Agent": {"u"}, "accept": {"3"}},
			"z-Last: 1\r\nA-first: 2\r\nuser-agent: u\r\naccept: 3\r\n"},
		{"repeated, in between", []string{"A", "1", "B", "2", "A", "3"}, http.Header{"A": {"1", "3"}, "B": {"2"}}, "A: 1\r\nB: 2\r\nA: 3\r\n"},
		{"two spellings", []string{"AUTHORIZATION", "1", "B", "2", "authorization", "3"}, http.Header{"Authorization": {"1", "3"}, "B": {"2"}},
			"AUTHORIZATION: 1\r\nB: 2\r\nauthorization: 3\r\n"},
		{"removed", []string{"A", "1", "B", "2"}, http.Header{"B": {"2"}}, "B: 2\r\n"},
		{"removed and added", []string{"A", "1", "B", "2", "A", "3"}, http.Header{"B": {"2"}, "A": {"4"}}, "A: 4\r\nB: 2\r\n"},
		{"changed", []string{"cookie", "1", "B", "2"}, http.Header{"B": {"2"}, "Cookie": {"1; 2"}}, "cookie: 1; 2\r\nB: 2\r\n"},
		{"others behind, sorted", []string{"Z", "1"}, http.Header{"Z": {"1"}, "Y": {"2"}, "B": {"3", "4"}, "User-Agent": {"u"}},
			"Z: 1\r\nUser-Agent: u\r\nB: 3\r\nB: 4\r\nY: 2\r\n"},
		{"framing is ours", []string{"content-length", "77", "Host", "x", "transfer-encoding", "x", "TRAILER", "x", "A", "1"},
			http.Header{"A": {"1"}, "content-length": {"77"}, "Host": {"x"}, "Transfer-Encoding": {"x"}}, "A: 1\r\n"},
		{"no User-Agent", []string{"User-Agent", ""}, http.Header{"User-Agent": {""}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			req, err := http.NewRequest("GET", "http://a.example/", nil)
			require.NoError(t, err)
			req.Header = c.fields
			if _, ok := req.Header["User-Agent"]; !ok {
				req.Header["User-Agent"] = []string{""}
			}
			order := headers.New(c.order...)
			got, err := ownHead(req, &order)
			require.NoError(t, err)
			assert.Equal(t, "GET / HTTP/1.1\r\nHost: a.example\r\n"+c.want+"\r\n", got)
		})
	}
}

// TestRequestNotSent: a request that could change the meaning of what follows it is refused,
// and nothing of it is sent; the error does not contain a value, which may be secret.
func TestRequestNotSent(t *testing.T) {
	const secret = "s3cret"
	for name, change := range map[string]func(*http.Request){
		"method":              func(r *http.Request) { r.Method = "G ET" },
		"method, line":        func(r *http.Request) { r.Method = "GET / HTTP/1.1\r\nA: b\r\n\r\nGET" },
		"name":                func(r *http.Request) { r.Header["A b"] = []string{secret} },
		"empty name":          func(r *http.Request) { r.Header[""] = []string{secret} },
		"value, line":         func(r *http.Request) { r.Header["A"] = []string{"b\r\nC: " + secret} },
		"value, NUL":          func(r *http.Request) { r.Header["A"] = []string{secret + "\x00"} },
		"trailer name":        func(r *http.Request) { r.Trailer = http.Header{"A b": {"c"}} },
		"trailer value":       func(r *http.Request) { r.Trailer = http.Header{"A": {secret + "\n"}} },
		"trailer for framing": func(r *http.Request) { r.Trailer = http.Header{"Content-Length": {"1"}} },
		"URL":                 func(r *http.Request) { r.URL = &url.URL{Scheme: "http", Host: "a", Opaque: "/b\r\nC: " + secret} },
		"URL, space":          func(r *http.Request) { r.URL = &url.URL{Scheme: "http", Host: "a", Path: "/", RawQuery: "b c"} },
		"no URL":              func(r *http.Request) { r.URL = nil },
		"length, no body":     func(r *http.Request) { r.ContentLength, r.Body = 1, nil },
		"no host":             func(r *http.Request) { r.Host, r.URL = "", &url.URL{Scheme: "http", Path: "/"} },
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequest("POST", "http://a.example/", io.NopCloser(strings.NewReader("x")))
			require.NoError(t, err)
			change(req)
			nc := &scriptedConn{}
			_, err = newH1Conn(&conn{stream: nc}, 4096).roundTrip(req, &Exchange{Observer: &recorder{}})
			fault, phase := faultOf(err)
			assert.Equal(t, Malformed, fault)
			assert.Equal(t, Send, phase)
			assert.NotContains(t, err.Error(), secret)
			assert.Zero(t, nc.wrote.Len())
		})
	}
}

// TestHostOfRequest: the Host field is in ASCII and without a zone; a Host of the request
// takes the place of that of the URL.
func TestHostOfRequest(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		hosts := make(chan string, 1)
		s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
			for {
				req, _, ok := c.Request()
				if !ok {
					return
				}
				hosts <- req.Host
				c.Say("HTTP/1.1 204 X\r\n\r\n")
			}
		})
		b := with(Config{})
		for host, want := range map[string]string{"bücher.example:80": "xn--bcher-kva.example:80", "[fe80::1%eth0]": "[fe80::1]", "other.example": "other.example", "": s.Addr,
			"a.example\r\nX-A: b": "", "a b": ""} {
			req, err := http.NewRequestWithContext(t.Context(), "", s.URL(), nil)
			require.NoError(t, err)
			req.Host = host
			resp, err := b.tr.RoundTrip(req, &Exchange{Observer: &recorder{}, Key: Key{Scheme: "http", Addr: s.Addr}})
			require.NoError(t, err)
			resp.Body.Close()
			assert.Equal(t, want, <-hosts)
		}
	})
}

// TestWroteHeaderField: the hook for fields gets those that net/http's connections tell, in
// their order, and with their values.
func TestWroteHeaderField(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	told := map[string][]string{}
	for engine, newTransport := range engines {
		tr := newTransport(Config{Dialer: &dial.Dialer{}})
		defer tr.Close()
		for _, length := range []int64{0, -1, 4} {
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{WroteHeaderField: func(name string, values []string) {
				told[engine] = append(told[engine], fmt.Sprintf("%s %q", name, values))
			}})
			req, err := http.NewRequestWithContext(ctx, "POST", s.URL, nil)
			require.NoError(t, err)
			req.Header = http.Header{"X-B": {" 1", "2 "}, "X-A": {"x"}, "User-Agent": {"me"}}
			if req.ContentLength = length; length != 0 {
				req.Body = io.NopCloser(strings.NewReader("text"))
				req.Trailer = http.Header{"X-Z": {"z"}, "X-Y": {"y"}}
			}
			req.Close = length < 0
			resp, err := tr.RoundTrip(req, &Exchange{Observer: &recorder{}, Key: Key{Scheme: "http", Addr: req.URL.Host}})
			require.NoError(t, err)
			resp.Body.Close()
		}
	}
	assert.Equal(t, told["net/http"], told["own"])
	assert.Contains(t, told["own"], `Trailer ["X-Y" "X-Z"]`)
}
