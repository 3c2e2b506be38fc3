package flow

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/pipe"
	"github.com/netreply/netreply/internal/wire"
)

// pipeOwner counts the calls of a pipe.
type pipeOwner struct{ received int64 }

func (o *pipeOwner) Arrived(received int64) { o.received = received }
func (o *pipeOwner) MayWait() error         { return nil }

// stalling is a body that returns no bytes and no error.
type stalling struct{}

func (stalling) Read([]byte) (int, error) { return 0, nil }

// TestReceiveBody: a body ends with its io.EOF, or after its length without further bytes.
func TestReceiveBody(t *testing.T) {
	broken := errors.New("broken")
	for _, row := range []struct {
		name   string
		body   io.Reader
		length int64
		err    error // nil for a complete body
		fault  wire.Fault
	}{
		{name: "unknown length", body: iotest.OneByteReader(strings.NewReader("body")), length: -1},
		{name: "its end with its last bytes", body: iotest.DataErrReader(strings.NewReader("body")), length: -1},
		{name: "known length", body: strings.NewReader("body"), length: 4},
		{name: "known length, its end with its last bytes", body: iotest.DataErrReader(strings.NewReader("body")), length: 4},
		{name: "broken", body: io.MultiReader(strings.NewReader("body"), iotest.ErrReader(broken)), length: -1, err: broken},
		{name: "broken before its length", body: io.MultiReader(strings.NewReader("body"), iotest.ErrReader(broken)), length: 5, err: broken},
		{name: "an error after its length", body: io.MultiReader(strings.NewReader("body"), iotest.ErrReader(broken)), length: 4, err: broken},
		{name: "longer than its length", body: io.MultiReader(strings.NewReader("body"), strings.NewReader("more")), length: 4, fault: wire.Malformed},
		{name: "never ends", body: io.MultiReader(strings.NewReader("body"), stalling{}), length: 4, err: io.ErrNoProgress},
	} {
		t.Run(row.name, func(t *testing.T) {
			var p pipe.Pipe
			o := new(pipeOwner)
			p.Init(o, 0)
			err := receiveBody(t.Context(), row.body, row.length, &p, (*Clock)(nil), true)
			if row.fault != 0 {
				var we *wire.Error
				require.ErrorAs(t, err, &we)
				assert.Equal(t, row.fault, we.Fault)
				assert.Equal(t, wire.Body, we.Phase)
			} else {
				assert.Equal(t, row.err, err)
			}
			assert.EqualValues(t, 4, o.received)
			p.End(nil)
			body, _ := p.All()
			assert.Equal(t, "body", string(body))
		})
	}
}

// TestReceiveEnds: with the end of context and pipe it returns the cause of the context,
// while it waits for the reader and while the body is lent; with the error of the body
// while it reads that.
func TestReceiveEnds(t *testing.T) {
	cause := errors.New("aborted")
	for name, row := range map[string]struct {
		limit int64
		read  func(*pipe.Pipe) // concurrently
	}{
		"reading the body": {},
		"waiting for room": {limit: 4},
		"lent":             {limit: 100, read: func(p *pipe.Pipe) { p.WriteTo(io.Discard) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var p pipe.Pipe
				p.Init(new(pipeOwner), row.limit)
				ctx, cancel := context.WithCancelCause(t.Context())
				if row.read != nil {
					go row.read(&p)
					synctest.Wait()
				}
				body, w := io.Pipe()
				go io.WriteString(w, "body")
				clock := NewClock(time.Second, func() {})
				clock.Start()
				done := make(chan error, 1)
				go func() { done <- receiveBody(ctx, body, -1, &p, clock, true) }()
				synctest.Wait()
				assert.EqualValues(t, 4, p.Received())
				assert.Empty(t, done)
				cancel(cause)
				p.Close(cause)
				closed := errors.New("connection closed")
				if name == "reading the body" {
					w.CloseWithError(closed) // as the end of the context does
					assert.Equal(t, closed, <-done)
				} else {
					assert.Equal(t, cause, <-done)
					w.CloseWithError(closed)
				}
				clock.Stop()
			})
		})
	}
}

// TestReceivePausesClock: the clock is paused while the reader is waited for.
func TestReceivePausesClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pipe.Pipe
		p.Init(new(pipeOwner), 4)
		var expired atomic.Int32
		clock := NewClock(time.Second, func() { expired.Add(1) })
		clock.Start()
		done := make(chan error, 1)
		body, w := io.Pipe()
		go func() { done <- receiveBody(t.Context(), body, -1, &p, clock, true) }()
		io.WriteString(w, "body")
		time.Sleep(time.Hour)
		assert.Zero(t, expired.Load())
		assert.Equal(t, "body", string(p.Take()))
		time.Sleep(2 * time.Second)
		assert.EqualValues(t, 1, expired.Load(), "now it is the peer that is silent")
		w.Close()
		assert.NoError(t, <-done)
	})
}
