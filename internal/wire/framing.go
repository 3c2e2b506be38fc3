package wire

import (
	"errors"
	"fmt"
	"math"

	"golang.org/x/net/http/httpguts"
)

// framing is how the body of a response is delimited (RFC 9112, section 6.3).
type framing uint8

const (
	noBody   framing = iota
	byLength         // Content-Length
	byChunks         // Transfer-Encoding: chunked
	byClose          // it ends with the connection
	tunnel           // 101: another protocol follows
)

// chunkScanner finds the end of a chunked body (RFC 9112, section 7.1) that arrives in
// arbitrary pieces, without storing it. It accepts only input that net/http accepts, too,
// so that both find the same end.
type chunkScanner struct {
	state chunkState
	left  uint64 // bytes of data left in the chunk, or the part of its size read so far
	line  int    // bytes of the line, or of the whole trailer section
	waste int    // bytes beside the data, above what is usual; see maxChunkWaste
	more  bool   // a digit of the size, or a trailer line, was read

	// lenient accepts blanks before chunk extensions, which some servers send (RFC 9112,
	// section 7.1.1), and net/http does not.
	lenient bool
	trailer []byte // the trailer section, for decode
}

type chunkState uint8

const (
	chunkSize chunkState = iota
	chunkBlank
	chunkExtension
	chunkSizeLF
	chunkData
	chunkDataCR
	chunkDataLF
	trailerStart
	trailerName
	trailerValue
	trailerLF
	chunksLF
	chunksEnd
)

// maxChunkLine bounds the line of a chunk's size and extensions, and the whole trailer
// section. net/http reads both into its buffer.
const maxChunkLine = readBuffer - 2

var (
	errChunkLine  = fmt.Errorf("chunk size line or trailers of more than %d bytes", maxChunkLine)
	errChunkWaste = errors.New("chunks with too little data for their extensions")
)

// maxChunkWaste bounds the bytes of a body that are not data: above 16 for each chunk and
// twice the bytes of its data they are added up. Otherwise tiny chunks with long extensions
// would cost a thousand times what they bring. The limit is that of net/http.
const maxChunkWaste = 16 << 10

// scan processes the next bytes. n is how many of them belong to the body, up to its end or
// the first invalid byte.
func (s *chunkScanner) scan(p []byte) (n int, err error) {
	for n < len(p) && s.state != chunksEnd {
		if s.state == chunkData {
			k := min(uint64(len(p)-n), s.left)
			n += int(k)
			if s.left -= k; s.left == 0 {
				s.state = chunkDataCR
			}
			continue
		}
		if err := s.step(p[n]); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func (s *chunkScanner) done() bool { return s.state == chunksEnd }

// decode copies chunk data from src to dst, which may begin with the same byte. n is how
// many bytes it has copied, and used how many bytes of src belong to the body: all but those
// for which dst has no room, up to its end or the first invalid byte.
func (s *chunkScanner) decode(dst, src []byte) (n, used int, err error) {
	for used < len(src) && s.state != chunksEnd {
		if s.state == chunkData {
			k := int(min(uint64(len(src)-used), uint64(len(dst)-n), s.left))
			if k == 0 {
				break
			}
			copy(dst[n:], src[used:used+k])
			n += k
			used += k
			if s.left -= uint64(k); s.left == 0 {
				s.state = chunkDataCR
			}
			continue
		}
		inTrailer := s.state >= trailerStart
		if err := s.step(src[used]); err != nil {
			return n, used, err
		}
		if inTrailer {
			s.trailer = append(s.trailer, src[used])
		}
		used++
	}
	return n, used, nil
}

// step processes one byte that is not chunk data.
func (s *chunkScanner) step(c byte) error {
	if s.line++; s.line > maxChunkLine {
		return errChunkLine
	}
	switch s.state {
	case chunkSize:
		if d, ok := hexDigit(c); ok {
			// net/http accepts at most 16 digits, including leading zeros
			if s.line > 16 || s.left > math.MaxInt64>>4 {
				return errors.New("chunk size out of range")
			}
			s.left, s.more = s.left<<4|uint64(d), true
			return nil
		}
		if !s.more {
			return fmt.Errorf("chunk size without a hexadecimal digit: %q", c)
		}
		return s.behindSize(c, "chunk size")
	case chunkBlank:
		if c == ';' && !s.lenient {
			return errors.New("blank between chunk size and extension")
		}
		return s.behindSize(c, "line end after the chunk size")
	case chunkExtension:
		return s.text(c, chunkSizeLF, "chunk extension")
	case chunkSizeLF:
		last := s.left == 0
		s.waste = max(0, s.waste+s.line-16-2*int(min(s.left, maxChunkWaste)))
		if s.waste > maxChunkWaste {
			return errChunkWaste
		}
		s.line, s.more = 0, false
		if last {
			return s.expect(c, '\n', trailerStart)
		}
		return s.expect(c, '\n', chunkData)
	case chunkDataCR:
		return s.expect(c, '\r', chunkDataLF)
	case chunkDataLF:
		s.line = 0
		return s.expect(c, '\n', chunkSize)
	case trailerStart:
		switch {
		case c == '\r':
			s.state = chunksLF
		case s.more && (c == ' ' || c == '\t'):
			s.state = trailerValue // folded
		case tokenByte[c]:
			s.state = trailerName
		default:
			return fmt.Errorf("malformed trailer line: it begins with %q", c)
		}
		return nil
	case trailerName:
		if c == ':' {
			s.state, s.more = trailerValue, true
		} else if !tokenByte[c] {
			return fmt.Errorf("%q in the name of a trailer", c)
		}
		return nil
	case trailerValue:
		return s.text(c, trailerLF, "trailer")
	case trailerLF:
		return s.expect(c, '\n', trailerStart)
	default: // chunksLF
		return s.expect(c, '\n', chunksEnd)
	}
}

// behindSize processes the byte after the digits of a size.
func (s *chunkScanner) behindSize(c byte, what string) error {
	switch c {
	case ';':
		s.state = chunkExtension
	case ' ', '\t':
		s.state = chunkBlank
	case '\r':
		s.state = chunkSizeLF
	default:
		return fmt.Errorf("%q in %s", c, what)
	}
	return nil
}

func (s *chunkScanner) text(c byte, end chunkState, what string) error {
	if c == '\r' {
		s.state = end
	} else if !textByte(c) {
		return fmt.Errorf("%q in a %s", c, what)
	}
	return nil
}

// expect requires one byte. A bare line feed is an error: parsers treat it differently, and
// would find different ends of the body.
func (s *chunkScanner) expect(c, want byte, next chunkState) error {
	if c != want {
		return fmt.Errorf("%q where chunked coding has %q", c, want)
	}
	s.state = next
	return nil
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

// tokenByte is the set of bytes of a token (RFC 9110, section 5.6.2).
var tokenByte = func() (t [256]bool) {
	for c := range 128 {
		t[c] = httpguts.IsTokenRune(rune(c))
	}
	return t
}()

// textByte reports whether a field value or a reason phrase may contain a byte.
func textByte(c byte) bool { return c >= ' ' && c != 0x7f || c == '\t' }
