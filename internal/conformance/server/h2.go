package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/netreply/netreply/internal/conformance/scenario"
)

type h2conn struct {
	p      *player
	fr     *http2.Framer
	wmu    sync.Mutex // one frame at a time
	enc    *hpack.Encoder
	encBuf bytes.Buffer

	mu       sync.Mutex
	cond     *sync.Cond
	connWin  int64
	initWin  int64
	streams  map[uint32]*h2stream
	dead     bool
	nStreams int
}

type h2stream struct {
	id    uint32
	log   int // index in p.log.Requests
	win   int64
	body  []byte
	ended bool
	reset bool
}

func (p *player) playH2(sc *scenario.Connection) {
	pre := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(p.br, pre); err != nil || string(pre) != http2.ClientPreface {
		line, _, _ := bytes.Cut(pre, []byte("\r\n"))
		p.note("no HTTP/2 preface: %q", line)
		p.end("fin")
		return
	}
	c := &h2conn{p: p, fr: http2.NewFramer(p, p.br), connWin: 65535, initWin: 65535, streams: map[uint32]*h2stream{}}
	c.cond = sync.NewCond(&c.mu)
	c.enc = hpack.NewEncoder(&c.encBuf)
	c.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.fr.SetMaxReadFrameSize(1 << 20)
	c.write(func() error { return c.fr.WriteSettings() })
	var wg sync.WaitGroup
	first := true
	for {
		f, err := c.fr.ReadFrame()
		if err != nil {
			break
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if f.IsAck() {
				break
			}
			var set []string
			f.ForeachSetting(func(s http2.Setting) error {
				set = append(set, fmt.Sprintf("%s=%d", s.ID, s.Val))
				if s.ID == http2.SettingInitialWindowSize {
					c.mu.Lock()
					for _, st := range c.streams {
						st.win += int64(s.Val) - c.initWin
					}
					c.initWin = int64(s.Val)
					c.mu.Unlock()
				}
				return nil
			})
			if first {
				p.note("settings %s", strings.Join(set, " "))
				first = false
			}
			c.write(func() error { return c.fr.WriteSettingsAck() })
		case *http2.WindowUpdateFrame:
			c.mu.Lock()
			if f.StreamID == 0 {
				c.connWin += int64(f.Increment)
			} else if st := c.streams[f.StreamID]; st != nil {
				st.win += int64(f.Increment)
			}
			c.cond.Broadcast()
			c.mu.Unlock()
		case *http2.PingFrame:
			if !f.IsAck() {
				d := f.Data
				c.write(func() error { return c.fr.WritePing(true, d) })
			}
		case *http2.MetaHeadersFrame:
			c.mu.Lock()
			st := c.streams[f.StreamID]
			if st != nil { // trailers
				st.ended = st.ended || f.StreamEnded()
				c.cond.Broadcast()
				c.mu.Unlock()
				break
			}
			st = &h2stream{id: f.StreamID, win: c.initWin, ended: f.StreamEnded()}
			c.streams[f.StreamID] = st
			r := scenario.ReqLog{Method: f.PseudoValue("method"), Target: f.PseudoValue("path"), Proto: "HTTP/2",
				Framing: "h2", Headers: [][2]string{}}
			for _, h := range f.Fields {
				r.Headers = append(r.Headers, [2]string{h.Name, h.Value})
			}
			st.log = len(p.log.Requests)
			p.log.Requests = append(p.log.Requests, r)
			i := c.nStreams
			c.nStreams++
			c.mu.Unlock()
			var steps []scenario.Step
			if i < len(sc.Streams) {
				steps = sc.Streams[i]
			} else if sc.Loop && len(sc.Streams) > 0 {
				steps = sc.Streams[len(sc.Streams)-1]
			} else {
				p.note("unscripted stream %d", f.StreamID)
				break
			}
			wg.Add(1)
			go func() {
				defer wg.Done()
				c.runStream(st, steps)
			}()
		case *http2.DataFrame:
			n := len(f.Data())
			c.mu.Lock()
			if st := c.streams[f.StreamID]; st != nil {
				st.body = append(st.body, f.Data()...)
				st.ended = st.ended || f.StreamEnded()
				c.cond.Broadcast()
			}
			c.mu.Unlock()
			if n > 0 {
				c.write(func() error { return c.fr.WriteWindowUpdate(0, uint32(n)) })
				if !f.StreamEnded() {
					c.write(func() error { return c.fr.WriteWindowUpdate(f.StreamID, uint32(n)) })
				}
			}
		case *http2.RSTStreamFrame:
			c.mu.Lock()
			p.note("client RST_STREAM %d %v", f.StreamID, f.ErrCode)
			if st := c.streams[f.StreamID]; st != nil {
				st.reset = true
			}
			c.cond.Broadcast()
			c.mu.Unlock()
		case *http2.GoAwayFrame:
			p.note("client GOAWAY %v", f.ErrCode)
		}
	}
	c.mu.Lock()
	c.dead = true
	if p.log.End == "open" {
		p.log.End = "clientClosed"
	}
	c.cond.Broadcast()
	c.mu.Unlock()
	wg.Wait()
	// store the bodies
	for _, st := range c.streams {
		r := &p.log.Requests[st.log]
		r.BodySize = int64(len(st.body))
		r.Incomplete = !st.ended
		if len(st.body) > 0 && st.ended {
			sum := sha256.Sum256(st.body)
			r.BodySHA256 = hex.EncodeToString(sum[:])
			if len(st.body) <= 400 && utf8.Valid(st.body) {
				r.BodyText = string(st.body)
			}
		}
	}
}

func (c *h2conn) write(f func() error) error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	return f()
}

func (c *h2conn) runStream(st *h2stream, steps []scenario.Step) {
	for i := range steps {
		s := &steps[i]
		var err error
		switch {
		case s.Await == "body" || s.Await == "request":
			c.mu.Lock()
			for !st.ended && !st.reset && !c.dead {
				c.cond.Wait()
			}
			if st.reset || c.dead && !st.ended {
				err = errEnd
			}
			c.mu.Unlock()
		case len(s.H2Headers) > 0:
			err = c.write(func() error {
				c.encBuf.Reset()
				for _, h := range s.H2Headers {
					c.enc.WriteField(hpack.HeaderField{Name: h[0], Value: c.p.s.Expand(h[1])})
				}
				return c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: st.id, BlockFragment: c.encBuf.Bytes(),
					EndHeaders: true, EndStream: s.End})
			})
		case s.H2Data != nil:
			err = c.sendData(st, s.H2Data)
		case s.H2Rst != nil:
			err = c.write(func() error { return c.fr.WriteRSTStream(st.id, http2.ErrCode(*s.H2Rst)) })
		case s.H2GoAway != nil:
			last := uint32(s.H2GoAway.Last)
			switch s.H2GoAway.Last {
			case -1:
				last = st.id
			case -2:
				last = st.id - min(st.id, 2)
				if st.id == 1 {
					last = 0
				}
			}
			err = c.write(func() error { return c.fr.WriteGoAway(last, http2.ErrCode(s.H2GoAway.Code), nil) })
		case s.H2Raw != "":
			b, e := hex.DecodeString(strings.ReplaceAll(s.H2Raw, " ", ""))
			if e != nil {
				c.p.note("bad h2raw: %v", e)
				return
			}
			err = c.write(func() error { _, e := c.p.Write(b); return e })
		case s.DelayMs > 0:
			err = c.p.sleep(s.DelayMs)
		case s.Close != "":
			c.mu.Lock()
			if s.Close == "rst" {
				c.p.log.End = "serverRst"
				c.p.tcp.SetLinger(0)
				c.p.tcp.Close()
			} else {
				c.p.log.End = "serverFin"
				c.p.tcp.CloseWrite() // the reader goes on until the client closes
			}
			c.mu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

func (c *h2conn) sendData(st *h2stream, d *scenario.H2Data) error {
	data := []byte(c.p.s.Expand(d.Text))
	if d.Gen > 0 {
		data = scenario.Gen(d.Gen)
	}
	if len(data) == 0 {
		return c.write(func() error { return c.fr.WriteData(st.id, d.End, nil) })
	}
	piece := 16384
	if d.Piece > 0 && d.Piece < piece {
		piece = d.Piece
	}
	for len(data) > 0 {
		k := int64(min(piece, len(data)))
		c.mu.Lock()
		for (c.connWin <= 0 || st.win <= 0) && !c.dead && !st.reset {
			c.cond.Wait()
		}
		if c.dead || st.reset {
			c.mu.Unlock()
			return errEnd
		}
		k = min(k, c.connWin, st.win)
		c.connWin -= k
		st.win -= k
		c.mu.Unlock()
		end := d.End && int(k) == len(data)
		if err := c.write(func() error { return c.fr.WriteData(st.id, end, data[:k]) }); err != nil {
			return err
		}
		data = data[k:]
		if len(data) > 0 {
			if err := c.p.sleep(d.PieceMs); err != nil {
				return err
			}
		}
	}
	return nil
}
