package netreplytest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2Window is how many bytes of the body of a request a client may send before the handler
// reads them.
const h2Window = 1 << 20

// h2Conn is the server's side of a connection of HTTP/2 (RFC 9113). It writes frames by
// itself, because net/http's server lets nobody choose error codes.
type h2Conn struct {
	e    *endpoint
	p    *peer
	conn net.Conn

	// guarded by writing, which is held while a frame is written
	writing sync.Mutex
	fr      *http2.Framer
	block   bytes.Buffer
	enc     *hpack.Encoder

	mu       sync.Mutex
	changed  sync.Cond
	streams  map[uint32]*h2Stream
	newest   uint32 // the stream that began last
	window   int64  // that the client grants the connection
	initial  int64  // that it grants each stream
	maxFrame int
	over     bool
}

// serveH2 serves a connection until it ends, and waits for its handlers.
func serveH2(e *endpoint, p *peer, conn net.Conn) {
	c := &h2Conn{e: e, p: p, conn: conn, streams: map[uint32]*h2Stream{}, window: 65535, initial: 65535, maxFrame: 16384}
	c.changed.L = &c.mu
	c.fr = http2.NewFramer(conn, conn)
	c.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.fr.MaxHeaderListSize = 16 << 20
	c.enc = hpack.NewEncoder(&c.block)
	var handlers sync.WaitGroup
	defer handlers.Wait()
	defer c.leave()
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(conn, preface); err != nil || string(preface) != http2.ClientPreface {
		return
	}
	c.frame(func() error {
		c.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: h2Window}, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 100})
		return c.fr.WriteWindowUpdate(0, 1<<30)
	})
	for {
		f, err := c.fr.ReadFrame()
		if stream := (http2.StreamError{}); errors.As(err, &stream) {
			c.frame(func() error { return c.fr.WriteRSTStream(stream.StreamID, stream.Code) })
			continue
		}
		if err != nil {
			return
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			if s := c.headers(f); s != nil {
				handlers.Go(s.serve)
			}
		case *http2.DataFrame:
			c.data(f)
		case *http2.SettingsFrame:
			c.settings(f)
		case *http2.WindowUpdateFrame:
			c.locked(func() {
				if s := c.streams[f.StreamID]; s != nil {
					s.window += int64(f.Increment)
				} else if f.StreamID == 0 {
					c.window += int64(f.Increment)
				}
			})
		case *http2.RSTStreamFrame:
			c.locked(func() {
				if s := c.streams[f.StreamID]; s != nil {
					s.left = true
					s.cancel()
				}
			})
		case *http2.PingFrame:
			if !f.IsAck() {
				c.frame(func() error { return c.fr.WritePing(true, f.Data) })
			}
		}
	}
}

// locked changes what streams wait for.
func (c *h2Conn) locked(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
	c.changed.Broadcast()
}

// frame writes frames.
func (c *h2Conn) frame(write func() error) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	return write()
}

// leave ends all streams: the connection is over.
func (c *h2Conn) leave() {
	c.conn.Close()
	c.locked(func() {
		c.over = true
		for _, s := range c.streams {
			s.cancel()
		}
	})
}

func (c *h2Conn) settings(f *http2.SettingsFrame) {
	if f.IsAck() {
		return
	}
	c.locked(func() {
		if v, ok := f.Value(http2.SettingInitialWindowSize); ok {
			for _, s := range c.streams {
				s.window += int64(v) - c.initial
			}
			c.initial = int64(v)
		}
		if v, ok := f.Value(http2.SettingMaxFrameSize); ok {
			c.maxFrame = int(v)
		}
	})
	c.frame(func() error {
		if v, ok := f.Value(http2.SettingHeaderTableSize); ok {
			c.enc.SetMaxDynamicTableSizeLimit(v)
			c.enc.SetMaxDynamicTableSize(v)
		}
		return c.fr.WriteSettingsAck()
	})
}

// headers begins a stream, or ends its body by trailers. It returns nil unless a stream begins.
func (c *h2Conn) headers(f *http2.MetaHeadersFrame) *h2Stream {
	fields := http.Header{}
	for _, hf := range f.RegularFields() {
		fields.Add(hf.Name, hf.Value)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.streams[f.StreamID]; s != nil {
		s.trailer, s.unread = fields, false
		c.changed.Broadcast()
		return nil
	}
	if f.StreamID <= c.newest { // trailers of a request that has been answered
		return nil
	}
	c.newest = f.StreamID
	if cookies := fields["Cookie"]; len(cookies) > 1 { // RFC 9113, section 8.2.3
		fields["Cookie"] = []string{strings.Join(cookies, "; ")}
	}
	s := &h2Stream{c: c, id: f.StreamID, header: http.Header{}, unread: !f.StreamEnded(), window: c.initial}
	length := int64(-1)
	if !s.unread {
		length = 0
	} else if n, err := strconv.ParseInt(fields.Get("Content-Length"), 10, 64); err == nil {
		length = n
	}
	s.expectation = fields.Get("Expect") == "100-continue"
	target := f.PseudoValue("path")
	u, err := url.ParseRequestURI(target)
	if err != nil {
		u = &url.URL{Host: f.PseudoValue("authority")} // of CONNECT
	}
	ctx, cancel := context.WithCancel(context.WithValue(c.e.ctx, peerKey{}, c.p))
	s.cancel = cancel
	r := &http.Request{
		Method: f.PseudoValue("method"), URL: u, RequestURI: target, Host: f.PseudoValue("authority"),
		Proto: "HTTP/2.0", ProtoMajor: 2, Header: fields, ContentLength: length, Trailer: http.Header{},
		RemoteAddr: c.p.raw.RemoteAddr().String(), Body: s.reader(),
	}
	if secure, ok := c.conn.(*tls.Conn); ok {
		state := secure.ConnectionState()
		r.TLS = &state
	}
	s.req = r.WithContext(ctx)
	c.streams[s.id] = s
	return s
}

func (c *h2Conn) data(f *http2.DataFrame) {
	c.locked(func() {
		if s := c.streams[f.StreamID]; s != nil {
			s.body.Write(f.Data())
			if f.StreamEnded() {
				s.unread = false
			}
		}
	})
	if padding := int(f.Length) - len(f.Data()); padding > 0 && !f.StreamEnded() {
		c.frame(func() error { return c.fr.WriteWindowUpdate(f.StreamID, uint32(padding)) })
	}
	if f.Length > 0 {
		c.frame(func() error { return c.fr.WriteWindowUpdate(0, f.Length) })
	}
}
