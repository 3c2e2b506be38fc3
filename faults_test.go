package netreply_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

var faultOffsets = flag.Int("faults.offsets", 2, "at how many places of an exchange TestFaults has each fault; 0 means at every byte, which takes an hour")

const (
	// faultSilence is the time limit of exchanges that may stall, and must then end by it.
	faultSilence = 300 * time.Millisecond
	// faultNone is the time limit of the others, which must not reach it.
	faultNone     = 30 * time.Second
	faultWatchdog = 2 * time.Minute
)

// faultCase is one exchange with a fault.
type faultCase struct {
	server   *faultServer
	exchange faultExchange
	kept     bool // on a reused connection
	fault    testserver.Fault
}

func (c *faultCase) String() string {
	fresh := "fresh"
	if c.kept {
		fresh = "kept"
	}
	return fmt.Sprintf("%s %s %s: %v %v at %d", c.server.kind, fresh, c.exchange.name, c.fault.Kind, c.fault.Direction, c.fault.Offset)
}

// faultResult is the result of a case.
type faultResult struct {
	passed   [2]int64
	happened bool
	body     string
	status   int
	err      error
	posts    int
	readings []reading
}

// run runs a case and checks what must hold for every fault. step is called with its
// progress.
func (c *faultCase) run(step func(string)) (res faultResult, wrong []string) {
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	proxy, err := testserver.NewFaulty(c.server.addr)
	if err != nil {
		bad("%v", err)
		return res, wrong
	}
	defer proxy.Close()
	var open sync.WaitGroup // connections of the client
	silence := faultNone
	if c.limited() {
		silence = faultSilence
	}
	m, err := netreply.NewManager(netreply.Config{
		SSLConfiguration: c.server.cfg,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			open.Add(1)
			return &countedConn{nc.(*net.TCPConn), sync.OnceFunc(open.Done)}, nil
		},
	})
	if err != nil {
		bad("%v", err)
		return res, wrong
	}
	defer m.Close()
	send := func(x faultExchange, silence time.Duration) (*netreply.Reply, string, error) {
		scheme := "http"
		if c.secret() {
			scheme = "https"
		}
		req, err := netreply.NewRequest(scheme + "://" + proxy.Addr + x.path)
		if err != nil {
			panic(err)
		}
		req.TransferTimeout = silence
		if c.server.kind == testserver.H2C {
			req.HTTP = netreply.HTTP2Direct
		}
		var body netreply.Body
		if x.body != nil {
			body = x.body()
		}
		r := m.Send(context.Background(), x.method, req, body)
		text, _ := io.ReadAll(r)
		return r, string(text), r.Wait(context.Background())
	}
	working := func(when string, silence time.Duration) bool {
		step("sending the request " + when)
		_, body, err := send(faultExchanges[0], silence)
		ok := err == nil && body == faultAnswer("/length", "")
		if !ok && (err == nil && !c.garbled() || silence == faultNone) {
			bad("the request %s: %v, %q", when, err, body)
		}
		return ok
	}
	if c.kept {
		working("before", faultNone)
	}
	proxy.Arm(c.fault)
	step("sending the request")
	r, body, err := send(c.exchange, silence)
	res = faultResult{passed: proxy.Passed(), happened: proxy.Happened(), body: body, status: r.StatusCode(), err: err}
	res.readings = readings(c.server.kind, proxy.Delivered(), c.exchange.method)
	proxy.Arm(testserver.Fault{})
	// A silent connection is closed, which the next request may still notice. After an
	// inserted or dropped byte in clear text, the following bytes are misinterpreted for a
	// while.
	ok := false
	for wait := faultSilence; c.limited() && !ok && wait < 4*time.Second; wait *= 2 {
		if c.garbled() {
			m.ClearConnectionCache()
		}
		ok = working("next", wait)
	}
	if !ok {
		working("afterwards", faultNone)
	}
	step("ending idle connections")
	m.ClearConnectionCache()
	step("closing the Manager")
	m.Close()
	step("waiting for the client's connections to be closed")
	open.Wait()
	clients := proxy.Clients()
	proxy.Close()
	step("waiting for the server")
	ctx, cancel := context.WithTimeout(context.Background(), faultNone)
	defer cancel()
	if res.posts, err = c.server.forget(ctx, clients); err != nil {
		bad("%v", err)
	}
	return res, wrong
}

// check checks a result.
func (c *faultCase) check(res *faultResult) (wrong []string) {
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	upload := ""
	if c.exchange.body != nil {
		upload = faultUpload
	}
	want := faultAnswer(c.exchange.path, upload)
	if res.posts > 1 {
		bad("the server got %d POSTs", res.posts)
	}
	if corrupted := c.fault.Kind.Corrupts() && res.happened; corrupted && !c.secret() {
		if res.err == nil && !slices.Contains(res.readings, reading{res.status, res.body, true}) {
			bad("success with %d and %q, where the bytes say %+v", res.status, res.body, res.readings)
		}
	} else {
		if res.err == nil && (res.body != want || res.status != 200) {
			bad("success with %d and %q", res.status, res.body)
		}
		if !strings.HasPrefix(want, res.body) && res.status == 200 {
			bad("read %q", res.body)
		}
	}
	if res.err == nil {
		return wrong
	}
	var e *netreply.Error
	if !errors.As(res.err, &e) {
		bad("not an Error: %v", res.err)
		return wrong
	}
	if e.Retryable && res.posts > 0 {
		bad("called retryable, though the server got it: %v", e)
	}
	switch {
	case c.limited() && e.Code == netreply.TimeoutError: // before or because of the fault
	case !res.happened, c.fault.Kind == testserver.Delay, !slices.Contains(c.codes(res), e.Code):
		bad("%d in phase %v: %v", e.Code, e.Phase, e)
	}
	return wrong
}

// codes are the allowed codes.
func (c *faultCase) codes(res *faultResult) []netreply.NetworkError {
	const closed, timeout, handshake, failure = netreply.RemoteHostClosedError, netreply.TimeoutError, netreply.SslHandshakeFailedError, netreply.ProtocolFailure
	if res.status == http.StatusBadRequest && c.fault.Direction == testserver.ToServer {
		return []netreply.NetworkError{netreply.ProtocolInvalidOperationError} // responses of the server to a corrupted request
	}
	switch c.fault.Kind {
	case testserver.Cut, testserver.Reset, testserver.HalfClose:
		return []netreply.NetworkError{closed}
	case testserver.Stall:
		return []netreply.NetworkError{timeout}
	}
	if c.secret() { // TLS detects it or waits for more bytes, on either side
		return []netreply.NetworkError{handshake, timeout, closed}
	}
	codes := []netreply.NetworkError{failure, timeout, closed}
	if c.garbled() && c.fault.Direction == testserver.ToServer {
		codes = append(codes, netreply.InternalServerError) // the handler has given up and reset the stream
	}
	if res.status >= 400 { // the status line is corrupted, or it is the response to a corrupted request
		codes = append(codes, faultStatus(res.status))
	}
	return codes
}

// faultStatus is the code of a status (rule E3) that the server may send or that one
// corrupted byte may result in.
func faultStatus(status int) netreply.NetworkError {
	switch status {
	case 400:
		return netreply.ProtocolInvalidOperationError
	case 404:
		return netreply.ContentNotFoundError
	case 405:
		return netreply.ContentOperationNotPermittedError
	case 500:
		return netreply.InternalServerError
	case 501:
		return netreply.OperationNotImplementedError
	}
	if status >= 500 {
		return netreply.UnknownServerError
	}
	return netreply.UnknownContentError
}

// limited reports whether the exchange may stall.
func (c *faultCase) limited() bool {
	return c.fault.Kind == testserver.Stall || c.fault.Kind.Corrupts()
}

// garbled reports whether both ends may interpret later bytes differently, because their
// HPACK tables differ.
func (c *faultCase) garbled() bool { return c.server.kind == testserver.H2C && c.fault.Kind.Corrupts() }

// secret reports whether the bytes are protected by TLS.
func (c *faultCase) secret() bool {
	return c.server.kind == testserver.TLS || c.server.kind == testserver.H2
}

// faultPlan makes the cases for n offsets of each kind of fault, evenly distributed over
// the exchange; 0 means all offsets.
func faultPlan(servers []*faultServer, clean func(faultCase) [2]int64, n int) (list []faultCase) {
	seq := 0
	for _, s := range servers {
		for _, x := range faultExchanges {
			for _, kept := range []bool{false, true} {
				c := faultCase{server: s, exchange: x, kept: kept}
				total := clean(c)
				for _, d := range []testserver.Direction{testserver.ToServer, testserver.ToClient} {
					for kind := testserver.Delay; kind <= testserver.Drop; kind++ {
						c.fault = testserver.Fault{Kind: kind, Direction: d}
						if n == 0 {
							for c.fault.Offset = range total[d] {
								list = append(list, c)
							}
							continue
						}
						for i := range int64(n) { // a low-discrepancy sequence
							seq++
							const golden = 0x9E3779B97F4A7C15
							part := float64(uint64(seq)*golden>>11) / (1 << 53)
							c.fault.Offset = int64((float64(i) + part) / float64(n) * float64(total[d]))
							list = append(list, c)
						}
					}
				}
			}
		}
	}
	return list
}

// TestFaults: for any fault of a connection, at any byte of an exchange including the
// handshake, in either direction, these hold: the exchange ends within its limits; a
// failure is not reported as success; the error has a fitting code; no POST arrives twice,
// and none that arrived is called retryable; the Manager stays usable; and no goroutine or
// connection is leaked.
func TestFaults(t *testing.T) {
	n, workers := *faultOffsets, 16
	if testing.Short() || raceEnabled {
		n = min(n, 1)
	}
	var mu sync.Mutex
	outcomes := map[string]map[string]int{} // by kind of server and of fault
	failures := 0
	play := func(c faultCase) (res faultResult, wrong []string) {
		at := atomic.Pointer[string]{}
		dog := time.AfterFunc(faultWatchdog, func() {
			buf := make([]byte, 1<<20)
			panic(fmt.Sprintf("%v hangs while %s\n%s", &c, *at.Load(), buf[:runtime.Stack(buf, true)]))
		})
		defer dog.Stop()
		res, wrong = c.run(func(step string) { at.Store(&step) })
		return res, append(wrong, c.check(&res)...)
	}
	makeServers := func() (list []*faultServer) {
		for _, kind := range testserver.Kinds {
			list = append(list, newFaultServer(t, kind))
		}
		return list
	}
	plan := faultPlan(makeServers(), func(c faultCase) [2]int64 {
		res, wrong := play(c)
		require.Empty(t, wrong, "without a fault: %v", &c)
		return res.passed
	}, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	perWorker := make([][]*faultServer, workers)
	for i := range perWorker {
		perWorker[i] = makeServers()
	}
	before := runtime.NumGoroutine()
	for _, servers := range perWorker {
		wg.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(plan); i = next.Add(1) - 1 {
				c := plan[i]
				c.server = servers[slices.Index(testserver.Kinds, c.server.kind)]
				res, wrong := play(c)
				outcome := "success"
				var e *netreply.Error
				if errors.As(res.err, &e) {
					outcome = e.Code.String()
				}
				mu.Lock()
				of := fmt.Sprintf("%-5s %v", c.server.kind, c.fault.Kind)
				if outcomes[of] == nil {
					outcomes[of] = map[string]int{}
				}
				outcomes[of][outcome]++
				if len(wrong) > 0 {
					if failures++; failures <= 200 {
						t.Errorf("%v\n\t%s", &c, strings.Join(wrong, "\n\t"))
					}
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for end := time.Now().Add(faultNone); runtime.NumGoroutine() > before && time.Now().Before(end); {
		runtime.Gosched()
	}
	assert.LessOrEqual(t, runtime.NumGoroutine(), before, "goroutines left behind")
	t.Logf("%d exchanges, %d with something wrong", len(plan), failures)
	for _, of := range slices.Sorted(maps.Keys(outcomes)) {
		t.Logf("%s: %v", of, outcomes[of])
	}
}
