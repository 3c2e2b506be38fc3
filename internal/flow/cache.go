package flow

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/httpcache"
	"github.com/netreply/netreply/internal/cacheentry"
	"github.com/netreply/netreply/internal/cacherules"
	"github.com/netreply/netreply/internal/httpauth"
	"github.com/netreply/netreply/internal/httpurl"
	"github.com/netreply/netreply/internal/wire"
)

// The cache step answers requests from the store, validates what is stored, and stores
// responses (RFC 9111). Package cacherules decides; this step executes. It is below cookies and
// login because the fields that they add may select a response, and because what is stored
// belongs to who asked (D24); below decode because bodies are stored as sent (D26).

// cached is what the cache step knows about the request of a hop.
type cached struct {
	key         string
	request     cacherules.Request
	entries     []entry // variants of the key
	selected    *entry  // nil for none
	lookedAgain bool
	decision    cacherules.Decision
	sent        time.Time
	fill        *fill // of this request, nil if its response is not to be stored

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
	key := ""
	if h.e.cache != nil && !httpurl.IsLocal(h.req.URL.Scheme) && (!reads || h.owner == nil && t.payload == nil && !asksForUpgrade(h.req.Header)) {
		key = cacherules.Key(h.req.URL, h.req.Host, t.Partition)
	}
	switch {
	case h.e.cache != nil && key != "":
	case t.Load == cacherules.AlwaysCache && reads: // rule M5
		return h.notCached()
	default:
		return nil
	}
	c := &cached{key: key, request: cacherules.NewRequest(method, h.req.Header, t.Load, userOf(h.req.Header)), sent: time.Now()}
	h.cached = c
	if !reads {
		c.status.Forward = cacherules.ForwardMethod
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
		landed, err := f.await(h.t.ctx)
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

// landingOfFailure is what those who wait for a failed request have to do.
func (h *Hop) landingOfFailure() landing {
	if h.t.ctx.Err() != nil {
		return aborted
	}
	return ashore
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

// userOf is cacherules.Request.User for the fields of a request: what stays the same in all
// Digest credentials of one user.
func userOf(fields http.Header) string {
	values := fields["Authorization"]
	if len(values) != 1 || len(values[0]) < 7 || !strings.EqualFold(values[0][:7], "Digest ") {
		return ""
	}
	all := httpauth.Parse(values)
	if len(all) != 1 {
		return ""
	}
	p := all[0].Params
	return strings.Join([]string{"Digest", p["username"], p["username*"], p["userhash"], p["realm"]}, "\n")
}

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

// processForCache processes what the network has answered.
func (h *Hop) processForCache() (again bool) {
	c, now := h.cached, time.Now()
	if c.fill != nil {
		h.t.wctx = c.own
	}
	if h.err != nil {
		if c.fill != nil {
			c.fill.land(h.landingOfFailure())
		}
		if h.t.ctx.Err() == nil && unreachable(h.err) && c.usableOnFailure(0, now) {
			h.answerStale(now)
		}
		return false
	}
	resp := h.resp
	times := cacherules.Times{Request: c.sent, Response: now}
	if cacherules.ClearsCache(h.req.URL, resp.Header) {
		h.e.cache.outdate("")
		h.e.cache.removePrefix(h.t, cacherules.OriginKey(h.req.URL, h.req.Host, h.t.Partition))
		c.entries, c.selected = nil, nil
	}
	for _, u := range cacherules.Invalidated(h.req.Method, h.req.URL, resp.StatusCode, resp.Header) {
		key := cacherules.Key(u, h.req.Host, h.t.Partition)
		h.e.cache.outdate(key)
		h.e.cache.remove(h.t, key)
	}
	refused := false // it is known that the response cannot be shared
	switch {
	case c.request.Method != http.MethodGet && c.request.Method != http.MethodHead:
	case resp.StatusCode == http.StatusNotModified:
		again = h.notModified(times)
	case resp.StatusCode >= 500 && c.usableOnFailure(resp.StatusCode, now) && h.answerStale(now):
		drain(resp)
	case resp.StatusCode == http.StatusPartialContent && c.request.Method == http.MethodGet:
		again = h.processPart(times)
	case c.request.Method == http.MethodHead:
		h.updateByHead(times)
	default:
		refused = !h.store(times) && resp.StatusCode < 400
	}
	if f := c.fill; f != nil && !again && !c.shares {
		if refused {
			h.e.cache.setAlone(c.key, true)
		}
		f.land(ashore)
	}
	return again
}

// unreachable reports whether a request has failed because the server could not be reached,
// or has broken the connection.
func unreachable(err error) bool {
	var we *wire.Error
	return errors.As(err, &we) && we.Phase != wire.TLS
}

func (c *cached) usableOnFailure(status int, now time.Time) bool {
	return c.selected != nil && cacherules.UsableOnFailure(&c.request, c.selected.stored, status, now)
}

// answerStale answers with the selected response although it could not be validated.
func (h *Hop) answerStale(now time.Time) bool {
	c := h.cached
	failed := h.resp
	a, there := c.selected.stored.Answer(&c.request, now)
	if !there || !h.answer(a, false, now) {
		return false
	}
	if failed != nil {
		c.status.ForwardStatus = failed.StatusCode
	}
	return true
}

// notModified processes a 304. For conditions of the program it is the answer.
func (h *Hop) notModified(times cacherules.Times) (again bool) {
	c := h.cached
	fields := h.receivedFields()
	updated := cacherules.SelectUpdated(&c.request, c.stored(nil), h.resp.Header, times)
	var selected *entry
	for _, s := range updated {
		e := c.entryOf(s)
		next := cacherules.NewStored(s.Update(&c.request, fields, times))
		switch {
		case h.t.NoSaveCache:
		case next.Keep():
			h.e.cache.update(h.t, h.req, e.source, &next.Record)
		default:
			h.e.cache.remove(h.t, c.key)
		}
		if selected == nil || e == c.selected {
			selected = &entry{next, e.source}
		}
	}
	if c.decision.Action != cacherules.Validate && c.decision.Action != cacherules.Complete {
		return false
	}
	if selected != nil {
		resp := h.resp
		c.selected = selected
		if a, there := selected.stored.Answer(&c.request, times.Response); there && h.answer(a, true, times.Response) {
			drain(resp)
			c.status.ForwardStatus = http.StatusNotModified
			return false
		}
	}
	// the server has not seen the conditions as they were sent, or the body is lost
	return h.fetchAgain()
}

// fetchAgain sends the request again, without the conditions of the cache. The response is
// dropped.
func (h *Hop) fetchAgain() (again bool) {
	c, t := h.cached, h.t
	drain(h.resp)
	c.selected, c.decision.Action = nil, cacherules.Fetch
	c.status = cacherules.Status{Forward: c.decision.Forward}
	if c.fill != nil {
		t.wctx = c.outlives
	}
	req, err := t.newRequest(h.req.Method, h.req.URL)
	if err != nil {
		h.fail(err)
		return false
	}
	req.Header = c.request.Header
	h.req = req
	c.sent = time.Now()
	return true
}

// updateByHead applies a response to HEAD to the stored response of GET.
func (h *Hop) updateByHead(times cacherules.Times) {
	c := h.cached
	if c.selected == nil || h.t.NoSaveCache || c.request.NoStore() {
		return
	}
	if rec, changed := c.selected.stored.UpdateByHead(&c.request, h.resp.StatusCode, h.receivedFields(), times); changed {
		h.e.cache.update(h.t, h.req, c.selected.source, &rec)
	}
}

// receivedFields are the fields of the response as it was received.
func (h *Hop) receivedFields() headers.Headers {
	if raw := h.exchange.Head; raw != "" {
		_, fields := wire.ParseHead(raw)
		return headers.FromFields(fields)
	}
	return headers.FromHTTP(h.resp.Header)
}

// store stores the response while its body is received. It reports false if it is not to be
// stored.
func (h *Hop) store(times cacherules.Times) bool {
	c, status := h.cached, h.resp.StatusCode
	refusal := cacherules.OtherStatus
	if c.fill != nil {
		refusal = cacherules.Storable(&c.request, status, h.resp.Header)
	}
	if refusal == cacherules.Stores && h.startFill(times) {
		return true
	}
	outdated := status == http.StatusNotFound || status == http.StatusGone ||
		status < 400 && status != http.StatusPartialContent && status != http.StatusNotModified
	if outdated && c.selected != nil && !c.request.NoStore() { // D30
		h.e.cache.remove(h.t, c.key)
	}
	return false
}

// cache is the store of an Engine, and the responses that are on their way into it.
type cache struct {
	store httpcache.Store

	ctx     context.Context // of what goes on after the end of a transfer
	cancel  context.CancelFunc
	running sync.WaitGroup
	mu      sync.Mutex
	ended   bool // nothing goes on any more
	flights map[flightKey]*fill
	alone   map[string]bool // keys whose responses cannot be shared

	refreshing map[string]bool // keys whose responses are validated in the background

	// now counts invalidations. What was requested before the last one of its key, or of
	// all keys, is not stored.
	now         uint64
	outdated    map[string]uint64
	outdatedAll uint64
}

func newCache(store httpcache.Store) *cache {
	c := &cache{store: store}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// begin begins something that goes on after the end of a transfer, whose end running must be
// told; false if there is to be nothing of that kind any more.
func (c *cache) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	c.running.Add(1)
	return true
}

// close ends all that goes on after the end of a transfer.
func (c *cache) close() {
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.cancel()
	c.running.Wait()
}

func (c *cache) invalidations() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// lookup returns the entries of a key. The store may be the program's: the clock is paused.
func (c *cache) lookup(t *Transfer, key string) []entry {
	t.Clock.Pause()
	defer t.Clock.Resume()
	found, err := c.store.Lookup(t.ctx, key)
	if err != nil || len(found) == 0 {
		return nil
	}
	entries := make([]entry, 0, len(found))
	for _, e := range found {
		if s := parsed(e); s != nil {
			entries = append(entries, entry{s, e})
		}
	}
	return entries
}

// parsed is what the metadata of an entry says, nil if it is damaged. An entry that stays in
// memory keeps it.
func parsed(e httpcache.Entry) *cacherules.Stored {
	memo, keeps := e.(httpcache.Memo)
	if keeps {
		if s, ok := memo.Memo().Load().(*cacherules.Stored); ok {
			return s
		}
	}
	_, rec, err := cacheentry.Parse(e.Meta())
	if err != nil {
		return nil
	}
	s := cacherules.NewStored(rec)
	if keeps {
		memo.Memo().Store(s)
	}
	return s
}

func (c *cache) remove(t *Transfer, key string) {
	t.Clock.Pause()
	defer t.Clock.Resume()
	c.store.Remove(context.WithoutCancel(t.ctx), key) // what is outdated goes, also after an abort
}

func (c *cache) removePrefix(t *Transfer, prefix string) {
	t.Clock.Pause()
	defer t.Clock.Resume()
	c.store.RemovePrefix(context.WithoutCancel(t.ctx), prefix)
}

func (c *cache) update(t *Transfer, req *http.Request, e httpcache.Entry, rec *cacherules.Record) {
	t.Clock.Pause()
	defer t.Clock.Resume()
	c.store.Update(t.ctx, e, cacheentry.Append(nil, req.URL.String(), rec))
}

// madeResponse makes a response that does not come from the network.
func (h *Hop) madeResponse(status int, fields headers.Headers, length int64) *http.Response {
	h.t.watcher.Enter(Body)
	h.cached.fields = fields
	text := "200 OK"
	if status != http.StatusOK {
		text = strconv.Itoa(status) + " " + http.StatusText(status)
	}
	return &http.Response{Status: text, StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: mapOf(fields), ContentLength: length, Body: http.NoBody, Request: h.req}
}

// mapOf makes the map of fields, with one array for all values of different names.
func mapOf(fields headers.Headers) http.Header {
	m := make(http.Header, fields.Len())
	values := make([]string, 0, fields.Len())
	for name, value := range fields.All() {
		name = textproto.CanonicalMIMEHeaderKey(name)
		if have, more := m[name]; more {
			m[name] = append(have, value)
			continue
		}
		values = append(values, value)
		m[name] = values[len(values)-1:]
		m[name] = m[name][:1:1]
	}
	return m
}
