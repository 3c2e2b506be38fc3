package pipe

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
)

// TestSize: a pipe is part of every reply.
func TestSize(t *testing.T) {
	assert.LessOrEqual(t, unsafe.Sizeof(Pipe{}), uintptr(208))
	assert.LessOrEqual(t, unsafe.Sizeof(chunk{}), uintptr(48))
}
