package netreply

import (
	"crypto/tls"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/netreply/netreply/internal/auth"
	"github.com/netreply/netreply/internal/cacherules"
	"github.com/netreply/netreply/internal/certs"
	"github.com/netreply/netreply/internal/coding"
	"github.com/netreply/netreply/internal/flow"
	"github.com/netreply/netreply/internal/journal"
	"github.com/netreply/netreply/internal/pipe"
	"github.com/netreply/netreply/internal/wire"
)

// watch implements flow.Watcher and pipe.Owner for a Reply: all signals but the last three
// are emitted here, and questions lead to Reply.ask. State is set before the signal is
// emitted (rule S6). The transfer may continue for a short time after the end of the reply,
// which does not change any more then.
type watch Reply

var (
	_ flow.Watcher = (*watch)(nil)
	_ pipe.Owner   = (*watch)(nil)
)

func (w *watch) Enter(p flow.Phase) { w.stage.Store(int32(phases[p])) }

func (w *watch) Connecting() { (*Reply)(w).emit(sigConnecting, 0, 0, nil) }

func (w *watch) Encrypted(state *tls.ConnectionState) {
	(*Reply)(w).showTLS(state)
	(*Reply)(w).emit(sigEncrypted, 0, 0, nil)
}

// FlawsAccepted reports ignored flaws by SSLErrors, except under VerifyNone (rule T8) and
// for flaws that a question has reported before.
func (w *watch) FlawsAccepted(host string, f *certs.Failure) {
	r := (*Reply)(w)
	r.showTLS(&tls.ConnectionState{PeerCertificates: f.Chain}) // not verified
	if r.leniency().allAccepted(f) || r.encryption.profiles.from.PeerVerifyMode == VerifyNone {
		return
	}
	q := &SSLErrors{Host: host, Errors: sslErrors(f.Problems), Chain: slices.Clone(f.Chain), Ignored: true}
	q.Ignore()
	q.setAsker(r)
	r.emit(sigSSLErrors, 0, 0, q)
}

// showTLS sets the state that Reply.SSLConfiguration returns.
func (r *Reply) showTLS(state *tls.ConnectionState) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state == running {
		r.tls = state
	}
}

func (w *watch) Carrier(c *wire.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state == running {
		// not c itself, which would keep the whole transfer in memory
		w.tls, w.addrs, w.onHTTP2 = c.TLS, c.Addrs, c.HTTP2
	}
}

func (w *watch) Uploads(sent *atomic.Int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state == running {
		(*Reply)(w).dropUpload()
		if w.hasUpload = sent != nil; sent != nil {
			(*Reply)(w).more().upload = &uploading{sent, throttle{-progressInterval}} // so that the first progress is emitted
		}
	}
}

func (w *watch) Sent() { (*Reply)(w).emit(sigRequestSent, 0, 0, nil) }

// dropUpload forgets a sending of the body. The caller holds the lock.
func (r *Reply) dropUpload() {
	if r.extra != nil {
		r.extra.upload = nil
	}
}

// Uploaded emits UploadProgress. The first and the last of a request are not throttled
// (rule P10).
func (w *watch) Uploaded(sent, total int64) {
	r := (*Reply)(w)
	r.mu.Lock()
	due := r.extra == nil || r.extra.upload == nil || r.extra.upload.throttle.due(r.elapsed())
	if r.state != running || !due && sent != total && !r.req.EmitAllUploadProgress {
		r.mu.Unlock()
		return
	}
	r.emitLocked(sigUploadProgress, sent, total, nil)
}

// Interim runs on the goroutine that reads the connection. On HTTP/2 that reads for other replies
// as well, which must not wait for OnSignal.
func (w *watch) Interim(code int, h http.Header) {
	r := (*Reply)(w)
	r.mu.Lock()
	if r.state != running {
		r.mu.Unlock()
		return
	}
	e := r.note(sigInformational, r.elapsed(), 0, 0, &Informational{code, headersFrom(h, false)})
	if !r.hasOnSignal() || !r.onHTTP2 {
		r.dispatch(e)
		return
	}
	u := r.useLocked()
	r.mu.Unlock()
	go func() { // ends with OnSignal, or at once if another goroutine is dispatching
		if u.enter() {
			defer u.leave()
			r.mu.Lock()
			r.dispatch(e)
		}
	}()
}

func (w *watch) Refused(target *url.URL) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state == running {
		w.head.setTarget(target)
	}
}

func (w *watch) Redirect(rd *flow.Redirection, meanwhile func()) (follow bool) {
	r := (*Reply)(w)
	to, from := *rd.To, *rd.From // copies: the program may change them
	d := &Redirect{URL: &to, From: &from, StatusCode: rd.Status, Method: rd.Method, redirection: rd}
	if r.req.RedirectPolicy != UserVerifiedRedirectPolicy {
		d.Allow()
		d.setAsker(r)
		r.redirectTo(rd.To, rd.Method)
		r.emit(sigRedirected, 0, 0, d)
		meanwhile()
		return true
	}
	w.Enter(flow.Headers)
	r.setURL(rd.To)
	r.ask(sigRedirected, d, true, meanwhile)
	if !d.isAllowed() || r.ctx.Err() != nil {
		r.setURL(rd.From)
		w.Refused(rd.To)
		return false
	}
	r.redirectTo(rd.To, rd.Method)
	return true
}

func (r *Reply) setURL(u *url.URL) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state == running {
		r.url = u
	}
}

// redirectTo changes URL and method for the next hop. Until the next response head only the
// status of the last one stays available (rules R22 and R23).
func (r *Reply) redirectTo(u *url.URL, method string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state != running {
		return
	}
	r.hops++
	r.url, r.method = u, method
	r.secure = u.Scheme == "https"
	r.head.rare, r.head.mapped = nil, nil
	r.head.length, r.head.noBody, r.head.decoded = -1, false, false
	r.head.raw, _, _ = strings.Cut(r.head.raw, "\n") // keeps the status line
	if r.extra != nil {
		r.extra.sslState, r.extra.cache = nil, flow.CacheOutcome{}
	}
	r.throttle.start(r.elapsed())
}

func (w *watch) Profile(u *url.URL) (p *wire.Profile, once bool) {
	accepted := (*Reply)(w).leniency()
	p = w.encryption.profile((*Reply)(w).hopSecurity(u), accepted)
	return p, accepted != nil && p == accepted.profile
}

func (w *watch) Certificate(u *url.URL, host string, f *certs.Failure, ask bool) *wire.Profile {
	r := (*Reply)(w)
	r.showTLS(&tls.ConnectionState{PeerCertificates: f.Chain}) // not verified
	q := &SSLErrors{Host: host, Errors: sslErrors(f.Problems), Chain: slices.Clone(f.Chain), Final: r.m.requiresTLS(u.Hostname())}
	if q.Final || !ask {
		q.Reject()
	}
	w.Enter(flow.TLS)
	r.ask(sigSSLErrors, q, r.req.waitsFor(AskSSLErrors), nil)
	q.mu.Lock()
	accepted := q.accepted
	q.mu.Unlock()
	if r.ctx.Err() != nil || !covers(accepted, f.Problems) {
		return nil
	}
	return r.encryption.acceptFlaws(r.hopSecurity(u), sslErrors(f.Problems), r.makeLeniency())
}

func (w *watch) Key(about any) {
	a, ok := about.(*PreSharedKeyAuthenticator)
	if !ok {
		return
	}
	r := (*Reply)(w)
	w.Enter(flow.TLS)
	r.ask(sigPreSharedKey, a, r.req.waitsFor(AskPreSharedKey), nil)
}

func (w *watch) Password(pq *flow.PasswordQuestion) (answer *auth.Credentials, answered bool) {
	r := (*Reply)(w)
	u := *pq.URL // a copy: the program may change it
	q := &Authenticator{URL: &u, Realm: pq.Realm, Scheme: pq.Scheme, User: pq.User, PreviousFailed: pq.PreviousFailed, options: pq.Options}
	if pq.ReportOnly {
		q.Cancel()
	}
	if pq.Proxy == nil {
		answered = r.ask(sigAuthentication, q, r.req.waitsFor(AskAuthentication), nil)
	} else {
		p := pq.Proxy.Value.(*Proxy).clone()
		p.User, p.Password, p.Headers = "", "", Headers{}
		answered = r.ask(sigProxyAuthentication, &ProxyAuthenticator{p, q}, r.req.waitsFor(AskProxyAuthentication), nil)
	}
	return q.answer.Load(), answered
}

// Arrived emits ReadyRead and DownloadProgress (rules P2 and S45).
func (w *watch) Arrived(received int64) {
	r := (*Reply)(w)
	r.mu.Lock()
	if r.state != running {
		r.mu.Unlock()
		return
	}
	total := r.head.length
	if r.quiet() {
		r.mu.Unlock()
		return
	}
	at := r.elapsed()
	noted := r.note(sigReadyRead, at, 0, 0, nil)
	if r.hasOnSignal() { // which takes time, and may end the reply
		r.dispatch(noted)
		r.downloaded(received, total)
		return
	}
	if r.throttle.due(at) {
		r.note(sigDownloadProgress, at, received, total, nil)
	}
	r.mu.Unlock()
}

// quiet reports whether no ReadyRead is emitted for what arrives (rule S38b): the response is
// from the cache, under AlwaysCache, and its bytes do not wait for the reader. The caller
// holds the lock.
func (r *Reply) quiet() bool {
	if !r.extra.fromCache() || !r.extra.cache.Quiet {
		return false
	}
	limit := r.pipe.Limit()
	return limit == 0 || r.pipe.Available() < limit
}

// downloaded emits DownloadProgress, if it is due.
func (r *Reply) downloaded(received, total int64) {
	r.mu.Lock()
	if r.state != running || !r.throttle.due(r.elapsed()) {
		r.mu.Unlock()
		return
	}
	r.emitLocked(sigDownloadProgress, received, total, nil)
}

// MayWait returns an error inside OnSignal, where a wait for bytes would not end.
func (w *watch) MayWait() error {
	if (*Reply)(w).insideCallback() {
		return errWouldWait()
	}
	return nil
}

func (w *watch) HeadLate() { (*Reply)(w).stop(headTimeout(w.m.cfg.HeadTimeout)) }

func (w *watch) Local(n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state == running {
		c := &(*Reply)(w).more().cache
		c.Local, c.Status.Detail = n, string(cacherules.RestFetched)
	}
}

func (w *watch) Uncached(detail string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state == running {
		(*Reply)(w).more().cache = flow.CacheOutcome{Status: cacherules.Status{Detail: detail}}
	}
}

func (w *watch) Decoding(d *coding.Reader) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state == running {
		(*Reply)(w).more().decoder = d
	}
}

// emit records a signal of a running reply and calls OnSignal. The caller does not hold the
// lock.
func (r *Reply) emit(k signal, a, b int64, value any) {
	r.mu.Lock()
	if r.state != running {
		r.mu.Unlock()
		return
	}
	r.dispatch(r.note(k, r.elapsed(), a, b, value))
}

// elapsed is the time since the start of the reply.
func (r *Reply) elapsed() time.Duration { return r.started.elapsed() }

// emitLocked is emit for callers that hold the lock; it releases the lock.
func (r *Reply) emitLocked(k signal, a, b int64, value any) {
	r.dispatch(r.note(k, r.elapsed(), a, b, value))
}

// note records a signal, for the Manager's listeners before the reply's own (rule S6). The
// caller holds the lock, and calls dispatch afterwards.
func (r *Reply) note(k signal, at time.Duration, a, b int64, value any) journal.Cursor {
	if channels := r.extra.channelSet(); channels != nil || r.m.hub.watched.Load() > 0 {
		r.publish(channels, k, at, a, b, value)
	}
	switch kind := journal.Kind(k); {
	case signalTable[k].nature == conflating:
		return r.record.Conflate(kind, at, a, b)
	case value != nil:
		return r.record.AppendValue(kind, at, value, b)
	default:
		return r.record.Append(kind, at, a, b)
	}
}

// publish sends a signal to the Manager's listeners and to channels, nil for none. It is not
// inlined, to keep the stack of note small.
//
//go:noinline
func (r *Reply) publish(channels *channelSet, k signal, at time.Duration, a, b int64, value any) {
	e := entry{k, at, a, b, value}
	r.m.hub.publish(r, e)
	if channels != nil {
		channels.note(e)
	}
}

// transferred is the number of bytes received and sent, for RateGuard.
func (r *Reply) transferred() int64 {
	n := r.WireBytes()
	r.mu.Lock()
	defer r.mu.Unlock()
	return n + r.extra.sent()
}

// undoRedirect restores URL and RedirectionTarget if the reply ends while it asks about a
// redirect (D10 and D13). The caller holds the lock.
func (r *Reply) undoRedirect() {
	if r.req.RedirectPolicy != UserVerifiedRedirectPolicy {
		return
	}
	if e, told := r.record.latest(sigRedirected); told {
		if d := value[*Redirect](e); !d.isAllowed() {
			r.url = d.redirection.From
			r.head.setTarget(d.redirection.To)
		}
	}
}

// sameOrigin reports whether u has the origin of the request; see flow.Engine.SameOrigin.
func (r *Reply) sameOrigin(u *url.URL) bool { return r.m.flow.SameOrigin(r.req.URL, u) }

// hopSecurity returns the properties of a hop to u that decide its TLS profile.
func (r *Reply) hopSecurity(u *url.URL) hopSecurity {
	return hopSecurity{r.sameOrigin(u), r.m.requiresTLS(u.Hostname()), ignored{r.req.IgnoreSSLErrors, r.req.IgnoreAllSSLErrors}}
}
