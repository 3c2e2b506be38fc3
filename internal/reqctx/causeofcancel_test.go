package reqctx_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/reqctx"
)

// TestCauseOfCancel: from the moment at which Err tells of the end by Cancel, its cause is known,
// even though others are still being told.
func TestCauseOfCancel(t *testing.T) {
	cause := errors.New("the window was closed")
	for range 3000 {
		var c reqctx.Context
		c.Init(context.Background())
		c.Done()
		go c.Cancel(cause)
		for c.Err() == nil {
		}
		require.Equal(t, cause, context.Cause(&c))
	}
}
