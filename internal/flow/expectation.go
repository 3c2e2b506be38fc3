package flow

import (
	"maps"
	"net/http"
	"strings"
)

// withoutExpectation returns the request to send after a 417 response to "Expect:
// 100-continue" (RFC 9110, sections 10.1.1 and 15.5.18), without that field. It returns nil
// for other responses, and if the body cannot be sent again.
func (t *Transfer) withoutExpectation(req *http.Request, resp *http.Response) *http.Request {
	if resp.StatusCode != http.StatusExpectationFailed || t.Verbatim || !expectsContinue(req.Header) || t.Payload != nil && !t.Payload.Rewindable {
		return nil
	}
	t.Headers.Del("Expect") // for the following hops, too
	again, err := t.newRequest(req.Method, req.URL)
	if err != nil {
		return nil
	}
	resp.Body.Close()
	again.Header = maps.Clone(req.Header) // a copy: net/http may still be reading the other one
	delete(again.Header, "Expect")
	return again
}

func expectsContinue(h http.Header) bool {
	return strings.EqualFold(strings.TrimSpace(h.Get("Expect")), "100-continue")
}
