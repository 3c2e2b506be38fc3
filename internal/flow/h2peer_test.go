package flow_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/netreply/netreply/internal/testserver"
)

// h2Peer is the server side of an HTTP/2 connection, with control of each frame.
type h2Peer struct {
	*testserver.Conn
	*http2.Framer
	enc *hpack.Encoder
	buf bytes.Buffer
}

// serveH2 calls answer for each complete request of a connection.
func serveH2(c *testserver.Conn, answer func(p *h2Peer, stream uint32)) {
	if _, err := io.ReadFull(c.R, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	p := &h2Peer{Conn: c, Framer: http2.NewFramer(c.Conn, c.R)}
	p.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	p.enc = hpack.NewEncoder(&p.buf)
	p.WriteSettings()
	for {
		f, err := p.ReadFrame()
		if err != nil {
			return
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				p.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			if f.StreamEnded() {
				answer(p, f.StreamID)
			}
		case *http2.DataFrame:
			if f.StreamEnded() {
				answer(p, f.StreamID)
			}
		}
	}
}

// newH2Server answers the streams of HTTP/2 in clear text.
func newH2Server(t *testing.T, answer func(p *h2Peer, stream uint32)) *testserver.Raw {
	return testserver.NewRaw(t, nil, func(c *testserver.Conn) { serveH2(c, answer) })
}

// ok sends a complete response.
func (p *h2Peer) ok(stream uint32, body string) {
	p.buf.Reset()
	p.enc.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
	p.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: p.buf.Bytes(), EndHeaders: true})
	p.WriteData(stream, true, []byte(body))
}

// negotiated is the negotiated protocol of a TLS connection.
func negotiated(c *testserver.Conn) string {
	tc := c.Conn.(*tls.Conn)
	if tc.Handshake() != nil {
		return ""
	}
	return tc.ConnectionState().NegotiatedProtocol
}
