package wire

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/certs"
	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/testserver"
)

// decider answers the question about a certificate when it is released.
type decider struct {
	recorder
	asked, answer chan struct{}
	profile       *Profile
}

func (d *decider) Question(q *Question) {
	close(d.asked)
	<-d.answer
	q.Profile = d.profile
}

// TestQuestionToNextOwner: the exchange that takes over a dial gets its question.
func TestQuestionToNextOwner(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.H2, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }))
	let := make(chan struct{})
	tr := NewTransport(Config{Dialer: &dial.Dialer{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		<-let
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}})
	defer tr.Close()
	strict := &Profile{Config: &tls.Config{}}
	send := func(ctx context.Context, o Observer) error {
		req, err := http.NewRequestWithContext(ctx, "GET", s.URL, nil)
		require.NoError(t, err)
		resp, err := tr.RoundTrip(req, &Exchange{Observer: o, Key: Key{Scheme: "https", Addr: req.URL.Host, Profile: strict}})
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	waiting := func(n int) func() bool {
		return func() bool {
			tr.mu.Lock()
			defer tr.mu.Unlock()
			for _, h := range tr.pool.hosts {
				return h.waiters == n
			}
			return n == 0
		}
	}
	ctx, leave := context.WithCancel(t.Context())
	first, second := make(chan error), make(chan error)
	go func() { first <- send(ctx, &recorder{}) }()
	require.Eventually(t, waiting(1), 10*time.Second, time.Millisecond)
	heir := &decider{asked: make(chan struct{}), answer: make(chan struct{}),
		profile: &Profile{Config: &tls.Config{}, Accept: func(*certs.Failure) bool { return true }}}
	go func() { second <- send(t.Context(), heir) }()
	require.Eventually(t, waiting(2), 10*time.Second, time.Millisecond)
	leave()
	require.ErrorIs(t, <-first, context.Canceled)
	close(let)
	<-heir.asked
	close(heir.answer)
	require.NoError(t, <-second)
}

// TestAcceptedConnectionIsPrivate: a connection with flaws that one exchange has accepted
// is assigned to that exchange only, even if it got another one meanwhile.
func TestAcceptedConnectionIsPrivate(t *testing.T) {
	w := &waiter{x: &Exchange{}}
	h := &host{}
	h.enqueue(w)
	w.dial = &dialing{owner: w, audience: ownerOnly}
	w.dequeue()
	require.Zero(t, h.orphans.n, "what it was asked is not the next one's")

	for _, kind := range []testserver.Kind{testserver.TLS, testserver.H2} {
		t.Run(string(kind), func(t *testing.T) {
			var served atomic.Int64
			s, _ := testserver.NewOrigin(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { served.Add(1); io.WriteString(w, "ok") }))
			tr := NewTransport(Config{Dialer: &dial.Dialer{ConnectTimeout: 10 * time.Second, TLSTimeout: 10 * time.Second}})
			defer tr.Close()
			strict := &Profile{Config: &tls.Config{}}
			first := &decider{asked: make(chan struct{}), answer: make(chan struct{}),
				profile: &Profile{Config: &tls.Config{}, Accept: func(*certs.Failure) bool { return true }}}
			send := func(o Observer) error {
				req, err := http.NewRequestWithContext(t.Context(), "GET", s.URL, nil)
				require.NoError(t, err)
				resp, err := tr.RoundTrip(req, &Exchange{Observer: o, Key: Key{Scheme: "https", Addr: req.URL.Host, Profile: strict}})
				if err == nil {
					resp.Body.Close()
				}
				return err
			}
			one, two := make(chan error), make(chan error)
			go func() { one <- send(first) }()
			<-first.asked
			go func() { two <- send(&recorder{}) }()
			require.Error(t, <-two, "it has a connection of its own, and does not wait for that answer")
			close(first.answer)
			require.NoError(t, <-one)
			assert.EqualValues(t, 1, served.Load())
			require.Error(t, send(&recorder{}), "later ones neither")
			assert.EqualValues(t, 1, served.Load())
		})
	}
}
