package oserr

import (
	"errors"
	"fmt"
	"net"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestIs: the kind of an error is found at any depth of wrapping, and no other kind is.
func TestIs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	_, refused := net.Dial("tcp", addr)
	require.Error(t, refused)
	for _, err := range []error{refused, fmt.Errorf("x: %w", refused), errors.Join(os.ErrClosed, refused)} {
		assert.True(t, Is(err, Refused), "%v", err)
		assert.False(t, Is(err, Reset), "%v", err)
	}
	assert.False(t, Is(nil, Refused))
	assert.False(t, Is(nil, Other))
	assert.False(t, Is(os.ErrClosed, Refused))
}

// TestWinsock: the numbers are those of winsock2.h.
func TestWinsock(t *testing.T) {
	const base = 10000 // WSABASEERR
	for kind, codes := range map[Kind][]uintptr{
		Reset: {base + 52, base + 53, base + 54, base + 58}, Refused: {base + 61}, Unreachable: {base + 50, base + 51},
		NoAddress: {base + 49}, TimedOut: {base + 60},
	} {
		for _, code := range codes {
			assert.Equal(t, kind, winsock[code], "%d", code)
		}
	}
	assert.Equal(t, Other, winsock[base+65], "an unreachable host is no network that is down")
}
