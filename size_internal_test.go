package netreply

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
)

// TestSizes: what every request allocates stays within its size class of the allocator: 1024
// bytes with the 8 that it adds.
func TestSizes(t *testing.T) { assert.LessOrEqual(t, unsafe.Sizeof(Reply{}), uintptr(1016)) }
