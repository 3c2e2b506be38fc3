package netreply

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
)

// TestSizes: the memory of every request stays well within its size class of the allocator: 896
// bytes, including 8 that the allocator adds.
func TestSizes(t *testing.T) { assert.LessOrEqual(t, unsafe.Sizeof(Reply{}), uintptr(800)) }
