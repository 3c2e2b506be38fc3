package netreply

import (
	"context"
	"iter"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// told returns a listener's queue as reply number, kind, and first number.
func told(replies []*Reply, queue []managerEntry) (list [][3]int64) {
	for _, e := range queue {
		for i, r := range replies {
			if e.reply == r {
				list = append(list, [3]int64{int64(i), int64(e.kind), e.a})
			}
		}
	}
	return list
}

// TestEventQueue: progress of a reply replaces its older progress, whatever other replies
// do meanwhile, but keeps its order with other events of the reply.
func TestEventQueue(t *testing.T) {
	a, b := new(Reply), new(Reply)
	all := []*Reply{a, b}
	var h hub
	l := h.listen(context.Background(), signals)
	for n := range int64(1000) {
		for _, r := range all {
			h.publish(r, entry{kind: sigReadyRead, a: 0})
			h.publish(r, entry{kind: sigDownloadProgress, a: n})
			if r == b && n == 500 {
				h.publish(r, entry{kind: sigMetaData, a: 200})
			}
		}
	}
	queue, over := h.take(l)
	require.False(t, over)
	assert.Equal(t, [][3]int64{
		{0, int64(sigReadyRead), 0}, {0, int64(sigDownloadProgress), 999},
		{1, int64(sigReadyRead), 0}, {1, int64(sigDownloadProgress), 500},
		{1, int64(sigMetaData), 200},
		{1, int64(sigReadyRead), 0}, {1, int64(sigDownloadProgress), 999},
	}, told(all, queue))
	h.publish(a, entry{kind: sigDownloadProgress, a: 1000})
	queue, _ = h.take(l)
	assert.Equal(t, [][3]int64{{0, int64(sigDownloadProgress), 1000}}, told(all, queue), "what was taken does not change")
}

// TestEventQueueGrowth: the queue grows with the discrete events.
func TestEventQueueGrowth(t *testing.T) {
	const replies = 1000
	var h hub
	slow, other := h.listen(context.Background(), signals), h.listen(context.Background(), sigFinished)
	all := make([]Reply, replies)
	for n := range int64(50) {
		for i := range all {
			h.publish(&all[i], entry{kind: sigReadyRead, a: 0})
			h.publish(&all[i], entry{kind: sigDownloadProgress, a: n})
			h.publish(&all[i], entry{kind: sigUploadProgress, a: n})
		}
	}
	assert.Len(t, slow.queue, 3*replies)
	for i := range all {
		h.publish(&all[i], entry{kind: sigFinished, a: 0})
	}
	assert.Len(t, slow.queue, 4*replies)
	assert.Empty(t, slow.recent)
	assert.Len(t, other.queue, replies)
	runtime.KeepAlive(slow)
}

// TestListenersRelease: an unreferenced iterator that was never ranged over keeps no
// memory, and one that has ended keeps neither memory nor its context.
func TestListenersRelease(t *testing.T) {
	m := new(Manager)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	watched := func() int32 { return m.hub.watched.Load() }
	for range 100 {
		m.Events(ctx)
		m.Finished(context.Background())
	}
	for end := time.Now().Add(10 * time.Second); watched() > 0 && time.Now().Before(end); {
		runtime.GC()
		runtime.Gosched()
	}
	require.Zero(t, watched())
	require.Empty(t, m.hub.listeners)

	kept := []iter.Seq2[*Reply, Event]{m.Events(ctx), m.Events(ctx)}
	runtime.GC()
	require.EqualValues(t, 2, watched())
	r := new(Reply)
	m.hub.publish(r, entry{kind: sigFinished})
	for _, events := range kept {
		n := 0
		for got, e := range events {
			n++
			assert.Same(t, r, got)
			assert.IsType(t, Finished{}, e)
			break
		}
		require.Equal(t, 1, n)
		for range events {
			t.Error("an iterator is for one loop")
		}
	}
	require.Zero(t, watched())

	ended := m.Events(ctx)
	m.hub.publish(r, entry{kind: sigFinished})
	cancel()
	for end := time.Now().Add(10 * time.Second); watched() > 0 && time.Now().Before(end); {
		runtime.Gosched()
	}
	require.Zero(t, watched(), "the context has ended")
	runtime.KeepAlive(ended)

	m.hub.close()
	var none context.Context // which never ends
	for range m.Events(none) {
		t.Error("the Manager is closed")
	}
	require.Zero(t, watched())
}
