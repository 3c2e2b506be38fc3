package wire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// pieces is a connection that returns data in pieces of varying size, and accepts all
// writes.
type pieces struct {
	net.Conn
	data []byte
	size func() int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.data) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), max(1, p.size()))], p.data)
	p.data = p.data[n:]
	return n, nil
}

func (p *pieces) Write(b []byte) (int, error) { return len(b), nil }
func (p *pieces) Close() error                { return nil }

// guarded returns the output of a guard for the bytes of a server. The streams 1, 3 and 5
// are open, 3 for HEAD. sizes are the sizes of Reads on both sides.
func guarded(t testing.TB, server []byte, sizes func() int) []byte {
	g := newH2Guard(&pieces{data: server, size: sizes}, 4<<10)
	defer g.Close()
	g.Write([]byte(http2.ClientPreface))
	for id := uint32(1); id <= 5; id += 2 {
		g.isHead = id == 3
		own := frameHead{length: 1, kind: frameHeaders, flags: flagEndHeaders | flagEndStream*byte(id&1), stream: id}.append(nil)
		own = append(own, 0x82)
		for len(own) > 0 {
			n := min(len(own), max(1, sizes()))
			g.Write(own[:n])
			own = own[n:]
		}
	}
	var out bytes.Buffer
	buf := make([]byte, 64<<10)
	for reads := 0; ; reads++ {
		n, err := g.Read(buf[:min(len(buf), max(1, sizes()))])
		out.Write(buf[:n])
		if err != nil {
			break
		}
		if reads > 2*len(server)+1000*poisonSize {
			t.Fatal("no end")
		}
	}
	return out.Bytes()
}

const poisonSize = frameHeadLen + 4 + len(poisonName)

// FuzzH2Guard: for any bytes of a server, the guard ends, its output does not depend on the
// sizes of the Reads, is not much larger than the input, and consists of complete valid
// frames.
func FuzzH2Guard(f *testing.F) {
	for _, s := range h2Seeds() {
		f.Add(s, uint64(1))
	}
	f.Fuzz(func(t *testing.T, server []byte, seed uint64) {
		if len(server) > 64<<10 {
			return
		}
		whole := guarded(t, server, func() int { return 64 << 10 })
		r := rand.New(rand.NewPCG(seed, 0))
		cut := guarded(t, server, func() int { return 1 + r.IntN(40) })
		// at the end inside a frame, the lengths may differ
		n := min(len(whole), len(cut))
		if !bytes.Equal(whole[:n], cut[:n]) {
			t.Fatalf("other bytes in other pieces:\n%x\n%x", whole, cut)
		}
		if len(whole) > len(server)+(1+len(server)/frameHeadLen)*poisonSize {
			t.Fatalf("%d bytes of %d", len(whole), len(server))
		}
		open := map[uint32]bool{}
		for rest := whole; len(rest) >= frameHeadLen; {
			h := parseFrameHead(rest)
			if h.kind > frameContinuation || h.kind == framePriority {
				t.Fatalf("net/http gets a frame of type %d", h.kind)
			}
			if h.kind == frameData && h.stream != 0 && h.stream != h2UnusedStream && !open[h.stream] {
				t.Fatalf("net/http gets DATA of stream %d in front of its head", h.stream)
			}
			if h.kind == frameHeaders {
				open[h.stream] = true
			}
			rest = rest[min(len(rest), frameHeadLen+h.length):]
		}
	})
}

// h2Seeds are typical starts of server bytes.
func h2Seeds() [][]byte {
	var seeds [][]byte
	add := func(write func(*h2Peer)) {
		var b bytes.Buffer
		p := &h2Peer{fr: http2.NewFramer(&b, nil)}
		p.fr.AllowIllegalWrites = true
		p.enc = hpack.NewEncoder(&p.buf)
		p.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
		write(p)
		seeds = append(seeds, b.Bytes())
	}
	add(func(p *h2Peer) {
		p.head(1, false, ":status", "200", "content-length", "5", "date", "today")
		p.fr.WriteDataPadded(1, false, []byte("he"), make([]byte, 7))
		p.fr.WriteData(1, true, []byte("llo"))
		p.fr.WriteData(1, true, []byte("again"))
		p.fr.WriteWindowUpdate(3, 1<<31-1)
		p.fr.WriteGoAway(1, 11, []byte("why"))
	})
	add(func(p *h2Peer) {
		p.head(5, false, ":status", "103", "link", "x")
		p.head(5, false, ":status", "200")
		p.fr.WritePing(false, [8]byte{})
		p.head(5, true, ":status", "200", "connection", "x")
		p.fr.WriteRSTStream(3, 1)
		p.fr.WriteRawFrame(77, 3, 5, []byte("unknown"))
		p.fr.WritePriority(1, http2.PriorityParam{})
	})
	add(func(p *h2Peer) {
		block := bytes.Clone(p.encode(":status", "200", "Abc", "def"))
		p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:2], PadLength: 3})
		p.fr.WriteContinuation(1, false, block[2:4])
		p.fr.WriteContinuation(1, true, block[4:])
		p.fr.WriteData(3, false, []byte("of HEAD"))
		p.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
	})
	return append(seeds, []byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
}

// FuzzH2Passes: valid frames pass unchanged. The input selects the frames.
func FuzzH2Passes(f *testing.F) {
	f.Add([]byte("0123456789abcdefghijklmnopqrstuvwxyz"), uint64(1))
	f.Add(bytes.Repeat([]byte{1, 7, 3, 9, 200, 4}, 50), uint64(2))
	f.Fuzz(func(t *testing.T, choices []byte, seed uint64) {
		if len(choices) > 1000 {
			return
		}
		var b bytes.Buffer
		p := &h2Peer{fr: http2.NewFramer(&b, nil)}
		p.enc = hpack.NewEncoder(&p.buf)
		p.fr.WriteSettings()
		heads := map[uint32]bool{}
		done := map[uint32]bool{}
		interims := map[uint32]int{} // all heads of a stream count against its limit of 4 KiB
		for i, c := range choices {
			id := []uint32{1, 5}[c&1]
			text := strings.Repeat("v", int(c))
			switch c / 2 % 8 {
			case 0, 1:
				if !heads[id] {
					p.head(id, false, ":status", "200", "a", text, "date", "x")
				} else if !done[id] && i%5 == 0 {
					p.head(id, true, "b", text)
					done[id] = true
				}
				heads[id] = true
			case 2:
				if heads[id] && !done[id] {
					p.fr.WriteDataPadded(id, false, []byte(text), make([]byte, c%7))
				}
			case 3:
				if interims[id]++; !heads[id] && interims[id] <= 8 {
					p.head(id, false, ":status", "103", "link", text)
				}
			case 4:
				p.fr.WritePing(c > 100, [8]byte{c})
			case 5:
				p.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(c)})
			case 6:
				if !done[id] {
					p.fr.WriteWindowUpdate(id, 1+uint32(c))
				}
				p.fr.WriteWindowUpdate(0, 1+uint32(c))
			case 7:
				if !heads[id] {
					block := p.encode(":status", "200", "c", text)
					p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block[:1], PadLength: c})
					p.fr.WriteContinuation(id, true, block[1:])
					heads[id] = true
				}
			}
		}
		p.fr.WriteGoAway(5, 0, []byte("bye"))
		sent := bytes.Clone(b.Bytes())
		r := rand.New(rand.NewPCG(seed, 0))
		if got := guarded(t, sent, func() int { return 1 + r.IntN(300) }); !bytes.Equal(sent, got) {
			t.Fatalf("sent %x\n got %x", sent, got)
		}
	})
}

// FuzzH2Block: hpackScan and net/http's decoder agree. The first byte is the start of the
// second block.
func FuzzH2Block(f *testing.F) {
	var p h2Peer
	p.enc = hpack.NewEncoder(&p.buf)
	for _, fields := range [][]string{
		{":status", "200", "content-length", "12", "date", "today"}, {":status", "099", "Abc", " d", "connection", "x"}, {":path", "/", "a", "b\x00"},
	} {
		f.Add(append([]byte{byte(len(fields))}, p.encode(fields...)...))
	}
	f.Add([]byte{3, 0x20, 0x40, 1, 'a', 1, 'b', 0xbe, 0x3f, 0xe1, 0x1f, 0xbe})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 {
			return
		}
		cut := min(int(data[0]), len(data)-1)
		s := hpackScan{limit: hpackTable}
		var want []hpackEntry
		d := hpack.NewDecoder(4096, func(h hpack.HeaderField) {
			name := nameOf([]byte(h.Name))
			want = append(want, hpackEntry{name, valueOf([]byte(h.Value), name.kind)})
		})
		for _, block := range [][]byte{data[1 : 1+cut], data[1+cut:]} {
			want = nil
			_, err := d.Write(block)
			if closeErr := d.Close(); err != nil || closeErr != nil {
				return // net/http ends the connection
			}
			var got []hpackEntry
			require.NoError(t, s.scan(block, func(e hpackEntry) { got = append(got, e) }))
			require.Equal(t, want, got)
			require.LessOrEqual(t, len(s.table), 4*hpackTable/32)
		}
	})
}

// FuzzH2Client: net/http on a guard ends two requests, for any bytes of the server after
// its SETTINGS, and writes nothing to the log.
func FuzzH2Client(f *testing.F) {
	for _, s := range h2Seeds() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, server []byte) {
		if len(server) > 16<<10 {
			return
		}
		var logged bytes.Buffer
		log.SetOutput(&logged)
		defer log.SetOutput(io.Discard)
		tr := NewTransport(Config{})
		near, far := net.Pipe()
		asked := make(chan struct{})
		go func() { // a pipe has no buffer
			io.ReadFull(far, make([]byte, len(http2.ClientPreface)))
			fr := http2.NewFramer(io.Discard, far)
			for n := 0; ; {
				g, err := fr.ReadFrame()
				if err != nil {
					io.Copy(io.Discard, far)
					return
				}
				if g.Header().Type == http2.FrameHeaders {
					if n++; n == 2 {
						close(asked)
					}
				}
			}
		}()
		c := &conn{host: &host{}, nc: near, stream: near, http2: true}
		s, err := tr.newH2Conn(Key{Scheme: "http", Addr: "h:80"}, c)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		ended := make(chan error, 2)
		for _, method := range []string{"GET", "POST"} {
			go func() {
				var body io.Reader
				if method == "POST" {
					body = strings.NewReader("some text")
				}
				req, _ := http.NewRequestWithContext(ctx, method, "http://h/", body)
				x := &Exchange{Observer: &recorder{}}
				tr.watch(ctx, c, x)
				defer x.cancellation.finish()
				resp, err := s.roundTrip(req, x)
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				ended <- err
			}()
		}
		far.SetDeadline(time.Now().Add(10 * time.Second))
		far.Write(frameHead{kind: frameSettings}.append(nil))
		<-asked
		far.Write(server)
		far.Close()
		for range 2 {
			if err := <-ended; errors.Is(err, context.DeadlineExceeded) {
				t.Fatal("a request hangs")
			}
		}
		s.close()
		tr.Close()
		if logged.Len() > 0 {
			t.Fatalf("net/http logs %q", logged.String())
		}
	})
}
