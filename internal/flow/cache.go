package flow

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/httpcache"
	"github.com/netreply/netreply/internal/cacherules"
	"github.com/netreply/netreply/internal/httpauth"
	"github.com/netreply/netreply/internal/httpurl"
)

// The cache step answers requests from the store, validates what is stored, and stores
// responses (RFC 9111). Package cacherules decides; this step executes. Here it looks up and
// chooses; what it does with a response of the network is in cachereceive.go and cachepart.go.
//
// It is below cookies and login because the fields that they add may select a response, and
// because what is stored belongs to who asked (D24); below decode because bodies are stored as
// sent (D26).

// cached is what the cache step knows about the request of a hop.
type cached struct {
	key         string
	similar     string // key of entries if it is not key
	request     cacherules.Request
	entries     []entry // variants of the key
	space       [1]entry
	selected    *entry // nil for none
	lookedAgain bool
	decision    cacherules.Decision
	sent        time.Time
	fill        *fill  // of this request, nil if its response is not to be stored
	began       uint64 // cache.now when a request was sent that is neither GET nor HEAD

	// answered: the response is from the store. network are then the fields of the response
	// that was received instead, nil if the request was not sent.
	answered bool
	network  http.Header
	fields   headers.Headers // of a response from the store
	status   cacherules.Status

	shares   bool // the response body is a part
	combined bool // answered, but the server has sent some of the body
	made     bool // answered, but of nothing that is stored

	local int64 // CacheOutcome.Local

	own context.Context // of the transfer's requests, while that of fill takes its place

	outcome CacheOutcome // of the last head
}

// entry is a stored response.
type entry struct {
	stored *cacherules.Stored
	source httpcache.Entry
}

// beforeCache does nothing without a cache, as for nearly every Manager.
func beforeCache(h *Hop) error {
	if h.t.fetchesRest || h.e.cache == nil && h.t.Load == cacherules.PreferNetwork {
		return nil
	}
	h.cached.untie()
	h.cached = nil
	err := h.lookUp()
	if err == nil && h.resp == nil {
		h.detach()
	}
	return err
}

func afterCache(h *Hop) (again bool) {
	if h.cached == nil {
		return false
	}
	if h.cached.own != nil {
		h.t.wctx = h.cached.own
	}
	return h.processForCache()
}

// detach gives the request that is to be sent a context which may last longer than the
// transfer: others may need its response, which may be stored.
//
//go:noinline
func (h *Hop) detach() {
	t, c := h.t, h.cached
	if c == nil || c.fill == nil {
		return
	}
	c.own, t.wctx = t.wctx, &c.fill.ctx
	*h.req = *h.req.WithContext(t.wctx)
}

// untie ends what the end of the transfer would end, when the response is not used any more.
func (c *cached) untie() {
	if c != nil && c.fill != nil {
		c.fill.untie()
	}
}

// lookUp answers a request from the store if that is possible.
func (h *Hop) lookUp() error {
	t, method := h.t, h.req.Method
	reads := method == http.MethodGet || method == http.MethodHead
	if t.Load == cacherules.AlwaysNetwork && reads {
		h.bypassCaches()
	}
	key, trust := "", ""
	if h.e.cache != nil && !httpurl.IsLocal(h.req.URL.Scheme) && (!reads || h.owner == nil && t.Payload == nil && !asksForUpgrade(h.req.Header)) {
		var ok bool
		if trust, ok = h.trust(); ok || !reads {
			key = cacherules.Key(h.req.URL, h.req.Host, t.Partition)
		}
	}
	switch {
	case h.e.cache != nil && key != "":
	case t.Load == cacherules.AlwaysCache && reads: // rule M5
		return h.notCached(cacherules.NoCache)
	default:
		return nil
	}
	h.beginCached(key, trust)
	if !reads {
		c := h.cached
		c.sent, c.began = time.Now(), h.e.cache.invalidations()
		c.status.Forward = cacherules.ForwardMethod
		return nil
	}
	h.readEntries()
	return h.decide()
}

// beginCached is a function of its own to keep the stack below lookUp small.
//
//go:noinline
func (h *Hop) beginCached(key, trust string) {
	c := &cached{key: key}
	c.request = cacherules.NewRequest(h.req.Method, h.req.Header, h.t.Load, h.user())
	c.request.Trust = trust
	h.cached = c
}

// readEntries looks up the entries of the key.
func (h *Hop) readEntries() {
	c := h.cached
	c.similar = ""
	if c.entries = h.e.cache.lookup(h.t, c.key, c.space[:0]); len(c.entries) == 0 && h.e.cache.searching.Load() {
		h.readSimilar()
	}
}

// decide carries out the decision about a GET or HEAD request.
func (h *Hop) decide() error {
	c := h.cached
	for waits := true; ; {
		if err := h.choose(); err != nil || c.answered {
			return err
		}
		if !waits {
			break
		}
		f := h.board()
		if f == nil {
			if c.fill == nil || !c.fill.reserve(h.t) {
				break
			}
			// another process has fetched it
			h.readEntries()
			if err := h.choose(); err != nil || c.answered {
				c.fill.land(ashore)
				c.fill = nil
				return err
			}
			break
		}
		landed, err := f.await(h.t.ctx, h.t.Clock, h.e.cfg.Wire)
		if err != nil {
			return err
		}
		if landed == sharing && h.share(f) {
			return nil
		}
		waits = landed == aborted
		h.readEntries()
	}
	switch c.decision.Action {
	case cacherules.Validate, cacherules.Complete:
		h.addConditions(c.decision.Conditions)
	case cacherules.Fetch, cacherules.Use, cacherules.GatewayTimeout:
	}
	c.sent = time.Now()
	h.beginFill()
	return nil
}

// choose decides about a GET or HEAD request, and answers it if it is not to be sent.
func (h *Hop) choose() error {
	c, now := h.cached, time.Now()
	for {
		c.decide(now)
		switch c.decision.Action {
		case cacherules.Use:
			if h.t.refreshes {
				return h.mustRefresh()
			}
			if h.answer(c.decision.Answer, false, now) {
				c.status.Hit = true
				if c.decision.Stale {
					c.status.Detail = string(c.decision.Detail)
				} else {
					c.status.Detail = guessed(c.selected.stored)
				}
				if c.decision.Refresh {
					h.refresh()
				}
				return nil
			}
			h.withoutBody()
			continue
		case cacherules.GatewayTimeout:
			if h.t.Load == cacherules.AlwaysCache {
				return h.notCached(c.decision.Detail)
			}
			h.resp = h.madeResponse(http.StatusGatewayTimeout, headers.Headers{}, 0)
			c.answered, c.made = true, true
			c.status.Detail = "only-if-cached:" + string(c.decision.Detail)
		case cacherules.Fetch:
			if c.decision.Forward == cacherules.ForwardVaryMiss && !h.t.NoSaveCache {
				h.offer()
			}
		case cacherules.Validate, cacherules.Complete:
		}
		return nil
	}
}

// decide makes the decision. It is not inlined, to keep the stack below choose small.
//
//go:noinline
func (c *cached) decide(now time.Time) {
	var miss cacherules.Miss
	c.selected, miss = c.selectEntry()
	c.decision = cacherules.Decide(&c.request, c.selected.response(), miss, now)
	c.status = cacherules.Status{Forward: c.decision.Forward}
}

// offer makes the request one that can be answered by a stored response to another one.
func (h *Hop) offer() {
	c := h.cached
	if tags := cacherules.Offer(&c.request, c.stored(nil)); tags != "" {
		c.decision.Action, c.decision.Conditions.IfNoneMatch = cacherules.Validate, tags
	}
}

// mustRefresh replaces the decision to use a stale response by one to validate it.
func (h *Hop) mustRefresh() error {
	d := &h.cached.decision
	switch {
	case !d.Refresh: // it has been validated meanwhile
		return h.notCached("")
	case d.Conditions == (cacherules.Conditions{}):
		d.Action = cacherules.Fetch
	default:
		d.Action = cacherules.Validate
	}
	return nil
}

// guessed is the detail of a response that is used, or stored, while it is fresh.
func guessed(s *cacherules.Stored) string {
	if s.Heuristic() {
		return string(cacherules.Heuristic)
	}
	return ""
}

// notCached is the error under AlwaysCache, where nothing answers because of why.
func (h *Hop) notCached(why cacherules.Detail) error {
	h.t.watcher.Uncached("always-cache:" + string(why))
	text := "nothing is stored that answers the request"
	switch why {
	case cacherules.Detail(cacherules.ForwardURIMiss):
		text = "nothing is stored for the URL"
	case cacherules.Detail(cacherules.ForwardVaryMiss):
		text = "what is stored is for requests with other header fields"
	case cacherules.Detail(cacherules.ForwardRequest):
		text = "the request's header fields exclude what is stored"
	case cacherules.Detail(cacherules.ForwardPartial):
		text = "only a part of the body is stored"
	case cacherules.MustValidate:
		text = "what is stored must be validated first"
	case cacherules.HeadAsked:
		text = "AlwaysCache does not answer HEAD"
	case cacherules.NoCache:
		text = "the cache has no part in the request"
		if h.e.cache == nil {
			text = "the Manager has no cache"
		}
	}
	return &Error{Kind: NotCached, Host: httpurl.Redacted(h.t.url), Err: errors.New(text)}
}

// bypassCaches asks the caches on the way for a new response (rule M1).
func (h *Hop) bypassCaches() {
	for name := range h.req.Header {
		if strings.EqualFold(name, "Cache-Control") {
			return
		}
	}
	h.req.Header["Cache-Control"] = []string{"no-cache"}
	h.req.Header["Pragma"] = []string{"no-cache"}
}

// addConditions adds fields to the request. c.request keeps the fields without them.
func (h *Hop) addConditions(c cacherules.Conditions) {
	fields := maps.Clone(h.req.Header)
	for name, value := range map[string]string{"If-None-Match": c.IfNoneMatch, "If-Modified-Since": c.IfModifiedSince, "If-Range": c.IfRange, "Range": c.Range} {
		if value != "" {
			fields[name] = []string{value}
		}
	}
	h.req.Header = fields
}

// user is cacherules.Request.User: what stays the same in all Digest credentials of one user.
// The password belongs to it: nobody has checked it when a stored response answers.
func (h *Hop) user() string {
	values := h.req.Header["Authorization"]
	if h.login == nil || len(values) != 1 || len(values[0]) < 7 || !strings.EqualFold(values[0][:7], "Digest ") {
		return ""
	}
	all, known := httpauth.Parse(values), h.login.Sent()
	if len(all) != 1 || known == nil {
		return ""
	}
	p := all[0].Params
	return strings.Join([]string{"Digest", strconv.Quote(p["realm"]), strconv.Quote(known.User), known.Password}, " ")
}

// trust is cacherules.Request.Trust; false if what is received is for the transfer only.
func (h *Hop) trust() (label string, ok bool) {
	t := h.t
	label = h.e.cfg.Trust
	if h.req.URL.Scheme != "https" {
		return label + t.watcher.Via(), true
	}
	p, once := t.watcher.Profile(h.req.URL)
	if p != nil {
		label += p.Trust
	}
	return label, !once
}

// unsure reports whether the response came over a connection whose certificate the program
// has accepted for this transfer: nothing is stored or updated then.
func (h *Hop) unsure() bool { return h.exchange != nil && h.exchange.once }

// selectEntry selects the stored response for the request.
func (c *cached) selectEntry() (*entry, cacherules.Miss) {
	var space [4]*cacherules.Stored
	s, miss := cacherules.Select(&c.request, c.stored(space[:0]))
	return c.entryOf(s), miss
}

// stored appends the stored responses of entries.
func (c *cached) stored(list []*cacherules.Stored) []*cacherules.Stored {
	for i := range c.entries {
		list = append(list, c.entries[i].stored)
	}
	return list
}

func (c *cached) entryOf(s *cacherules.Stored) *entry {
	for i := range c.entries {
		if c.entries[i].stored == s {
			return &c.entries[i]
		}
	}
	return nil
}

// response is the stored response, nil for a nil entry.
func (e *entry) response() *cacherules.Stored {
	if e == nil {
		return nil
	}
	return e.stored
}

// withoutBody looks for another entry in place of the selected one, whose body cannot be opened:
// it may have been replaced since the look-up, and once that is worth another one.
func (h *Hop) withoutBody() {
	c := h.cached
	if c.lookedAgain {
		lost := c.selected.stored
		c.entries = slices.DeleteFunc(c.entries, func(e entry) bool { return e.stored == lost })
	} else {
		c.lookedAgain = true
		h.readEntries()
	}
	c.selected = nil
}
