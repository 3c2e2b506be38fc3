package wire

// links are the links of an element in one queue.
type links[T any] struct {
	prev, next *T
	in         bool
}

// linker returns the links of an element for one kind of queue.
type linker[T any] interface{ of(*T) *links[T] }

// queue is an intrusive doubly linked list: adding and removing takes constant time and
// does not allocate. An element is in at most one queue of a kind.
type queue[T any, L linker[T]] struct {
	first, last *T
	n           int
}

func (q *queue[T, L]) pushBack(e *T) {
	var by L
	l := by.of(e)
	*l = links[T]{prev: q.last, in: true}
	if q.last != nil {
		by.of(q.last).next = e
	} else {
		q.first = e
	}
	q.last = e
	q.n++
}

func (q *queue[T, L]) pushFront(e *T) {
	var by L
	l := by.of(e)
	*l = links[T]{next: q.first, in: true}
	if q.first != nil {
		by.of(q.first).prev = e
	} else {
		q.last = e
	}
	q.first = e
	q.n++
}

// remove removes e, and reports whether it was in the queue.
func (q *queue[T, L]) remove(e *T) bool {
	var by L
	l := by.of(e)
	if !l.in {
		return false
	}
	if l.prev != nil {
		by.of(l.prev).next = l.next
	} else {
		q.first = l.next
	}
	if l.next != nil {
		by.of(l.next).prev = l.prev
	} else {
		q.last = l.prev
	}
	*l = links[T]{}
	q.n--
	return true
}

func (q *queue[T, L]) popFront() *T {
	e := q.first
	if e != nil {
		q.remove(e)
	}
	return e
}

func (q *queue[T, L]) popBack() *T {
	e := q.last
	if e != nil {
		q.remove(e)
	}
	return e
}
