package netreply_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// asAsked serves what the fields of a request ask for.
func asAsked(w http.ResponseWriter, r *http.Request) {
	w.Header()["Content-Type"] = r.Header["X-Type"]
	status := http.StatusOK
	fmt.Sscan(r.Header.Get("X-Status"), &status)
	body, _ := io.ReadAll(r.Body)
	w.WriteHeader(status)
	w.Write(body)
}

// answerOf sends what asAsked answers with.
func answerOf(t testing.TB, s *fixture, status int, contentType, body string) *netreply.Reply {
	req := s.request("/")
	if contentType != "" {
		req.Headers.Set("X-Type", contentType)
	}
	req.Headers.Set("X-Status", fmt.Sprint(status))
	return s.m.Post(t.Context(), req, netreply.StringBody(body))
}

type point struct {
	X, Y int
	At   time.Time
	Name string
}

func TestJSON(t *testing.T) {
	eachProtocol(t, asAsked, netreply.Config{}, func(t *testing.T, s *fixture) {
		for _, body := range []string{`{"x":1,"y":2}`, " {\"x\":1,\r\n\"y\":2}\n\t", "\xef\xbb\xbf{\"x\":1,\"y\":2}", `{"x":1,"y":2,"z":{}}`} {
			var p point
			require.NoError(t, answerOf(t, s, 200, "application/json", body).JSON(&p))
			assert.Equal(t, point{X: 1, Y: 2}, p)
		}
		var v any
		require.NoError(t, answerOf(t, s, 200, "", "null").JSON(&v), "whatever the type says")
		require.NoError(t, answerOf(t, s, 201, "text/plain", `[1]`).JSON(&v))
		assert.Equal(t, []any{1.0}, v)
		var raw json.RawMessage
		require.NoError(t, answerOf(t, s, 200, "text/plain", `[1]`).JSON(&raw))
		assert.Equal(t, `[1]`, string(raw))
	})
}

// TestInvalidJSON: the error says what came instead, and where, with little of the body.
func TestInvalidJSON(t *testing.T) {
	eachProtocol(t, asAsked, netreply.Config{}, func(t *testing.T, s *fixture) {
		long := strings.Repeat("7", 1000)
		for _, c := range []struct {
			mediaType, body string
			offset          int64
			want            string
		}{
			{"text/html; charset=utf-8", "<!DOCTYPE html><title>Hotel login</title>", 0,
				"decoding the JSON of a response (200, text/html): invalid character '<' looking for beginning of value at offset 0"},
			{"", "", 0, "(200, no media type): unexpected end of JSON input at offset 0"},
			{"application/json", `{"x":1} {"x":2}`, 8, "after top-level value at offset 8"},
			{"application/json", `{"x":1}]`, 7, "after top-level value at offset 7"},
			{"application/json", "\xef\xbb\xbf{\"x\":1}]", 10, "after top-level value at offset 10"},
			{"application/json", `{"x":1`, 6, "unexpected end of JSON input at offset 6"},
			{"application/json", `{"name":"a`, 10, "unexpected end of JSON input at offset 10"},
			{"application/json", `tru`, 3, "unexpected end of JSON input at offset 3"},
			{"application/json", `trq`, 2, `invalid character 'q' in literal true (expecting 'u') at offset 2`},
			{"application/json", "{\"x\x1b[2J", 3, `'\x1b' in string literal`},
			{"application/json", "[\"\x00", 2, `'\x00' in string literal`},
			{"application/json", `{"x":"` + long + `"}`, -1, "a JSON string cannot be stored in field X of type int"},
			{"application/json", `{"x":` + long + `}`, -1, "a JSON number cannot be stored in field X of type int"},
			{"application/json", `[]`, -1, "a JSON array cannot be stored in type netreply_test.point"},
			{"application/json", `{"at":"` + long + `"}`, -1, "parsing time"},
			{"a\x1b[31m/b", `x`, -1, ""},
		} {
			p := point{X: 9}
			r := answerOf(t, s, 200, c.mediaType, c.body)
			err := r.JSON(&p)
			if c.want == "" { // refused by net/http's server
				require.Error(t, err)
				continue
			}
			require.ErrorIs(t, err, netreply.UnknownContentError, c.body)
			var e *netreply.Error
			require.ErrorAs(t, err, &e)
			assert.Equal(t, netreply.PhaseDecode, e.Phase)
			assert.Equal(t, 200, e.StatusCode)
			assert.Equal(t, s.URL+"/", e.URL)
			assert.False(t, e.Retryable)
			var invalid *netreply.JSONError
			require.ErrorAs(t, err, &invalid)
			assert.Contains(t, invalid.Error(), c.want)
			assert.Contains(t, err.Error(), c.want)
			assert.Less(t, len(err.Error()), 500)
			assert.NotContains(t, err.Error(), long[:200])
			if c.offset >= 0 {
				assert.Equal(t, c.offset, invalid.Offset, "%q", c.body)
			}
			assert.NoError(t, r.Err(), "the reply itself is in order")
		}
	})
}

// TestJSONOfErrors: the body of an error status is decoded, and the status is the error.
func TestJSONOfErrors(t *testing.T) {
	eachProtocol(t, asAsked, netreply.Config{}, func(t *testing.T, s *fixture) {
		var p point
		r := answerOf(t, s, 404, "application/problem+json", `{"x":4}`)
		err := r.JSON(&p)
		require.ErrorIs(t, err, netreply.ContentNotFoundError)
		assert.Equal(t, r.Err(), err)
		assert.Equal(t, 4, p.X)

		p = point{X: 1}
		err = answerOf(t, s, 503, "text/html", "<p>later").JSON(&p)
		require.ErrorIs(t, err, netreply.ServiceUnavailableError)
		var invalid *netreply.JSONError
		assert.False(t, errors.As(err, &invalid))
		assert.Equal(t, point{X: 1}, p)
	})
}

// TestJSONTarget: a target that cannot be decoded into leaves the body unread.
func TestJSONTarget(t *testing.T) {
	eachProtocol(t, asAsked, netreply.Config{}, func(t *testing.T, s *fixture) {
		r := answerOf(t, s, 200, "", "1")
		for _, v := range []any{nil, point{}, (*point)(nil), 3} {
			err := r.JSON(v)
			require.ErrorIs(t, err, netreply.ProtocolInvalidOperationError)
			var target *json.InvalidUnmarshalError
			require.ErrorAs(t, err, &target)
		}
		var n int
		require.NoError(t, r.JSON(&n))
		assert.Equal(t, 1, n)
	})
}

func TestText(t *testing.T) {
	eachProtocol(t, asAsked, netreply.Config{}, func(t *testing.T, s *fixture) {
		for _, c := range []struct{ mediaType, body, want string }{
			{"text/plain", "grün", "grün"},
			{"", "gr\xc3\xbcn", "grün"},
			{"text/plain; charset=", "grün", "grün"},
			{"text/plain; charset=ISO-8859-1", "gr\xfcn", "grün"},
			{`text/plain; format=flowed; charset="windows-1251"`, "\xcf\xf0\xe8\xe2\xe5\xf2", "Привет"},
			{"text/plain; charset=shift_jis", "\x93\xfa\x96{", "日本"},
			{"text/plain; charset=iso-8859-1", "\xef\xbb\xbfgrün", "grün"},
			{"text/plain", "\xff\xfea\x00", "a"},
			{"text/plain", "a\xffb", "a\ufffdb"},
			{"text/plain; charset=latin1; charset", "a", "a"},
			{"application/json", `{"ü":1}`, `{"ü":1}`},
		} {
			got, err := answerOf(t, s, 200, c.mediaType, c.body).Text()
			require.NoError(t, err)
			assert.Equal(t, c.want, got, c.mediaType)
		}
		got, err := answerOf(t, s, 404, "text/plain; charset=iso-8859-1", "nichts f\xfcr Sie").Text()
		require.ErrorIs(t, err, netreply.ContentNotFoundError)
		assert.Equal(t, "nichts für Sie", got)

		got, err = answerOf(t, s, 200, "text/plain; charset=x-rot13", "Uryyb").Text()
		require.ErrorIs(t, err, netreply.UnknownContentError)
		var unknown *netreply.CharsetError
		require.ErrorAs(t, err, &unknown)
		assert.Equal(t, "x-rot13", unknown.Charset)
		assert.Contains(t, err.Error(), `the text has the unknown charset "x-rot13"`)
		assert.Empty(t, got)
		_, err = answerOf(t, s, 404, "text/plain; charset=x-rot13", "Uryyb").Text()
		require.ErrorIs(t, err, netreply.ContentNotFoundError)
	})
}

// TestValueLimits: JSON and Text take at most 64 MiB, or what MaxBodySize says.
func TestValueLimits(t *testing.T) {
	const most = 64 << 20
	size := 0
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte{'"'})
		w.Write(bytes.Repeat([]byte{'a'}, size-2))
		w.Write([]byte{'"'})
	}))
	m := newManager(t, netreply.Config{})
	read := map[string]func(*netreply.Reply) (int, error){
		"JSON": func(r *netreply.Reply) (int, error) {
			var text string
			err := r.JSON(&text)
			return len(text) + 2, err
		},
		"Text": func(r *netreply.Reply) (int, error) {
			text, err := r.Text()
			return len(text), err
		},
	}
	for name, read := range read {
		for _, c := range []struct {
			size  int
			limit int64 // MaxBodySize
			ok    bool
			inMem bool // the whole body has come before it is read
		}{
			{size: most, ok: true}, {size: most + 1}, {size: most + 1, inMem: true}, {size: most + 1, limit: -1, ok: true},
			{size: 1000, limit: 1000, ok: true}, {size: 1001, limit: 1000},
		} {
			if raceEnabled && c.size >= most {
				continue // takes long
			}
			size = c.size
			req := newRequest(t, s.URL)
			req.MaxBodySize = c.limit
			if !c.inMem {
				req.ReadBufferSize = 1 << 20
			}
			r := m.Get(t.Context(), req)
			if c.inMem {
				require.NoError(t, r.Wait(deadline(t)))
			}
			n, err := read(r)
			if c.ok {
				require.NoError(t, err, "%s %+v", name, c)
				assert.Equal(t, c.size, n)
				continue
			}
			require.ErrorIs(t, err, netreply.UnknownContentError, "%s %+v", name, c)
			var limit *netreply.SizeLimitError
			require.ErrorAs(t, err, &limit)
			assert.Equal(t, "MaxBodySize", limit.Limit)
			if c.limit == 0 {
				assert.EqualValues(t, most, limit.Max)
			}
			r.Close()
		}
	}
}

// TestValuesOfFailures: what JSON and Text make of a reply that fails or cannot be waited for.
func TestValuesOfFailures(t *testing.T) {
	hold := make(chan struct{})
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, `"text`)
		w.(http.Flusher).Flush()
		switch r.URL.Path {
		case "/read":
			<-hold
		case "/held":
			<-r.Context().Done()
		}
		panic(http.ErrAbortHandler)
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		var inside []error
		var text string
		told := make(chan struct{})
		req := s.request("/read")
		req.OnSignal = func(r *netreply.Reply, e netreply.Event) {
			if _, ok := e.(netreply.ReadyRead); ok && inside == nil {
				var v any
				var err error
				inside = append(inside, r.JSON(&v))
				text, err = r.Text()
				inside = append(inside, err)
				close(told)
				hold <- struct{}{}
			}
		}
		v := "unchanged"
		r := s.m.Get(t.Context(), req)
		<-told // JSON would take what Text is to get there
		err := r.JSON(&v)
		require.Error(t, err)
		assert.Equal(t, r.Err(), err)
		assert.Equal(t, "unchanged", v)
		require.Len(t, inside, 2)
		assert.ErrorIs(t, inside[0], netreply.ErrInsideOnSignal)
		assert.ErrorIs(t, inside[1], netreply.ErrInsideOnSignal)
		assert.Equal(t, `"text`, text)

		r = s.m.Get(t.Context(), s.request("/"))
		text, err = r.Text()
		require.Error(t, err)
		assert.Equal(t, r.Err(), err)
		assert.Equal(t, `"text`, text, "what came")

		r = s.m.Get(t.Context(), s.request("/held"))
		r.Abort()
		require.ErrorIs(t, r.JSON(&v), netreply.OperationCanceledError)
		_, err = r.Text()
		require.ErrorIs(t, err, netreply.OperationCanceledError)
	})
}
