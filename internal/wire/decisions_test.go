package wire

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// decisions is a pool without a Transport, which carries out none of its decisions.
type decisions struct {
	*pool
	h *host
}

func newDecisions(t *testing.T, key Key) decisions {
	timer := time.NewTimer(time.Hour)
	t.Cleanup(func() { timer.Stop() })
	p := &pool{ctx: t.Context(), connsPerHost: 2, hosts: map[Key]*host{}, expiry: expiry{limit: time.Hour, timer: timer}}
	return decisions{p, p.host(key)}
}

// ask makes an exchange wait.
func (b decisions) ask(fresh bool) *waiter {
	w := b.h.enqueue(&waiter{x: &Exchange{Priority: Normal, Fresh: fresh}})
	b.h.startDials()
	return w
}

// decided returns the decisions since the last call.
func (b decisions) decided() todo {
	d := b.todo
	b.todo = todo{}
	return d
}

// TestOneDialUntilProtocolIsKnown: while a server may support HTTP/2, one connection is
// opened for all waiters, and as many as allowed when it does not.
func TestOneDialUntilProtocolIsKnown(t *testing.T) {
	b := newDecisions(t, Key{Scheme: "https", Addr: "h:443"})
	first, second, third := b.ask(false), b.ask(false), b.ask(false)
	d := b.decided()
	require.Len(t, d.dial, 1)
	require.Same(t, first, d.dial[0].owner)
	d.dial[0].opened(&conn{connection: &scripted{}}, nil, time.Now())
	assert.True(t, first.done)
	d = b.decided()
	require.Len(t, d.dial, 1, "two are allowed")
	assert.Same(t, second, d.dial[0].owner)
	assert.Nil(t, third.dial)

	b = newDecisions(t, Key{Scheme: "https", Addr: "h:443"})
	all := []*waiter{b.ask(false), b.ask(false), b.ask(false)}
	s := &scripted{}
	s.streams.Store(100)
	b.decided().dial[0].opened(&conn{connection: s, http2: true}, nil, time.Now())
	for _, w := range all {
		assert.True(t, w.done)
	}
	assert.True(t, b.todo.empty(), "%+v", b.todo)
}

// TestQuestionFreesDial: after a question a dial is for its owner only, so that another one
// is started for the other waiters; its failure concerns only the owner.
func TestQuestionFreesDial(t *testing.T) {
	b := newDecisions(t, Key{Scheme: "https", Addr: "h:443"})
	owner, other := b.ask(false), b.ask(false)
	asked := b.decided().dial[0]
	q := &Question{}
	require.True(t, asked.passQuestion(q, 0))
	assert.Same(t, q, owner.takeNews().question)
	assert.False(t, asked.passQuestion(q, maxQuestions))
	d := b.decided()
	require.Len(t, d.dial, 1)
	assert.Same(t, other, d.dial[0].owner)
	refused := errors.New("refused")
	asked.failed(refused)
	assert.Equal(t, refused, owner.takeNews().err)
	assert.False(t, other.done)
	assert.False(t, asked.passQuestion(q, 1), "no waiter is left")
}

// TestAcceptedIsAnotherHost: a connection with accepted flaws is for its owner only, and
// counts for the host with the accepting profile.
func TestAcceptedIsAnotherHost(t *testing.T) {
	key := Key{Scheme: "https", Addr: "h:443", Profile: &Profile{}}
	b := newDecisions(t, key)
	owner, other := b.ask(false), b.ask(false)
	d := b.decided().dial[0]
	require.True(t, d.passQuestion(&Question{}, 0))
	accepted := &Profile{}
	d.opened(&conn{connection: &scripted{}}, accepted, time.Now())
	got := owner.takeNews()
	require.NotNil(t, got.conn)
	assert.Same(t, accepted, got.conn.host.key.Profile)
	assert.False(t, other.done)
	assert.Zero(t, b.h.open)
	assert.Len(t, b.decided().dial, 1)
}

// TestLeavingFreesDial: the dial of an exchange that leaves is assigned to the next waiter
// without one, and cancelled if there is none.
func TestLeavingFreesDial(t *testing.T) {
	b := newDecisions(t, Key{Scheme: "https", Addr: "h:443"})
	first, second := b.ask(false), b.ask(false)
	dialed := b.decided().dial[0]
	b.h.abandon(first, false)
	assert.True(t, b.todo.empty(), "%+v", b.todo)
	assert.Same(t, second, dialed.owner)
	b.h.abandon(second, false)
	d := b.decided()
	assert.Equal(t, []*dialing{dialed}, d.cancel)
	assert.Empty(t, d.dial)
	dialed.failed(errors.New("cancelled"))
	assert.Empty(t, b.hosts)
}

// TestNotKept: a connection that is not to be kept is assigned to a waiter, and closed if
// all waiters are Fresh.
func TestNotKept(t *testing.T) {
	for fresh, ends := range map[bool]bool{false: false, true: true} {
		b := newDecisions(t, Key{Scheme: "http", Addr: "h:80"})
		first := b.h.enqueue(&waiter{x: &Exchange{Priority: Normal, IdleTimeout: -1}})
		b.h.startDials()
		c := &conn{connection: &scripted{}}
		b.decided().dial[0].opened(c, nil, time.Now())
		require.Same(t, c, first.takeNews().conn)
		b.ask(fresh)
		b.decided()
		b.h.exchangeOver(c, true, time.Now())
		assert.Equal(t, ends, c.removed, "fresh: %v", fresh)
		assert.Equal(t, ends, len(b.decided().close) == 1)
	}
}

// TestCloseEndsEverything: idle connections are closed gracefully, others at once, and all
// waiters fail.
func TestCloseEndsEverything(t *testing.T) {
	b := newDecisions(t, Key{Scheme: "http", Addr: "h:80"})
	all := []*waiter{b.ask(false), b.ask(false), b.ask(false)}
	dials := b.decided().dial
	require.Len(t, dials, 2)
	busy, idle := &conn{connection: &scripted{}}, &conn{connection: &scripted{}}
	dials[0].opened(busy, nil, time.Now())
	dials[1].opened(idle, nil, time.Now())
	require.Same(t, idle, all[1].takeNews().conn)
	b.h.exchangeOver(idle, true, time.Now())
	require.Same(t, idle, all[2].takeNews().conn, "it is assigned to the next waiter at once")
	b.h.exchangeOver(idle, true, time.Now())
	other := b.host(Key{Scheme: "http", Addr: "other:80"})
	late := other.enqueue(&waiter{x: &Exchange{}})
	other.startDials()
	b.decided()
	b.close()
	d := b.decided()
	assert.Equal(t, []*conn{busy}, d.cut)
	assert.Equal(t, []*conn{idle}, d.close)
	assert.Equal(t, ErrClosed, late.takeNews().err)
	assert.False(t, b.over(), "they are being closed, and a dial is running")
	late.dial.failed(ErrClosed)
	b.all.remove(busy)
	b.all.remove(idle)
	assert.True(t, b.over())
}
