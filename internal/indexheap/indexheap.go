// Package indexheap implements a priority queue whose items store their index, so that any
// of them can be moved or removed in O(log n).
package indexheap

// Heap is a heap of items of type T. An item must not be in a heap twice.
type Heap[T any] struct {
	items  []T
	before func(a, b T) bool
	index  func(T) *int
}

// New makes an empty heap. before is its order. index returns where an item stores its
// index, which the heap maintains while it contains the item.
func New[T any](before func(a, b T) bool, index func(T) *int) Heap[T] {
	return Heap[T]{before: before, index: index}
}

// Len is the number of items.
func (h *Heap[T]) Len() int { return len(h.items) }

// First returns the first item. The heap must not be empty.
func (h *Heap[T]) First() T { return h.items[0] }

// Items returns all items, in no order. The slice belongs to the heap.
func (h *Heap[T]) Items() []T { return h.items }

// Push adds an item.
func (h *Heap[T]) Push(item T) {
	h.items = append(h.items, item)
	h.up(len(h.items)-1, item)
}

// Remove removes an item, which must be in the heap.
func (h *Heap[T]) Remove(item T) {
	i, last := *h.index(item), len(h.items)-1
	moved := h.items[last]
	var none T
	h.items[last] = none
	h.items = h.items[:last]
	if i < last {
		h.set(i, moved)
		h.Fix(moved)
	}
}

// Fix restores the order after a change of an item, which must be in the heap.
func (h *Heap[T]) Fix(item T) {
	i := *h.index(item)
	h.up(i, item)
	h.down(*h.index(item), item)
}

func (h *Heap[T]) set(i int, item T) {
	h.items[i] = item
	*h.index(item) = i
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
