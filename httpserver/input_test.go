package httpserver_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpserver"
)

// overBoth runs a test with a client of HTTP/1.1 and one of HTTP/2.
func overBoth(t *testing.T, f func(*testing.T, *http.Client)) {
	for _, http2 := range []bool{false, true} {
		t.Run(map[bool]string{false: "h1", true: "h2"}[http2], func(t *testing.T) {
			tr := &http.Transport{Protocols: new(http.Protocols), DisableCompression: true}
			tr.Protocols.SetHTTP1(!http2)
			tr.Protocols.SetUnencryptedHTTP2(http2)
			t.Cleanup(tr.CloseIdleConnections)
			f(t, &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }})
		})
	}
}

// ask sends a request and returns the status, the head and the body of its answer.
func ask(t testing.TB, c *http.Client, method, url, contentType string, body io.Reader) (int, http.Header, string) {
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	require.NoError(t, err)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := c.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, resp.Header, string(got)
}

// animal is what JSON input is read into.
type animal struct {
	Name string    `json:"name"`
	Legs uint8     `json:"legs"`
	Born time.Time `json:"born"`
	Home struct {
		Rooms []int `json:"rooms"`
	} `json:"home"`
}

// TestDecodeJSON: what is wrong with a body has a kind, a place and a status.
func TestDecodeJSON(t *testing.T) {
	const limit = 200
	cases := map[string]struct {
		body, contentType string
		options           []httpserver.DecodeOption
		want              error // nil when it is right
		field             string
		offset            int64
		status            int
	}{
		"right":                    {body: `{"name":"cat","legs":4}`},
		"right, blanks around":     {body: " \r\n\t{\"name\":\"cat\"}\n "},
		"right, charset":           {body: `{}`, contentType: "application/json; charset=UTF-8"},
		"right, +json":             {body: `{}`, contentType: "application/vnd.zoo+json"},
		"right, unknown field":     {body: `{"wings":2}`},
		"right, exactly the limit": {body: `{"name":"` + strings.Repeat("x", limit-11) + `"}`},
		"right, any type":          {body: `{}`, contentType: "text/plain", options: []httpserver.DecodeOption{httpserver.AnyContentType}},

		"too large":               {body: `{"name":"` + strings.Repeat("x", limit-10) + `"}`, want: httpserver.ErrTooLarge, offset: limit, status: 413},
		"empty":                   {body: "", want: httpserver.ErrEmpty, status: 400},
		"blank":                   {body: " \n", want: httpserver.ErrEmpty, status: 400},
		"syntax":                  {body: `{"name":"cat",}`, want: httpserver.ErrSyntax, offset: 14, status: 400},
		"syntax behind blanks":    {body: "\n\n{x}", want: httpserver.ErrSyntax, offset: 3, status: 400},
		"cut value":               {body: `{"name":"ca`, want: httpserver.ErrSyntax, offset: 11, status: 400},
		"too deep":                {body: strings.Repeat("[", 200), want: httpserver.ErrSyntax, offset: 200, status: 400},
		"trailing value":          {body: `{} {}`, want: httpserver.ErrTrailingData, offset: 3, status: 400},
		"trailing bracket":        {body: `{}}`, want: httpserver.ErrTrailingData, offset: 2, status: 400},
		"trailing NUL":            {body: "{}\x00", want: httpserver.ErrTrailingData, offset: 2, status: 400},
		"wrong type":              {body: `{"legs":"four"}`, want: httpserver.ErrWrongType, field: "/legs", offset: 8, status: 422},
		"wrong type, deep":        {body: `{"home":{"rooms":[1,true]}}`, want: httpserver.ErrWrongType, field: "/home/rooms/1", offset: 20, status: 422},
		"wrong type at all":       {body: `[]`, want: httpserver.ErrWrongType, status: 422},
		"out of range":            {body: `{"legs":256}`, want: httpserver.ErrWrongType, field: "/legs", offset: 8, status: 422},
		"no time":                 {body: `{"born":"yesterday"}`, want: httpserver.ErrWrongType, field: "/born", offset: 8, status: 422},
		"unknown field":           {body: `{"wi\"ngs":2}`, options: []httpserver.DecodeOption{httpserver.KnownFieldsOnly}, want: httpserver.ErrUnknownField, field: `/wi"ngs`, offset: 1, status: 422},
		"of a form":               {body: `{}`, contentType: "text/plain", want: httpserver.ErrMediaType, status: 415},
		"no type":                 {body: `{}`, contentType: "-", want: httpserver.ErrMediaType, status: 415},
		"another charset":         {body: `{}`, contentType: "application/json; charset=utf-16", want: httpserver.ErrMediaType, status: 415},
		"not even a content type": {body: `{}`, contentType: "application/json; charset", want: httpserver.ErrMediaType, status: 415},
	}
	for name, c := range cases {
		var got error
		addr := serve(t, httpserver.HandlerFunc(func(r *http.Request, w *httpserver.Responder) {
			var v animal
			if got = httpserver.DecodeJSON(r, &v, limit, c.options...); got != nil {
				assert.NoError(t, w.WriteProblem(httpserver.ProblemOf(got)))
				return
			}
			w.WriteStatus()
		}))
		kind := c.contentType
		switch kind {
		case "":
			kind = "application/json"
		case "-":
			kind = ""
		}
		check := func(t *testing.T, status int) {
			if c.want == nil {
				assert.NoError(t, got, name)
				assert.Equal(t, 200, status, name)
				return
			}
			var input *httpserver.InputError
			require.ErrorAs(t, got, &input, name)
			assert.ErrorIs(t, got, c.want, name)
			assert.Equal(t, c.field, input.Field, name)
			assert.Equal(t, c.offset, input.Offset, name)
			assert.Equal(t, c.status, status, name)
			assert.Equal(t, c.status, int(input.Status()), name)
		}
		overBoth(t, func(t *testing.T, client *http.Client) {
			for what, body := range map[string]io.Reader{"sized": strings.NewReader(c.body), "in pieces": iotest.OneByteReader(strings.NewReader(c.body))} {
				status, h, text := ask(t, client, "POST", "http://"+addr, kind, body)
				check(t, status)
				if c.want != nil {
					assert.Equal(t, "application/problem+json", h.Get("Content-Type"), "%s, %s", name, what)
					var p map[string]any
					require.NoError(t, json.Unmarshal([]byte(text), &p))
					assert.EqualValues(t, c.status, p["status"])
					assert.NotContains(t, text, "Go ", "nothing of the program is shown")
				}
			}
		})
		answer := raw(t, addr, fmt.Sprintf("POST / HTTP/1.0\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", kind, len(c.body), c.body))
		var status int
		_, err := fmt.Sscanf(answer, "HTTP/1.0 %d ", &status)
		require.NoError(t, err)
		check(t, status)
	}
}

// TestDecodeJSONCoded: a body that would have to be unpacked is not taken for JSON.
func TestDecodeJSONCoded(t *testing.T) {
	r := httptest.NewRequest("POST", "/", strings.NewReader("{}"))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Content-Encoding", "gzip")
	assert.ErrorIs(t, httpserver.DecodeJSON(r, new(animal), 0), httpserver.ErrMediaType)
	assert.ErrorIs(t, httpserver.DecodeJSON(httptest.NewRequest("POST", "/", nil), new(animal), 0), httpserver.ErrEmpty, "nothing has no type")
}

// TestDecodeJSONLimits: 0 is a limit, below 0 is none, and a Server's own holds besides.
func TestDecodeJSONLimits(t *testing.T) {
	body := func(n int) *http.Request {
		r := httptest.NewRequest("POST", "/", struct{ io.Reader }{strings.NewReader(`"` + strings.Repeat("x", n-2) + `"`)})
		r.Header.Set("Content-Type", "application/json")
		return r
	}
	var s string
	assert.NoError(t, httpserver.DecodeJSON(body(1<<20), &s, 0))
	assert.ErrorIs(t, httpserver.DecodeJSON(body(1<<20+1), &s, 0), httpserver.ErrTooLarge)
	assert.NoError(t, httpserver.DecodeJSON(body(1<<21), &s, -1))

	srv, err := httpserver.NewServer(httpserver.Config{MaxBodySize: 10})
	require.NoError(t, err)
	var got error
	srv.Handle("/", func(r *http.Request, w *httpserver.Responder) {
		got = httpserver.DecodeJSON(r, &s, 100)
		w.WriteProblem(httpserver.ProblemOf(got))
	})
	w := httptest.NewRecorder()
	r := body(50)
	r.ContentLength = -1
	srv.ServeHTTP(w, r)
	assert.ErrorIs(t, got, httpserver.ErrTooLarge)
	assert.Equal(t, 413, w.Code)
}

// TestDecodeJSONMistakes: what nothing can be read into is the program's fault.
func TestDecodeJSONMistakes(t *testing.T) {
	for name, v := range map[string]any{"nil": nil, "not a pointer": animal{}} {
		r := httptest.NewRequest("POST", "/", strings.NewReader("{}"))
		r.Header.Set("Content-Type", "application/json")
		err := httpserver.DecodeJSON(r, v, 0)
		var input *httpserver.InputError
		assert.Error(t, err, name)
		assert.NotErrorAs(t, err, &input, name)
		assert.Equal(t, httpserver.InternalServerError, httpserver.ProblemOf(err).Status, name)
	}
}

// TestDecodeJSONCut: a body that breaks off is incomplete, even where what came is a value.
func TestDecodeJSONCut(t *testing.T) {
	got := make(chan error, 1)
	addr := serve(t, httpserver.HandlerFunc(func(r *http.Request, w *httpserver.Responder) {
		var v any
		got <- httpserver.DecodeJSON(r, &v, 0)
		w.WriteStatus()
	}))
	for _, proto := range []string{"HTTP/1.0", "HTTP/1.1"} {
		c, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		_, err = io.WriteString(c, "POST / "+proto+"\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{}")
		require.NoError(t, err)
		require.NoError(t, c.Close())
		err = <-got
		assert.ErrorIs(t, err, httpserver.ErrIncomplete, proto)
		assert.ErrorIs(t, err, io.ErrUnexpectedEOF, proto)
	}
}

// TestWriteJSON: no escapes for HTML, and several lines for those who want them.
func TestWriteJSON(t *testing.T) {
	v := map[string]any{"a": "<b>&\u2028", "c": []int{1}}
	for name, c := range map[string]struct {
		v    any
		want string
	}{
		"plain":    {v, `{"a":"<b>&\u2028","c":[1]}`},
		"indented": {httpserver.Indented(v), "{\n  \"a\": \"<b>&\\u2028\",\n  \"c\": [\n    1\n  ]\n}"},
	} {
		p, err := httpserver.JSONResponse(c.v)
		require.NoError(t, err)
		assert.Equal(t, c.want, string(p.Body), name)
		w := httptest.NewRecorder()
		httpserver.HandlerFunc(func(_ *http.Request, s *httpserver.Responder) { assert.NoError(t, s.WriteJSON(c.v)) }).
			ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		assert.Equal(t, c.want, w.Body.String(), name)
	}
	inner, err := json.Marshal([]any{httpserver.Indented(1)})
	require.NoError(t, err)
	assert.Equal(t, "[1]", string(inner))
}

// TestProblem: members, defaults, extensions, and what cannot be sent.
func TestProblem(t *testing.T) {
	for _, c := range []struct {
		p    httpserver.Problem
		want string
	}{
		{httpserver.Problem{}, `{"status":500,"title":"Internal Server Error"}`},
		{httpserver.Problem{Status: httpserver.NotFound, Detail: "<x>"}, `{"detail":"<x>","status":404,"title":"Not Found"}`},
		{httpserver.Problem{Type: "https://example.com/no-credit", Status: httpserver.Forbidden}, `{"status":403,"type":"https://example.com/no-credit"}`},
		{
			httpserver.Problem{
				Type: "/p", Title: "No credit", Status: 403, Detail: "30 are wanted", Instance: "/account/1",
				Extensions: map[string]any{"balance": 20},
			},
			`{"balance":20,"detail":"30 are wanted","instance":"/account/1","status":403,"title":"No credit","type":"/p"}`,
		},
	} {
		addr := serve(t, httpserver.HandlerFunc(func(_ *http.Request, w *httpserver.Responder) { assert.NoError(t, w.WriteProblem(c.p)) }))
		overBoth(t, func(t *testing.T, client *http.Client) {
			status, h, body := ask(t, client, "GET", "http://"+addr, "", nil)
			assert.Equal(t, c.want, body)
			assert.Equal(t, "application/problem+json", h.Get("Content-Type"))
			if c.p.Status != 0 {
				assert.Equal(t, int(c.p.Status), status)
			}
		})
	}
	for name, extensions := range map[string]map[string]any{"a member's name": {"status": 1}, "not JSON": {"f": func() {}}} {
		w := httptest.NewRecorder()
		httpserver.HandlerFunc(func(_ *http.Request, s *httpserver.Responder) {
			assert.Error(t, s.WriteProblem(httpserver.Problem{Extensions: extensions}), name)
			assert.False(t, s.Responded(), name)
		}).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	}
}

// TestProblemOf: what a client is told of an error.
func TestProblemOf(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want httpserver.Problem
	}{
		"input": {
			fmt.Errorf("reading: %w", &httpserver.InputError{Kind: httpserver.ErrWrongType, Field: "a.b", Offset: 7, Err: errors.New("secret")}),
			httpserver.Problem{
				Status: 422, Detail: `a value has the wrong type, field "a.b", at byte 7`,
				Extensions: map[string]any{"field": "a.b", "offset": int64(7)},
			},
		},
		"slow":        {&httpserver.InputError{Kind: httpserver.ErrIncomplete, Err: os.ErrDeadlineExceeded}, httpserver.Problem{Status: 408, Detail: "the body is incomplete"}},
		"offset":      {&httpserver.InputError{Kind: httpserver.ErrSyntax, Offset: 1}, httpserver.Problem{Status: 400, Detail: "the body has a syntax error, at byte 1", Extensions: map[string]any{"offset": int64(1)}}},
		"zero":        {&httpserver.InputError{}, httpserver.Problem{Status: 400, Detail: "the body has a syntax error"}},
		"limit":       {&http.MaxBytesError{}, httpserver.Problem{Status: 413}},
		"no file":     {&fs.PathError{Err: fs.ErrNotExist}, httpserver.Problem{Status: 404}},
		"not allowed": {&fs.PathError{Err: fs.ErrPermission}, httpserver.Problem{Status: 403}},
		"is there":    {&fs.PathError{Err: fs.ErrExist}, httpserver.Problem{Status: 409}},
		"others":      {errors.New("secret"), httpserver.Problem{Status: 500}},
		"database":    {os.ErrDeadlineExceeded, httpserver.Problem{Status: 500}},
	} {
		assert.Equal(t, c.want, httpserver.ProblemOf(c.err), name)
	}
	long := (&httpserver.InputError{Kind: httpserver.ErrUnknownField, Field: strings.Repeat("ä\n", 1000)}).Error()
	assert.Less(t, len(long), 400)
	assert.NotContains(t, long, "\n")
	assert.False(t, bytes.Contains([]byte(long), []byte{0xff}))
}
