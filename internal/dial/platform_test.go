package dial

import (
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestExplain(t *testing.T) {
	assert.Equal(t, io.EOF, explain("linux", io.EOF))
	for _, goos := range []string{"js", "wasip1"} {
		err := explain(goos, io.EOF)
		assert.ErrorIs(t, err, io.EOF)
		assert.ErrorContains(t, err, "no network on "+goos+": set Config.DialContext")
	}
}
