package flow

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/netreply/netreply/internal/wire"
)

// asksForUpgrade reports whether a request asks the server to switch to another protocol
// (RFC 9110, section 7.8). Only HTTP/1.1 can.
func asksForUpgrade(h http.Header) bool {
	return len(h["Upgrade"]) > 0 && httpguts.HeaderValuesContainsToken(h["Connection"], "upgrade")
}

// checkUpgrade rejects a 101 response that the request did not ask for, or that names a
// protocol that it did not offer.
func (h *Hop) checkUpgrade(sent *http.Request) error {
	reason := ""
	if !asksForUpgrade(sent.Header) {
		reason = "the server has switched protocols (status 101), which the request did not ask for"
	} else if p := notOffered(sent.Header["Upgrade"], h.resp.Header["Upgrade"]); p != "" {
		reason = "the server has switched to the protocol " + strconv.Quote(p) + ", which the request did not offer"
	}
	if reason == "" {
		return nil
	}
	h.resp.Body.Close()
	h.resp = nil
	return &wire.Error{Phase: wire.Headers, Fault: wire.Malformed, Reused: h.exchange.Conn.Reused, Began: true, Err: errors.New(reason)}
}

// notOffered returns the first of the selected protocols that is not among those offered.
func notOffered(offered, selected []string) string {
	for _, line := range selected {
		for protocol := range strings.SplitSeq(line, ",") {
			if protocol = strings.Trim(protocol, " \t"); protocol != "" && !httpguts.HeaderValuesContainsToken(offered, protocol) {
				return protocol
			}
		}
	}
	return ""
}
