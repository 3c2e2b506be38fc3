package wire

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// h2Guard lies between net/http's HTTP/2 client and what that speaks on, and looks at
// every frame. What the peer may do passes as it is. What net/http would not survive, or
// would write to the log of the process, does not come through: it becomes the end of one
// stream where only that is concerned, and of the connection otherwise. The guard also
// keeps what net/http forgets or has only in words, namely GOAWAY, the settings and the
// error that reading ended with.
//
// A stream of which the peer's frames are wrong is ended by a header block of our own
// that is malformed (see poison): net/http takes it for the peer's, fails the stream and
// resets it, and the others go on.
type h2Guard struct {
	net.Conn // HTTP/2 is spoken on it
	// force, when not nil, is closed when closing Conn takes too long.
	force io.Closer
	// onChange is called when the peer has changed how many streams it allows, or takes no
	// more; onEnd once, when the connection has ended on either side.
	onChange, onEnd func()
	heads           int64 // how large a response head may be

	// The read side belongs to the goroutine that calls Read.
	in      []byte // what has come: in[r:w] is still to be looked at
	r, w    int
	out     []byte // what net/http gets next; it may lie in in
	pass    int    // bytes of payload that follow out, as they are
	behind  []byte // what follows them
	own     []byte // memory of frames that are not the peer's
	block   h2Block
	hpack   hpackScan
	drop    int  // bytes of payload that nobody gets
	greeted bool // the peer's first SETTINGS have come

	// The write side belongs to the goroutine that calls Write.
	header  [frameHeadLen]byte
	got     int  // of the header
	skip    int  // bytes that follow it, the connection's preface at first
	isHead  bool // the next request is HEAD
	obeyed  bool
	settled chan struct{} // closed when net/http has obeyed the first SETTINGS: obeyed

	ended chan struct{} // closed when reading has ended, or net/http has closed the connection
	once  sync.Once

	room   atomic.Int64 // streams the peer allows
	ending atomic.Bool  // no more exchanges can begin
	sent   atomic.Int64
	heard  atomic.Int64 // when something came last, in Unix nanoseconds
	moved  atomic.Int64 // grows with all that is about an exchange; not with PING

	mu       sync.Mutex
	streams  map[uint32]guardedStream // open ones
	last     uint32                   // the last stream that was opened
	initial  int64                    // the peer's initial window
	highest  int64                    // no stream has a larger delta
	idle     int                      // frames that carried nothing
	idleFrom time.Time                // when the first of them came
	goAway   h2GoAway
	readErr  error // that reading ended with
	writeErr error
}

// guardedStream is one stream as the guard sees it.
type guardedStream struct {
	delta      int64 // its send window less the peer's initial window
	left       int64 // of the content-length, -1 when there is none
	size       int64 // of its response heads, interim ones included
	head       bool  // the final response head has come
	noContent  bool  // the response can have none
	localDone  bool
	remoteDone bool
}

// h2GoAway is what the peer has said at its going.
type h2GoAway struct {
	seen bool
	code uint32 // the first that is not 0
}

// h2Block is a header block that has not come as a whole.
type h2Block struct {
	stream uint32 // 0 for none
	end    bool   // END_STREAM
	frame  frameHead
	left   int    // bytes of that frame that are missing
	raw    []byte // the frames as they came
	text   []byte // what they carry
}

const (
	h2ReadSize  = 16 << 10
	h2MaxWindow = math.MaxInt32
	h2Preface   = 24 // bytes

	// streams that net/http takes for allowed as long as the peer has not said
	h2RoomAtFirst = 100
	h2RoomUnsaid  = 1000

	// h2LastStream is where a connection runs out of numbers for its streams
	h2LastStream = math.MaxInt32 - 1<<16
)

// A peer may send no more than so many frames in such a time that carry nothing: each of
// them costs us a little, and an answer that of PING and SETTINGS.
const (
	h2IdleFrames = 100_000
	h2IdleTime   = 10 * time.Second
)

// h2Violation ends a connection on which the peer breaks the rules of HTTP/2.
type h2Violation struct{ what string }

func (e *h2Violation) Error() string { return "the server breaks the rules of HTTP/2: " + e.what }

func violation(format string, a ...any) error { return &h2Violation{fmt.Sprintf(format, a...)} }

func newH2Guard(nc net.Conn, headLimit int64) *h2Guard {
	g := &h2Guard{Conn: nc, onChange: func() {}, onEnd: func() {}, heads: headLimit,
		in: make([]byte, h2ReadSize), skip: h2Preface,
		settled: make(chan struct{}), ended: make(chan struct{}),
		streams: map[uint32]guardedStream{}, initial: 1<<16 - 1}
	g.hpack.limit = hpackTable
	g.room.Store(h2RoomAtFirst)
	return g
}

// Read gives net/http what may come through.
func (g *h2Guard) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		switch {
		case len(g.out) > 0:
			n := copy(p, g.out)
			g.out = g.out[n:]
			return n, nil
		case g.pass > 0:
			return g.payload(p)
		case g.behind != nil:
			g.out, g.behind = g.behind, nil
			continue
		case g.drop > 0:
			if err := g.need(1); err != nil {
				return 0, g.fail(err)
			}
			n := min(g.drop, g.w-g.r)
			g.r += n
			g.drop -= n
			continue
		}
		if err := g.advance(); err != nil {
			return 0, g.fail(err)
		}
	}
}

// payload passes payload on that nobody looks at. Where p is large it goes there without
// a detour.
func (g *h2Guard) payload(p []byte) (n int, err error) {
	p = p[:min(len(p), g.pass)]
	if g.r == g.w && len(p) < h2ReadSize/4 {
		if err := g.need(1); err != nil {
			return 0, g.fail(err)
		}
	}
	if g.r < g.w {
		n = copy(p, g.in[g.r:g.w])
		g.r += n
	} else if n, err = g.read(p); err != nil {
		err = g.fail(err)
	}
	g.pass -= n
	g.moved.Add(int64(n))
	return n, err
}

func (g *h2Guard) read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	if n > 0 {
		g.heard.Store(time.Now().UnixNano())
	}
	return n, err
}

// need makes sure that n bytes lie in in[r:w], at most h2ReadSize.
func (g *h2Guard) need(n int) error {
	if g.w-g.r >= n {
		return nil
	}
	if g.r == g.w {
		g.r, g.w = 0, 0
	} else if g.r+n > len(g.in) {
		g.w = copy(g.in, g.in[g.r:g.w])
		g.r = 0
	}
	for empty := 0; ; {
		m, err := g.read(g.in[g.w:])
		g.w += m
		if g.w-g.r >= n {
			return nil // the error comes again
		}
		if err != nil {
			return err
		}
		if m > 0 {
			empty = 0
		} else if empty++; empty == 100 {
			return io.ErrNoProgress
		}
	}
}

// fail ends reading.
func (g *h2Guard) fail(err error) error {
	g.mu.Lock()
	if g.readErr == nil {
		if err == io.EOF && g.writeErr != nil {
			// the failed write has used the socket's error up: this is no clean end
			err = g.writeErr
		}
		g.readErr = err
	}
	err = g.readErr
	g.mu.Unlock()
	g.end()
	return err
}

func (g *h2Guard) end() {
	g.ending.Store(true)
	g.once.Do(func() {
		close(g.ended)
		g.onEnd()
	})
}

// retire says that no more streams can begin.
func (g *h2Guard) retire() {
	if g.ending.CompareAndSwap(false, true) {
		g.onChange()
	}
}

// Write looks at our own frames, and sends them. It takes little of the stack: encrypting
// needs nearly all that a goroutine of net/http has without growing it.
func (g *h2Guard) Write(p []byte) (int, error) {
	g.look(p)
	n, err := g.Conn.Write(p)
	if err != nil {
		g.awaitReason(err)
	}
	return n, err
}

// look finds the heads of our own frames.
//
//go:noinline
func (g *h2Guard) look(p []byte) {
	g.sent.Add(int64(len(p)))
	for len(p) > 0 {
		if g.skip > 0 {
			n := min(g.skip, len(p))
			g.skip -= n
			p = p[n:]
			continue
		}
		n := copy(g.header[g.got:], p)
		g.got += n
		p = p[n:]
		if g.got == frameHeadLen {
			g.got = 0
			f := parseFrameHead(g.header[:])
			g.skip = f.length
			g.wrote(f)
		}
	}
}

// alertLimit bounds how long a failed write waits for what the peer may have said.
const alertLimit = 100 * time.Millisecond

// awaitReason gives the reading side a moment after a failed write: a server that closes
// may have said why, by GOAWAY or an alert of TLS, and net/http would not wait for it.
//
//go:noinline
func (g *h2Guard) awaitReason(err error) {
	if errors.Is(err, net.ErrClosed) || isTimeout(err) {
		return
	}
	g.mu.Lock()
	if g.writeErr == nil {
		g.writeErr = err
	}
	g.mu.Unlock()
	timer := time.NewTimer(alertLimit)
	defer timer.Stop()
	select {
	case <-g.ended:
	case <-timer.C:
	}
}

// Close ends the connection, the polite end of TLS included if that takes no time.
func (g *h2Guard) Close() error {
	g.end()
	if g.force != nil {
		timer := time.AfterFunc(endGrace, func() { g.force.Close() })
		defer timer.Stop()
	}
	return g.Conn.Close()
}

// capacity is how many streams the connection may carry at once, and whether more can
// begin.
func (g *h2Guard) capacity() (n int, open bool) {
	return int(g.room.Load()), !g.ending.Load()
}

// state is how the connection has ended, as far as it has.
func (g *h2Guard) state() (goAway h2GoAway, readErr error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.goAway, g.readErr
}

// idled counts frames that carry nothing.
func (g *h2Guard) idled(n int) error {
	if g.idle == 0 {
		g.idleFrom = time.Now()
	}
	if g.idle += n; g.idle <= h2IdleFrames {
		return nil
	}
	if time.Since(g.idleFrom) < h2IdleTime {
		return violation("more than %d frames that carry nothing within %v", h2IdleFrames, h2IdleTime)
	}
	g.idle = 0
	return nil
}
