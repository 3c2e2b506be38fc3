package flow

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestNextPiece: pieces grow for a fast peer, and become small at once for a slow one.
func TestNextPiece(t *testing.T) {
	for _, c := range []struct {
		size int
		took time.Duration
		want int
	}{
		{minPiece, 0, 2 * minPiece},
		{minPiece, fastPiece, 2 * minPiece},
		{minPiece, 25 * time.Millisecond, minPiece},
		{4 * minPiece, 5 * time.Millisecond, 4 * minPiece},
		{maxPiece, time.Millisecond, maxPiece},
		{maxPiece, slowPiece, minPiece},
		{maxPiece, time.Hour, minPiece},
	} {
		assert.Equal(t, c.want, nextPiece(c.size, c.took), "%+v", c)
	}
}
