package netreplytest_test

import (
	"bytes"
	"io"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/netreply/netreply/netreplytest"
)

// TestTrailersAfterAnswer: the trailers of a request that has been answered already are not
// another request.
func TestTrailersAfterAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := netreplytest.NewServer(t, netreplytest.HTTP2Cleartext)
		s.Handle("/", netreplytest.Answer{netreplytest.Early(), netreplytest.Status(403)})
		conn, err := s.DialContext(t.Context(), "tcp", "server.example:80")
		require.NoError(t, err)
		defer conn.Close()
		_, err = io.WriteString(conn, http2.ClientPreface)
		require.NoError(t, err)
		fr := http2.NewFramer(conn, conn)
		require.NoError(t, fr.WriteSettings())
		headers := func(stream uint32, end bool, fields ...string) {
			var block bytes.Buffer
			enc := hpack.NewEncoder(&block)
			for i := 0; i < len(fields); i += 2 {
				require.NoError(t, enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1], Sensitive: true}))
			}
			require.NoError(t, fr.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndStream: end, EndHeaders: true}))
		}
		// answered waits for the RST_STREAM that ends a request whose body is not wanted.
		answered := func(stream uint32) {
			for {
				f, err := fr.ReadFrame()
				require.NoError(t, err)
				if rst, ok := f.(*http2.RSTStreamFrame); ok && rst.StreamID == stream {
					return
				}
			}
		}
		request := []string{":method", "POST", ":scheme", "http", ":authority", "server.example", ":path", "/"}
		headers(1, false, request...)
		answered(1)
		synctest.Wait()
		headers(1, true, "x-sum", "7")
		synctest.Wait()
		assert.Len(t, s.Requests(), 1)
		headers(3, false, request...)
		answered(3)
		assert.Len(t, s.Requests(), 2)
	})
}
