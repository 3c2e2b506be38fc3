package rediscache

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"math/rand/v2"

	"github.com/redis/go-redis/v9"
)

// In Redis each key of the cache has an index, a hash with a field for each entry, named by its
// ID in hex digits, and the field keyField with the key itself. The value of an entry is its
// variant. The parts of bodies are strings of partSize bytes, the last one shorter, and the
// CRC-32C of these.

const (
	keyField = "key"
	partSize = 256 << 10
	sumSize  = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func newNumber() uint64 { return rand.Uint64() }

// hashOf names a key of the cache.
func hashOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16])
}

// index is the name of an index. The braces keep everything of one key in one slot of a
// cluster.
func (s *Store) index(hash string) string { return s.o.Prefix + "{" + hash + "}" }

func (s *Store) part(hash string, body uint64, n int64) string {
	return fmt.Sprintf("%s{%s}:%016x:%d", s.o.Prefix, hash, body, n)
}

func (s *Store) lease(hash string) string { return s.o.Prefix + "{" + hash + "}:lease" }

// variant is an entry.
type variant struct {
	body     uint64 // names the parts
	revision uint64 // another one for each metadata
	size     int64
	meta     []byte
}

// parts is how many parts the body has.
func (v variant) parts() int64 { return (v.size + partSize - 1) / partSize }

// partLength is the length of a part without its sum.
func (v variant) partLength(n int64) int64 { return min(partSize, v.size-n*partSize) }

// value is the variant as it is stored: three numbers of 8 bytes, the metadata, and a CRC-32C.
func (v variant) value() string {
	b := make([]byte, 0, 24+len(v.meta)+sumSize)
	b = binary.BigEndian.AppendUint64(b, v.body)
	b = binary.BigEndian.AppendUint64(b, v.revision)
	b = binary.BigEndian.AppendUint64(b, uint64(v.size))
	return string(withSum(append(b, v.meta...)))
}

func parseVariant(value string) (variant, bool) {
	b, ok := withoutSum([]byte(value))
	if !ok || len(b) < 24 || binary.BigEndian.Uint64(b[16:]) > 1<<50 {
		return variant{}, false
	}
	return variant{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), int64(binary.BigEndian.Uint64(b[16:])), b[24:]}, true
}

// withSum appends the sum of b.
func withSum(b []byte) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// withoutSum takes off the sum, false if it is wrong.
func withoutSum(b []byte) ([]byte, bool) {
	n := len(b) - sumSize
	if n < 0 || crc32.Checksum(b[:n], castagnoli) != binary.BigEndian.Uint32(b[n:]) {
		return nil, false
	}
	return b[:n:n], true
}

var (
	// commitScript sets an entry, and returns the one before, or nothing. The index stays for as
	// long as one of its entries.
	commitScript = redis.NewScript(`
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'none' and (kind ~= 'hash' or redis.call('HGET', KEYS[1], 'key') ~= ARGV[3]) then redis.call('DEL', KEYS[1]) end
local old = redis.call('HGET', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], 'key', ARGV[3], ARGV[1], ARGV[2])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[4]) then redis.call('PEXPIRE', KEYS[1], ARGV[4]) end
return old or ''`)
	// updateScript sets an entry if the one before begins with ARGV[2].
	updateScript = redis.NewScript(`
local old = redis.call('HGET', KEYS[1], ARGV[1])
if not old or string.sub(old, 1, #ARGV[2]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[4]) then redis.call('PEXPIRE', KEYS[1], ARGV[4]) end
return 1`)
	// removeScript removes an index, and returns what it was.
	removeScript = redis.NewScript(`
local all = {}
if redis.call('TYPE', KEYS[1]).ok == 'hash' then all = redis.call('HGETALL', KEYS[1]) end
redis.call('DEL', KEYS[1])
return all`)
	// dropScript removes an entry that begins with ARGV[2], and the index with the last one.
	dropScript = redis.NewScript(`
local old = redis.call('HGET', KEYS[1], ARGV[1])
if not old or string.sub(old, 1, #ARGV[2]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
if redis.call('HLEN', KEYS[1]) <= 1 then redis.call('DEL', KEYS[1]) end
return 1`)
	// releaseScript removes a lease that is ARGV[1].
	releaseScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`)
)
