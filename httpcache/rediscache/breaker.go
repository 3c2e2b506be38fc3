package rediscache

import (
	"sync"
	"time"
)

const (
	maxFailures = 3
	breakTime   = time.Second
)

// breaker keeps requests from waiting for a Redis that does not answer: after maxFailures in a
// row there is one trial each breakTime, until one succeeds.
type breaker struct {
	mu       sync.Mutex
	failures int
	until    time.Time // no trial before
}

// allow reports whether Redis may be asked.
func (b *breaker) allow() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures < maxFailures {
		return true
	}
	now := time.Now()
	if now.Before(b.until) {
		return false
	}
	b.until = now.Add(breakTime) // for all others
	return true
}

// isOpen reports whether allow would return false.
func (b *breaker) isOpen() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failures >= maxFailures && time.Now().Before(b.until)
}

func (b *breaker) succeeded() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures = 0
}

func (b *breaker) failed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures++; b.failures >= maxFailures {
		b.until = time.Now().Add(breakTime)
	}
}
