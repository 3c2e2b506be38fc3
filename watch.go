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
	"github.com/netreply/netreply/internal/certs"
	"github.com/netreply/netreply/internal/journal"
	"github.com/netreply/netreply/internal/pipe"
	"github.com/netreply/netreply/internal/wire"
)

// watcher is told what happens to a transfer and asked what only the program can know. The
// calls come from the goroutine of the transfer, except Uploaded and Sent, which come from
// the one that reads the request body. Questions may block; the transfer stops its clock
// meanwhile.
type watcher interface {
	// Enter says how far the transfer has come.
	Enter(Phase)
	// Connecting: a connection is being opened for this transfer.
	Connecting()
	// Encrypted: a handshake for this transfer is over.
	Encrypted(*tls.ConnectionState)
	// FlawsAccepted: settings have accepted what is wrong with the certificate of a host.
	FlawsAccepted(host string, f *certs.Failure)
	// Carrier is the connection that the request goes out on.
	Carrier(*wire.Conn)
	// Uploads gives the counter of the body bytes that this sending has handed to the
	// connection. nil means that the body is dropped.
	Uploads(sent *atomic.Int64)
	// Sent: the request goes out.
	Sent()
	// Uploaded: of total bytes of the body, -1 when that is not known, so many were handed to
	// the connection.
	Uploaded(sent, total int64)
	// Interim is an interim response.
	Interim(code int, h http.Header)
	// Head is a response head.
	Head(*responseHead)
	// Refused keeps where a redirect points to that is not followed.
	Refused(target *url.URL)
	// Redirect tells of a redirect, asks where it has to, and moves on to the target. false
	// means that the program does not want it. meanwhile is to be called before anybody is
	// waited for.
	Redirect(rd *redirection, meanwhile func()) (follow bool)
	// Profile is the encryption of the connections for a URL. once tells that they are for
	// this transfer alone.
	Profile(u *url.URL) (p *wire.Profile, once bool)
	// Certificate asks about a certificate that is not in order, in the middle of the
	// handshake for u. ask is false when the transfer has asked too often. It gives an
	// encryption that accepts it, nil for none.
	Certificate(u *url.URL, host string, f *certs.Failure, ask bool) *wire.Profile
	// Key asks for a pre-shared key in the middle of a handshake.
	Key(about any)
	// Password tells of a question for a password, and waits for the answer where that is
	// wanted. answered is false when nobody was waited for, or nothing said.
	Password(q *passwordQuestion) (answer *auth.Credentials, answered bool)
	// HeadLate: Config.HeadTimeout has passed. It ends the transfer's context.
	HeadLate()
	// Decoding says who knows how many bytes of an encoded body have come.
	Decoding(wireByteser)
	// Whole: the response is there to its end.
	Whole(trailer http.Header, http2 bool)
}

// responseHead is a response head as a watcher gets it.
type responseHead struct {
	*http.Response
	raw     string   // the bytes of an HTTP/1 head, "" where they were not seen
	decoded bool     // the body's codings are taken off
	noBody  bool     // none can follow
	final   bool     // not of a redirect
	target  *url.URL // where it points to, when that will not be followed
}

// redirection is a redirect that is going to be followed.
type redirection struct {
	from, to *url.URL
	status   int
	method   string // of the next request
}

// passwordQuestion is what a server wants a password for, or a proxy.
type passwordQuestion struct {
	auth.Question
	url   *url.URL
	proxy *Proxy // nil for the server
	told  bool   // only: nobody is asked (rule A12)
}

type wireByteser interface{ WireBytes() int64 }

// watch is the side of a Reply that its transfer sees: the one place where signals are born
// and questions are asked. State comes first, the signal second (rule S6).
type watch Reply

var (
	_ watcher    = (*watch)(nil)
	_ pipe.Owner = (*watch)(nil)
)

func (w *watch) Enter(p Phase) { w.stage.Store(int32(p)) }

func (w *watch) Connecting() { (*Reply)(w).emit(sigConnecting, 0, 0, nil) }

func (w *watch) Encrypted(state *tls.ConnectionState) {
	w.mu.Lock()
	w.tls = state
	w.mu.Unlock()
	(*Reply)(w).emit(sigEncrypted, 0, 0, nil)
}

// FlawsAccepted tells of them, but for VerifyNone (rule T8); those that were asked about have
// been told of.
func (w *watch) FlawsAccepted(host string, f *certs.Failure) {
	r := (*Reply)(w)
	r.showChain(f)
	if r.lenient.excused(f) || r.profiles.from.PeerVerifyMode == VerifyNone {
		return
	}
	q := &SSLErrors{Host: host, Errors: sslErrors(f.Problems), Chain: slices.Clone(f.Chain), Ignored: true}
	q.Ignore()
	r.emit(sigSSLErrors, 0, 0, q)
}

// showChain makes the chain of a server readable that has not proved anything yet.
func (r *Reply) showChain(f *certs.Failure) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tls = &tls.ConnectionState{PeerCertificates: f.Chain}
}

func (w *watch) Carrier(c *wire.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tls, w.conn = c.TLS, c
}

func (w *watch) Uploads(sent *atomic.Int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent, w.uploading = sent, throttle{-progressInterval} // the first progress is due
	w.attached = sent != nil
}

func (w *watch) Sent() { (*Reply)(w).emit(sigRequestSent, 0, 0, nil) }

// Uploaded tells the first and the last progress of a sending at once (rule P10).
func (w *watch) Uploaded(sent, total int64) {
	r := (*Reply)(w)
	r.mu.Lock()
	if r.state != running || !r.uploading.due(time.Since(r.started)) && sent != total && !r.req.EmitAllUploadProgress {
		r.mu.Unlock()
		return
	}
	r.emitLocked(sigUploadProgress, sent, total, nil)
}

func (w *watch) Interim(code int, h http.Header) {
	(*Reply)(w).emit(sigInformational, 0, 0, &Informational{code, headersFrom(h, false)})
}

func (w *watch) Head(resp *responseHead) {
	h := head{status: resp.StatusCode, length: resp.ContentLength, http2: resp.ProtoMajor == 2, noBody: resp.noBody, final: resp.final, target: resp.target}
	if resp.decoded {
		h.decoded, h.encoded, h.length = true, h.length, -1
	}
	if h.raw = resp.raw; h.raw == "" {
		h.mapped = resp.Header
	} else {
		_, h.reason, _ = strings.Cut(resp.Status, " ")
	}
	w.mu.Lock()
	if w.state == running {
		w.head = h
		if h.final {
			(*Reply)(w).headSettled()
		}
	}
	w.mu.Unlock()
	(*Reply)(w).emit(sigMetaData, int64(resp.StatusCode), 0, nil)
}

func (w *watch) Refused(target *url.URL) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state == running {
		w.head.target = target
	}
}

func (w *watch) Redirect(rd *redirection, meanwhile func()) (follow bool) {
	r := (*Reply)(w)
	d := &Redirect{URL: rd.to, From: rd.from, StatusCode: rd.status, Method: rd.method}
	if r.req.RedirectPolicy != UserVerifiedRedirectPolicy {
		d.Allow()
		r.move(rd.to, rd.method)
		r.emit(sigRedirected, 0, 0, d)
		meanwhile()
		return true
	}
	d.until(r.ctx)
	w.Enter(PhaseHeaders)
	r.setURL(rd.to)
	r.emit(sigRedirected, 0, 0, d)
	meanwhile()
	if !d.permitted(r.ctx) || r.ctx.Err() != nil {
		r.setURL(rd.from)
		w.Refused(rd.to)
		return false
	}
	r.move(rd.to, rd.method)
	return true
}

func (r *Reply) setURL(u *url.URL) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state == running {
		r.url = u
	}
}

// move takes the reply to another URL. Of the last response only the status stays
// readable until the next one comes (rules R22 and R23).
func (r *Reply) move(u *url.URL, method string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hops++
	r.url, r.method = u, method
	r.encrypted = u.Scheme == "https"
	r.head.target, r.head.length, r.head.noBody = nil, -1, false
	r.head.decoded, r.head.encoded = false, -1
	r.head.raw, r.head.mapped, r.head.headers = "", nil, Headers{}
	r.throttle.start(time.Since(r.started))
}

func (w *watch) Profile(u *url.URL) (p *wire.Profile, once bool) {
	p = (*Reply)(w).profile(u)
	return p, w.lenient != nil && p == w.lenient.profile
}

func (w *watch) Certificate(u *url.URL, host string, f *certs.Failure, ask bool) *wire.Profile {
	r := (*Reply)(w)
	r.showChain(f)
	q := &SSLErrors{Host: host, Errors: sslErrors(f.Problems), Chain: slices.Clone(f.Chain), Final: r.m.strict(u.Hostname())}
	q.until(r.ctx)
	if q.Final || !ask {
		q.Reject()
	}
	w.Enter(PhaseTLS)
	r.emit(sigSSLErrors, 0, 0, q)
	if r.req.Ask&AskSSLErrors != 0 {
		q.wait(r.ctx)
	}
	q.Reject()
	q.mu.Lock()
	accepted := q.accepted
	q.mu.Unlock()
	if r.ctx.Err() != nil || !covers(accepted, f.Problems) {
		return nil
	}
	return r.except(u, q.Errors)
}

func (w *watch) Key(about any) {
	a, ok := about.(*PreSharedKeyAuthenticator)
	if !ok {
		return
	}
	r := (*Reply)(w)
	a.until(r.ctx)
	w.Enter(PhaseTLS)
	r.emit(sigPreSharedKey, 0, 0, a)
	if r.req.Ask&AskPreSharedKey != 0 {
		a.wait(r.ctx)
	}
	a.Cancel()
}

func (w *watch) Password(pq *passwordQuestion) (answer *auth.Credentials, answered bool) {
	r := (*Reply)(w)
	u := *pq.url // the program's to change
	q := &Authenticator{URL: &u, Realm: pq.Realm, Scheme: pq.Scheme, User: pq.User, PreviousFailed: pq.PreviousFailed, options: pq.Options}
	q.until(r.ctx)
	kind := AskAuthentication
	if pq.proxy == nil {
		r.emit(sigAuthentication, 0, 0, q)
	} else {
		p := *pq.proxy
		p.User, p.Password, p.Headers = "", "", Headers{}
		kind = AskProxyAuthentication
		r.emit(sigProxyAuthentication, 0, 0, &ProxyAuthenticator{&p, q})
	}
	answered = !pq.told && r.req.Ask&kind != 0 && q.wait(r.ctx)
	q.Cancel()
	return q.answer.Load(), answered
}

func (w *watch) HeadLate() { (*Reply)(w).stop(headTimeout(w.m.cfg.HeadTimeout)) }

func (w *watch) Decoding(d wireByteser) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.decoder = d
}

// Arrived announces bytes of the body (rules P2 and S45).
func (w *watch) Arrived(received int64) {
	r := (*Reply)(w)
	r.mu.Lock()
	if r.state != running {
		r.mu.Unlock()
		return
	}
	total := r.head.length
	r.emitLocked(sigReadyRead, 0, 0, nil)
	r.mu.Lock()
	if r.state != running || !r.throttle.due(time.Since(r.started)) {
		r.mu.Unlock()
		return
	}
	r.emitLocked(sigDownloadProgress, received, total, nil)
}

// MayWait refuses a wait for bytes inside OnSignal.
func (w *watch) MayWait() error {
	if (*Reply)(w).insideCallback() {
		return errWouldWait()
	}
	return nil
}

func (w *watch) Whole(trailer http.Header, http2 bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.whole = true
	if len(trailer) > 0 {
		h := headersFrom(trailer, http2)
		w.trailers = &h
	}
}

// emit records a signal of a running reply and tells those who asked to be
// called. It must be called without the lock.
func (r *Reply) emit(k signal, a, b int64, value any) {
	r.mu.Lock()
	if r.state != running {
		r.mu.Unlock()
		return
	}
	r.emitLocked(k, a, b, value)
}

// emitLocked is emit for whoever holds the lock, which it gives up.
func (r *Reply) emitLocked(k signal, a, b int64, value any) {
	r.tell(r.note(k, a, b, value))
}

// note records a signal: the Manager's listeners see it before the reply's own (rule S6). The
// caller holds the lock, and calls tell afterwards.
func (r *Reply) note(k signal, a, b int64, value any) journal.Entry {
	e := entry{k, time.Since(r.started), a, b, value}
	r.m.hub.publish(r, e)
	return r.record.note(e)
}

// moved is what the RateGuard of the reply counts.
func (r *Reply) moved() int64 {
	n := r.WireBytes()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sent != nil {
		n += r.sent.Load()
	}
	return n
}
