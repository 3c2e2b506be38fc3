package netreply

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"time"

	"github.com/netreply/netreply/cookies"
	"github.com/netreply/netreply/internal/flow"
	"github.com/netreply/netreply/internal/wire"
)

// step is one part of what is done for a request over HTTP. before runs on the way down to
// the connection and may change the request; its error goes to the steps above only, and it
// has cleaned up after itself. after runs on the way up, with a response or an error in the
// hop. If it returns true, the hop has a request to be sent in the place of what came, and
// everything below the step runs again. Either may be nil.
type step struct {
	before func(*hop) error
	after  func(*hop) (again bool)
}

// newSteps lists the steps, outermost first. The order has reasons:
//
//	redirect  every hop re-enters everything below
//	hsts      learns from every hop, a 401 excepted that is answered
//	login     asks anew for every hop, and sees nothing that is sent elsewhere
//	cookies   of every hop, before the reply shows the head
//	proxy     chooses the way, and answers what the proxy asks of each sending
//	retry     only what broke on a connection that was used before (D33)
//
// Below them the exchange is the signals of one sending, and the wire itself. Content
// codings are taken off above, by Reply.perform.
func (m *Manager) newSteps() []step {
	steps := []step{{after: afterRedirect}}
	if m.cfg.HSTS != nil {
		steps = append(steps, step{after: afterHSTS})
	}
	steps = append(steps, step{beforeLogin, afterLogin})
	if m.cfg.CookieJar != cookies.None {
		jar := newCookieStep(m.cfg.CookieJar)
		steps = append(steps, step{jar.before, jar.after})
	}
	return append(steps, step{beforeProxy, afterProxy}, step{beforeRetry, afterRetry})
}

// transfer is what is done for a reply over HTTP: the side of it that the program does not
// see. All of it belongs to the goroutine that runs it, but for what mu guards.
type transfer struct {
	w       watcher
	m       *Manager
	q       *Request // the settings
	ctx     context.Context
	started time.Time
	wctx    context.Context // of the requests on the wire
	trace   httptrace.ClientTrace
	clock   *flow.Clock     // of the peer's silence; nil without TransferTimeout and MinRate
	rate    *flow.RateGuard // nil without a MinRate

	url        *url.URL // of the hop, with its user information
	method     string
	headers    Headers
	payload    *flow.Payload
	upload     *flow.Upload
	memorySent int64 // length of a body that goes out in one piece
	interims   int32
	questions  int32 // that were asked
	decode     bool  // content codings are ours to take off
	noBody     bool  // none follows the last head
	ownRefused bool  // the program has answered in the place of the URL's password

	mu  sync.Mutex // guards the timers of response heads
	hop hop
}

// mayAsk counts a question, and tells whether it may be asked.
func (t *transfer) mayAsk() bool {
	ask := t.questions < maxQuestions
	t.questions++
	return ask
}

// begin sends the request on its way, and gives the final response, with its content codings
// taken off.
func (t *transfer) begin() (*http.Response, error) {
	t.trace.Got1xxResponse = t.interim // the one thing net/http tells only there
	t.wctx = httptrace.WithClientTrace(t.ctx, &t.trace)
	t.w.Enter(PhaseHeaders)
	t.headers = t.q.Headers
	t.decode = asksForCodings(t.headers)
	req, err := t.newRequest(t.method, t.url)
	if err != nil {
		return nil, err
	}
	t.hop = hop{t: t, m: t.m, req: req, redirects: t.q.maxRedirects()}
	resp, err := t.hop.run(t.m.steps)
	if err != nil {
		return nil, err
	}
	if err = t.decompress(resp); err == nil {
		err = t.limitBody(resp)
	}
	if err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// end lets go of the request body.
func (t *transfer) end() {
	if t.upload != nil {
		t.upload.Close()
	}
}

// hop is one request of a reply on its way down to the connection, and what came back.
// Everything that one step tells another stands here. The requests are made by
// transfer.newRequest for one sending: a step may change their headers.
type hop struct {
	t *transfer
	m *Manager

	req  *http.Request
	resp *http.Response // nil with err
	err  error

	exchange  *exchange // of the last sending
	redirects int       // that may still be followed

	// Of login.
	login     *login // nil where nothing was asked or known
	ownWord   bool   // the request has its own Authorization field (rule U4)
	authRetry bool   // the sending answers a 401 or 407
	session   *wire.Session
	owner     any // whom the connection is authenticated for

	// Of proxy.
	proxies []*Proxy    // that may still be tried, the first of them is
	header  http.Header // of the request, before a proxy has changed it
	proxied *proxied    // the proxy on the way, nil for none

	// Of retry.
	repeats  int
	fresh    bool  // the next sending wants a new connection
	repeated bool  // and is not the first of this hop
	refusal  error // with a code, by the server, to what could be sent again
}

// run takes a hop down all steps and up again, until none of them wants more.
func (h *hop) run(steps []step) (*http.Response, error) {
	i := 0
	for {
		for ; i < len(steps); i++ {
			if before := steps[i].before; before != nil {
				if h.err = before(h); h.err != nil {
					h.resp = nil
					break
				}
			}
		}
		if i == len(steps) {
			h.send()
		}
		again := false
		for i--; i >= 0 && !again; i-- {
			if after := steps[i].after; after != nil {
				again = after(h)
			}
		}
		if !again {
			return h.resp, h.err
		}
		i += 2 // below the step that wants it
		h.resp, h.err = nil, nil
	}
}

// fail gives the response up for an error.
func (h *hop) fail(err error) {
	if h.resp != nil {
		h.resp.Body.Close()
	}
	h.resp, h.err = nil, err
}
