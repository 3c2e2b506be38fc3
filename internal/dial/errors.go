package dial

import (
	"context"
	"errors"
	"net"
	"time"
)

// Phase is the step of opening a connection in which it failed.
type Phase int

const (
	Resolve  Phase = iota // looking the name up
	Connect               // opening the TCP connection
	TLS                   // shaking hands
	Proxying              // reaching a proxy, and being let through
)

func (p Phase) String() string { return [...]string{"resolve", "connect", "tls", "proxy"}[p] }

// Error is the failure to open a connection.
type Error struct {
	Phase Phase
	Addr  string // host:port that was asked for
	Err   error
}

func (e *Error) Error() string { return e.Phase.String() + " " + e.Addr + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// ErrTimeout is what errors.Is finds in a LimitError.
var ErrTimeout = errors.New("timed out")

// LimitError tells that a limit of the Dialer, not of the caller's context, ended an
// attempt.
type LimitError struct {
	Limit string // its name
	After time.Duration
	Doing string // what was going on, and with whom
}

func (e *LimitError) Error() string {
	text := e.Limit + " of " + e.After.String() + " passed"
	if e.Doing != "" {
		text += " while " + e.Doing
	}
	return text
}

// Is matches ErrTimeout.
func (e *LimitError) Is(target error) bool { return target == ErrTimeout }

// Timeout and Temporary make it a net.Error.
func (e *LimitError) Timeout() bool   { return true }
func (e *LimitError) Temporary() bool { return true }

// within is ctx with a limit that has a name; 0 means none.
func within(ctx context.Context, name string, limit time.Duration) (context.Context, context.CancelFunc) {
	if limit <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, limit, &LimitError{Limit: name, After: limit})
}

// cause is the reason that ctx has ended for; a limit tells what it has ended.
func cause(ctx context.Context, phase Phase, addr string) error {
	err := context.Cause(ctx)
	limit, ok := err.(*LimitError)
	if !ok || limit.Doing != "" {
		return err
	}
	said := *limit
	switch phase {
	case Resolve:
		if host, _, err := net.SplitHostPort(addr); err == nil {
			addr = host
		}
		said.Doing = "looking up " + addr
	case Connect:
		said.Doing = "connecting to " + addr
	case TLS:
		said.Doing = "shaking hands with " + addr
	case Proxying:
		said.Doing = "waiting for proxy " + addr
	}
	return &said
}

// outOfTime is the reason the context ended for, and what had been tried until then.
type outOfTime struct{ why, tried error }

func (e *outOfTime) Error() string   { return e.why.Error() }
func (e *outOfTime) Unwrap() []error { return []error{e.why, e.tried} }

// fail wraps err, and prefers the reason the context ended for to the text
// that its end made somebody else produce.
func fail(ctx context.Context, phase Phase, addr string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = cause(ctx, phase, addr)
	}
	return &Error{Phase: phase, Addr: addr, Err: err}
}
