package httpcache

import (
	"encoding/binary"
	"hash/crc32"
)

// A key has one file, which names its entries. Numbers are uvarints unless they are said to be
// fixed, which are little-endian:
//
//	magic
//	length of key, key
//	number of entries, and for each, those stored or updated last at the end:
//		ID, fixed body, fixed revision, size, fixed sums, length of metadata, metadata
//	CRC-32C of all that, fixed
//
// The body of an entry is a file of its own: the bytes, and a table of the CRC-32Cs of blocks
// of blockSize of them, each fixed. An empty body has no file.
const magic = "nrcache1"

const (
	blockSize = 64 << 10
	sumSize   = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// variant is one entry of a key.
type variant struct {
	id       [32]byte
	body     uint64 // names the file of the body
	revision uint64 // another one for each metadata
	size     int64  // of the body, without the table
	sums     uint32 // CRC-32C of the table
	meta     []byte
}

// sameAs reports whether v is w, with the same metadata.
func (v *variant) sameAs(w *variant) bool { return v.body == w.body && v.revision == w.revision }

// fileSize is the size of the body's file.
func (v *variant) fileSize() int64 { return v.size + sumSize*blocks(v.size) }

// blocks is how many blocks a body of size bytes has.
func blocks(size int64) int64 { return (size + blockSize - 1) / blockSize }

// keyFile is the content of the file of a key.
type keyFile struct {
	key      string
	variants []variant
}

// maxKeyFile bounds what is read at once.
const maxKeyFile = 64 << 20

// length is at least the length of the file.
func (k *keyFile) length() int64 {
	size := len(magic) + len(k.key) + 32
	for i := range k.variants {
		size += len(k.variants[i].meta) + 80
	}
	return int64(size)
}

// bytesOf is the file.
func (k *keyFile) bytesOf() []byte {
	b := append(make([]byte, 0, k.length()), magic...)
	b = append(binary.AppendUvarint(b, uint64(len(k.key))), k.key...)
	b = binary.AppendUvarint(b, uint64(len(k.variants)))
	for i := range k.variants {
		v := &k.variants[i]
		b = append(b, v.id[:]...)
		b = binary.LittleEndian.AppendUint64(b, v.body)
		b = binary.LittleEndian.AppendUint64(b, v.revision)
		b = binary.AppendUvarint(b, uint64(v.size))
		b = binary.LittleEndian.AppendUint32(b, v.sums)
		b = append(binary.AppendUvarint(b, uint64(len(v.meta))), v.meta...)
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// parseKeyFile reads what bytesOf makes, and nothing else. It shares b.
func parseKeyFile(b []byte) (*keyFile, error) {
	end := len(b) - sumSize
	if end < 0 || binary.LittleEndian.Uint32(b[end:]) != crc32.Checksum(b[:end], castagnoli) {
		return nil, ErrDamaged
	}
	r := fieldReader{rest: b[:end]}
	if string(r.take(uint64(len(magic)))) != magic {
		return nil, ErrDamaged
	}
	k := &keyFile{key: string(r.take(r.number()))}
	const least = 32 + 8 + 8 + 1 + 4 + 1 // bytes of an entry
	n := r.number()
	if n > uint64(len(r.rest)/least) {
		return nil, ErrDamaged
	}
	k.variants = make([]variant, n)
	for i := range k.variants {
		v := &k.variants[i]
		copy(v.id[:], r.take(uint64(len(v.id))))
		v.body = r.fixed64()
		v.revision = r.fixed64()
		size := r.number()
		if size > maxBody {
			return nil, ErrDamaged
		}
		v.size = int64(size)
		if b := r.take(sumSize); b != nil {
			v.sums = binary.LittleEndian.Uint32(b)
		}
		v.meta = r.take(r.number())
	}
	if r.failed || len(r.rest) > 0 {
		return nil, ErrDamaged
	}
	return k, nil
}

// maxBody keeps sums of sizes from overflowing.
const maxBody = 1 << 50

// fieldReader takes fields from the front. After one that is not there all are empty.
type fieldReader struct {
	rest   []byte
	failed bool
}

func (r *fieldReader) take(n uint64) []byte {
	if r.failed || n > uint64(len(r.rest)) {
		r.failed = true
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *fieldReader) number() uint64 {
	v, n := binary.Uvarint(r.rest)
	if r.failed || n <= 0 || n > 1 && r.rest[n-1] == 0 { // the last: it could be shorter
		r.failed = true
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *fieldReader) fixed64() uint64 {
	b := r.take(8)
	if b == nil {
		return 0
	}
	return binary.LittleEndian.Uint64(b)
}
