package cacherules_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/internal/cacherules"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start is when the requests of the tests are sent; responses arrive at once.
var start = time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)

func date(offset time.Duration) string { return start.Add(offset).Format(http.TimeFormat) }

var at0 = cacherules.Times{Request: start, Response: start}

// list parses lines "Name: value". "{+10s}" is a date, relative to start.
func list(lines ...string) headers.Headers {
	var fields []headers.Field
	for _, line := range lines {
		for {
			before, rest, found := strings.Cut(line, "{")
			offset, after, closed := strings.Cut(rest, "}")
			if !found || !closed {
				break
			}
			d, err := time.ParseDuration(offset)
			if err != nil {
				panic(err)
			}
			line = before + date(d) + after
		}
		name, value, _ := strings.Cut(line, ":")
		fields = append(fields, headers.Field{Name: name, Value: strings.TrimSpace(value)})
	}
	return headers.FromFields(fields)
}

func header(lines ...string) http.Header {
	h := http.Header{}
	for name, value := range list(lines...).All() {
		h.Add(name, value)
	}
	return h
}

func get(lines ...string) *cacherules.Request { return request("GET", lines...) }

func request(method string, lines ...string) *cacherules.Request {
	r := cacherules.NewRequest(method, header(lines...), cacherules.PreferNetwork, "")
	return &r
}

func with(load cacherules.LoadControl, r *cacherules.Request) *cacherules.Request {
	r.Load = load
	return r
}

// respond is the stored response to a request, of 1000 bytes.
func respond(r *cacherules.Request, status int, lines ...string) *cacherules.Stored {
	rec, _ := cacherules.NewRecord(r, status, list(lines...), 1000, at0)
	return cacherules.NewStored(rec)
}

func ok(lines ...string) *cacherules.Stored { return respond(get(), 200, lines...) }

func decide(r *cacherules.Request, s *cacherules.Stored, after time.Duration) cacherules.Decision {
	return cacherules.Decide(r, s, cacherules.NoMiss, start.Add(after))
}
