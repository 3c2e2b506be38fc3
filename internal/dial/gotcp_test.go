package dial

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestGoTCPEndsLimit: ConnectTimeout does not count what done does with the connection, and the
// context of DialContext has ended before.
func TestGoTCPEndsLimit(t *testing.T) {
	refused := errors.New("refused")
	for _, failure := range []error{nil, refused} {
		var dialled context.Context
		d := &Dialer{ConnectTimeout: time.Hour, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			if dialled = ctx; failure != nil {
				return nil, failure
			}
			c, peer := net.Pipe()
			t.Cleanup(func() { c.Close(); peer.Close() })
			return c, nil
		}}
		ended := make(chan error, 1)
		d.GoTCP(t.Context(), "host.example:80", nil, func(c net.Conn, err error) {
			assert.Equal(t, failure == nil, c != nil)
			assert.Error(t, dialled.Err())
			ended <- err
		})
		assert.ErrorIs(t, <-ended, failure)
	}
}
