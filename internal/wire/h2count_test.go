package wire

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// TestH2EmptyEndStream: an empty DATA frame with END_STREAM ends its response. Many of them,
// for a response each, are not a flood.
func TestH2EmptyEndStream(t *testing.T) {
	var in bytes.Buffer
	p := &h2Peer{fr: http2.NewFramer(&in, nil)}
	p.enc = hpack.NewEncoder(&p.buf)
	p.fr.WriteSettings()
	const responses = h2IdleFrames + 100
	for i := range uint32(responses) {
		p.head(2*i+1, false, ":status", "200")
		p.fr.WriteData(2*i+1, true, nil)
	}
	g := newH2Guard(&pieces{data: in.Bytes(), size: func() int { return 64 << 10 }}, 4<<10)
	defer g.Close()
	g.Write([]byte(http2.ClientPreface))
	for i := range uint32(responses) {
		g.Write(frameHead{kind: frameHeaders, flags: flagEndHeaders | flagEndStream, stream: 2*i + 1}.append(nil))
	}
	buf := make([]byte, 64<<10)
	var err error
	for err == nil {
		_, err = g.Read(buf)
	}
	var broken *h2Violation
	require.NotErrorAs(t, err, &broken)
}
