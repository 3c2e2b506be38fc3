package wire

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/testserver"
)

// TestChunkWaste: a chunked body of tiny chunks with long extensions is refused, before it
// has cost much more than it brings; chunks of single bytes, and long extensions now and
// then, are not.
func TestChunkWaste(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	long := ";" + strings.Repeat("x", 2000) + "\r\n"
	for _, r := range []struct {
		name, chunks string
		n            int
		ok           bool
	}{
		{name: "long extensions", chunks: "1" + long + "a\r\n", n: 1000},
		{name: "single bytes", chunks: "1\r\na\r\n", n: 50000, ok: true},
		{name: "long extensions of large chunks", chunks: "400" + long + strings.Repeat("a", 1024) + "\r\n", n: 200, ok: true},
		{name: "a few long extensions", chunks: "1" + long + "a\r\n", n: 8, ok: true},
	} {
		t.Run(r.name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, with func(Config) *rig) {
				s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
					if _, ok := c.Head(); ok {
						c.Say(head + strings.Repeat(r.chunks, r.n) + "0\r\n\r\n")
						c.R.ReadByte()
					}
				})
				resp, _, err := with(Config{}).send(t.Context(), call{url: s.URL()})
				require.NoError(t, err)
				defer resp.Body.Close()
				n, err := io.Copy(io.Discard, resp.Body)
				if r.ok {
					require.NoError(t, err)
					return
				}
				fault, phase := faultOf(err)
				assert.Equal(t, Malformed, fault, "%v", err)
				assert.Equal(t, Body, phase)
				assert.Less(t, n, int64(20))
			})
		})
	}
}
