package netreply

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Token is a bearer token (RFC 6750).
type Token struct {
	Value string
	// Expires is when it expires; zero means unknown.
	Expires time.Time
}

// TokenSource stores a bearer token, and fetches a new one when it has expired or a server
// has refused it. It is safe for concurrent use by any number of requests and Managers,
// which all wait for one fetch.
type TokenSource struct {
	fetch func(context.Context) (Token, error)

	lock  chan struct{}         // capacity 1: a mutex whose Lock a context can end
	token atomic.Pointer[Token] // written under lock; a pointer type that package fmt does not print
}

// NewTokenSource makes a TokenSource. fetch returns a new token. Its calls never overlap;
// its context is that of the request that waits for it.
func NewTokenSource(fetch func(context.Context) (Token, error)) *TokenSource {
	return &TokenSource{fetch: fetch, lock: make(chan struct{}, 1)}
}

// earlyRefresh is how long before its expiry a token is replaced.
const earlyRefresh = 10 * time.Second

// Token returns a token that differs from refused, a token that a server has not accepted;
// "" means none was refused.
func (s *TokenSource) Token(ctx context.Context, refused string) (string, error) {
	if s.fetch == nil || s.lock == nil {
		return "", errors.New("use NewTokenSource, with a function that fetches a token")
	}
	if ctx == nil {
		ctx = context.Background()
	}
	if t := s.current(refused); t != "" {
		return t, nil
	}
	select {
	case s.lock <- struct{}{}:
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	defer func() { <-s.lock }()
	if t := s.current(refused); t != "" { // fetched meanwhile by another request
		return t, nil
	}
	t, err := s.fetch(ctx)
	if err != nil {
		return "", err
	}
	if t.Value == "" || !httpguts.ValidHeaderFieldValue(t.Value) {
		return "", errors.New("the token is empty, or not valid in a header field")
	}
	s.token.Store(&t)
	return t.Value, nil
}

func (s *TokenSource) current(refused string) string {
	token := s.token.Load()
	if token == nil || token.Value == refused || !token.Expires.IsZero() && time.Until(token.Expires) < earlyRefresh {
		return ""
	}
	return token.Value
}
