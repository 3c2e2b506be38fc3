package coding

import (
	"bufio"
	"bytes"
	"io"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"
)

// TestGzipAllocations: a reused decoder parses header and trailer without allocating.
func TestGzipAllocations(t *testing.T) {
	var data bytes.Buffer
	w := gzip.NewWriter(&data)
	io.WriteString(w, "hello")
	require.NoError(t, w.Close())
	src := bytes.NewReader(nil)
	buffered := bufio.NewReader(src)
	var z gzipReader
	var got [16]byte
	require.Zero(t, testing.AllocsPerRun(100, func() {
		src.Reset(data.Bytes())
		buffered.Reset(src)
		if err := z.reset(buffered, defaultMaxHeader); err != nil {
			t.Fatal(err)
		}
		if n, err := z.Read(got[:]); n != 5 || err != nil {
			t.Fatal(n, err)
		}
		if _, err := z.Read(got[:]); err != io.EOF {
			t.Fatal(err)
		}
	}))
}
