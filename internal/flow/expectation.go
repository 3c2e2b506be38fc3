package flow

import (
	"maps"
	"net/http"
	"strings"
)

// withoutExpectation gives the request to send instead of one whose expectation the server
// does not support (RFC 9110, sections 10.1.1 and 15.5.18); nil when resp is no such
// refusal, or the body cannot be sent again.
func (t *Transfer) withoutExpectation(req *http.Request, resp *http.Response) *http.Request {
	if resp.StatusCode != http.StatusExpectationFailed || !expectsContinue(req.Header) || t.payload != nil && !t.payload.Rewindable {
		return nil
	}
	t.headers.Del("Expect") // the hops behind need not be refused, too
	again, err := t.newRequest(req.Method, req.URL)
	if err != nil {
		return nil
	}
	resp.Body.Close()
	again.Header = maps.Clone(req.Header) // net/http may be writing the other one still
	delete(again.Header, "Expect")
	return again
}

func expectsContinue(h http.Header) bool {
	return strings.EqualFold(strings.TrimSpace(h.Get("Expect")), "100-continue")
}
