package netreply

import (
	"container/list"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"sync"
)

// sessionCacheSize is how many TLS sessions a configuration keeps for resumption.
const sessionCacheSize = 128

// sessions is the TLS session cache of a configuration: the newest session of each server,
// by address.
type sessions struct {
	mu     sync.Mutex
	order  *list.List // of *session, the newest first
	byAddr map[string]*list.Element
}

type session struct {
	addr  string
	state *tls.ClientSessionState
}

// newSessions makes a cache, with the session of ticket if that is valid.
func newSessions(ticket []byte) *sessions {
	s := &sessions{order: list.New(), byAddr: map[string]*list.Element{}}
	if len(ticket) > 0 {
		if brought, err := parseTicket(ticket); err == nil {
			s.Put(brought.addr, brought.state)
		}
	}
	return s
}

// Get implements tls.ClientSessionCache.
func (s *sessions) Get(addr string) (*tls.ClientSessionState, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byAddr[addr]; e != nil {
		return e.Value.(*session).state, true
	}
	return nil, false
}

// Put implements tls.ClientSessionCache.
func (s *sessions) Put(addr string, state *tls.ClientSessionState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byAddr[addr]; e != nil {
		s.order.Remove(e)
		delete(s.byAddr, addr)
	}
	if state == nil {
		return
	}
	s.byAddr[addr] = s.order.PushFront(&session{addr, state})
	if s.order.Len() > sessionCacheSize {
		last := s.order.Back()
		s.order.Remove(last)
		delete(s.byAddr, last.Value.(*session).addr)
	}
}

// ticket serialises the newest session of a server, nil for none.
func (s *sessions) ticket(addr string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byAddr[addr]
	if e == nil {
		return nil
	}
	ticket, state, err := e.Value.(*session).state.ResumptionState()
	if err != nil || state == nil {
		return nil
	}
	raw, err := state.Bytes()
	if err != nil {
		return nil
	}
	out := binary.BigEndian.AppendUint16(nil, uint16(len(addr)))
	out = binary.BigEndian.AppendUint32(append(out, addr...), uint32(len(ticket)))
	return append(append(out, ticket...), raw...)
}

// parseTicket parses the result of ticket: the server's address and the ticket, each
// preceded by its length, and the session.
func parseTicket(b []byte) (*session, error) {
	bad := errors.New("not a session ticket of this library and this version of Go")
	if len(b) < 2 {
		return nil, bad
	}
	n := int(binary.BigEndian.Uint16(b))
	if b = b[2:]; len(b) < n+4 {
		return nil, bad
	}
	addr, b := string(b[:n]), b[n:]
	m := uint64(binary.BigEndian.Uint32(b))
	if b = b[4:]; uint64(len(b)) < m {
		return nil, bad
	}
	parsed, err := tls.ParseSessionState(b[m:])
	if err != nil {
		return nil, bad
	}
	state, err := tls.NewResumptionState(b[:m], parsed)
	if err != nil {
		return nil, bad
	}
	return &session{addr, state}, nil
}
