package netreply_test

import (
	"bytes"
	"io"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/netreply/netreply/internal/testserver"
)

// h2conn is the server side of an HTTP/2 connection, frame by frame.
type h2conn struct {
	*testserver.Conn
	fr *http2.Framer
}

func httpCode(n uint32) http2.ErrCode { return http2.ErrCode(n) }

// newH2Server serves clear-text HTTP/2 and returns its URL.
func newH2Server(t *testing.T, serve func(*h2conn)) string {
	return testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		preface := make([]byte, len(http2.ClientPreface))
		if _, err := io.ReadFull(c.R, preface); err != nil {
			return
		}
		h := &h2conn{c, http2.NewFramer(c.Conn, c.R)}
		h.fr.WriteSettings()
		serve(h)
	}).URL()
}

// headers waits for a request and returns its stream; 0 at the end.
func (c *h2conn) headers() uint32 { return c.receive(false) }

// request is headers, but waits for the end of the request's body as well.
func (c *h2conn) request() uint32 { return c.receive(true) }

func (c *h2conn) receive(whole bool) uint32 {
	for {
		f, err := c.fr.ReadFrame()
		if err != nil {
			return 0
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				c.fr.WriteSettingsAck()
			}
		case *http2.HeadersFrame:
			if !whole || f.StreamEnded() {
				return f.StreamID
			}
		case *http2.DataFrame:
			if whole && f.StreamEnded() {
				return f.StreamID
			}
		}
	}
}

// block encodes fields, name and value in turn.
func block(fields ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	e.SetMaxDynamicTableSizeLimit(0) // each block by itself
	for i := 0; i < len(fields); i += 2 {
		e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return b.Bytes()
}

// answer sends a response without a body.
func (c *h2conn) answer(id uint32, status string) {
	c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block(":status", status), EndHeaders: true, EndStream: true})
}

// drain reads until the client closes the connection.
func (c *h2conn) drain() {
	for {
		if _, err := c.fr.ReadFrame(); err != nil {
			return
		}
	}
}
