package flow

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
)

// TestSizes: what every request allocates stays within its size class of the allocator: 1408
// bytes with the 8 that it adds.
func TestSizes(t *testing.T) { assert.LessOrEqual(t, unsafe.Sizeof(Transfer{}), uintptr(1400)) }
