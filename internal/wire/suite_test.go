package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/certs"
	"github.com/netreply/netreply/internal/dial"
)

// engines are the kinds of connections with which the suite is run.
var engines = map[string]func(Config) *Transport{
	"net/http": func(c Config) *Transport { c.HTTP1 = StdConn; return NewTransport(c) },
	"own":      func(c Config) *Transport { c.HTTP1 = OwnConn; return NewTransport(c) },
}

// rig is a pool of one engine, with helpers for tests.
type rig struct {
	*testing.T
	tr  *Transport
	tls *Profile
}

func eachEngine(t *testing.T, f func(*testing.T, func(Config) *rig)) {
	for name, engine := range engines {
		t.Run(name, func(t *testing.T) {
			f(t, func(c Config) *rig {
				if c.Dialer == nil {
					c.Dialer = &dial.Dialer{ConnectTimeout: 10 * time.Second, TLSTimeout: 10 * time.Second}
				}
				b := &rig{T: t, tr: engine(c)}
				t.Cleanup(b.tr.Close)
				return b
			})
		})
	}
}

// recorder is an Observer that records its calls.
type recorder struct {
	mu     sync.Mutex
	told   []string
	active atomic.Int64
	onSend func()
	onConn func(Conn)
}

func (w *recorder) add(s string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, s)
}
func (w *recorder) Waiting(bool)                                   {}
func (w *recorder) Connecting()                                    { w.add("connecting") }
func (w *recorder) Encrypted(*tls.ConnectionState, *certs.Failure) { w.add("encrypted") }
func (w *recorder) Question(*Question)                             { w.add("question") }
func (w *recorder) Activity()                                      { w.active.Add(1) }
func (w *recorder) Interim(int, textproto.MIMEHeader) error        { return nil }
func (w *recorder) Sending(c *Conn) {
	w.add("sending")
	if w.onConn != nil {
		w.onConn(*c)
	}
	if w.onSend != nil {
		w.onSend()
	}
}

func (w *recorder) list() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.told, " ")
}

// call is one exchange of a test.
type call struct {
	method  string
	url     string
	header  http.Header
	body    io.Reader
	length  int64
	proto   Protocol
	prio    Priority
	fresh   bool
	again   func() io.Reader // the body once more
	session *Session
	owner   any
	watch   *recorder
	interim func(int) error
}

func (b *rig) send(ctx context.Context, c call) (*http.Response, *Exchange, error) {
	if c.method == "" {
		c.method = "GET"
	}
	req, err := http.NewRequest(c.method, c.url, c.body)
	require.NoError(b, err)
	if c.length != 0 {
		req.ContentLength = c.length
	}
	if c.header != nil {
		req.Header = c.header
	}
	if c.interim != nil {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
			Got1xxResponse: func(code int, _ textproto.MIMEHeader) error { return c.interim(code) }})
	}
	if c.watch == nil {
		c.watch = &recorder{}
	}
	x := &Exchange{Observer: c.watch, Priority: c.prio, Fresh: c.fresh, Session: c.session}
	x.Key = Key{Owner: c.owner, Scheme: req.URL.Scheme, Addr: req.URL.Host, Protocol: c.proto}
	if req.URL.Scheme == "https" {
		x.Key.Profile = b.tls
	}
	resp, err := b.tr.RoundTrip(req.WithContext(ctx), x)
	return resp, x, err
}

// fetch repeats exchanges that were not sent or not processed, as the layer above does.
func (b *rig) fetch(c call) (status int, body string, err error) {
	for range 4 {
		if status, body, err = b.fetchOnce(c); err == nil || c.body != nil && c.again == nil {
			break
		}
		if e := (*Error)(nil); !errors.As(err, &e) || !e.Unprocessed && !(e.Reused && !e.Began && e.Sent == 0) {
			break
		}
		if c.again != nil {
			c.body = c.again()
		}
	}
	return status, body, err
}

func (b *rig) fetchOnce(c call) (int, string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	resp, _, err := b.send(ctx, c)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

func faultOf(err error) (Fault, Phase) {
	var e *Error
	if !errors.As(err, &e) {
		return -1, -1
	}
	return e.Fault, e.Phase
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
