package coding

import (
	"crypto/rand"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEncoderBuffer: encoded bytes are not collected, however large the data and however
// little it compresses.
func TestEncoderBuffer(t *testing.T) {
	for name := range encoders {
		e := NewEncoder(io.NopCloser(io.LimitReader(rand.Reader, 2<<20)), name)
		largest := 0
		for buf := make([]byte, 16<<10); ; {
			_, err := e.Read(buf)
			largest = max(largest, e.enc.out.Cap())
			if err == io.EOF {
				break
			}
			require.NoError(t, err)
		}
		require.LessOrEqual(t, largest, 512<<10, name)
		require.NoError(t, e.Close())
		require.Nil(t, e.enc)
	}
}
