package netreply

import "github.com/netreply/netreply/internal/flow"

func (w *watch) Head(resp *flow.Head) {
	h := head{status: uint16(resp.StatusCode), length: resp.ContentLength, http: true, http2: resp.ProtoMajor == 2, noBody: resp.NoBody, final: resp.Final}
	h.setTarget(resp.Target)
	if resp.Decoded {
		h.decode(h.length)
	}
	if h.raw = resp.Raw; h.raw == "" {
		h.mapped = resp.Header
	}
	if o := resp.Cache; o != nil {
		(*Reply)(w).showCache(o, &h, resp.Status)
	}
	(*Reply)(w).showHead(&h)
}

// showCache sets what CacheStatus and SourceIsFromCache tell, and fills in a head from the
// cache, which has no bytes. Of a response that nothing was sent for there is no connection.
func (r *Reply) showCache(o *flow.CacheOutcome, h *head, status string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state != running {
		return
	}
	shown := &r.more().cache
	*shown = *o
	if !o.Sent {
		r.tls, r.addrs = nil, nil
	}
	if !o.Made {
		return
	}
	if h.decoded { // rule Z4
		shown.Fields.Del("Content-Length")
	}
	h.http, h.raw = o.Sent, "HTTP/1.1 200 OK"
	h.setFields(shown.Fields)
	if status != "200 OK" {
		h.raw = "HTTP/1.1 " + status
	}
}

// showHead replaces the response head and emits MetaDataChanged.
func (r *Reply) showHead(h *head) {
	h.seen = true
	r.mu.Lock()
	if r.state != running {
		r.mu.Unlock()
		return
	}
	r.head = *h
	e := r.note(sigMetaData, r.elapsed(), int64(h.status), 0, nil)
	if h.final {
		r.extra.channelSet().closeQuestions()
		r.closeHeadDone()
	}
	r.dispatch(e)
}
