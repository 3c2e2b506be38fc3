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
	frameFlags   = 4 // offset of the flags
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

// h2UnusedStream is a stream that a client never opens. net/http silently drops DATA on it,
// and returns its flow control.
const h2UnusedStream = 2

func parseFrameHead(p []byte) frameHead {
	return frameHead{length: int(p[0])<<16 | int(p[1])<<8 | int(p[2]), kind: p[3], flags: p[4],
		stream: binary.BigEndian.Uint32(p[5:]) & math.MaxInt32}
}

func (f frameHead) has(flag byte) bool { return f.flags&flag != 0 }

func (f frameHead) append(b []byte) []byte {
	b = append(b, byte(f.length>>16), byte(f.length>>8), byte(f.length), f.kind, f.flags)
	return binary.BigEndian.AppendUint32(b, f.stream)
}

// advance processes the next frame, or the first part of it. It is called when net/http has
// received everything that was ready.
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
			return violation("its response is HTTP/1")
		}
		return violation("its first frame is not SETTINGS")
	case f.length > h2Frame:
		return violation("a frame of %d bytes, where at most %d are allowed", f.length, h2Frame)
	case g.block.stream != 0 && (f.kind != frameContinuation || f.stream != g.block.stream):
		return violation("a header block interrupted by other frames")
	}
	switch f.kind {
	case frameData, frameHeaders, frameContinuation, frameWindow:
		g.activity.Add(1)
	}
	g.ping = f.kind == framePing
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
		if err := g.countEmpty(1); err != nil {
			return err
		}
		return g.forward(f, frameHeadLen)
	}
	// PRIORITY from a server and frames of unknown types are ignored (RFC 9113, section
	// 5.5); net/http would write each of them to the log.
	if err := g.countEmpty(1); err != nil {
		return err
	}
	g.r += frameHeadLen
	g.drop = f.length
	return nil
}

// forward passes a frame to net/http unchanged; n bytes of it are in the buffer.
func (g *h2Guard) forward(f frameHead, n int) error {
	g.out = g.in[g.r : g.r+n]
	g.r += n
	g.pass = frameHeadLen + f.length - n
	return nil
}

// countEmpty counts n frames without content.
func (g *h2Guard) countEmpty(n int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.countEmptyLocked(n)
}

// discard passes DATA to net/http on h2UnusedStream, where it is dropped.
func (g *h2Guard) discard(f frameHead) {
	f.stream = h2UnusedStream
	g.made = f.append(g.made)
	g.out = g.made
	g.r += frameHeadLen
	g.pass = f.length
}

// poisonName is an invalid field name, which net/http includes in its error. It is followed
// by a letter for the flaw.
const poisonName = "NETREPLY-FLAW-"

// poison appends a malformed header block, for which net/http resets the stream. It does
// not change the state of the decoder: a literal without indexing is not added to the
// table.
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
	g.made = g.made[:0]
	g.mu.Lock()
	defer g.mu.Unlock()
	s, open := g.streams[f.stream]
	ends := open && !s.remoteDone && f.has(flagEndStream)
	if content == 0 && !ends {
		if err := g.countEmptyLocked(1); err != nil {
			return err
		}
	}
	if !open {
		if f.stream == 0 || f.stream > g.last || f.stream%2 == 0 {
			return violation("DATA on a stream that was not opened")
		}
		g.discard(f) // this side may have ended it before
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
		g.made = poison(g.made, f.stream, flaw)
		g.discard(f)
		return nil
	}
	over := false
	if s.left > 0 {
		// net/http drops the excess bytes, and returns the error after the others
		over = int64(content) > s.left
		s.left = max(0, s.left-int64(content))
	}
	if f.has(flagEndStream) && s.left > 0 && !over {
		delete(g.streams, f.stream)
		f.flags &^= flagEndStream
		g.made = f.append(g.made)
		split := len(g.made)
		g.made = poison(g.made, f.stream, flawShort)
		g.out, g.after = g.made[:split:split], g.made[split:]
		g.r += frameHeadLen
		g.pass = f.length
		return nil
	}
	s.remoteDone = f.has(flagEndStream)
	g.store(f.stream, s)
	return g.forward(f, frameHeadLen)
}

// store stores the state of a stream, or removes it when both sides have ended it.
func (g *h2Guard) store(id uint32, s guardedStream) {
	if s.localDone && s.remoteDone {
		delete(g.streams, id)
	} else {
		g.streams[id] = s
	}
}

// wholeFrame reads all of a small frame into the buffer. ok is false for a frame of a wrong
// size, which net/http rejects.
func (g *h2Guard) wholeFrame(f frameHead, size int) (payload []byte, ok bool, err error) {
	if f.length != size {
		return nil, false, nil
	}
	if err := g.need(frameHeadLen + size); err != nil {
		return nil, false, err
	}
	return g.in[g.r+frameHeadLen : g.r+frameHeadLen+size], true, nil
}

func (g *h2Guard) window(f frameHead) error {
	payload, ok, err := g.wholeFrame(f, 4)
	if err != nil {
		return err
	}
	n := int64(0)
	if ok {
		n = int64(binary.BigEndian.Uint32(payload) & math.MaxInt32)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.countEmptyLocked(1); err != nil {
		return err
	}
	if !ok || f.stream == 0 || n == 0 {
		return g.forward(f, frameHeadLen)
	}
	s, open := g.streams[f.stream]
	switch {
	case !open:
		// net/http may still know the stream, and must not raise its window beyond the
		// limit
		g.r += frameHeadLen
		g.drop = f.length
		return nil
	case g.initial+s.delta+n > h2MaxWindow:
		// net/http (Go 1.26) would deadlock
		delete(g.streams, f.stream)
		g.made = poison(g.made[:0], f.stream, flawWindow)
		g.out = g.made
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
	payload, ok, err := g.wholeFrame(f, 4)
	if err != nil {
		return err
	}
	g.mu.Lock()
	_, open := g.streams[f.stream]
	delete(g.streams, f.stream)
	if !open {
		err = g.countEmptyLocked(1)
	}
	g.mu.Unlock()
	if err != nil {
		return err
	}
	if open && ok && binary.BigEndian.Uint32(payload) == h2ProtocolError {
		g.retire() // net/http does not use the connection any more
	}
	return g.forward(f, frameHeadLen)
}

func (g *h2Guard) settings(f frameHead) error {
	if f.has(flagAck) {
		if err := g.countEmpty(1); err != nil {
			return err
		}
		return g.forward(f, frameHeadLen)
	}
	if f.length > h2ReadSize-frameHeadLen {
		return violation("SETTINGS of %d bytes", f.length)
	}
	payload, _, err := g.wholeFrame(f, f.length)
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

// apply applies the settings that concern the guard.
func (g *h2Guard) apply(payload []byte) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	// for each setting net/http iterates over all streams
	if err := g.countEmptyLocked(1 + len(payload)/6); err != nil {
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
				return violation("an initial window that raises the window of a stream above 2^31-1")
			}
		}
	}
	return nil
}

// overflows reports whether the initial window raises the window of any stream above the
// limit. It iterates over the streams only if g.highest may be outdated, so that SETTINGS
// frames cost no more than the WINDOW_UPDATE frames before them.
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
	if f.length < 8 { // invalid: net/http reports it
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
	err := g.countEmptyLocked(1)
	g.mu.Unlock()
	if err != nil {
		return err
	}
	g.retire()
	return g.forward(f, frameHeadLen+8)
}

// afterWrite processes a frame that net/http has written.
func (g *h2Guard) afterWrite(f frameHead) {
	switch f.kind {
	case frameHeaders, frameData, frameReset:
	case frameSettings:
		if f.has(flagAck) && !g.acked {
			g.acked = true
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
		g.idle = max(0, g.idle-4) // the peer may answer with WINDOW_UPDATE
	}
	s.localDone = s.localDone || f.has(flagEndStream)
	g.store(f.stream, s)
}
