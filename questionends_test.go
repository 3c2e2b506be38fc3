package netreply_test

import (
	"context"
	"crypto/tls"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// TestCertificateQuestionWhenReplyEnds: every kind of end works during a question about a
// certificate, and closes the connection; also when the answer is given at the same time.
func TestCertificateQuestionWhenReplyEnds(t *testing.T) {
	for name, end := range map[string]func(r *netreply.Reply, cancel context.CancelFunc){
		"Abort":         func(r *netreply.Reply, _ context.CancelFunc) { r.Abort() },
		"Close":         func(r *netreply.Reply, _ context.CancelFunc) { r.Close() },
		"context":       func(_ *netreply.Reply, cancel context.CancelFunc) { cancel() },
		"Manager.Close": func(r *netreply.Reply, _ context.CancelFunc) { r.Manager().Close() },
	} {
		for _, answered := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				gone := make(chan struct{})
				s := testserver.NewRaw(t, &tls.Config{Certificates: []tls.Certificate{selfSigned(t, "127.0.0.1")}}, func(c *testserver.Conn) {
					if c.N == 1 {
						defer close(gone)
					}
					io.Copy(io.Discard, c.R) // also makes a handshake
				})
				m := newManager(t, netreply.Config{Ask: netreply.AskSSLErrors, TLSTimeout: -1, TransferTimeout: time.Minute})
				ctx, cancel := context.WithCancel(deadline(t))
				defer cancel()
				r := m.Get(ctx, newRequest(t, "https://"+s.Addr))
				q := <-r.SSLErrors()
				both := make(chan struct{})
				go func() {
					defer close(both)
					if answered {
						q.Ignore()
					}
				}()
				end(r, cancel)
				<-both
				require.ErrorIs(t, r.Wait(deadline(t)), netreply.OperationCanceledError)
				if name == "context" && !answered {
					var e *netreply.Error
					require.ErrorAs(t, r.Err(), &e)
					assert.Equal(t, netreply.PhaseTLS, e.Phase, "it was connected long ago")
				}
				select {
				case <-gone:
				case <-deadline(t).Done():
					t.Error("the connection stays open")
				}
				assert.False(t, q.Ignore(), "it is too late")
				if name != "Manager.Close" {
					r = m.Get(deadline(t), newRequest(t, "https://"+s.Addr))
					(<-r.SSLErrors()).Reject()
					assert.ErrorIs(t, r.Wait(deadline(t)), netreply.SslHandshakeFailedError)
				}
			})
		}
	}
}

// TestCertificateQuestionWhenServerEnds: if the server closes the connection before the
// answer, another one is opened; a refusal is still effective.
func TestCertificateQuestionWhenServerEnds(t *testing.T) {
	for _, reset := range []bool{false, true} {
		for _, yes := range []bool{false, true} {
			left, asked := make(chan struct{}), make(chan struct{})
			cert := selfSigned(t, "127.0.0.1")
			s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
				if c.N > 1 {
					tc := tls.Server(c.Conn, &tls.Config{Certificates: []tls.Certificate{cert}})
					if b := make([]byte, 4096); yes {
						tc.Read(b)
						io.WriteString(tc, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
					}
					tc.Close()
					return
				}
				go func() {
					<-asked
					if reset {
						c.Reset()
					} else {
						c.Close()
					}
					close(left)
				}()
				tls.Server(c.Conn, &tls.Config{Certificates: []tls.Certificate{cert}}).Handshake()
				<-left
			})
			m := newManager(t, netreply.Config{Ask: netreply.AskSSLErrors})
			r := m.Get(deadline(t), newRequest(t, "https://"+s.Addr))
			q := <-r.SSLErrors()
			close(asked)
			<-left
			if yes {
				q.Ignore()
				body, err := r.ReadAll()
				require.NoError(t, err)
				require.Equal(t, "hello", string(body))
				require.Equal(t, 2, s.Connections())
			} else {
				q.Reject()
				require.ErrorIs(t, r.Wait(deadline(t)), netreply.SslHandshakeFailedError)
			}
		}
	}
}
