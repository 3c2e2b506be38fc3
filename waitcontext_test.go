package netreply_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// TestWaitWithContextOfReply: a wait that ends with the context of the request returns the
// error of the reply, in any order of the two ends.
func TestWaitWithContextOfReply(t *testing.T) {
	type key struct{}
	serve := func(c net.Conn, r *bufio.Reader) {
		http.ReadRequest(r)
		io.Copy(io.Discard, r)
	}
	waits := map[string]func(*netreply.Reply, context.Context) error{"Wait": (*netreply.Reply).Wait, "WaitHead": (*netreply.Reply).WaitHead}
	for name, wait := range waits {
		t.Run(name, func(t *testing.T) {
			bubble(t, netreply.Config{}, serve, func(t *testing.T, m *netreply.Manager) {
				for range 200 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					require.ErrorIs(t, wait(m.Get(ctx, get(t, "/")), context.WithValue(ctx, key{}, 1)), netreply.TimeoutError)
					cancel()
				}
			})
		})
	}
}
