package wire

import (
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/reqctx"
	"github.com/netreply/netreply/internal/testserver"
)

// TestH2Allocations: an exchange on HTTP/2, with its context, allocates hardly more than one
// on a connection of net/http alone.
func TestH2Allocations(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.H2C, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "body") }))
	tr := NewTransport(Config{Dialer: &dial.Dialer{}})
	defer tr.Close()
	parent, cancel := context.WithCancel(context.Background())
	defer cancel()
	std, err := (&http.Transport{Protocols: protocols((*http.Protocols).SetUnencryptedHTTP2)}).NewClientConn(parent, "http", s.Listener.Addr().String())
	require.NoError(t, err)
	defer std.Close()
	fetch := func(ctx context.Context, roundTrip func(*http.Request) (*http.Response, error)) {
		req, err := http.NewRequestWithContext(ctx, "GET", s.URL, nil)
		require.NoError(t, err)
		resp, err := roundTrip(req)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
	}
	theirs := testing.AllocsPerRun(300, func() {
		ctx, cancel := context.WithCancel(parent)
		defer cancel()
		fetch(ctx, std.RoundTrip)
	})
	observer := &recorder{told: make([]string, 0, 10_000)}
	for name, most := range map[string]float64{"new memory": theirs + 3, "memory of the last": theirs - 1} {
		var spare Spare
		var last *Exchange
		ours := testing.AllocsPerRun(300, func() {
			ctx := new(reqctx.Context)
			ctx.Init(parent)
			defer ctx.Cancel(nil)
			fetch(ctx, func(req *http.Request) (*http.Response, error) {
				x := &Exchange{Observer: observer, Key: Key{Scheme: "http", Addr: req.URL.Host, Protocol: HTTP2}}
				x.Use(spare)
				resp, err := tr.RoundTrip(req, x)
				last = x
				return resp, err
			})
			if name != "new memory" {
				spare, _ = last.Spare()
			}
		})
		t.Log(name, theirs, ours)
		assert.LessOrEqual(t, ours, most, name)
	}
}
