package netreply

import (
	"math"
	"net/http"

	"github.com/netreply/netreply/internal/coding"
)

// defaultSafetyThreshold is Qt's (rule A43).
const defaultSafetyThreshold = 10 << 20

// acceptEncoding is shared by all requests that ask for codings.
var acceptEncoding = []string{coding.Accept}

// asksForCodings tells whether a request leaves the content codings to us: who sets
// Accept-Encoding wants the body as it comes (rule Z2), and a range of an encoded
// body cannot be decoded.
func asksForCodings(h Headers) bool {
	return h.Get("Accept-Encoding") == "" && !h.Has("Range")
}

// decompress takes the codings off the final response, outside of all layers: they
// see bodies as they were sent.
func (t *transfer) decompress(resp *http.Response) error {
	codings, err := t.codings(resp)
	if err != nil || len(codings) == 0 || resp.Body == http.NoBody || resp.StatusCode == http.StatusSwitchingProtocols {
		return err
	}
	limits := coding.Limits{
		Threshold: t.q.DecompressedSafetyCheckThreshold,
		Max:       t.m.cfg.MaxDecodedSize,
		Header:    int(min(t.m.cfg.MaxHeaderBytes, math.MaxInt32)),
		Memory:    t.m.decoders,
	}
	if limits.Threshold == 0 {
		limits.Threshold = defaultSafetyThreshold
	}
	decoder := coding.NewReader(resp.Body, codings, limits, coding.Hooks{Read: t.clock.Touch, Wait: t.waitsForMemory, Done: t.ctx.Done()})
	t.w.Decoding(decoder)
	resp.Body, resp.ContentLength = decoder, -1
	return nil
}

// waitsForMemory holds the clock of the peer while others keep the reply waiting.
func (t *transfer) waitsForMemory(waiting bool) {
	if waiting {
		t.clock.Pause()
	} else {
		t.clock.Resume()
	}
}

// codings are what is to be taken off a response.
func (t *transfer) codings(resp *http.Response) ([]string, error) {
	values := resp.Header["Content-Encoding"]
	if !t.decode || len(values) == 0 {
		return nil, nil
	}
	return coding.Parse(values)
}

// WireBytes is how many bytes of the response body have come over the network. It
// is less than what DownloadProgress counts when the body is encoded.
func (r *Reply) WireBytes() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.decoder != nil {
		return r.decoder.WireBytes()
	}
	return r.pipe.Received()
}
