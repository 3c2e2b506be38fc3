package httpcache

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"sync"

	"github.com/netreply/netreply/internal/filelock"
)

// sizes are what entries take.
type sizes struct {
	stored     int64 // by files of entries: at least, if known; else since the file with the sizes got lost
	unfinished int64 // reserved by Writers; too much by those of processes that were killed
	grown      int64 // everything that was ever added to stored
	known      bool
}

// all is what counts against the limit.
func (s sizes) all() int64 { return s.stored + s.unfinished }

func (s *sizes) add(stored, unfinished int64) {
	s.stored += stored
	s.unfinished += unfinished
	s.grown += max(0, stored)
}

// sizeFile is where processes add up their sizes. It can be lost: then everything is counted.
type sizeFile struct {
	lockFile

	mu   sync.Mutex
	late sizes // what could not be added yet
}

func newSizeFile(name string) *sizeFile { return &sizeFile{lockFile: newLockFile(name)} }

// sizeLength is the length of the file: three numbers, 1 if the size is known and 0 if not, and a
// CRC-32C.
const sizeLength = 3*8 + 1 + sumSize

func (s *sizes) bytesOf() []byte {
	var b []byte
	for _, n := range []int64{s.stored, s.unfinished, s.grown} {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	known := byte(0)
	if s.known {
		known = 1
	}
	b = append(b, known)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func parseSizes(b []byte) (s sizes) {
	const end = sizeLength - sumSize
	if len(b) != sizeLength || crc32.Checksum(b[:end], castagnoli) != binary.LittleEndian.Uint32(b[end:]) {
		return sizes{}
	}
	number := func(i int) int64 { return int64(binary.LittleEndian.Uint64(b[8*i:])) }
	return sizes{number(0), number(1), number(2), b[end-1] == 1}
}

// get returns the sizes.
func (s *sizeFile) get() sizes {
	f, _, err := openPlain(s.name)
	if err != nil {
		return sizes{}
	}
	defer f.Close()
	var b [sizeLength + 1]byte
	n, _ := f.ReadAt(b[:], 0)
	return parseSizes(b[:n])
}

// add adds to the sizes, and returns them. If the lock cannot be had, that is done the next time.
func (s *sizeFile) add(stored, unfinished int64) sizes {
	s.mu.Lock()
	s.late.add(stored, unfinished)
	s.mu.Unlock()
	return s.change(func(*sizes) {})
}

// change lets f change the sizes, and returns them; none are known if that was not possible.
func (s *sizeFile) change(f func(*sizes)) sizes {
	lock, err := s.lock(context.Background())
	if err != nil {
		return sizes{}
	}
	defer s.unlock(lock)
	file := lock
	if !filelock.Supported { // then the lock is a file of its own
		if file, err = openShared(s.name); err != nil {
			return sizes{}
		}
		defer file.Close()
	}
	var b [sizeLength + 1]byte
	k, _ := file.ReadAt(b[:], 0)
	now := parseSizes(b[:k])
	s.mu.Lock()
	now.stored += s.late.stored
	now.unfinished += s.late.unfinished
	now.grown += s.late.grown
	s.late = sizes{}
	s.mu.Unlock()
	f(&now)
	now.unfinished = max(0, now.unfinished)
	if now.known {
		now.stored = max(0, now.stored)
	}
	if k > sizeLength {
		file.Truncate(0)
	}
	if _, err := file.WriteAt(now.bytesOf(), 0); err != nil {
		file.Truncate(0) // unknown
		return sizes{}
	}
	return now
}
