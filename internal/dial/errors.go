package dial

import (
	"context"
	"errors"
	"net"
	"time"
)

// Phase is the phase of opening a connection that failed.
type Phase int

const (
	Resolve  Phase = iota // name resolution
	Connect               // TCP connect
	TLS                   // TLS handshake
	Proxying              // connecting to and through a proxy
)

func (p Phase) String() string { return [...]string{"resolve", "connect", "tls", "proxy"}[p] }

// Error is the failure to open a connection.
type Error struct {
	Phase Phase
	Addr  string // the requested host:port
	Err   error
}

func (e *Error) Error() string { return e.Phase.String() + " " + e.Addr + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// ErrTimeout is matched by a LimitError.
var ErrTimeout = errors.New("timed out")

// LimitError is the error of an attempt that exceeded a time limit of the Dialer.
type LimitError struct {
	Limit string // name of the limit
	After time.Duration
	Doing string // operation that was interrupted
}

func (e *LimitError) Error() string {
	text := e.Limit + " of " + e.After.String() + " exceeded"
	if e.Doing != "" {
		text += " while " + e.Doing
	}
	return text
}

// Is matches ErrTimeout.
func (e *LimitError) Is(target error) bool { return target == ErrTimeout }

// Timeout implements net.Error.
func (e *LimitError) Timeout() bool   { return true }
func (e *LimitError) Temporary() bool { return true }

// within returns ctx with a named time limit; 0 means none.
func within(ctx context.Context, name string, limit time.Duration) (context.Context, context.CancelFunc) {
	if limit <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, limit, &LimitError{Limit: name, After: limit})
}

// cause returns the cause of ctx, for a LimitError with the operation that was interrupted.
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
		said.Doing = "resolving " + addr
	case Connect:
		said.Doing = "connecting to " + addr
	case TLS:
		said.Doing = "making a TLS handshake with " + addr
	case Proxying:
		said.Doing = "waiting for proxy " + addr
	}
	return &said
}

// timeoutError is the cause of the context and the failed attempts so far.
type timeoutError struct{ why, tried error }

func (e *timeoutError) Error() string   { return e.why.Error() }
func (e *timeoutError) Unwrap() []error { return []error{e.why, e.tried} }

// fail wraps err or, if the context has ended, its cause instead of an error that followed
// from that.
func fail(ctx context.Context, phase Phase, addr string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = cause(ctx, phase, addr)
	}
	return &Error{Phase: phase, Addr: addr, Err: err}
}
