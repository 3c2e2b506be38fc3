package reqctx_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/reqctx"
)

// TestCauseOfParent: from the moment at which Err tells of the parent's end, its cause is
// known, even though the parent is still telling others.
func TestCauseOfParent(t *testing.T) {
	cause := errors.New("the window was closed")
	for range 20 {
		parent, cancel := context.WithCancelCause(context.Background())
		var c reqctx.Context
		c.Init(parent)
		c.Done()
		for range 2000 { // which are told, too
			_, stop := context.WithCancel(parent)
			defer stop()
		}
		go cancel(cause)
		for c.Err() == nil {
		}
		require.Equal(t, cause, context.Cause(&c))
	}
}
