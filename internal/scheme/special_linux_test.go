package scheme_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/scheme"
)

// TestFileWithoutSize: a file that the system makes up, whose size is 0, is read to its end.
func TestFileWithoutSize(t *testing.T) {
	const name = "/proc/self/cmdline"
	want, err := os.ReadFile(name)
	require.NoError(t, err)
	content, err := scheme.Files{}.Open(fileURL(name))
	require.NoError(t, err)
	assert.EqualValues(t, -1, content.Size)
	assert.Equal(t, string(want), readAll(t, content))
}
