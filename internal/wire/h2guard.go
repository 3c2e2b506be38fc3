package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// h2Guard is the connection below net/http's HTTP/2 client, and checks every frame. Valid
// frames pass unchanged. Frames that net/http could not handle, or would write to the log
// of the process, are kept from it: they end one stream if they concern only that, and
// otherwise the connection. The guard also stores what net/http does not make available, or
// only as text: GOAWAY, the settings, and the error of reading.
//
// A stream with invalid frames is ended by a malformed header block of the guard (see
// poison): net/http takes it for the peer's and resets the stream, without affecting the
// others.
type h2Guard struct {
	net.Conn // carries HTTP/2
	// force, if not nil, is closed when closing Conn takes too long.
	force io.Closer
	// onChange is called when the peer has changed the number of allowed streams, or
	// accepts no more; onEnd is called once, when either side has ended the connection.
	onChange, onEnd func()
	heads           int64 // limit of a response head

	// Used by the goroutine that calls Read.
	in      []byte // received bytes; in[r:w] were not processed yet
	r, w    int
	out     []byte // next bytes for net/http; may be part of in
	pass    int    // bytes of payload that follow out unchanged
	ping    bool   // they are of a PING
	after   []byte // follows them
	made    []byte // memory for frames of the guard
	block   h2Block
	hpack   hpackScan
	drop    int  // bytes of payload to drop
	greeted bool // the peer's first SETTINGS were received

	// Used by the goroutine that calls Write.
	header  [frameHeadLen]byte
	got     int  // bytes of header
	skip    int  // bytes to skip, at first the connection preface
	isHead  bool // the next request is a HEAD
	acked   bool
	owed    int64         // growth of the connection's receive window that the peer was not told yet
	settled chan struct{} // closed when net/http has acknowledged the first SETTINGS
	queue   h2Queue

	ended chan struct{} // closed when reading has ended, or net/http has closed the connection
	once  sync.Once

	room     atomic.Int64 // number of streams the peer allows
	ending   atomic.Bool  // no new exchanges may begin
	sent     atomic.Int64
	lastRead atomic.Int64 // time of the last read, in Unix nanoseconds
	activity atomic.Int64 // changes with everything that concerns exchanges; not with PING

	mu       sync.Mutex
	streams  map[uint32]guardedStream // open streams
	last     uint32                   // the last opened stream
	initial  int64                    // the peer's initial window
	highest  int64                    // upper bound of guardedStream.delta
	idle     int                      // number of frames without content
	idleFrom time.Time                // time of the first of them
	goAway   h2GoAway
	readErr  error // error of reading
	writeErr error
}

// guardedStream is the guard's state of a stream.
type guardedStream struct {
	delta      int64 // its send window minus the peer's initial window
	left       int64 // bytes left of the content-length, -1 if there is none
	size       int64 // size of its response heads, including interim ones
	head       bool  // the final response head was received
	noContent  bool  // the response has no content by definition
	localDone  bool
	remoteDone bool
}

// h2GoAway is the content of the peer's GOAWAY frames.
type h2GoAway struct {
	seen bool
	code uint32 // the first that is not 0
}

// h2Block is an incomplete header block.
type h2Block struct {
	stream uint32 // 0 for none
	end    bool   // END_STREAM
	frame  frameHead
	left   int    // missing bytes of that frame
	raw    []byte // the frames
	text   []byte // their content
}

const (
	h2ReadSize  = 16 << 10
	h2MaxWindow = math.MaxInt32
	h2Preface   = 24 // bytes

	// number of streams that net/http assumes before the first SETTINGS, and without a
	// value in them
	h2RoomAtFirst = 100
	h2RoomUnsaid  = 1000

	// h2LastStream is the stream after which no new ones begin, because the numbers run out
	h2LastStream = math.MaxInt32 - 1<<16
)

// A peer may send at most h2IdleFrames frames without content within h2IdleTime: each costs
// processing, and PING and SETTINGS also an answer.
const (
	h2IdleFrames = 100_000
	h2IdleTime   = 10 * time.Second
)

// h2Violation is the error of a connection on which the peer violates HTTP/2.
type h2Violation struct{ what string }

func (e *h2Violation) Error() string { return "the server violates HTTP/2: " + e.what }

func violation(format string, a ...any) error { return &h2Violation{fmt.Sprintf(format, a...)} }

func newH2Guard(nc net.Conn, headLimit int64) *h2Guard {
	g := &h2Guard{Conn: nc, onChange: func() {}, onEnd: func() {}, heads: headLimit,
		in: make([]byte, h2ReadSize), skip: h2Preface,
		settled: make(chan struct{}), ended: make(chan struct{}),
		streams: map[uint32]guardedStream{}, initial: 1<<16 - 1}
	g.queue.init(nc, g.writeFailed)
	g.hpack.limit = hpackTable
	g.room.Store(h2RoomAtFirst)
	return g
}

// Read returns checked bytes to net/http.
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
		case g.after != nil:
			g.out, g.after = g.after, nil
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

// payload passes payload on without checks, directly into p if that is large.
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
	if !g.ping {
		g.activity.Add(int64(n))
	}
	return n, err
}

func (g *h2Guard) read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	if n > 0 {
		g.lastRead.Store(time.Now().UnixNano())
	}
	return n, err
}

// need reads until there are at least n bytes in in[r:w]; n is at most h2ReadSize.
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
			return nil // the next read returns the error again
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

// fail ends reading with an error.
func (g *h2Guard) fail(err error) error {
	g.mu.Lock()
	if g.readErr == nil {
		if g.writeErr != nil && (err == io.EOF || errors.Is(err, net.ErrClosed)) {
			// the failed write has consumed the socket's error, or was the reason to
			// close the connection: this is no clean end
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

// retire makes the connection accept no more streams.
func (g *h2Guard) retire() {
	if g.ending.CompareAndSwap(false, true) {
		g.onChange()
	}
}

// Write checks and writes frames of net/http. Small ones are queued if other streams may
// have some, too. It needs little stack: encryption uses nearly all of the stack that a
// goroutine of net/http has without growing.
func (g *h2Guard) Write(p []byte) (int, error) {
	n := len(p)
	p, shared := g.inspect(p)
	if len(p) == 0 {
		return n, nil
	}
	send := g.queue.write
	if shared && len(p) <= h2QueuedWrite {
		send = g.queue.add
	}
	if err := send(p); err != nil {
		g.awaitReason(err)
		return 0, err
	}
	return n, nil
}

// inspect finds the frame headers in p, and returns what is to be written. shared means that
// there are several streams.
//
//go:noinline
func (g *h2Guard) inspect(p []byte) (out []byte, shared bool) {
	p = g.withhold(p)
	g.sent.Add(int64(len(p)))
	for rest := p; len(rest) > 0; {
		if g.skip > 0 {
			n := min(g.skip, len(rest))
			g.skip -= n
			rest = rest[n:]
			continue
		}
		n := copy(g.header[g.got:], rest)
		g.got += n
		rest = rest[n:]
		if g.got == frameHeadLen {
			g.got = 0
			f := parseFrameHead(g.header[:])
			g.skip = f.length
			g.afterWrite(f)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return p, len(g.streams) > 1
}

// h2Owed is the growth of the connection's receive window from which on the peer is told. It
// is small beside that window, which net/http makes 1 GiB large.
const h2Owed = 1 << 20

// withhold returns p without WINDOW_UPDATE frames for the connection at its beginning, as
// long as they are not needed: net/http writes one for every 4 KiB of responses.
func (g *h2Guard) withhold(p []byte) []byte {
	const size = frameHeadLen + 4
	for g.got == 0 && g.skip == 0 && len(p) >= size {
		if f := parseFrameHead(p); f.kind != frameWindow || f.length != 4 || f.stream != 0 {
			break
		}
		g.owed += int64(binary.BigEndian.Uint32(p[frameHeadLen:]) & math.MaxInt32)
		p = p[size:]
	}
	if g.owed < h2Owed {
		return p
	}
	n := min(g.owed, h2MaxWindow)
	g.owed -= n
	told := frameHead{length: 4, kind: frameWindow}.append(make([]byte, 0, size+len(p)))
	return append(binary.BigEndian.AppendUint32(told, uint32(n)), p...)
}

// alertLimit is how long a failed write waits for the error of reading.
const alertLimit = 100 * time.Millisecond

// awaitReason waits for the reading side after a failed write: a server that closes the
// connection may have sent the reason, a GOAWAY or a TLS alert, for which net/http would
// not wait.
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

// writeFailed ends the connection after a queued write has failed. Its error becomes that of
// reading, unless there is a better one.
func (g *h2Guard) writeFailed(err error) {
	g.awaitReason(err)
	g.Close()
}

// Close closes the connection, with a TLS close_notify if that does not block.
func (g *h2Guard) Close() error {
	g.queue.close()
	g.end()
	if g.force != nil {
		timer := time.AfterFunc(endGrace, func() { g.force.Close() })
		defer timer.Stop()
	}
	return g.Conn.Close()
}

// capacity returns the number of concurrent streams that the peer allows, and whether new
// ones may begin.
func (g *h2Guard) capacity() (n int, open bool) {
	return int(g.room.Load()), !g.ending.Load()
}

// state returns the peer's GOAWAY and the error of reading.
func (g *h2Guard) state() (goAway h2GoAway, readErr error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.goAway, g.readErr
}

// countEmptyLocked counts n frames without content. The caller holds the lock.
func (g *h2Guard) countEmptyLocked(n int) error {
	if g.idle == 0 {
		g.idleFrom = time.Now()
	}
	if g.idle += n; g.idle <= h2IdleFrames {
		return nil
	}
	if time.Since(g.idleFrom) < h2IdleTime {
		return violation("more than %d frames without content within %v", h2IdleFrames, h2IdleTime)
	}
	g.idle = 0
	return nil
}
