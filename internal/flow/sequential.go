package flow

import (
	"io"
	"sync"
)

// Sequential is a source that can be read once. Until somebody has begun to, it can be
// opened again: a sending that ended before its body was asked for has taken nothing.
// It is for one transfer.
type Sequential struct {
	Source io.Reader

	mu    sync.Mutex
	turn  *sequentialReading // that was opened last
	begun bool
}

// Open starts a reading, which takes the place of the one before.
func (s *Sequential) Open() (io.Reader, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun {
		return nil, ErrNotRewindable
	}
	s.turn = &sequentialReading{s}
	return s.turn, nil
}

// begin tells whether t is the reading whose turn it is; nothing else will be, then.
func (s *Sequential) begin(t *sequentialReading) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.turn != t {
		return false
	}
	s.begun = true
	return true
}

type sequentialReading struct{ of *Sequential }

func (t *sequentialReading) Read(p []byte) (int, error) {
	if !t.of.begin(t) {
		return 0, errUploadStopped
	}
	return t.of.Source.Read(p)
}
