package flow

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
)

// TestSizes: the memory of every request stays within its size class of the allocator: 1152
// bytes, including 8 that the allocator adds.
func TestSizes(t *testing.T) { assert.LessOrEqual(t, unsafe.Sizeof(Transfer{}), uintptr(1144)) }
