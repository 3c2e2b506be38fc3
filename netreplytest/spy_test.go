package netreplytest_test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
)

// spyTB keeps the failures of a test that is expected to fail.
type spyTB struct {
	testing.TB
	mu    sync.Mutex
	errs  []string
	fatal string
}

func (s *spyTB) Errorf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errs = append(s.errs, fmt.Sprintf(format, args...))
}

func (s *spyTB) Fatalf(format string, args ...any) {
	s.fatal = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// run calls a function that may end its goroutine by Fatalf.
func (s *spyTB) run(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}
