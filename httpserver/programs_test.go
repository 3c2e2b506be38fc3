package httpserver_test

import (
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/httpserver"
)

// programs are clients of others. Each prints a body, and tells by its end, or by words,
// that it is not whole.
var programs = map[string]struct {
	command []string
	prints  bool   // the body
	says    string // of one that is not whole, where its exit code does not tell
}{
	"curl, HTTP/1.0": {[]string{"curl", "-sS", "--max-time", "20", "--http1.0"}, true, ""},
	"curl, HTTP/1.1": {[]string{"curl", "-sS", "--max-time", "20", "--http1.1"}, true, ""},
	"curl, HTTP/2":   {[]string{"curl", "-sS", "--max-time", "20", "--http2-prior-knowledge"}, true, ""},
	"wget":           {[]string{"wget", "-q", "--tries=1", "--timeout=20", "-O", "-"}, true, ""},
	"ab, HTTP/1.0":   {[]string{"ab", "-q", "-n", "1", "-s", "20"}, false, ""},
	"nghttp":         {[]string{"nghttp", "-t", "20"}, true, "Some requests were not processed"},
}

// TestPrograms: other clients get what is whole, and notice what is not.
func TestPrograms(t *testing.T) {
	whole := map[string]struct {
		do   func(*httpserver.Responder) error
		body string
	}{
		"large": {func(s *httpserver.Responder) error {
			return s.WriteReader(strings.NewReader(strings.Repeat("x", large)), "a/b")
		}, strings.Repeat("x", large)},
		"content": {func(s *httpserver.Responder) error {
			return s.WriteContent("f", time.Time{}, strings.NewReader("content"), headers.Headers{})
		}, "content"},
	}
	for name, c := range streamed {
		whole[name] = c
	}
	for name, p := range programs {
		path, err := exec.LookPath(p.command[0])
		if err != nil {
			t.Logf("not on this machine: %s", p.command[0])
			continue
		}
		run := func(do func(*httpserver.Responder) error) (string, string, error) {
			addr := serve(t, httpserver.HandlerFunc(func(_ *http.Request, s *httpserver.Responder) { do(s) }))
			var out, errs strings.Builder
			cmd := exec.Command(path, append(p.command[1:len(p.command):len(p.command)], "http://"+addr+"/")...)
			cmd.Stdout, cmd.Stderr = &out, &errs
			err := cmd.Run()
			return out.String(), errs.String(), err
		}
		for what, c := range whole {
			out, errs, err := run(c.do)
			assert.NoError(t, err, "%s, %s: %s", name, what, errs)
			if p.prints {
				assert.True(t, c.body == out, "%s, %s: %d bytes, not %d", name, what, len(out), len(c.body))
			}
		}
		for what, c := range brokenOff {
			out, errs, err := run(c.do)
			if p.says != "" {
				assert.Contains(t, out+errs, p.says, "%s, %s", name, what)
			} else {
				assert.Error(t, err, "%s, %s", name, what)
			}
		}
	}
}
