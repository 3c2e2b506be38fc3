package httpcache

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
)

// readAhead bounds how much of a body is read at once.
const readAhead = 256 << 10

// diskEntry is an entry that was looked up.
type diskEntry struct {
	store *Disk
	key   string
	variant
}

// Meta is the metadata.
func (e *diskEntry) Meta() []byte { return e.meta }

// Open opens the body. One of at most blockSize is read at once.
func (e *diskEntry) Open(ctx context.Context) (Body, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if e.size == 0 {
		return &memoryBody{}, nil
	}
	f, _, err := openPlain(e.store.bodyName(hashOf(e.key), e.body))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.store.drop(e) // does nothing if that is because it was replaced
		return nil, fmt.Errorf("httpcache: the entry was removed: %w", err)
	case errors.Is(err, ErrDamaged):
		e.store.drop(e)
		return nil, err
	case err != nil:
		return nil, err
	}
	var b Body
	if e.size <= blockSize {
		b, err = e.readSmall(f)
		f.Close()
	} else if b, err = e.openLarge(f); err != nil {
		f.Close()
	}
	if err != nil {
		e.store.drop(e)
		return nil, err
	}
	return b, nil
}

// readSmall reads a body of one block.
func (e *diskEntry) readSmall(f *os.File) (Body, error) {
	b := make([]byte, e.size+sumSize+1)
	if n, err := f.ReadAt(b, 0); n != len(b)-1 {
		return nil, damaged(f, err)
	}
	body := b[:e.size:e.size]
	table := b[e.size : e.size+sumSize]
	if crc32.Checksum(table, castagnoli) != e.sums || !matches(body, table) {
		return nil, damaged(f, nil)
	}
	return &memoryBody{chunks: [][]byte{body}, size: e.size}, nil
}

func (e *diskEntry) openLarge(f *os.File) (Body, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.Size() != e.fileSize() {
		return nil, damaged(f, nil)
	}
	table := make([]byte, e.fileSize()-e.size)
	if _, err := f.ReadAt(table, e.size); err != nil && err != io.EOF {
		return nil, damaged(f, err)
	}
	if crc32.Checksum(table, castagnoli) != e.sums {
		return nil, damaged(f, nil)
	}
	return &diskBody{entry: e, file: f, sums: table}, nil
}

// matches reports whether a block has the sum at the front of a table.
func matches(block, table []byte) bool {
	return crc32.Checksum(block, castagnoli) == binary.LittleEndian.Uint32(table)
}

// damaged is the error of a file, with what the system says of it, which may be nothing.
func damaged(f *os.File, err error) error {
	if err == nil || err == io.EOF {
		return fmt.Errorf("%w: %s", ErrDamaged, f.Name())
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

// diskBody is an open body. Each byte is compared with the sum of its block before it is
// delivered.
type diskBody struct {
	entry *diskEntry
	file  *os.File
	sums  []byte
	last  atomic.Pointer[block] // the block that was read last in part; taken away for use
}

// block is a block of a body.
type block struct {
	index int64
	bytes [blockSize]byte
}

var blockPool = sync.Pool{New: func() any { return new(block) }}

// Size is the number of bytes.
func (b *diskBody) Size() int64 { return b.entry.size }

// Close closes the file.
func (b *diskBody) Close() error {
	b.keep(nil)
	return b.file.Close()
}

// ReadAt reads whole blocks directly, and others by way of a buffer.
func (b *diskBody) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errOffset
	}
	n := 0
	for n < len(p) && off < b.entry.size {
		k, err := b.readSome(p[n:], off)
		n += k
		off += int64(k)
		if err != nil {
			b.entry.store.drop(b.entry)
			return n, err
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (b *diskBody) readSome(p []byte, off int64) (int, error) {
	index, start := off/blockSize, off%blockSize
	if start == 0 && (len(p) >= blockSize || int64(len(p)) >= b.entry.size-off) {
		return b.readBlocks(p[:min(len(p), readAhead)], index)
	}
	last := b.last.Swap(nil)
	if last == nil || last.index != index {
		if last == nil {
			last = blockPool.Get().(*block)
		}
		last.index = index
		length := min(blockSize, b.entry.size-index*blockSize)
		if _, err := b.readBlocks(last.bytes[:length], index); err != nil {
			blockPool.Put(last)
			return 0, err
		}
	}
	length := min(blockSize, b.entry.size-index*blockSize)
	n := copy(p, last.bytes[start:length])
	b.keep(last)
	return n, nil
}

// keep keeps a block for the next read, and gives away the one that was kept.
func (b *diskBody) keep(last *block) {
	if old := b.last.Swap(last); old != nil {
		blockPool.Put(old)
	}
}

// readBlocks reads whole blocks from that with an index on, as many as p has room for.
func (b *diskBody) readBlocks(p []byte, index int64) (int, error) {
	rest := b.entry.size - index*blockSize
	if int64(len(p)) >= rest {
		p = p[:rest]
	} else {
		p = p[:len(p)/blockSize*blockSize]
	}
	got, err := b.file.ReadAt(p, index*blockSize)
	for n := 0; n < len(p); {
		length := min(blockSize, len(p)-n)
		if n+length > got || !matches(p[n:n+length], b.sums[index*sumSize:]) {
			return n, damaged(b.file, err)
		}
		n += length
		index++
	}
	return len(p), nil
}

// diskWriter writes an entry: first a body, which nothing names until Commit.
type diskWriter struct {
	store  *Disk
	key    string
	hash   string
	expect int64
	v      variant

	file     *os.File // nil before the first byte
	name     string   // of the file, until it belongs to an entry
	sums     []byte   // of whole blocks
	sum      uint32   // of the last block up to now
	reserved int64    // of the size of the Store
	failed   error    // of the next Write or Commit
	closed   bool

	reading atomic.Pointer[os.File] // file, for ReadAt
	written atomic.Int64            // what ReadAt may read
}

// Write appends to the body.
func (w *diskWriter) Write(p []byte) (int, error) {
	if w.failed == nil {
		w.failed = w.prepare(int64(len(p)))
	}
	if w.failed != nil || len(p) == 0 {
		return 0, w.failed
	}
	n, err := w.file.Write(p)
	w.add(p[:n])
	if err != nil {
		w.failed = err
	}
	return n, err
}

// prepare makes sure that n bytes can be written.
func (w *diskWriter) prepare(n int64) error {
	size := w.v.size + n
	if size > w.store.limits.Entry {
		return errTooLarge
	}
	if w.store.closed() {
		return errClosed
	}
	if n == 0 {
		return nil
	}
	if size > w.reserved {
		// in steps, so that what counts is not far from what is on the disk
		step := max(size, min(size+max(size, blockSize), size+maxStep))
		if w.expect >= size && w.expect < step {
			step = w.expect
		}
		step = min(step, w.store.limits.Entry)
		if err := w.store.reserve(step - w.reserved); err != nil {
			return err
		}
		w.reserved = step
	}
	if w.file != nil {
		return nil
	}
	f, err := w.store.newBody(w.hash, w.v.body)
	if err != nil {
		return err
	}
	w.file, w.name = f, f.Name()
	w.reading.Store(f)
	return nil
}

// add counts bytes that were written.
func (w *diskWriter) add(p []byte) {
	for rest := p; len(rest) > 0; {
		k := min(int64(len(rest)), blockSize-w.v.size%blockSize)
		w.sum = crc32.Update(w.sum, castagnoli, rest[:k])
		w.v.size += k
		if w.v.size%blockSize == 0 {
			w.endBlock()
		}
		rest = rest[k:]
	}
	w.written.Store(w.v.size)
}

func (w *diskWriter) endBlock() {
	w.sums = binary.LittleEndian.AppendUint32(w.sums, w.sum)
	w.sum = 0
}

// ReadAt reads what is written.
func (w *diskWriter) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errOffset
	}
	f, written := w.reading.Load(), w.written.Load()
	if f == nil || off >= written {
		return 0, io.EOF
	}
	short := int64(len(p)) > written-off
	if short {
		p = p[:written-off]
	}
	n, err := f.ReadAt(p, off)
	if err == nil && short {
		err = io.EOF
	}
	return n, err
}

// Commit writes the table, and then makes the file of the key name the body.
func (w *diskWriter) Commit(meta []byte) error {
	if w.failed != nil {
		return w.failed
	}
	w.failed = errClosed
	if w.file != nil {
		if w.v.size%blockSize != 0 {
			w.endBlock()
		}
		if _, err := w.file.Write(w.sums); err != nil {
			return err
		}
		w.v.sums = crc32.Checksum(w.sums, castagnoli)
	}
	w.v.meta = meta
	if err := w.store.commit(w); err != nil {
		return err
	}
	w.name = ""
	return nil
}

// Close closes the file, and removes it if it belongs to no entry.
func (w *diskWriter) Close() error {
	w.failed = errClosed
	if w.closed {
		return nil
	}
	w.closed = true
	var err error
	if w.file != nil {
		if w.name != "" && removeOpen {
			err = os.Remove(w.name)
		}
		w.file.Close()
		if w.name != "" && !removeOpen {
			err = os.Remove(w.name)
		}
	}
	if w.reserved > 0 {
		w.store.sizes.add(0, -w.reserved)
	}
	return err
}
