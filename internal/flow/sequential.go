package flow

import (
	"io"
	"sync"
)

// Sequential is a source that can be read once. It can be opened again as long as nothing
// was read: an exchange that ended before its body was read has not consumed anything. It
// is for one transfer.
type Sequential struct {
	Source io.Reader

	mu      sync.Mutex
	current *sequentialReading // opened last
	started bool
}

// Open returns a reader, which replaces the previous one.
func (s *Sequential) Open() (io.Reader, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started {
		return nil, ErrNotRewindable
	}
	s.current = &sequentialReading{s}
	return s.current, nil
}

// begin reports whether t is the current reader. If so, no other can be opened any more.
func (s *Sequential) begin(t *sequentialReading) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != t {
		return false
	}
	s.started = true
	return true
}

type sequentialReading struct{ source *Sequential }

func (t *sequentialReading) Read(p []byte) (int, error) {
	if !t.source.begin(t) {
		return 0, errUploadStopped
	}
	return t.source.Source.Read(p)
}
