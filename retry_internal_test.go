package netreply

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	const date = "Sat, 21 Nov 2026 12:00:00 GMT" // the server's clock is four hours ahead
	for _, r := range []struct {
		field, date string
		want        time.Duration
	}{
		{"", "", 0},
		{"120", "", 2 * time.Minute},
		{" 120\t", "", 2 * time.Minute},
		{"0", "", 0},
		{"-1", "", 0},
		{"+5", "", 0},
		{"1.5", "", 0},
		{"5 s", "", 0},
		{"soon", "", 0},
		{"86401", "", maxRetryAfter},
		{"99999999999999999999999999999999", "", maxRetryAfter},
		{"Sat, 21 Nov 2026 08:01:00 GMT", "", time.Minute},
		{"Saturday, 21-Nov-26 08:01:00 GMT", "", time.Minute},
		{"Sat Nov 21 08:01:00 2026", "", time.Minute},
		{"Sat, 21 Nov 2026 12:01:00 GMT", date, time.Minute},
		{"Sat, 21 Nov 2026 08:01:00 GMT", date, 0},
		{"Sat, 21 Nov 2026 08:01:00 GMT", "yesterday", time.Minute},
		{"Sat, 21 Nov 2093 08:01:00 GMT", date, maxRetryAfter},
		{"Sat, 21 Nov 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 GMT", maxRetryAfter},
		{"Sat, 41 Nov 2026 08:01:00 GMT", "", 0},
	} {
		h := http.Header{"Retry-After": {r.field}, "Date": {r.date}}
		assert.Equal(t, r.want, retryAfter(h, now), "%q at %q", r.field, r.date)
	}
	assert.Zero(t, retryAfter(nil, now))
}

func TestRetryable(t *testing.T) {
	status := func(code int) *Error { return statusFailure(code, "", "", nil) }
	for _, r := range []struct {
		what         string
		e            *Error
		once, freely bool // a request that is not idempotent, and one that is
	}{
		{"408", status(408), false, true},
		{"425", status(425), false, true},
		{"429", status(429), false, true},
		{"500", status(500), false, true},
		{"502", status(502), false, true},
		{"503", status(503), false, true},
		{"504", status(504), false, true},
		{"400", status(400), false, false},
		{"401", status(401), false, false},
		{"404", status(404), false, false},
		{"407", status(407), false, false},
		{"413", status(413), false, false},
		{"501", status(501), false, false},
		{"505", status(505), false, false},
		{"511", status(511), false, false},
		{"nothing sent", &Error{Code: TimeoutError, Phase: PhaseConnect, Err: errors.New("x")}, true, true},
		{"in the queue", &Error{Code: TimeoutError, Phase: PhaseQueue, Err: errors.New("x")}, true, true},
		{"no head", &Error{Code: TimeoutError, Phase: PhaseHeaders, Err: errors.New("x")}, false, true},
		{"cut", &Error{Code: RemoteHostClosedError, Phase: PhaseBody, StatusCode: 200, Err: errors.New("x")}, false, true},
		{"refused by promise", &Error{Code: RemoteHostClosedError, Phase: PhaseHeaders, Err: errors.New("x"), unprocessed: true}, true, true},
		{"a 429 that cannot be decoded", &Error{Code: UnknownContentError, Phase: PhaseDecode, StatusCode: 429, Err: errors.New("x")}, false, false},
		{"cancelled", &Error{Code: OperationCanceledError, Phase: PhaseConnect, Err: errors.New("x")}, false, false},
	} {
		assert.Equal(t, r.once, retryable(r.e, false), r.what)
		assert.Equal(t, r.freely, retryable(r.e, true), r.what)
	}
	for _, q := range []*Request{{Idempotent: true}, {Headers: NewHeaders("idempotency-key", "1")}} {
		assert.True(t, q.idempotent("POST"))
	}
	assert.False(t, new(Request).idempotent("POST"))
	assert.True(t, new(Request).idempotent("PUT"))
}

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "",
		"Not Found":              "Not Found",
		"Größe 日本 \uFFFD":        "Größe 日本 \uFFFD",
		"a\r\nX: 1":              `a\r\nX: 1`,
		"\x1b[2J\x07":            `\x1b[2J\a`,
		"\u009b31m\x7f":          `\u009b31m\x7f`,
		"abc\u202egpj.exe":       `abc\u202egpj.exe`,
		"\u2066a\u2069\u200f":    `\u2066a\u2069\u200f`,
		"a\u2028b\u2029c":        `a\u2028b\u2029c`,
		"\xff\xc0\x80 ok":        `\xff\xc0\x80 ok`,
		"zero\u200bwidth\ufeff.": `zero\u200bwidth\ufeff.`,
		"\x00":                   `\x00`,
		"\xef\xbf":               `\xef\xbf`,
	} {
		assert.Equal(t, want, printable(text, 100), "%q", text)
	}
	assert.Equal(t, strings.Repeat("ä", 49)+"…", printable(strings.Repeat("ä", 1000), 100))
	assert.LessOrEqual(t, len(printable(strings.Repeat("\x00", 1<<20), 100)), 110)
	assert.Equal(t, strings.Repeat("x", 100), printable(strings.Repeat("x", 100), 100))
}

func FuzzPrintable(f *testing.F) {
	f.Add("a\x1b\u202e\xff")
	f.Fuzz(func(t *testing.T, text string) {
		shown := printable(text, 50)
		assert.LessOrEqual(t, len(shown), 60)
		assert.True(t, isPrintable(shown), "%q", shown)
		assert.Equal(t, shown, printable(shown, 60), "what is printable stays so")
	})
}
