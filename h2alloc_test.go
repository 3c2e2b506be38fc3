package netreply_test

import (
	"context"
	"encoding/binary"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"golang.org/x/net/http2"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// fixedH2 serves clear-text HTTP/2 and answers every request with the same 1 KiB, without an
// allocation that a count would see.
func fixedH2(t testing.TB) string {
	head := block(":status", "200", "content-type", "application/octet-stream", "content-length", "1024", "date", "Sat, 21 Nov 2026 08:00:00 GMT")
	return testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		frame := func(b []byte, length int, kind http2.FrameType, flags http2.Flags) []byte {
			b = append(b, byte(length>>16), byte(length>>8), byte(length), byte(kind), byte(flags))
			return append(b, 0, 0, 0, 0)
		}
		settings := frame(frame(nil, 0, http2.FrameSettings, 0), 0, http2.FrameSettings, http2.FlagSettingsAck)
		answer := append(frame(nil, len(head), http2.FrameHeaders, http2.FlagHeadersEndHeaders), head...)
		body := len(answer)
		answer = append(frame(answer, 1024, http2.FrameData, http2.FlagDataEndStream), make([]byte, 1024)...)
		if _, err := c.R.Discard(len(http2.ClientPreface)); err != nil {
			return
		}
		c.Write(settings)
		for got := make([]byte, 9); ; {
			if _, err := io.ReadFull(c.R, got); err != nil {
				return
			}
			if http2.FrameType(got[3]) == http2.FrameHeaders {
				stream := binary.BigEndian.Uint32(got[5:])
				binary.BigEndian.PutUint32(answer[5:], stream)
				binary.BigEndian.PutUint32(answer[body+5:], stream)
				c.Write(answer)
			}
			if _, err := c.R.Discard(int(got[0])<<16 | int(got[1])<<8 | int(got[2])); err != nil {
				return
			}
		}
	}).URL()
}

// TestH2Allocations: allocations of a small GET on a connection of HTTP/2, most of which are
// net/http's.
func TestH2Allocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	m := newManager(t, netreply.Config{})
	req := newRequest(t, fixedH2(t))
	req.HTTP = netreply.HTTP2Direct
	var again netreply.Reply
	for name, get := range map[string]func() *netreply.Reply{
		"Get":   func() *netreply.Reply { return m.Get(t.Context(), req) },
		"Fetch": func() *netreply.Reply { return m.Fetch(t.Context(), "GET", req, nil) },
		"FetchInto": func() *netreply.Reply {
			m.FetchInto(context.Background(), &again, "GET", req, nil)
			return &again
		},
	} {
		most := map[string]float64{"Get": 37, "Fetch": 36, "FetchInto": 32}[name]
		n := testing.AllocsPerRun(500, func() {
			if body, err := get().ReadAll(); err != nil || len(body) != 1024 {
				t.Error(len(body), err)
			}
		})
		t.Logf("%s: %.0f allocations", name, n)
		assert.LessOrEqual(t, n, most, name)
	}
}
