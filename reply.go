package netreply

import (
	"context"
	"crypto/tls"
	"net"
	"net/url"
	"sync"
	"sync/atomic"

	"github.com/netreply/netreply/internal/coding"
	"github.com/netreply/netreply/internal/flow"
	"github.com/netreply/netreply/internal/pipe"
	"github.com/netreply/netreply/internal/reqctx"
	"github.com/netreply/netreply/internal/wire"
)

// Reply is a running request and its response. The body can be read while it arrives, every
// step is a signal, and the getters are valid at any time. Its methods are safe for concurrent
// use, except that only one goroutine at a time should read.
//
// A reply that follows redirects sends a request for each; each of them is a hop, and the
// getters describe the last one. The head of a response is its status and its header fields.
//
// A Reply runs on one goroutine, which ends by itself when the body was received to its end,
// failed, or was aborted. With a read buffer limit a Reply must therefore be read to its end,
// closed, or have a context that ends; without a limit it finishes even if its body is not
// read.
type Reply struct {
	m   *Manager
	req Request         // a copy, with the Manager's defaults
	ctx *reqctx.Context // a child of the one that the request was sent with: own, or another one if own may still be in use
	own reqctx.Context

	// Owned by the goroutine that runs the transfer.
	encryption encryption
	transfer   *flow.Transfer // nil before it and after its end

	clock   *flow.Clock // measures the peer's silence; nil without TransferTimeout and MinRate
	started monotime
	stage   atomic.Int32 // the Phase of the transfer
	calls   atomic.Int32 // running calls of OnSignal and Answer
	unwatch func() bool  // ends the watch of the caller's context; nil for a context that never ends

	pipe pipe.Pipe // the body; its lock is taken after mu

	mu        sync.Mutex
	state     state
	complete  bool   // the whole body was received
	hasUpload bool   // there is an upload source
	secure    bool   // the hop is encrypted
	onHTTP2   bool   // the connection of the last hop is one of HTTP/2
	open      signal // of the question that the program has not answered, 0 for none
	hops      int16
	err       *Error
	method    string
	url       *url.URL
	head      head
	extra     *extra // nil if the reply has nothing of it
	tls       *tls.ConnectionState
	addrs     *wire.Addrs // of the connection of the last hop, nil before there is one
	throttle  throttle
	done      chan struct{} // made by the first Wait
	record    record

	prev, next *Reply // in the Manager's list, guarded by its lock
}

type state uint8

const (
	running state = iota
	ending        // the outcome is known, and the last signals are being emitted
	finished
)

// extra is what few replies have.
type extra struct {
	reuse      *reuse         // nil except for FetchInto
	body       Body           // of the request; nil from prepare on
	upload     *uploading     // of the sending that goes on; nil for none
	dispatcher *dispatcher    // nil without OnSignal
	decoder    *coding.Reader // nil for a body that is not encoded
	trailers   *Headers
	attributes map[any]any       // user attributes that a Backend has set
	request    *Request          // set by a Backend; nil for that of the program
	sslState   func() SSLState   // of a Backend; nil for none
	taker      taker             // nil without a RoundTripper; set before the reply runs
	upgraded   net.Conn          // the connection after a 101 response
	cache      flow.CacheOutcome // of the last head; zero without a cache
	headDone   chan struct{}     // made by the first WaitHead
	channels   *channelSet       // nil until the program asks for one
	lenient    *leniency         // the certificate flaws that the program has accepted; nil for none
}

// channelSet is x.channels.
func (x *extra) channelSet() *channelSet {
	if x == nil {
		return nil
	}
	return x.channels
}

// fromCache reports whether the last response is from the cache.
func (x *extra) fromCache() bool { return x != nil && x.cache.FromStore }

// sent is how many bytes of the request body were handed to the connection.
func (x *extra) sent() int64 {
	if x == nil || x.upload == nil {
		return 0
	}
	return x.upload.sent.Load()
}

// more returns r.extra, which it makes. The caller holds the lock.
func (r *Reply) more() *extra {
	if r.extra == nil {
		r.extra = new(extra)
	}
	return r.extra
}

// run carries out the request and ends the reply. It may return late or never, because it
// calls code that may block: a Backend, the source of the body, callbacks, a connection.
// Therefore the end of the context, a time limit and Abort do not depend on it: they call
// stop from another goroutine.
func (r *Reply) run() {
	defer r.leaveManager()
	by, body, err := r.prepare()
	if err == nil {
		err = by.serve(r, body, nil)
	}
	r.conclude(err)
}

// leaveManager removes the reply from the Manager's list, and finishes it if a callback of the
// program has ended the goroutine, by runtime.Goexit or a panic.
func (r *Reply) leaveManager() {
	defer r.m.remove(r)
	if r.unwatch != nil { // conclude may not have been called
		r.unwatch()
	}
	if r.transfer != nil {
		r.transfer.Abandon()
	}
	r.mu.Lock()
	over := r.state == finished
	r.mu.Unlock()
	if !over && (r.ctx.Err() == nil || endCause(r.ctx) == errAborted) { // otherwise conclude was called
		r.Abort()
	}
}

// conclude ends the reply with the outcome of its transfer.
func (r *Reply) conclude(err error) {
	r.clock.Stop()
	r.mu.Lock()
	ended := r.ctx.Err() != nil && !r.complete
	r.mu.Unlock()
	if ended {
		// the cause of the cancellation, not an error that followed from it
		err = endCause(r.ctx)
	}
	var e *Error
	if err != nil {
		e = classify(err, r.phase(), r.URL().Hostname())
	}
	r.end(e, ended && e.Code == OperationCanceledError)
	if r.unwatch != nil {
		r.unwatch()
	}
	r.ctx.Cancel(nil)
}

// validate returns the server for the request, or an error if it cannot be sent. The
// Manager's defaults are filled in.
func (r *Reply) validate() (server, error) {
	if err := r.req.validate(r.method); err != nil {
		return nil, err
	}
	if r.encryption.profiles == nil { // other configurations have been validated
		if err := r.req.SSLConfiguration.validate("Request.SSLConfiguration"); err != nil {
			return nil, localError(ProtocolInvalidOperationError, "Invalid request", err)
		}
	}
	return r.m.serverOf(r)
}

// phase is the current phase of the transfer, for errors that have none. It is safe for
// concurrent use.
func (r *Reply) phase() Phase { return Phase(r.stage.Load()) }

// prepare validates the request, finds its server, and prepares its body. It is not inlined,
// to keep the stack small below serve.
//
//go:noinline
func (r *Reply) prepare() (by server, body *flow.Payload, err error) {
	if r.m.flow == nil {
		return nil, nil, errNotMade()
	}
	if err := r.m.checkAllowed(&r.req); err != nil {
		return nil, nil, err
	}
	if by, err = r.validate(); err != nil {
		return nil, nil, err
	}
	if source := r.takeBody(); source != nil {
		body, err = source.prepare(r.ctx, !r.req.DoNotBufferUploadData)
		if err != nil {
			return nil, nil, err
		}
		if err = limitPayload(body, r.req.Headers); err != nil {
			return nil, nil, err
		}
	}
	if r.ctx.Err() != nil {
		return nil, nil, context.Cause(r.ctx)
	}
	r.clock.Start()
	return by, body, nil
}

// takeBody returns the body of the request, nil for none. The reply does not refer to it any
// more, since it may be kept for longer than it needs the memory.
func (r *Reply) takeBody() Body {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.extra == nil || r.extra.body == nil {
		return nil
	}
	body := r.extra.body
	r.extra.body, r.hasUpload = nil, true
	return body
}

// closeHeadDone wakes the callers of WaitHead. The caller holds the lock.
func (r *Reply) closeHeadDone() {
	if r.extra != nil && r.extra.headDone != nil {
		close(r.extra.headDone)
		r.extra.headDone = nil
	}
}

// Err is nil while the reply is running and after success; otherwise it is an *Error.
func (r *Reply) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.errLocked()
}

func (r *Reply) errLocked() error {
	if r.m == nil {
		return errNotMade()
	}
	if r.err == nil {
		return nil
	}
	return r.err
}

// URL is the URL of the current hop (rule S10). If a redirect is refused, it stays the URL
// that sent the redirect (D13).
func (r *Reply) URL() *url.URL {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.url == nil {
		return &url.URL{}
	}
	u := *r.url
	return &u
}

// WireBytes is how many bytes of the response body were received from the network, before
// content decoding. Bytes from Config.Cache do not count, nor do those that another request has
// received (httpcache.Status.Collapsed). If the cache loses the rest of a body and the server can
// only send the whole again, all of that counts.
func (r *Reply) WireBytes() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.wireBytes()
}

// wireBytes is WireBytes for callers that hold the lock.
func (r *Reply) wireBytes() int64 {
	n := r.pipe.Received()
	if r.extra != nil {
		if d := r.extra.decoder; d != nil {
			n = d.WireBytes()
		}
		n = max(0, n-r.extra.cache.Local)
	}
	return n
}

// closeConnection closes the connection that Upgraded returns.
func (r *Reply) closeConnection() {
	r.mu.Lock()
	var conn net.Conn
	if r.extra != nil {
		conn = r.extra.upgraded
	}
	r.mu.Unlock()
	if conn != nil {
		conn.Close()
	}
}
