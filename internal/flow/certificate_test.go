package flow_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/certs"
	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/flow"
	"github.com/netreply/netreply/internal/testserver"
	"github.com/netreply/netreply/internal/wire"
)

// TestCertificate: flaws are asked about during the handshake. A connection with accepted
// flaws is used for this transfer only.
func TestCertificate(t *testing.T) {
	for _, kind := range []testserver.Kind{testserver.TLS, testserver.H2} {
		s := newServer(t, kind, func(http.ResponseWriter, *http.Request) {})
		s.profile = &wire.Profile{Config: &tls.Config{}} // trusts no root
		accepting := acceptAll(&tls.Config{})
		for range 2 {
			r := s.ok(&watcher{certificate: func(f *certs.Failure, ask bool) *wire.Profile {
				assert.NotEmpty(t, f.Problems)
				return accepting
			}}, s.get("/"))
			assert.Equal(t, []string{"connecting", "certificate 127.0.0.1", "flaws-accepted 127.0.0.1 1", "encrypted"},
				r.told("connecting", "certificate", "flaws-accepted", "encrypted"))
		}
		assert.Zero(t, s.wire.Connections())

		r := s.do(new(watcher), s.get("/"))
		var f *certs.Failure
		require.ErrorAs(t, r.err, &f)
		var we *wire.Error
		require.ErrorAs(t, r.err, &we)
		assert.Equal(t, wire.TLS, we.Phase)
		assert.Empty(t, r.told("sent"))
	}
}

// TestCertificateProfile: flaws that the profile accepts are not asked about. The
// connection is kept, unless the profile is for this transfer only.
func TestCertificateProfile(t *testing.T) {
	s := newServer(t, testserver.TLS, func(http.ResponseWriter, *http.Request) {})
	accepting := acceptAll(&tls.Config{ServerName: "named.example"})
	r := s.ok(&watcher{profile: accepting, once: true}, s.get("/"))
	assert.Equal(t, []string{"flaws-accepted named.example 2"}, r.told("certificate", "flaws-accepted"))
	assert.Zero(t, s.wire.Connections())
	s.ok(&watcher{profile: accepting}, s.get("/"))
	assert.Equal(t, 1, s.wire.Connections())
}

// TestCertificateLate: an answer after the end of the handshake is used for another
// handshake. The clock is paused meanwhile.
func TestCertificateLate(t *testing.T) {
	origin, _ := testserver.NewOrigin(t, testserver.TLS, http.NotFoundHandler())
	cfg := origin.TLS.Clone()
	synctest.Test(t, func(t *testing.T) {
		var dials atomic.Int64
		c := newClientOf(t, &dial.Dialer{
			TLSTimeout: time.Second,
			DialContext: func(context.Context, string, string) (net.Conn, error) {
				dials.Add(1)
				near, far := net.Pipe()
				go func() {
					defer far.Close()
					tc := tls.Server(far, cfg)
					c := &testserver.Conn{Conn: tc, R: bufio.NewReader(tc)}
					if _, body, ok := c.Request(); ok {
						c.Say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body))
					}
				}()
				return near, nil
			},
		}, nil)
		defer c.close()
		for _, body := range []*flow.Payload{inMemory("text"), fromSource("text"), onlyOnce("text")} {
			dials.Store(0)
			w := &watcher{}
			accepting := acceptAll(&tls.Config{})
			w.certificate = func(*certs.Failure, bool) *wire.Profile {
				time.Sleep(time.Hour)
				w.profile = accepting
				return accepting
			}
			var expired atomic.Bool
			clock := flow.NewClock(time.Second, func() { expired.Store(true) })
			clock.Start()
			r := c.doIn(t.Context(), w, request(http.MethodPost, "https://a.example/", body), func(t *flow.Transfer) { t.Clock = clock })
			clock.Stop()
			require.NoError(t, r.err)
			assert.Equal(t, "text", r.body)
			assert.Len(t, r.told("certificate"), 1)
			assert.Len(t, r.told("connecting"), 1)
			assert.EqualValues(t, 2, dials.Load())
			assert.False(t, expired.Load())
		}

		dials.Store(0)
		r := c.doIn(t.Context(), &watcher{certificate: func(*certs.Failure, bool) *wire.Profile {
			time.Sleep(time.Hour)
			return nil
		}}, get("https://a.example/"), nil)
		require.Error(t, r.err)
		assert.EqualValues(t, 1, dials.Load(), "a late no is no reason for another one")

		aborted := errors.New("aborted")
		ctx, cancel := context.WithCancelCause(t.Context())
		dials.Store(0)
		r = c.doIn(ctx, &watcher{certificate: func(*certs.Failure, bool) *wire.Profile {
			time.Sleep(time.Hour)
			cancel(aborted)
			return acceptAll(&tls.Config{})
		}}, get("https://a.example/"), nil)
		assert.Equal(t, aborted, r.err)
		assert.EqualValues(t, 1, dials.Load())
	})
}

// TestCertificateQuestions: at most MaxQuestions are asked.
func TestCertificateQuestions(t *testing.T) {
	s := newServer(t, testserver.TLS, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) })
	s.profile = &wire.Profile{Config: &tls.Config{}}
	accepting := acceptAll(&tls.Config{})
	q := s.get("/")
	q.MaxRedirects = 2 * flow.MaxQuestions
	r := s.do(&watcher{certificate: func(_ *certs.Failure, ask bool) *wire.Profile {
		if !ask {
			return nil
		}
		return accepting
	}}, q)
	var f *certs.Failure
	require.ErrorAs(t, r.err, &f)
	log := r.told("certificate")
	require.Len(t, log, flow.MaxQuestions+1)
	for i, line := range log {
		assert.Equal(t, i == flow.MaxQuestions, strings.HasSuffix(line, "not to be asked"))
	}
}

// TestKey: other questions of a handshake are passed on.
func TestKey(t *testing.T) {
	s := newServer(t, testserver.TLS, func(http.ResponseWriter, *http.Request) {})
	cfg := s.profile.Config
	var answer string
	w := &watcher{
		profile: &wire.Profile{Config: cfg, Handshake: func(ctx context.Context, raw net.Conn, cfg *tls.Config, ask func(any) error) (net.Conn, *tls.ConnectionState, error) {
			if err := ask("which key?"); err != nil || answer != "this one" {
				return nil, nil, errors.New("no key")
			}
			c := tls.Client(raw, cfg)
			err := c.HandshakeContext(ctx)
			state := c.ConnectionState()
			return c, &state, err
		}},
		key: func(any) { answer = "this one" },
	}
	r := s.ok(w, s.get("/"))
	assert.Equal(t, []string{"key which key?"}, r.told("key", "certificate"))
}
