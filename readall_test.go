package netreply_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// TestReadAllEndsWithReply: ReadAll returns when something ends the reply, before and after the head
// has arrived.
func TestReadAllEndsWithReply(t *testing.T) {
	for _, headFirst := range []bool{false, true} {
		h := func(w http.ResponseWriter, r *http.Request) {
			if headFirst {
				io.WriteString(w, "some")
				w.(http.Flusher).Flush()
			}
			<-r.Context().Done()
		}
		cause := errors.New("no need any more")
		for _, c := range []struct {
			name    string
			request func(*netreply.Request)
			end     func(m *netreply.Manager, r *netreply.Reply, cancel context.CancelCauseFunc)
			code    netreply.NetworkError
			cause   error
		}{
			{name: "Abort", code: netreply.OperationCanceledError,
				end: func(_ *netreply.Manager, r *netreply.Reply, _ context.CancelCauseFunc) { r.Abort() }},
			{name: "Close", code: netreply.OperationCanceledError,
				end: func(_ *netreply.Manager, r *netreply.Reply, _ context.CancelCauseFunc) { r.Close() }},
			{name: "Manager.Close", code: netreply.OperationCanceledError,
				end: func(m *netreply.Manager, _ *netreply.Reply, _ context.CancelCauseFunc) { m.Close() }},
			{name: "context", code: netreply.OperationCanceledError, cause: cause,
				end: func(_ *netreply.Manager, _ *netreply.Reply, cancel context.CancelCauseFunc) { cancel(cause) }},
			{name: "TransferTimeout", code: netreply.TimeoutError,
				request: func(q *netreply.Request) { q.TransferTimeout = 50 * time.Millisecond },
				end:     func(*netreply.Manager, *netreply.Reply, context.CancelCauseFunc) {}},
		} {
			name := c.name + " before the head"
			if headFirst {
				name = c.name + " in the body"
			}
			t.Run(name, func(t *testing.T) {
				eachProtocol(t, h, netreply.Config{}, func(t *testing.T, f *fixture) {
					ctx, cancel := context.WithCancelCause(deadline(t))
					defer cancel(nil)
					req := f.request("")
					if c.request != nil {
						c.request(req)
					}
					started := make(chan *netreply.Reply)
					ended := make(chan error)
					go func() {
						r := f.m.Get(ctx, req)
						started <- r
						_, err := r.ReadAll()
						ended <- err
					}()
					r := <-started
					if headFirst {
						<-r.ReadyRead()
					} else {
						<-r.RequestSent()
					}
					c.end(f.m, r, cancel)
					err := <-ended
					var e *netreply.Error
					require.ErrorAs(t, err, &e)
					assert.Equal(t, c.code, e.Code)
					assert.Equal(t, r.Err(), err)
					assert.True(t, r.IsFinished())
					if c.cause != nil {
						assert.ErrorIs(t, err, c.cause)
					}
				})
			})
		}
	}
}
