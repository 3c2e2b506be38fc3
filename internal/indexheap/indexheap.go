// Package indexheap is a priority queue whose items know where they stand in it, so
// that any of them can be moved or taken out in O(log n).
package indexheap

// Heap holds items of type T, the first one on top. An item is in a heap once at most.
type Heap[T any] struct {
	items  []T
	before func(a, b T) bool
	place  func(T) *int
}

// New makes an empty heap. before is its order, and place tells where an item keeps its
// index, which belongs to the heap while the item is in it.
func New[T any](before func(a, b T) bool, place func(T) *int) Heap[T] {
	return Heap[T]{before: before, place: place}
}

// Len is how many items there are.
func (h *Heap[T]) Len() int { return len(h.items) }

// First is the item before all others. The heap must not be empty.
func (h *Heap[T]) First() T { return h.items[0] }

// Items are all items, in no order. The slice is the heap's own.
func (h *Heap[T]) Items() []T { return h.items }

// Push puts an item in.
func (h *Heap[T]) Push(item T) {
	h.items = append(h.items, item)
	h.up(len(h.items)-1, item)
}

// Remove takes an item out, which must be in.
func (h *Heap[T]) Remove(item T) {
	i, last := *h.place(item), len(h.items)-1
	moved := h.items[last]
	var none T
	h.items[last] = none
	h.items = h.items[:last]
	if i < last {
		h.set(i, moved)
		h.Fix(moved)
	}
}

// Fix moves an item, which must be in, to where it belongs now.
func (h *Heap[T]) Fix(item T) {
	i := *h.place(item)
	h.up(i, item)
	h.down(*h.place(item), item)
}

func (h *Heap[T]) set(i int, item T) {
	h.items[i] = item
	*h.place(item) = i
}

func (h *Heap[T]) up(i int, item T) {
	for i > 0 {
		parent := (i - 1) / 2
		if !h.before(item, h.items[parent]) {
			break
		}
		h.set(i, h.items[parent])
		i = parent
	}
	h.set(i, item)
}

func (h *Heap[T]) down(i int, item T) {
	for {
		child := 2*i + 1
		if child >= len(h.items) {
			break
		}
		if right := child + 1; right < len(h.items) && h.before(h.items[right], h.items[child]) {
			child = right
		}
		if !h.before(h.items[child], item) {
			break
		}
		h.set(i, h.items[child])
		i = child
	}
	h.set(i, item)
}
