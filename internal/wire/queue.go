package wire

// links are the place of an element in one queue.
type links[T any] struct {
	prev, next *T
	in         bool
}

// linker finds the links by which an element belongs to one kind of queue.
type linker[T any] interface{ of(*T) *links[T] }

// queue is a list through its elements: joining and leaving it costs the same however long
// it is, and no memory. An element is in one queue of a kind at most.
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

// remove takes e out, if it is in, and says whether it was.
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
