package wire

import "math"

// headers processes a frame of a header block. A block of one frame that fits in the
// buffer, as nearly all do, is not copied.
func (g *h2Guard) headers(f frameHead) error {
	b := &g.block
	if b.stream == 0 {
		if f.kind == frameContinuation || f.stream == 0 {
			return violation("a CONTINUATION frame without a header block")
		}
		b.end = f.has(flagEndStream)
	}
	size := frameHeadLen + f.length
	if b.stream == 0 && f.has(flagEndHeaders) && size <= h2ReadSize {
		if err := g.need(size); err != nil {
			return err
		}
		raw := g.in[g.r : g.r+size]
		g.r += size
		text, err := fragment(f, raw[frameHeadLen:])
		if err != nil {
			return err
		}
		return g.checkBlock(f.stream, b.end, raw, text)
	}
	if limit := h2BlockLimit(g.heads); int64(len(b.raw)+size) > limit {
		return violation("a header block of more than %d bytes", limit)
	}
	if b.stream != 0 && f.length == 0 {
		if err := g.countEmpty(1); err != nil {
			return err
		}
	}
	b.stream, b.frame, b.left = f.stream, f, f.length
	b.raw = append(b.raw, g.in[g.r:g.r+frameHeadLen]...)
	g.r += frameHeadLen
	return g.collect()
}

// collect processes the available part of a frame that does not fit in the buffer.
func (g *h2Guard) collect() error {
	b := &g.block
	if b.left > 0 {
		if err := g.need(1); err != nil {
			return err
		}
		n := min(b.left, g.w-g.r)
		b.raw = append(b.raw, g.in[g.r:g.r+n]...)
		g.r += n
		if b.left -= n; b.left > 0 {
			return nil
		}
	}
	text, err := fragment(b.frame, b.raw[len(b.raw)-b.frame.length:])
	if err != nil {
		return err
	}
	b.text = append(b.text, text...)
	if !b.frame.has(flagEndHeaders) {
		return nil
	}
	whole := *b
	*b = h2Block{}
	return g.checkBlock(whole.stream, whole.end, whole.raw, whole.text)
}

// fragment returns the part of a header block in a frame (RFC 9113, section 6.2).
func fragment(f frameHead, payload []byte) ([]byte, error) {
	padding := 0
	if f.kind == frameHeaders && f.has(flagPadded) {
		if len(payload) == 0 {
			return nil, violation("padding that is longer than its frame")
		}
		padding = int(payload[0])
		payload = payload[1:]
	}
	if f.kind == frameHeaders && f.has(flagPriority) {
		if len(payload) < 5 {
			return nil, violation("a frame that is too short")
		}
		payload = payload[5:]
	}
	if padding > len(payload) {
		return nil, violation("padding that is longer than its frame")
	}
	return payload[:len(payload)-padding], nil
}

// checkBlock checks a complete block: raw are its frames, text is their content.
func (g *h2Guard) checkBlock(stream uint32, end bool, raw, text []byte) error {
	g.mu.Lock()
	report := headReport{status: -1, length: -1, trailer: g.streams[stream].head}
	g.mu.Unlock()
	err := g.hpack.scan(text, report.field)
	g.hpack.scratch.trim()
	if err != nil {
		return violation("%v", err)
	}
	g.out = raw
	g.mu.Lock()
	defer g.mu.Unlock()
	s, open := g.streams[stream] // the stream may have ended meanwhile
	if !open || s.remoteDone {
		return g.countEmptyLocked(1)
	}
	flaw := report.flaw
	if flaw == noFlaw {
		flaw = s.receiveHead(&report, end, g.heads)
	}
	if flaw == noFlaw {
		g.store(stream, s)
		if end && !report.trailer && !s.localDone {
			g.splitEnd(stream, raw)
		}
		return nil
	}
	delete(g.streams, stream)
	if len(text) > h2Frame {
		return violation("%v", flaw)
	}
	// The decoder of net/http still needs the block, after the poison. It must be in one
	// frame, since net/http ends the connection at a CONTINUATION after a malformed field.
	own := poison(nil, stream, flaw)
	own = frameHead{length: len(text), kind: frameHeaders, flags: flagEndHeaders | flagEndStream, stream: stream}.append(own)
	g.out = append(own, text...)
	return nil
}

// splitEnd moves the END_STREAM flag from a response head to an empty DATA frame after it.
// Otherwise net/http would give the response no body with which the running upload could be
// stopped: the upload would wait for its window forever, and keep the stream open.
func (g *h2Guard) splitEnd(stream uint32, raw []byte) {
	raw[frameFlags] &^= flagEndStream
	g.after = frameHead{kind: frameData, flags: flagEndStream, stream: stream}.append(nil)
}

// receiveHead applies a valid header block to a stream.
func (s *guardedStream) receiveHead(r *headReport, end bool, limit int64) h2Flaw {
	size := int64(min(r.size, math.MaxUint32))
	if !s.head {
		s.size += size
		size = s.size
	}
	switch {
	case size > limit+headRoom:
		return flawLarge
	case s.head && !end:
		return flawTrailerOpen
	case s.head:
	case r.status < 0:
		return flawStatusMissing
	case r.status < 200:
		if end {
			return flawInterimEnd
		}
		return noFlaw
	default:
		s.head = true
		s.noContent = s.noContent || bodiless(r.status)
		if !s.noContent {
			s.left = r.length
		}
	}
	s.remoteDone = end
	if end && s.left > 0 {
		return flawShort
	}
	return noFlaw
}

// h2BlockLimit is the maximum size of the frames of a header block. It is much larger than
// the limit of heads, so that a head which exceeds that limit by little fails only its
// stream.
func h2BlockLimit(heads int64) int64 { return 2*heads + h2ReadSize }

// headRoom is what net/http adds to the limit of response heads on HTTP/2, where each field
// counts 32 bytes more.
const headRoom = 320
