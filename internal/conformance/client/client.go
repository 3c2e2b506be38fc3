// Package client plays the client part of a scenario with netreply and records a trace with
// Qt's names.
//
// Qt runs its slots inside the signal: this client does the same by OnSignal, so that an
// action happens at the signal that the scenario names. Signals that only Qt has are
// recorded at the corresponding points: readChannelFinished before finished, and
// aboutToClose when an abort drops unread bytes.
package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"hash"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/cookies"
	"github.com/netreply/netreply/hsts"
	"github.com/netreply/netreply/httpcache"
	"github.com/netreply/netreply/internal/conformance/scenario"
)

// Client is a runner.Client.
type Client struct{}

func (Client) Name() string { return "netreply-" + netreply.Version }

// Run plays the requests one after the other, or together where they say so.
func (Client) Run(ctx context.Context, c *scenario.Client) (*scenario.Trace, error) {
	r := &run{client: c, step: make(chan struct{}, 1)}
	cfg := netreply.Config{
		OnSignal:        r.managerSignal,
		TransferTimeout: ms(c.Manager.TransferTimeoutMs),
		RedirectPolicy:  policy(c.Manager.RedirectPolicy),
	}
	if p := c.Manager.Proxy; p != nil {
		cfg.Proxy = proxy(p)
	}
	if c.Manager.Cache != "" {
		cfg.Cache = httpcache.New(httpcache.NewMemory(httpcache.Limits{}))
	}
	if c.Manager.CookieJar == "none" {
		cfg.CookieJar = cookies.None
	}
	if c.Manager.HSTS {
		cfg.HSTS = hsts.NewStore()
		for _, h := range c.Manager.HSTSHosts {
			cfg.HSTS.Add(hsts.Policy{Host: h.Host, IncludeSubdomains: h.Subdomains, Expires: time.Now().Add(time.Duration(h.ExpiresSec) * time.Second)})
		}
	}
	m, err := netreply.NewManager(cfg)
	if err != nil {
		return nil, err
	}
	r.manager = m
	r.jar, _ = m.CookieJar().(*cookies.Jar)
	for _, c := range c.Manager.Cookies {
		if u, err := url.Parse(c.URL); err == nil && r.jar != nil {
			r.jar.SetHeader(u, []string{c.Cookie})
		}
	}
	if c.Manager.Preconnect != "" {
		preconnect(ctx, m, c.Manager.Preconnect)
	}
	deadline := time.NewTimer(ms(c.DeadlineMs))
	defer deadline.Stop()
	for i := range c.Requests {
		r.reqs = append(r.reqs, &request{spec: &c.Requests[i], run: r, hash: sha256.New(), bytesAtEnd: -1,
			seen: map[string]int64{}, fired: map[int]bool{}, gate: make(chan struct{}), stop: make(chan struct{})})
	}
	over := false
	r.startNext()
	for !over {
		select {
		case <-r.step:
			switch {
			case !r.settled():
			case r.next < len(r.reqs):
				time.Sleep(10 * time.Millisecond)
				r.startNext()
			default:
				time.Sleep(ms(c.LingerMs))
				over = true
			}
		case <-deadline.C:
			r.deadline, over = true, true
		case <-ctx.Done():
			over = true
		}
	}
	t := r.trace()
	for _, q := range r.reqs {
		q.stopOnce.Do(func() { close(q.stop) })
		q.mute()
	}
	m.Close()
	r.timers.Wait()
	return t, nil
}

// preconnect opens a connection like Qt, without reporting the result.
func preconnect(ctx context.Context, m *netreply.Manager, where string) {
	plain, encrypted := strings.CutPrefix(where, "tls:")
	host, portText, err := net.SplitHostPort(plain)
	port, bad := strconv.ParseUint(portText, 10, 16)
	switch {
	case err != nil || bad != nil:
	case encrypted:
		m.ConnectToHostEncrypted(ctx, host, uint16(port), nil)
	default:
		m.ConnectToHost(ctx, host, uint16(port))
	}
}

func proxy(p *scenario.Proxy) *netreply.Proxy {
	port, _ := strconv.ParseUint(p.Port, 10, 16)
	return &netreply.Proxy{Host: p.Host, Port: uint16(port), User: p.User, Password: p.Pass, Type: map[string]netreply.ProxyType{
		"http": netreply.HTTPProxy, "httpcaching": netreply.HTTPCachingProxy, "socks5": netreply.Socks5Proxy, "none": netreply.NoProxy,
	}[p.Type]}
}

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

func policy(s string) netreply.RedirectPolicy {
	return map[string]netreply.RedirectPolicy{
		"Manual": netreply.ManualRedirectPolicy, "NoLessSafe": netreply.NoLessSafeRedirectPolicy,
		"SameOrigin": netreply.SameOriginRedirectPolicy, "UserVerified": netreply.UserVerifiedRedirectPolicy,
	}[s]
}

// run is the state of one scenario.
type run struct {
	client   *scenario.Client
	manager  *netreply.Manager
	jar      *cookies.Jar // nil for none
	reqs     []*request
	next     int
	step     chan struct{}
	deadline bool
	timers   sync.WaitGroup

	mu     sync.Mutex
	events []scenario.Event
	log    []string
	// answers given to authenticationRequired
	answered, proxyAnswered int
}

// request is one request of a scenario and the observations of its reply.
type request struct {
	spec *scenario.Request
	run  *run
	gate chan struct{} // closed when the call that made the reply has returned
	stop chan struct{}

	stopOnce sync.Once

	// guarded by run.mu
	reply      *netreply.Reply
	acting     bool
	created    bool
	finished   bool
	finishes   int
	drained    bool
	closed     bool // the "device"
	muted      bool
	dying      bool // deleteLater during the last signals: deleted after finished
	snapshot   *scenario.Reply
	redirect   *netreply.Redirect
	profile    *netreply.SSLConfiguration
	ignoring   bool // ignoreSslErrors was called
	seen       map[string]int64
	fired      map[int]bool
	up, down   progress
	hash       hash.Hash
	head       []byte
	size       int64
	bytesAtEnd int64
	maxBuffer  int64
}

type progress struct {
	count int
	p     scenario.Progress
}

func (p *progress) add(done, total int64) {
	v := [2]int64{done, total}
	if p.count == 0 {
		p.p = scenario.Progress{First: v, Last: v, Monotonic: true, TotalFixed: true}
	} else {
		p.p.Monotonic = p.p.Monotonic && done >= p.p.Last[0]
		p.p.TotalFixed = p.p.TotalFixed && total == p.p.Last[1]
	}
	p.p.Last = v
	p.count++
}

func (r *run) wake() {
	select {
	case r.step <- struct{}{}:
	default:
	}
}

func (r *run) settled() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, q := range r.reqs[:r.next] {
		if !q.finished || !q.drained {
			return false
		}
	}
	return true
}

// startNext starts a request, and those that are to start with it.
func (r *run) startNext() {
	for r.next < len(r.reqs) {
		q := r.reqs[r.next]
		r.next++
		time.Sleep(ms(q.spec.DelayMs))
		q.start()
		if r.next == len(r.reqs) || r.reqs[r.next].spec.Start != "together" {
			break
		}
	}
	r.wake()
}

// local tells whether the request reads a data: or file: URL. Their replies have no
// readChannelFinished in Qt.
func (q *request) local() bool {
	scheme, _, _ := strings.Cut(q.spec.URL, ":")
	return (scheme == "data" || scheme == "file") && (q.spec.Verb == "GET" || q.spec.Verb == "HEAD")
}

// event records a signal; it must be called without the lock.
func (q *request) event(sig string, args map[string]any) {
	state := ""
	r := q.reply
	if r != nil {
		state = "running"
		if r.IsFinished() {
			state = "finished"
		}
		var e *netreply.Error
		if errors.As(r.Err(), &e) {
			state += " " + e.Code.String()
		}
	}
	q.run.mu.Lock()
	defer q.run.mu.Unlock()
	if !q.muted {
		q.run.events = append(q.run.events, scenario.Event{Reply: q.spec.ID, Sig: sig, Args: args, State: state})
	}
}

// events records an event without a state; the caller holds the lock.
func (q *request) events(sig string) {
	q.run.events = append(q.run.events, scenario.Event{Reply: q.spec.ID, Sig: sig})
}

func (q *request) mute() {
	q.run.mu.Lock()
	defer q.run.mu.Unlock()
	q.muted = true
}

func (q *request) start() {
	s := q.spec
	req, err := q.request()
	var reply *netreply.Reply
	m, ctx := q.run.manager, context.Background()
	if err != nil {
		// for Qt an invalid URL is an empty one
		req = &netreply.Request{}
	}
	key.Set(req, q)
	req.OnSignal = q.signal
	body := q.body()
	switch {
	case body == nil && !s.Custom && s.Verb == "GET":
		reply = m.Get(ctx, req)
	case body == nil && !s.Custom && s.Verb == "HEAD":
		reply = m.Head(ctx, req)
	case body == nil && !s.Custom && s.Verb == "DELETE":
		reply = m.Delete(ctx, req)
	case !s.Custom && s.Verb == "POST":
		reply = m.Post(ctx, req, body)
	case !s.Custom && s.Verb == "PUT":
		reply = m.Put(ctx, req, body)
	default:
		reply = m.Send(ctx, s.Verb, req, body)
	}
	q.run.mu.Lock()
	q.reply, q.created = reply, true
	q.run.mu.Unlock()
	q.event("created", nil)
	q.run.mu.Lock()
	q.acting = true
	q.run.mu.Unlock()
	q.act("start")
	for i, a := range s.Actions {
		if a.On == "ms" {
			q.after(ms(int(a.N)), func() {
				if q.fire(i) {
					q.perform(a)
				}
			})
		}
	}
	if s.Read == "paced" {
		q.every(ms(s.ReadMs), q.pace)
	}
	q.run.mu.Lock()
	q.acting = false
	q.run.mu.Unlock()
	close(q.gate)
}

func (q *request) after(d time.Duration, f func()) {
	q.run.timers.Go(func() {
		select {
		case <-time.After(d):
			f()
		case <-q.stop:
		}
	})
}

func (q *request) every(d time.Duration, f func() bool) {
	q.run.timers.Go(func() {
		tick := time.NewTicker(max(d, time.Millisecond))
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if !f() {
					return
				}
			case <-q.stop:
				return
			}
		}
	})
}

// request builds the netreply side of a scenario's request.
func (q *request) request() (*netreply.Request, error) {
	s := q.spec
	req, err := netreply.NewRequest(s.URL)
	if err != nil {
		return nil, err
	}
	for _, h := range s.Headers {
		req.Headers.Set(h[0], h[1])
	}
	req.RedirectPolicy = policy(s.RedirectPolicy)
	if s.MaxRedirects != nil {
		req.MaxRedirects = *s.MaxRedirects
		if req.MaxRedirects <= 0 {
			req.MaxRedirects = -1
		}
	}
	req.TransferTimeout = ms(s.TransferTimeoutMs)
	req.ReadBufferSize = s.ReadBufferSize
	q.encryption(req)
	if s.Decompress != nil {
		req.DecompressedSafetyCheckThreshold = *s.Decompress
	}
	for name, v := range s.Attributes {
		on, _ := v.(bool)
		number, _ := v.(float64)
		switch name {
		case "RedirectPolicy":
			req.RedirectPolicy = netreply.RedirectPolicy(int(number) + 1)
			if text, ok := v.(string); ok {
				req.RedirectPolicy = policy(text)
			}
		case "DoNotBufferUploadData":
			req.DoNotBufferUploadData = on
		case "AuthenticationReuse":
			req.AuthenticationReuse = control(v)
		case "CacheLoadControl":
			req.CacheLoadControl = cacheControl(v)
		case "CacheSaveControl":
			if save, ok := v.(bool); ok && !save {
				req.CacheSaveControl = netreply.LoadManual
			}
		case "CookieLoadControl":
			req.CookieLoadControl = control(v)
		case "CookieSaveControl":
			req.CookieSaveControl = control(v)
		case "EmitAllUploadProgressSignals":
			req.EmitAllUploadProgress = on
		case "BackgroundRequest":
			req.Background = on
		case "Http2Allowed":
			if !on {
				req.HTTP = netreply.HTTP1Only
			}
		case "Http2Direct":
			if on {
				req.HTTP = netreply.HTTP2Direct
			}
		case "ConnectionCacheExpiryTimeoutSeconds":
			req.ConnectionCacheExpiry = time.Duration(number) * time.Second
			if number == 0 {
				req.ConnectionCacheExpiry = -1
			}
		}
	}
	return req, nil
}

// cacheControl parses a CacheLoadControl, by number or by name.
func cacheControl(v any) netreply.CacheLoadControl {
	all := []netreply.CacheLoadControl{netreply.AlwaysNetwork, netreply.PreferNetwork, netreply.PreferCache, netreply.AlwaysCache}
	for i, c := range all {
		if v == c.String() || v == float64(i) {
			return c
		}
	}
	return netreply.DefaultCacheLoadControl
}

// control parses a LoadControl, by number or by name.
func control(v any) netreply.LoadControl {
	if n, _ := v.(float64); n == 1 || v == "Manual" {
		return netreply.LoadManual
	}
	return netreply.LoadAutomatic
}

// body builds the body, nil for none.
func (q *request) body() netreply.Body {
	b := q.spec.Body
	if b == nil {
		switch {
		case !q.spec.Custom && (q.spec.Verb == "POST" || q.spec.Verb == "PUT"):
			return netreply.BytesBody(nil) // as Qt's client sends an empty array
		}
		return nil
	}
	data := []byte(b.Text)
	if b.B64 != "" {
		data, _ = base64.StdEncoding.DecodeString(b.B64)
	}
	if b.Gen > 0 {
		data = scenario.Gen(b.Gen)
	}
	switch {
	case b.Kind == "sequential":
		return netreply.ReaderBody(&sequential{data: data, piece: b.Piece, pause: ms(b.PieceMs)})
	case b.Kind == "device" && b.ReadErrAt > 0:
		return netreply.ReaderBody(&failing{Reader: bytes.NewReader(data), left: b.ReadErrAt})
	case b.Kind == "device" && b.Closed:
		f, err := os.Open(os.DevNull)
		if err == nil {
			f.Close()
		}
		return netreply.ReaderBody(f)
	case b.Kind == "device":
		return netreply.ReaderBody(bytes.NewReader(data))
	case b.Kind == "multipart":
		return multipart(b)
	}
	return netreply.BytesBody(data)
}

func multipart(b *scenario.Body) netreply.Body {
	m := &netreply.Multipart{Boundary: b.Boundary, Type: map[string]netreply.MultipartType{
		"form-data": netreply.FormDataType, "related": netreply.RelatedType, "alternative": netreply.AlternativeType,
	}[b.Multipart]}
	for _, p := range b.Parts {
		data := []byte(p.Text)
		if p.Gen > 0 {
			data = scenario.Gen(p.Gen)
		}
		var h netreply.Headers
		for _, f := range p.Headers {
			h.Set(f[0], f[1])
		}
		body := netreply.BytesBody(data)
		if p.Device {
			body = netreply.ReaderBody(bytes.NewReader(data))
		}
		m.Add(h, body)
	}
	return m
}

// sequential is a source of unknown length that returns a piece after each pause.
type sequential struct {
	data  []byte
	piece int
	pause time.Duration
	ready int
}

func (s *sequential) Read(p []byte) (int, error) {
	if s.ready == 0 {
		time.Sleep(s.pause)
		s.ready = s.piece
		if s.ready <= 0 {
			s.ready = 4096
		}
		s.ready = min(s.ready, len(s.data))
		if s.ready == 0 {
			return 0, io.EOF
		}
	}
	n := copy(p, s.data[:s.ready])
	s.data, s.ready = s.data[n:], s.ready-n
	return n, nil
}

// failing is a file that fails at an offset.
type failing struct {
	*bytes.Reader
	left int
}

func (f *failing) Read(p []byte) (int, error) {
	if f.left == 0 {
		return 0, errors.New("the device failed")
	}
	n, err := f.Reader.Read(p[:min(len(p), f.left)])
	f.left -= n
	return n, err
}

// WriteTo hides the method of bytes.Reader.
func (f *failing) WriteTo(io.Writer) (int64, error) { return 0, errors.ErrUnsupported }

// managerSignal records the signals of QNetworkAccessManager, and those of the reply just
// before.
func (r *run) managerSignal(reply *netreply.Reply, e netreply.Event) {
	q := r.of(reply)
	if q == nil {
		return
	}
	q.pass()
	switch e := e.(type) {
	case netreply.AuthenticationRequired:
		r.authenticate(q, e.Authenticator)
	case netreply.ProxyAuthenticationRequired:
		r.authenticateProxy(q, e.ProxyAuthenticator)
	case netreply.Finished:
		if !q.local() {
			q.event("readChannelFinished", nil)
		}
		r.managerEvent(q, "finished", map[string]any{})
	case netreply.Encrypted:
		r.managerEvent(q, "encrypted", map[string]any{})
	case netreply.SSLErrorsOccurred:
		r.managerEvent(q, "sslErrors", map[string]any{"errors": sslErrors(e.SSLErrors)})
	}
}

func (r *run) managerEvent(q *request, sig string, args map[string]any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !q.muted {
		args["reply"] = q.spec.ID
		r.events = append(r.events, scenario.Event{Sig: sig, Args: args})
	}
}

// authenticate answers as the scenario says, once for each of its answers.
func (r *run) authenticate(q *request, a *netreply.Authenticator) {
	r.managerEvent(q, "authenticationRequired", map[string]any{"realm": a.Realm, "user": a.User})
	r.mu.Lock()
	answers := r.client.Manager.Auth
	n := r.answered
	r.answered++
	r.mu.Unlock()
	if n < len(answers) {
		a.SetCredentials(answers[n].User, answers[n].Pass)
	}
	q.act("authenticationRequired")
}

// authenticateProxy does the same for a proxy.
func (r *run) authenticateProxy(q *request, a *netreply.ProxyAuthenticator) {
	r.mu.Lock()
	// Qt does not report for which reply
	r.events = append(r.events, scenario.Event{Sig: "proxyAuthenticationRequired", Args: map[string]any{"realm": a.Realm, "user": a.User,
		"proxy": net.JoinHostPort(a.Proxy.Host, strconv.Itoa(int(a.Proxy.Port)))}})
	answers := r.client.Manager.ProxyAuth
	n := r.proxyAnswered
	r.proxyAnswered++
	r.mu.Unlock()
	if n < len(answers) {
		a.SetCredentials(answers[n].User, answers[n].Pass)
	}
}

// key finds the request of a reply before the call that makes it has returned.
var key = netreply.NewUserAttribute[*request]("scenario")

func (r *run) of(reply *netreply.Reply) *request {
	q, _ := key.Of(reply.Request())
	return q
}

// pass waits until the reply was created: no signal is delivered before.
func (q *request) pass() {
	q.run.mu.Lock()
	acting := q.acting
	q.run.mu.Unlock()
	if !acting {
		<-q.gate
	}
}

// signal records a signal of the reply and runs the actions of the scenario.
func (q *request) signal(_ *netreply.Reply, e netreply.Event) {
	q.pass()
	q.run.mu.Lock()
	muted := q.muted
	q.run.mu.Unlock()
	if muted {
		return
	}
	switch e := e.(type) {
	case netreply.SocketStartedConnecting:
		q.on("socketStartedConnecting", nil)
	case netreply.Encrypted:
		q.on("encrypted", nil)
	case netreply.SSLErrorsOccurred:
		q.on("sslErrors", map[string]any{"errors": sslErrors(e.SSLErrors)})
		if ignore := q.spec.SSLIgnore; q.ignoring || ignore != nil && ignore.Mode == "allInSlot" {
			e.Ignore()
		}
	case netreply.RequestSent:
		q.on("requestSent", nil)
	case netreply.MetaDataChanged:
		var args map[string]any
		if !q.local() { // in Qt the status of a file is set by the first read
			args = map[string]any{"status": e.StatusCode}
		}
		q.on("metaDataChanged", args)
	case netreply.Redirected:
		q.run.mu.Lock()
		q.redirect = e.Redirect
		q.run.mu.Unlock()
		q.on("redirected", map[string]any{"url": e.URL.String()})
	case netreply.ReadyRead:
		q.readyRead()
	case netreply.UploadProgress:
		q.run.mu.Lock()
		q.up.add(e.Done, e.Total)
		q.run.mu.Unlock()
		q.on("uploadProgress", map[string]any{"total": e.Total})
	case netreply.DownloadProgress:
		q.run.mu.Lock()
		q.down.add(e.Done, e.Total)
		q.run.mu.Unlock()
		q.on("downloadProgress", map[string]any{"total": e.Total})
	case netreply.ErrorOccurred:
		if e.Code == netreply.TimeoutError && (q.spec.TransferTimeoutMs > 0 || q.run.client.Manager.TransferTimeoutMs > 0) {
			q.aboutToClose()
		}
		q.on("errorOccurred", map[string]any{"error": e.Code.String()})
	case netreply.Finished:
		q.finish()
	}
}

func (q *request) on(sig string, args map[string]any) {
	q.event(sig, args)
	q.act(sig)
}

func (q *request) readyRead() {
	n := q.reply.BytesAvailable()
	q.run.mu.Lock()
	q.maxBuffer = max(q.maxBuffer, n)
	q.run.mu.Unlock()
	q.on("readyRead", nil)
	for i, a := range q.spec.Actions {
		if a.On == "bytes" && q.size+q.reply.BytesAvailable() >= a.N && q.fire(i) {
			q.perform(a)
		}
	}
	if q.spec.Read == "onReadyRead" && !q.isClosed() {
		q.takeAll()
	}
}

func (q *request) isClosed() bool {
	q.run.mu.Lock()
	defer q.run.mu.Unlock()
	return q.closed
}

// takeAll reads the available bytes.
func (q *request) takeAll() { q.take(q.reply.BytesAvailable()) }

func (q *request) take(n int64) int64 {
	n = min(n, q.reply.BytesAvailable())
	if n == 0 {
		return 0
	}
	b := make([]byte, n)
	m, _ := io.ReadFull(q.reply, b)
	b = b[:m]
	q.run.mu.Lock()
	defer q.run.mu.Unlock()
	q.hash.Write(b)
	q.size += int64(m)
	if len(q.head) < 512 {
		q.head = append(q.head, b[:min(len(b), 512)]...)
	}
	return int64(m)
}

func (q *request) finish() {
	q.run.mu.Lock()
	q.finishes++
	q.run.mu.Unlock()
	q.event("finished", nil)
	q.bytesAtEnd = q.reply.BytesAvailable()
	q.act("finished")
	if q.spec.Read != "paced" && q.spec.Read != "never" && !q.isClosed() {
		q.takeAll()
	}
	shot := q.final()
	q.run.mu.Lock()
	if q.dying {
		q.events("destroyed")
		q.muted, q.drained = true, true
	}
	if q.spec.Read != "paced" {
		q.drained = true
	}
	q.finished = true
	if q.snapshot == nil {
		q.snapshot = shot
	}
	q.run.mu.Unlock()
	q.run.wake()
}

// pace reads a piece; false ends the pacing.
func (q *request) pace() bool {
	q.run.mu.Lock()
	finished := q.finished
	q.run.mu.Unlock()
	var n int64
	if !q.isClosed() {
		n = q.take(int64(q.spec.ReadChunk))
	}
	if !finished || n > 0 {
		return true
	}
	q.run.mu.Lock()
	q.drained = true
	q.run.mu.Unlock()
	q.run.wake()
	return false
}

// fire reports whether an action is to run, which is true once.
func (q *request) fire(i int) bool {
	q.run.mu.Lock()
	defer q.run.mu.Unlock()
	if q.fired[i] || q.muted {
		return false
	}
	q.fired[i] = true
	return true
}

func (q *request) act(sig string) {
	q.run.mu.Lock()
	q.seen[sig]++
	times := q.seen[sig]
	q.run.mu.Unlock()
	for i, a := range q.spec.Actions {
		if a.On == sig && times >= max(1, a.N) && q.fire(i) {
			q.perform(a)
		}
	}
}

// aboutToClose is Qt's signal before unread bytes are dropped.
func (q *request) aboutToClose() {
	q.run.mu.Lock()
	was := q.closed
	q.closed = true
	q.run.mu.Unlock()
	if !was {
		q.event("aboutToClose", nil)
	}
}

func (q *request) perform(a scenario.Action) {
	q.event("action:"+a.Do, nil)
	r := q.reply
	switch a.Do {
	case "abort", "close":
		if !r.IsFinished() {
			q.aboutToClose()
		}
		if a.Do == "abort" {
			r.Abort()
		} else {
			r.Close()
		}
	case "redirectAllowed":
		q.event("redirectAllowed", nil)
		if q.redirect != nil {
			q.redirect.Allow()
		}
	case "readAll":
		q.takeAll()
	case "setReadBufferSize":
		r.SetReadBufferSize(a.Arg)
	case "deleteLater":
		if r.IsFinished() || r.Err() != nil {
			q.dying = true
			return
		}
		shot := q.final()
		q.run.mu.Lock()
		q.events("destroyed")
		q.snapshot, q.finished, q.drained, q.muted = shot, true, true, true
		q.run.mu.Unlock()
		r.Close()
		q.run.wake()
	case "clearConnectionCache", "clearAccessCache":
		q.run.manager.ClearConnectionCache()
	case "ignoreSslErrors":
		q.ignoring = true
	case "closeManager":
		// inside a signal the Manager would wait for its own callback
		q.run.timers.Go(func() { q.run.manager.Close() })
	default:
		q.run.warn("unknown action " + a.Do)
	}
}

// warn notes something in the trace's log, which is never compared.
func (r *run) warn(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, text)
}
