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
	// Expires is when it ends; zero when that is not known.
	Expires time.Time
}

// TokenSource keeps a bearer token and gets a new one when it has expired or a
// server has refused it. It may serve any number of requests and Managers at once:
// those that need a new token wait for one refresh.
type TokenSource struct {
	fetch func(context.Context) (Token, error)

	lock  chan struct{}         // held while fetching; a mutex that a context can leave
	token atomic.Pointer[Token] // written under lock; package fmt does not look into it
}

// NewTokenSource makes a source. fetch gets a new token; it is never called by two
// at once, and its context is that of the request that waits for it.
func NewTokenSource(fetch func(context.Context) (Token, error)) *TokenSource {
	return &TokenSource{fetch: fetch, lock: make(chan struct{}, 1)}
}

// earlyRefresh is how long before its end a token is not used any more.
const earlyRefresh = 10 * time.Second

// Token returns a token that is not refused, which is the value of one that a
// server did not take, "" for none.
func (s *TokenSource) Token(ctx context.Context, refused string) (string, error) {
	if s.fetch == nil || s.lock == nil {
		return "", errors.New("a TokenSource is made by NewTokenSource, with a function that gets a token")
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
	if t := s.current(refused); t != "" { // somebody else was faster
		return t, nil
	}
	t, err := s.fetch(ctx)
	if err != nil {
		return "", err
	}
	if t.Value == "" || !httpguts.ValidHeaderFieldValue(t.Value) {
		return "", errors.New("the token is empty, or no header value")
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
