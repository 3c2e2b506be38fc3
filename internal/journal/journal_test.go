package journal_test

import (
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/journal"
)

const (
	head journal.Kind = iota
	question
	down
	up
	end
)

// read returns the entries after a cursor, as kind and A.
func read(r *journal.Record, c *journal.Cursor) (list [][2]int64) {
	for {
		e, ok := r.Next(c)
		if !ok {
			return list
		}
		list = append(list, [2]int64{int64(e.Kind()), e.A})
	}
}

func TestOrder(t *testing.T) {
	var r journal.Record
	var early, late journal.Cursor
	r.Append(head, time.Second, 301, 7)
	assert.Equal(t, [][2]int64{{int64(head), 301}}, read(&r, &early))
	r.AppendValue(question, 2*time.Second, "may I?", 1)
	r.Append(head, 3*time.Second, 200, 0)

	assert.Equal(t, [][2]int64{{int64(question), 0}, {int64(head), 200}}, read(&r, &early))
	assert.Empty(t, read(&r, &early))
	assert.Len(t, read(&r, &late), 3)

	var again journal.Cursor
	first, _ := r.Next(&again)
	assert.Equal(t, time.Second, first.At)
	assert.Equal(t, int64(7), first.B)
	assert.Nil(t, r.Value(first))
	second, _ := r.Next(&again)
	assert.Equal(t, "may I?", r.Value(second))
	assert.Equal(t, int64(1), second.B)
}

// TestConflate: newer progress replaces older, and keeps its order with other entries.
func TestConflate(t *testing.T) {
	var r journal.Record
	var early journal.Cursor
	r.Conflate(down, 0, 1, 0)
	require.Equal(t, [][2]int64{{int64(down), 1}}, read(&r, &early))
	for n := range int64(1000) {
		r.Conflate(up, 0, n, 0)
		r.Conflate(down, 0, n, 0)
	}
	assert.Equal(t, [][2]int64{{int64(up), 999}, {int64(down), 999}}, read(&r, &early))
	r.Append(head, 0, 200, 0)
	r.Conflate(down, 0, 1000, 0)
	r.Conflate(down, 0, 1001, 0)
	assert.Equal(t, [][2]int64{{int64(head), 200}, {int64(down), 1001}}, read(&r, &early))
	var late journal.Cursor
	assert.Equal(t, [][2]int64{{int64(up), 999}, {int64(down), 999}, {int64(head), 200}, {int64(down), 1001}}, read(&r, &late))
}

// TestPassed: a reader has passed an entry also if it has read only its replacement.
func TestPassed(t *testing.T) {
	var r journal.Record
	var c journal.Cursor
	first := r.Conflate(down, 0, 1, 0)
	second := r.Conflate(down, 0, 2, 0)
	assert.False(t, c.Passed(first))
	_, ok := r.Next(&c)
	require.True(t, ok)
	assert.True(t, c.Passed(first))
	assert.True(t, c.Passed(second))
	assert.False(t, c.Passed(r.Append(end, 0, 0, 0)))
}

func TestLast(t *testing.T) {
	var r journal.Record
	_, ok := r.Last(head)
	assert.False(t, ok)
	r.Append(head, 0, 301, 0)
	r.Append(head, 0, 200, 0)
	r.Append(end, 0, 0, 0)
	e, ok := r.Last(head)
	assert.True(t, ok)
	assert.EqualValues(t, 200, e.A)
}

// TestLong: entries beyond the inline array keep the order.
func TestLong(t *testing.T) {
	var r journal.Record
	var c journal.Cursor
	for n := range int64(100) {
		r.Append(head, 0, n, 0)
	}
	for n, e := range read(&r, &c) {
		assert.Equal(t, [2]int64{int64(head), int64(n)}, e)
	}
}

// TestChanged: a waiting reader is woken by the next entry and by Close, and misses
// nothing.
func TestChanged(t *testing.T) {
	const entries = 1000
	var mu sync.Mutex
	var r journal.Record
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			var c journal.Cursor
			for seen := int64(0); ; {
				mu.Lock()
				e, ok := r.Next(&c)
				over, changed := r.Closed(), r.Changed()
				mu.Unlock()
				switch {
				case ok:
					assert.Equal(t, seen, e.A)
					seen++
				case over:
					assert.EqualValues(t, entries, seen)
					return
				default:
					<-changed
				}
			}
		})
	}
	for n := range int64(entries) {
		mu.Lock()
		r.Append(head, 0, n, 0)
		mu.Unlock()
	}
	mu.Lock()
	r.Close()
	mu.Unlock()
	readers.Wait()
}

// TestAllocations: the entries of a small download do not allocate.
func TestAllocations(t *testing.T) {
	r := new(journal.Record)
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		*r = journal.Record{}
		r.Append(head, 0, 200, 0)
		for n := range int64(10) {
			r.Conflate(up, 0, 0, 0)
			r.Conflate(down, time.Duration(n), n, 10)
		}
		r.Append(question, 0, 0, 0)
		r.Append(end, 0, 0, 0)
		r.Close()
	}))
	assert.LessOrEqual(t, unsafe.Sizeof(*r), uintptr(128))
}
