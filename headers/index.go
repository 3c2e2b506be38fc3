package headers

import (
	"hash/maphash"
	"slices"
)

// index is a hash table from names to indexes of a growing list. It stores no strings, so
// that names need not be copied. The hash is seeded, so that a peer cannot choose names
// with equal hashes.
type index struct {
	slots  []int32 // index in the list plus 1; 0 is free
	seed   maphash.Seed
	lower  []byte
	latest int32 // result of the last find: fields of one name are often adjacent
}

// indexFrom is the number of names up to which a linear search is as fast.
const indexFrom = 16

func newIndex(names int) (x index) {
	if names > indexFrom {
		size := 2 * indexFrom
		for size < 2*names {
			size *= 2
		}
		x.slots, x.seed = make([]int32, size), maphash.MakeSeed()
	}
	return x
}

// find returns the index of name in list, or the length of list, where the caller must
// append it.
func (x *index) find(name string, list []Field) (place int32, known bool) {
	if x.slots == nil {
		if i := slices.IndexFunc(list, func(f Field) bool { return sameName(f.Name, name) }); i >= 0 {
			return int32(i), true
		}
		return int32(len(list)), false
	}
	if len(list) > 0 && sameName(list[x.latest].Name, name) {
		return x.latest, true
	}
	x.lower = x.lower[:0]
	for _, c := range []byte(name) {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		x.lower = append(x.lower, c)
	}
	for i := maphash.Bytes(x.seed, x.lower); ; i++ {
		slot := &x.slots[i%uint64(len(x.slots))]
		if *slot == 0 {
			x.latest = int32(len(list))
			*slot = x.latest + 1
			return x.latest, false
		}
		if place = *slot - 1; sameName(list[place].Name, name) {
			x.latest = place
			return place, true
		}
	}
}
