package atomicfile_test

import (
	"io"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/netreply/netreply/internal/atomicfile"
)

// TestPanic: what a writer that panics has written does not stay.
func TestPanic(t *testing.T) {
	for name, f := range map[string]func(string, func(io.Writer) error) error{"Write": atomicfile.Write, "Create": atomicfile.Create} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			assert.PanicsWithValue(t, "full", func() {
				f(filepath.Join(dir, "f"), func(w io.Writer) error {
					io.WriteString(w, "half of it")
					panic("full")
				})
			})
			assert.Empty(t, entries(t, dir))
		})
	}
}
