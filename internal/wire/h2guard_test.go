package wire

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// TestH2SurplusFrames: meaningless and late frames have no effect, and net/http does not
// log them.
func TestH2SurplusFrames(t *testing.T) {
	surplus := map[string]func(p *h2Peer, id uint32){
		"unknown frames": func(p *h2Peer, id uint32) {
			for range 10_000 {
				p.raw(77, 0xff, id, 1, 2, 3)
			}
			p.ok(id, "ok")
		},
		"a large unknown frame": func(p *h2Peer, id uint32) {
			p.raw(10, 0, 0, make([]byte, 100<<10)...)
			p.ok(id, "ok")
		},
		"PRIORITY": func(p *h2Peer, id uint32) {
			p.raw(framePriority, 0, id, 0, 0, 0, 0, 1)
			p.ok(id, "ok")
		},
		"DATA after END_STREAM": func(p *h2Peer, id uint32) {
			p.ok(id, "ok")
			p.fr.WriteData(id, false, make([]byte, 1000))
			p.fr.WriteData(id, true, nil)
		},
		"WINDOW_UPDATE after END_STREAM": func(p *h2Peer, id uint32) {
			p.ok(id, "ok")
			for range 3 {
				p.fr.WriteWindowUpdate(id, 1<<31-1)
			}
		},
		"RST_STREAM after END_STREAM": func(p *h2Peer, id uint32) {
			p.ok(id, "ok")
			p.fr.WriteRSTStream(id, http2.ErrCodeInternal)
		},
	}
	for _, encrypted := range []bool{false, true} {
		for name, send := range surplus {
			t.Run(fmt.Sprintf("%s, TLS %v", name, encrypted), func(t *testing.T) {
				logged := captureLog(t)
				url := newH2Peer(t, encrypted, nil, func(p *h2Peer, r peerRequest) { send(p, r.stream) })
				b := newRig(t, Config{})
				for range 3 {
					_, body, err := b.exchangeOnce(call{url: url, proto: h2Protocol(encrypted)})
					require.NoError(t, err)
					assert.Equal(t, "ok", body)
				}
				assert.Equal(t, 1, b.tr.Connections())
				b.tr.Close()
				assert.Empty(t, logged.String())
			})
		}
	}
}

// TestH2ContentOfHead: DATA in a response to HEAD is discarded without an error.
func TestH2ContentOfHead(t *testing.T) {
	logged := captureLog(t)
	url := newH2Peer(t, false, nil, func(p *h2Peer, r peerRequest) {
		if r.path == "/head" {
			p.head(r.stream, false, ":status", "200", "content-length", "2")
			p.fr.WriteData(r.stream, true, []byte("ok"))
			return
		}
		p.ok(r.stream, "ok")
	})
	b := newRig(t, Config{})
	for range 3 {
		resp, body, err := b.exchangeOnce(call{url: url + "/head", method: http.MethodHead, proto: HTTP2})
		require.NoError(t, err)
		assert.Equal(t, int64(2), resp.ContentLength)
		assert.Empty(t, body)
		_, body, err = b.exchangeOnce(call{url: url, proto: HTTP2})
		require.NoError(t, err)
		assert.Equal(t, "ok", body)
	}
	assert.Equal(t, 1, b.tr.Connections())
	b.tr.Close()
	assert.Empty(t, logged.String())
}

// TestH2ConnectionErrors: a protocol violation ends the connection with a descriptive
// error, and without a log line.
func TestH2ConnectionErrors(t *testing.T) {
	violations := map[string]struct {
		send func(p *h2Peer, id uint32)
		want string
	}{
		"DATA unasked":      {func(p *h2Peer, id uint32) { p.fr.WriteData(id+2, true, []byte("x")) }, "was not opened"},
		"DATA of the peer":  {func(p *h2Peer, id uint32) { p.fr.WriteData(2, true, []byte("x")) }, "was not opened"},
		"large frame":       {func(p *h2Peer, id uint32) { p.raw(frameData, 0, id, make([]byte, h2Frame+1)...) }, "at most 262144"},
		"large unknown":     {func(p *h2Peer, id uint32) { p.raw(99, 0, id, make([]byte, h2Frame+1)...) }, "at most 262144"},
		"interrupted block": {func(p *h2Peer, id uint32) { p.raw(frameHeaders, 0, id, 0x88); p.fr.WritePing(false, [8]byte{}) }, "interrupted"},
		"lone CONTINUATION": {func(p *h2Peer, id uint32) { p.raw(frameContinuation, 0, id, 0x88) }, "without a header block"},
		"bad header block":  {func(p *h2Peer, id uint32) { p.raw(frameHeaders, flagEndHeaders, id, 0x80) }, "invalid header block"},
		"bad padding":       {func(p *h2Peer, id uint32) { p.raw(frameHeaders, flagEndHeaders|flagPadded, id, 9, 0x88) }, "padding"},
		"endless block": {func(p *h2Peer, id uint32) {
			p.raw(frameHeaders, 0, id, 0x88)
			for range 100 {
				p.raw(frameContinuation, 0, id, bytes.Repeat([]byte{0, 1, 'a', 0}, 4000)...)
			}
		}, "a header block of more than"},
		"large SETTINGS": {func(p *h2Peer, id uint32) { p.raw(frameSettings, 0, 0, make([]byte, 18000)...) }, "SETTINGS of 18000"},
		"large window":   {func(p *h2Peer, id uint32) { p.raw(frameSettings, 0, 0, 0, settingWindow, 0x80, 0, 0, 0) }, "initial window"},
		"a window made too large": {func(p *h2Peer, id uint32) {
			p.fr.WriteWindowUpdate(id, 10)
			p.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
		}, "above 2^31-1"},
		"connection window": {func(p *h2Peer, id uint32) {
			p.fr.WriteWindowUpdate(0, 1<<31-1)
			p.fr.WriteWindowUpdate(0, 1<<31-1)
		}, "FLOW_CONTROL"},
	}
	for name, v := range violations {
		t.Run(name, func(t *testing.T) {
			logged := captureLog(t)
			url := newH2Peer(t, false, nil, func(p *h2Peer, r peerRequest) { v.send(p, r.stream) })
			b := newRig(t, Config{MaxHeaderBytes: 8 << 10})
			_, _, err := b.exchangeOnce(call{url: url, proto: HTTP2})
			require.Error(t, err)
			assert.Equal(t, Malformed, err.(*Error).Fault, "%v", err)
			assert.False(t, err.(*Error).Unprocessed)
			assert.ErrorContains(t, err, v.want)
			assert.Eventually(t, func() bool { return b.tr.Connections() == 0 }, soonEnough, tick)
			b.tr.Close()
			assert.Empty(t, logged.String())
		})
	}
}

// TestH2Floods: frames without content are limited in number.
func TestH2Floods(t *testing.T) {
	frame := func(kind, flags byte, stream uint32, payload ...byte) []byte {
		return append(frameHead{length: len(payload), kind: kind, flags: flags, stream: stream}.append(nil), payload...)
	}
	for name, flood := range map[string][]byte{
		"PING":          frame(framePing, 0, 0, make([]byte, 8)...),
		"SETTINGS":      frame(frameSettings, 0, 0),
		"many settings": frame(frameSettings, 0, 0, bytes.Repeat([]byte{0, settingWindow, 0, 0, 0, 1}, 2000)...),
		"unknown":       frame(99, 0, 0),
		"PRIORITY":      frame(framePriority, 0, 1, make([]byte, 5)...),
		"empty DATA":    frame(frameData, 0, 1),
		"padding":       frame(frameData, flagPadded, 1, 2, 0, 0),
		"WINDOW_UPDATE": frame(frameWindow, 0, 0, 0, 0, 0, 1),
		"RST_STREAM":    frame(frameReset, 0, 99, 0, 0, 0, 8),
		"stray HEADERS": frame(frameHeaders, flagEndHeaders, 99, 0x88),
		"GOAWAY":        frame(frameGoAway, 0, 0, make([]byte, 8)...),
	} {
		t.Run(name, func(t *testing.T) {
			weight := 1
			if name == "many settings" {
				weight = 2001
			}
			sent := frame(frameSettings, 0, 0)
			sent = append(sent, frame(frameHeaders, flagEndHeaders, 1, 0x88)...)
			sent = append(sent, bytes.Repeat(flood, h2IdleFrames/weight+2)...)
			for _, more := range []bool{false, true} {
				g := newH2Guard(&pieces{data: sent, size: func() int { return 1 << 20 }}, 1<<10)
				if !more {
					g.Conn.(*pieces).data = sent[:len(sent)-3*len(flood)]
				}
				g.Write([]byte(http2.ClientPreface))
				g.Write(frame(frameHeaders, flagEndHeaders, 1, 0x82))
				_, err := io.Copy(io.Discard, struct{ io.Reader }{g})
				if !more {
					require.NoError(t, err)
				} else {
					require.ErrorContains(t, err, "without content")
				}
			}
		})
	}
}

// TestH2FirstFrame: a server whose first frame is not SETTINGS violates HTTP/2.
func TestH2FirstFrame(t *testing.T) {
	for begin, want := range map[string]string{
		"HTTP/1.1 400 Bad Request\r\n\r\n":             "HTTP/1",
		"\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678": "not SETTINGS",
		"\x00\x00\x00\x04\x01\x00\x00\x00\x00":         "not SETTINGS",
		"\x00\x00\x01\x55\x00\x00\x00\x00\x00x":        "not SETTINGS",
	} {
		logged := captureLog(t)
		url := newRawH2(t, func(c io.ReadWriter) { io.WriteString(c, begin) })
		b := newRig(t, Config{})
		_, _, err := b.exchangeOnce(call{url: url, proto: HTTP2})
		require.Error(t, err)
		assert.Equal(t, Malformed, err.(*Error).Fault, "%v", err)
		assert.ErrorContains(t, err, want)
		b.tr.Close()
		assert.Empty(t, logged.String())
	}
}

// TestH2SmallWindowUpdates: an upload whose server opens the window byte by byte is not a
// flood.
func TestH2SmallWindowUpdates(t *testing.T) {
	url := newRawH2(t, func(c io.ReadWriter) {
		p := &h2Peer{fr: http2.NewFramer(c, c)}
		p.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 100})
		for {
			f, err := p.fr.ReadFrame()
			if err != nil {
				return
			}
			d, ok := f.(*http2.DataFrame)
			if !ok {
				continue
			}
			if d.StreamEnded() {
				p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: d.StreamID, BlockFragment: []byte{0x88}, EndHeaders: true, EndStream: true})
				continue
			}
			for range d.Length {
				p.fr.WriteWindowUpdate(d.StreamID, 1)
			}
			if d.Length > 0 {
				p.fr.WriteWindowUpdate(0, d.Length)
			}
		}
	})
	b := newRig(t, Config{})
	_, _, err := b.exchangeOnce(call{url: url, method: "POST", body: strings.NewReader(strings.Repeat("x", 20_000)), proto: HTTP2})
	require.NoError(t, err)
}

// TestH2BurstBeforeSettings: a burst before the server's SETTINGS stays within its stream
// limit, so that nothing is sent twice.
func TestH2BurstBeforeSettings(t *testing.T) {
	const allowed = 3
	var refused, posts atomic.Int64
	begun := make(chan struct{})
	url := newRawH2(t, func(c io.ReadWriter) {
		p := &h2Peer{fr: http2.NewFramer(c, c)}
		open := 0
		for first := true; ; {
			f, err := p.fr.ReadFrame()
			if err != nil {
				return
			}
			switch f := f.(type) {
			case *http2.HeadersFrame:
				if first {
					first = false
					close(begun)
					p.fr.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: allowed})
				}
				if open++; open > allowed {
					refused.Add(1)
					p.fr.WriteRSTStream(f.StreamID, http2.ErrCodeProtocol)
				}
			case *http2.DataFrame:
				if f.StreamEnded() {
					posts.Add(1)
					open--
					p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: f.StreamID, BlockFragment: []byte{0x88}, EndHeaders: true, EndStream: true})
				}
			}
		}
	})
	b := newRig(t, Config{})
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			_, _, err := b.exchangeOnce(call{url: url, method: "POST", body: strings.NewReader("x"), proto: HTTP2})
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	<-begun
	assert.Zero(t, refused.Load())
	assert.Equal(t, int64(40), posts.Load())
	assert.Equal(t, 1, b.tr.Connections())
}

// TestH2IdleGoAway: an idle connection is removed from the pool when GOAWAY arrives.
func TestH2IdleGoAway(t *testing.T) {
	url := newH2Peer(t, false, nil, func(p *h2Peer, r peerRequest) {
		p.ok(r.stream, "ok")
		if r.path == "/last" {
			p.fr.WriteGoAway(r.stream, 0, nil)
		}
	})
	b := newRig(t, Config{})
	_, _, err := b.exchangeOnce(call{url: url + "/last", proto: HTTP2})
	require.NoError(t, err)
	assert.Eventually(t, func() bool { return b.tr.Connections() == 0 }, soonEnough, tick)
}

// TestH2GuardAllocations: after its buffers, the guard allocates nothing for a request.
func TestH2GuardAllocations(t *testing.T) {
	var server bytes.Buffer
	p := &h2Peer{fr: http2.NewFramer(&server, nil)}
	feed := &pieces{size: func() int { return 1 << 20 }}
	g := newH2Guard(feed, 256<<10)
	g.hpack.table = make([]hpackEntry, 0, 300)
	g.Write([]byte(http2.ClientPreface))
	out := make([]byte, 8<<10)
	read := func() {
		feed.data = server.Bytes()
		for n := 0; n < server.Len(); {
			m, err := g.Read(out)
			require.NoError(t, err)
			n += m
		}
		server.Reset()
	}
	p.fr.WriteSettings()
	read()
	own := make([]byte, 0, 100)
	id := uint32(1)
	// :status 200, and literals for date, in Huffman code, and content-length
	head := append([]byte{0x88, 0x61, 0x80 | byte(hpack.HuffmanEncodeLength("today"))}, hpack.AppendHuffmanString(nil, "today")...)
	head = append(head, 0x5c, 4, '1', '0', '2', '4')
	perRequest := testing.AllocsPerRun(1000, func() {
		own = append(frameHead{length: 2, kind: frameHeaders, flags: flagEndHeaders | flagEndStream, stream: id}.append(own[:0]), 0x82, 0x84)
		g.Write(own)
		p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndHeaders: true, BlockFragment: head})
		p.fr.WriteData(id, true, out[:1024])
		read()
		id += 2
	})
	assert.Zero(t, perRequest)
	assert.Empty(t, g.streams)
}
