package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/testserver"
)

// h2Peer is a server with control of each frame.
type h2Peer struct {
	*testserver.Conn
	fr  *http2.Framer
	enc *hpack.Encoder
	buf bytes.Buffer
}

// peerRequest is a request to an h2Peer.
type peerRequest struct {
	stream uint32
	path   string
}

// newH2Peer calls answer for the requests of every connection, in order, and returns the
// URL. seen is called for all frames before.
func newH2Peer(t *testing.T, encrypted bool, settings []http2.Setting, answer func(*h2Peer, peerRequest), seen ...func(http2.Frame)) string {
	var cfg *tls.Config
	if encrypted {
		cert := httptest.NewUnstartedServer(nil)
		cert.StartTLS()
		cfg = &tls.Config{Certificates: cert.TLS.Certificates, NextProtos: []string{"h2"}}
		cert.Close()
	}
	s := testserver.NewRaw(t, cfg, func(c *testserver.Conn) {
		if _, err := io.ReadFull(c.R, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		p := &h2Peer{Conn: c, fr: http2.NewFramer(c.Conn, c.R)}
		p.fr.AllowIllegalWrites = true
		p.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		p.enc = hpack.NewEncoder(&p.buf)
		p.fr.WriteSettings(settings...)
		for {
			f, err := p.fr.ReadFrame()
			if err != nil {
				return
			}
			for _, see := range seen {
				see(f)
			}
			switch f := f.(type) {
			case *http2.SettingsFrame:
				if !f.IsAck() {
					p.fr.WriteSettingsAck()
				}
			case *http2.PingFrame:
				if !f.IsAck() {
					p.fr.WritePing(true, f.Data)
				}
			case *http2.MetaHeadersFrame:
				answer(p, peerRequest{f.StreamID, f.PseudoValue("path")})
			}
		}
	})
	if encrypted {
		return "https://" + s.Addr
	}
	return s.URL()
}

// head sends a header block of the fields, name and value in turn.
func (p *h2Peer) head(stream uint32, end bool, fields ...string) {
	p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: p.encode(fields...), EndHeaders: true, EndStream: end})
}

func (p *h2Peer) encode(fields ...string) []byte {
	p.buf.Reset()
	for i := 0; i < len(fields); i += 2 {
		p.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return p.buf.Bytes()
}

// ok sends a complete response.
func (p *h2Peer) ok(stream uint32, body string) {
	p.head(stream, false, ":status", "200")
	p.fr.WriteData(stream, true, []byte(body))
}

// raw sends a frame that the Framer would refuse.
func (p *h2Peer) raw(kind, flags byte, stream uint32, payload ...byte) {
	head := binary.BigEndian.AppendUint32([]byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}, stream)
	p.Conn.Write(append(head, payload...))
}

// newRig makes a pool for tests of HTTP/2.
func newRig(t *testing.T, c Config) *rig {
	if c.Dialer == nil {
		c.Dialer = &dial.Dialer{ConnectTimeout: 10 * time.Second, TLSTimeout: 10 * time.Second}
	}
	b := &rig{T: t, tr: NewTransport(c), tls: &Profile{Config: &tls.Config{InsecureSkipVerify: true}}}
	t.Cleanup(b.tr.Close)
	return b
}

// h2Protocol is the Protocol for HTTP/2.
func h2Protocol(encrypted bool) Protocol {
	if encrypted {
		return Negotiate
	}
	return HTTP2
}

// exchangeOnce sends once and reads the body, if there is one.
func (b *rig) exchangeOnce(c call) (*http.Response, string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	resp, _, err := b.send(ctx, c)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

// newRawH2 calls serve for each connection, after the client's preface.
func newRawH2(t *testing.T, serve func(io.ReadWriter)) string {
	return testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		if _, err := io.ReadFull(c.R, make([]byte, len(http2.ClientPreface))); err == nil {
			serve(struct {
				io.Reader
				io.Writer
			}{c.R, c.Conn})
		}
	}).URL()
}

// Limit and interval for polling of conditions without a signal.
const (
	soonEnough = 20 * time.Second
	tick       = 5 * time.Millisecond
)
