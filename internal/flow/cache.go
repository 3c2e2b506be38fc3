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
	request     cacherules.Request
	entries     []entry // variants of the key
	selected    *entry  // nil for none
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

	// own is the context of the transfer's requests, in whose place is outlives for those
	// whose response others may need.
	own, outlives context.Context
	stop          func() bool // ends the tie of fill to the transfer
}

// entry is a stored response.
type entry struct {
	stored *cacherules.Stored
	source httpcache.Entry
}

// beforeCache does nothing without a cache, as for nearly every Manager.
func beforeCache(h *Hop) error {
	if h.e.cache == nil && h.t.Load == cacherules.PreferNetwork {
		return nil
	}
	return h.lookUp()
}

func afterCache(h *Hop) (again bool) {
	if h.cached == nil {
		return false
	}
	return h.processForCache()
}

// lookUp answers a request from the store if that is possible.
func (h *Hop) lookUp() error {
	h.cached = nil
	t, method := h.t, h.req.Method
	reads := method == http.MethodGet || method == http.MethodHead
	if t.Load == cacherules.AlwaysNetwork && reads {
		h.bypassCaches()
	}
	key, trust := "", ""
	if h.e.cache != nil && !httpurl.IsLocal(h.req.URL.Scheme) && (!reads || h.owner == nil && t.payload == nil && !asksForUpgrade(h.req.Header)) {
		var ok bool
		if trust, ok = h.trust(); ok || !reads {
			key = cacherules.Key(h.req.URL, h.req.Host, t.Partition)
		}
	}
	switch {
	case h.e.cache != nil && key != "":
	case t.Load == cacherules.AlwaysCache && reads: // rule M5
		return h.notCached()
	default:
		return nil
	}
	c := &cached{key: key, request: cacherules.NewRequest(method, h.req.Header, t.Load, h.user()), sent: time.Now()}
	c.request.Trust = trust
	h.cached = c
	if !reads {
		c.status.Forward, c.began = cacherules.ForwardMethod, h.e.cache.invalidations()
		return nil
	}
	c.entries = h.e.cache.lookup(t, key)
	return h.decide()
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
			c.entries = h.e.cache.lookup(h.t, c.key)
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
		c.entries = h.e.cache.lookup(h.t, c.key)
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
		var miss cacherules.Miss
		c.selected, miss = c.selectEntry()
		c.decision = cacherules.Decide(&c.request, c.selected.response(), miss, now)
		c.status = cacherules.Status{Forward: c.decision.Forward}
		switch c.decision.Action {
		case cacherules.Use:
			if h.t.refreshes {
				return h.mustRefresh()
			}
			if h.answer(c.decision.Answer, false, now) {
				c.status.Hit = true
				if c.decision.Refresh {
					h.refresh()
				}
				return nil
			}
			h.withoutBody()
			continue
		case cacherules.GatewayTimeout:
			if h.t.Load == cacherules.AlwaysCache {
				return h.notCached()
			}
			h.resp = h.madeResponse(http.StatusGatewayTimeout, headers.Headers{}, 0)
			c.answered = true
			c.status.Detail = "only-if-cached"
		case cacherules.Fetch, cacherules.Validate, cacherules.Complete:
		}
		return nil
	}
}

// mustRefresh replaces the decision to use a stale response by one to validate it.
func (h *Hop) mustRefresh() error {
	d := &h.cached.decision
	switch {
	case !d.Refresh: // it has been validated meanwhile
		return h.notCached()
	case d.Conditions == (cacherules.Conditions{}):
		d.Action = cacherules.Fetch
	default:
		d.Action = cacherules.Validate
	}
	return nil
}

func (h *Hop) notCached() error {
	return &Error{Kind: NotCached, Host: httpurl.Redacted(h.t.url), Err: errors.New("nothing is stored that answers the request")}
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
		c.entries = h.e.cache.lookup(h.t, c.key)
	}
	c.selected = nil
}
