package headers

import (
	"hash/maphash"
	"slices"
)

// index finds names in a list that grows. It is a hash table without the strings: names
// need no copy in lower case each. The hash has a seed, so that nobody who chooses the
// names can choose what it gives.
type index struct {
	slots []int32 // the place in the list and 1; 0 is free
	seed  maphash.Seed
	lower []byte
	last  int32 // what was found last: fields of one name often stand together
}

// indexFrom is how many names are found as fast by looking at each.
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

// find gives the place of name in list, or the one at its end, where it is to be appended.
func (x *index) find(name string, list []Field) (place int32, known bool) {
	if x.slots == nil {
		if i := slices.IndexFunc(list, func(f Field) bool { return sameName(f.Name, name) }); i >= 0 {
			return int32(i), true
		}
		return int32(len(list)), false
	}
	if len(list) > 0 && sameName(list[x.last].Name, name) {
		return x.last, true
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
			x.last = int32(len(list))
			*slot = x.last + 1
			return x.last, false
		}
		if place = *slot - 1; sameName(list[place].Name, name) {
			x.last = place
			return place, true
		}
	}
}
