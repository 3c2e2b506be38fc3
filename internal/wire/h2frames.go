package wire

import (
	"encoding/binary"
	"math"
)

// frameHead is the head of a frame (RFC 9113, section 4.1).
type frameHead struct {
	length int
	kind   byte
	flags  byte
	stream uint32
}

const (
	frameHeadLen = 9
	frameFlags   = 4 // where the flags stand in it
)

const (
	frameData = iota
	frameHeaders
	framePriority
	frameReset
	frameSettings
	framePush
	framePing
	frameGoAway
	frameWindow
	frameContinuation
)

const (
	flagEndStream  = 0x1
	flagAck        = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

const (
	settingStreams = 3 // SETTINGS_MAX_CONCURRENT_STREAMS
	settingWindow  = 4 // SETTINGS_INITIAL_WINDOW_SIZE
)

// h2Nobody is a stream that no client opens. DATA that is put there is thrown away by
// net/http in silence, which gives its flow control back.
const h2Nobody = 2

func parseFrameHead(p []byte) frameHead {
	return frameHead{length: int(p[0])<<16 | int(p[1])<<8 | int(p[2]), kind: p[3], flags: p[4],
		stream: binary.BigEndian.Uint32(p[5:]) & math.MaxInt32}
}

func (f frameHead) has(flag byte) bool { return f.flags&flag != 0 }

func (f frameHead) append(b []byte) []byte {
	b = append(b, byte(f.length>>16), byte(f.length>>8), byte(f.length), f.kind, f.flags)
	return binary.BigEndian.AppendUint32(b, f.stream)
}

// advance takes the next frame, or as much of it as is decided upon at once. It is called
// when net/http has got all that was ready for it.
func (g *h2Guard) advance() error {
	if g.block.left > 0 {
		return g.collect()
	}
	if err := g.need(frameHeadLen); err != nil {
		return err
	}
	f := parseFrameHead(g.in[g.r:])
	switch {
	case !g.greeted && (f.kind != frameSettings || f.has(flagAck)):
		if string(g.in[g.r:g.r+5]) == "HTTP/" {
			return violation("it answers in HTTP/1")
		}
		return violation("its first frame is not SETTINGS")
	case f.length > h2Frame:
		return violation("a frame of %d bytes, where at most %d are allowed", f.length, h2Frame)
	case g.block.stream != 0 && (f.kind != frameContinuation || f.stream != g.block.stream):
		return violation("a header block that other frames interrupt")
	}
	switch f.kind {
	case frameData, frameHeaders, frameContinuation, frameWindow:
		g.moved.Add(1)
	case framePing:
		g.moved.Add(int64(-f.length)) // which will be counted as it passes
	}
	switch f.kind {
	case frameData:
		return g.data(f)
	case frameHeaders, frameContinuation:
		return g.headers(f)
	case frameSettings:
		return g.settings(f)
	case frameWindow:
		return g.window(f)
	case frameReset:
		return g.reset(f)
	case frameGoAway:
		return g.goingAway(f)
	case framePing, framePush:
		if err := g.charge(1); err != nil {
			return err
		}
		return g.forward(f, frameHeadLen)
	}
	// Nothing depends on a PRIORITY from a server, or on a type of frame that nobody
	// knows (RFC 9113, section 5.5); net/http would write each of them to the log.
	if err := g.charge(1); err != nil {
		return err
	}
	g.r += frameHeadLen
	g.drop = f.length
	return nil
}

// forward gives net/http a frame as it is; n bytes of it have come.
func (g *h2Guard) forward(f frameHead, n int) error {
	g.out = g.in[g.r : g.r+n]
	g.r += n
	g.pass = frameHeadLen + f.length - n
	return nil
}

// charge counts frames that carry nothing.
func (g *h2Guard) charge(n int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.idled(n)
}

// discard gives net/http DATA to throw away.
func (g *h2Guard) discard(f frameHead) {
	f.stream = h2Nobody
	g.own = f.append(g.own)
	g.out = g.own
	g.r += frameHeadLen
	g.pass = f.length
}

// poisonName is a field name that net/http finds malformed, and repeats in its error:
// with a letter behind it that says what the flaw is.
const poisonName = "NETREPLY-FLAW-"

// poison appends a header block by which net/http ends a stream. It leaves the decoder
// of header blocks as it was: a literal without indexing is in no table.
func poison(b []byte, stream uint32, f h2Flaw) []byte {
	const text = len(poisonName) + 1
	b = frameHead{length: 3 + text, kind: frameHeaders, flags: flagEndHeaders | flagEndStream, stream: stream}.append(b)
	b = append(b, 0, byte(text))
	b = append(b, poisonName...)
	return append(b, 'A'+byte(f), 0)
}

func (g *h2Guard) data(f frameHead) error {
	padding := 0
	if f.has(flagPadded) && f.length > 0 {
		if err := g.need(frameHeadLen + 1); err != nil {
			return err
		}
		padding = 1 + int(g.in[g.r+frameHeadLen])
	}
	content := max(0, f.length-padding)
	g.own = g.own[:0]
	g.mu.Lock()
	defer g.mu.Unlock()
	s, open := g.streams[f.stream]
	ends := open && !s.remoteDone && f.has(flagEndStream)
	if content == 0 && !ends {
		if err := g.idled(1); err != nil {
			return err
		}
	}
	if !open {
		if f.stream == 0 || f.stream > g.last || f.stream%2 == 0 {
			return violation("DATA on a stream that nobody opened")
		}
		g.discard(f) // we may have ended it before that came
		return nil
	}
	if s.remoteDone {
		g.discard(f)
		return nil
	}
	flaw := noFlaw
	switch {
	case !s.head:
		flaw = flawDataFirst
	case content > 0 && s.noContent:
		flaw = flawNoContent
	case content > 0 && s.left == 0:
		flaw = flawLong
	}
	if flaw != noFlaw {
		delete(g.streams, f.stream)
		g.own = poison(g.own, f.stream, flaw)
		g.discard(f)
		return nil
	}
	over := false
	if s.left > 0 {
		// what is more than that net/http cuts off, and gives the error behind the rest
		over = int64(content) > s.left
		s.left = max(0, s.left-int64(content))
	}
	if f.has(flagEndStream) && s.left > 0 && !over {
		delete(g.streams, f.stream)
		f.flags &^= flagEndStream
		g.own = f.append(g.own)
		split := len(g.own)
		g.own = poison(g.own, f.stream, flawShort)
		g.out, g.behind = g.own[:split:split], g.own[split:]
		g.r += frameHeadLen
		g.pass = f.length
		return nil
	}
	s.remoteDone = f.has(flagEndStream)
	g.store(f.stream, s)
	return g.forward(f, frameHeadLen)
}

// store puts a stream back, or forgets it when both sides have ended it.
func (g *h2Guard) store(id uint32, s guardedStream) {
	if s.localDone && s.remoteDone {
		delete(g.streams, id)
	} else {
		g.streams[id] = s
	}
}

// whole makes sure that all of a small frame is there. ok is false for a frame of another
// size than it must have, which net/http finds wrong by itself.
func (g *h2Guard) whole(f frameHead, size int) (payload []byte, ok bool, err error) {
	if f.length != size {
		return nil, false, nil
	}
	if err := g.need(frameHeadLen + size); err != nil {
		return nil, false, err
	}
	return g.in[g.r+frameHeadLen : g.r+frameHeadLen+size], true, nil
}

func (g *h2Guard) window(f frameHead) error {
	payload, ok, err := g.whole(f, 4)
	if err != nil {
		return err
	}
	n := int64(0)
	if ok {
		n = int64(binary.BigEndian.Uint32(payload) & math.MaxInt32)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.idled(1); err != nil {
		return err
	}
	if !ok || f.stream == 0 || n == 0 {
		return g.forward(f, frameHeadLen)
	}
	s, open := g.streams[f.stream]
	switch {
	case !open:
		// net/http knows a stream for a moment longer, and must not be asked to raise its
		// window beyond the limit then either
		g.r += frameHeadLen
		g.drop = f.length
		return nil
	case g.initial+s.delta+n > h2MaxWindow:
		// net/http (Go 1.26) would wait for itself with its mutex held
		delete(g.streams, f.stream)
		g.own = poison(g.own[:0], f.stream, flawWindow)
		g.out = g.own
		g.r += frameHeadLen
		g.drop = f.length
		return nil
	}
	s.delta += n
	g.highest = max(g.highest, s.delta)
	g.streams[f.stream] = s
	return g.forward(f, frameHeadLen+f.length)
}

func (g *h2Guard) reset(f frameHead) error {
	payload, ok, err := g.whole(f, 4)
	if err != nil {
		return err
	}
	g.mu.Lock()
	_, open := g.streams[f.stream]
	delete(g.streams, f.stream)
	if !open {
		err = g.idled(1)
	}
	g.mu.Unlock()
	if err != nil {
		return err
	}
	if open && ok && binary.BigEndian.Uint32(payload) == h2ProtocolError {
		g.retire() // net/http uses the connection for nothing more then
	}
	return g.forward(f, frameHeadLen)
}

func (g *h2Guard) settings(f frameHead) error {
	if f.has(flagAck) {
		if err := g.charge(1); err != nil {
			return err
		}
		return g.forward(f, frameHeadLen)
	}
	if f.length > h2ReadSize-frameHeadLen {
		return violation("SETTINGS of %d bytes", f.length)
	}
	payload, _, err := g.whole(f, f.length)
	if err != nil {
		return err
	}
	before := g.room.Load()
	if err := g.apply(payload); err != nil {
		return err
	}
	if g.room.Load() != before {
		g.onChange()
	}
	return g.forward(f, frameHeadLen+f.length)
}

// apply takes the settings that concern us.
func (g *h2Guard) apply(payload []byte) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	// each of them costs net/http a look at every stream
	if err := g.idled(1 + len(payload)/6); err != nil {
		return err
	}
	if !g.greeted {
		g.greeted = true
		g.room.Store(h2RoomUnsaid)
	}
	for ; len(payload) >= 6; payload = payload[6:] {
		value := int64(binary.BigEndian.Uint32(payload[2:]))
		switch binary.BigEndian.Uint16(payload) {
		case settingStreams:
			g.room.Store(min(value, math.MaxInt32))
		case settingWindow:
			if value > h2MaxWindow {
				return violation("an initial window of %d bytes", value)
			}
			g.initial = value
			if g.overflows() {
				return violation("an initial window that makes the window of a stream larger than 2^31-1")
			}
		}
	}
	return nil
}

// overflows tells whether the initial window makes that of any stream too large. It looks
// at them one by one only if what it knows of the highest is too old, so that SETTINGS
// cost no more than the WINDOW_UPDATE that came before them.
func (g *h2Guard) overflows() bool {
	if g.initial+g.highest <= h2MaxWindow {
		return false
	}
	g.highest = 0
	for _, s := range g.streams {
		g.highest = max(g.highest, s.delta)
	}
	return g.initial+g.highest > h2MaxWindow
}

func (g *h2Guard) goingAway(f frameHead) error {
	if f.length < 8 { // net/http says so
		return g.forward(f, frameHeadLen)
	}
	if err := g.need(frameHeadLen + 8); err != nil {
		return err
	}
	payload := g.in[g.r+frameHeadLen:]
	g.mu.Lock()
	g.goAway.seen = true
	if g.goAway.code == 0 {
		g.goAway.code = binary.BigEndian.Uint32(payload[4:])
	}
	err := g.idled(1)
	g.mu.Unlock()
	if err != nil {
		return err
	}
	g.retire()
	return g.forward(f, frameHeadLen+8)
}

// wrote takes one of our own frames.
func (g *h2Guard) wrote(f frameHead) {
	switch f.kind {
	case frameHeaders, frameData, frameReset:
	case frameSettings:
		if f.has(flagAck) && !g.obeyed {
			g.obeyed = true
			close(g.settled)
		}
		return
	default:
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	s, open := g.streams[f.stream]
	if f.kind == frameHeaders && f.stream > g.last {
		s, open = guardedStream{left: -1, noContent: g.isHead}, true
		g.last, g.isHead = f.stream, false
		if f.stream > h2LastStream {
			g.ending.Store(true)
		}
	}
	if !open {
		return
	}
	switch f.kind {
	case frameReset:
		delete(g.streams, f.stream)
		return
	case frameData:
		s.delta -= int64(f.length)
		g.idle = max(0, g.idle-4) // the peer may say that it has read it
	}
	s.localDone = s.localDone || f.has(flagEndStream)
	g.store(f.stream, s)
}
