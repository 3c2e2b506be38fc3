package flow_test

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/auth"
	"github.com/netreply/netreply/internal/certs"
	"github.com/netreply/netreply/internal/coding"
	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/flow"
	"github.com/netreply/netreply/internal/testserver"
	"github.com/netreply/netreply/internal/wire"
)

// watcher is a flow.Watcher that logs its calls in order, and answers with its functions.
// Without them it follows redirects, accepts no certificate flaws, and has no password and
// no proxy.
type watcher struct {
	profile     *wire.Profile
	once        bool // results of Profile
	redirect    func(r *flow.Redirection, meanwhile func()) bool
	certificate func(f *certs.Failure, ask bool) *wire.Profile
	key         func(about any)
	password    func(*flow.PasswordQuestion) *auth.Credentials // nil for no answer
	token       func(refused string) (string, error)
	proxies     func(*url.URL) ([]*flow.Proxy, error)
	on          func(call string) // called with each line of the log, from any goroutine
	headLate    func()

	mu    sync.Mutex
	log   []string
	heads []flow.Head
	sent  *atomic.Int64 // the last counter
}

// tell adds a line to the log.
func (w *watcher) tell(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	w.mu.Lock()
	w.log = append(w.log, line)
	w.mu.Unlock()
	if w.on != nil {
		w.on(line)
	}
}

// told returns the lines of the log that begin with one of the words, or all.
func (w *watcher) told(words ...string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []string
	for _, line := range w.log {
		first, _, _ := strings.Cut(line, " ")
		if len(words) == 0 || slices.Contains(words, first) {
			list = append(list, line)
		}
	}
	return list
}

// phases are the names of flow.Phase.
var phases = [...]string{"local", "queue", "connect", "tls", "headers", "body"}

func (w *watcher) Enter(p flow.Phase)              { w.tell("enter %s", phases[p]) }
func (w *watcher) Connecting()                     { w.tell("connecting") }
func (w *watcher) Encrypted(*tls.ConnectionState)  { w.tell("encrypted") }
func (w *watcher) Sent()                           { w.tell("sent") }
func (w *watcher) Uploaded(sent, total int64)      { w.tell("uploaded %d/%d", sent, total) }
func (w *watcher) Interim(code int, h http.Header) { w.tell("interim %d %s", code, h.Get("N")) }
func (w *watcher) Refused(target *url.URL)         { w.tell("refused %v", target) }
func (w *watcher) Local(int64)                     { w.tell("local") }
func (w *watcher) Uncached(string)                 { w.tell("uncached") }
func (w *watcher) Decoding(*coding.Reader)         { w.tell("decoding") }
func (w *watcher) FlawsAccepted(host string, f *certs.Failure) {
	w.tell("flaws-accepted %s %d", host, len(f.Problems))
}

func (w *watcher) Carrier(c *wire.Conn) {
	w.tell("carrier %s", cmp.Or(map[bool]string{true: "reused"}[c.Reused], "new"))
}

func (w *watcher) Uploads(sent *atomic.Int64) {
	w.mu.Lock()
	w.sent = sent
	w.mu.Unlock()
	if sent == nil {
		w.tell("no-upload")
		return
	}
	w.tell("uploads")
}

func (w *watcher) HeadLate() {
	w.tell("head-late")
	w.headLate()
}

func (w *watcher) Head(h *flow.Head) {
	w.mu.Lock()
	w.heads = append(w.heads, *h)
	w.mu.Unlock()
	w.tell("head %d%s", h.StatusCode, map[bool]string{true: " final"}[h.Final])
}

func (w *watcher) Redirect(r *flow.Redirection, meanwhile func()) bool {
	w.tell("redirect %d %s %v -> %v", r.Status, r.Method, r.From, r.To)
	if w.redirect == nil {
		meanwhile()
		return true
	}
	return w.redirect(r, meanwhile)
}

func (w *watcher) Profile(*url.URL) (*wire.Profile, bool) { return w.profile, w.once }

func (w *watcher) Certificate(_ *url.URL, host string, f *certs.Failure, ask bool) *wire.Profile {
	w.tell("certificate %s%s", host, map[bool]string{false: ", not to be asked"}[ask])
	if w.certificate == nil {
		return nil
	}
	return w.certificate(f, ask)
}

func (w *watcher) Key(about any) {
	w.tell("key %v", about)
	if w.key != nil {
		w.key(about)
	}
}

func (w *watcher) Password(q *flow.PasswordQuestion) (*auth.Credentials, bool) {
	who := ""
	if q.Proxy != nil {
		who = " of " + q.Proxy.Name
	}
	w.tell("password %s %q%s%s%s", q.Scheme, q.Realm, who, map[bool]string{true: ", again"}[q.PreviousFailed], map[bool]string{true: ", told"}[q.ReportOnly])
	if w.password == nil {
		return nil, false
	}
	answer := w.password(q)
	return answer, answer != nil
}

func (w *watcher) Tokens() flow.TokenSource { return w }

func (w *watcher) Token(_ context.Context, refused string) (string, error) {
	w.tell("token not %q", refused)
	return w.token(refused)
}

func (w *watcher) Via() string { return "" }

func (w *watcher) Proxies(u *url.URL) ([]*flow.Proxy, error) {
	w.tell("proxies %v", u)
	if w.proxies == nil {
		return nil, nil
	}
	return w.proxies(u)
}

// client is an Engine with a real Transport.
type client struct {
	*testing.T
	engine  *flow.Engine
	wire    *wire.Transport
	profile *wire.Profile // of https
}

// newClient makes a client with the roots of cfg. addr is the address of all connections,
// "" for that of the URL.
func newClient(t *testing.T, cfg *tls.Config, addr string, change ...func(*flow.Config)) *client {
	d := &dial.Dialer{ConnectTimeout: 20 * time.Second, TLSTimeout: 20 * time.Second}
	if addr != "" {
		d.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		}
	}
	return newClientOf(t, d, cfg, change...)
}

// newClientOf is newClient with a dialer.
func newClientOf(t *testing.T, d *dial.Dialer, cfg *tls.Config, change ...func(*flow.Config)) *client {
	if cfg == nil {
		cfg = &tls.Config{}
	}
	c := &client{T: t, wire: wire.NewTransport(wire.Config{Dialer: d}), profile: &wire.Profile{Config: cfg}}
	fc := flow.Config{Wire: c.wire, NextProxy: anyProxyFailure}
	for _, f := range change {
		f(&fc)
	}
	c.engine = flow.NewEngine(fc)
	t.Cleanup(c.close)
	return c
}

// close ends the client.
func (c *client) close() {
	c.wire.Close()
	c.engine.Close()
}

// anyProxyFailure tries the next proxy after any failure.
func anyProxyFailure(err error) bool {
	var f *flow.ProxyFailure
	return errors.As(err, &f)
}

// result is the result of a transfer.
type result struct {
	*watcher
	resp *http.Response // nil if there was no head
	body string
	err  error
}

// errLate ends a test that takes too long.
var errLate = errors.New("the test has waited for too long")

// do runs a transfer on the calling goroutine.
func (c *client) do(w *watcher, q flow.Request) result {
	ctx, cancel := context.WithTimeoutCause(context.Background(), 20*time.Second, errLate)
	defer cancel()
	return c.doIn(ctx, w, q, nil)
}

// doIn is do with a context. set may change the transfer.
func (c *client) doIn(ctx context.Context, w *watcher, q flow.Request, set func(*flow.Transfer)) result {
	if w.profile == nil {
		w.profile = c.profile
	}
	t := c.engine.NewTransfer(ctx, w)
	t.Request = q
	if set != nil {
		set(t)
	}
	defer t.Close()
	r := result{watcher: w}
	if r.resp, r.err = t.Begin(); r.err != nil {
		return r
	}
	defer r.resp.Body.Close()
	body, err := io.ReadAll(r.resp.Body)
	r.body, r.err = string(body), err
	return r
}

// ok is do for a request that must succeed.
func (c *client) ok(w *watcher, q flow.Request) result {
	c.Helper()
	r := c.do(w, q)
	require.NoError(c, r.err, "%q", w.told())
	return r
}

// get is a request for a URL.
func get(address string) flow.Request { return request(http.MethodGet, address, nil) }

func request(method, address string, body *flow.Payload) flow.Request {
	u, err := url.Parse(address)
	if err != nil {
		panic(err)
	}
	return flow.Request{Method: method, URL: u, MaxRedirects: 5, Payload: body}
}

// inMemory is a body that is in memory.
func inMemory(text string) *flow.Payload {
	p := fromSource(text)
	p.Memory = []byte(text)
	return p
}

// fromSource is a body from a source that can be opened again.
func fromSource(text string) *flow.Payload {
	return &flow.Payload{Size: int64(len(text)), Rewindable: true, Open: func() (io.Reader, error) { return strings.NewReader(text), nil }}
}

// onlyOnce is a body that can be read once.
func onlyOnce(text string) *flow.Payload {
	s := &flow.Sequential{Source: strings.NewReader(text)}
	return &flow.Payload{Size: int64(len(text)), Open: s.Open}
}

// eachKind runs a test over each protocol, against a handler.
func eachKind(t *testing.T, h http.HandlerFunc, test func(t *testing.T, s *server)) {
	for _, kind := range testserver.Kinds {
		t.Run(string(kind), func(t *testing.T) { test(t, newServer(t, kind, h)) })
	}
}

// server is a handler and a client for it.
type server struct {
	*client
	URL  string
	kind testserver.Kind
}

func newServer(t *testing.T, kind testserver.Kind, h http.HandlerFunc, change ...func(*flow.Config)) *server {
	s, cfg := testserver.NewOrigin(t, kind, h)
	return &server{newClient(t, cfg, "", change...), s.URL, kind}
}

// get is a request to the server.
func (s *server) get(path string) flow.Request { return s.request(http.MethodGet, path, nil) }

func (s *server) request(method, path string, body *flow.Payload) flow.Request {
	q := request(method, s.URL+path, body)
	if s.kind == testserver.H2C {
		q.HTTP = wire.HTTP2
	}
	return q
}

// http2 reports that the server uses HTTP/2.
func (s *server) http2() bool { return s.kind == testserver.H2 || s.kind == testserver.H2C }
